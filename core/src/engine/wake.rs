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
use alloc::vec::Vec;

use serde::Serialize;

use super::Engine;
use super::access::Access;
use super::pending::{self, Waits, Which};
use super::proposal::Proposal;
use super::propose::{Caused, CommandInput, Decided, Metadata, Preconditions};
use super::refold::Missing;
use super::settle::{self, Told};
use super::supplied::Supplied;
use super::{Doing, doing, done};
use crate::commit::Cause;
use crate::errors::{Code, Problem};
use crate::process::{Ordered, REFUSED, Refused, SETTLED};
use crate::protocol::{self, Due, EffectCall, Stamp};
use crate::read::Stop;
use crate::time::Time;
use crate::upcast::{self, Unreadable};

/// Why a command is refused without being decided: it read too much, or trapped twice.
pub(super) const UNDECIDED: [&str; 2] =
    ["the decision reads more than it may", "the decision failed"];
/// Why no process manager is told.
pub(super) const TRAPPED: &str = "it trapped";

/// A wake: what is due by this stamp's clock is done, one command at a time.
#[derive(Clone, Copy, Debug)]
pub struct Wake<'a> {
    /// When, and with what entropy.
    pub stamp: &'a Stamp,
    /// What is wanted of it.
    pub wake: &'a protocol::Wake,
    /// Deciding reads more than a stage may: refuse without deciding.
    pub too_much: bool,
}

/// What became of a wake, or of the result of an effect.
#[derive(Debug)]
pub enum Woken {
    /// No command is due.
    Idle {
        /// When the next command or attempt falls due.
        next: Option<Time>,
        /// What the host is to attempt now.
        effects: Vec<EffectCall>,
    },
    /// This command is due and waits for a view.
    Passed(Due),
    /// What waits can not be read: a bug of ours, told to the host's log.
    Broken(String),
    /// It makes a commit.
    Proposed(Box<Proposal>),
}

/// A due command, read back from the log.
struct Asked {
    which: Which,
    waits: Waits,
    command: Ordered,
    metadata: Metadata,
}

impl Engine {
    /// Stages the system command that falls due first; when none does, tells which effects do.
    /// `Err` names what is missing.
    pub fn wake(&self, supplied: &Supplied, wake: &Wake<'_>) -> Result<Woken, Missing> {
        if !self.head.waits() {
            return Ok(Woken::Idle { next: None, effects: Vec::new() });
        }
        let mut access = self.access(supplied);
        let first = match pending::first(&mut access, wake.wake.after) {
            Ok(first) => first,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Woken::Broken(what)),
        };
        let clock = if wake.wake.timers { wake.stamp.clock } else { Time(0) };
        if let Some(due) = first.filter(|due| due.at <= clock) {
            let before = doing(Doing::System((due.position, due.n)));
            let woken = self.do_due(supplied, wake, (due.position, due.n));
            done(before);
            return Ok(woken?.unwrap_or(Woken::Passed(due)));
        }
        self.due_effects(supplied, wake, clock, first.map(|due| due.at))
    }

    /// Nothing, when it waits for a view.
    pub(super) fn do_due(
        &self,
        supplied: &Supplied,
        wake: &Wake<'_>,
        which: Which,
    ) -> Result<Option<Woken>, Missing> {
        let mut access = self.access(supplied);
        let due = match self.due(&mut access, which) {
            Ok(due) => due,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(Some(Woken::Broken(what))),
        };
        let refused = if wake.too_much {
            Some(Problem::new(Code::Internal, UNDECIDED[0]))
        } else if wake.wake.trapped == Some(which) {
            Some(Problem::new(Code::Internal, UNDECIDED[1]))
        } else {
            match self.propose_due(access, wake.stamp, &due)? {
                Decided::Proposed(_, proposal) => return Ok(Some(Woken::Proposed(proposal))),
                Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => None,
                Decided::Rejected(problem) if problem.code == Code::Restarting => return Ok(None),
                Decided::Rejected(problem) => Some(problem),
            }
        };
        let silent = wake.wake.trapped == Some(which) && wake.wake.silent;
        let silent = silent.then(|| TRAPPED.to_string());
        let settled = self.settle(supplied, wake.stamp, &due, (refused.as_ref(), silent))?;
        Ok(match settled {
            Decided::Proposed(_, proposal) => Some(Woken::Proposed(proposal)),
            Decided::Rejected(problem) if problem.code == Code::Restarting => None,
            Decided::Rejected(problem) => Some(Woken::Broken(problem.detail)),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => None,
        })
    }

    /// What a pending row stands for, as its commit recorded it.
    fn due(&self, access: &mut Access<'_>, which: Which) -> Result<Asked, Stop> {
        // Both reads are tried before a miss is told, so that one round supplies both.
        let waits = pending::waits(access, which);
        let asked = settle::asked(access, which, |reaction| reaction.command());
        let (waits, (command, metadata)) = (waits?, asked?);
        let waits = waits.ok_or_else(|| pending::broken("it is due and not open"))?;
        Ok(Asked { which, waits, command, metadata })
    }

    /// Decides what is due, like a client's command.
    fn propose_due(
        &self,
        access: Access<'_>,
        stamp: &Stamp,
        due: &Asked,
    ) -> Result<Decided, Missing> {
        let Ordered { aggregate_type, aggregate_id, command, version, data } = &due.command;
        let known = self.registry.by_type(aggregate_type).map(|(_, aggregate)| aggregate);
        let found = known.ok_or(Unreadable::Unknown).and_then(|aggregate| {
            let (command, data) = upcast::command(aggregate, command, *version, data)?;
            Ok((aggregate.spec(), command, data))
        });
        let (aggregate, command, data) = match found {
            Ok(found) => found,
            Err(why) => return Ok(Decided::Rejected(unreadable(&due.command, &why))),
        };
        let caused = due.caused();
        let input = CommandInput {
            aggregate,
            command,
            id: aggregate_id,
            data: &data,
            metadata: &due.metadata,
            preconditions: &Preconditions::default(),
            stamp,
            cause: Some(&caused),
        };
        self.propose(access, &input)
    }

    /// Closes what is due without events of its own: it was refused, or there was nothing to do.
    /// `silent` says why no process manager is told.
    fn settle(
        &self,
        supplied: &Supplied,
        stamp: &Stamp,
        due: &Asked,
        (refused, silent): (Option<&Problem>, Option<String>),
    ) -> Result<Decided, Missing> {
        let manager = due.waits.manager.clone();
        let (position, n) = due.which;
        let Ordered { aggregate_type, aggregate_id, command, .. } = due.command.clone();
        let (event_type, data) = match refused {
            Some(problem) => {
                let (code, detail) = (problem.code.name().to_string(), problem.detail.clone());
                let refused = Refused {
                    manager,
                    position,
                    n,
                    aggregate_type,
                    aggregate_id,
                    command,
                    code,
                    detail,
                    data: String::new(),
                    version: 0,
                };
                (REFUSED, serde_json::to_string(&refused))
            }
            None => {
                let settled =
                    Settled { manager, position, n, aggregate_type, aggregate_id, command };
                (SETTLED, serde_json::to_string(&settled))
            }
        };
        let data = match data {
            Ok(data) => data,
            Err(e) => return Ok(Decided::Rejected(Problem::new(Code::Internal, e))),
        };
        let told = Told { event_type, data, entropy: None, silent };
        let access = self.access(supplied);
        self.settled(access, supplied, (stamp, &due.caused(), &due.metadata), told)
    }
}

/// A command that another module recorded, and that this one can not take: refused by name.
pub(super) fn unreadable(ordered: &Ordered, why: &Unreadable) -> Problem {
    let Ordered { aggregate_type, command, version, .. } = ordered;
    match why {
        Unreadable::Unknown => {
            let detail = format!("{aggregate_type} has no command {command}");
            Problem::new(Code::NotFound, detail)
        }
        Unreadable::Newer => {
            let detail = format!("{aggregate_type} knows no version {version} of {command}");
            Problem::new(Code::SchemaConflict, detail)
        }
        Unreadable::Failed(why) => {
            let detail = format!("{command} of version {version} can not be read: {why}");
            Problem::new(Code::SchemaConflict, detail)
        }
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

impl Asked {
    fn caused(&self) -> Caused<'_> {
        let (position, n) = self.which;
        let cause = Cause { manager: Cow::Borrowed(&self.waits.manager), position, n };
        Caused { cause, depth: self.waits.depth }
    }
}
