// The body of an import: read piece by piece, each taken in before the next is read.
//
// Owns how much of it is in memory at a time. Refuses to know what it says.
import { DROPPED_BYTES_MAX, EMPTY, joined } from "./http.mjs";

// So much is handed over at a time.
const PIECE_BYTES = 1 << 20;
// What a step is told beside its bytes.
const [GO_ON, ENDED, BROKE_OFF] = [0, 1, 2];

// What is known of the body before it is read: none, too long, or there to be read.
export function unreadBody(request, max) {
  const declared = Number(request.headers.get("content-length") ?? NaN);
  if (request.body === null || declared === 0) return { body: EMPTY };
  if (declared > max) return { body: null, stream: request.body };
  return { body: null, stream: request.body, unread: true };
}

// Hands a body over: `step(bytes, how)` gives 0 for another turn, 1 for more bytes, or the answer,
// which this returns. Every turn is an event of its own, so that other requests come in between.
export async function feed(stream, step) {
  const pieces = stream === undefined ? none() : piecesOf(stream);
  let next = step(EMPTY, GO_ON);
  while (next === 0 || next === 1) {
    if (next === 0) {
      await new Promise((resolve) => setTimeout(resolve, 0));
      next = step(EMPTY, GO_ON);
      continue;
    }
    let piece;
    try {
      piece = await pieces.next();
    } catch {
      next = step(EMPTY, BROKE_OFF);
      continue;
    }
    next = piece.done ? step(EMPTY, ENDED) : step(piece.value, GO_ON);
  }
  await pieces.return();
  return next;
}

async function* none() {}

async function* piecesOf(stream) {
  const reader = stream.getReader();
  try {
    let parts = [];
    let length = 0;
    for (;;) {
      const { done, value } = await reader.read();
      if (value !== undefined) {
        parts.push(value);
        length += value.length;
      }
      if (length >= PIECE_BYTES || (done && length > 0)) {
        yield joined(parts, length);
        [parts, length] = [[], 0];
      }
      if (done) return;
    }
  } finally {
    reader.releaseLock();
  }
}

// Reads what is left and drops it.
export async function drop(stream, max) {
  const reader = stream.getReader();
  try {
    for (let length = 0; length <= max + DROPPED_BYTES_MAX; ) {
      const { done, value } = await reader.read();
      if (done) return;
      length += value.length;
    }
  } catch {
    // The client is gone: there is nothing left to read.
  } finally {
    reader.releaseLock();
  }
}
