//! Asking for an effect anew: one that waits for its next attempt is due at once, one that was given
//! up waits again.
//!
//! Owns who may be asked for anew, and the commit that says so. Refuses to know what the host does
//! about it.
//!
//! Invariants: the commit's cause names the effect, like that of every attempt, so folding the log
//! leads to the same outbox. The answer follows from that commit and from what never changes of an
//! effect, so that a repeated idempotency key is given the first one again.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;

use super::Engine;
use super::access::Access;
use super::outbox::{self, Call, CallStatus};
use super::pending::{Which, broken};
use super::proposal::Proposal;
use super::propose::{Attempt, Caused, Decided, Metadata};
use super::refold::Missing;
use super::settle::{Told, asked};
use crate::commit::{Cause, Commit};
use crate::errors::{Code, Problem};
use crate::process::{Ended, RETRIED};
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::time::Time;

/// What becomes of the effect, and the commit that makes it so; none when that was made before, under
/// the same idempotency key.
pub type Retried = Result<(Call, Option<Box<Proposal>>), Problem>;

/// A client's wish that an effect be attempted anew.
#[derive(Clone, Copy, Debug)]
pub struct Retry<'a> {
    /// The effect's id.
    pub id: &'a str,
    /// Idempotency key and the request's fingerprint.
    pub key: Option<&'a (String, [u8; 32])>,
    /// Effects that the host attempts now.
    pub running: &'a [Which],
}

impl Engine {
    /// Stages that an effect is attempted at once, and as often as a new one. `Err` names what is
    /// missing.
    pub fn retry_effect(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
        retry: Retry<'_>,
    ) -> Result<Retried, Missing> {
        let (which, call, mut metadata) = match self.may_retry(&mut access, stamp, retry) {
            Ok(Ok(May::Anew(which, call, metadata))) => (which, call, metadata),
            Ok(Ok(May::Again(call))) => return Ok(Ok((call, None))),
            Ok(Err(problem)) => return Ok(Err(problem)),
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Err(Problem::new(Code::Internal, what))),
        };
        metadata.key = retry.key.cloned();
        let told = match told(which, &call, stamp.clock) {
            Ok(told) => told,
            Err(e) => return Ok(Err(Problem::new(Code::Internal, e))),
        };
        let cause = Cause { manager: Cow::Borrowed(&call.manager), position: which.0, n: which.1 };
        let caused = Caused { cause, depth: call.depth };
        let decided = self.propose_told(access, stamp, &caused, &metadata, told)?;
        Ok(match decided {
            Decided::Proposed(_, proposal) => Ok((anew(call, stamp.clock), Some(proposal))),
            Decided::Rejected(problem) => Err(problem),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => {
                Err(Problem::new(Code::Internal, "nothing was proposed"))
            }
        })
    }

    fn may_retry(
        &self,
        access: &mut Access<'_>,
        stamp: &Stamp,
        Retry { id, key, running }: Retry<'_>,
    ) -> Attempt<Result<May, Problem>> {
        let done = self.done_by_key(access, key, stamp);
        // Tried before a miss is told, so that one round supplies both.
        let found = find(access, id);
        let done = match done? {
            Some(Err(problem)) => return Ok(Err(problem)),
            Some(Ok(line)) => Some(line),
            None => None,
        };
        let Some((which, call)) = found? else {
            let detail = format!("there is no effect {id}; GET /effects lists them");
            return Ok(Err(Problem::new(Code::NotFound, detail)));
        };
        if let Some(line) = done {
            return Ok(Ok(May::Again(anew(call, retried_at(&line)?))));
        }
        if let Some(problem) = refusal(id, &call, running.contains(&which)) {
            return Ok(Err(problem));
        }
        let ((), metadata) = asked(access, which, |_| Ok(()))?;
        Ok(Ok(May::Anew(which, call, Box::new(metadata))))
    }
}

/// What is to be done about an effect.
enum May {
    /// It is attempted anew: what its commit goes by.
    Anew(Which, Call, Box<Metadata>),
    /// It was, at the same request: what that was answered.
    Again(Call),
}

/// An effect as it is when it was asked for anew at this time.
fn anew(call: Call, next: Time) -> Call {
    Call { attempt: 0, next, last_error: None, status: CallStatus::Pending, ..call }
}

/// When a commit had an effect attempted anew.
fn retried_at(line: &str) -> Result<Time, Stop> {
    let unreadable = || broken("the commit that asked for it anew");
    let commit = Commit::parse(line).map_err(|_| unreadable())?;
    let told = commit.events.iter().find(|event| event.event_type == RETRIED);
    let ended: Option<Ended> = told.and_then(|event| serde_json::from_str(event.data).ok());
    let at = ended.and_then(|ended| Time::parse_iso(ended.retry_at.as_deref()?));
    at.ok_or_else(unreadable)
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
