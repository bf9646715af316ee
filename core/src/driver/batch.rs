//! Batches: staging waiting inputs one after the other, storing them as one, answering them all.
//!
//! Owns group commit and what is done about an input that fails half-way. Opening and checkpoints
//! are in `partition`, storing and answering in `settle`.
//!
//! Invariant: what one input can not have is no other's loss. One that traps, or whose reads fail,
//! is left out, and the others are staged again with the same stamps.

use alloc::vec::Vec;

use super::call::stage_input;
use super::partition::Failure;
use super::stamps::test_stamp;
use super::wakes::Wakes;
use super::{OwnedRequest, Partition, Reply, Spawn, Store, StoreError};
use crate::engine::trapped_reaction;
use crate::errors::Code;
use crate::protocol::consumers::Dispatch;
use crate::protocol::{EffectResult, Input, Outcome, Stamp, What};

/// An input on its way through a batch. A stamp once made stays, however often it is staged.
pub(super) struct Waiting {
    pub(super) what: Asked,
    pub(super) stamp: Option<Stamp>,
    /// Where the log stood when it was staged last.
    pub(super) after: u64,
    /// Its reading may be stopped.
    in_parts: bool,
    pub(super) reply: Option<Reply>,
}

pub(super) enum Asked {
    Request(OwnedRequest),
    /// The system's own turn.
    Wake {
        /// Timers too.
        timers: bool,
        /// How often it came to nothing, by itself and not by the command that it found.
        failures: u8,
    },
    /// What an attempt at an effect came to.
    Result {
        result: EffectResult,
        /// How often it trapped.
        traps: u8,
    },
    /// What the log is to tell of a consumer.
    Dispatch(Dispatch),
}

impl Waiting {
    const fn new(what: Asked) -> Self {
        Self { what, stamp: None, after: 0, in_parts: false, reply: None }
    }

    const fn wake(timers: bool) -> Self {
        Self::new(Asked::Wake { timers, failures: 0 })
    }

    /// Nobody waits for an answer.
    pub(super) const fn is_system(&self) -> bool {
        !matches!(self.what, Asked::Request(_))
    }

    pub(super) const fn is_wake(&self) -> bool {
        matches!(self.what, Asked::Wake { .. })
    }

    fn message(&self, wakes: &Wakes, running_max: u32) -> What<'_> {
        match &self.what {
            Asked::Request(request) => What::Request(request.message()),
            Asked::Wake { timers, .. } => What::Wake(wakes.message(*timers, running_max)),
            Asked::Result { result, traps } => {
                What::Result(EffectResult { trapped: *traps >= TRAPS_MAX, ..result.clone() })
            }
            Asked::Dispatch(dispatch) => What::Dispatch(dispatch.clone()),
        }
    }
}

/// A system command that traps so often is refused; an effect's end that does is settled without
/// its manager.
pub(super) const TRAPS_MAX: u8 = 2;
/// A wake that fails so often without telling at what is put off.
const FAILURES_MAX: u8 = 3;
/// Passes in which no input was at fault, at most, before a batch is given up.
const AGAIN_MAX: u32 = 20;

fn lost() -> Reply {
    Reply::problem(Code::Internal, "the input was lost")
}

/// What one pass over waiting inputs came to.
enum Pass {
    /// All staged: store, answer.
    Staged(Vec<(usize, Outcome)>),
    /// This input trapped, at this reaction if it is the system's; those before it are staged
    /// again and stored without it.
    Trapped(usize, Option<(u64, u32)>),
    /// What this input reads can not be read: the same.
    PutOff(usize),
    /// The instance is gone, through no fault of an input: stage all of them again.
    Again,
    /// Something is wrong beyond any one input: give up on the batch.
    Failed(Failure),
}

impl<S: Spawn, T: Store, W: super::World> Partition<S, T, W> {
    /// Decides and answers all requests, in order, with as few transactions as possible.
    ///
    /// Returns one reply per request. When it returns, everything that the replies tell is stored.
    pub fn run(&mut self, requests: Vec<OwnedRequest>) -> Vec<Reply> {
        let requests = requests.into_iter().map(|request| Waiting::new(Asked::Request(request)));
        self.run_requests(requests.collect())
    }

    /// Answers a long read, or does a part of it: [`Reply::again`] tells which.
    ///
    /// Others may be run in between. Its answer is as of when it is given.
    pub fn run_part(&mut self, request: OwnedRequest) -> Reply {
        let in_parts = request.is_long_read();
        if self.part_of.as_deref() != Some(&request.target) {
            self.store.forget_read();
        }
        // Where that fails it is asked for again, and told.
        if in_parts && self.store.read_on() == Ok(true) {
            return Reply::again();
        }
        let target = request.target.clone();
        let request = Waiting { in_parts, ..Waiting::new(Asked::Request(request)) };
        let reply = self.run_requests(alloc::vec![request]).pop().unwrap_or_else(lost);
        if !reply.again {
            self.store.forget_read();
        }
        self.part_of = reply.again.then_some(target);
        reply
    }

    fn run_requests(&mut self, mut waiting: Vec<Waiting>) -> Vec<Reply> {
        self.slices.disturb();
        self.run_all(&mut waiting);
        if self.config.test_stamps.is_some() {
            self.save_rejected();
        }
        self.work_of_test();
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
                // Not before: however often the batch is staged, no wake in it starts what one of
                // its results ends.
                self.wakes.stopped(result);
            }
        }
    }

    /// Records what there is to tell of consumers; false when some of it could not be.
    pub(super) fn run_dispatches(&mut self, all: Vec<Dispatch>) -> bool {
        let inputs = all.into_iter().map(Asked::Dispatch);
        let mut waiting = inputs.map(Waiting::new).collect();
        self.run_all(&mut waiting);
        let status = |input: &Waiting| input.reply.as_ref().map(|reply| reply.response.status);
        waiting.iter().all(|input| status(input) == Some(200))
    }

    fn run_all(&mut self, waiting: &mut Vec<Waiting>) {
        self.forget_import();
        let (mut from, mut to, mut again) = (0, waiting.len(), 0);
        while from < waiting.len() {
            if let Err(failure) = self.open() {
                self.give_up(waiting.get_mut(from..), &failure);
                break;
            }
            if self.wake_due() == Some(0) && !waiting.get(from).is_some_and(Waiting::is_system) {
                waiting.insert(from, Waiting::wake(self.timers_run()));
                to = to.saturating_add(1);
            }
            match self.stage_all(waiting, from, &mut to) {
                Pass::Staged(mut outcomes) => {
                    if self.settle(waiting, &mut outcomes) {
                        // The store refused some: what is left is staged without them.
                        continue;
                    }
                    // Past an input that trapped, if one cut the pass short.
                    from = if to < waiting.len() { to.saturating_add(1) } else { to };
                    to = waiting.len();
                }
                Pass::Trapped(index, reaction) => {
                    if self.trapped(waiting.get_mut(index), reaction) {
                        to = index;
                    }
                }
                Pass::PutOff(index) => {
                    self.put_off(waiting.get_mut(index));
                    to = index;
                }
                Pass::Again if again < AGAIN_MAX => again = again.saturating_add(1),
                Pass::Again => {
                    let failure =
                        Failure::Refused("staging did not succeed after many tries".into());
                    self.give_up(waiting.get_mut(from..), &failure);
                    break;
                }
                Pass::Failed(failure) => {
                    self.give_up(waiting.get_mut(from..), &failure);
                    break;
                }
            }
        }
        self.settle_quarantines();
    }

    /// An input trapped; false when it is to be staged again.
    fn trapped(&mut self, input: Option<&mut Waiting>, reaction: Option<(u64, u32)>) -> bool {
        let Some(input) = input else { return true };
        let problem = Reply::problem(Code::Internal, "the decision failed; nothing was stored");
        match &mut input.what {
            Asked::Wake { failures, .. } => {
                let again = match reaction {
                    Some(which) => self.wakes.trapped(which),
                    None => *failures < FAILURES_MAX,
                };
                *failures = failures.saturating_add(1);
                if again {
                    return false;
                }
                self.wake_failed();
            }
            Asked::Result { traps, .. } if *traps < TRAPS_MAX => {
                *traps = traps.saturating_add(1);
                return false;
            }
            Asked::Result { .. } => self.wake_failed(),
            Asked::Request(_) | Asked::Dispatch(_) => {}
        }
        input.reply = Some(problem);
        true
    }

    /// The store does not give what an input reads. The others may be luckier: should nothing be
    /// readable any more, opening fails, and that is told.
    fn put_off(&mut self, input: Option<&mut Waiting>) {
        self.failed = self.failed.saturating_add(1);
        let Some(input) = input else { return };
        if input.is_system() {
            self.wake_failed();
        }
        let detail = "what it takes can not be read now; nothing was done";
        input.reply = Some(Reply::problem(Code::Restarting, detail));
    }

    fn stage_all(&mut self, waiting: &mut Vec<Waiting>, from: usize, to: &mut usize) -> Pass {
        let mut staged = Vec::new();
        let (mut index, mut wakes) = (from, 0);
        while index < *to {
            let Some(input) = waiting.get_mut(index) else { break };
            let this = index;
            index = index.saturating_add(1);
            // Nothing is done in the name of a log that is not this host's.
            if input.reply.is_some() || (input.is_system() && self.held()) {
                continue;
            }
            if let Asked::Request(request) = &input.what
                && let Some(reply) = self.wake_for_test(request)
            {
                input.reply = Some(reply);
                continue;
            }
            let started = self.world.micros();
            let process = match &input.what {
                Asked::Request(request) if request.tells_of_deliveries() => self.process(),
                _ => self.process_at(started),
            };
            let Some(live) = self.live.as_mut() else { return Pass::Again };
            let next = live.head.position.saturating_add(1);
            let stamp = match (&self.config.test_stamps, input.stamp) {
                (Some(stamps), _) => test_stamp(stamps, next),
                (None, Some(stamp)) => stamp,
                (None, None) => Stamp { clock: self.world.clock(), entropy: self.world.entropy() },
            };
            (input.stamp, input.after) = (Some(stamp), next.saturating_sub(1));
            let what = input.message(&self.wakes, self.config.effects_in_flight_max);
            let message = Input { stamp, what, process };
            let outcome = match stage_input(live, &mut self.store, &message, input.in_parts) {
                Ok(Some(outcome)) => outcome,
                Ok(None) => {
                    input.reply = Some(Reply::again());
                    continue;
                }
                Err(failure) => {
                    self.drop_live();
                    staged.iter().for_each(|(_, outcome)| self.wakes.not_stored(outcome));
                    return self.after_failure(failure, this, input.is_system());
                }
            };
            if matches!(input.what, Asked::Result { .. }) && outcome.proposed.is_none() {
                self.wake_failed();
            }
            if !input.is_system() {
                self.timings.add(self.world.micros().saturating_sub(started));
            }
            let wake = input.is_wake();
            self.note_wakes(&outcome, wake);
            // The system's commands come before the next client's, in this batch as long as it
            // has room for them.
            let next = waiting.get(index).filter(|_| index < *to);
            if outcome.wake
                && self.wake_due() == Some(0)
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
    fn after_failure(&mut self, failure: Failure, index: usize, system: bool) -> Pass {
        match failure {
            // What waits can not be read: clients are not to suffer from that.
            Failure::Refused(_) if system => {
                self.report(&failure);
                Pass::Trapped(index, None)
            }
            Failure::Trap(trap) => {
                let known = self.quarantine(&trap);
                let reaction = trapped_reaction(trap.progress);
                self.report(&Failure::Trap(trap));
                if known { Pass::Again } else { Pass::Trapped(index, reaction) }
            }
            Failure::Store(StoreError::CorruptRow { .. }) => {
                self.report(&failure);
                self.rows_damaged = true;
                Pass::Again
            }
            // A place in the log that can not be read is read by whoever asks for it; clients are
            // not to suffer from what the system reads.
            Failure::Store(StoreError::CorruptLog { .. }) => {
                self.report(&failure);
                Pass::PutOff(index)
            }
            Failure::Store(_) if system => {
                self.report(&failure);
                Pass::PutOff(index)
            }
            Failure::Store(_) | Failure::Refused(_) => Pass::Failed(failure),
        }
    }
}
