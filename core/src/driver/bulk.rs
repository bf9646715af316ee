//! Folding a whole log from genesis, many blocks per call: replay, and the check that stored rows
//! are the fold of the log.
//!
//! Owns the order of such a fold. Refuses to check the chain (callers do, on another core) and
//! to store anything but rows.

use alloc::string::String;
use alloc::vec::Vec;

use super::call::{call, stage};
use super::checkpoint::{store_parts, take_checkpoint};
use super::pages::{self, Start};
use super::partition::{Live, fold_blocks};
use super::{Config, Failure, Guest, HeadInfo, OwnedRequest, Spawn, Store, Write};
use crate::chain::{self, NO_HASH};
use crate::protocol::{
    Body, Decide, DecideStep, Description, Fold, Input, Kind, Op, Opened, Process, Quarantine,
    Quarantined, Report, Request, Response, Stamp, What,
};
use crate::time::Time;

/// An instance that takes blocks in and does nothing else.
#[derive(Debug)]
pub struct Bulk<G> {
    live: Live<G>,
    opened: Opened,
}

impl<G: Guest> Bulk<G> {
    /// Opens a fresh instance over a log with this genesis line and head.
    ///
    /// With a `checkpoint` it goes on from there, over a store that has its rows; without one the
    /// fold starts at genesis, over an empty store. `quarantined` stays out of it.
    pub fn open<S: Spawn<Guest = G>>(
        spawn: &mut S,
        config: &Config,
        genesis: &str,
        head: u64,
        checkpoint: Option<Vec<u8>>,
        quarantined: Vec<Quarantine>,
    ) -> Result<Self, Failure> {
        let hash = chain::stored_hash(genesis).unwrap_or(NO_HASH);
        let start = Start {
            genesis: Some(genesis.into()),
            head: HeadInfo { position: head, hash: NO_HASH, genesis: hash, checkpoint: 0 },
            checkpoint,
            quarantined,
            // Nothing hostile reaches a fold that could not have been replayed before.
            hash_seed: 0,
        };
        let (live, opened) = pages::open(spawn, config, start)?;
        Ok(Self { live, opened })
    }

    /// What the guest said of the checkpoint it was opened with.
    pub const fn opened(&self) -> &Opened {
        &self.opened
    }

    /// Takes in commit lines joined by `,\n`, several such texts per call, in order, without gaps.
    /// About 1 MB per call is best. Returns the position reached.
    pub fn fold<T: Store>(&mut self, store: &mut T, lines: Vec<&str>) -> Result<u64, Failure> {
        fold_blocks(&mut self.live, store, &Fold { blocks: lines })
    }

    /// Takes in commit lines like [`Self::fold`], and decides each of them again before that, but
    /// for those at `skip`. `told` is given what became of them, in parts: each goes up to the
    /// position that it says, and behind it the store has a checkpoint, or the call is over.
    /// Rows are written a part at a time: the store must forget its checkpoint at the first part
    /// that has none, or is of no use when that fails half-way.
    pub fn decide<T: Store>(
        &mut self,
        store: &mut T,
        blocks: Vec<&str>,
        skip: &[u64],
        told: &mut dyn FnMut(Report),
    ) -> Result<(), Failure> {
        let decide = Decide { blocks, skip: skip.to_vec() };
        let mut step: DecideStep = call(&mut self.live.guest, Op::Decide, &decide)?;
        loop {
            let answers = match step {
                DecideStep::Need(queries) => store.read(&queries)?,
                DecideStep::CheckpointDue(report) => {
                    store_parts(&mut self.live, store)?;
                    told(report);
                    Vec::new()
                }
                DecideStep::Done { report, checkpoint_due } => {
                    if checkpoint_due {
                        store_parts(&mut self.live, store)?;
                    }
                    told(report);
                    return Ok(());
                }
            };
            step = call(&mut self.live.guest, Op::Supply, &answers)?;
        }
    }

    /// What a request with this stamp comes to as of the last commit taken in, and its answer.
    /// Nothing of it is taken in.
    pub fn attempt<T: Store>(
        &mut self,
        store: &mut T,
        request: &OwnedRequest,
        stamp: Stamp,
    ) -> Result<(Kind, Response), Failure> {
        // Whoever decides again stages as of where it stands, which need not be the log's head.
        self.decide(store, Vec::new(), &[], &mut |_| {})?;
        self.ask(store, What::Request(request.message()), stamp)
    }

    fn ask<T: Store>(
        &mut self,
        store: &mut T,
        what: What<'_>,
        stamp: Stamp,
    ) -> Result<(Kind, Response), Failure> {
        let process = Process::default();
        let outcome = stage(&mut self.live, store, &Input { stamp, what, process })?;
        if outcome.proposed.is_some() {
            let () = call(&mut self.live.guest, Op::Rollback, &())?;
        }
        Ok((outcome.kind, outcome.response))
    }

    /// Asks like a client who only reads. The instance must have folded all there is.
    pub fn read<T: Store>(&mut self, store: &mut T, target: &str) -> Result<Response, Failure> {
        let request = Request {
            method: "GET",
            target,
            headers: Vec::new(),
            body: Body::Whole(&[]),
            fingerprint: None,
        };
        let stamp = Stamp { clock: Time(0), entropy: [0; 16] };
        self.ask(store, What::Request(request), stamp).map(|(_, response)| response)
    }

    /// The instance, for what a host can tell of it.
    pub const fn guest(&self) -> &G {
        &self.live.guest
    }

    /// Writes the rows still in memory: from then on the store has all of them.
    pub fn finish<T: Store>(&mut self, store: &mut T) -> Result<u64, Failure> {
        let mut write = Write::default();
        let position = take_checkpoint(&mut self.live.guest, &mut write)?;
        store.write(&write)?;
        Ok(position)
    }
}

/// What a module says of itself.
pub fn describe<S: Spawn>(spawn: &mut S) -> Result<Description, Failure> {
    call(&mut spawn.spawn()?, Op::Describe, &())
}

/// What a trap leaves out, as [`Bulk::open`] takes it.
pub fn quarantine_of(trap: &super::Trap) -> Option<Quarantine> {
    let (what, position) = crate::engine::trapped(trap.progress)?;
    let reason = match what {
        // It becomes part of a row, so every host says the same.
        Quarantined::Stream => String::from("the module trapped on it"),
        _ => alloc::format!("trapped: {}", trap.detail),
    };
    Some(Quarantine { what, position, reason })
}

/// Whether leaving out the one leaves out the other: a projection is left out from its first failure
/// on, of streams each that has one.
pub fn same_target(a: &Quarantine, b: &Quarantine) -> bool {
    a.what == b.what && (a.what != Quarantined::Stream || a.position == b.position)
}
