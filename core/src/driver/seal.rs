//! Sealing: from the commits that a guest took in to one stored transaction.
//!
//! Owns the order of hashing, packing and writing. Refuses to know who asked for the commits.

use alloc::string::String;
use alloc::vec::Vec;

use super::call::call;
use super::checkpoint::take_checkpoint;
use super::hashes::Hashes;
use super::news;
use super::notes::Notes;
use super::partition::{Failure, Live};
use super::{Guest, Store, StoredBlock, Write};
use crate::chain;
use crate::protocol::{Block, Op, Outcome};

/// Takes the commits out of the guest, seals them, and stores them in one transaction. What they tell
/// may be told once that is done.
pub(super) fn store_batch<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    outcomes: &[(usize, Outcome)],
    checkpoint: bool,
    told: Option<&mut Vec<StoredBlock>>,
    notes: &mut Notes,
) -> Result<Hashes, Failure> {
    let mut hashes = Hashes::default();
    if !outcomes.iter().any(|(_, outcome)| outcome.proposed.is_some()) {
        hashes.by_last.insert(0, live.head.genesis);
        hashes.by_last.insert(live.head.position, live.head.hash);
        return Ok(hashes);
    }
    let mut write = Write::default();
    let mut sealed: Vec<(u64, u64, String)> = Vec::new();
    let unsealed = |line: &str| {
        Failure::Refused(alloc::format!("not a commit line: {}", line.get(..80).unwrap_or(line)))
    };
    hashes.by_last.insert(live.head.position, live.head.hash);
    loop {
        let block: Block = call(&mut live.guest, Op::TakeBlock, &())?;
        if let Some(mut line) = block.genesis {
            // Before the log exists it is certain who may act for it (law 7).
            store.own(&live.incarnation)?;
            let hash = chain::seal_in_place(&chain::NO_HASH, &mut line);
            let hash = hash.ok_or_else(|| unsealed(&line))?;
            write.blocks.extend(chain::pack([(0, 0, line)]));
            live.head.genesis = hash;
            live.head.hash = hash;
        }
        for (first, last, mut line) in block.commits {
            let hash = chain::seal_in_place(&live.head.hash, &mut line);
            let hash = hash.ok_or_else(|| unsealed(&line))?;
            live.head.hash = hash;
            hashes.by_last.insert(last, hash);
            let answer = || {
                let mut made =
                    outcomes.iter().filter(|(_, outcome)| outcome.proposed == Some(last));
                made.next().map(|(_, outcome)| &*outcome.response.body)
            };
            news::of(&line, answer, |note| notes.push(note));
            sealed.push((first, last, line));
        }
        if !block.more {
            break;
        }
    }
    hashes.by_last.insert(0, live.head.genesis);
    write.blocks.extend(chain::pack(sealed));
    live.changed = true;
    let position =
        if checkpoint { Some(take_checkpoint(&mut live.guest, &mut write)?) } else { None };
    store.write(&write)?;
    if let Some(told) = told {
        told.append(&mut write.blocks);
    }
    if let Some(position) = position {
        live.head.checkpoint = position;
        live.changed = false;
    }
    Ok(hashes)
}
