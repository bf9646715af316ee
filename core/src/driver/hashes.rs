//! Hashes in answers: the guest leaves holes, the host knows what belongs there.

use alloc::collections::BTreeMap;

use crate::chain::{self, Hash};
use crate::protocol::{Hole, Response};

/// Hashes of a batch's commits by the position of their last event, beside head and genesis.
#[derive(Debug, Default)]
pub struct Hashes {
    /// By position; 0 is genesis.
    pub by_last: BTreeMap<u64, Hash>,
}

impl Hashes {
    /// That of the commit with this position.
    pub fn of(&self, position: u64) -> Hash {
        if position == 0 {
            return self.by_last.get(&0).copied().unwrap_or(chain::NO_HASH);
        }
        self.by_last.range(position..).next().map_or(chain::NO_HASH, |(_, hash)| *hash)
    }
}

/// Writes a hash into an answer.
pub fn fill(response: &mut Response, hole: Hole, hashes: &Hashes) {
    let hash = chain::hex(&hashes.of(hole.position));
    match hole.header {
        Some(index) => {
            let index = usize::try_from(index).unwrap_or(usize::MAX);
            if let Some((_, value)) = response.headers.get_mut(index) {
                *value = hash;
            }
        }
        None => {
            let place = usize::try_from(hole.offset)
                .ok()
                .and_then(|start| response.body.get_mut(start..start.saturating_add(hash.len())));
            if let Some(place) = place {
                place.copy_from_slice(hash.as_bytes());
            }
        }
    }
}
