//! Whose log it is (law 7): the incarnation that this host may act for, against the log's newest.
//!
//! Owns the comparison and the order of an adoption: the commit is stored before the owner is, so
//! that a crash in between leaves the log held, and adopting it again is all it takes. Refuses to
//! know where a host keeps its owner.

use super::partition::{Failure, Live};
use super::{Partition, Spawn, Store, StoreError, World};
use crate::errors::Code;
use crate::protocol::{Outcome, Ownership, Standing};

/// What is kept as owner where a host owns nothing: no log of ours has this incarnation, and one of
/// elsewhere that does is held like any other.
pub const NOBODY: [u8; 16] = [0; 16];

impl<G> Live<G> {
    /// Whose the log is, for a host that acts for `incarnation`.
    pub(super) fn standing(&self, incarnation: &[u8; 16]) -> Standing {
        let empty = self.head.genesis == crate::chain::NO_HASH;
        let own = self.incarnation == *incarnation && *incarnation != NOBODY;
        if empty || own { Standing::Owned } else { Standing::Held }
    }
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Whose the open log is; of one that is not open nothing is known.
    pub fn standing(&self) -> Standing {
        if self.imports.under_way() {
            return Standing::Importing;
        }
        let live = self.live.as_ref();
        live.map_or(Standing::Owned, |live| live.standing(&self.config.incarnation))
    }

    /// Whether nothing may be done in the name of the open log.
    pub(super) fn held(&self) -> bool {
        self.standing() == Standing::Held
    }

    /// Stores the owner of a log whose adoption is stored. Commands of the same batch still found
    /// it held.
    pub(super) fn settle_adoption(&mut self, outcome: &Outcome) -> Result<(), StoreError> {
        let Some(Ownership::Adopt(incarnation)) = outcome.ownership else { return Ok(()) };
        self.store.own(&incarnation)?;
        self.config.incarnation = incarnation;
        if let Some(live) = self.live.as_mut() {
            live.incarnation = incarnation;
        }
        Ok(())
    }

    /// Makes the log this host's: what `POST /effects/resume` does, for a host's own use. Returns
    /// the answer's status and body.
    pub fn adopt(&mut self) -> super::Reply {
        let request = super::OwnedRequest {
            method: "POST".into(),
            target: "/effects/resume".into(),
            headers: alloc::vec::Vec::new(),
            body: super::OwnedBody::Whole(alloc::vec::Vec::new()),
        };
        let lost = || super::Reply::problem(Code::Internal, "the input was lost");
        self.run(alloc::vec![request]).pop().unwrap_or_else(lost)
    }
}

/// An adoption that is stored, but whose owner is not.
pub(super) fn unowned(error: StoreError) -> Failure {
    Failure::Store(StoreError::Unknown(alloc::format!("the owner could not be stored: {error}")))
}
