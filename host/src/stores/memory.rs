//! Logs in memory: `foldlog serve --memory`. Nothing is on disk, and all of it is gone at the exit.
//!
//! Owns the partitions' stores, which outlive their actors: a partition is closed and opened as
//! elsewhere. Refuses to bound them: they take as much memory as their logs and rows do.

use std::collections::BTreeMap;
use std::sync::atomic::Ordering;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use foldlog_core::chain::hex;
use foldlog_core::driver::{MemoryStore, NOBODY, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};
use foldlog_core::settings::Secret;
use foldlog_core::time::Time;

use super::{AnyStore, Stores};
use crate::metrics::Metrics;
use crate::world::entropy;

/// All partitions of this process.
#[derive(Debug, Default)]
pub struct Memory(Mutex<BTreeMap<String, Arc<Mutex<Kept>>>>);

#[derive(Debug)]
struct Kept {
    store: MemoryStore,
    owner: [u8; 16],
}

impl Kept {
    fn is_blank(&self) -> bool {
        self.store.log.is_empty() && self.store.import.is_none()
    }
}

/// A store that was half changed when its thread panicked is never half changed: a write of maps
/// does not panic, and what does panic is elsewhere.
fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

impl Memory {
    fn of(&self, name: &str) -> Arc<Mutex<Kept>> {
        let new = || Arc::new(Mutex::new(Kept { store: MemoryStore::default(), owner: NOBODY }));
        lock(&self.0).entry(name.to_string()).or_insert_with(new).clone()
    }

    /// Asks for one that may not be there, without making it.
    fn ask<T>(&self, name: &str, question: impl FnOnce(&Kept) -> T) -> Option<T> {
        let kept = lock(&self.0).get(name).cloned()?;
        let kept = lock(&kept);
        Some(question(&kept))
    }
}

impl Stores for Memory {
    fn shown(&self) -> String {
        "memory".into()
    }

    fn remark(&self) -> Option<&'static str> {
        Some("Nothing is on disk: all of it is gone when this process ends.")
    }

    fn writer(&self, name: &str, metrics: &Arc<Metrics>) -> Result<AnyStore, String> {
        let metrics = Some(metrics.clone());
        Ok(AnyStore::new(Shared { kept: self.of(name), metrics }))
    }

    fn reader(&self, name: &str) -> AnyStore {
        AnyStore::new(Shared { kept: self.of(name), metrics: None })
    }

    fn owner(&self, name: &str) -> [u8; 16] {
        self.ask(name, |kept| kept.owner).unwrap_or(NOBODY)
    }

    fn is_blank(&self, name: &str) -> bool {
        self.ask(name, Kept::is_blank).unwrap_or(true)
    }

    fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, String> {
        let kept = lock(&self.0);
        let begun = |kept: &Arc<Mutex<Kept>>| lock(kept).store.log.contains_key(&0);
        let later = kept.iter().filter(|(name, kept)| name.as_str() > after && begun(kept));
        Ok(later.map(|(name, _)| name.clone()).take(limit).collect())
    }

    fn all(&self) -> Result<Vec<String>, String> {
        // It is asked for once, at the start.
        Ok(Vec::new())
    }

    fn due(&self, _: &str) -> Option<Time> {
        None
    }

    fn secret(&self) -> Result<Secret, String> {
        let made = Secret::new(&hex(&[entropy(), entropy()].concat()));
        made.ok_or_else(|| "a secret could not be made".to_string())
    }

    fn release(&self) {}
}

/// One partition's store, which its writer and a reader beside share.
#[derive(Debug)]
struct Shared {
    kept: Arc<Mutex<Kept>>,
    /// The writer counts.
    metrics: Option<Arc<Metrics>>,
}

impl Shared {
    fn changed(&self, rows: usize) {
        let Some(metrics) = &self.metrics else { return };
        metrics.transactions.fetch_add(1, Ordering::Relaxed);
        metrics.rows_written.fetch_add(rows as u64, Ordering::Relaxed);
    }
}

impl Store for Shared {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        lock(&self.kept).store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        lock(&self.kept).store.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let rows: usize = write.rows.iter().map(|(_, rows)| rows.len()).sum();
        let checkpoint = usize::from(write.checkpoint.is_some());
        self.changed(write.blocks.len() + rows + checkpoint);
        lock(&self.kept).store.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.changed(0);
        lock(&self.kept).store.erase_rows()
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        lock(&self.kept).owner = *incarnation;
        Ok(())
    }
}
