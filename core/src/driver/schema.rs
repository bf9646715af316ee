//! The SQL text of both SQLite stores, in one place: a Durable Object's file opens natively.
//!
//! Owns every statement, each constant, so that hosts may cache it prepared. `docs/format.md`
//! describes the two tables and the view.

/// Made by the first write, and never changed within a format version.
pub(super) const CREATE: [&str; 3] = [
    "CREATE TABLE IF NOT EXISTS log (\
     first_position INTEGER PRIMARY KEY, last_position INTEGER NOT NULL, body TEXT NOT NULL)",
    "CREATE TABLE IF NOT EXISTS rows (\
     view TEXT NOT NULL, generation INTEGER NOT NULL, key BLOB NOT NULL, value BLOB NOT NULL, \
     PRIMARY KEY (view, generation, key)) WITHOUT ROWID",
    "CREATE VIEW IF NOT EXISTS lss AS SELECT \
     CAST(c.value ->> 'position' AS INTEGER) + e.key AS lss_order_id, \
     (SELECT body ->> '$[0].partition' FROM log WHERE first_position = 0) AS lss_partition_id, \
     e.value ->> 'type' AS lss_type, \
     e.value -> 'data' AS lss_data, \
     json_remove(json_set(c.value, '$.stream', e.value ->> 'stream', \
     '$.version', e.value -> 'version'), '$.events') AS lss_metadata, \
     CAST(c.value ->> 'position' AS INTEGER) AS first_position \
     FROM log, json_each(log.body) AS c, json_each(c.value, '$.events') AS e \
     WHERE log.first_position > 0",
];

pub(super) const TABLES: &str =
    "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('log','rows')";
pub(super) const GENESIS: &str = "SELECT body FROM log WHERE first_position = 0";
pub(super) const LAST_BLOCK: &str = "SELECT last_position, body FROM log WHERE first_position > 0 \
     ORDER BY first_position DESC LIMIT 1";
pub(super) const BLOCK_OF: &str = "SELECT first_position, last_position, body FROM log \
     WHERE first_position <= ? AND first_position > 0 ORDER BY first_position DESC LIMIT 1";
pub(super) const NEXT_BLOCK: &str = "SELECT first_position, last_position, body FROM log \
     WHERE first_position > ? AND first_position > 0 ORDER BY first_position LIMIT 1";
/// How long the blocks beyond a position are, and the blocks themselves: so many of them.
pub(super) const SIZES_AFTER: &str = "SELECT CAST(octet_length(body) AS BIGINT) FROM log \
     WHERE first_position > ? AND first_position > 0 ORDER BY first_position LIMIT ?";
pub(super) const BLOCKS_AFTER: &str = "SELECT first_position, last_position, body FROM log \
     WHERE first_position > ? AND first_position > 0 ORDER BY first_position LIMIT ?";
/// The same downwards.
pub(super) const SIZES_BEFORE: &str = "SELECT CAST(octet_length(body) AS BIGINT) FROM log \
     WHERE first_position < ? AND first_position > 0 ORDER BY first_position DESC LIMIT ?";
pub(super) const BLOCKS_BEFORE: &str = "SELECT first_position, last_position, body FROM log \
     WHERE first_position < ? AND first_position > 0 ORDER BY first_position DESC LIMIT ?";
/// Stores a block: first and last position, body. A host may store it in a way of its own.
pub const ADD_BLOCK: &str =
    "INSERT INTO log (first_position, last_position, body) VALUES (?, ?, ?)";
pub(super) const CUT: &str = "DELETE FROM log WHERE first_position IN (SELECT first_position FROM log \
     WHERE first_position > ? AND first_position > 0 ORDER BY first_position DESC LIMIT ?)";
pub(super) const SHORTEN: &str =
    "UPDATE log SET last_position = ?, body = ? WHERE first_position = ?";
pub(super) const ROW: &str = "SELECT value FROM rows WHERE view = ? AND generation = ? AND key = ?";
pub(super) const ROWS: &str = "SELECT key, value FROM rows WHERE view = ? AND generation = ? AND key > ? \
     AND key >= ? AND key < ? ORDER BY key LIMIT ?";
/// Stores a row: view, generation, key, value. See [`ADD_BLOCK`].
pub const PUT_ROW: &str = "INSERT INTO rows (view, generation, key, value) VALUES (?, ?, ?, ?) \
     ON CONFLICT (view, generation, key) DO UPDATE SET value = excluded.value";
/// Stores [`PUT_ROWS_COUNT`] rows of a view: view, generation, then key and value of each. A call
/// costs more than a row does.
pub(super) const PUT_ROWS: &str = "INSERT INTO rows (view, generation, key, value) VALUES \
     (?1, ?2, ?3, ?4), (?1, ?2, ?5, ?6), (?1, ?2, ?7, ?8), (?1, ?2, ?9, ?10), \
     (?1, ?2, ?11, ?12), (?1, ?2, ?13, ?14), (?1, ?2, ?15, ?16), (?1, ?2, ?17, ?18), \
     (?1, ?2, ?19, ?20), (?1, ?2, ?21, ?22), (?1, ?2, ?23, ?24), (?1, ?2, ?25, ?26), \
     (?1, ?2, ?27, ?28), (?1, ?2, ?29, ?30), (?1, ?2, ?31, ?32), (?1, ?2, ?33, ?34) \
     ON CONFLICT (view, generation, key) DO UPDATE SET value = excluded.value";
pub(super) const PUT_ROWS_COUNT: usize = 16;
/// Deletes a row: view, generation, key. See [`ADD_BLOCK`].
pub const DELETE_ROW: &str = "DELETE FROM rows WHERE view = ? AND generation = ? AND key = ?";
pub(super) const DELETE_VIEW: &str = "DELETE FROM rows WHERE view = ? AND generation = ?";
/// Forgets the table of rows without reading any.
pub(super) const REPLACE_ROWS: [&str; 3] = [
    "PRAGMA writable_schema = ON",
    "DELETE FROM sqlite_schema WHERE type = 'table' AND name = 'rows'",
    "PRAGMA writable_schema = RESET",
];
pub(super) const DELETE_ROWS: &str = "DELETE FROM rows";
pub(super) const DELETE_ROWS_OF_IMPORT: &str = "DELETE FROM rows WHERE view <> '~import'";
