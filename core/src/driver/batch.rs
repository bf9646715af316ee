//! Batches: staging waiting inputs one after the other, storing them as one, answering them all.
//!
//! Owns group commit and what each input is told when something fails half-way. Opening and
//! checkpoints are in `partition`.
//!
//! Invariant (law 3): no reply of a batch exists before its block is stored, reads and rejections
//! included, since they may have seen what the batch proposed.

use alloc::vec::Vec;

use super::call::stage_one;
use super::hashes::fill;
use super::partition::Failure;
use super::seal::store_batch;
use super::{
    Export, OwnedRequest, Partition, Reply, Spawn, Store, StoreError, Trouble, stamps::test_stamp,
    supervise::unhealthy, wakes::Wakes,
};
use crate::errors::Code;
use crate::protocol::{EffectResult, ExportFrom, Input, Kind, Outcome, Response, Stamp, What};

/// An input on its way through a batch. A stamp once made stays, however often it is staged.
struct Waiting {
    what: Asked,
    stamp: Option<Stamp>,
    reply: Option<Reply>,
}

enum Asked {
    Request(OwnedRequest),
    /// The system's own turn.
    Wake {
        /// Timers too.
        timers: bool,
        /// How often it trapped.
        traps: u8,
    },
    /// What an attempt at an effect came to.
    Result {
        result: EffectResult,
        /// How often it trapped.
        traps: u8,
    },
}

impl Waiting {
    const fn new(what: Asked) -> Self {
        Self { what, stamp: None, reply: None }
    }

    const fn wake(timers: bool) -> Self {
        Self::new(Asked::Wake { timers, traps: 0 })
    }

    /// Nobody waits for an answer.
    const fn is_system(&self) -> bool {
        !matches!(self.what, Asked::Request(_))
    }

    const fn is_wake(&self) -> bool {
        matches!(self.what, Asked::Wake { .. })
    }

    fn message(&self, wakes: &Wakes, running_max: u32) -> What<'_> {
        match &self.what {
            Asked::Request(request) => What::Request(request.message()),
            Asked::Wake { timers, traps } => {
                What::Wake(wakes.message(*timers, *traps >= TRAPS_MAX, running_max))
            }
            Asked::Result { result, traps } => {
                What::Result(EffectResult { trapped: *traps >= TRAPS_MAX, ..result.clone() })
            }
        }
    }
}

/// A system command that traps so often is refused.
const TRAPS_MAX: u8 = 2;

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
        let requests = requests.into_iter().map(|request| Waiting::new(Asked::Request(request)));
        let mut waiting = requests.collect();
        self.run_all(&mut waiting);
        self.work_of_test();
        let lost = || Reply::problem(Code::Internal, "the input was lost");
        let clients = waiting.into_iter().filter(|input| !input.is_system());
        clients.map(|input| input.reply.unwrap_or_else(lost)).collect()
    }

    /// Does what the system itself wants done now; `timers` too.
    pub(super) fn run_wakes(&mut self, timers: bool) {
        self.run_all(&mut alloc::vec![Waiting::wake(timers)]);
    }

    /// Settles what attempts at effects came to. What could not be settled is attempted again.
    pub(super) fn run_results(&mut self, results: Vec<EffectResult>) {
        let inputs = results.into_iter().map(|result| Asked::Result { result, traps: 0 });
        let mut waiting = inputs.map(Waiting::new).collect();
        self.run_all(&mut waiting);
        for input in &waiting {
            if let Asked::Result { result, .. } = &input.what {
                self.wakes.stopped(result, input.reply.is_none());
            }
        }
    }

    fn run_all(&mut self, waiting: &mut Vec<Waiting>) {
        let (mut from, mut to) = (0, waiting.len());
        while from < waiting.len() {
            if let Err(failure) = self.open() {
                self.report(&failure);
                self.in_trouble(&failure);
                self.give_up(waiting.get_mut(from..), &failure);
                break;
            }
            if self.wake_due() == Some(0) && !waiting.get(from).is_some_and(Waiting::is_system) {
                waiting.insert(from, Waiting::wake(self.timers_run()));
                to = to.saturating_add(1);
            }
            match self.stage_all(waiting, from, &mut to) {
                Pass::Staged(outcomes) => {
                    self.settle(waiting, outcomes);
                    // Past an input that trapped, if one cut the pass short.
                    from = if to < waiting.len() { to.saturating_add(1) } else { to };
                    to = waiting.len();
                }
                Pass::Trapped(index) => {
                    if self.trapped(waiting.get_mut(index)) {
                        to = index;
                    }
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
    }

    /// An input trapped; false when it is to be staged again.
    fn trapped(&mut self, input: Option<&mut Waiting>) -> bool {
        let Some(input) = input else { return true };
        let problem = Reply::problem(Code::Internal, "the decision failed; nothing was stored");
        match &mut input.what {
            Asked::Wake { traps, .. } | Asked::Result { traps, .. } if *traps < TRAPS_MAX => {
                *traps = traps.saturating_add(1);
                return false;
            }
            Asked::Wake { .. } | Asked::Result { .. } => self.wake_failed(),
            Asked::Request(_) => {}
        }
        input.reply = Some(problem);
        true
    }

    fn stage_all(&mut self, waiting: &mut Vec<Waiting>, from: usize, to: &mut usize) -> Pass {
        let mut staged = Vec::new();
        let (mut index, mut wakes) = (from, 0);
        while index < *to {
            let Some(input) = waiting.get_mut(index) else { break };
            let this = index;
            index = index.saturating_add(1);
            if input.reply.is_some() {
                continue;
            }
            if let Asked::Request(request) = &input.what
                && let Some(reply) = self.wake_for_test(request)
            {
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
            let what = input.message(&self.wakes, self.config.effects_in_flight_max);
            let outcome = match stage_one(live, &mut self.store, &Input { stamp, what, process }) {
                Ok(outcome) => outcome,
                Err(failure) => {
                    self.live = None;
                    staged.iter().for_each(|(_, outcome)| self.wakes.not_stored(outcome));
                    return self.after_failure(failure, this, input.is_system());
                }
            };
            if let Asked::Result { result, .. } = &input.what {
                let unsettled = outcome.proposed.is_none();
                self.wakes.stopped(result, unsettled);
                if unsettled {
                    self.wake_failed();
                }
            }
            if !input.is_system() {
                self.timings.add(self.world.micros().saturating_sub(started));
            }
            self.note_wakes(&outcome);
            // The system's commands come before the next client's, in this batch as long as it
            // has room for them.
            let next = waiting.get(index).filter(|_| index < *to);
            if outcome.wake
                && !self.held()
                && wakes < self.config.batch_commands_max
                && !next.is_some_and(Waiting::is_wake)
            {
                wakes = wakes.saturating_add(1);
                waiting.insert(index, Waiting::wake(self.timers_run()));
                *to = to.saturating_add(1);
            }
            staged.push((this, outcome));
        }
        Pass::Staged(staged)
    }

    /// What to do about the batch when one input could not be staged. The instance is dropped.
    fn after_failure(&mut self, failure: Failure, index: usize, wake: bool) -> Pass {
        self.report(&failure);
        match failure {
            // What waits can not be read: clients are not to suffer from that.
            Failure::Refused(_) if wake => Pass::Trapped(index),
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
                self.in_trouble(&failure);
                for (index, outcome) in &outcomes {
                    self.wakes.not_stored(outcome);
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
                Kind::Read | Kind::System => {}
            }
            self.wakes.stored(&mut outcome.effects);
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
                input.reply = Some(Reply { response, export, listing: outcome.listing.take() });
            }
        }
    }

    /// Nothing of these inputs was done. A full store refuses commands; a read can not be answered
    /// while the partition does not open.
    fn give_up(&self, waiting: Option<&mut [Waiting]>, failure: &Failure) {
        let full = matches!(failure, Failure::Store(StoreError::Full));
        for input in waiting.into_iter().flatten().filter(|input| input.reply.is_none()) {
            let Asked::Request(request) = &input.what else { continue };
            if let Some(Trouble::Closed(reason)) = self.trouble.filter(|_| request.is_health()) {
                input.reply = Some(unhealthy(reason, &self.config.partition, self.config.host));
                continue;
            }
            let (code, detail) = match full && request.method == "POST" {
                true => (Code::StorageFull, "the store is full"),
                false => (Code::Restarting, "the partition is restarting; nothing was done"),
            };
            input.reply = Some(Reply::problem(code, detail));
        }
    }

    /// What kept the last batch from being run, if anything did.
    pub const fn take_trouble(&mut self) -> Option<Trouble> {
        self.trouble.take()
    }

    fn in_trouble(&mut self, failure: &Failure) {
        self.trouble = Some(match failure {
            Failure::Store(StoreError::Full) => Trouble::Full,
            Failure::Store(_) => Trouble::Closed("its store failed"),
            Failure::Trap(_) => Trouble::Closed("its guest trapped"),
            Failure::Refused(_) => Trouble::Closed("its guest refused what is stored"),
        });
    }

    /// Remembers the last failure for the host's log.
    pub(super) fn report(&mut self, failure: &Failure) {
        self.failures.push(alloc::format!("{failure}"));
    }
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
