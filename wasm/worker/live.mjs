// Live readers of one object: streams of Server-Sent Events, and WebSockets that may hibernate.
//
// Owns where each reader stands, how much it has unsent, and when it is cut. Refuses to know what
// events look like: the guest renders pages and says up to where they lead.
//
// Invariants. A page is sent after what it shows is safe. It is rendered once for all readers that
// stand at one place behind one filter. What a WebSocket that may sleep needs to go on is in its
// attachment, so the object may be gone in between; nothing is scheduled for one that only waits.
//
// Of a WebSocket that may sleep the platform does not tell how much is unsent. So whoever has much
// to catch up with gets one that keeps the object awake, and is cut when it takes nothing; one that
// only follows may sleep, and is never found to be slow.
import { log } from "./http.mjs";

const HEARTBEAT = new TextEncoder().encode(":\n\n");
// A reader gets no further page while so much is unsent; a page has 64 KB, or one event.
const ROOM_BYTES = 64 << 10;
// A stream is handed over in pieces, so that it shows when one is taken.
const PIECE_BYTES = 16 << 10;
// Whoever is no further behind than this may sleep.
const FOLLOWS_MAX = 256;
// Pages kept until the next event is stored.
const PAGES_MAX = 16;
// How often it is looked whether a socket has room again: nothing tells.
const LOOK_MS = 50;
const RETRY_MS = 100;
const CUT = 4008;

export class Live {
  #ctx;
  #page;
  #heartbeatMs;
  #stallMs;
  #streams = new Set();
  #sockets = null;
  #head = 0;
  #pages = new Map();
  #running = false;
  #again = false;
  #ticker;
  #everyMs = 0;

  // `page(target, after)` renders: bytes and where they lead, or nothing.
  constructor(ctx, page, { liveHeartbeatMs, liveStallMs }) {
    [this.#ctx, this.#page] = [ctx, page];
    [this.#heartbeatMs, this.#stallMs] = [liveHeartbeatMs, liveStallMs];
    ctx.setWebSocketAutoResponse(new WebSocketRequestResponsePair("ping", "pong"));
  }

  // Whether anyone follows, those included who did before the object was made anew.
  get followed() {
    return this.#streams.size > 0 || this.#all().size > 0;
  }

  // Something may have been stored.
  stored(head) {
    if (head === undefined) return;
    if (head > this.#head) this.#pages.clear();
    this.#head = Math.max(head, this.#head);
    this.#send();
  }

  // The answer that goes on with events.
  answer(headers, start, [target, after, head, socket]) {
    this.#head = Math.max(head, this.#head);
    const response = socket
      ? this.#accept(target, after, head - after > FOLLOWS_MAX)
      : new Response(this.#open(start, target, after), { headers });
    this.#send();
    return response;
  }

  // A socket is broken.
  gone(socket) {
    this.#all().delete(socket);
  }

  // Its other side closed it.
  closed(socket, code, reason) {
    this.gone(socket);
    try {
      socket.close(code, reason);
    } catch {
      // Codes that stand for a broken connection can not be sent back.
    }
  }

  #open(start, target, after) {
    const done = () => this.#streams.delete(stream);
    const stream = new Stream(start, target, after, () => this.#send(), done);
    this.#streams.add(stream);
    this.#tick();
    return stream.readable;
  }

  #accept(target, after, awake) {
    const { 0: client, 1: server } = new WebSocketPair();
    if (awake) {
      server.accept();
      server.addEventListener("close", ({ code, reason }) => this.closed(server, code, reason));
      server.addEventListener("error", () => this.gone(server));
      server.addEventListener("message", ({ data }) => data === "ping" && server.send("pong"));
    } else {
      this.#ctx.acceptWebSocket(server);
      server.serializeAttachment({ target, after });
    }
    this.#all().set(server, new Socket(server, { target, after }, awake));
    return new Response(null, { status: 101, webSocket: client });
  }

  #all() {
    const asleep = (ws) => [ws, new Socket(ws, ws.deserializeAttachment(), false)];
    this.#sockets ??= new Map(this.#ctx.getWebSockets().map(asleep));
    return this.#sockets;
  }

  // Sends all that there is room for, a page to each reader in turn. One such run at a time.
  async #send() {
    this.#again = true;
    if (this.#running || !this.followed) return;
    this.#running = true;
    try {
      while (this.#again) {
        this.#again = false;
        for (const reader of [...this.#streams, ...this.#all().values()]) {
          if (await this.#sendTo(reader)) this.#again = true;
        }
        // Requests come in between.
        if (this.#again) await new Promise((resolve) => setTimeout(resolve, 0));
      }
    } catch (error) {
      // A page could not be had or was not safe: in the second case the object is reset.
      log("live", error);
      setTimeout(() => this.#send(), RETRY_MS);
    } finally {
      this.#running = false;
    }
    this.#tick();
  }

  #waits(reader) {
    return reader.open && reader.after < this.#head;
  }

  // True when it may be given another page at once.
  async #sendTo(reader) {
    if (!this.#waits(reader) || !reader.room) return false;
    const page = this.#rendered(reader.target, reader.after);
    await page.safe;
    if (!reader.open) return false;
    reader.take(page.bytes, page.to);
    return true;
  }

  #rendered(target, after) {
    const key = after + " " + target;
    let page = this.#pages.get(key);
    if (page === undefined) {
      const rendered = this.#page(target, after);
      if (rendered === undefined) throw new Error("the log can not be read now");
      const [bytes, to] = rendered;
      const safe = bytes.length > 0 ? this.#ctx.storage.sync() : undefined;
      page = { bytes, to, safe };
      if (this.#pages.size >= PAGES_MAX) this.#pages.clear();
      this.#pages.set(key, page);
    }
    return page;
  }

  // Looks after those who have to be watched, as often as that takes; ends when there are none.
  #tick() {
    const sockets = [...this.#all().values()].some((socket) => this.#waits(socket));
    if (!sockets && this.#streams.size === 0) return;
    const slowly = Math.min(this.#heartbeatMs, this.#stallMs, 1_000) / 2;
    const everyMs = sockets ? LOOK_MS : slowly;
    if (this.#ticker !== undefined && this.#everyMs <= everyMs) return;
    clearTimeout(this.#ticker);
    this.#everyMs = everyMs;
    this.#ticker = setTimeout(() => {
      this.#ticker = undefined;
      for (const reader of [...this.#streams, ...this.#all().values()]) this.#look(reader);
      this.#send();
      this.#tick();
    }, everyMs);
  }

  #look(reader) {
    const now = Date.now();
    if (this.#waits(reader) && !reader.room) {
      reader.waitsSince ??= now;
      const since = Math.max(reader.waitsSince, reader.tookAt);
      if (now - since >= this.#stallMs) this.#cut(reader);
    } else {
      reader.waitsSince = undefined;
    }
    if (reader.open && now - reader.sentAt >= this.#heartbeatMs) reader.heartbeat?.();
  }

  #cut(reader) {
    reader.cut();
    this.#streams.delete(reader);
    this.#sockets?.delete(reader.socket);
  }
}

// A response that does not end.
class Stream {
  open = true;
  sentAt = Date.now();
  tookAt = 0;
  #controller;
  #done;

  constructor(start, target, after, pull, done) {
    [this.target, this.after, this.#done] = [target, after, done];
    const strategy = new ByteLengthQueuingStrategy({ highWaterMark: ROOM_BYTES });
    this.readable = new ReadableStream({
      start: (controller) => {
        this.#controller = controller;
        controller.enqueue(start);
      },
      pull: () => {
        this.tookAt = Date.now();
        pull();
      },
      cancel: () => this.#end(),
    }, strategy);
  }

  get room() {
    return this.#controller.desiredSize > 0;
  }

  take(bytes, to) {
    for (let at = 0; at < bytes.length; at += PIECE_BYTES) {
      this.#enqueue(bytes.slice(at, at + PIECE_BYTES));
    }
    this.after = to;
  }

  heartbeat() {
    if (this.room) this.#enqueue(HEARTBEAT.slice());
  }

  cut() {
    if (this.open) this.#controller.error(new Error("nothing was taken while events waited"));
    this.#end();
  }

  #enqueue(piece) {
    if (!this.open) return;
    try {
      this.#controller.enqueue(piece);
      this.sentAt = Date.now();
    } catch {
      this.#end(); // The reader is gone.
    }
  }

  #end() {
    this.open = false;
    this.#done();
  }
}

const decoder = new TextDecoder();

// A WebSocket of the object's.
class Socket {
  sentAt = Infinity;
  #awake;
  #unsent = 0;
  #tookAt = 0;

  constructor(socket, { target, after }, awake) {
    [this.socket, this.target, this.after, this.#awake] = [socket, target, after, awake];
  }

  get open() {
    return this.socket.readyState === WebSocket.OPEN;
  }

  get room() {
    return this.#left() < ROOM_BYTES;
  }

  // As far as it can be told: when less was found unsent than before.
  get tookAt() {
    const unsent = this.#left();
    if (unsent < this.#unsent) this.#tookAt = Date.now();
    this.#unsent = unsent;
    return this.#tookAt;
  }

  #left() {
    return this.#awake ? this.socket.bufferedAmount : 0;
  }

  // Of each item the line of its data is a message.
  take(bytes, to) {
    for (const item of decoder.decode(bytes).split("\n\n")) {
      const data = item.indexOf("\ndata: ");
      if (data >= 0) this.socket.send(item.slice(data + 7));
    }
    this.after = to;
    if (!this.#awake) this.socket.serializeAttachment({ target: this.target, after: to });
  }

  cut() {
    this.socket.close(CUT, "nothing was taken while events waited");
  }
}
