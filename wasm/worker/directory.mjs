// The directory: one object that knows the names of all partitions but the default one, which
// everybody knows.
//
// Owns that list. Refuses to know what partitions are: each tells its own name, by an effect of its
// first commit or when a log was imported into it, at least once.
import { DurableObject } from "cloudflare:workers";

export class Directory extends DurableObject {
  #sql;

  constructor(ctx, env) {
    super(ctx, env);
    this.#sql = ctx.storage.sql;
    this.#sql.exec("CREATE TABLE IF NOT EXISTS partitions (name TEXT PRIMARY KEY) WITHOUT ROWID");
  }

  add(name) {
    this.#sql.exec("INSERT OR IGNORE INTO partitions VALUES (?)", name);
  }

  // At most `limit` names after `after`, in order.
  names(after, limit) {
    const query = "SELECT name FROM partitions WHERE name > ? ORDER BY name LIMIT ?";
    return this.#sql.exec(query, after, limit).toArray().map(({ name }) => name);
  }
}

export function directory(env) {
  return env.DIRECTORY.getByName("directory");
}

// Names of partitions after `after`: the directory's, `limit` at most, and the default one where it
// exists.
export async function partitions(env, after, limit) {
  const [names, main] = await Promise.all([
    directory(env).names(after, limit),
    after < "main" ? env.PARTITION.getByName("main").fetch("http://main/log/head") : null,
  ]);
  if (main !== null) {
    const { position } = await main.json();
    if (position > 0) names.push("main");
    names.sort();
  }
  return names;
}
