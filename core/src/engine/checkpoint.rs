//! Handing out what is to be stored: blocks of commits, and changed rows with their position.
//!
//! Owns the sizes of the parts. A part once handed out counts as stored: a host that can not store
//! it drops the instance.

use alloc::vec::Vec;

use super::Engine;
use super::open::{CHECKPOINT_VERSION, Checkpoint};
use super::views::AHEAD;
use crate::encode::onto;
use crate::protocol::{Block, CheckpointPart, RowChange, View};

/// Parts cross the boundary in pieces of about this size.
const PART_BYTES_MAX: usize = 1 << 20;

impl Engine {
    /// The commits since the last call, a part at a time.
    pub fn take_block(&mut self) -> Block {
        let genesis =
            self.genesis.take_if(|genesis| genesis.line.is_some()).and_then(|genesis| genesis.line);
        let mut bytes = 0_usize;
        let fits = self.unstored.iter().take_while(|commit| {
            let room = bytes == 0 || bytes.saturating_add(commit.line.len()) <= PART_BYTES_MAX;
            bytes = bytes.saturating_add(commit.line.len());
            room
        });
        let count = fits.count();
        let part = self.unstored.drain(..count);
        let commits =
            part.map(|commit| (commit.first, commit.last, commit.line.as_ref().into())).collect();
        Block { genesis, commits, more: !self.unstored.is_empty() }
    }

    /// Whether a checkpoint would save anything.
    pub const fn changed(&self) -> bool {
        self.changed
    }

    /// All changed rows, a part at a time; the last part carries the checkpoint.
    pub fn take_checkpoint(&mut self) -> CheckpointPart {
        let views = &self.views;
        // Deletions come first: the generation may be used again right away.
        let mut rows: Vec<(View, Vec<RowChange>)> = self.trimmed.take();
        let mut current = None;
        self.cache.take_changed(PART_BYTES_MAX, |view, key, value| {
            if view == AHEAD {
                return;
            }
            if current != Some(view) {
                current = Some(view);
                rows.push((views.stored(view), Vec::new()));
            }
            if let Some((_, changes)) = rows.last_mut() {
                changes.push((key.to_vec(), value));
            }
        });
        let mut part = CheckpointPart { rows, dropped: Vec::new(), checkpoint: None };
        if self.cache.is_clean() {
            let (head, views) = (self.head.clone(), self.views.states().to_vec());
            let (asleep, garbage) = (self.views.asleep.clone(), self.views.garbage().to_vec());
            let checkpoint = Checkpoint { head, views, asleep, garbage };
            let bytes = onto(alloc::vec![CHECKPOINT_VERSION], &checkpoint).unwrap_or_default();
            part.checkpoint = Some((self.head.position, bytes));
            self.changed = false;
        }
        part
    }
}
