//! SQLite through rusqlite: the driver's port `Sqlite`, one file per partition.
//!
//! Owns the connection: pragmas, transactions, what happens after a failed commit. Refuses to
//! know SQL text and what rows mean.
//!
//! Invariants (law 3): `synchronous=FULL` is read back, or the file is not used; after a failed
//! transaction the connection is dropped, and nothing is read or written before a new one has
//! checkpointed the WAL into the file: only then is it decided what a failed commit came to.
//!
//! A file comes into being with the first transaction: reading a partition makes nothing.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldlog_core::driver::{SqlError, SqlValue, Sqlite};
use rusqlite::config::DbConfig;
use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection as Raw, ErrorCode, OpenFlags, ToSql};

use crate::metrics::Metrics;
use crate::owner;

/// After a failed reopening the next try is this much later, doubling.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);
/// Pages of WAL (4 KiB each) after which SQLite copies them into the file. Larger than its
/// default: blocks are only ever appended, so a longer WAL costs nothing but its own size.
const WAL_PAGES: u32 = 4_000;

/// Lists are read from blocks all over the log: SQLite's own 2 MiB hold few of them.
const PAGE_CACHE_KIB: i64 = 16 * 1024;

/// One partition's file.
#[derive(Debug)]
pub struct Connection {
    path: PathBuf,
    state: State,
    backoff: Duration,
    metrics: Arc<Metrics>,
}

#[derive(Debug)]
enum State {
    /// The file is opened when it is there.
    Closed,
    Open(Raw),
    /// A transaction failed: not before this instant is the file opened again.
    Failed(Instant),
}

impl Connection {
    /// A connection that opens, or makes, its file when it is needed.
    pub const fn new(path: PathBuf, metrics: Arc<Metrics>) -> Self {
        Self { path, state: State::Closed, backoff: BACKOFF_MIN, metrics }
    }

    /// The open connection; `None` when there is no file yet.
    fn raw(&mut self) -> Result<Option<&mut Raw>, SqlError> {
        match self.state {
            State::Open(_) => {}
            State::Closed if !self.path.exists() => return Ok(None),
            State::Closed => self.state = State::Open(open(&self.path)?),
            State::Failed(until) if Instant::now() < until => {
                return Err(SqlError::Failed("the store is being reopened".into()));
            }
            State::Failed(_) => self.reopen()?,
        }
        match &mut self.state {
            State::Open(raw) => Ok(Some(raw)),
            _ => Ok(None),
        }
    }

    /// Opens the file after a failure and settles what the failed transaction came to.
    fn reopen(&mut self) -> Result<(), SqlError> {
        if !self.path.exists() {
            self.state = State::Closed;
            return Ok(());
        }
        match open(&self.path).and_then(|raw| settle(&raw).map(|()| raw)) {
            Ok(raw) => {
                self.backoff = BACKOFF_MIN;
                self.state = State::Open(raw);
                Ok(())
            }
            Err(error) => {
                self.fail();
                Err(error)
            }
        }
    }

    /// A statement that is counted as no row.
    fn control(&mut self, sql: &'static str) -> Result<(), SqlError> {
        match self.raw()? {
            Some(raw) => execute(raw, sql, &[]).map(drop),
            None => Err(SqlError::Failed("the file is gone".into())),
        }
    }

    /// Undoes the open transaction, if SQLite did not do so itself.
    fn roll_back(&mut self) -> bool {
        let State::Open(raw) = &self.state else { return false };
        raw.is_autocommit() || raw.execute_batch("ROLLBACK").is_ok()
    }

    /// Drops the connection, which undoes what was not committed.
    fn fail(&mut self) {
        if let State::Open(raw) = &self.state {
            // Closing would otherwise copy the WAL and delete it: what a failed commit came to is
            // for the next opening to find out, from the file as it is.
            let _ = raw.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true);
        }
        self.state = State::Failed(Instant::now() + self.backoff);
        self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
    }

    /// Counts a transaction, and sees to what a failed one left.
    fn ended(&mut self, result: Result<(), SqlError>) -> Result<(), SqlError> {
        self.metrics.transactions.fetch_add(1, Ordering::Relaxed);
        if let Err(error) = &result {
            // A full disk writes nothing of the commit's last frame, and a damaged page stops a
            // statement, so the old state stands as soon as it is rolled back, and reads go on.
            // After any other failure it is not known what is on disk before the file was opened
            // again.
            let stands = !matches!(error, SqlError::Failed(_)) && self.roll_back();
            if !stands {
                self.fail();
            }
        }
        result
    }

    /// The connection to write to, with the file made if need be.
    fn writable(&mut self) -> Result<(), SqlError> {
        if self.raw()?.is_none() {
            self.state = State::Open(create(&self.path)?);
        }
        Ok(())
    }
}

impl Sqlite for Connection {
    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        let Some(raw) = self.raw()? else { return Ok(()) };
        execute(raw, sql, values).inspect(|rows| {
            self.metrics.rows_written.fetch_add(*rows as u64, Ordering::Relaxed);
        })?;
        Ok(())
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        let Some(raw) = self.raw()? else { return Ok(Vec::new()) };
        query(raw, sql, values)
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), SqlError> {
        owner::store(&self.path, incarnation).map_err(SqlError::Failed)
    }

    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        let result = self.writable().and_then(|()| {
            self.control("BEGIN IMMEDIATE")?;
            body(self)?;
            self.control("COMMIT")
        });
        self.ended(result)
    }

    fn alone(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        // Outside of a transaction a statement is one.
        let result = self.writable().and_then(|()| self.execute(sql, values));
        self.ended(result)
    }
}

/// A second connection to a partition's file, that can not write.
#[derive(Debug)]
pub struct ReadConnection {
    path: PathBuf,
    raw: Option<Raw>,
}

impl ReadConnection {
    /// A connection that opens the file with the first query.
    pub const fn new(path: PathBuf) -> Self {
        Self { path, raw: None }
    }
}

impl Sqlite for ReadConnection {
    fn execute(&mut self, _: &'static str, _: &[SqlValue]) -> Result<(), SqlError> {
        Err(SqlError::Failed("this connection only reads".into()))
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        if self.raw.is_none() {
            let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
            let raw = Raw::open_with_flags(&self.path, flags).map_err(failed)?;
            prepare_any(&raw)?;
            self.raw = Some(raw);
        }
        let raw = self.raw.as_ref().ok_or_else(|| SqlError::Failed("not open".into()))?;
        query(raw, sql, values)
    }

    fn transaction(
        &mut self,
        _: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        Err(SqlError::Failed("this connection only reads".into()))
    }
}

/// Opens an existing file for writing.
fn open(path: &Path) -> Result<Raw, SqlError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let raw = Raw::open_with_flags(path, flags).map_err(failed)?;
    prepare(&raw)?;
    Ok(raw)
}

/// Makes the file, and its name durable.
fn create(path: &Path) -> Result<Raw, SqlError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_CREATE
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let raw = Raw::open_with_flags(path, flags).map_err(failed)?;
    prepare(&raw)?;
    owner::sync_directory(path).map_err(SqlError::Failed)?;
    Ok(raw)
}

fn prepare(raw: &Raw) -> Result<(), SqlError> {
    prepare_any(raw)?;
    let mode: String = raw
        .pragma_update_and_check(None, "journal_mode", "WAL", |row| row.get(0))
        .map_err(failed)?;
    raw.pragma_update(None, "synchronous", "FULL").map_err(failed)?;
    let synchronous: i64 =
        raw.pragma_query_value(None, "synchronous", |row| row.get(0)).map_err(failed)?;
    if mode != "wal" || synchronous != 2 {
        let detail = format!(
            "SQLite is in journal mode `{mode}` with synchronous {synchronous}; \
             only wal and 2 (FULL) keep what was acknowledged"
        );
        return Err(SqlError::Failed(detail));
    }
    raw.pragma_update(None, "wal_autocheckpoint", WAL_PAGES).map_err(failed)?;
    raw.pragma_update(None, "journal_size_limit", 64 << 20).map_err(failed)
}

fn prepare_any(raw: &Raw) -> Result<(), SqlError> {
    raw.set_prepared_statement_cache_capacity(64);
    // `verify` of a live directory may hold a read transaction; that never blocks a writer in
    // WAL mode, but a checkpoint may have to wait a moment.
    raw.busy_timeout(Duration::from_secs(5)).map_err(failed)?;
    // No mmap: a disk error would then end the process instead of a query.
    raw.pragma_update(None, "cache_size", -PAGE_CACHE_KIB).map_err(failed)?;
    raw.pragma_update(None, "temp_store", "MEMORY").map_err(failed)?;
    raw.pragma_update(None, "trusted_schema", false).map_err(failed)
}

/// Copies the whole WAL into the file: from then on all of it is durable, or an error says so.
fn settle(raw: &Raw) -> Result<(), SqlError> {
    let busy: i64 =
        raw.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| row.get(0)).map_err(failed)?;
    if busy == 0 { Ok(()) } else { Err(SqlError::Failed("the WAL is in use by a reader".into())) }
}

/// Runs a statement on any connection; returns the number of rows it changed.
pub fn execute(raw: &Raw, sql: &str, values: &[SqlValue]) -> Result<usize, SqlError> {
    let mut statement = raw.prepare_cached(sql).map_err(failed)?;
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Bound(value)).map_err(failed)?;
    }
    statement.raw_execute().map_err(failed)
}

/// Runs a query on any connection, and returns all rows.
pub fn query(raw: &Raw, sql: &str, values: &[SqlValue]) -> Result<Vec<Vec<SqlValue>>, SqlError> {
    let mut statement = raw.prepare_cached(sql).map_err(failed)?;
    for (index, value) in values.iter().enumerate() {
        statement.raw_bind_parameter(index + 1, Bound(value)).map_err(failed)?;
    }
    let columns = statement.column_count();
    let mut rows = statement.raw_query();
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(failed)? {
        let value = |index| row.get_ref(index).map_err(failed).and_then(owned);
        found.push((0..columns).map(value).collect::<Result<_, _>>()?);
    }
    Ok(found)
}

fn owned(value: ValueRef<'_>) -> Result<SqlValue, SqlError> {
    Ok(match value {
        ValueRef::Null => SqlValue::Null,
        ValueRef::Integer(number) => SqlValue::Integer(number),
        ValueRef::Text(text) => {
            let text = std::str::from_utf8(text);
            SqlValue::Text(text.map_err(|e| SqlError::Failed(e.to_string()))?.to_string())
        }
        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
        ValueRef::Real(_) => return Err(SqlError::Failed("a number is not an integer".into())),
    })
}

struct Bound<'a>(&'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(ToSqlOutput::Borrowed(match self.0 {
            SqlValue::Null => ValueRef::Null,
            SqlValue::Integer(number) => ValueRef::Integer(*number),
            SqlValue::Text(text) => ValueRef::Text(text.as_bytes()),
            SqlValue::Blob(bytes) => ValueRef::Blob(bytes),
        }))
    }
}

fn failed(error: rusqlite::Error) -> SqlError {
    match error.sqlite_error_code() {
        Some(ErrorCode::DiskFull) => SqlError::Full,
        Some(ErrorCode::DatabaseCorrupt) => SqlError::Corrupt(error.to_string()),
        _ => SqlError::Failed(error.to_string()),
    }
}
