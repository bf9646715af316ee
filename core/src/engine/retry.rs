//! Asking for an effect anew: one that waits for its next attempt is due at once, one that was given
//! up waits again.
//!
//! Owns who may be asked for anew, and the commit that says so. Refuses to know what the host does
//! about it.
//!
//! Invariant: the commit's cause names the effect, like that of every attempt, so folding the log
//! leads to the same outbox.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Engine;
use super::access::Access;
use super::outbox::{self, Call, CallStatus};
use super::pending::Which;
use super::propose::{Caused, Decided, Proposal};
use super::refold::Missing;
use super::settle::{Told, asked};
use crate::commit::Cause;
use crate::errors::{Code, Problem};
use crate::process::{Ended, RETRIED};
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::time::Time;

/// What becomes of the effect, and the commit that makes it so.
pub type Retried = Result<(Call, Box<Proposal>), Problem>;

impl Engine {
    /// Stages that an effect is attempted at once, and as often as a new one. `running` are those
    /// that the host attempts now. `Err` names what is missing.
    pub fn retry_effect(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
        (id, running): (&str, &[Which]),
    ) -> Result<Retried, Missing> {
        let found = match find(&mut access, id) {
            Ok(found) => found,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Err(Problem::new(Code::Internal, what))),
        };
        let Some((which, call)) = found else {
            let detail = format!("there is no effect {id}; GET /effects lists them");
            return Ok(Err(Problem::new(Code::NotFound, detail)));
        };
        if let Some(problem) = refusal(id, &call, running.contains(&which)) {
            return Ok(Err(problem));
        }
        let metadata = match asked(&mut access, which, |_| Ok(())) {
            Ok(((), metadata)) => metadata,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Err(Problem::new(Code::Internal, what))),
        };
        let told = match told(which, &call, stamp.clock) {
            Ok(told) => told,
            Err(e) => return Ok(Err(Problem::new(Code::Internal, e))),
        };
        let cause = Cause { manager: Cow::Borrowed(&call.manager), position: which.0, n: which.1 };
        let caused = Caused { cause, depth: call.depth };
        let decided = self.propose_told(access, stamp, &caused, &metadata, told)?;
        Ok(match decided {
            Decided::Proposed(_, proposal) => {
                let (next, status) = (stamp.clock, CallStatus::Pending);
                Ok((Call { attempt: 0, next, last_error: None, status, ..call }, proposal))
            }
            Decided::Rejected(problem) => Err(problem),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => {
                Err(Problem::new(Code::Internal, "nothing was proposed"))
            }
        })
    }
}

/// The effect of an id, if the log has it.
fn find(access: &mut Access<'_>, id: &str) -> Result<Option<(Which, Call)>, Stop> {
    let Some(which) = outbox::place_of(id) else { return Ok(None) };
    let call = outbox::call(access, which)?;
    Ok(call.filter(|call| outbox::effect_id(which, &call.incarnation) == id).map(|c| (which, c)))
}

fn refusal(id: &str, call: &Call, running: bool) -> Option<Problem> {
    let state = match call.status {
        CallStatus::Succeeded => "succeeded",
        CallStatus::Pending if running => "running",
        CallStatus::Pending | CallStatus::Dead => return None,
    };
    let detail = format!("effect {id} is {state}; only one that is pending or dead is retried");
    Some(Problem::new(Code::IllegalTransition, detail).text("currentState", state))
}

fn told((position, n): Which, call: &Call, now: Time) -> Result<Told, serde_json::Error> {
    let retried = Ended {
        manager: call.manager.clone(),
        position,
        n,
        kind: call.kind.clone(),
        target: call.target.clone(),
        retry_at: Some(now.to_iso()),
        ..Ended::default()
    };
    let data: String = serde_json::to_string(&retried)?;
    Ok(Told { event_type: RETRIED, data, entropy: None, silent: None })
}
