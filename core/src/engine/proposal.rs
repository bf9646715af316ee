//! Proposals: what is decided and not taken in yet, and what of it others want to know.
//!
//! Owns no decision. Invariant: dropping one is the rollback.

use alloc::string::String;

use super::apply::Taken;

/// A commit that is decided, but not taken in; or rows alone, which belong to no commit.
#[derive(Debug)]
pub struct Proposal {
    pub(super) first: u64,
    pub(super) last: u64,
    /// Empty when it is rows alone.
    pub(super) line: String,
    pub(super) taken: Taken,
}

impl Proposal {
    /// Position of its last event.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// It opens or closes what process managers asked for: something may be due then.
    pub const fn wakes(&self) -> bool {
        self.taken.changes_pending()
    }

    /// Consumers come, go or change by it.
    pub const fn changes_consumers(&self) -> bool {
        self.taken.changes_consumers()
    }

    /// The topics that get events by it, when there are consumers.
    pub fn topics(&self) -> &[String] {
        self.taken.topics()
    }

    /// It changes rows and not the log: a checkpoint stores it.
    pub const fn is_rows_alone(&self) -> bool {
        self.line.is_empty()
    }
}
