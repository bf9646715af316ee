//! Batches: staging waiting inputs one after the other, storing them as one, answering them all.
//!
//! Owns group commit and what each input is told when something fails half-way. Opening and
//! checkpoints are in `partition`.
//!
//! Invariant (law 3): no reply of a batch exists before its block is stored, reads and rejections
//! included, since they may have seen what the batch proposed.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;

use super::partition::{Failure, Live, call, take_checkpoint};
use super::{
    Export, Guest, OwnedRequest, Partition, Reply, Spawn, Store, StoreError, Write,
    stamps::test_stamp,
};
use crate::chain::{self, Hash};
use crate::errors::Code;
use crate::protocol::{
    Block, ExportFrom, Hole, Input, Kind, Op, Outcome, Response, StageStep, Stamp,
};

/// Microseconds that staging took, in buckets of powers of two halves.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(super) struct Timings {
    buckets: BTreeMap<u32, u64>,
    count: u64,
}

impl Timings {
    fn add(&mut self, micros: u64) {
        // Four buckets per doubling: the upper bound is at most 25 % above the value.
        let micros = micros.max(1);
        let exponent = micros.ilog2();
        let quarter = micros.wrapping_shl(2).wrapping_shr(exponent) & 3;
        let bucket = exponent.saturating_mul(4).saturating_add(u32::try_from(quarter).unwrap_or(3));
        let slot = self.buckets.entry(bucket).or_default();
        *slot = slot.saturating_add(1);
        self.count = self.count.saturating_add(1);
    }

    /// Upper bound of the bucket that `share` (in thousandths) of all values do not exceed.
    pub(super) fn percentile(&self, share: u64) -> u64 {
        let rank = self.count.saturating_mul(share).div_ceil(1000);
        let mut seen = 0_u64;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                let quarters = u64::from(bucket % 4).saturating_add(5);
                return quarters.wrapping_shl(bucket / 4) / 4;
            }
        }
        0
    }
}

/// An input on its way through a batch. A stamp once made stays, however often it is staged.
struct Waiting {
    request: OwnedRequest,
    stamp: Option<Stamp>,
    reply: Option<Reply>,
}

/// What one pass over waiting inputs came to.
enum Pass {
    /// All staged: store, answer.
    Staged(Vec<(usize, Outcome)>),
    /// This input trapped; those before it are staged again and stored without it.
    Trapped(usize),
    /// The instance is gone, through no fault of an input: stage all of them again.
    Again,
    /// The store can not be read: give up on the batch.
    Failed(Failure),
}

impl<S: Spawn, T: Store, W: super::World> Partition<S, T, W> {
    /// Decides and answers all requests, in order, with as few transactions as possible.
    ///
    /// Returns one reply per request. When it returns, everything that the replies tell is stored.
    pub fn run(&mut self, requests: Vec<OwnedRequest>) -> Vec<Reply> {
        let mut waiting: Vec<Waiting> = requests
            .into_iter()
            .map(|request| Waiting { request, stamp: None, reply: None })
            .collect();
        let (mut from, mut to) = (0, waiting.len());
        while from < waiting.len() {
            if let Err(failure) = self.open() {
                self.report(&failure);
                self.give_up(waiting.get_mut(from..), &failure);
                break;
            }
            match self.stage_all(&mut waiting, from, to) {
                Pass::Staged(outcomes) => {
                    self.settle(&mut waiting, outcomes);
                    // Past an input that trapped, if one cut the pass short.
                    from = if to < waiting.len() { to.saturating_add(1) } else { to };
                    to = waiting.len();
                }
                Pass::Trapped(index) => {
                    if let Some(input) = waiting.get_mut(index) {
                        input.reply = Some(Reply::problem(
                            Code::Internal,
                            "the decision failed; nothing was stored",
                        ));
                    }
                    to = index;
                }
                Pass::Again => {}
                Pass::Failed(failure) => {
                    self.report(&failure);
                    self.give_up(waiting.get_mut(from..), &failure);
                    break;
                }
            }
        }
        self.settle_quarantines();
        self.slices_of_test();
        let lost = || Reply::problem(Code::Internal, "the input was lost");
        waiting.into_iter().map(|input| input.reply.unwrap_or_else(lost)).collect()
    }

    fn stage_all(&mut self, waiting: &mut [Waiting], from: usize, to: usize) -> Pass {
        let mut staged = Vec::new();
        for index in from..to {
            let Some(input) = waiting.get_mut(index) else { break };
            if input.reply.is_some() {
                continue;
            }
            if let Some(reply) = self.wake_for_test(&input.request) {
                input.reply = Some(reply);
                continue;
            }
            let started = self.world.micros();
            let process = self.process_at(started);
            let Some(live) = self.live.as_mut() else { return Pass::Again };
            let next = live.head.position.saturating_add(1);
            let stamp = match (&self.config.test_stamps, input.stamp) {
                (Some(stamps), _) => test_stamp(stamps, next),
                (None, Some(stamp)) => stamp,
                (None, None) => Stamp { clock: self.world.clock(), entropy: self.world.entropy() },
            };
            input.stamp = Some(stamp);
            let message = Input { stamp, request: input.request.message(), process };
            match stage_one(live, &mut self.store, &message) {
                Ok(outcome) => {
                    self.timings.add(self.world.micros().saturating_sub(started));
                    staged.push((index, outcome));
                }
                Err(failure) => {
                    self.live = None;
                    return self.after_failure(failure, index);
                }
            }
        }
        Pass::Staged(staged)
    }

    /// What to do about the batch when one input could not be staged. The instance is dropped.
    fn after_failure(&mut self, failure: Failure, index: usize) -> Pass {
        self.report(&failure);
        match failure {
            Failure::Trap(trap) if self.quarantine(&trap) => Pass::Again,
            Failure::Trap(_) => Pass::Trapped(index),
            Failure::Store(StoreError::CorruptRow { .. }) => match self.store.erase_rows() {
                Ok(()) => Pass::Again,
                Err(error) => Pass::Failed(error.into()),
            },
            failure => Pass::Failed(failure),
        }
    }

    /// Stores what was staged and answers it.
    fn settle(&mut self, waiting: &mut [Waiting], mut outcomes: Vec<(usize, Outcome)>) {
        let Some(live) = self.live.as_mut() else { return };
        let checkpoint = outcomes.iter().any(|(_, outcome)| outcome.checkpoint_due)
            || live.head.position.saturating_sub(live.head.checkpoint)
                > self.config.tail_events_max;
        let result = store_batch(live, &mut self.store, &outcomes, checkpoint);
        let to = live.head.position;
        let result = result.and_then(|hashes| {
            let owned = outcomes.iter().try_for_each(|(_, outcome)| self.settle_adoption(outcome));
            owned.map(|()| hashes).map_err(super::owner::unowned)
        });
        let hashes = match result {
            Ok(hashes) => hashes,
            Err(failure) => {
                self.live = None;
                self.report(&failure);
                for (index, outcome) in &outcomes {
                    if let Some(input) = waiting.get_mut(*index) {
                        input.reply = Some(failed_reply(&failure, outcome));
                    }
                }
                return;
            }
        };
        for (index, outcome) in &mut outcomes {
            match outcome.kind {
                Kind::Command => {
                    self.process.commands_processed =
                        self.process.commands_processed.saturating_add(1)
                }
                Kind::Rejected => {
                    self.process.commands_rejected =
                        self.process.commands_rejected.saturating_add(1)
                }
                Kind::Read => {}
            }
            for hole in &outcome.holes {
                fill(&mut outcome.response, *hole, &hashes);
            }
            let mut response = core::mem::replace(
                &mut outcome.response,
                Response { status: 0, headers: Vec::new(), body: Vec::new() },
            );
            let export = outcome.export.map(|from| match from {
                ExportFrom::Genesis => {
                    if let Some(genesis) = self.store.tail().ok().and_then(|tail| tail.genesis) {
                        response.body.extend_from_slice(genesis.as_bytes());
                        response.body.push(b'\n');
                    }
                    Export { after: 0, to }
                }
                ExportFrom::After(after) => Export { after, to },
            });
            if let Some(input) = waiting.get_mut(*index) {
                input.reply = Some(Reply { response, export });
            }
        }
    }

    /// Nothing of these inputs was done. A full store refuses commands; a read can not be answered
    /// while the partition does not open.
    fn give_up(&self, waiting: Option<&mut [Waiting]>, failure: &Failure) {
        let full = matches!(failure, Failure::Store(StoreError::Full));
        for input in waiting.into_iter().flatten().filter(|input| input.reply.is_none()) {
            let (code, detail) = match full && input.request.method == "POST" {
                true => (Code::StorageFull, "the store is full"),
                false => (Code::Restarting, "the partition is restarting; nothing was done"),
            };
            input.reply = Some(Reply::problem(code, detail));
        }
    }

    /// Remembers the last failure for the host's log.
    pub(super) fn report(&mut self, failure: &Failure) {
        self.failures.push(alloc::format!("{failure}"));
    }
}

fn stage_one<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    input: &Input<'_>,
) -> Result<Outcome, Failure> {
    let mut step: StageStep = call(&mut live.guest, Op::Stage, input)?;
    let outcome = loop {
        match step {
            StageStep::Need(queries) => {
                let answers = store.read(&queries)?;
                step = call(&mut live.guest, Op::Supply, &answers)?;
            }
            StageStep::Done(outcome) => break outcome,
        }
    };
    if let Some(position) = outcome.proposed {
        let () = call(&mut live.guest, Op::Commit, &())?;
        live.head.position = position;
    }
    live.behind |= outcome.behind;
    Ok(outcome)
}

/// Hashes of a batch's commits by the position of their last event, beside head and genesis.
struct Hashes {
    by_last: BTreeMap<u64, Hash>,
}

impl Hashes {
    fn of(&self, position: u64) -> Hash {
        if position == 0 {
            return self.by_last.get(&0).copied().unwrap_or(chain::NO_HASH);
        }
        self.by_last.range(position..).next().map_or(chain::NO_HASH, |(_, hash)| *hash)
    }
}

/// Takes the commits out of the guest, seals them, and stores them in one transaction.
fn store_batch<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    outcomes: &[(usize, Outcome)],
    checkpoint: bool,
) -> Result<Hashes, Failure> {
    let mut hashes = Hashes { by_last: BTreeMap::new() };
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
        if let Some(genesis) = block.genesis {
            let (line, hash) =
                chain::seal(&chain::NO_HASH, &genesis).ok_or_else(|| unsealed(&genesis))?;
            write.blocks.extend(chain::pack([(0, 0, line)]));
            live.head.genesis = hash;
            live.head.hash = hash;
        }
        for (first, last, line) in block.commits {
            let (line, hash) =
                chain::seal(&live.head.hash, &line).ok_or_else(|| unsealed(&line))?;
            live.head.hash = hash;
            hashes.by_last.insert(last, hash);
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
    if let Some(position) = position {
        live.head.checkpoint = position;
        live.changed = false;
    }
    Ok(hashes)
}

/// What an input is told whose batch could not be stored.
fn failed_reply(failure: &Failure, outcome: &Outcome) -> Reply {
    match failure {
        Failure::Store(StoreError::Full) if outcome.proposed.is_some() => Reply::problem(
            Code::StorageFull,
            "the store is full; the command was not done, reads go on",
        ),
        Failure::Store(StoreError::Unknown(_)) if outcome.proposed.is_some() => Reply::problem(
            Code::UnknownOutcome,
            "the command was handed to the store, which did not answer; repeat it with its Idempotency-Key",
        ),
        _ => Reply::problem(Code::Restarting, "the partition is restarting; nothing was done"),
    }
}

fn fill(response: &mut Response, hole: Hole, hashes: &Hashes) {
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
