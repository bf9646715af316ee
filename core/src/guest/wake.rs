//! Staging what the system itself does: its own commands, and what effects came to.
//!
//! Owns what the host is told of it: more may be due, or when the next thing is. Refuses to know
//! what a system command or an effect is.

use alloc::boxed::Box;
use alloc::string::String;

use super::answered::{Answered, done, outcome, refuse};
use super::dispatch::of_consumers;
use super::{Opened, Staged, Staging};
use crate::engine::{self, Woken};
use crate::http::{Answer, Route};
use crate::protocol::{Kind, Outcome, RefusalReason};

impl Opened {
    pub(super) fn continue_wake(
        &mut self,
        routes: &[Route],
        mut staging: Box<Staging>,
    ) -> Answered {
        let (stamp, supplied) = (&staging.stamp, &staging.supplied);
        let woken = match &staging.what {
            Staged::Wake(wake, too_much) => {
                let too_much = *too_much;
                self.engine.wake(supplied, &engine::Wake { stamp, wake, too_much })
            }
            Staged::Result(result) => self.engine.effect_result(supplied, stamp, result),
            Staged::Request(_) | Staged::Dispatch(_) => {
                return refuse(RefusalReason::OutOfOrder, "neither a wake nor a result");
            }
        };
        let woken = match woken {
            Err(missing) => {
                // What reads more than a stage may is refused like what trapped.
                if staging.reads_too_much() && staging.refuse() {
                    return self.continue_wake(routes, staging);
                }
                return self.ask(routes, staging, missing);
            }
            Ok(woken) => woken,
        };
        self.woken(woken)
    }

    /// Tells what became of something that the system itself wanted.
    pub(super) fn woken(&mut self, woken: Woken) -> Answered {
        let mut told = nothing(self);
        match woken {
            Woken::Idle { next, effects } => (told.wake_at, told.effects) = (next, effects),
            Woken::Passed(due) => (told.passed, told.wake) = (Some(due), true),
            Woken::Broken(what) => return refuse(RefusalReason::Malformed, what),
            Woken::Proposed(proposal) => {
                told.proposed = Some(proposal.last());
                told.wake = true;
                told.checkpoint_due = self.engine.checkpoint_due();
                (told.consumers, told.topics) = of_consumers(Some(&proposal));
                self.proposal = Some(*proposal);
            }
        }
        done(told)
    }
}

impl Staging {
    /// Has it refused instead of decided; false when that is so already.
    const fn refuse(&mut self) -> bool {
        let trapped = match &mut self.what {
            Staged::Wake(_, too_much) => too_much,
            Staged::Result(result) => &mut result.trapped,
            Staged::Request(_) | Staged::Dispatch(_) => return false,
        };
        !core::mem::replace(trapped, true)
    }
}

pub(super) fn nothing(open: &Opened) -> Outcome {
    let answer = Answer::json(String::new());
    outcome(&open.engine, answer, Kind::System, None, false)
}
