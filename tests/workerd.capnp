# The Worker of wrangler.toml as raw workerd serves it, for tests and benchmarks. Nothing here
# names a place; the caller gives port and directory (which must exist), settings come from the
# environment (an unset variable is a null binding):
#
#   TEST_STAMPS=1 build/tools/workerd serve tests/workerd.capnp \
#     --socket-addr=http=127.0.0.1:8787 --directory-path=state=DIRECTORY
#
# `--socket-addr=http=127.0.0.1:0 --control-fd=1` lets the system choose a port and prints it.
# A partition's file is DIRECTORY/foldlog-Partition/<id>.sqlite, the key that wrangler uses too.
# Stop it with SIGKILL: SIGTERM waits for open requests.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "foldlog", worker = .foldlog),
    (name = "state", disk = (writable = true)),
    # Effects of the tests go to servers on this machine, which the default network refuses.
    (name = "internet", network = (
      allow = ["public", "private"],
      tlsOptions = (trustBrowserCas = true),
    )),
  ],
  sockets = [(name = "http", http = (), service = "foldlog")],
);

const foldlog :Workerd.Worker = (
  modules = [
    (name = "entry.mjs", esModule = embed "../build/worker/entry.mjs"),
    (name = "index.js", esModule = embed "../build/worker/index.js"),
    (name = "index_bg.wasm", wasm = embed "../build/worker/index_bg.wasm"),
    (name = "guest.wasm", wasm = embed "../build/worker/guest.wasm"),
  ],
  compatibilityDate = "2026-07-01",
  compatibilityFlags = ["global_fetch_strictly_public"],
  bindings = [
    (name = "PARTITION", durableObjectNamespace = "Partition"),
    (name = "DIRECTORY", durableObjectNamespace = "Directory"),
    # Settings: a variable that tests set must be named here.
    (name = "ALLOW_PRIVATE_CALLBACKS", fromEnvironment = "ALLOW_PRIVATE_CALLBACKS"),
    (name = "BATCH_COMMANDS_MAX", fromEnvironment = "BATCH_COMMANDS_MAX"),
    (name = "BODY_BYTES_MAX", fromEnvironment = "BODY_BYTES_MAX"),
    (name = "CHECKPOINT_IDLE_MS", fromEnvironment = "CHECKPOINT_IDLE_MS"),
    (name = "DEADLINE_MS", fromEnvironment = "DEADLINE_MS"),
    (name = "EFFECT_DEADLINE_MS", fromEnvironment = "EFFECT_DEADLINE_MS"),
    (name = "EFFECTS_IN_FLIGHT_MAX", fromEnvironment = "EFFECTS_IN_FLIGHT_MAX"),
    (name = "EMAIL_BACKOFF_MS", fromEnvironment = "EMAIL_BACKOFF_MS"),
    (name = "EMAIL_FROM", fromEnvironment = "EMAIL_FROM"),
    (name = "FOLDLOG_SECRET", fromEnvironment = "FOLDLOG_SECRET"),
    (name = "GUEST_MEMORY_MAX", fromEnvironment = "GUEST_MEMORY_MAX"),
    (name = "IDEMPOTENCY_DAYS", fromEnvironment = "IDEMPOTENCY_DAYS"),
    (name = "LIVE_HEARTBEAT_MS", fromEnvironment = "LIVE_HEARTBEAT_MS"),
    (name = "LIVE_STALL_MS", fromEnvironment = "LIVE_STALL_MS"),
    (name = "RECORD_COMMANDS", fromEnvironment = "RECORD_COMMANDS"),
    (name = "REJECTED_BYTES_MAX", fromEnvironment = "REJECTED_BYTES_MAX"),
    (name = "ROW_CACHE_MAX", fromEnvironment = "ROW_CACHE_MAX"),
    (name = "SENDGRID_API_KEY", fromEnvironment = "SENDGRID_API_KEY"),
    (name = "SENDGRID_URL", fromEnvironment = "SENDGRID_URL"),
    (name = "SNAPSHOTS_KEPT", fromEnvironment = "SNAPSHOTS_KEPT"),
    (name = "SNAPSHOT_EVERY", fromEnvironment = "SNAPSHOT_EVERY"),
    (name = "TAIL_EVENTS_MAX", fromEnvironment = "TAIL_EVENTS_MAX"),
    (name = "TEST_STAMPS", fromEnvironment = "TEST_STAMPS"),
  ],
  durableObjectNamespaces = [
    (className = "Partition", uniqueKey = "foldlog-Partition", enableSql = true),
    (className = "Directory", uniqueKey = "foldlog-Directory", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
);
