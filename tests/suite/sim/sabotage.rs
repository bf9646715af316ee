//! Broken on purpose: bugs of the kind that a store, a host or an engine could have, switched on
//! one at a time to prove that the checks find them.
//!
//! Owns the list. Each is done at a port, between the driver and its store or guest, or by another
//! process manager in the guest, so that not a line of what ships knows of it.

use foldlog_core::domains::bank::Transfers;
use foldlog_core::process::{
    self, AnyProcessManager, ProcessManager, ProcessSpec, Reaction, Refused, Sight,
};
use foldlog_core::read::Stop;
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;

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
}

/// All of them.
pub const ALL: [Sabotage; 18] = [
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
];

impl Sabotage {
    /// What guests are made of.
    pub fn registry(this: Option<Self>) -> fn() -> Registry {
        match this {
            Some(Self::ForgetRefund) => || managed_by(process::erase::<Forgetful>()),
            Some(Self::AskTwice) => || managed_by(process::erase::<Twice>()),
            _ => Registry::standard,
        }
    }
}

/// The standard registry with this manager in the place of all others.
fn managed_by(manager: Box<dyn AnyProcessManager>) -> Registry {
    Registry { managers: vec![manager], ..Registry::standard() }
}

struct Forgetful;

impl ProcessManager for Forgetful {
    const SPEC: ProcessSpec = Transfers::SPEC;

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Transfers::react(record, sight)
    }
}

struct Twice;

impl ProcessManager for Twice {
    const SPEC: ProcessSpec = Transfers::SPEC;

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let once = Transfers::react(record, sight)?;
        Ok([once.clone(), once].concat())
    }

    fn refused(refused: &Refused, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        Transfers::refused(refused, sight)
    }
}
