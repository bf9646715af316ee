# The peer as raw workerd serves it: one Worker, one Durable Object class, SQLite on disk.
# The bench binary passes `--socket-addr http=127.0.0.1:<port>` and
# `--directory-path state=<data directory>`; nothing here names a place.
using Workerd = import "/workerd/workerd.capnp";

const config :Workerd.Config = (
  services = [
    (name = "peer", worker = .peer),
    (name = "state", disk = (writable = true)),
  ],
  sockets = [(name = "http", http = (), service = "peer")],
);

const peer :Workerd.Worker = (
  modules = [(name = "worker.mjs", esModule = embed "worker.mjs")],
  compatibilityDate = "2026-04-01",
  bindings = [(name = "BANK", durableObjectNamespace = "Bank")],
  durableObjectNamespaces = [
    (className = "Bank", uniqueKey = "peer-Bank", enableSql = true),
  ],
  durableObjectStorage = (localDisk = "state"),
);
