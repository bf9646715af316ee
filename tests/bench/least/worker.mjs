// The least: what no host of commands on this platform can leave out, and nothing else.
// A request is handed on and its body read; those of one turn are stored by one insert; all get the
// same answer. It decides, checks and remembers nothing. What ours takes beyond this is what
// deciding, hashing and folding cost; what the peer takes beyond this is its statements.
import { DurableObject } from "cloudflare:workers";

const SCHEMA =
  "CREATE TABLE IF NOT EXISTS log (position INTEGER PRIMARY KEY, body TEXT NOT NULL) STRICT";
const ANSWER = new TextEncoder().encode(
  '{"ok":true,"accountId":"acc-00000000","version":1,"position":1,"hash":"' + "0".repeat(64) +
  '","events":[{"id":"evt-1","eventType":"MoneyDeposited","version":1,"position":1}]}',
);
const HEADERS = {
  "Content-Type": "application/json",
  ETag: '"1"',
  "Foldlog-Position": "1",
  "Foldlog-Hash": "0".repeat(64),
};

/** The one object: the bodies of commands, in batches. */
export class Log extends DurableObject {
  #waiting = [];
  #armed = false;

  constructor(ctx, env) {
    super(ctx, env);
    ctx.storage.sql.exec(SCHEMA);
  }

  async fetch(request) {
    if (request.method !== "POST") return new Response(null, { status: 404 });
    const body = await request.text();
    await new Promise((resolve) => {
      this.#waiting.push({ body, resolve });
      if (!this.#armed) this.#turn();
    });
    return new Response(ANSWER, { headers: HEADERS });
  }

  /** Stores what waits, in one statement, and goes on as long as anyone comes meanwhile. */
  #turn() {
    const batch = this.#waiting.splice(0);
    const bodies = batch.map(({ body }) => body).join(",\n");
    this.ctx.storage.sql.exec("INSERT INTO log (body) VALUES (?)", bodies);
    for (const { resolve } of batch) resolve();
    this.#armed = true;
    setTimeout(() => {
      this.#armed = false;
      if (this.#waiting.length > 0) this.#turn();
    }, 0);
  }
}

export default {
  /** Every request belongs to the one object; it is handed on as it came. */
  fetch(request, env) {
    return env.LOG.getByName("main").fetch(request);
  },
};
