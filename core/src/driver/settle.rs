//! Settling a batch: storing what was staged, and what everyone is told afterwards.
//!
//! Owns answers, and what is said when the store fails. How a batch is staged is in `batch`.
//!
//! Invariant (law 3): no reply of a batch exists before its block is stored, reads and rejections
//! included, since they may have seen what the batch proposed.

use super::batch::{Asked, Waiting};
use super::notes::Notes;
use super::partition::Failure;
use super::seal::store_batch;
use super::supervise::unhealthy;
use super::{Partition, Ran, Reply, Spawn, Store, StoreError, Trouble, World};
use crate::errors::Code;
use crate::protocol::{Kind, Outcome};

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Stores what was staged and answers it; true when some of it has to be staged again.
    pub(super) fn settle(
        &mut self,
        waiting: &mut [Waiting],
        outcomes: &mut [(usize, Outcome)],
    ) -> bool {
        let Some(live) = self.live.as_mut() else { return false };
        let checkpoint = outcomes.iter().any(|(_, outcome)| outcome.checkpoint_due)
            || live.head.position.saturating_sub(live.head.checkpoint)
                > self.config.tail_events_max;
        let (told, mut notes) = (self.blocks.as_mut(), Notes::default());
        let result = store_batch(live, &mut self.store, outcomes, checkpoint, told, &mut notes);
        let to = live.head.position;
        let result = result.and_then(|hashes| {
            let owned = outcomes.iter().try_for_each(|(_, outcome)| self.settle_adoption(outcome));
            owned.map(|()| hashes).map_err(super::owner::unowned)
        });
        let hashes = match result {
            Ok(hashes) => hashes,
            Err(failure) => return self.not_stored(waiting, outcomes, &failure),
        };
        self.deliveries.tell(notes);
        if checkpoint || outcomes.iter().any(|(_, outcome)| outcome.proposed.is_some()) {
            (self.stored, self.trouble) = (true, None);
        }
        for (index, outcome) in outcomes {
            match outcome.kind {
                Kind::Command => {
                    self.process.commands_processed =
                        self.process.commands_processed.saturating_add(1)
                }
                Kind::Rejected => {
                    self.process.commands_rejected =
                        self.process.commands_rejected.saturating_add(1);
                    let input = waiting.get(*index);
                    if let Some((Asked::Request(request), Some(stamp), after)) =
                        input.map(|input| (&input.what, &input.stamp, input.after))
                    {
                        self.note_rejected(request, (after, stamp), &outcome.response);
                    }
                }
                Kind::Read | Kind::System => {}
            }
            let wake = waiting.get(*index).is_some_and(Waiting::is_wake);
            if wake || (outcome.kind == Kind::System && outcome.proposed.is_some()) {
                self.wakes.done();
            }
            self.wakes.stored(&mut outcome.effects);
            self.deliveries.stored(outcome);
            let store = &mut self.store;
            let genesis = || store.tail().ok().and_then(|tail| tail.genesis);
            let mut reply = Reply::settled(outcome, &hashes, to, genesis);
            self.fill_secret(outcome, &mut reply.response);
            if let Some(asked) = outcome.import.take() {
                match self.begin_import(asked) {
                    Ok(token) => reply.import = Some(token),
                    Err(problem) => reply = Reply::of(problem.response()),
                }
            }
            if let Some(input) = waiting.get_mut(*index) {
                input.reply = Some(reply);
            }
        }
        false
    }

    /// The store did not take what was staged. When it is full, what proposes nothing is staged
    /// again without the rest, since reads go on.
    fn not_stored(
        &mut self,
        waiting: &mut [Waiting],
        outcomes: &[(usize, Outcome)],
        failure: &Failure,
    ) -> bool {
        self.drop_live();
        self.report(failure);
        self.in_trouble(failure);
        self.wake_failed();
        let full = matches!(failure, Failure::Store(StoreError::Full));
        let mut again = false;
        for (index, outcome) in outcomes {
            self.wakes.not_stored(outcome);
            let Some(input) = waiting.get_mut(*index) else { continue };
            if full && outcome.proposed.is_none() && !input.is_system() {
                again = true;
            } else {
                input.reply = Some(failed_reply(failure, outcome));
            }
        }
        again
    }

    /// Nothing of these inputs was done. A full store refuses commands; a read can not be answered
    /// while the partition does not open.
    pub(super) fn give_up(&mut self, waiting: Option<&mut [Waiting]>, failure: &Failure) {
        self.drop_live();
        self.report(failure);
        self.in_trouble(failure);
        let restarts = self.process.restarts.saturating_add(1);
        let full = matches!(failure, Failure::Store(StoreError::Full));
        for input in waiting.into_iter().flatten().filter(|input| input.reply.is_none()) {
            let Asked::Request(request) = &input.what else { continue };
            if let Some(Trouble::Closed(reason)) = self.trouble.filter(|_| request.is_health()) {
                let of = (self.config.partition.as_str(), self.config.host);
                input.reply = Some(unhealthy(reason, of, restarts));
                continue;
            }
            let (code, detail) = match full && request.method == "POST" {
                true => (Code::StorageFull, "the store is full"),
                false => (Code::Restarting, "the partition is restarting; nothing was done"),
            };
            input.reply = Some(Reply::problem(code, detail));
        }
    }

    /// How it went since the last call.
    pub const fn take_ran(&mut self) -> Ran {
        let ran = Ran {
            trouble: self.trouble.take(),
            open: self.live.is_some(),
            stored: self.stored,
            failures: self.failed,
        };
        (self.stored, self.failed) = (false, 0);
        ran
    }

    /// Remembers what keeps the partition from working.
    pub(super) fn in_trouble(&mut self, failure: &Failure) {
        self.stored = false;
        if matches!(failure, Failure::Store(StoreError::CorruptRow { .. })) {
            self.rows_damaged = true;
        }
        self.trouble = Some(match failure {
            Failure::Store(StoreError::Full) => Trouble::Full,
            Failure::Store(StoreError::CorruptLog { .. }) => Trouble::Closed("its log is damaged"),
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
        // A repeat's answer is that of a command which may be in the same block.
        Failure::Store(StoreError::Unknown(_))
            if outcome.proposed.is_some() || outcome.kind == Kind::Command =>
        {
            Reply::problem(
                Code::UnknownOutcome,
                "the command was handed to the store, which did not answer; repeat it with its Idempotency-Key",
            )
        }
        _ => Reply::problem(Code::Restarting, "the partition is restarting; nothing was done"),
    }
}
