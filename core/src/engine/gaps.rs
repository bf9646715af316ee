//! Gaps: stretches of a view's keys that hold no rows, where a queue's done rows were.
//!
//! Owns what is known of one stretch a view. A row that is deleted stays in memory, and in the
//! store, until the next checkpoint: without this, whoever looks for a queue's front would look
//! through all that is done. Refuses to know what rows mean.
//!
//! Invariant: a gap only ever shrinks by what is written into it, so it is as true as the rows.

use alloc::vec::Vec;

use super::cache::ViewId;

#[derive(Debug)]
struct Gap {
    view: ViewId,
    /// No row has a key between these two.
    after: Vec<u8>,
    before: Vec<u8>,
}

impl Gap {
    fn holds(&self, key: &[u8]) -> bool {
        self.after.as_slice() <= key && key < self.before.as_slice()
    }
}

/// See the module's description.
#[derive(Debug, Default)]
pub(super) struct Gaps(Vec<Gap>);

impl Gaps {
    /// From where to look for rows beyond `after`.
    pub(super) fn past<'k>(&'k self, view: ViewId, after: &'k [u8]) -> &'k [u8] {
        let gap = self.0.iter().find(|gap| gap.view == view && gap.holds(after));
        // A key without its last byte comes just before it.
        let end = gap.and_then(|gap| gap.before.split_last()).map_or(after, |(_, start)| start);
        end.max(after)
    }

    /// `first` is the first row beyond `after`.
    pub(super) fn note(&mut self, view: ViewId, after: &[u8], first: &[u8]) {
        match self.0.iter_mut().find(|gap| gap.view == view) {
            Some(gap) if gap.holds(after) => gap.before = first.to_vec(),
            Some(gap) => (gap.after, gap.before) = (after.to_vec(), first.to_vec()),
            None => self.0.push(Gap { view, after: after.to_vec(), before: first.to_vec() }),
        }
    }

    /// A row was written.
    pub(super) fn written(&mut self, view: ViewId, key: &[u8]) {
        let gap = self.0.iter_mut().find(|gap| gap.view == view && gap.holds(key));
        if let Some(gap) = gap {
            gap.before = key.to_vec();
        }
    }
}
