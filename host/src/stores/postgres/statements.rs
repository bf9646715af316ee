//! The SQL that PostgreSQL needs beside the statements of both SQLite stores, and those in its words.
//!
//! Owns the tables' definition, the view `lss`, and numbers in place of question marks. A partition
//! is a schema of its name: the two tables are called as everywhere, one can be dumped or dropped
//! alone, and no statement names the partition. Refuses to run anything.

/// Stands for the statement that makes the partition's schema, which is no constant.
pub const SCHEMA: &str = "CREATE SCHEMA IF NOT EXISTS";

/// Bodies are text: what is hashed are bytes, and `jsonb` keeps values alone.
pub const CREATE: [&str; 4] = [
    SCHEMA,
    "CREATE TABLE IF NOT EXISTS log (\
     first_position bigint PRIMARY KEY, last_position bigint NOT NULL, body text NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rows (\
     view text NOT NULL, generation bigint NOT NULL, key bytea NOT NULL, value bytea NOT NULL, \
     PRIMARY KEY (view, generation, key))",
    "CREATE OR REPLACE VIEW lss AS SELECT \
     (c.line ->> 'position')::bigint + e.n - 1 AS lss_order_id, \
     (SELECT body::json -> 0 ->> 'partition' FROM log WHERE first_position = 0) \
     AS lss_partition_id, \
     e.event ->> 'type' AS lss_type, \
     (e.event -> 'data')::jsonb AS lss_data, \
     (c.line::jsonb - 'events') || jsonb_build_object(\
     'stream', e.event -> 'stream', 'version', e.event -> 'version') AS lss_metadata, \
     (c.line ->> 'position')::bigint AS first_position \
     FROM log CROSS JOIN LATERAL json_array_elements(log.body::json) AS c(line) \
     CROSS JOIN LATERAL json_array_elements(c.line -> 'events') WITH ORDINALITY AS e(event, n) \
     WHERE log.first_position > 0",
];

pub const TABLES: &str = "SELECT tablename::text FROM pg_tables \
     WHERE schemaname = current_schema() AND tablename IN ('log','rows')";

/// All partitions: the schemas that have both tables.
pub const PARTITIONS: &str = "SELECT schemaname::text FROM pg_tables \
     WHERE tablename IN ('log','rows') GROUP BY schemaname HAVING count(*) = 2";

/// Where the log ends: what a writer believes is compared with it.
pub const HEAD: &str = "SELECT last_position FROM log ORDER BY first_position DESC LIMIT 1";

/// What most transactions are, in one round trip: the lock is this session's, the head is the one
/// that is believed, and a block follows. No row is changed when that is not so.
pub const ADD_ONE_BLOCK: &str = "INSERT INTO log (first_position, last_position, body) \
     SELECT $1::bigint, $2::bigint, $3::text \
     WHERE (SELECT pg_try_advisory_xact_lock($4::bigint)) AND $5::bigint IS NOT DISTINCT FROM \
     (SELECT last_position FROM log ORDER BY first_position DESC LIMIT 1)";

/// Rows of a view, all at once: one each would be a round trip each.
pub const PUT_ROWS: &str = "INSERT INTO rows (view, generation, key, value) \
     SELECT $1, $2, changed.key, changed.value \
     FROM unnest($3::bytea[], $4::bytea[]) AS changed(key, value) \
     ON CONFLICT (view, generation, key) DO UPDATE SET value = excluded.value";
pub const DELETE_ROWS: &str =
    "DELETE FROM rows WHERE view = $1 AND generation = $2 AND key = ANY($3::bytea[])";

pub const TRY_LOCK: &str = "SELECT pg_try_advisory_lock($1)";
/// Inside of a transaction the session that holds it gets it again.
pub const TRY_LOCK_HERE: &str = "SELECT pg_try_advisory_xact_lock($1)";
/// Who holds a lock, by its two halves.
const HOLDERS: &str = "FROM pg_locks AS l JOIN pg_stat_activity AS a ON a.pid = l.pid \
     WHERE l.locktype = 'advisory' AND l.granted AND l.objsubid = 1 AND l.pid <> pg_backend_pid() \
     AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database()) \
     AND (l.classid::bigint << 32 | l.objid::bigint) = $1";

/// Tells of who holds a lock.
pub fn who_holds() -> String {
    format!(
        "SELECT a.application_name || coalesce(' at ' || host(a.client_addr), '') \
         || ' since ' || to_char(a.backend_start AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI:SS') \
         || ' UTC' {HOLDERS}"
    )
}

/// Ends the sessions that hold a lock.
pub fn end_holders() -> String {
    format!("SELECT pg_terminate_backend(a.pid) {HOLDERS}")
}

/// What a host keeps beside the logs: owners and the secret.
pub const CREATE_KEPT: &str = "CREATE SCHEMA IF NOT EXISTS foldlog_host; \
     CREATE TABLE IF NOT EXISTS foldlog_host.kept (name text PRIMARY KEY, value text NOT NULL)";
pub const KEEP: &str = "INSERT INTO foldlog_host.kept (name, value) VALUES ($1, $2) \
     ON CONFLICT (name) DO UPDATE SET value = excluded.value";
pub const KEEP_FIRST: &str =
    "INSERT INTO foldlog_host.kept (name, value) VALUES ($1, $2) ON CONFLICT (name) DO NOTHING";
pub const KEPT: &str = "SELECT value FROM foldlog_host.kept WHERE name = $1";
pub const OWNERS: &str =
    "SELECT substr(name, 7), value FROM foldlog_host.kept WHERE name LIKE 'owner %'";
/// Which server and database this is: a dump that is restored elsewhere brings owners along.
pub const HOME: &str = "SELECT (SELECT system_identifier FROM pg_control_system())::text \
     || '/' || oid::text FROM pg_database WHERE datname = current_database()";

/// A statement of the SQLite stores as PostgreSQL takes it: parameters have numbers.
pub fn numbered(sql: &str) -> String {
    let mut out = String::with_capacity(sql.len() + 8);
    let mut parts = sql.split('?');
    out.push_str(parts.next().unwrap_or_default());
    for (n, part) in parts.enumerate() {
        out.push_str(&format!("${}{part}", n + 1));
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parameters_get_numbers() {
        assert_eq!(numbered("a = ? AND b = ?"), "a = $1 AND b = $2");
        assert_eq!(numbered("nothing"), "nothing");
    }
}
