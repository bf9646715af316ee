//! A store in memory: for tests, and for folding a log whose rows are to be thrown away, and for a
//! host that keeps nothing.
//!
//! Owns ordered maps and nothing else. Keeps what it is given until it is dropped.

use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;

use super::leftovers::shortened;
use super::lines::{Found, Place, in_block, lines_of, times_of};
use super::{Importing, Progress, Store, StoreError, StoredBlock, Tail, Write};
use crate::chain;
use crate::limits::{CUT_BLOCKS_MAX, PAGE_BYTES_MAX};
use crate::protocol::{Answer, Query, View};

/// Log, rows and checkpoint of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MemoryStore {
    /// Blocks by first position; genesis at 0.
    pub log: BTreeMap<u64, StoredBlock>,
    /// Rows of each view, without checksums.
    pub rows: BTreeMap<View, BTreeMap<Vec<u8>, Vec<u8>>>,
    /// The checkpoint row.
    pub checkpoint: Option<Vec<u8>>,
    /// How far an unfinished import has come.
    pub import: Option<Progress>,
}

impl MemoryStore {
    fn cut(&mut self, cut: u64) {
        for _ in 0..CUT_BLOCKS_MAX {
            let Some(last) = self.log.last_entry().filter(|last| *last.key() > cut) else { break };
            last.remove();
        }
        if cut > 0
            && let Some((_, block)) = self.log.range_mut(1..=cut).next_back()
            && let Some(short) = shortened(block, cut)
        {
            *block = short;
        }
    }

    fn find(&self, position: u64) -> Result<Found, StoreError> {
        let block = self.log.range(1..=position).next_back();
        in_block(block.map(|(_, block)| block), position, &mut Place::default())
    }

    fn answer(&self, query: &Query) -> Result<Answer, StoreError> {
        Ok(match query {
            Query::Commits { positions } => {
                Answer::Commits(lines_of(positions, |position| self.find(position))?)
            }
            Query::Times { positions } => {
                Answer::Times(times_of(positions, |position| self.find(position))?)
            }
            Query::CommitsAfter { after, limit, descending } => {
                let limit = usize::try_from(*limit).unwrap_or(usize::MAX);
                let mut bytes = 0_usize;
                // A page ends after the line that fills it.
                let room = |line: &&str| {
                    let room = bytes < PAGE_BYTES_MAX;
                    bytes = bytes.saturating_add(line.len());
                    room
                };
                let wanted = |line: &&str| {
                    chain::position(line)
                        .is_none_or(|p| if *descending { p < *after } else { p > *after })
                };
                let start =
                    self.log.range(1..=(*after).max(1)).next_back().map_or(1, |(first, _)| *first);
                let found: Vec<_> = if *descending {
                    let blocks = self.log.range(1..(*after).max(1)).rev();
                    blocks
                        .flat_map(|(_, b)| chain::lines(&b.body).rev())
                        .filter(wanted)
                        .take(limit)
                        .take_while(room)
                        .collect()
                } else {
                    let blocks = self.log.range(start..);
                    blocks
                        .flat_map(|(_, b)| chain::lines(&b.body))
                        .filter(wanted)
                        .take(limit)
                        .take_while(room)
                        .collect()
                };
                Answer::Commits(found.into_iter().map(ToString::to_string).collect())
            }
            Query::Row(key) => {
                Answer::Row(self.rows.get(&key.view).and_then(|rows| rows.get(&key.key)).cloned())
            }
            Query::Rows { view, after_key, prefix, limit } => {
                let rows =
                    self.rows.get(view).into_iter().flat_map(|rows| rows.range(prefix.clone()..));
                let found = rows
                    .take_while(|(key, _)| key.starts_with(prefix))
                    .filter(|(key, _)| *key > after_key)
                    .take(usize::try_from(*limit).unwrap_or(usize::MAX));
                Answer::Rows(found.map(|(key, value)| (key.clone(), value.clone())).collect())
            }
        })
    }
}

impl Store for MemoryStore {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let genesis = self.log.get(&0).map(|block| chain::inner(&block.body).to_string());
        let last = self.log.range(1..).next_back();
        let last = last.map(|(_, block)| {
            (block.last, chain::lines(&block.body).next_back().unwrap_or_default().to_string())
        });
        let (checkpoint, import) = (self.checkpoint.clone(), self.import.clone());
        Ok(Tail { genesis, last, checkpoint, import })
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        queries.iter().map(|query| self.answer(query)).collect()
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        // Only what is cut makes room where a block is: that comes before blocks anyway.
        if let Some(cut) = write.cut {
            self.cut(cut);
        } else if let Some(block) = write.blocks.iter().find(|b| self.log.contains_key(&b.first)) {
            let detail = alloc::format!("there is a block at position {} already", block.first);
            return Err(StoreError::Unknown(detail));
        }
        for block in &write.blocks {
            self.log.insert(block.first, block.clone());
        }
        for view in &write.dropped {
            self.rows.remove(view);
        }
        for (view, changes) in &write.rows {
            let rows = self.rows.entry(view.clone()).or_default();
            for (key, value) in changes {
                match value {
                    Some(value) => rows.insert(key.clone(), value.clone()),
                    None => rows.remove(key),
                };
            }
        }
        if write.checkpoint.is_some() {
            self.checkpoint.clone_from(&write.checkpoint);
        }
        match &write.import {
            Some(Importing::At(progress)) => self.import = Some(progress.clone()),
            Some(Importing::Ended) => self.import = None,
            None => {}
        }
        Ok(())
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.rows.clear();
        self.checkpoint = None;
        Ok(())
    }
}
