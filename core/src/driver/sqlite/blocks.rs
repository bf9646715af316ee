//! Blocks of the log: the one that holds a position, and those that follow each other.
//!
//! Owns how many are read at once. Where little is written at a time a block holds a commit, and a
//! page of events would take a statement for each of a thousand. Refuses to know what lines say.

use alloc::collections::VecDeque;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::connection::{SqlValue, Sqlite};
use super::super::lines::{Found, Place, in_block};
use super::super::schema::{
    BLOCK_OF, BLOCKS_AFTER, BLOCKS_BEFORE, NEXT_BLOCK, SIZES_AFTER, SIZES_BEFORE,
};
use super::super::{StoreError, StoredBlock};
use super::{SqlStore, integer, stored_block};
use crate::chain;
use crate::limits::PAGE_BYTES_MAX;

/// At most so many are read at once, and so many bytes of them unless the first has more.
const RUN_BLOCKS_MAX: u64 = 64;
const RUN_BYTES_MAX: u64 = 256 << 10;
/// The first run for positions that are asked for one by one; each doubles, a jump begins anew.
const RUN_BLOCKS_FIRST: u64 = 2;
/// Positions that lie closer together are looked for in the blocks that follow.
const CLOSE: u64 = 4;

/// Blocks that were read before they were asked for.
#[derive(Debug)]
struct Ahead {
    run: VecDeque<StoredBlock>,
    descending: bool,
    /// So many are read the next time.
    most: u64,
}

impl Default for Ahead {
    fn default() -> Self {
        Self { run: VecDeque::new(), descending: false, most: RUN_BLOCKS_FIRST }
    }
}

fn holds(block: &StoredBlock, position: u64) -> bool {
    (block.first..=block.last).contains(&position)
}

impl<C: Sqlite> SqlStore<C> {
    /// The block that a statement finds by a position.
    fn block(
        &mut self,
        sql: &'static str,
        position: u64,
    ) -> Result<Option<StoredBlock>, StoreError> {
        let rows = self.log(sql, &[integer(position)], position)?;
        rows.into_iter().next().map(stored_block).transpose()
    }

    /// Finds commits by positions, which often share a block: it is read once for a run of them.
    pub(super) fn finder(&mut self) -> impl FnMut(u64) -> Result<Found, StoreError> {
        let (mut block, mut place): (Option<StoredBlock>, _) = (None, Place::default());
        let mut ahead = Ahead::default();
        move |position| {
            if !block.as_ref().is_some_and(|block| holds(block, position)) {
                block = self.near(block.take(), position, &mut ahead)?;
                place = Place::default();
            }
            in_block(block.as_ref(), position, &mut place)
        }
    }

    /// The block of a position: one of those that follow the last one, where it is close to that.
    fn near(
        &mut self,
        last: Option<StoredBlock>,
        position: u64,
        ahead: &mut Ahead,
    ) -> Result<Option<StoredBlock>, StoreError> {
        let Some(last) = last else { return self.block(BLOCK_OF, position) };
        let descending = position < last.first;
        if ahead.descending != descending {
            *ahead = Ahead { descending, ..Ahead::default() };
        }
        let beyond = if descending { last.first } else { last.last };
        if ahead.run.is_empty() {
            if beyond.abs_diff(position) > CLOSE {
                ahead.most = RUN_BLOCKS_FIRST;
                return self.block(BLOCK_OF, position);
            }
            ahead.run = self.run(beyond, descending, ahead.most);
            ahead.most = ahead.most.saturating_mul(2).min(RUN_BLOCKS_MAX);
        }
        while let Some(block) = ahead.run.pop_front() {
            if holds(&block, position) {
                return Ok(Some(block));
            }
            if descending == (block.last < position) {
                break;
            }
        }
        self.block(BLOCK_OF, position)
    }

    pub(super) fn commits_after(
        &mut self,
        after: u64,
        limit: u32,
        descending: bool,
    ) -> Result<Vec<String>, StoreError> {
        let limit = usize::try_from(limit).unwrap_or(usize::MAX);
        let mut found: Vec<String> = Vec::new();
        let (mut at, mut bytes) = (after, 0_usize);
        let mut ahead = VecDeque::new();
        // Ascending starts within the block that holds `after`, descending with the one below.
        let mut block = if descending { None } else { self.block(BLOCK_OF, after)? };
        loop {
            let before = found.len();
            if let Some(block) = &block {
                let within = |line: &&str| {
                    chain::position(line)
                        .is_none_or(|p| if descending { p < after } else { p > after })
                };
                let mut take = |line: &str| {
                    let room = found.len() < limit && (found.is_empty() || bytes < PAGE_BYTES_MAX);
                    if room {
                        bytes = bytes.saturating_add(line.len());
                        found.push(line.to_string());
                    }
                    room
                };
                let more = if descending {
                    chain::lines(&block.body).rev().filter(within).all(&mut take)
                } else {
                    chain::lines(&block.body).filter(within).all(&mut take)
                };
                if !more || found.len() >= limit {
                    return Ok(found);
                }
                at = if descending { block.first } else { block.last };
            }
            if ahead.is_empty() {
                // As many as it takes, if they hold as much as this one did.
                let of_one = found.len().saturating_sub(before);
                let wanted = limit.saturating_sub(found.len()).checked_div(of_one);
                ahead = match wanted {
                    Some(wanted) if wanted > 1 => self.run(at, descending, wanted as u64),
                    _ => VecDeque::new(),
                };
            }
            block = match ahead.pop_front() {
                Some(block) => Some(block),
                None if !descending => self.block(NEXT_BLOCK, at)?,
                None if at <= 1 => None,
                None => self.block(BLOCK_OF, at.saturating_sub(1))?,
            };
            if block.is_none() {
                return Ok(found);
            }
        }
    }

    /// Blocks that follow each other from beyond a position on, as far as they can be read.
    fn run(&mut self, beyond: u64, descending: bool, most: u64) -> VecDeque<StoredBlock> {
        let (sizes, blocks) = match descending {
            true => (SIZES_BEFORE, BLOCKS_BEFORE),
            false => (SIZES_AFTER, BLOCKS_AFTER),
        };
        let from = integer(beyond);
        let most = most.min(RUN_BLOCKS_MAX);
        let sizes = self.log(sizes, &[from.clone(), integer(most)], beyond).unwrap_or_default();
        let (mut count, mut bytes) = (0_u64, 0_u64);
        for size in sizes {
            let Some(SqlValue::Integer(size)) = size.first() else { break };
            bytes = bytes.saturating_add(u64::try_from(*size).unwrap_or(u64::MAX));
            if count > 0 && bytes > RUN_BYTES_MAX {
                break;
            }
            count = count.saturating_add(1);
        }
        if count == 0 {
            return VecDeque::new();
        }
        // What is damaged is told when it is its turn, by whoever reads it alone.
        let rows = self.log(blocks, &[from, integer(count)], beyond).unwrap_or_default();
        let mut edge = beyond;
        let follows = |block: &StoredBlock| {
            let (near, far) = match descending {
                true => (block.last.checked_add(1), block.first),
                false => (block.first.checked_sub(1), block.last),
            };
            near == Some(core::mem::replace(&mut edge, far))
        };
        let blocks = rows.into_iter().map_while(|row| stored_block(row).ok());
        blocks.take_while(follows).collect()
    }
}
