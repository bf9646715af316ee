//! Reading the rows of a view at once, where a long fold would miss them one by one: each miss
//! costs a way to the store and back, and its commit is folded twice.
//!
//! Owns when that pays and how much is read. Refuses to know who folds.
//!
//! Invariant: what is read was stored before anything that is folded now. The cache keeps what it
//! knows, which is newer.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::Engine;
use super::cache::KeyRef;
use super::supplied::Supplied;
use crate::protocol::{Answer, Query, RowKey, View};

/// So many rows of a view are missed before it is read.
const MISSED_MIN: u32 = 128;
/// So many events are left to fold, or it does not pay.
const LEFT_MIN: u64 = 2_000;
/// Rows of the first page; the size of its rows says how many the next one has.
const FIRST_ROWS: u32 = 16;
const ROWS_MAX: u32 = 1_000;
const PAGE_BYTES: usize = 128 << 10;

/// What was missed, and the view that is read.
#[derive(Debug, Default)]
pub struct Warming {
    missed: BTreeMap<View, u32>,
    page: Option<Page>,
}

/// Where the next page starts.
#[derive(Debug)]
struct Page {
    view: View,
    after_key: Vec<u8>,
    limit: u32,
    /// Rows that are read at most: as many as there are events to fold.
    left: u64,
}

impl Page {
    fn query(&self) -> Query {
        let (view, after_key) = (self.view.clone(), self.after_key.clone());
        Query::Rows { view, after_key, prefix: Vec::new(), limit: self.limit }
    }
}

impl Warming {
    /// Notes what a fold of events, of which so many are left, misses; and asks for a page with it.
    pub fn missed(&mut self, queries: &mut Vec<Query>, left: u64) {
        for query in queries.iter() {
            let Query::Row(RowKey { view, .. }) = query else { continue };
            let missed = match self.missed.get_mut(view) {
                Some(missed) => missed,
                None => self.missed.entry(view.clone()).or_default(),
            };
            if *missed < MISSED_MIN {
                *missed = missed.saturating_add(1);
            } else if *missed == MISSED_MIN && self.page.is_none() && left >= LEFT_MIN {
                // Once: what is missed after that is not stored, or there is too much of it.
                *missed = u32::MAX;
                let (view, after_key) = (view.clone(), Vec::new());
                self.page = Some(Page { view, after_key, limit: FIRST_ROWS, left });
            }
        }
        queries.extend(self.page.as_ref().map(Page::query));
    }
}

impl Engine {
    /// Takes a page in that was asked for, if it was.
    pub fn warm(&mut self, warming: &mut Warming, supplied: &mut Supplied) {
        let Some(mut page) = warming.page.take() else { return };
        let Some(Answer::Rows(rows)) = supplied.others.remove(&page.query()) else { return };
        let Some(view) = self.views.find(&page.view) else { return };
        let Some((last, _)) = rows.last() else { return };
        let (read, whole) = (rows.len(), rows.len() >= page.limit as usize);
        page.after_key.clone_from(last);
        let mut bytes = 0_usize;
        for (key, value) in rows {
            bytes = bytes.saturating_add(key.len()).saturating_add(value.len());
            self.cache.learn(KeyRef { view, bytes: &key }, Some(value));
        }
        page.left = page.left.saturating_sub(read as u64);
        let of_that_size = PAGE_BYTES.saturating_mul(read).checked_div(bytes).unwrap_or(read);
        page.limit = u32::try_from(of_that_size).map_or(ROWS_MAX, |rows| rows.clamp(1, ROWS_MAX));
        if whole && page.left > 0 && self.cache.has_room() {
            warming.page = Some(page);
        }
    }
}
