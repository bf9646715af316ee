//! Broken on purpose: bugs of the kind that a store, a host or an engine could have, switched on
//! one at a time to prove that the checks find them.
//!
//! Owns the list, and what bugs make of a write. Each is done at a port, between the driver and its
//! store (here, `disk`) or its guest (`guests`), by the host of effects (`run`), or by another
//! release of the guest, so that not a line of what ships knows of it.

use foldlog_core::chain;
use foldlog_core::driver::{StoredBlock, Write};
use foldlog_core::protocol::{RowChange, View};

use super::world::Shared;

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
    /// What waits to be done is never stored.
    LosePending,
    /// Nobody gives back what a transfer could not move.
    ForgetRefund,
    /// Each step of a transfer is asked for twice.
    AskTwice,
    /// The system waits for its turn until the next batch.
    LateWake,
    /// A disk that is full has stored the write all the same.
    RefusedAndDone,
    /// An effect is attempted when it is staged, before its block is stored.
    EffectBeforeStored,
    /// An effect that is being attempted is handed out again.
    AttemptTwice,
    /// What an attempt at an effect came to is told, and not taken in.
    ResultLost,
    /// A settled effect still waits, by the stored rows.
    EffectStaysOpen,
    /// The outbox is never stored.
    LoseOutbox,
    /// Timers come an hour early.
    EarlyTimer,
    /// A read model folds otherwise, and its revision is that of before.
    StaleGeneration,
    /// A kind of streams does.
    StaleStates,
    /// A host acts for a log that was moved.
    ActWhileHeld,
}

/// All of them.
pub const ALL: [Sabotage; 28] = [
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
    Sabotage::LosePending,
    Sabotage::ForgetRefund,
    Sabotage::AskTwice,
    Sabotage::LateWake,
    Sabotage::RefusedAndDone,
    Sabotage::EffectBeforeStored,
    Sabotage::AttemptTwice,
    Sabotage::ResultLost,
    Sabotage::EffectStaysOpen,
    Sabotage::LoseOutbox,
    Sabotage::EarlyTimer,
    Sabotage::StaleGeneration,
    Sabotage::StaleStates,
    Sabotage::ActWhileHeld,
];

impl Sabotage {
    /// What the check says that this is to prove, where others may find it too.
    pub const fn proves(self) -> &'static str {
        match self {
            Self::RefusedAndDone => "an event of a command that was refused",
            Self::EffectBeforeStored => "is attempted, the log ends at",
            Self::AttemptTwice => "is handed out while it is attempted",
            Self::ResultLost => "it was told that this is done",
            Self::EarlyTimer => "and is done at",
            Self::ActWhileHeld => "the log is held",
            _ => "",
        }
    }
}

/// What a bug makes of a write.
pub fn spoil(bug: Sabotage, world: &mut Shared, write: &mut Write) {
    match bug {
        Sabotage::KeyAfterCommit if write.checkpoint.is_some() => {
            let (late, rows) = write.rows.drain(..).partition(|(v, _)| v.name == "idempotency");
            write.rows = rows;
            let earlier = std::mem::replace(&mut world.late, late);
            write.rows.extend(earlier);
        }
        Sabotage::LoseARow => {
            let view = write.rows.iter_mut().find(|(v, _)| !v.name.starts_with('~'));
            if let Some((_, rows)) = view {
                rows.pop();
            }
        }
        Sabotage::OffByOneSnapshot => {
            let snapshots = |v: &&mut (View, Vec<RowChange>)| v.0.name.starts_with("~snapshots:");
            for (_, rows) in write.rows.iter_mut().filter(snapshots) {
                for value in rows.iter_mut().filter_map(|(_, value)| value.as_mut()) {
                    // The last byte of a state is a count of transactions.
                    if let Some(last) = value.last_mut() {
                        *last = last.wrapping_sub(1);
                    }
                }
            }
        }
        Sabotage::LosePending => write.rows.retain(|(view, _)| view.name != "pending"),
        Sabotage::LoseOutbox => write.rows.retain(|(view, _)| view.name != "outbox"),
        Sabotage::EffectStaysOpen => {
            let outbox = write.rows.iter_mut().filter(|(view, _)| view.name == "outbox");
            outbox.for_each(|(_, rows)| {
                rows.retain(|(key, value)| value.is_some() || key.first() != Some(&b'o'))
            });
        }
        Sabotage::KeepDeleted => {
            write.rows.iter_mut().for_each(|(_, rows)| rows.retain(|(_, value)| value.is_some()));
        }
        // The rows of the transaction before, the checkpoint of this one.
        Sabotage::CheckpointAhead if write.checkpoint.is_some() && world.random.below(3) == 0 => {
            write.rows.clear();
        }
        Sabotage::TornBlock => write.blocks.iter_mut().for_each(tear),
        _ => {}
    }
}

fn tear(block: &mut StoredBlock) {
    let lines: Vec<&str> = chain::lines(&block.body).collect();
    if let [kept @ .., last] = lines.as_slice()
        && !kept.is_empty()
    {
        let end = chain::position(last).unwrap_or_default().saturating_sub(1);
        let body = format!("[{}]", kept.join(",\n"));
        *block = StoredBlock { first: block.first, last: end, body };
    }
}
