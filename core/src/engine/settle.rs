//! Settling: commits in which the system tells what became of what it was asked for.
//!
//! Owns the form of such commits, for commands (`wake`) and for effects: what an attempt came to,
//! when the next one is made, when an effect is given up. Refuses to know how effects are made.
//!
//! Invariant: the commit's cause names the pending row that it closes or postpones. A result for
//! an effect that has ended changes nothing, so a host may tell it as often as it likes.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::access::Access;
use super::build::Made;
use super::outbox::{self, Call, CallStatus, effect_id};
use super::pending::{self, Recorded, Which, broken};
use super::propose::{Caused, CommandInput, Decided, Metadata, Preconditions};
use super::refold::Missing;
use super::supplied::Supplied;
use super::wake::{Wake, Woken};
use super::{Doing, Engine, doing, done, react};
use crate::commit::{Cause, Commit};
use crate::decider::{AggregateSpec, CommandSpec};
use crate::errors::{Code, Problem};
use crate::limits::{
    EFFECT_ATTEMPTS_MAX, EFFECT_ERROR_CHARS_MAX, EFFECT_RETRY_MS, EFFECT_RETRY_MS_MAX,
};
use crate::process::{DROPPED, EMAIL, Ended, FAILED, SUCCEEDED, SYSTEM};
use crate::protocol::{EffectCall, EffectResult, Stamp};
use crate::read::Stop;
use crate::record::{first_event_id, made_id};
use crate::time::Time;

/// Streams of the system, as the parts of the engine that place events know aggregates.
pub(super) static SYSTEM_STREAM: AggregateSpec = AggregateSpec::of_system(SYSTEM, "~system");

/// What a client can ask the system for; the log has it of those who gave an idempotency key.
static COMMAND: CommandSpec = CommandSpec::internal("RetryEffect", "");

/// What nobody commanded.
pub(super) static NO_COMMAND: CommandSpec = CommandSpec::internal("", "");

/// What the system tells in a stream of its own.
#[derive(Clone, Debug)]
pub(super) struct Told {
    pub event_type: &'static str,
    pub data: String,
    /// What was drawn to tell it.
    pub entropy: Option<[u8; 16]>,
    /// No manager is run, and why.
    pub silent: Option<String>,
}

/// Reads the commit that asked for something: what `read` takes of the reaction, and what comes
/// with whatever it leads to.
pub(super) fn asked<T>(
    access: &mut Access<'_>,
    which: Which,
    read: impl FnOnce(&Recorded<'_>) -> Result<T, Stop>,
) -> Result<(T, Metadata), Stop> {
    let lines = access.commits(&[which.0])?;
    let line = lines.first().ok_or_else(|| broken("its commit is missing"))?;
    let commit = Commit::parse(line).map_err(|e| broken(&e.to_string()))?;
    let recorded = pending::recorded(&commit)?;
    let reaction = recorded.iter().find(|reaction| reaction.n == which.1);
    let reaction = reaction.ok_or_else(|| broken("its commit does not have it"))?;
    let event = usize::try_from(reaction.event).unwrap_or(usize::MAX);
    let event = commit.events.get(event);
    let id = event.and_then(|event| event.id.as_deref());
    let at = commit.position.saturating_add(reaction.event.into());
    let correlation = match &commit.correlation_id {
        Some(id) => id.to_string(),
        None => first_event_id(&commit).into_owned(),
    };
    let metadata = Metadata {
        correlation_id: Some(correlation),
        causation_id: match (id, event) {
            (Some(id), _) => Some(id.to_string()),
            (None, event) => event.map(|event| made_id(event, at)),
        },
        traceparent: commit.traceparent.as_deref().map(ToString::to_string),
        hops: commit.hops,
        ..Metadata::default()
    };
    Ok((read(reaction)?, metadata))
}

impl Engine {
    /// A commit with one event in the stream of the manager that caused it.
    pub(super) fn propose_told(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
        caused: &Caused<'_>,
        metadata: &Metadata,
        told: Told,
    ) -> Result<Decided, Missing> {
        let manager = &*caused.cause.manager;
        let version = match self.stream_version(&mut access, SYSTEM, manager) {
            Ok(version) => version,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => {
                return Ok(Decided::Rejected(Problem::new(Code::Internal, what)));
            }
        };
        let input = CommandInput {
            aggregate: &SYSTEM_STREAM,
            command: &COMMAND,
            id: manager,
            data: "{}",
            metadata,
            preconditions: &Preconditions::default(),
            stamp,
            cause: Some(caused),
        };
        let Told { event_type, data, entropy, silent } = told;
        let events = vec![(event_type.to_string(), data)];
        // The log says that its manager was not told.
        let unheard = silent.as_ref().map(|why| react::unheard(manager, why));
        let appended = unheard.into_iter().collect();
        let published = Vec::new();
        let silent = silent.is_some();
        let made = Made { events, appended, published, version, entropy, silent };
        self.proposed(access, &input, made)
    }

    /// The same, and without its manager when that fails to take it in: what was asked for is
    /// closed in any case.
    pub(super) fn settled(
        &self,
        access: Access<'_>,
        supplied: &Supplied,
        (stamp, caused, metadata): (&Stamp, &Caused<'_>, &Metadata),
        told: Told,
    ) -> Result<Decided, Missing> {
        let again = told.silent.is_none().then(|| told.clone());
        let decided = self.propose_told(access, stamp, caused, metadata, told)?;
        match (decided, again) {
            (Decided::Rejected(problem), Some(told)) if problem.code != Code::Restarting => {
                let told = Told { silent: Some(problem.detail), ..told };
                self.propose_told(self.access(supplied), stamp, caused, metadata, told)
            }
            (decided, _) => Ok(decided),
        }
    }

    /// The effects that are due by `clock` and that the host does not attempt already, as many as
    /// it has room for. One whose deadline passed is given up instead.
    pub(super) fn due_effects(
        &self,
        supplied: &Supplied,
        wake: &Wake<'_>,
        clock: Time,
        next: Option<Time>,
    ) -> Result<Woken, Missing> {
        let mut woken = (next, Vec::new());
        if self.head.effects == 0 {
            return Ok(Woken::Idle { next: woken.0, effects: woken.1 });
        }
        let mut access = self.access(supplied);
        match self.hand_out(&mut access, wake, clock, &mut woken) {
            Ok(None) => Ok(Woken::Idle { next: woken.0, effects: woken.1 }),
            Ok(Some(which)) => {
                let (position, n) = which;
                let error = Some("its deadline passed".to_string());
                let trapped =
                    wake.too_much || (wake.wake.trapped == Some(which) && wake.wake.silent);
                let result = EffectResult { position, n, error, detail: None, trapped };
                self.effect_result(supplied, wake.stamp, &result)
            }
            Err(Stop::Miss) => Err(access.take_missing()),
            Err(Stop::Fault(what)) => Ok(Woken::Broken(what)),
        }
    }

    /// Adds to `woken` what is due; stops at one whose deadline passed and tells which that is.
    fn hand_out(
        &self,
        access: &mut Access<'_>,
        wake: &Wake<'_>,
        clock: Time,
        woken: &mut (Option<Time>, Vec<EffectCall>),
    ) -> Result<Option<Which>, Stop> {
        let running = &wake.wake.running;
        let running_count = u32::try_from(running.len()).unwrap_or(u32::MAX);
        let room = wake.wake.room;
        // One more than can be started: it tells when to look again.
        let limit = running_count.saturating_add(room).saturating_add(1);
        let mut missed = false;
        let mut started = 0_u32;
        for (due, which) in outbox::first(access, limit)? {
            if running.contains(&which) {
                continue;
            }
            if due > clock {
                woken.0 = Some(woken.0.map_or(due, |next| next.min(due)));
                break;
            }
            if started >= room {
                break;
            }
            started = started.saturating_add(1);
            let call = outbox::call(access, which);
            let asked = asked(access, which, |reaction| reaction.effect());
            match (call, asked) {
                (Ok(call), Ok((effect, _))) => {
                    let call = call.ok_or_else(|| broken("its row"))?;
                    if call.deadline.is_some_and(|deadline| deadline < clock) {
                        return Ok(Some(which));
                    }
                    woken.1.push(handed(which, call, effect.data));
                }
                (Err(Stop::Fault(what)), _) | (_, Err(Stop::Fault(what))) => {
                    return Err(Stop::Fault(what));
                }
                // All are tried before a miss is told, so that one round supplies them all.
                _ => missed = true,
            }
        }
        if missed { Err(Stop::Miss) } else { Ok(None) }
    }

    /// Stages what an attempt at an effect came to. `Err` names what is missing.
    pub fn effect_result(
        &self,
        supplied: &Supplied,
        stamp: &Stamp,
        result: &EffectResult,
    ) -> Result<Woken, Missing> {
        let which = (result.position, result.n);
        if result.position > self.head.position {
            return Ok(Woken::Idle { next: None, effects: Vec::new() });
        }
        let mut access = self.access(supplied);
        let call = outbox::call(&mut access, which);
        let asked = asked(&mut access, which, |_| Ok(()));
        let (call, metadata) = match (call, asked) {
            (Ok(None), _) => return Ok(Woken::Idle { next: None, effects: Vec::new() }),
            (Ok(Some(call)), Ok(((), metadata))) => (call, metadata),
            (Err(Stop::Fault(what)), _) | (_, Err(Stop::Fault(what))) => {
                return Ok(Woken::Broken(what));
            }
            _ => return Err(access.take_missing()),
        };
        if call.status != CallStatus::Pending {
            return Ok(Woken::Idle { next: None, effects: Vec::new() });
        }
        let first_ms = self.first_wait_ms(&call.kind);
        let mut told = match came_to(which, &call, (stamp, first_ms), result) {
            Ok(told) => told,
            Err(e) => return Ok(Woken::Broken(e.to_string())),
        };
        told.silent = result.trapped.then(|| super::wake::TRAPPED.to_string());
        let cause = Cause { manager: Cow::Borrowed(&call.manager), position: which.0, n: which.1 };
        let caused = Caused { cause, depth: call.depth };
        let before = doing(Doing::System(which));
        let decided = self.settled(access, supplied, (stamp, &caused, &metadata), told);
        done(before);
        Ok(match decided? {
            Decided::Proposed(_, proposal) => Woken::Proposed(proposal),
            // A manager that reads a view which is not live: the host tells the result again.
            Decided::Rejected(problem) if problem.code == Code::Restarting => {
                Woken::Idle { next: None, effects: Vec::new() }
            }
            Decided::Rejected(problem) => Woken::Broken(problem.detail),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => {
                Woken::Idle { next: None, effects: Vec::new() }
            }
        })
    }
}

fn handed(which: Which, call: Call, data: String) -> EffectCall {
    let (position, n) = which;
    EffectCall {
        position,
        n,
        id: effect_id(which, &call.incarnation),
        kind: call.kind,
        target: call.target,
        data,
        attempt: call.attempt.saturating_add(1),
    }
}

/// The event that tells what an attempt came to.
fn came_to(
    (position, n): Which,
    call: &Call,
    (stamp, first_ms): (&Stamp, u64),
    result: &EffectResult,
) -> Result<Told, serde_json::Error> {
    let attempt = call.attempt.saturating_add(1);
    let error = result.error.as_deref().map(|error| {
        let plain = error.chars().map(|c| if c.is_control() { ' ' } else { c });
        plain.take(EFFECT_ERROR_CHARS_MAX).collect::<String>()
    });
    let next = stamp.clock.after_ms(wait_ms(first_ms, attempt, &stamp.entropy));
    let late = call.deadline.is_some_and(|deadline| deadline < next);
    let event_type = match &error {
        None => SUCCEEDED,
        Some(_) if attempt >= EFFECT_ATTEMPTS_MAX || late => DROPPED,
        Some(_) => FAILED,
    };
    let again = event_type == FAILED;
    let ended = Ended {
        manager: call.manager.clone(),
        position,
        n,
        kind: call.kind.clone(),
        target: call.target.clone(),
        attempt,
        detail: result.detail.clone().filter(|_| result.error.is_none()),
        error,
        retry_at: again.then(|| next.to_iso()),
        data: String::new(),
    };
    let data = serde_json::to_string(&ended)?;
    let entropy = again.then_some(stamp.entropy);
    Ok(Told { event_type, data, entropy, silent: None })
}

impl Engine {
    /// Whether consumers may be called in networks that are not public.
    pub fn allows_private_callbacks(&self) -> bool {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Known {
            #[serde(default)]
            allow_private_callbacks: bool,
        }
        let known = serde_json::from_str::<Known>(&self.settings);
        known.is_ok_and(|known| known.allow_private_callbacks)
    }

    /// The longest wait after the first attempt at an effect of this kind.
    fn first_wait_ms(&self, kind: &str) -> u64 {
        #[derive(serde::Deserialize)]
        #[serde(rename_all = "camelCase")]
        struct Known {
            email_backoff_ms: u64,
        }
        let known = (kind == EMAIL).then(|| serde_json::from_str::<Known>(&self.settings));
        known.and_then(Result::ok).map_or(EFFECT_RETRY_MS, |known| known.email_backoff_ms)
    }
}

/// The wait after an attempt: doubled each time, and of that between a half and all, so that what
/// failed together is not tried again together.
fn wait_ms(first_ms: u64, attempt: u32, entropy: &[u8; 16]) -> u64 {
    let doublings = attempt.saturating_sub(1).min(16);
    let longest = first_ms.saturating_mul(1 << doublings).min(EFFECT_RETRY_MS_MAX);
    let half = longest / 2;
    let drawn = entropy.first_chunk::<4>().map_or(0, |bytes| u32::from_le_bytes(*bytes));
    let part = half.saturating_mul(u64::from(drawn)) >> 32;
    half.saturating_add(part)
}
