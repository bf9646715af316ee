//! The gate between a partition's writer and the reader beside it: rows change only while the
//! reader reads none, and it is told that they did.
//!
//! Owns the two sides' stores. Refuses to know what rows mean. The log needs no gate: what is
//! stored there never changes, and who reads it says up to where.

use std::sync::{Arc, PoisonError, RwLock};

use foldlog_core::driver::{Store, StoreError, Tail, Write};
use foldlog_core::engine::consumers::cursors_view;
use foldlog_core::engine::rejected;
use foldlog_core::protocol::{Answer, Query};

use crate::stores::AnyStore;

/// Lets rows change only while nobody reads any; counts how often they did.
#[derive(Debug, Default)]
pub struct Gate(RwLock<u64>);

/// The writer's store, which closes the gate while it stores rows.
#[derive(Debug)]
pub struct Gated<T> {
    store: T,
    gate: Arc<Gate>,
}

impl<T> Gated<T> {
    /// A writer's store behind a gate.
    pub const fn new(store: T, gate: Arc<Gate>) -> Self {
        Self { store, gate }
    }

    fn changing<R>(&mut self, change: impl FnOnce(&mut T) -> R) -> R {
        // Nothing in here leaves the number half-written, so a panic elsewhere does not matter.
        let mut changes = self.gate.0.write().unwrap_or_else(PoisonError::into_inner);
        *changes += 1;
        change(&mut self.store)
    }
}

impl<T: Store> Store for Gated<T> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.store.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        // The driver's own rows are no part of what a reader answers from memory.
        let beside = [cursors_view(), rejected::view()];
        let blocks_alone = write.rows.iter().all(|(view, _)| beside.contains(view))
            && write.dropped.is_empty()
            && write.checkpoint.is_none()
            && write.import.is_none();
        if blocks_alone {
            return self.store.write(write);
        }
        self.changing(|store| store.write(write))
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.changing(Store::erase_rows)
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        self.store.own(incarnation)
    }
}

/// The reader's store: refuses to read once rows changed since its last `tail`.
#[derive(Debug)]
pub struct AsOpened {
    store: AnyStore,
    gate: Arc<Gate>,
    changes: u64,
}

impl AsOpened {
    /// A partition's store, before its first `tail`.
    pub const fn new(store: AnyStore, gate: Arc<Gate>) -> Self {
        Self { store, gate, changes: 0 }
    }
}

impl Store for AsOpened {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let changes = self.gate.0.read().unwrap_or_else(PoisonError::into_inner);
        self.changes = *changes;
        self.store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let changes = self.gate.0.read().unwrap_or_else(PoisonError::into_inner);
        if *changes != self.changes {
            return Err(StoreError::Read("the rows changed since it was opened".into()));
        }
        self.store.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.store.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.store.erase_rows()
    }
}
