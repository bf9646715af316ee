//! What one attempt changed, beside the cache: dropping it is the rollback.
//!
//! Owns new values by slot or key, positions to append to lists, and how many rows came or went.
//! Refuses to know where rows come from. A commit touches about a dozen rows, so looking through
//! them in order is quicker than hashing; past that an index is made.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::cache::{KeyRef, SlotId, ViewId};

/// Changes that are looked through one by one.
const SCANNED_MAX: usize = 24;

/// A row by its place in the cache, or by its name where it has none.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Target {
    /// In the cache.
    Slot(SlotId),
    /// Not in the cache: written without being read.
    New(ViewId, Box<[u8]>),
}

/// A changed row.
#[derive(Debug)]
pub struct Change {
    /// Which.
    pub target: Target,
    /// Its new value; `None` deletes.
    pub value: Option<Vec<u8>>,
}

/// See the module's description.
#[derive(Debug, Default)]
pub struct Overlay {
    /// Changed rows.
    pub changes: Vec<Change>,
    /// Positions to append, by the slot of the list's tail row.
    pub appends: Vec<(SlotId, u64)>,
    /// Rows that came or went, by view.
    pub row_counts: Vec<(ViewId, i64)>,
    /// Places in `changes`, once there are many.
    index: Option<BTreeMap<Target, usize>>,
    journal: Option<Vec<(usize, Option<Vec<u8>>)>>,
}

/// Where an overlay stood, to go back to.
#[derive(Clone, Copy, Debug)]
pub struct Mark {
    changes: usize,
    appends: usize,
    row_counts: usize,
}

impl Overlay {
    fn find(&self, target: &Target) -> Option<usize> {
        match &self.index {
            Some(index) => index.get(target).copied(),
            None => self.changes.iter().position(|change| change.target == *target),
        }
    }

    /// The new value of the row in a slot, when it was changed.
    pub fn by_slot(&self, slot: SlotId) -> Option<&Option<Vec<u8>>> {
        let target = Target::Slot(slot);
        self.find(&target).and_then(|at| self.changes.get(at)).map(|change| &change.value)
    }

    /// The new value of a row without a slot, when it was written.
    pub fn by_key(&self, key: KeyRef<'_>) -> Option<&Option<Vec<u8>>> {
        let same = |change: &&Change| match &change.target {
            Target::New(view, bytes) => *view == key.view && **bytes == *key.bytes,
            Target::Slot(_) => false,
        };
        self.changes.iter().find(same).map(|change| &change.value)
    }

    /// Changes a row.
    pub fn set(&mut self, target: Target, value: Option<Vec<u8>>) {
        let at = self.find(&target);
        if let Some((at, change)) =
            at.and_then(|at| self.changes.get_mut(at).map(|change| (at, change)))
        {
            let before = core::mem::replace(&mut change.value, value);
            if let Some(journal) = &mut self.journal {
                journal.push((at, before));
            }
            return;
        }
        if let Some(index) = &mut self.index {
            index.insert(target.clone(), self.changes.len());
        }
        self.changes.push(Change { target, value });
        if self.index.is_none() && self.changes.len() > SCANNED_MAX {
            let places = self.changes.iter().zip(0..);
            self.index = Some(places.map(|(change, at)| (change.target.clone(), at)).collect());
        }
    }

    /// The last position that this attempt appended to a list.
    pub fn appended(&self, slot: SlotId) -> Option<u64> {
        self.appends.iter().rev().find(|(s, _)| *s == slot).map(|(_, position)| *position)
    }

    /// Starts to remember what to put back.
    pub fn begin(&mut self) -> Mark {
        self.journal = Some(Vec::new());
        Mark {
            changes: self.changes.len(),
            appends: self.appends.len(),
            row_counts: self.row_counts.len(),
        }
    }

    /// Ends what `begin` started, putting everything back when it failed.
    pub fn end(&mut self, mark: Mark, failed: bool) {
        let journal = self.journal.take().unwrap_or_default();
        if failed {
            for (at, value) in journal.into_iter().rev() {
                if let Some(change) = self.changes.get_mut(at) {
                    change.value = value;
                }
            }
            if let Some(index) = &mut self.index {
                index.retain(|_, at| *at < mark.changes);
            }
            self.changes.truncate(mark.changes);
            self.appends.truncate(mark.appends);
            self.row_counts.truncate(mark.row_counts);
        }
    }
}
