// Making effects: the outside calls that commits ask for.
//
// Owns how a call is made by a Worker, and its bounds: one deadline from connecting to the end of
// the answer, no redirect followed, so much of an answer read and no more. Refuses to know what a
// call is for, when it is due and what its end leads to: the driver and the guest do.
import { directory } from "./directory.mjs";

// `call` is what the shim's `take_effects` gives. Never throws: resolves to what `effect_ended`
// takes after position and number.
export async function make(env, call, { effectMs, replyBytesMax }) {
  const [, , detail, partition, ...request] = call;
  const controller = new AbortController();
  let timer;
  const late = new Promise((_, reject) => {
    timer = setTimeout(() => {
      reject(new Late());
      controller.abort();
    }, effectMs);
  });
  try {
    const { signal } = controller;
    const made = partition === undefined
      ? send(env, request, signal, replyBytesMax)
      : directory(env).add(partition).then(() => []);
    const [status, reply] = await Promise.race([made, late]);
    return [detail, status, reply, undefined];
  } catch (error) {
    const why = error instanceof Late ? "" : String(error?.message ?? error) || "no reason given";
    return [detail, undefined, undefined, why];
  } finally {
    clearTimeout(timer);
  }
}

// The same of what `take_deliveries` gives, for `delivery_ended`.
export async function deliver(env, [, url, headers, body], bounds) {
  const call = [0, 0, "", undefined, "POST", url, headers, undefined, body];
  const [, status, reply, why] = await make(env, call, bounds);
  return [status, reply, why];
}

class Late extends Error {}

// The secret joins the request here, and nowhere else.
async function send(env, [method, url, pairs, bearer, body], signal, replyBytesMax) {
  const headers = new Headers();
  for (let i = 0; i < pairs.length; i += 2) headers.set(pairs[i], pairs[i + 1]);
  if (bearer !== undefined) headers.set("authorization", `Bearer ${env[bearer]}`);
  const response = await fetch(url, { method, headers, body, redirect: "manual", signal });
  // An answer that says yes has been heard: its rest would only hold the connection.
  if (response.ok) {
    response.body?.cancel().catch(() => {});
    return [response.status, new Uint8Array()];
  }
  return [response.status, await read(response.body, replyBytesMax)];
}

// The body up to the bound, or as much of it as came.
async function read(body, bytesMax) {
  const chunks = [];
  let bytes = 0;
  const reader = body?.getReader();
  try {
    while (reader !== undefined && bytes < bytesMax) {
      const { done, value } = await reader.read();
      if (done) break;
      chunks.push(value.subarray(0, bytesMax - bytes));
      bytes += value.length;
    }
  } catch {
    // It broke off: what came still says something.
  }
  reader?.cancel().catch(() => {});
  const whole = new Uint8Array(Math.min(bytes, bytesMax));
  let at = 0;
  for (const chunk of chunks) {
    whole.set(chunk, at);
    at += chunk.length;
  }
  return whole;
}
