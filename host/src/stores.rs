//! Where this host's logs are kept: files, memory or a PostgreSQL database.
//!
//! Owns what the host needs of such a place beside the driver's port: one partition's store to write
//! and one to read, whose log it is, which partitions there are, the one writer's lock. Refuses to
//! know what is stored. Invariant: between [`choose`] and [`Stores::release`] no other host writes
//! there (law 5).

mod files;
mod memory;
#[cfg(feature = "postgres")]
mod postgres;
#[cfg(test)]
mod tests;

pub use files::make_directory;

use std::fmt;
use std::sync::Arc;

use foldlog_core::driver::{Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};
use foldlog_core::settings::{Secret, Settings};
use foldlog_core::time::Time;

use crate::metrics::Metrics;

/// The setting `store` for logs that are not kept.
pub const MEMORY: &str = "memory";

/// A place for logs.
pub trait Stores: fmt::Debug + Send + Sync {
    /// The place, for people; no password is in it.
    fn shown(&self) -> String;
    /// What whoever starts the host has to know of it.
    fn remark(&self) -> Option<&'static str> {
        None
    }
    /// The store that a partition's actor writes to. Nothing comes into being before its first
    /// write; an error says that what is there can not be read.
    fn writer(&self, name: &str, metrics: &Arc<Metrics>) -> Result<AnyStore, String>;
    /// A store beside it, that is only read.
    fn reader(&self, name: &str) -> AnyStore;
    /// The incarnation that this host may act for, or [`NOBODY`](foldlog_core::driver::NOBODY).
    fn owner(&self, name: &str) -> [u8; 16];
    /// Whether nothing was ever written to a partition. Asked for with every read of one that is not
    /// open: it takes no time.
    fn is_blank(&self, name: &str) -> bool;
    /// At most `limit` names of logs that have begun, after `after`, in order.
    fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, String>;
    /// All partitions in which something may be due.
    fn all(&self) -> Result<Vec<String>, String>;
    /// When a partition that is not open has to be opened.
    fn due(&self, name: &str) -> Option<Time>;
    /// What the keys of consumers are made from when it is not set.
    fn secret(&self) -> Result<Secret, String>;
    /// Changes when the place was another host's, or may have been: what was opened before is closed,
    /// since it may not know all that is stored.
    fn epoch(&self) -> u64 {
        0
    }
    /// Lets another host in. Nothing is written after that.
    fn release(&self);
}

/// The place that the settings name, for this host alone. A standby waits until it is.
pub fn choose(settings: &Settings, standby: bool) -> Result<Arc<dyn Stores>, String> {
    let store = settings.store.as_str();
    let database = store.starts_with("postgres://") || store.starts_with("postgresql://");
    if standby && !database {
        return Err("--standby waits for a database: name one with --store".into());
    }
    match store {
        _ if database => in_database(settings, standby),
        "" => Ok(Arc::new(files::Files::take(settings.data.as_ref())?)),
        MEMORY => Ok(Arc::new(memory::Memory::default())),
        // What is in it may be a password.
        _ => {
            Err("--store (or FOLDLOG_STORE) must be `memory` or `postgres://…`, or left out".into())
        }
    }
}

#[cfg(feature = "postgres")]
fn in_database(settings: &Settings, standby: bool) -> Result<Arc<dyn Stores>, String> {
    let taken = postgres::Postgres::take(&settings.store, settings.partitions_open_max, standby)?;
    Ok(Arc::new(taken))
}

#[cfg(not(feature = "postgres"))]
fn in_database(_: &Settings, _: bool) -> Result<Arc<dyn Stores>, String> {
    Err("this foldlog was built without PostgreSQL: build one with `make host FEATURES=postgres`, \
         or `cargo build --features postgres`"
        .into())
}

/// A partition's store, wherever it is.
pub struct AnyStore(Box<dyn Store + Send>);

impl AnyStore {
    fn new(store: impl Store + Send + 'static) -> Self {
        Self(Box::new(store))
    }
}

impl fmt::Debug for AnyStore {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("AnyStore")
    }
}

impl Store for AnyStore {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.0.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.0.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.0.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.0.erase_rows()
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        self.0.own(incarnation)
    }
}
