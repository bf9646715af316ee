// Making effects: the outside calls that commits ask for.
//
// Owns how each kind of effect is made by a Worker. Refuses to know when one is due and what its
// end leads to: the driver and the guest do.
import { directory } from "./directory.mjs";

// Longer than this no call takes.
export const EFFECT_MS_MAX = 30_000;

// Never throws: resolves to nothing, or to the reason why it failed, for `GET /effects`.
export async function make(env, kind, data) {
  let timer;
  const late = new Promise((_, reject) => {
    const error = new Error(`no answer in ${EFFECT_MS_MAX / 1_000} s`);
    timer = setTimeout(() => reject(error), EFFECT_MS_MAX);
  });
  try {
    await Promise.race([call(env, kind, JSON.parse(data)), late]);
  } catch (error) {
    return String(error?.message ?? error);
  } finally {
    clearTimeout(timer);
  }
}

async function call(env, kind, data) {
  if (kind === "list-partition") return directory(env).add(data.partition);
  throw new Error(`this host makes no effects of kind ${kind}`);
}
