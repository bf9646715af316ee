//! Which elements or properties of one value were evaluated, for the `unevaluated…` keywords.
//!
//! Owns a bit for each, by their index in the value.

use alloc::vec::Vec;

/// Marks of one value's parts.
#[derive(Debug, Default)]
pub(super) struct Seen(Vec<u64>);

impl Seen {
    pub(super) fn mark(&mut self, index: usize) {
        let word = index >> 6;
        if word >= self.0.len() {
            self.0.resize(word.saturating_add(1), 0);
        }
        if let Some(word) = self.0.get_mut(word) {
            *word |= 1 << (index & 63);
        }
    }

    pub(super) fn has(&self, index: usize) -> bool {
        self.0.get(index >> 6).is_some_and(|word| word >> (index & 63) & 1 == 1)
    }

    pub(super) fn merge(&mut self, other: &Self) {
        if self.0.len() < other.0.len() {
            self.0.resize(other.0.len(), 0);
        }
        for (word, more) in self.0.iter_mut().zip(&other.0) {
            *word |= more;
        }
    }

    /// How much work it is to merge.
    pub(super) fn cost(&self) -> usize {
        self.0.len() >> 2
    }
}
