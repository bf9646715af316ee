//! The one way to rows and commits while an input is staged or a commit is folded.
//!
//! Owns the order of looking: what this attempt changed, what the engine holds, what the host
//! supplied; a miss is noted and ends the function that asked. Refuses to know what is read.
//!
//! Invariant: an attempt changes nothing but its own overlay, so it may be repeated at will.

mod lines;

use alloc::borrow::Cow;
use alloc::collections::BTreeSet;
use alloc::format;
use alloc::rc::Rc;
use alloc::vec::Vec;

use serde::Serialize;

use super::cache::{Cache, KeyBytes, KeyRef, Row, SlotId, ViewId};
use super::overlay::{Overlay, Target};
use super::postings::List;
use super::refold::Wanted;
use super::supplied::Supplied;
use super::views::{POSTINGS, Views};
use crate::encode::onto;
use crate::protocol::{Answer, Query, RowKey};
use crate::read::{KeyValue, Stop};
use crate::same::same;

/// Rows in memory that are looked at to tell how large a page to ask the store for.
const DELETED_MAX: usize = 1_000;

/// A commit that is taken in but not yet stored.
#[derive(Clone, Debug)]
pub struct Unstored {
    /// Position of its first event.
    pub first: u64,
    /// Position of its last event.
    pub last: u64,
    /// Its line, hash still zeros.
    pub line: Rc<str>,
}

/// See the module's description.
#[derive(Debug)]
pub struct Access<'e> {
    cache: &'e Cache,
    views: &'e Views,
    unstored: &'e [Unstored],
    pub(super) supplied: &'e Supplied,
    /// Position of the last commit taken in.
    head: u64,
    /// What this attempt changed.
    pub(super) overlay: Overlay,
    /// The row last looked for: reading, counting and writing one looks once.
    last: Option<(ViewId, KeyBytes, SlotId)>,
    misses: BTreeSet<Query>,
    /// A state that is to be folded first.
    pub(super) wanted: Option<Wanted>,
}

impl<'e> Access<'e> {
    pub(super) fn new(
        cache: &'e Cache,
        views: &'e Views,
        unstored: &'e [Unstored],
        supplied: &'e Supplied,
        head: u64,
        overlay: Overlay,
    ) -> Self {
        let misses = BTreeSet::new();
        Self { cache, views, unstored, supplied, head, overlay, last: None, misses, wanted: None }
    }

    /// The view that indexes records.
    pub const fn postings_view(&self) -> ViewId {
        POSTINGS
    }

    /// Position of the last commit taken in.
    pub const fn head(&self) -> u64 {
        self.head
    }

    /// The reads that were missing.
    pub fn take_misses(&mut self) -> Vec<Query> {
        core::mem::take(&mut self.misses).into_iter().collect()
    }

    fn find(&mut self, key: KeyRef<'_>) -> Option<SlotId> {
        if let Some((view, bytes, slot)) = &self.last
            && *view == key.view
            && same(bytes.get(), key.bytes)
        {
            return Some(*slot);
        }
        let slot = self.cache.find(key)?;
        self.last = Some((key.view, KeyBytes::new(key.bytes), slot));
        Some(slot)
    }

    fn miss(&mut self, key: KeyRef<'_>) -> Stop {
        self.misses.insert(Query::Row(RowKey {
            view: self.views.stored(key.view),
            key: key.bytes.to_vec(),
        }));
        Stop::Miss
    }

    /// A row.
    pub fn row(&mut self, view: ViewId, key: &[u8]) -> Result<Option<Cow<'_, [u8]>>, Stop> {
        let key = KeyRef { view, bytes: key };
        let slot = self.find(key);
        let known = match slot {
            Some(slot) => self.overlay.by_slot(slot).is_some(),
            None => self.overlay.by_key(key).is_some(),
        };
        if known {
            let value =
                slot.map_or_else(|| self.overlay.by_key(key), |slot| self.overlay.by_slot(slot));
            return Ok(value.flatten().map(Cow::Borrowed));
        }
        let Some(slot) = slot else { return Err(self.miss(key)) };
        Ok(match self.cache.row(slot) {
            Row::Absent => None,
            Row::Bytes(bytes) => Some(Cow::Borrowed(bytes)),
            Row::List(list) => Some(Cow::Owned(list.to_bytes())),
        })
    }

    /// A row as far as it is in memory: the store is not asked.
    pub(super) fn peek(&mut self, view: ViewId, key: &[u8]) -> Option<Cow<'_, [u8]>> {
        let key = KeyRef { view, bytes: key };
        if self.find(key).is_none() && self.overlay.by_key(key).is_none() {
            return None;
        }
        self.row(view, key.bytes).ok().flatten()
    }

    /// Writes a row.
    pub fn put<T: Serialize + ?Sized>(
        &mut self,
        view: ViewId,
        key: &[u8],
        value: &T,
    ) -> Result<(), Stop> {
        self.put_with(view, key, |out| {
            onto(out, value).map_err(|e| Stop::Fault(format!("a row can not be written: {e}")))
        })
    }

    /// Writes a row; `write` appends its value.
    pub fn put_with(
        &mut self,
        view: ViewId,
        key: &[u8],
        write: impl FnOnce(Vec<u8>) -> Result<Vec<u8>, Stop>,
    ) -> Result<(), Stop> {
        let target = self.target(KeyRef { view, bytes: key });
        self.overlay.set(target, write)
    }

    /// Deletes a row.
    pub fn delete(&mut self, view: ViewId, key: &[u8]) {
        let target = self.target(KeyRef { view, bytes: key });
        self.overlay.delete(target);
    }

    fn target(&mut self, key: KeyRef<'_>) -> Target {
        match self.find(key) {
            Some(slot) => Target::Slot(slot),
            None => Target::New(key.view, key.bytes.into()),
        }
    }

    /// Appends a position to a list; `write_key` appends the key of its tail row.
    pub(super) fn append(
        &mut self,
        view: ViewId,
        position: u64,
        write_key: impl FnOnce(&mut Vec<u8>),
    ) -> Result<(), Stop> {
        let mut key = core::mem::take(&mut self.overlay.scratch);
        key.clear();
        write_key(&mut key);
        let result = self.append_at(KeyRef { view, bytes: &key }, position);
        self.overlay.scratch = key;
        result
    }

    fn append_at(&mut self, key: KeyRef<'_>, position: u64) -> Result<(), Stop> {
        let Some(slot) = self.cache.find(key) else { return Err(self.miss(key)) };
        let last = match (self.overlay.appended(slot), self.cache.row(slot)) {
            (Some(last), _) => last,
            (None, Row::Absent) => 0,
            (None, Row::List(list)) => list.last(),
            (None, Row::Bytes(bytes)) => List::read(bytes)?.last(),
        };
        if position <= last {
            return Err(Stop::Fault("positions must increase".into()));
        }
        self.overlay.appends.push((slot, position));
        Ok(())
    }

    /// Notes that a row comes (`there`) or goes, if that is a change.
    pub fn count_row(&mut self, view: ViewId, key: &[u8], there: bool) -> Result<(), Stop> {
        match (self.row(view, key)?.is_some(), there) {
            (false, true) => self.overlay.row_counts.push((view, 1)),
            (true, false) => self.overlay.row_counts.push((view, -1)),
            _ => {}
        }
        Ok(())
    }

    /// Rows whose keys start with `prefix`, beyond `after`; fewer than `limit` means no more. What
    /// this very attempt changed is not among them.
    pub fn range(
        &mut self,
        view: ViewId,
        prefix: &[u8],
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<KeyValue>, Stop> {
        let limit_rows = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<KeyValue> = Vec::new();
        let mut after = after.to_vec();
        // A page of the store may lose rows to deletions in memory: read on until there are enough.
        loop {
            let start = if after.as_slice() > prefix { after.as_slice() } else { prefix };
            let limit = limit.saturating_add(self.deleted_from(view, prefix, start, limit_rows));
            let query = Query::Rows {
                view: self.views.stored(view),
                after_key: after.clone(),
                prefix: prefix.to_vec(),
                limit,
            };
            let Some(Answer::Rows(stored)) = self.supplied.others.get(&query) else {
                self.misses.insert(query);
                return Err(Stop::Miss);
            };
            let is_all = stored.len() < usize::try_from(limit).unwrap_or(usize::MAX);
            let end = if is_all { None } else { stored.last().map(|(key, _)| key.clone()) };
            let changed = self.cache.changed_from(view, start).take_while(|(key, _)| {
                key.starts_with(prefix) && end.as_deref().is_none_or(|end| *key <= end)
            });
            merge(
                stored,
                changed.filter(|(key, _)| *key > after.as_slice()),
                limit_rows,
                &mut found,
            );
            match end {
                Some(end) if found.len() < limit_rows => after = end,
                _ => return Ok(found),
            }
        }
    }

    /// How many rows of the store's next page are surely deleted in memory, about.
    fn deleted_from(&self, view: ViewId, prefix: &[u8], start: &[u8], wanted: usize) -> u32 {
        let (mut there, mut deleted) = (0_usize, 0_u32);
        let changed = self.cache.changed_from(view, start).take(DELETED_MAX);
        for (_, row) in changed.take_while(|(key, _)| key.starts_with(prefix)) {
            match row {
                Row::Absent => deleted = deleted.saturating_add(1),
                _ => there = there.saturating_add(1),
            }
            if there >= wanted {
                break;
            }
        }
        deleted
    }

    /// The first rows of a queue beyond `after`: of rows that are deleted from its front as they
    /// are done. What is known to be deleted is not looked through again.
    pub(super) fn front(
        &mut self,
        view: ViewId,
        prefix: &[u8],
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<KeyValue>, Stop> {
        let start = self.cache.gaps.borrow().past(view, after).to_vec();
        let found = self.range(view, prefix, &start, limit)?;
        if let Some((first, _)) = found.first() {
            self.cache.gaps.borrow_mut().note(view, after, first);
        }
        Ok(found)
    }
}

/// Adds rows in order, up to `limit` in all; those that changed in memory instead of the stored.
fn merge<'a>(
    stored: &[KeyValue],
    changed: impl Iterator<Item = (&'a [u8], &'a Row)>,
    limit: usize,
    found: &mut Vec<KeyValue>,
) {
    let (mut stored, mut changed) = (stored.iter().peekable(), changed.peekable());
    while found.len() < limit {
        let next = changed.peek().map(|(key, _)| *key);
        if let Some(row) = stored.next_if(|row| next.is_none_or(|key| row.0.as_slice() < key)) {
            found.push(row.clone());
        } else if let Some((key, value)) = changed.next() {
            found.extend(value.to_value().map(|value| (key.to_vec(), value)));
            stored.next_if(|row| row.0 == key);
        } else {
            break;
        }
    }
}
