//! The guest's protocol: every message that crosses the boundary between a host and the guest.
//!
//! Owns the operation numbers, the message types and their encoding (postcard, fields in order).
//! Knows nothing of memory layout (the guest's ABI file does) nor of what the messages are about:
//! rows are bytes, commits are lines of text.
//!
//! Invariant: host and guest are built from one [`ABI_VERSION`]; any other pair refuses to open,
//! so a message never has to be understood by another version.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::time::Time;

mod again;
mod bytes;
pub mod consumers;
mod stage;

pub use again::*;
pub use stage::*;

/// Raised whenever a message or an operation changes meaning. Hosts refuse any other number.
pub const ABI_VERSION: u32 = 11;

/// What a host asks of the guest. The numbers are part of the ABI and never reused.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u32)]
pub enum Op {
    /// `() -> Description`.
    Describe = 1,
    /// `Open -> Opened`. Once per instance, before anything else.
    Open = 2,
    /// `Fold -> FoldStep`: takes stored commits into the rows.
    Fold = 3,
    /// `Input -> StageStep`: proposes, changes nothing.
    Stage = 4,
    /// `Vec<Answer> -> FoldStep | StageStep | DecideStep`, whichever asked with `Need`.
    Supply = 5,
    /// `() -> ()`: takes the held proposal in; can not fail.
    Commit = 6,
    /// `() -> ()`: drops the held proposal.
    Rollback = 7,
    /// `() -> Block`: the commits taken in since the last call, hashes still zeros.
    TakeBlock = 8,
    /// `() -> CheckpointPart`: all changed rows, in parts, the last one with the checkpoint.
    TakeCheckpoint = 9,
    /// `u32 -> SliceStep`: builds generations of views, at most so many events.
    Slice = 10,
    /// `Decide -> DecideStep`: decides stored commits again, and takes them in as they are
    /// recorded. What an instance stages that was asked this is as of where it stands, and rolled
    /// back.
    Decide = 11,
}

impl Op {
    /// The operation of a number, if there is one.
    pub const fn from_number(number: u32) -> Option<Self> {
        Some(match number {
            1 => Self::Describe,
            2 => Self::Open,
            3 => Self::Fold,
            4 => Self::Stage,
            5 => Self::Supply,
            6 => Self::Commit,
            7 => Self::Rollback,
            8 => Self::TakeBlock,
            9 => Self::TakeCheckpoint,
            10 => Self::Slice,
            11 => Self::Decide,
            _ => return None,
        })
    }
}

/// How a call ended: the first byte of every result.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// The operation's own answer follows.
    Ok = 0,
    /// A [`Refusal`] follows; the guest's state is as before.
    Refused = 1,
}

/// Why the guest did not do what it was asked. Always the host's fault or damaged data, never a
/// client's.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Refusal {
    /// What was wrong.
    pub reason: RefusalReason,
    /// For a person reading the host's log.
    pub detail: String,
}

/// The reasons of a [`Refusal`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum RefusalReason {
    /// The message could not be decoded.
    Malformed,
    /// The operation does not fit the state: not open, or a proposal is (or is not) held.
    OutOfOrder,
    /// The log's format version is not this guest's.
    Format,
    /// A stored commit does not follow from the ones before it, or can not be read.
    Corrupt,
}

/// What a module says of itself.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// [`ABI_VERSION`] of the module.
    pub abi: u32,
    /// Highest log format version it reads and the one it writes.
    pub format: u32,
    /// Version of the module, as its crate states it.
    pub version: String,
    /// Aggregate types with their revisions, in registry order.
    pub aggregates: Vec<(String, u32)>,
    /// Projections with their revisions, in registry order.
    pub projections: Vec<(String, u32)>,
    /// Event types any aggregate can produce.
    pub events: Vec<String>,
    /// `METHOD /path` of every route.
    pub routes: Vec<String>,
}

/// A fresh instance's first message.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Open {
    /// Name of the partition.
    pub partition: String,
    /// Incarnation that this host acts for; becomes part of genesis when the log is empty.
    pub incarnation: [u8; 16],
    /// Seed of the row cache's hashing; never reaches any output.
    pub hash_seed: u64,
    /// SHA-256 of the module's bytes.
    pub guest: [u8; 32],
    /// Settings that reach decisions, and the two bounds on memory.
    pub settings: OpenSettings,
    /// The stored genesis line; `None` when the log is empty.
    pub genesis: Option<String>,
    /// Position of the last stored commit's last event; 0 when there is none.
    pub head: u64,
    /// The stored checkpoint row, as written by [`CheckpointPart::checkpoint`].
    pub checkpoint: Option<Vec<u8>>,
    /// What trapped under this host since the last checkpoint.
    pub quarantined: Vec<Quarantine>,
}

/// What trapped, where, and why: it is left out at that position.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Quarantine {
    /// What is left out.
    pub what: Quarantined,
    /// Position of the event it failed on.
    pub position: u64,
    /// What happened, for people.
    pub reason: String,
}

/// What can be left out, so that everything else goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Quarantined {
    /// The projection with this index in [`Description::projections`].
    Projection(u32),
    /// The generation of it that does not serve yet.
    Building(u32),
    /// The event's stream: it takes no commands any more.
    Stream,
}

impl Quarantined {
    /// The projection of an index, the generation that serves.
    pub fn projection(index: usize) -> Self {
        Self::Projection(u32::try_from(index).unwrap_or(u32::MAX))
    }

    /// The one that does not serve yet.
    pub fn building(index: usize) -> Self {
        Self::Building(u32::try_from(index).unwrap_or(u32::MAX))
    }
}

/// The settings a guest is opened with.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct OpenSettings {
    /// Days an idempotency key is remembered, in recorded time.
    pub idempotency_days: u32,
    /// Whether commits record the command's payload, or only its SHA-256.
    pub record_commands: bool,
    /// Events between two snapshots of a stream, 0 for none; `None`: as each aggregate says.
    pub snapshot_every: Option<u32>,
    /// The newest so many snapshots of a stream are kept.
    pub snapshots_kept: u32,
    /// Milliseconds before the second attempt at an email, at most; doubled with each further one.
    pub email_backoff_ms: u32,
    /// Whether consumers may be called inside, at addresses that are not public.
    pub allow_private_callbacks: bool,
    /// Bytes a request's body may have; told in the answer to one that has more.
    pub body_bytes_max: u64,
    /// Bytes of rows the cache may hold.
    pub row_cache_max: u64,
    /// Bytes the guest's allocator may hand out.
    pub guest_memory_max: u64,
}

impl Default for OpenSettings {
    /// What a native host has when nothing is set.
    fn default() -> Self {
        Self {
            idempotency_days: 7,
            record_commands: true,
            snapshot_every: None,
            snapshots_kept: 3,
            email_backoff_ms: 1_000,
            allow_private_callbacks: false,
            body_bytes_max: 256 << 10,
            row_cache_max: 16 << 20,
            guest_memory_max: 64 << 20,
        }
    }
}

/// Answer to [`Op::Open`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Opened {
    /// The host folds the commits after this position, up to [`Open::head`], before staging.
    pub fold_after: u64,
    /// Whether the stored rows are of use. When not, the host deletes them before it folds.
    pub rows_usable: bool,
    /// Slices have something to do.
    pub behind: bool,
    /// Generations whose stored rows are the fold up to `fold_after`, or up to where they stopped.
    pub serving: Vec<View>,
    /// The newest incarnation up to `fold_after`.
    pub incarnation: [u8; 16],
    /// Up to there, something waits for a wake.
    pub waits: bool,
    /// Up to there, there are consumers.
    pub consumers: bool,
}

/// Stored commits to take in, in order, without gaps.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fold<'a> {
    /// Commit lines joined by `,\n`: a block's body without its brackets.
    #[serde(borrow)]
    pub blocks: Vec<&'a str>,
}

/// How far a fold got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FoldStep {
    /// Rows are missing: answer them with [`Op::Supply`].
    Need(Vec<Query>),
    /// All commits of the message are taken in.
    Done {
        /// Position of the last event taken in.
        position: u64,
        /// Changed rows fill their share of the cache: take a checkpoint before the next fold.
        checkpoint_due: bool,
        /// The newest incarnation up to there.
        incarnation: [u8; 16],
        /// Something waits for a wake.
        waits: bool,
        /// There are consumers.
        consumers: bool,
    },
    /// The cache filled up half-way: take a checkpoint, then [`Op::Supply`] nothing to go on.
    CheckpointDue,
}

/// How far a slice got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SliceStep {
    /// These reads are missing: answer them with [`Op::Supply`].
    Need(Vec<Query>),
    /// It is over.
    Done {
        /// There is more to do.
        more: bool,
        /// Store a checkpoint before the next one.
        checkpoint_due: bool,
    },
}

/// What a guest may read. Small questions, so anything can be a store.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Query {
    /// The commits that hold these positions, one line each, in the order asked. Where that is the
    /// commit of the position before, the line is empty. A store may give fewer when they pass 1 MB,
    /// at least one.
    Commits {
        /// Positions, each ≥ 1 and at most the head.
        positions: Vec<u64>,
    },
    /// Commits with a first position beyond (descending: below) `after`, in that direction.
    CommitsAfter {
        /// Excluded bound on the first position.
        after: u64,
        /// At most this many commits; a store may give fewer when they pass 1 MB, at least one.
        limit: u32,
        /// From high to low.
        descending: bool,
    },
    /// One row.
    Row(RowKey),
    /// The rows of a view after a key, in key order.
    Rows {
        /// View and generation.
        view: View,
        /// Excluded lower bound; empty for the start of the prefix.
        #[serde(with = "bytes")]
        after_key: Vec<u8>,
        /// Only keys starting so.
        #[serde(with = "bytes")]
        prefix: Vec<u8>,
        /// At most this many.
        limit: u32,
    },
    /// When the commits that hold these positions were recorded, in the order asked.
    Times {
        /// Positions, each ≥ 1 and at most the head.
        positions: Vec<u64>,
    },
}

/// A view's rows of one generation.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct View {
    /// Name of the view.
    pub name: String,
    /// Generation of its rows.
    pub generation: u32,
}

/// Names one stored row.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct RowKey {
    /// View and generation.
    pub view: View,
    /// The key's bytes.
    #[serde(with = "bytes")]
    pub key: Vec<u8>,
}

/// The answer to one [`Query`].
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Answer {
    /// Commit lines.
    Commits(Vec<String>),
    /// The row's value, or its proven absence.
    Row(#[serde(with = "bytes::optional")] Option<Vec<u8>>),
    /// Rows in key order; fewer than the limit means that there are no more.
    Rows(#[serde(with = "bytes::rows")] Vec<(Vec<u8>, Vec<u8>)>),
    /// Recorded times.
    Times(Vec<Time>),
}

impl Answer {
    /// Bytes that it holds, about.
    pub fn bytes(&self) -> usize {
        match self {
            Self::Commits(lines) => lines.iter().map(String::len).sum(),
            Self::Times(times) => times.len().saturating_mul(8),
            Self::Row(value) => value.as_ref().map_or(0, Vec::len),
            Self::Rows(rows) => rows.iter().map(|(k, v)| k.len().saturating_add(v.len())).sum(),
        }
    }
}

/// Commits taken in since the last call, as they are stored but for their hashes (64 zeros).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Block {
    /// Genesis line, with the very first commit of a log.
    pub genesis: Option<String>,
    /// First position, last position and line of each commit.
    pub commits: Vec<(u64, u64, String)>,
    /// More commits follow: call again, store all parts in one transaction.
    pub more: bool,
}

/// A part of the changed rows.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct CheckpointPart {
    /// Changed rows by view, in key order; `None` deletes.
    #[serde(with = "bytes::changes")]
    pub rows: Vec<(View, Vec<RowChange>)>,
    /// Views whose rows are of no use any more: deleted whole.
    pub dropped: Vec<View>,
    /// With the last part: the checkpoint row, and its position.
    pub checkpoint: Option<(u64, Vec<u8>)>,
}

/// A row's key and its new value.
pub type RowChange = (Vec<u8>, Option<Vec<u8>>);
