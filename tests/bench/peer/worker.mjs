// The peer: the bank as a careful Cloudflare developer writes it by hand, without Foldlog.
// One Durable Object `main`; each command is one synchronous turn and so one commit of its own
// (workerd does not join commits, and there is no hand-made group commit here).
// It keeps events, versions and metadata, so that both sides of the comparison store the same
// facts; it knows no hash chain, idempotency keys, projections, replay or time travel.
// What was tried for speed (workerd 2026-11-17, 64 connections): handing the request on to the
// object's `fetch` beats a method over RPC by about 5 %, a counter in memory beats
// `RETURNING order_id` by about 5 %; tables without STRICT and cursors without arrays change
// nothing that can be measured.
import { DurableObject } from "cloudflare:workers";

const SCHEMA = `
CREATE TABLE IF NOT EXISTS events (
  order_id INTEGER PRIMARY KEY,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL,
  type TEXT NOT NULL,
  data TEXT NOT NULL,
  metadata TEXT NOT NULL
) STRICT;
CREATE UNIQUE INDEX IF NOT EXISTS events_stream ON events (stream, version);
CREATE TABLE IF NOT EXISTS balances (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  balance INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
`;

// Constant texts: workerd caches prepared statements by text.
const HEAD = "SELECT ifnull(max(order_id), 0) AS head FROM events";
const READ = "SELECT version, balance FROM balances WHERE id = ?";
const APPEND =
  "INSERT INTO events (order_id, stream, version, type, data, metadata) VALUES (?, ?, ?, ?, ?, ?)";
const UPSERT =
  "INSERT INTO balances (id, version, balance) VALUES (?, ?, ?) " +
  "ON CONFLICT (id) DO UPDATE SET version = excluded.version, balance = excluded.balance";

const ACCOUNT_ID = /^[A-Za-z0-9._:-]{1,128}$/;
const COMMANDS = new Map([
  ["/commands/open-account", { type: "AccountOpened", field: "initialBalance", least: 0, sign: 1 }],
  ["/commands/deposit", { type: "MoneyDeposited", field: "amount", least: 1, sign: 1 }],
  ["/commands/withdraw", { type: "MoneyWithdrawn", field: "amount", least: 1, sign: -1 }],
]);
const ACCOUNT_PATH = "/queries/account/";

/** The one object that owns every account. */
export class Bank extends DurableObject {
  constructor(ctx, env) {
    super(ctx, env);
    this.sql = ctx.storage.sql;
    this.sql.exec(SCHEMA);
    // The object is the only writer, and a commit that fails resets it, so this stays true.
    this.head = this.sql.exec(HEAD).one().head;
  }

  async fetch(request) {
    const path = new URL(request.url).pathname;
    const command = COMMANDS.get(path);
    if (command !== undefined && request.method === "POST") {
      return this.handleCommand(request, command);
    }
    if (path.startsWith(ACCOUNT_PATH) && request.method === "GET") {
      return this.handleAccount(path.slice(ACCOUNT_PATH.length));
    }
    return problem(404, "no-such-route");
  }

  /** Checks one command's request; the body is the only thing that is waited for. */
  async handleCommand(request, command) {
    if (!request.headers.get("Content-Type")?.startsWith("application/json")) {
      return problem(415, "unsupported-media-type");
    }
    const match = request.headers.get("If-Match");
    const expected = match === null ? null : Number(match.replaceAll('"', ""));
    let body;
    try {
      body = await request.json();
    } catch {
      return problem(400, "malformed-json");
    }
    if (body === null || typeof body !== "object" || Array.isArray(body)) {
      return problem(400, "malformed-json");
    }
    for (const name in body) {
      if (name !== "accountId" && name !== command.field) {
        return problem(400, "unknown-field", name);
      }
    }
    const accountId = body.accountId;
    const amount = body[command.field];
    if (typeof accountId !== "string" || !ACCOUNT_ID.test(accountId)) {
      return problem(400, "invalid-field", "accountId");
    }
    if (!Number.isSafeInteger(amount) || amount < command.least) {
      return problem(400, "invalid-field", command.field);
    }
    return this.decide(command, accountId, amount, expected);
  }

  /**
   * Read, decide, write, without an await: nothing comes between, all writes are one commit, and
   * the output gate holds the answer until that is durable.
   * `expected` is the version of an `If-Match`, or null.
   */
  decide(command, accountId, amount, expected) {
    const row = this.sql.exec(READ, accountId).toArray()[0];
    const opens = command.type === "AccountOpened";
    if (opens && row !== undefined) return problem(409, "already-exists");
    if (!opens && row === undefined) return problem(404, "not-found");
    const current = opens ? 0 : row.version;
    if (expected !== null && expected !== current) return problem(412, "precondition-failed");
    const balance = (opens ? 0 : row.balance) + command.sign * amount;
    if (balance < 0) return problem(422, "insufficient-funds");
    if (!Number.isSafeInteger(balance)) return problem(422, "limit-exceeded");

    const version = current + 1;
    const position = this.head + 1;
    const timestamp = new Date().toISOString();
    const data = JSON.stringify(
      opens ? { accountId, initialBalance: amount } : { accountId, amount, balance },
    );
    const metadata = JSON.stringify({ timestamp, schemaVersion: "1.0.0" });
    const stream = `BankAccount:${accountId}`;
    this.sql.exec(APPEND, position, stream, version, command.type, data, metadata);
    this.sql.exec(UPSERT, accountId, version, balance);
    this.head = position;
    return new Response(JSON.stringify({ ok: true, accountId, version, position }), {
      status: opens ? 201 : 200,
      headers: { "Content-Type": "application/json", ETag: `"${version}"` },
    });
  }

  /** The read model of one account. */
  handleAccount(accountId) {
    const row = this.sql.exec(READ, accountId).toArray()[0];
    if (row === undefined) return problem(404, "not-found");
    return new Response(JSON.stringify({ id: accountId, ...row }), {
      headers: { "Content-Type": "application/json", ETag: `"${row.version}"` },
    });
  }
}

/** An RFC 9457 answer. */
function problem(status, code, detail) {
  return new Response(JSON.stringify({ type: `urn:peer:${code}`, status, detail }), {
    status,
    headers: { "Content-Type": "application/problem+json" },
  });
}

export default {
  /** Every request belongs to the one object; it is handed on as it came. */
  fetch(request, env) {
    return env.BANK.getByName("main").fetch(request);
  },
};
