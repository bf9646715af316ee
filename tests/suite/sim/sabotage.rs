//! Broken on purpose: bugs of the kind that a store, a host or an engine could have, switched on
//! one at a time to prove that the checks find them.
//!
//! Owns the list. Each is done at a port, between the driver and its store or guest, so that not a
//! line of what ships knows of it.

/// One bug.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sabotage {
    /// A write is acknowledged while the one before is stored: a crash loses the last one.
    AckEarly,
    /// A write says that it is durable, and one in ten is not.
    SkipSync,
    /// A write that failed as a whole has stored its block all the same, and the rows not.
    RowsOutsideTheTransaction,
    /// The rows of idempotency keys are stored with the next checkpoint.
    KeyAfterCommit,
    /// After a failed write the ends of the log are told from memory.
    StaleHeadAfterError,
    /// The expected version is not looked at.
    IgnoreExpectedVersion,
    /// An idempotency key is not looked at.
    IgnoreKey,
    /// Event ids are not looked at.
    IgnoreEventIds,
    /// A checkpoint leaves one changed row out.
    LoseARow,
    /// A checkpoint states a position one higher than its rows.
    CheckpointAhead,
    /// A block of two commits or more is stored without the last.
    TornBlock,
    /// A snapshot holds the state of the version before.
    OffByOneSnapshot,
    /// A deleted row stays.
    KeepDeleted,
    /// A row is read as it was before its last change.
    StaleRow,
}

/// All of them.
pub const ALL: [Sabotage; 14] = [
    Sabotage::AckEarly,
    Sabotage::SkipSync,
    Sabotage::RowsOutsideTheTransaction,
    Sabotage::KeyAfterCommit,
    Sabotage::StaleHeadAfterError,
    Sabotage::IgnoreExpectedVersion,
    Sabotage::IgnoreKey,
    Sabotage::IgnoreEventIds,
    Sabotage::LoseARow,
    Sabotage::CheckpointAhead,
    Sabotage::TornBlock,
    Sabotage::OffByOneSnapshot,
    Sabotage::KeepDeleted,
    Sabotage::StaleRow,
];
