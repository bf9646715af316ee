//! A store for folding a log that stays where it is: the log is read from the source, rows go to a
//! temporary file.
//!
//! Owns that file, which is gone with it. Refuses to write to the source. Memory stays the same
//! however long the log is: rows wait on disk.

use foldlog_core::driver::{SqlStore, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};
use rusqlite::Connection;
use tempfile::TempDir;

use super::source::Source;
use crate::plain::{ReadOnly, Temporary};

/// Pages of rows that SQLite keeps in memory. Rows are written in their order, a page once; what is
/// read again is in the guest.
const PAGE_CACHE_KIB: i64 = 1024;

/// See the module's description.
#[derive(Debug)]
pub struct Scratch {
    log: SqlStore<ReadOnly<Source>>,
    rows: SqlStore<Temporary>,
    /// The newest checkpoint row.
    pub checkpoint: Option<Vec<u8>>,
    _directory: TempDir,
}

impl Scratch {
    /// Rows in a file of their own, beside the log of a source.
    pub fn new(log: Source) -> Result<Self, String> {
        let failed = |e: &dyn std::fmt::Display| format!("no temporary file for rows: {e}");
        let directory = tempfile::tempdir().map_err(|e| failed(&e))?;
        let raw = Connection::open(directory.path().join("rows")).map_err(|e| failed(&e))?;
        raw.set_prepared_statement_cache_capacity(16);
        // Nobody reads the file after a crash.
        for (pragma, value) in
            [("journal_mode", "OFF"), ("synchronous", "OFF"), ("locking_mode", "EXCLUSIVE")]
        {
            raw.pragma_update(None, pragma, value).map_err(|e| failed(&e))?;
        }
        raw.pragma_update(None, "cache_size", -PAGE_CACHE_KIB).map_err(|e| failed(&e))?;
        Ok(Self {
            log: SqlStore::new(ReadOnly(log)),
            rows: SqlStore::new(Temporary(raw)),
            checkpoint: None,
            _directory: directory,
        })
    }

    /// The rows, as any SQL tool sees them.
    pub const fn rows(&mut self) -> &Connection {
        &self.rows.connection().0
    }
}

impl Store for Scratch {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let tail = self.log.tail()?;
        Ok(Tail { checkpoint: self.checkpoint.clone(), ..tail })
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let mut answers = Vec::with_capacity(queries.len());
        for query in queries {
            let of = std::slice::from_ref(query);
            answers.extend(match query {
                Query::Row(_) | Query::Rows { .. } => self.rows.read(of)?,
                Query::Commits { .. } | Query::CommitsAfter { .. } | Query::Times { .. } => {
                    self.log.read(of)?
                }
            });
        }
        Ok(answers)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        // Rows without a checkpoint are ahead of the one before, until the next one comes.
        self.checkpoint = None;
        self.rows.write(write)?;
        self.checkpoint.clone_from(&write.checkpoint);
        Ok(())
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.checkpoint = None;
        self.rows.erase_rows()
    }
}
