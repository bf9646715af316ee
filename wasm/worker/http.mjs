// What the Worker reads and answers by itself: request bodies, and problems that no guest was asked
// about.
//
// Owns their bounds and their form, which is the core's. Refuses to know partitions.

// Of a body that is too long so much is read to be polite.
export const DROPPED_BYTES_MAX = 8 << 20;
export const EMPTY = new Uint8Array(0);

// All bytes, or null when there are more than `max`. Of those some are read and dropped: a client
// that is still sending would not see the answer.
export async function readBody(request, max) {
  if (request.body === null) return EMPTY;
  const declared = Number(request.headers.get("content-length") ?? NaN);
  if (declared <= max) return new Uint8Array(await request.arrayBuffer());
  if (declared > max + DROPPED_BYTES_MAX) return null;
  const parts = [];
  let length = 0;
  for await (const part of request.body) {
    length += part.length;
    if (length <= max) parts.push(part);
    else parts.length = 0;
    if (length > max + DROPPED_BYTES_MAX) break;
  }
  return length > max ? null : joined(parts, length);
}

export function joined(parts, length) {
  const body = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    body.set(part, at);
    at += part.length;
  }
  return body;
}

export function isRead(method) {
  return method === "GET" || method === "HEAD" || method === "OPTIONS";
}

// Reads that may take long, as the core has it (`OwnedRequest::is_long_read`), but for one state as
// of now.
const SHORT = new Set([undefined, "health", "log", "partitions", "openapi.json"]);
export function isLongRead(method, target) {
  if (method !== "GET" && method !== "HEAD") return false;
  const [path, query] = target.replace(/^\/p\/[^/]*/, "").split("?", 2);
  const [first, ...rest] = path.split("/").filter((segment) => segment !== "");
  return !SHORT.has(first) && !(first === "queries" && rest.length < 3 && query === undefined);
}

// The headers of an answer, from lines of `Name: value`. The platform takes an object three times as
// fast as pairs.
export function headersOf(lines) {
  const headers = {};
  for (const line of lines === "" ? [] : lines.split("\n")) {
    const colon = line.indexOf(": ");
    headers[line.slice(0, colon)] = line.slice(colon + 2);
  }
  return headers;
}

// SQLite undoes the transaction that finds no room.
export function isFull(error) {
  return String(error?.message).includes("SQLITE_FULL");
}

export function storageFull(method) {
  const detail = "the store is full; the command was not done, reads go on";
  return problem(method, 507, "storage-full", "The store is full", detail);
}

// No answer came: of a command no one knows whether it was done, a read can simply be repeated.
export function unanswered(method, what) {
  if (isRead(method)) {
    const title = "The partition is restarting; certainly not done";
    return problem(method, 503, "restarting", title, what);
  }
  const detail = what + "; repeat the command with its Idempotency-Key";
  return problem(method, 503, "unknown-outcome", "It may or may not have been done", detail);
}

export function overloaded(method, detail) {
  return problem(method, 503, "overloaded", "Too much at once; certainly not done", detail);
}

// The same form as the core's problems.
export function problem(method, status, code, title, detail) {
  const headers = { "Content-Type": "application/problem+json" };
  if (status === 503) headers["Retry-After"] = "1";
  const body = JSON.stringify({ type: "urn:foldlog:" + code, title, status, detail });
  return new Response(method === "HEAD" ? null : body, { status, headers });
}

export function log(event, error) {
  const detail = String(error?.message ?? error).slice(0, 500);
  console.error(JSON.stringify({ level: "error", event, detail }));
}

export function badHost(method) {
  const title = "A header has a value it can not have";
  return problem(method, 400, "invalid-header", title, "header `host` names no host");
}
