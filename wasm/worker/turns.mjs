// Which requests of one object are run together, and when.
//
// Owns the requests that wait, and their bytes. Refuses to know what running them means.
//
// Group commit: the first request is run at once; those that come before the zero timer fires are
// run together by it, and so on until no one waits. All of them share one disk write with what the
// platform commits at the end of the turn. While requests come one by one there is no timer, which
// would be a turn of the isolate for nothing.
import { overloaded } from "./http.mjs";

// Bodies waiting for one batch of an object; 128 MB are shared by all objects of the isolate.
const WAITING_BYTES_MAX = 16 << 20;
// Zero timers between two parts of long reads: whoever is on the way to or from the object has about
// as many turns of the isolate to pass, and would else wait for a part at each.
const REST = 3;

export class Turns {
  #run;
  #waiting = [];
  #longReads = [];
  #rest = 0;
  #bytes = 0;
  #coming = 0;
  #armed = false;
  #quiet = false;

  // `run(batch)` answers all of a batch before it returns, or sees to it that they are; but for a
  // long read of which a part was done, which it returns.
  constructor(run) {
    this.#run = run;
  }

  // Waits for what a request needs before it can be run; others may come meanwhile.
  async prepared(promise) {
    this.#coming += 1;
    try {
      return await promise;
    } finally {
      this.#coming -= 1;
    }
  }

  // The answer to a request, which has `body`, `method` and whether it is a `long` read.
  answer(request) {
    const bytes = bytesOf(request);
    if (this.#bytes + bytes > WAITING_BYTES_MAX) {
      return overloaded(request.method, "too many requests wait for this partition");
    }
    this.#bytes += bytes;
    return new Promise((resolve) => {
      request.answer = resolve;
      (request.long ? this.#longReads : this.#waiting).push(request);
      if (this.#armed) return;
      this.#turn();
      if (this.#anyone() || this.#coming > 0 || !this.#quiet) this.#arm();
      else this.#rest = 0;
    });
  }

  #anyone() {
    return this.#waiting.length > 0 || this.#longReads.length > 0;
  }

  #arm() {
    this.#armed = true;
    setTimeout(() => {
      this.#armed = false;
      this.#quiet = !this.#anyone();
      if (this.#quiet) {
        this.#rest = 0;
        return;
      }
      this.#turn();
      this.#arm();
    }, 0);
  }

  // Everyone who waits with anything but a long read, or a part of one long read when others had
  // their turns. So nobody else waits for more than one of those, and they get on under any load.
  #turn() {
    const reads = this.#longReads.length > 0 && this.#rest === 0;
    this.#rest = reads ? REST : Math.max(this.#rest - 1, 0);
    const batch = reads ? this.#longReads.splice(0, 1) : this.#waiting.splice(0);
    if (batch.length === 0) return;
    for (const request of batch) this.#bytes -= bytesOf(request);
    const again = this.#run(batch);
    if (again !== undefined) {
      this.#bytes += bytesOf(again);
      this.#longReads.unshift(again);
    }
  }
}

function bytesOf({ body }) {
  return body === null ? 0 : body.length;
}
