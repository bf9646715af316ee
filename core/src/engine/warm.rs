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
/// A page has no more rows than fit into so many bytes if all are as long as the longest so far,
/// of those that were missed as well; nor more than so many. A store does not count bytes.
const PAGE_BYTES: usize = 256 << 10;
const ROWS_MAX: usize = 64;

/// What was missed, and the view that is read.
#[derive(Debug, Default)]
pub struct Warming {
    missed: BTreeMap<View, Missed>,
    page: Option<Page>,
}

/// Rows of a view that were asked for one by one.
#[derive(Debug, Default)]
struct Missed {
    count: u32,
    longest: usize,
}

/// Where the next page starts.
#[derive(Debug)]
struct Page {
    view: View,
    after_key: Vec<u8>,
    longest: usize,
    /// Rows that are read at most: as many as there are events to fold.
    left: u64,
}

impl Page {
    fn query(&self) -> Query {
        let (view, after_key) = (self.view.clone(), self.after_key.clone());
        Query::Rows { view, after_key, prefix: Vec::new(), limit: self.limit() }
    }

    fn limit(&self) -> u32 {
        let fit = PAGE_BYTES.checked_div(self.longest).unwrap_or(ROWS_MAX).clamp(1, ROWS_MAX);
        u32::try_from(fit).unwrap_or(1)
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
            if missed.count < MISSED_MIN {
                missed.count = missed.count.saturating_add(1);
            } else if missed.count == MISSED_MIN && self.page.is_none() && left >= LEFT_MIN {
                // Once: what is missed after that is not stored, or there is too much of it.
                missed.count = u32::MAX;
                let (view, after_key, longest) = (view.clone(), Vec::new(), missed.longest);
                self.page = Some(Page { view, after_key, longest, left });
            }
        }
        queries.extend(self.page.as_ref().map(Page::query));
    }

    /// Notes how long the rows are that were missed.
    pub fn found(&mut self, queries: &[Query], answers: &[Answer]) {
        for (query, answer) in queries.iter().zip(answers) {
            let (Query::Row(key), Answer::Row(Some(value))) = (query, answer) else { continue };
            let Some(missed) = self.missed.get_mut(&key.view) else { continue };
            missed.longest = missed.longest.max(key.key.len().saturating_add(value.len()));
        }
    }
}

impl Engine {
    /// Takes a page in that was asked for, if it was.
    pub fn warm(&mut self, warming: &mut Warming, supplied: &mut Supplied) {
        let Some(query) = warming.page.as_ref().map(Page::query) else { return };
        let Some(Answer::Rows(rows)) = supplied.others.remove(&query) else { return };
        let Some(mut page) = warming.page.take() else { return };
        let Some(view) = self.views.find(&page.view) else { return };
        let Some((last, _)) = rows.last() else { return };
        let whole = rows.len() >= page.limit() as usize;
        page.after_key.clone_from(last);
        page.left = page.left.saturating_sub(rows.len() as u64);
        for (key, value) in rows {
            page.longest = page.longest.max(key.len().saturating_add(value.len()));
            self.cache.learn(KeyRef { view, bytes: &key }, Some(value));
        }
        if whole && page.left > 0 && self.cache.has_room() {
            warming.page = Some(page);
        }
    }
}
