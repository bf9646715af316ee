//! Sorting, once: each kind of it that the standard library makes is some kilobytes of code, and
//! what is loaded at the edge is to be small.
//!
//! Owns the order of what is told by a comparison, and maps that are filled without being sorted
//! first, as `collect` does. Refuses to know what is sorted.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cmp::Ordering;

/// The indices below `count`, sorted; equal ones stay in order.
pub fn order(count: usize, compare: &dyn Fn(usize, usize) -> Ordering) -> Vec<u32> {
    let mut sorted: Vec<u32> = (0_u32..).take(count).collect();
    sorted.sort_unstable_by(|a, b| compare(*a as usize, *b as usize).then(a.cmp(b)));
    sorted
}

/// A map of these entries; of one key the last counts.
pub fn map<K: Ord, V>(entries: impl Iterator<Item = (K, V)>) -> BTreeMap<K, V> {
    let mut map = BTreeMap::new();
    for (key, value) in entries {
        map.insert(key, value);
    }
    map
}
