//! The newest blocks that a partition stored, for those who see by their bytes that nothing in
//! there is for them.
//!
//! Owns which of them are kept. Refuses to understand a block: the guest says what every line must
//! have in it that a filter lets an event through of.
//!
//! Invariant: what is kept has no gap, so whoever goes through it has seen all up to its end.

use std::collections::VecDeque;
use std::sync::Arc;

use foldlog_core::driver::StoredBlock;

/// So much is kept for those who rest between two looks: some batches. Who is behind that asks.
const KEPT_BYTES_MAX: usize = 512 << 10;

/// See the module's description.
#[derive(Debug, Default)]
pub struct Recent {
    blocks: VecDeque<Arc<StoredBlock>>,
    bytes: usize,
}

impl Recent {
    /// Adds what was stored last. Whatever lies before a gap is of no use any more.
    pub fn push(&mut self, blocks: Vec<StoredBlock>) {
        for block in blocks {
            if self.blocks.back().is_some_and(|last| last.last + 1 != block.first) {
                self.clear();
            }
            self.bytes += block.body.len();
            self.blocks.push_back(Arc::new(block));
        }
        while self.bytes > KEPT_BYTES_MAX {
            let Some(oldest) = self.blocks.pop_front() else { break };
            self.bytes -= oldest.body.len();
        }
    }

    /// Forgets all of it.
    pub fn clear(&mut self) {
        *self = Self::default();
    }

    /// What is stored behind a position, from the block on that goes on there; nothing when that
    /// one is not here.
    pub fn behind(&self, position: u64) -> Vec<Arc<StoredBlock>> {
        let next = position + 1;
        let start = self.blocks.partition_point(|block| block.last < next);
        let here = self.blocks.get(start).is_some_and(|block| block.first <= next);
        if here { self.blocks.range(start..).cloned().collect() } else { Vec::new() }
    }
}

/// Up to where these blocks, which go on behind `position`, have nothing for whoever looks for all
/// of these marks in a line.
pub fn nothing_up_to(position: u64, blocks: &[Arc<StoredBlock>], marks: &[String]) -> u64 {
    let lacks = |block: &&Arc<StoredBlock>| marks.iter().any(|mark| !block.body.contains(mark));
    blocks.iter().take_while(lacks).last().map_or(position, |block| block.last)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn block(first: u64, last: u64, body: &str) -> StoredBlock {
        StoredBlock { first, last, body: body.into() }
    }

    fn looked(recent: &Recent, position: u64, marks: &[&str]) -> u64 {
        let marks: Vec<String> = marks.iter().map(ToString::to_string).collect();
        nothing_up_to(position, &recent.behind(position), &marks)
    }

    #[test]
    fn what_may_be_wanted_is_never_passed() {
        let mut recent = Recent::default();
        recent.push(vec![block(0, 0, "genesis"), block(1, 3, "a b"), block(4, 4, "b c")]);
        recent.push(vec![block(5, 9, "c")]);
        for (position, marks, passed) in [
            (0, &["d"][..], 9),
            (0, &["c"], 3),
            (0, &["b"], 0),
            (2, &["b"], 2),
            (2, &["a"], 2),
            (3, &["a"], 9),
            (4, &["b"], 9),
            (8, &["b"], 9),
            (8, &["c"], 8),
            (9, &["d"], 9),
            (20, &["d"], 20),
            // Marks of one line are in one block.
            (0, &["a", "c"], 9),
            (0, &["b", "c"], 3),
        ] {
            assert_eq!(looked(&recent, position, marks), passed, "{position} {marks:?}");
        }
    }

    #[test]
    fn nothing_is_passed_that_was_not_seen() {
        let mut recent = Recent::default();
        recent.push(vec![block(5, 6, "a")]);
        assert_eq!((looked(&recent, 3, &["b"]), looked(&recent, 4, &["b"])), (3, 6));
        // 7 was stored by somebody else, or while nobody looked.
        recent.push(vec![block(8, 9, "a")]);
        assert_eq!((looked(&recent, 4, &["b"]), looked(&recent, 6, &["b"])), (4, 6));
        assert_eq!(looked(&recent, 7, &["b"]), 9);
        recent.clear();
        assert_eq!(looked(&recent, 7, &["b"]), 7);
    }

    #[test]
    fn little_is_kept() {
        let mut recent = Recent::default();
        let body = "x".repeat(10_000);
        for n in 1..=1_000 {
            recent.push(vec![block(n, n, &body)]);
        }
        assert!(recent.bytes <= KEPT_BYTES_MAX);
        let kept: usize = recent.blocks.iter().map(|block| block.body.len()).sum();
        assert_eq!(recent.bytes, kept);
        assert_eq!((looked(&recent, 900, &["b"]), looked(&recent, 990, &["b"])), (900, 1_000));
        // One that is larger than all that is kept.
        recent.push(vec![block(1_001, 1_001, &"x".repeat(KEPT_BYTES_MAX + 1))]);
        assert_eq!((recent.bytes, looked(&recent, 1_000, &["b"])), (0, 1_000));
    }
}
