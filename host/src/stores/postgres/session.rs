//! One partition's connection to the database: the driver's port `Sqlite`, filled by PostgreSQL.
//!
//! Owns the session, its lock, and how a transaction's statements are sent: gathered first, then in
//! as few round trips as there can be. Refuses to know what they mean.
//!
//! Invariants (laws 3 and 5): the session that writes is the one that holds the partition's lock, and
//! each transaction finds both the lock and the head that this host believes in, or does nothing.
//! A session that is lost is not replaced underneath the driver: all fails until the store's `tail`
//! opens another. That one has the lock only when the last one's transaction has ended, so it sees
//! what a lost commit came to.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use foldlog_core::driver::{ADD_BLOCK, DELETE_ROW, PUT_ROW, SqlError, SqlValue, Sqlite};
use postgres::error::Severity;
use postgres::types::ToSql;
use postgres::{Client, Row, Statement};

use super::Place;
use super::statements::*;
use super::values::{Bound, failed, owned};

/// So much of rows is sent at a time.
const ROWS_BYTES: usize = 4 << 20;
/// So long a partition waits for a session to end that holds its lock.
const LOCK_MAX: Duration = Duration::from_secs(5);
const LOCK_PAUSE: Duration = Duration::from_millis(20);

/// What a connection is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Use {
    /// It takes the lock, and may write.
    Write,
    /// It can not write.
    Read,
}

/// A partition's connection.
pub struct Connection {
    place: Arc<Place>,
    partition: String,
    what_for: Use,
    session: Option<Session>,
    /// The log's last position, as this host believes: outer `None` before it was read.
    pub head: Option<Option<u64>>,
    /// Statements of the transaction under way that are not sent yet.
    gathered: Vec<(&'static str, Vec<SqlValue>)>,
    /// The transaction under way is known to the database.
    begun: bool,
}

struct Session {
    client: Client,
    prepared: HashMap<&'static str, Statement>,
}

impl std::fmt::Debug for Connection {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Connection").field("partition", &self.partition).finish_non_exhaustive()
    }
}

impl Session {
    fn prepared(&mut self, sql: &'static str) -> Result<Statement, postgres::Error> {
        if let Some(statement) = self.prepared.get(sql) {
            return Ok(statement.clone());
        }
        let statement = self.client.prepare(&numbered(sql))?;
        self.prepared.insert(sql, statement.clone());
        Ok(statement)
    }

    fn execute(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, postgres::Error> {
        let statement = self.prepared(sql)?;
        self.client.execute(&statement, values)
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, postgres::Error> {
        let statement = self.prepared(sql)?;
        self.client.query(&statement, values)
    }

    /// Takes the partition's lock. Whoever else has it can only be a host that lost the database, or
    /// a lost session of this one: this host holds the database's own lock.
    fn lock(&mut self, place: &Place, key: i64) -> Result<(), SqlError> {
        let until = Instant::now() + LOCK_MAX;
        loop {
            if self.query(TRY_LOCK, &[&key]).map_err(failed)?.iter().any(|row| row.get(0)) {
                return Ok(());
            }
            place.hold()?;
            if Instant::now() > until {
                let detail = "another session holds the partition's lock, and does not end";
                return Err(SqlError::Failed(detail.into()));
            }
            self.client.query(end_holders().as_str(), &[&key]).map_err(failed)?;
            std::thread::sleep(LOCK_PAUSE);
        }
    }
}

impl Connection {
    /// A connection that is opened by [`Self::open`].
    pub fn new(place: Arc<Place>, partition: String, what_for: Use) -> Self {
        let gathered = Vec::new();
        let (session, head) = (None, None);
        Self { place, partition, what_for, session, head, gathered, begun: false }
    }

    /// Makes sure that there is a session.
    pub fn open(&mut self) -> Result<(), SqlError> {
        self.head = None;
        let writes = self.what_for == Use::Write;
        if writes {
            self.place.hold()?;
        }
        if self.session.as_ref().is_some_and(|session| !session.client.is_closed()) {
            return Ok(());
        }
        self.close();
        if !writes && !self.place.reader_comes() {
            return Err(SqlError::Failed("the database has no connection left for readers".into()));
        }
        // From here on `close` takes it back.
        let opened = self.connect(writes);
        if opened.is_err() && !writes {
            self.place.reader_goes();
        }
        self.session = Some(opened?);
        Ok(())
    }

    fn connect(&self, writes: bool) -> Result<Session, SqlError> {
        let client = self.place.connect(&self.partition)?;
        let mut session = Session { client, prepared: HashMap::new() };
        let read_only = if writes { "off" } else { "on" };
        let set = format!(
            "SET search_path TO \"{}\"; SET default_transaction_read_only TO {read_only}",
            self.partition
        );
        session.client.batch_execute(&set).map_err(failed)?;
        if writes {
            durable(&mut session.client)?;
            session.lock(&self.place, super::lock::key(&self.partition))?;
        }
        Ok(session)
    }

    /// Ends the session, which gives its lock away.
    fn close(&mut self) {
        self.head = None;
        if self.session.take().is_some() && self.what_for == Use::Read {
            self.place.reader_goes();
        }
    }

    fn session(&mut self) -> Result<&mut Session, SqlError> {
        self.session.as_mut().ok_or_else(|| SqlError::Failed("the connection is lost".into()))
    }

    /// What an error comes to: a session that is lost stays so until the store is opened anew.
    fn lost(&mut self, error: postgres::Error) -> SqlError {
        // What is fatal is the last that a session says.
        let last = error.as_db_error().is_none_or(|told| {
            matches!(told.parsed_severity(), Some(Severity::Fatal | Severity::Panic))
        });
        if last || self.session.as_ref().is_none_or(|session| session.client.is_closed()) {
            self.close();
        }
        failed(error)
    }

    fn execute_now(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<u64, SqlError> {
        let result = self.session()?.execute(sql, values);
        result.map_err(|error| self.lost(error))
    }

    fn control(&mut self, sql: &str) -> Result<(), SqlError> {
        let result = self.session()?.client.batch_execute(sql);
        result.map_err(|error| self.lost(error))
    }

    /// Keeps a value beside the logs.
    pub fn keep(&mut self, name: &str, value: &str) -> Result<(), SqlError> {
        self.place.hold()?;
        self.execute_now(KEEP, &[&name, &value]).map(drop)
    }

    fn believed(&self) -> Result<Option<u64>, SqlError> {
        self.head.ok_or_else(|| SqlError::Failed("the log is to be opened first".into()))
    }

    /// Sends what was gathered. Its first part also begins the transaction.
    fn flush(&mut self) -> Result<(), SqlError> {
        let gathered = std::mem::take(&mut self.gathered);
        let mut rest = gathered.as_slice();
        let mut asserted = self.begun;
        if !self.begun {
            self.control("BEGIN")?;
            self.begun = true;
            let key = super::lock::key(&self.partition);
            let locked = self.query_now(TRY_LOCK_HERE, &[&key])?;
            if !locked.iter().any(|row| row.get(0)) {
                return Err(refused("its lock is another session's"));
            }
        }
        while let Some((sql, values)) = rest.first() {
            if CREATE.contains(sql) {
                let schema = format!("{SCHEMA} \"{}\"", self.partition);
                self.control(if *sql == SCHEMA { &schema } else { sql })?;
                rest = &rest[1..];
                continue;
            }
            if !asserted {
                self.assert_head()?;
                asserted = true;
            }
            let rows = rest.iter().take_while(|next| of_view(next) == of_view(&rest[0]));
            let count = if of_view(&rest[0]).is_some() { rows.count() } else { 0 };
            if count > 0 {
                self.change_rows(&rest[..count])?;
                rest = &rest[count..];
                continue;
            }
            let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
            let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|b| b as _).collect();
            self.execute_now(sql, &bound)?;
            rest = &rest[1..];
        }
        if !asserted {
            self.assert_head()?;
        }
        Ok(())
    }

    fn assert_head(&mut self) -> Result<(), SqlError> {
        let believed = self.believed()?;
        let found = self.query_now(HEAD, &[])?.first().map(|row| row.get::<_, i64>(0));
        let found = found.map(|found| u64::try_from(found).unwrap_or_default());
        if found == believed { Ok(()) } else { Err(refused("it ends elsewhere than was believed")) }
    }

    /// Changes rows of one view.
    fn change_rows(&mut self, changes: &[(&'static str, Vec<SqlValue>)]) -> Result<(), SqlError> {
        // Of one key the last change counts.
        let mut changed: BTreeMap<&[u8], Option<&[u8]>> = BTreeMap::new();
        for (_, values) in changes {
            match values.as_slice() {
                [_, _, SqlValue::Blob(key), SqlValue::Blob(value)] => {
                    changed.insert(key, Some(value))
                }
                [_, _, SqlValue::Blob(key)] => changed.insert(key, None),
                _ => return Err(SqlError::Failed("a row is not what it should be".into())),
            };
        }
        let Some((_, values)) = changes.first() else { return Ok(()) };
        let (view, generation) = (Bound(&values[0]), Bound(&values[1]));
        let gone: Vec<&[u8]> =
            changed.iter().filter(|(_, v)| v.is_none()).map(|(k, _)| *k).collect();
        if !gone.is_empty() {
            self.execute_now(DELETE_ROWS, &[&view, &generation, &gone])?;
        }
        let (mut keys, mut puts, mut bytes) = (Vec::new(), Vec::new(), 0);
        let mut left = changed.into_iter().filter_map(|(k, v)| Some((k, v?))).peekable();
        while let Some((key, value)) = left.next() {
            keys.push(key);
            puts.push(value);
            bytes += key.len() + value.len();
            if bytes >= ROWS_BYTES || left.peek().is_none() {
                self.execute_now(PUT_ROWS, &[&view, &generation, &keys, &puts])?;
                (keys, puts, bytes) = (Vec::new(), Vec::new(), 0);
            }
        }
        Ok(())
    }

    fn query_now(
        &mut self,
        sql: &'static str,
        values: &[&(dyn ToSql + Sync)],
    ) -> Result<Vec<Row>, SqlError> {
        let result = self.session()?.query(sql, values);
        result.map_err(|error| self.lost(error))
    }

    /// Sends what was gathered, and has it stored.
    fn finish(&mut self) -> Result<(), SqlError> {
        if let ([(sql, values)], false) = (self.gathered.as_slice(), self.begun)
            && *sql == ADD_BLOCK
        {
            let head = self.believed()?.map(|head| i64::try_from(head).unwrap_or(i64::MAX));
            let key = super::lock::key(&self.partition);
            let values = values.clone();
            let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
            let mut bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|b| b as _).collect();
            bound.extend::<[&(dyn ToSql + Sync); 2]>([&key, &head]);
            return match self.execute_now(ADD_ONE_BLOCK, &bound)? {
                1 => Ok(()),
                _ => Err(refused("it ends elsewhere than was believed, or its lock is gone")),
            };
        }
        self.flush()?;
        self.control("COMMIT")
    }
}

impl Drop for Connection {
    fn drop(&mut self) {
        self.close();
    }
}

impl Sqlite for Connection {
    const CREATE: &'static [&'static str] = &CREATE;
    const TABLES: &'static str = TABLES;
    /// Changes are gathered, and sent by their view.
    const PUT_ROWS: Option<&'static str> = None;

    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        self.gathered.push((sql, values.to_vec()));
        Ok(())
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        if !self.gathered.is_empty() {
            self.flush()?;
        }
        let bound: Vec<Bound<'_>> = values.iter().map(Bound).collect();
        let bound: Vec<&(dyn ToSql + Sync)> = bound.iter().map(|b| b as _).collect();
        self.query_now(sql, &bound)?.iter().map(owned).collect()
    }

    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.place.hold()?;
        (self.begun, self.gathered) = (false, Vec::new());
        let result = body(self).and_then(|()| self.finish());
        // What was sent in one round trip is still here.
        self.gathered.clear();
        if result.is_err() {
            // What a lost commit came to is read when it is opened again.
            if self.begun && self.control("ROLLBACK").is_err() {
                self.close();
            }
            self.head = None;
        }
        self.begun = false;
        result
    }
}

/// View and generation of a changed row, if it is one.
fn of_view<'a>(statement: &'a (&'static str, Vec<SqlValue>)) -> Option<&'a [SqlValue]> {
    let (sql, values) = statement;
    (*sql == PUT_ROW || *sql == DELETE_ROW).then(|| values.get(..2)).flatten()
}

/// Commits of this session are on disk before they are told, or it is not used.
fn durable(client: &mut Client) -> Result<(), SqlError> {
    let setting = "SELECT current_setting('fsync'), set_config('synchronous_commit', \
         CASE current_setting('synchronous_commit') WHEN 'off' THEN 'on' \
         ELSE current_setting('synchronous_commit') END, false), current_setting('server_encoding')";
    let row = client.query_one(setting, &[]).map_err(failed)?;
    let [fsync, synchronous, encoding]: [String; 3] = [row.get(0), row.get(1), row.get(2)];
    if fsync != "on" || synchronous == "off" || encoding != "UTF8" {
        let detail = format!(
            "the database has fsync {fsync}, synchronous_commit {synchronous} and encoding \
             {encoding}; only fsync on, a synchronous commit and UTF8 keep what was acknowledged"
        );
        return Err(SqlError::Failed(detail));
    }
    Ok(())
}

fn refused(why: &str) -> SqlError {
    SqlError::Failed(format!("another host wrote to this log ({why}); nothing was written"))
}
