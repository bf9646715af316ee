//! Taking stored commits in: into all rows (fold), and into generations that are being built
//! (slices).
//!
//! Owns both jobs between their calls. Refuses to know what a commit changes.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answered::{Answered, encode, refuse};
use super::{Opened, UnderWay};
use crate::engine::{FoldStop, Slice, SliceStop, Supplied};
use crate::protocol::{Fold, FoldStep, Query, RefusalReason, SliceStep};

#[derive(Debug)]
pub(super) struct Slicing {
    pub slice: Slice,
    pub supplied: Supplied,
    pub asked: Vec<Query>,
}

#[derive(Debug)]
pub(super) struct Folding {
    blocks: Vec<String>,
    block: usize,
    /// Where the next line starts in the current block.
    offset: usize,
    pub supplied: Supplied,
    pub asked: Vec<Query>,
}

impl Opened {
    pub(super) fn slice(&mut self, events_max: u32) -> Answered {
        let folded = self.engine.head().position >= self.stored_head;
        if self.holds() || !matches!(self.under_way, UnderWay::Nothing) || !folded {
            return refuse(RefusalReason::OutOfOrder, "something else is under way");
        }
        self.engine.evict();
        let slice = Slice::new(events_max);
        self.continue_slice(Slicing { slice, supplied: Supplied::default(), asked: Vec::new() })
    }

    pub(super) fn continue_slice(&mut self, mut slicing: Slicing) -> Answered {
        match self.engine.slice(&mut slicing.slice, &mut slicing.supplied) {
            Ok(()) => encode(&SliceStep::Done {
                more: self.engine.slices_due(self.engine.head().position),
                checkpoint_due: self.engine.slice_checkpoint_due(),
            }),
            Err(SliceStop::Corrupt(detail)) => refuse(RefusalReason::Corrupt, detail),
            Err(SliceStop::Need(queries)) => {
                slicing.asked.clone_from(&queries);
                self.under_way = UnderWay::Slice(slicing);
                encode(&SliceStep::Need(queries))
            }
        }
    }

    pub(super) fn fold(&mut self, fold: &Fold<'_>) -> Answered {
        if self.holds() || !matches!(self.under_way, UnderWay::Nothing) {
            return refuse(RefusalReason::OutOfOrder, "something else is under way");
        }
        let blocks = fold.blocks.iter().map(ToString::to_string).collect();
        self.engine.evict();
        self.continue_fold(Folding {
            blocks,
            block: 0,
            offset: 0,
            supplied: Supplied::default(),
            asked: Vec::new(),
        })
    }

    pub(super) fn continue_fold(&mut self, mut folding: Folding) -> Answered {
        while let Some(block) = folding.blocks.get(folding.block) {
            let rest = block.get(folding.offset..).unwrap_or_default();
            if rest.is_empty() {
                folding.block = folding.block.saturating_add(1);
                folding.offset = 0;
                continue;
            }
            if self.engine.checkpoint_due() {
                self.under_way = UnderWay::Fold(folding);
                return encode(&FoldStep::CheckpointDue);
            }
            // No line holds a line feed; all but the last end in a comma.
            let (line, skip) = match rest.find('\n') {
                Some(end) => {
                    (rest.get(..end.saturating_sub(1)).unwrap_or_default(), end.saturating_add(1))
                }
                None => (rest, rest.len()),
            };
            match self.engine.fold(line, &folding.supplied) {
                Ok(()) => {
                    folding.offset = folding.offset.saturating_add(skip);
                    // Ranges were supplied as of before this commit.
                    folding.supplied.forget();
                }
                Err(FoldStop::Corrupt(detail)) => return refuse(RefusalReason::Corrupt, detail),
                Err(FoldStop::Need(mut queries)) => {
                    let left = self.stored_head.saturating_sub(self.engine.head().position);
                    self.warming.missed(&mut queries, left);
                    folding.asked.clone_from(&queries);
                    self.under_way = UnderWay::Fold(folding);
                    return encode(&FoldStep::Need(queries));
                }
            }
        }
        let step = FoldStep::Done {
            position: self.engine.head().position,
            checkpoint_due: self.engine.checkpoint_due(),
            incarnation: self.engine.head().incarnation,
            waits: self.engine.head().waits(),
            consumers: self.engine.consumers() > 0,
        };
        encode(&step)
    }
}
