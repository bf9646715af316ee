# The least as raw workerd serves it: one Worker, one Durable Object class, SQLite on disk.
# The bench binary passes `--socket-addr http=127.0.0.1:<port>` and
# `--directory-path state=<data directory>`; nothing here names a place.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "least", worker = .least),
    (name = "state", disk = (writable = true)),
  ],
  sockets = [(name = "http", http = (), service = "least")],
);

const least :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-07-01",
  bindings = [(name = "LOG", durableObjectNamespace = "Log")],
  durableObjectNamespaces = [
    (className = "Log", uniqueKey = "least-Log", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
);
