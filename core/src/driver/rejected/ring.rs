//! The stored ring: entries by number, and a row that tells where it stands.
//!
//! Owns their rows, and that the oldest go first. Refuses to know what an entry says.

use alloc::collections::VecDeque;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::driver::{Store, StoreError, Write};
use crate::engine::rejected::{ENTRIES, RING, entry_key, view};
use crate::json::push_unsigned;
use crate::protocol::{Answer, Query, RowChange, RowKey};
use crate::read::KeyValue;

/// Of the oldest entries so many are read at a time.
const OLDEST: u32 = 64;
/// So many are dropped in one transaction, and some more.
const DROPPED_MAX: usize = 1_024;

/// Where it stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Ring {
    /// Number of the oldest entry.
    first: u64,
    /// Number of the next one.
    next: u64,
    /// Bytes of all of them.
    pub bytes: u64,
}

impl Default for Ring {
    fn default() -> Self {
        Self { first: 1, next: 1, bytes: 0 }
    }
}

/// What is stored of it.
pub(super) fn read<T: Store>(store: &mut T) -> Result<Ring, StoreError> {
    let key = RowKey { view: view(), key: RING.to_vec() };
    Ok(match store.read(&[Query::Row(key)])?.pop() {
        // One that can not be read is begun anew: older entries are overwritten as it goes on.
        Some(Answer::Row(Some(value))) => postcard::from_bytes(&value).unwrap_or_default(),
        _ => Ring::default(),
    })
}

/// Adds entries behind `lost` ones that were not kept, and drops the oldest until all of them fit
/// into `room`. True when there are still more to drop.
pub(super) fn add<T: Store>(
    store: &mut T,
    entries: &VecDeque<String>,
    lost: u64,
    room: u64,
) -> Result<bool, StoreError> {
    let Ring { mut first, mut next, mut bytes } = read(store)?;
    let values: Vec<String> = (next.saturating_add(lost)..)
        .zip(entries)
        .map(|(number, entry)| numbered(number, entry))
        .collect();
    let new = values.iter().fold(0_u64, |sum, value| sum.saturating_add(size(value.len())));
    let full = |bytes: u64| bytes.saturating_add(new) > room;
    let mut rows: Vec<RowChange> = Vec::new();
    while full(bytes) && first < next && rows.len() < DROPPED_MAX {
        let mut oldest = oldest(store, first)?.into_iter();
        if oldest.len() == 0 {
            // They are lost: nothing is left to drop.
            (first, bytes) = (next, 0);
        }
        while let Some((key, value)) = oldest.next().filter(|_| full(bytes)) {
            bytes = bytes.saturating_sub(size(value.len()));
            first = number(&key).map_or(next, |number| number.saturating_add(1));
            rows.push((key, None));
        }
    }
    let more = full(bytes) && first < next;
    next = next.saturating_add(lost);
    bytes = bytes.saturating_add(new);
    for value in values {
        rows.push((entry_key(next), Some(value.into_bytes())));
        next = next.saturating_add(1);
    }
    let empty = first == next && room == 0;
    let ring = postcard::to_allocvec(&Ring { first, next, bytes });
    rows.push((RING.to_vec(), ring.ok().filter(|_| !empty)));
    rows.sort();
    store.write(&Write { rows: alloc::vec![(view(), rows)], ..Write::default() })?;
    Ok(more)
}

/// Deletes all of it.
pub(super) fn erase<T: Store>(store: &mut T) -> Result<(), StoreError> {
    store.write(&Write { dropped: alloc::vec![view()], ..Write::default() })
}

/// An entry as it is stored.
fn numbered(number: u64, entry: &str) -> String {
    let mut value = String::from("{\"n\":");
    push_unsigned(&mut value, number);
    value.push(',');
    value.push_str(entry);
    value
}

fn number(key: &[u8]) -> Option<u64> {
    key.get(ENTRIES.len()..)?.try_into().ok().map(u64::from_be_bytes)
}

fn size(bytes: usize) -> u64 {
    u64::try_from(bytes).unwrap_or(u64::MAX)
}

fn oldest<T: Store>(store: &mut T, first: u64) -> Result<Vec<KeyValue>, StoreError> {
    let query = Query::Rows {
        view: view(),
        after_key: first.checked_sub(1).map_or_else(Vec::new, entry_key),
        prefix: ENTRIES.to_vec(),
        limit: OLDEST,
    };
    Ok(match store.read(&[query])?.pop() {
        Some(Answer::Rows(rows)) => rows,
        _ => Vec::new(),
    })
}
