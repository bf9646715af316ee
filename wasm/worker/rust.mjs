// The Rust module of the isolate.
//
// Owns its fresh start after a panic. All objects of an isolate share one instance of the shim's
// module. A panic leaves it unusable: the next call makes another, and every object then builds its
// part anew from what is stored.
import { log } from "./http.mjs";
import { __wbg_reset_state, bounds } from "./index.js";

// Which instance it is.
export let generation = 0;
let broken = false;

export function rust(use) {
  if (broken) {
    __wbg_reset_state();
    generation += 1;
    broken = false;
  }
  try {
    return use();
  } catch (error) {
    broken = true;
    log("restart", error);
    throw error;
  }
}

// Read once: variables do not change while an isolate lives. With a setting that is wrong, the
// numbers here only have to last until the object has said so.
let limitsRead;
export function limits(env) {
  if (limitsRead === undefined) {
    const [
      deadlineMs = 10_000, bodyBytesMax = 0, publishBytesMax = 0, importBytesMax = 0, effectMs = 0,
      replyBytesMax = 0, liveHeartbeatMs = 15_000, liveStallMs = 30_000,
    ] = rust(() => bounds(env));
    limitsRead = {
      deadlineMs, bodyBytesMax, publishBytesMax, importBytesMax, effectMs, replyBytesMax,
      liveHeartbeatMs, liveStallMs,
    };
  }
  return limitsRead;
}
