// Probe: hands the guest module to the shim and each request to the object `main`.
import guest from "./guest.wasm";
globalThis.foldlogGuest = guest;

export { Partition } from "./index.js";

export default {
  fetch(request, env) {
    return env.PARTITION.get(env.PARTITION.idFromName("main")).fetch(request);
  },
};
