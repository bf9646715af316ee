// The Worker's JavaScript: everything that waits.
//
// Owns deadlines, and what an object does in its turn. Refuses to know what requests mean: the guest
// does. wasm/build.sh bundles it.
//
// Invariants. Rust is called synchronously and never holds a promise, so a panic can leave no one
// hanging: whoever waits, waits here. Whatever the object does, the client gets an answer.
import { DurableObject } from "cloudflare:workers";
import { directory, partitions } from "./directory.mjs";
import { deliver, make } from "./effects.mjs";
import guest from "./guest.wasm";
import {
  badHost, headersOf, isFull, isLongRead, isRead, log, overloaded, problem, readBody, storageFull,
  unanswered,
} from "./http.mjs";
import { drop, feed, unreadBody } from "./import.mjs";
import { Shim, listed } from "./index.js";
import { Live } from "./live.mjs";
import { isImport, isPublication, partitionName, pathOf } from "./paths.mjs";
import { generation, limits, rust } from "./rust.mjs";
import { Turns } from "./turns.mjs";

export { Directory } from "./directory.mjs";

// SHA-256 of guest.wasm, which a compiled module does not tell: wasm/build.sh puts it here.
const GUEST_SHA256 = "@GUEST_SHA256@";
// The object answers within its deadline if it can: the Worker waits this much longer.
const DEADLINE_MARGIN_MS = 1_000;
// Turns of background work that one event of the object may take; the next alarm goes on.
const TURNS_MAX = 2_000;
// What falls due later than this is left to the alarm.
const PATIENCE_MS = 1_000;
// After a panic in an alarm the object tries again this much later.
const ALARM_RETRY_MS = 30_000;
// A part of an import takes as long as its bytes take to come.
const IMPORT_DEADLINE_MS = 3_600_000;

// ---------------------------------------------------------------- the Worker: every request first

export default {
  async fetch(request, env) {
    if (!URL.canParse(request.url)) return badHost(request.method);
    const path = pathOf(request.url);
    const importing = isImport(request.method, path);
    let timer;
    const late = new Promise((resolve) => {
      const what = "the partition did not answer in time";
      const answer = () => resolve(unanswered(request.method, what));
      const deadlineMs = importing ? IMPORT_DEADLINE_MS : limits(env).deadlineMs;
      timer = setTimeout(answer, deadlineMs + DEADLINE_MARGIN_MS);
    });
    try {
      const name = partitionName(path);
      return await Promise.race([env.PARTITION.getByName(name).fetch(request), late]);
    } catch (error) {
      // The object was reset or its write failed; or it refused to take more.
      // Some Host headers pass as a URL and still can not be forwarded: nothing was handed over.
      if (String(error.message).startsWith("Fetch API cannot load")) return badHost(request.method);
      log("call", error);
      if (error.overloaded) return overloaded(request.method, "the partition has too much to do");
      if (isFull(error) && !isRead(request.method)) return storageFull(request.method);
      return unanswered(request.method, "the partition was restarted");
    } finally {
      clearTimeout(timer);
    }
  },
};

// ---------------------------------------------------------------- the object: one partition

export class Partition extends DurableObject {
  #shim = null;
  #generation = -1;
  #alarmMs;
  #turns = new Turns((batch) => this.#run(batch));
  #live;

  constructor(ctx, env) {
    super(ctx, env);
    const page = (target, after) => this.#rust((shim) => shim.live_page(target, after));
    this.#live = new Live(ctx, page, limits(env));
    ctx.blockConcurrencyWhile(async () => {
      this.#alarmMs = (await ctx.storage.getAlarm()) ?? undefined;
    });
  }

  async fetch(request) {
    const { method, url } = request;
    const { bodyBytesMax, publishBytesMax, importBytesMax } = limits(this.env);
    let read;
    try {
      const path = pathOf(url);
      const bytesMax = isPublication(method, path) ? publishBytesMax : bodyBytesMax;
      if (isImport(method, path)) read = unreadBody(request, importBytesMax);
      else read = { body: await this.#turns.prepared(readBody(request, bytesMax)) };
    } catch {
      // The client is gone: it hears nothing of this, and nothing is done.
      const title = "The body is not one well-formed JSON text";
      return problem(method, 400, "malformed-json", title, "the body broke off");
    }
    const target = url.slice(url.indexOf("/", url.indexOf("//") + 2));
    let head = method + "\n" + target;
    for (const [name, value] of request.headers) head += "\n" + name + ":" + value;
    const long = isLongRead(method, target);
    const answer = await this.#turns.answer({ method, head, ...read, long, since: Date.now() });
    // A client that is still sending would not see it.
    if (read.stream !== undefined) await drop(read.stream, importBytesMax);
    return answer;
  }

  // Answers everyone whose turn it is. Nothing in here awaits: reading, deciding and writing are
  // one step. The platform holds the answers back until the writes are safe. Gives a long read back
  // of which only a part was done.
  #run(next) {
    const batch = next.filter((request) => this.#inTime(request));
    let replies;
    try {
      replies = this.#rust((shim) => {
        for (const { head, body, unread } of batch) shim.push(head, body, unread === true);
        return shim.run(batch[0]?.long === true);
      });
      this.#afterTurn();
    } catch {
      replies = [];
    }
    this.#work();
    if (replies[0]?.[9] === true) return batch[0];
    const answered = () =>
      batch.forEach((request, index) => request.answer(this.#respond(request, replies[index])));
    // A test that wakes a partition wants to see what its effects came to.
    if (this.env.TEST_STAMPS && this.#attempts.size > 0) this.#settled().then(answered);
    else answered();
  }

  async #settled() {
    do {
      await Promise.all(this.#attempts);
      // What ended may lead to more.
      await this.#work();
    } while (this.#attempts.size > 0);
  }

  #inTime({ method, since, answer }) {
    if (Date.now() - since <= limits(this.env).deadlineMs) return true;
    answer(overloaded(method, "the request waited too long"));
    return false;
  }

  // A write failed: what is stored decides, so the object has to start from there. Not before
  // this turn is over, and never from within Rust, where it would stop the whole isolate.
  // Otherwise what was asked for of the outside is attempted now: the platform lets no call out
  // before the writes that led to it are safe.
  #afterTurn() {
    if (this.#rust((shim) => shim.failed())) {
      setTimeout(() => this.ctx.abort("a write failed"), 0);
      return;
    }
    if (this.#live.followed) this.#live.stored(this.#rust((shim) => shim.head()));
    for (const call of this.#rust((shim) => shim.take_effects())) {
      const attempt = this.#attempt(call).finally(() => this.#attempts.delete(attempt));
      this.#attempts.add(attempt);
    }
    for (const call of this.#rust((shim) => shim.take_deliveries())) {
      const attempt = this.#delivery(call).finally(() => this.#attempts.delete(attempt));
      this.#attempts.add(attempt);
    }
  }

  // Calls under way. Nothing waits for them: what they came to is an input like any other.
  #attempts = new Set();
  async #attempt(call) {
    const ended = await make(this.env, call, limits(this.env));
    try {
      this.#rust((shim) => shim.effect_ended(call[0], call[1], ...ended));
    } catch {
      return; // Told already. The effect is still due, and found so by whoever wakes the partition.
    }
    this.#work();
  }

  // The same for a delivery: its consumer gets it again from whoever wakes the partition.
  async #delivery(call) {
    const ended = await deliver(this.env, call, limits(this.env));
    try {
      this.#rust((shim) => shim.delivery_ended(call[0], ...ended));
      this.#work();
    } catch {
      // Told already.
    }
  }

  // Never throws: what is wrong with one answer is no one else's loss.
  #respond({ method, stream }, reply) {
    if (reply === undefined) return unanswered(method, "the partition was restarted");
    try {
      if (reply[6] !== undefined) return this.#import(method, stream, reply[6]);
      return this.#response(method, ...reply);
    } catch (error) {
      log("answer", error);
      return problem(method, 500, "internal", "A bug of ours", "the answer could not be sent");
    }
  }

  // Hands the body of an import over; what comes of it is the answer.
  async #import(method, stream, token) {
    let reply;
    try {
      reply = await feed(stream, (bytes, how) => {
        const step = this.#rust((shim) => shim.import_step(token, bytes, how));
        this.#afterTurn();
        return step;
      });
      // No first commit asks for it: the log is held, and what it asks for has to wait.
      const { name = "main" } = this.ctx.id;
      if (reply?.[7] === true && name !== "main") await directory(this.env).add(name);
    } catch (error) {
      // Of the module that is told already: it starts afresh, and the part counts for nothing. Of
      // the directory: whoever makes the log this host's tells it again.
      log("import", error);
    }
    return this.#respond({ method }, reply);
  }

  #response(method, status, head, bytes, after, to, listing, _import, _log, live) {
    const headers = headersOf(head);
    let body = bytes;
    if (live !== undefined && method === "GET") return this.#live.answer(headers, bytes, live);
    if (method === "HEAD" || status === 204 || status === 304) body = null;
    else if (after !== undefined) body = this.#export(bytes, after, to);
    if (listing !== undefined) return this.#listed(method, headers, listing);
    return new Response(body, { status, headers });
  }

  async #listed(method, headers, [after, limit, link]) {
    try {
      const names = await partitions(this.env, after, limit + 1);
      const [body, next] = rust(() => listed(after, limit, link, names));
      if (next !== "") headers.Link = next;
      return new Response(method === "HEAD" ? null : body, { headers });
    } catch (error) {
      log("directory", error);
      return unanswered(method, "the directory of partitions did not answer");
    }
  }

  // A page is read when the one before has been taken: a slow reader costs no memory.
  #export(first, after, to) {
    let next = first;
    return new ReadableStream({
      type: "bytes",
      pull: (controller) => {
        if (next === null || next.length === 0) {
          const page = this.#rust((shim) => shim.page(after, to));
          if (page === null) throw new Error("the log could not be read");
          if (page === undefined) {
            controller.close();
            controller.byobRequest?.respond(0);
            return;
          }
          [next, after] = page;
        }
        controller.enqueue(next);
        next = null;
      },
    });
  }

  // Does what is due beside requests (slices of a rebuild, the system's own commands), a little
  // per turn, so that requests come in between. Both a request and an alarm start it; the alarm
  // waits for its end, which keeps the object alive meanwhile.
  #working = null;
  #work() {
    if (this.#working !== null) {
      // What is due now does not wait for what is due later.
      if (this.#resume !== undefined && this.#workDue() === 0) this.#resume();
    } else if (this.#workDue() !== undefined) {
      this.#working = this.#runWork().finally(() => (this.#working = null));
    }
    return this.#working;
  }

  #resume; // Ends the pause under way.
  async #pause(ms) {
    await new Promise((resolve) => {
      const timer = setTimeout(resolve, ms);
      this.#resume = () => {
        clearTimeout(timer);
        this.#resume = undefined;
        setTimeout(resolve, 0);
      };
    });
    this.#resume = undefined;
  }

  // Milliseconds, or nothing: also when the module has to start afresh, which is told already.
  #workDue() {
    try {
      return this.#rust((shim) => shim.work_due(PATIENCE_MS));
    } catch {
      return undefined;
    }
  }

  async #runWork() {
    for (let n = 0; n < TURNS_MAX; n += 1) {
      const wait = this.#workDue();
      if (wait === undefined) return;
      await this.#pause(wait);
      try {
        this.#rust((shim) => shim.work());
        this.#afterTurn();
      } catch {
        return; // Told already; the alarm that every write sets tries again.
      }
    }
  }

  // Never throws: an alarm that fails too often is given up by the platform.
  async alarm() {
    try {
      this.#rust((shim) => shim.wake());
      this.#afterTurn();
      await this.#work();
      await this.#settled();
    } catch {
      try {
        await this.ctx.storage.setAlarm(Date.now() + ALARM_RETRY_MS);
      } catch (error) {
        log("alarm", error);
      }
    }
  }

  // Readers have nothing to say; a `ping` is answered by the platform.
  webSocketMessage() {}

  webSocketClose(socket, code, reason) {
    this.#live.closed(socket, code, reason);
  }

  webSocketError(socket) {
    this.#live.gone(socket);
  }

  // The Rust side of this object, made anew when it belongs to an earlier instance of the module.
  #rust(use) {
    return rust(() => {
      if (this.#generation !== generation) {
        const { ctx, env } = this;
        const name = ctx.id.name ?? "main";
        this.#shim = new Shim(name, ctx.storage, env, guest, GUEST_SHA256, this.#alarmMs);
        this.#generation = generation;
        this.#alarmMs = undefined;
      }
      return use(this.#shim);
    });
  }
}
