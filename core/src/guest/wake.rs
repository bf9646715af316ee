//! Staging a wake: the system's own commands.
//!
//! Owns what the host is told of it: more may be due, or when the next timer is. Refuses to know
//! what a system command is.

use alloc::boxed::Box;
use alloc::string::String;

use super::{Answered, Opened, Staging, encode, outcome, refuse};
use crate::engine::{self, Woken};
use crate::http::{Answer, Route};
use crate::protocol::{Kind, Outcome, RefusalReason, StageStep, Wake};

impl Opened {
    pub(super) fn continue_wake(
        &mut self,
        wake: Wake,
        routes: &[Route],
        staging: Box<Staging>,
    ) -> Answered {
        let input = engine::Wake { stamp: &staging.stamp, wake };
        // A command that reads more than a stage may is refused like one that trapped.
        let too_much = staging.reads_too_much() && !wake.trapped;
        let refused = Wake { trapped: true, ..wake };
        let woken = match self.engine.wake(&staging.supplied, input) {
            Err(_) if too_much => {
                return self.continue_wake(refused, routes, staging);
            }
            Err(missing) => return self.ask(routes, staging, missing),
            Ok(woken) => woken,
        };
        let mut told = nothing(self);
        match woken {
            Woken::Idle(next) => told.wake_at = next,
            Woken::Waits => {}
            Woken::Broken(what) => return refuse(RefusalReason::Malformed, what),
            Woken::Proposed(proposal) => {
                told.proposed = Some(proposal.last());
                told.wake = true;
                told.checkpoint_due = self.engine.checkpoint_due();
                self.proposal = Some(*proposal);
            }
        }
        encode(&StageStep::Done(told))
    }
}

fn nothing(open: &Opened) -> Outcome {
    let answer = Answer::json(String::new());
    outcome(&open.engine, answer, Kind::System, None, false)
}
