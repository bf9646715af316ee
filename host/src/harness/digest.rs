//! The digest of rows: what two folds of one log must agree on.
//!
//! SHA-256 over all rows of views that count (law 2: not those whose names start with `~`, nor
//! the checkpoint), ordered by view and key; of each its view's name, key and value, each behind
//! its length as a little-endian u32.

use foldlog_core::driver::MemoryStore;
use foldlog_core::protocol::View;
use sha2::{Digest, Sha256};

/// Whether a view's rows belong to the fold.
pub fn counts(view: &str) -> bool {
    !view.starts_with('~') && view != "checkpoint"
}

/// The rows that count, in order.
pub fn rows(store: &MemoryStore) -> impl Iterator<Item = (&View, &Vec<u8>, &Vec<u8>)> {
    let views = store.rows.iter().filter(|(view, _)| counts(&view.name));
    views.flat_map(|(view, rows)| rows.iter().map(move |(key, value)| (view, key, value)))
}

/// The digest, and how many rows went into it.
pub fn of(store: &MemoryStore) -> ([u8; 32], u64) {
    let mut digest = Sha256::new();
    let mut count = 0;
    for (view, key, value) in rows(store) {
        for part in [view.name.as_bytes(), key, value] {
            digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
            digest.update(part);
        }
        count += 1;
    }
    (digest.finalize().into(), count)
}
