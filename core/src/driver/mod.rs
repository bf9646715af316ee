//! The driver: runs one partition's guest over one store. Both hosts use it as it is.
//!
//! Owns the order of things (stage, commit, hash, store, and only then answer), batches,
//! checkpoints, stamps and what happens after a trap or a failed write. Knows no socket, thread,
//! file, JavaScript or wasm engine: those sit behind the three ports below. Knows no domain.
//!
//! # The law of use
//!
//! [`Partition::run`] returns answers only after the block they belong to is stored. A host sends
//! what it returns, and nothing earlier. After [`Partition::run`], and when it has opened one, a
//! host asks [`Partition::work_due`] and calls [`Partition::work`] then; it calls
//! [`Partition::checkpoint`] when it has been idle, and before it stops. Before each of these it asks
//! the partition's [`Supervision`], and afterwards tells it [`Partition::take_ran`]. A host that
//! closes a partition opens it again by [`Partition::next_due`]. A reply that asks for the body of
//! an import is followed by [`Partition::import`] until that has the answer.

mod batch;
mod bulk;
mod call;
mod checkpoint;
mod connection;
mod deliveries;
mod dispatch;
mod hashes;
mod import;
mod leftovers;
mod lines;
mod linked;
mod memory;
mod news;
mod notes;
mod owner;
mod pages;
mod partition;
mod parts;
mod reader;
mod rebuild;
mod rejected;
mod request;
mod rest;
mod schema;
mod seal;
pub mod senders;
mod settle;
mod sqlite;
mod stamps;
mod timings;
mod supervise;
mod throttle;
mod wakes;
#[cfg(test)]
mod tests;

use alloc::string::String;
use alloc::vec::Vec;

pub use bulk::{Bulk, describe, quarantine_of, same_target};
pub use connection::{SqlError, SqlValue, Sqlite};
pub use deliveries::DeliveryCall;
pub use dispatch::CameTo;
pub use import::{Feed, Lines, Refused, Step};
pub use leftovers::{Importing, Progress};
pub use linked::Linked;
pub use memory::MemoryStore;
pub use notes::Note;
pub use owner::NOBODY;
pub use partition::{Config, Failure, HeadInfo, Partition};
pub use parts::InParts;
pub use reader::{Reader, Told};
pub use request::{Export, OwnedBody, OwnedRequest, Reply};
pub use rest::Rest;
pub use schema::{ADD_BLOCK, DELETE_ROW, PUT_ROW};
pub use sqlite::SqlStore;
pub use stamps::{TestStamps, test_entropy, test_stamp};
pub use supervise::{Ran, Supervision, Trouble};
pub use throttle::Throttle;

pub use crate::chain::StoredBlock;
use crate::chain::{self, Chain, Hash, NO_HASH};
use crate::protocol::{Answer, Op, Query, RowChange, View};
use crate::settings::Secret;
use crate::time::Time;

/// One instance of the guest. Dropping it frees its memory.
pub trait Guest {
    /// Runs one operation. The result starts with a [`crate::protocol::Status`] byte.
    ///
    /// After a trap the instance is never called again.
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap>;
}

/// A guest that stopped half-way: a panic, memory blow-up or endless loop.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Trap {
    /// What the engine said; for the host's log, never for a client.
    pub detail: String,
    /// The guest's progress word as it was left.
    pub progress: u64,
}

/// Makes instances of one module.
pub trait Spawn {
    /// What it makes.
    type Guest: Guest;
    /// A fresh instance, not yet open.
    fn spawn(&mut self) -> Result<Self::Guest, Trap>;
    /// SHA-256 of the module's bytes.
    fn digest(&self) -> [u8; 32];
}

/// Clock and entropy of the host: the one place where stamps come from.
pub trait World {
    /// Wall clock.
    fn clock(&mut self) -> Time;
    /// 16 random bytes.
    fn entropy(&mut self) -> [u8; 16];
    /// Microseconds of a clock that never goes back, for measuring.
    fn micros(&mut self) -> u64;
}

/// Where a partition's log and rows are kept. Synchronous, single-threaded.
pub trait Store {
    /// What opening needs. Called first, and after every failed write.
    fn tail(&mut self) -> Result<Tail, StoreError>;
    /// Answers all queries, in order. Sees everything written before.
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError>;
    /// Stores all of it or nothing, durably, before it returns `Ok`.
    fn write(&mut self, write: &Write) -> Result<(), StoreError>;
    /// Deletes all rows and the checkpoint, never the log, nor how far an import has come. Durable
    /// like a write.
    fn erase_rows(&mut self) -> Result<(), StoreError>;
    /// Keeps, outside of log and rows, that the host may act for this incarnation. Durable like a
    /// write. A store whose logs are never moved keeps nothing.
    fn own(&mut self, _incarnation: &[u8; 16]) -> Result<(), StoreError> {
        Ok(())
    }
    /// What the keys of consumers are made from, where it is kept beside the log. Asked for when
    /// there is one.
    fn secret(&mut self) -> Option<Secret> {
        None
    }
    /// Whether what reads from now on may be stopped after a part of it ([`StoreError::Stopped`]):
    /// it will ask for the same again. Most stores stop nothing.
    fn stop_reads(&mut self, _may: bool) {}
    /// Reads the next part of what was stopped, if there is one; whether there is another. So it is
    /// not asked for again before most of it is known.
    fn read_on(&mut self) -> Result<bool, StoreError> {
        Ok(false)
    }
    /// The read that was stopped is done, or given up.
    fn forget_read(&mut self) {}
}

/// The ends of a stored log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Tail {
    /// The genesis line, when the log is not empty.
    pub genesis: Option<String>,
    /// The last commit's line and the position of its last event.
    pub last: Option<(u64, String)>,
    /// The checkpoint row's value.
    pub checkpoint: Option<Vec<u8>>,
    /// How far an import has come that is not complete. The rest is then what it left behind, and
    /// no log.
    pub import: Option<Progress>,
}

impl Tail {
    /// Hashes of genesis and of the last line, which everything new is chained to.
    fn hashes(&self) -> Result<(Hash, Hash), StoreError> {
        let damaged =
            |position, detail: &str| StoreError::CorruptLog { position, detail: detail.into() };
        let mut chain = Chain::default();
        match (&self.genesis, &self.last) {
            (None, None) => return Ok((NO_HASH, NO_HASH)),
            (None, Some(_)) => return Err(damaged(0, "the genesis line is missing")),
            (Some(genesis), _) => {
                chain.take(genesis).map_err(|broken| damaged(0, &alloc::format!("{broken}")))?
            }
        }
        let genesis = chain.hash;
        let hash = match &self.last {
            Some((position, line)) => {
                let hash = chain::stored_hash(line);
                hash.ok_or_else(|| damaged(*position, "the last line does not end in a hash"))?
            }
            None => genesis,
        };
        Ok((genesis, hash))
    }
}

/// What is stored in one transaction.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Write {
    /// What an unfinished import stored beyond this position is deleted first: the last
    /// [`CUT_BLOCKS_MAX`](crate::limits::CUT_BLOCKS_MAX) blocks of it at most.
    pub cut: Option<u64>,
    /// New blocks, in order.
    pub blocks: Vec<StoredBlock>,
    /// Changed rows of a checkpoint.
    pub rows: Vec<(View, Vec<RowChange>)>,
    /// Views deleted whole, before the rows are written.
    pub dropped: Vec<View>,
    /// The checkpoint row, when `rows` is a checkpoint.
    pub checkpoint: Option<Vec<u8>>,
    /// How far an import has come from now on.
    pub import: Option<Importing>,
}

impl Write {
    /// The block, when this writes one and nothing else.
    fn only_block(&self) -> Option<&StoredBlock> {
        let Self { cut: None, blocks, rows, dropped, checkpoint: None, import: None } = self else {
            return None;
        };
        match blocks.as_slice() {
            [block] if rows.is_empty() && dropped.is_empty() => Some(block),
            _ => None,
        }
    }
}

/// Why a store did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum StoreError {
    /// No room; nothing was written.
    #[error("the store is full")]
    Full,
    /// The transaction may or may not have happened.
    #[error("the store failed: {0}")]
    Unknown(String),
    /// A read failed; nothing changed.
    #[error("reading failed: {0}")]
    Read(String),
    /// A part was read and is kept: ask again. See [`Store::stop_reads`].
    #[error("reading was stopped, for others to go on")]
    Stopped,
    /// A row does not match its checksum.
    #[error("row {key} of view {view} does not match its checksum")]
    CorruptRow {
        /// Name of the view.
        view: String,
        /// The row's key, in hexadecimal.
        key: String,
    },
    /// A block can not be what was written.
    #[error("the log is damaged at position {position}: {detail}")]
    CorruptLog {
        /// First position that can not be read.
        position: u64,
        /// What is wrong.
        detail: String,
    },
}
