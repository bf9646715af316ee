//! Waking: doing what is due of what process managers asked for.
//!
//! Owns that a system command always ends in a commit that names its cause: its events, or its
//! refusal, or that there was nothing to do. Refuses to know when a host wakes a partition.
//!
//! Invariant: the commit closes the pending row, so a command is done once however often a wake is
//! staged. A command whose decision reads a view that is not live waits.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;

use super::Engine;
use super::access::{Access, Supplied};
use super::build::Made;
use super::pending::{self, Waits, Which};
use super::propose::{Caused, CommandInput, Decided, Metadata, Preconditions, Proposal};
use super::refold::Missing;
use crate::commit::{Cause, Commit};
use crate::decider::{AggregateSpec, CommandKind, CommandSpec};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::process::{Ordered, REFUSED, Refused, SETTLED, SYSTEM};
use crate::protocol::{self, Stamp};
use crate::read::Stop;
use crate::record::first_event_id;
use crate::time::Time;

/// A wake: what is due by this stamp's clock is done, one command at a time.
#[derive(Clone, Copy, Debug)]
pub struct Wake<'a> {
    /// When, and with what entropy.
    pub stamp: &'a Stamp,
    /// What is wanted of it.
    pub wake: protocol::Wake,
}

/// Commands that wait for a view are passed over, up to so many.
const PASSED_OVER_MAX: u32 = 32;

/// What became of a wake.
#[derive(Debug)]
pub enum Woken {
    /// Nothing is due; the next thing is at this time.
    Idle(Option<Time>),
    /// The command that is due waits for a view.
    Waits,
    /// What waits can not be read: a bug of ours, told to the host's log.
    Broken(String),
    /// It makes a commit.
    Proposed(Box<Proposal>),
}

/// Streams of the system, as the parts of the engine that place events know aggregates.
static SYSTEM_STREAM: AggregateSpec = AggregateSpec {
    aggregate_type: SYSTEM,
    name: "~system",
    id_field: "id",
    revision: 1,
    snapshot_every: 0,
    events: &[],
    commands: &[],
    query_schema: "{}",
};

static NO_COMMAND: CommandSpec = CommandSpec {
    name: "",
    path: "",
    version: 1,
    summary: "",
    fields: &[],
    rejections: &[],
    creates: false,
    kind: CommandKind::Internal,
};

/// A due command, read back from the log.
struct Due {
    which: Which,
    waits: Waits,
    command: Ordered,
    metadata: Metadata,
}

impl Engine {
    /// Stages the system command that falls due first. `Err` names what is missing.
    pub fn wake(&self, supplied: &Supplied, wake: Wake<'_>) -> Result<Woken, Missing> {
        if !self.head.waits() {
            return Ok(Woken::Idle(None));
        }
        let mut access = self.access(supplied);
        let first = match pending::first(&mut access, PASSED_OVER_MAX) {
            Ok(first) => first,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Woken::Broken(what)),
        };
        let clock = if wake.wake.timers { wake.stamp.clock } else { Time(0) };
        if let Some((next, _)) = first.first().filter(|(due, _)| *due > clock) {
            return Ok(Woken::Idle(Some(*next)));
        }
        let mut woken = Woken::Idle(None);
        for (_, which) in first.into_iter().filter(|(due, _)| *due <= clock) {
            woken = self.do_due(supplied, wake, which)?;
            if !matches!(woken, Woken::Waits) {
                break;
            }
        }
        Ok(woken)
    }

    fn do_due(&self, supplied: &Supplied, wake: Wake<'_>, which: Which) -> Result<Woken, Missing> {
        let mut access = self.access(supplied);
        let due = match self.due(&mut access, which) {
            Ok(due) => due,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Woken::Broken(what)),
        };
        let refused = if wake.wake.trapped {
            Some(Problem::new(Code::Internal, "the decision failed"))
        } else {
            match self.propose_due(access, wake.stamp, &due)? {
                Decided::Proposed(_, proposal) => return Ok(Woken::Proposed(proposal)),
                Decided::Nothing(_) | Decided::Replayed(_) => None,
                Decided::Rejected(problem) if problem.code == Code::Restarting => {
                    return Ok(Woken::Waits);
                }
                Decided::Rejected(problem) => Some(problem),
            }
        };
        match self.settle(self.access(supplied), wake.stamp, &due, refused.as_ref())? {
            Decided::Proposed(_, proposal) => Ok(Woken::Proposed(proposal)),
            Decided::Rejected(problem) => Ok(Woken::Broken(problem.detail)),
            Decided::Nothing(_) | Decided::Replayed(_) => Ok(Woken::Waits),
        }
    }

    /// What a pending row stands for, as its commit recorded it.
    fn due(&self, access: &mut Access<'_>, which: Which) -> Result<Due, Stop> {
        let broken = |what: &str| Stop::Fault(format!("reaction {}/{}: {what}", which.0, which.1));
        // Both reads are tried before a miss is told, so that one round supplies both.
        let waits = pending::waits(access, which);
        let lines = access.commits(&[which.0])?;
        let waits = waits?.ok_or_else(|| broken("it is not open"))?;
        let line = lines.first().ok_or_else(|| broken("its commit is missing"))?;
        let commit = Commit::parse(line).map_err(|e| broken(&e.to_string()))?;
        let recorded = pending::recorded(&commit)?;
        let mut recorded = recorded.iter();
        let reaction = recorded.find(|reaction| reaction.n == which.1);
        let reaction = reaction.ok_or_else(|| broken("its commit does not have it"))?;
        let event = usize::try_from(reaction.event).unwrap_or(usize::MAX);
        let id = commit.events.get(event).and_then(|event| event.id.as_deref());
        let at = commit.position.saturating_add(reaction.event.into());
        let correlation = match &commit.correlation_id {
            Some(id) => id.to_string(),
            None => first_event_id(&commit).into_owned(),
        };
        let metadata = Metadata {
            correlation_id: Some(correlation),
            causation_id: Some(id.map_or_else(|| ids::event_id(at), ToString::to_string)),
            traceparent: commit.traceparent.as_deref().map(ToString::to_string),
            ..Metadata::default()
        };
        let command = reaction.command()?;
        Ok(Due { which, waits, command, metadata })
    }

    /// Decides what is due, like a client's command.
    fn propose_due(
        &self,
        access: Access<'_>,
        stamp: &Stamp,
        due: &Due,
    ) -> Result<Decided, Missing> {
        let Ordered { aggregate_type, aggregate_id, command, data } = &due.command;
        let known = self.registry.by_type(aggregate_type).map(|(_, aggregate)| aggregate.spec());
        let found = known.and_then(|spec| {
            spec.commands.iter().find(|found| found.name == command).map(|found| (spec, found))
        });
        let Some((aggregate, command)) = found else {
            let detail = format!("{aggregate_type} has no command {command}");
            return Ok(Decided::Rejected(Problem::new(Code::NotFound, detail)));
        };
        let caused = due.caused();
        let input = CommandInput {
            aggregate,
            command,
            id: aggregate_id,
            data,
            metadata: &due.metadata,
            preconditions: &Preconditions::default(),
            stamp,
            cause: Some(&caused),
        };
        self.propose(access, &input)
    }

    /// Closes what is due without events of its own: it was refused, or there was nothing to do.
    fn settle(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
        due: &Due,
        refused: Option<&Problem>,
    ) -> Result<Decided, Missing> {
        let manager = due.waits.manager.as_str();
        let version = match self.version_of(&mut access, SYSTEM, manager) {
            Ok(version) => version,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => {
                return Ok(Decided::Rejected(Problem::new(Code::Internal, what)));
            }
        };
        let told = |event_type: &str, written: Result<String, serde_json::Error>| {
            written.map(|data| vec![(event_type.to_string(), data)])
        };
        let (position, n) = due.which;
        let Ordered { aggregate_type, aggregate_id, command, .. } = due.command.clone();
        let manager_name = manager.to_string();
        let events = match refused {
            Some(problem) => {
                let (code, detail) = (problem.code.name().to_string(), problem.detail.clone());
                let refused = Refused {
                    manager: manager_name,
                    position,
                    n,
                    aggregate_type,
                    aggregate_id,
                    command,
                    code,
                    detail,
                    data: String::new(),
                };
                told(REFUSED, serde_json::to_string(&refused))
            }
            None => {
                let settled = Settled {
                    manager: manager_name,
                    position,
                    n,
                    aggregate_type,
                    aggregate_id,
                    command,
                };
                told(SETTLED, serde_json::to_string(&settled))
            }
        };
        let events = match events {
            Ok(events) => events,
            Err(e) => return Ok(Decided::Rejected(Problem::new(Code::Internal, e))),
        };
        let caused = due.caused();
        let input = CommandInput {
            aggregate: &SYSTEM_STREAM,
            command: &NO_COMMAND,
            id: manager,
            data: "{}",
            metadata: &due.metadata,
            preconditions: &Preconditions::default(),
            stamp,
            cause: Some(&caused),
        };
        let made = Made { events, appended: Vec::new(), version, entropy: None };
        self.proposed(access, &input, made)
    }
}

/// A command that had nothing to do: the data of [`SETTLED`].
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Settled {
    manager: String,
    position: u64,
    n: u32,
    aggregate_type: String,
    aggregate_id: String,
    command: String,
}

impl Due {
    fn caused(&self) -> Caused<'_> {
        let (position, n) = self.which;
        let cause = Cause { manager: Cow::Borrowed(&self.waits.manager), position, n };
        Caused { cause, depth: self.waits.depth }
    }
}
