//! Commits that are asked for by positions: each line once, up to a page of them.
//!
//! Owns how positions become lines, for every store. A commit may hold a thousand positions and a
//! megabyte: whoever asks for a list of them is to get it once. Refuses to know where blocks lie.

use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::ops::RangeInclusive;

use super::sqlite::missing;
use super::{StoreError, StoredBlock};
use crate::chain;
use crate::limits::PAGE_BYTES_MAX;
use crate::time::Time;

/// A commit's line, and the last position that it holds.
pub(super) type Found = (String, u64);

/// Where the line lies in its block's text that was found last: positions are asked for in order as a
/// rule, and so the one beside it is looked at first.
#[derive(Debug, Default)]
pub(super) struct Place {
    first: u64,
    start: usize,
    next: usize,
}

impl Place {
    fn of(text: &str, line: &str, first: u64) -> Self {
        let start = line.as_ptr().addr().saturating_sub(text.as_ptr().addr());
        let next = start.saturating_add(line.len()).saturating_add(",\n".len());
        Self { first, start, next }
    }

    /// What begins with the line on that side of it where a position lies.
    fn beside<'a>(&self, text: &'a str, position: u64) -> &'a str {
        let start = if position < self.first {
            let before = self.start.checked_sub(1).and_then(|end| text.get(..end));
            before.and_then(|before| before.rfind('\n')).map_or(0, |at| at.saturating_add(1))
        } else {
            self.next
        };
        text.get(start..).unwrap_or_default()
    }
}

/// The commit of a block that holds a position, which is where it looks from the next time.
pub(super) fn in_block(
    block: Option<&StoredBlock>,
    position: u64,
    place: &mut Place,
) -> Result<Found, StoreError> {
    let block = block.filter(|block| (block.first..=block.last).contains(&position));
    let found = block.and_then(|block| {
        let text = chain::inner(&block.body);
        let (line, last) = match line_at(block, place.beside(text, position), position) {
            Some(beside) => beside,
            None => {
                let (line, following) = chain::line_and_next(&block.body, position)?;
                (line, following.map_or(block.last, |next| next.saturating_sub(1)))
            }
        };
        *place = Place::of(text, line, chain::position(line).unwrap_or(position));
        Some((line.to_string(), last))
    });
    found.ok_or_else(|| missing(position))
}

/// The line that a text begins with, and the last position that it holds, if this one is among them.
fn line_at<'a>(block: &StoredBlock, text: &'a str, position: u64) -> Option<(&'a str, u64)> {
    let (line, behind) = text.split_once('\n').unwrap_or((text, ""));
    let first = chain::position(line)?;
    // A damaged line behind it tells nothing.
    let last = match behind {
        "" => block.last,
        behind => chain::position(behind)?.saturating_sub(1),
    };
    let holds = (first..=last).contains(&position);
    holds.then(|| (line.strip_suffix(',').unwrap_or(line), last))
}

/// Their lines, in the order asked; see [`Query::Commits`](crate::protocol::Query::Commits).
pub(super) fn lines_of(
    positions: &[u64],
    mut find: impl FnMut(u64) -> Result<Found, StoreError>,
) -> Result<Vec<String>, StoreError> {
    let mut lines = Vec::with_capacity(positions.len());
    let (mut held, mut bytes) = (None, 0_usize);
    for &position in positions {
        if held.as_ref().is_some_and(|held: &RangeInclusive<u64>| held.contains(&position)) {
            lines.push(String::new());
            continue;
        }
        if bytes >= PAGE_BYTES_MAX {
            break;
        }
        let (line, last) = find(position)?;
        held = Some(chain::position(&line).unwrap_or(position)..=last);
        bytes = bytes.saturating_add(line.len());
        lines.push(line);
    }
    Ok(lines)
}

/// When they were recorded, in the order asked.
pub(super) fn times_of(
    positions: &[u64],
    mut find: impl FnMut(u64) -> Result<Found, StoreError>,
) -> Result<Vec<Time>, StoreError> {
    let unreadable = |position| {
        let detail = "the time of a commit can not be read".into();
        StoreError::CorruptLog { position, detail }
    };
    let time = |&position| chain::time(&find(position)?.0).ok_or_else(|| unreadable(position));
    positions.iter().map(time).collect()
}
