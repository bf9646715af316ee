//! A store in memory that counts what it is asked for.
//!
//! Owns the counts, and nothing that is stored.

use foldlog_core::driver::{MemoryStore, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};

/// See the module's description.
#[derive(Debug, Default)]
pub struct Counting {
    /// What is stored.
    pub store: MemoryStore,
    /// Rows that reads of ranges gave.
    pub rows: usize,
    /// Calls that read.
    pub rounds: usize,
    /// Lines of commits, by position, that reads gave.
    pub lines: usize,
}

impl Store for Counting {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let answers = self.store.read(queries)?;
        self.rounds += 1;
        for (query, answer) in queries.iter().zip(&answers) {
            match (query, answer) {
                (_, Answer::Rows(rows)) => self.rows += rows.len(),
                (Query::Commits { .. }, Answer::Commits(lines)) => self.lines += lines.len(),
                _ => {}
            }
        }
        Ok(answers)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.store.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.store.erase_rows()
    }
}
