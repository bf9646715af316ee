//! What one attempt changed, beside the cache: dropping it is the rollback.
//!
//! Owns new values by slot or key, positions to append to lists, and how many rows came or went.
//! Refuses to know where rows come from. A commit touches about a dozen rows, so looking through
//! them in order is quicker than hashing; past that an index is made. Values lie one after the
//! other in one buffer, and the whole is used again for the next commit: folding allocates next to
//! nothing.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::ops::Range;

use super::cache::{KeyRef, SlotId, ViewId};
use crate::sorted;

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

/// Where a new value lies; `None` deletes.
type Place = Option<Range<usize>>;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Overlay {
    values: Vec<u8>,
    changes: Vec<(Target, Place)>,
    /// Positions to append, by the slot of the list's tail row.
    pub appends: Vec<(SlotId, u64)>,
    /// Rows that came or went, by view.
    pub row_counts: Vec<(ViewId, i64)>,
    /// Places in `changes`, once there are many.
    index: Option<BTreeMap<Target, usize>>,
    journal: Vec<(usize, Place)>,
    /// For building keys.
    pub scratch: Vec<u8>,
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
            None => self.changes.iter().position(|(found, _)| found == target),
        }
    }

    fn value(&self, place: &Place) -> Option<&[u8]> {
        place.clone().and_then(|range| self.values.get(range))
    }

    /// The new value of the row in a slot, when it was changed.
    pub fn by_slot(&self, slot: SlotId) -> Option<Option<&[u8]>> {
        let (_, place) = self.find(&Target::Slot(slot)).and_then(|at| self.changes.get(at))?;
        Some(self.value(place))
    }

    /// The new value of a row without a slot, when it was written.
    pub fn by_key(&self, key: KeyRef<'_>) -> Option<Option<&[u8]>> {
        let same = |change: &&(Target, Place)| match &change.0 {
            Target::New(view, bytes) => *view == key.view && **bytes == *key.bytes,
            Target::Slot(_) => false,
        };
        self.changes.iter().find(same).map(|(_, place)| self.value(place))
    }

    /// Changes a row; `write` appends its new value.
    pub fn set<E>(
        &mut self,
        target: Target,
        write: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, E>,
    ) -> Result<(), E> {
        let start = self.values.len();
        self.values = write(core::mem::take(&mut self.values))?;
        let place = Some(start..self.values.len());
        self.put(target, place);
        Ok(())
    }

    /// Deletes a row.
    pub fn delete(&mut self, target: Target) {
        self.put(target, None);
    }

    fn put(&mut self, target: Target, place: Place) {
        if let Some(at) = self.find(&target) {
            if let Some((_, found)) = self.changes.get_mut(at) {
                let before = core::mem::replace(found, place);
                self.journal.push((at, before));
            }
            return;
        }
        if let Some(index) = &mut self.index {
            index.insert(target.clone(), self.changes.len());
        }
        self.changes.push((target, place));
        if self.index.is_none() && self.changes.len() > SCANNED_MAX {
            let places = self.changes.iter().zip(0..);
            self.index = Some(sorted::map(places.map(|((target, _), at)| (target.clone(), at))));
        }
    }

    /// The last position that this attempt appended to a list.
    pub fn appended(&self, slot: SlotId) -> Option<u64> {
        self.appends.iter().rev().find(|(s, _)| *s == slot).map(|(_, position)| *position)
    }

    /// Starts to remember what to put back.
    pub fn begin(&mut self) -> Mark {
        self.journal.clear();
        Mark {
            changes: self.changes.len(),
            appends: self.appends.len(),
            row_counts: self.row_counts.len(),
        }
    }

    /// Ends what `begin` started, putting everything back when it failed.
    pub fn end(&mut self, mark: Mark, failed: bool) {
        if failed {
            for (at, place) in self.journal.drain(..).rev() {
                if let Some((_, found)) = self.changes.get_mut(at) {
                    *found = place;
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

    /// All changed rows, in the order of their first change.
    pub fn changes(&self) -> impl Iterator<Item = (&Target, Option<&[u8]>)> {
        self.changes.iter().map(|(target, place)| (target, self.value(place)))
    }

    /// Forgets everything, keeps the room.
    pub fn clear(&mut self) {
        self.values.clear();
        self.changes.clear();
        self.appends.clear();
        self.row_counts.clear();
        self.index = None;
        self.journal.clear();
    }
}
