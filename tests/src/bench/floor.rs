//! The floor: what the same facts cost when nothing is in the way but SQLite itself.
//!
//! Owns: a database of its own with one row per event, its unique index and one balance row per
//! account; the deposits that fill it. Refuses to know: HTTP, JSON parsing, wasm, hashes and
//! groups that form by themselves: `group` is given.
//!
//! Invariants: WAL and `synchronous=FULL`, as in the hosts, so a committed transaction survives a
//! power cut; every command reads its balance row before it writes; SQL text is constant and
//! prepared once.

use std::fmt::Write as _;
use std::path::Path;
use std::time::Instant;

use rusqlite::{CachedStatement, Connection, params};

/// The event table has the columns of document 000, then what enforces versions.
const SCHEMA: &str = "
CREATE TABLE events (
  lss_order_id INTEGER PRIMARY KEY,
  lss_partition_id TEXT NOT NULL,
  lss_type TEXT NOT NULL,
  lss_data TEXT NOT NULL,
  lss_metadata TEXT NOT NULL,
  stream TEXT NOT NULL,
  version INTEGER NOT NULL
) STRICT;
CREATE UNIQUE INDEX events_stream ON events (stream, version);
CREATE TABLE balances (
  id TEXT PRIMARY KEY,
  version INTEGER NOT NULL,
  balance INTEGER NOT NULL
) STRICT, WITHOUT ROWID;
";
const READ: &str = "SELECT version, balance FROM balances WHERE id = ?1";
const APPEND: &str = "INSERT INTO events VALUES (NULL, 'main', ?1, ?2, ?3, ?4, ?5)";
const UPSERT: &str = "INSERT INTO balances VALUES (?1, ?2, ?3) ON CONFLICT (id) \
     DO UPDATE SET version = excluded.version, balance = excluded.balance";

/// Stores `commands` deposits to `accounts` accounts, `group` per transaction, in a new database
/// `floor-<group>.sqlite` under `dir` (an old one is deleted), and returns microseconds per
/// deposit. Opening the accounts is not timed.
///
/// # Errors
/// Whatever SQLite reports, a file that cannot be deleted included.
pub fn floor(dir: &Path, commands: u64, accounts: u64, group: u64) -> rusqlite::Result<f64> {
    let path = dir.join(format!("floor-{group}.sqlite"));
    let wal = dir.join(format!("floor-{group}.sqlite-wal"));
    for old in [&path, &wal, &dir.join(format!("floor-{group}.sqlite-shm"))] {
        // A file that stays is found out by CREATE TABLE.
        let _ = std::fs::remove_file(old);
    }
    let connection = Connection::open(&path)?;
    connection.pragma_update(None, "journal_mode", "WAL")?;
    connection.pragma_update(None, "synchronous", "FULL")?;
    connection.execute_batch(SCHEMA)?;
    let mut bank = Bank::prepare(&connection)?;
    connection.execute_batch("BEGIN IMMEDIATE")?;
    for account in 0..accounts {
        bank.open_account(account)?;
    }
    connection.execute_batch("COMMIT")?;

    let (mut begin, mut commit) =
        (connection.prepare_cached("BEGIN IMMEDIATE")?, connection.prepare_cached("COMMIT")?);
    let mut random = 0x9E37_79B9_7F4A_7C15;
    let started = Instant::now();
    let mut left = commands;
    while left > 0 {
        begin.execute([])?;
        for _ in 0..left.min(group.max(1)) {
            random = next_random(random);
            bank.deposit(random % accounts.max(1), 1 + (random >> 48) as i64)?;
            left -= 1;
        }
        commit.execute([])?;
    }
    let elapsed = started.elapsed();

    let us_per_command = elapsed.as_secs_f64() * 1e6 / commands.max(1) as f64;
    Ok(us_per_command)
}

/// The prepared statements, and texts that are reused from one command to the next.
struct Bank<'c> {
    read: CachedStatement<'c>,
    append: CachedStatement<'c>,
    upsert: CachedStatement<'c>,
    id: String,
    stream: String,
    data: String,
    metadata: String,
    /// Stands for the clock: reading it is not what is measured.
    seconds: u64,
}

impl<'c> Bank<'c> {
    fn prepare(connection: &'c Connection) -> rusqlite::Result<Self> {
        Ok(Self {
            read: connection.prepare_cached(READ)?,
            append: connection.prepare_cached(APPEND)?,
            upsert: connection.prepare_cached(UPSERT)?,
            id: String::new(),
            stream: String::new(),
            data: String::new(),
            metadata: String::new(),
            seconds: 0,
        })
    }

    fn open_account(&mut self, account: u64) -> rusqlite::Result<()> {
        self.name(account);
        self.data.clear();
        let _ = write!(self.data, "{{\"accountId\":\"{}\",\"initialBalance\":0}}", self.id);
        self.store("AccountOpened", 1, 0)
    }

    fn deposit(&mut self, account: u64, amount: i64) -> rusqlite::Result<()> {
        self.name(account);
        let (version, balance) = self
            .read
            .query_row([&self.id], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, i64>(1)?)))?;
        let balance = balance.saturating_add(amount);
        self.data.clear();
        let _ = write!(
            self.data,
            "{{\"accountId\":\"{}\",\"amount\":{amount},\"balance\":{balance}}}",
            self.id
        );
        self.store("MoneyDeposited", version + 1, balance)
    }

    /// Writes the account's two names; like all writing to a string, it cannot fail.
    fn name(&mut self, account: u64) {
        self.id.clear();
        self.stream.clear();
        let _ = write!(self.id, "acc-{account:08}");
        let _ = write!(self.stream, "BankAccount:acc-{account:08}");
    }

    /// The event row and the balance row; the unique index is what refuses a second writer.
    fn store(&mut self, kind: &str, version: i64, balance: i64) -> rusqlite::Result<()> {
        self.seconds += 1;
        let (h, m, s) = (self.seconds / 3600 % 24, self.seconds / 60 % 60, self.seconds % 60);
        self.metadata.clear();
        let _ = write!(
            self.metadata,
            "{{\"timestamp\":\"2026-01-01T{h:02}:{m:02}:{s:02}.000Z\",\"schemaVersion\":\"1.0.0\"}}"
        );
        self.append.execute(params![kind, self.data, self.metadata, self.stream, version])?;
        self.upsert.execute(params![self.id, version, balance])?;
        Ok(())
    }
}

/// The next number of a fixed sequence (xorshift64): accounts are hit evenly, in the same order in
/// every run.
fn next_random(mut x: u64) -> u64 {
    x ^= x << 13;
    x ^= x >> 7;
    x ^ (x << 17)
}
