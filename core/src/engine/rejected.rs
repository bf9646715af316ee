//! The rows of the rejection journal: the driver's, not made by the fold, and read by ranges alone.
//!
//! Owns their view and keys. Refuses to know what an entry says and when there is one (the driver's
//! `rejected` does).

use alloc::string::String;
use alloc::vec::Vec;

use super::access::Access;
use super::pending::broken;
use super::views::{self, REJECTED};
use crate::limits::PAGE_BYTES_MAX;
use crate::protocol::View;
use crate::read::Stop;

/// Key of the row that tells where the ring stands.
pub const RING: &[u8] = &[0];
/// What the keys of entries start with; their number follows, most significant byte first.
pub const ENTRIES: &[u8] = &[1];
/// Entries that are read at a time.
const CHUNK: u32 = 64;

/// The view, as the store names it: it has one generation.
pub fn view() -> View {
    View { name: views::name(REJECTED).into(), generation: views::generation(REJECTED) }
}

/// Key of an entry.
pub fn entry_key(number: u64) -> Vec<u8> {
    [ENTRIES, &number.to_be_bytes()].concat()
}

/// A page of entries with numbers beyond `after`, oldest first: each with its number. At most `limit`,
/// fewer when they are long; the flag says that there are more.
pub fn page(
    access: &mut Access<'_>,
    after: Option<u64>,
    limit: usize,
) -> Result<(Vec<(u64, String)>, bool), Stop> {
    let mut start = after.map_or_else(Vec::new, entry_key);
    let (mut found, mut bytes): (Vec<(u64, String)>, usize) = (Vec::new(), 0);
    loop {
        let rows = access.range(REJECTED, ENTRIES, &start, CHUNK)?;
        let is_last = rows.len() < CHUNK as usize;
        for (key, value) in rows {
            if found.len() >= limit || bytes > PAGE_BYTES_MAX {
                return Ok((found, true));
            }
            let number = key.get(ENTRIES.len()..).and_then(|number| number.try_into().ok());
            let number = number.map(u64::from_be_bytes).ok_or_else(|| broken("its number"))?;
            let entry = String::from_utf8(value).map_err(|_| broken("a refused command"))?;
            bytes = bytes.saturating_add(entry.len());
            found.push((number, entry));
            start = key;
        }
        if is_last {
            return Ok((found, false));
        }
    }
}
