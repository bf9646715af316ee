//! A partition's store in the database: the core's store over a session, which knows the log's end.
//!
//! Owns when a session is opened: at `tail`, as the port promises, and nowhere else. What is written
//! is told to the place, which knows all partitions of the database without asking it.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use foldlog_core::chain::hex;
use foldlog_core::driver::{SqlStore, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};

use super::session::{Connection, Use};
use super::{Place, text};
use crate::metrics::Metrics;

/// After a failed opening the next try is this much later, doubling.
const BACKOFF_MIN: Duration = Duration::from_millis(50);
const BACKOFF_MAX: Duration = Duration::from_secs(5);

/// One partition's store.
#[derive(Debug)]
pub struct DatabaseStore {
    place: Arc<Place>,
    partition: String,
    sql: SqlStore<Connection>,
    /// The writer counts.
    metrics: Option<Arc<Metrics>>,
    backoff: Duration,
    not_before: Option<Instant>,
}

impl DatabaseStore {
    /// A store that writes if it has where to count.
    pub fn new(place: &Arc<Place>, partition: &str, metrics: Option<Arc<Metrics>>) -> Self {
        let what_for = if metrics.is_some() { Use::Write } else { Use::Read };
        let connection = Connection::new(place.clone(), partition.to_string(), what_for);
        let (place, partition, sql) =
            (place.clone(), partition.to_string(), SqlStore::new(connection));
        Self { place, partition, sql, metrics, backoff: BACKOFF_MIN, not_before: None }
    }

    /// The store below, for what it tells without a guest.
    pub fn opened(&mut self) -> Result<&mut SqlStore<Connection>, StoreError> {
        if self.not_before.is_some_and(|until| Instant::now() < until) {
            return Err(StoreError::Read("the store is being reopened".into()));
        }
        match self.sql.connection().open() {
            Ok(()) => {
                (self.backoff, self.not_before) = (BACKOFF_MIN, None);
                Ok(&mut self.sql)
            }
            Err(error) => {
                self.not_before = Some(Instant::now() + self.backoff);
                self.backoff = (self.backoff * 2).min(BACKOFF_MAX);
                Err(StoreError::Read(text(error)))
            }
        }
    }

    fn count(&self, rows: usize) {
        if let Some(metrics) = &self.metrics {
            metrics.transactions.fetch_add(1, Ordering::Relaxed);
            metrics.rows_written.fetch_add(rows as u64, Ordering::Relaxed);
        }
    }
}

impl Store for DatabaseStore {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let tail = self.opened()?.tail()?;
        let last = tail.last.as_ref().map(|(position, _)| *position);
        self.sql.connection().head = Some(last.or(tail.genesis.as_ref().map(|_| 0)));
        Ok(tail)
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.sql.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let before = self.sql.connection().head.flatten();
        let rows: usize = write.rows.iter().map(|(_, rows)| rows.len()).sum();
        let written = self.sql.write(write);
        self.count(write.blocks.len() + rows + usize::from(write.checkpoint.is_some()));
        written?;
        let last = write.blocks.iter().map(|block| block.last).max();
        let begun = write.blocks.iter().any(|block| block.first == 0);
        self.place.wrote(&self.partition, begun);
        if write.cut.is_some() {
            // Where that came to is for the database to say.
            self.tail()?;
        } else {
            self.sql.connection().head = Some(before.max(last));
        }
        Ok(())
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        // The driver may do that before it asks for the tail.
        if self.sql.connection().head.is_none() {
            self.tail()?;
        }
        self.count(0);
        self.sql.erase_rows()
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        let value = format!("{} {}", hex(incarnation), self.place.home);
        let name = format!("owner {}", self.partition);
        let kept = self.sql.connection().keep(&name, &value);
        kept.map_err(|error| StoreError::Unknown(text(error)))?;
        self.place.owns(&self.partition, *incarnation);
        Ok(())
    }
}
