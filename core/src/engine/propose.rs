//! Proposing: from a client's command to a commit that is not taken in yet.
//!
//! Owns the order of checks after parsing: idempotency key, preconditions, decision; and what of
//! a commit its answer tells. Refuses to know how commands arrive and how answers look.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::access::Access;
use super::apply::{self, FoldStop, Taken};
use super::build::{Built, Made};
use super::proposal::Proposal;
use super::refold::Missing;
use super::snapshots::{self, Snapshot};
use super::streams::StreamRow;
use super::{Engine, Fault, ViewId};
use crate::chain::HASH_HOLE;
use crate::commit::{Cause, Commit};
use crate::decider::{AggregateSpec, AnyAggregate, CommandSpec, Decision, Reads};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::record::made_id;
use crate::time::Time;

/// A client's command, parsed and checked.
#[derive(Clone, Copy, Debug)]
pub struct CommandInput<'a> {
    /// The aggregate that takes it.
    pub aggregate: &'static AggregateSpec,
    /// Which command.
    pub command: &'static CommandSpec,
    /// Id of the stream.
    pub id: &'a str,
    /// The payload, minified.
    pub data: &'a str,
    /// What came with it.
    pub metadata: &'a Metadata,
    /// What must hold of the stream.
    pub preconditions: &'a Preconditions,
    /// When, and with what entropy.
    pub stamp: &'a Stamp,
    /// The reaction that led to it, when the system gives the command itself.
    pub cause: Option<&'a Caused<'a>>,
}

/// What led to a command of the system.
#[derive(Clone, Debug)]
pub struct Caused<'a> {
    /// As the commit tells it.
    pub cause: Cause<'a>,
    /// How many reactions led here.
    pub depth: u32,
}

/// What comes with a command beside its payload.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Metadata {
    /// Who.
    pub actor: Option<String>,
    /// What it belongs to.
    pub correlation_id: Option<String>,
    /// What led to it.
    pub causation_id: Option<String>,
    /// W3C trace context.
    pub traceparent: Option<String>,
    /// How many deliveries to consumers led to it.
    pub hops: u32,
    /// `Foldlog-Meta-*` pairs as one JSON object.
    pub meta: Option<String>,
    /// Idempotency key and the request's fingerprint.
    pub key: Option<(String, [u8; 32])>,
    /// Ids of the events it makes, chosen by the caller; mostly none.
    pub event_ids: Vec<String>,
}

/// `If-Match` and `If-None-Match`.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Preconditions {
    /// `*` is an empty list: any version, but the stream must exist.
    pub versions: Option<Vec<u64>>,
    /// `If-None-Match: *`.
    pub none: bool,
}

/// What an answer tells of a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Answered {
    /// Type of the stream.
    pub aggregate_type: String,
    /// Id of the stream.
    pub id: String,
    /// When it was recorded.
    pub time: Time,
    /// The stream came into being.
    pub created: bool,
    /// The stream's version after it.
    pub version: u64,
    /// Position of its last event; of the head when it has none.
    pub position: u64,
    /// Its hash, when it is known already.
    pub hash: Option<String>,
    /// Its events.
    pub events: Vec<AnsweredEvent>,
}

/// What an answer tells of an event.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AnsweredEvent {
    /// Its id.
    pub id: String,
    /// Its type.
    pub event_type: String,
    /// Its version in its stream.
    pub version: u64,
    /// Its position.
    pub position: u64,
}

/// What became of a command.
#[derive(Debug)]
pub enum Decided {
    /// It makes a commit.
    Proposed(Answered, Box<Proposal>),
    /// It is fine and changes nothing.
    Nothing(Answered),
    /// It was done before, under the same key.
    Replayed(Answered),
    /// The events that it names are there already.
    Known(Answered),
    /// It is refused.
    Rejected(Problem),
}

/// An attempt that did not come to an end.
pub(super) type Attempt<T> = Result<T, Stop>;

impl Engine {
    /// Decides a command. `Err` names what is missing; nothing changes either way.
    pub fn propose(
        &self,
        mut access: Access<'_>,
        input: &CommandInput<'_>,
    ) -> Result<Decided, Missing> {
        let fault = |what: String| Decided::Rejected(Problem::new(Code::Internal, what));
        let decision = match self.decide(&mut access, input) {
            Ok(decision) => decision,
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(Stop::Fault(what)) => return Ok(fault(what)),
        };
        let made = match decision {
            Verdict::Made(made) => made,
            Verdict::Settled(decided) => return Ok(*decided),
        };
        self.proposed(access, input, made)
    }

    /// Makes a proposal of what was decided.
    pub(super) fn proposed(
        &self,
        mut access: Access<'_>,
        input: &CommandInput<'_>,
        made: Made,
    ) -> Result<Decided, Missing> {
        match self.build_bounded(&mut access, input, made) {
            Ok(Ok(Built { answered, line, folded, genesis })) => {
                let (first, last) = (self.head.position.saturating_add(1), answered.position);
                let mut taken = Taken::new(access, folded);
                taken.genesis = genesis;
                Ok(Decided::Proposed(answered, Box::new(Proposal { first, last, line, taken })))
            }
            Ok(Err(problem)) => Ok(Decided::Rejected(problem)),
            Err(FoldStop::Need(_)) => Err(access.take_missing()),
            Err(FoldStop::Corrupt(what)) => {
                Ok(Decided::Rejected(Problem::new(Code::Internal, what)))
            }
        }
    }

    /// Keeps a stream's current state as a snapshot. Nothing of the log changes.
    pub fn propose_snapshot(
        &self,
        mut access: Access<'_>,
        stream: &str,
        snapshot: Snapshot,
    ) -> Result<Proposal, Missing> {
        match snapshots::keep(&mut access, self.policy.kept(), stream, snapshot) {
            Ok(more) => Ok(self.rows_alone(access, more, 0)),
            Err(_) => Err(access.take_missing()),
        }
    }

    /// Takes the snapshots anew that an input found not to be the fold.
    pub fn propose_mended(&self, mut access: Access<'_>) -> Result<Proposal, Missing> {
        let supplied = access.supplied;
        // All are tried before a miss is told.
        let results: Vec<_> =
            supplied.wrong.iter().map(|one| snapshots::mend(&mut access, one)).collect();
        match results.into_iter().collect::<Result<Vec<()>, Stop>>() {
            Ok(mended) => Ok(self.rows_alone(access, 0, mended.len() as u64)),
            Err(_) => Err(access.take_missing()),
        }
    }

    fn rows_alone(&self, access: Access<'_>, snapshots: i64, discarded: u64) -> Proposal {
        let last = self.head.position;
        let folded = apply::Folded::rows_alone(&self.head, (snapshots, discarded));
        Proposal { first: last, last, line: String::new(), taken: Taken::new(access, folded) }
    }

    pub(super) fn now(&self, stamp: &Stamp) -> Time {
        self.head.time.max(stamp.clock)
    }

    pub(super) fn decide(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
    ) -> Attempt<Verdict> {
        let Some((index, aggregate)) = self.registry.by_type(input.aggregate.aggregate_type) else {
            return Err(Stop::Fault("the aggregate is not registered".into()));
        };
        // All reads are tried before any miss is told, so that one round supplies them all.
        let repeated = self.repeated(access, input);
        let row = self.stream_row(access, index, input.id).map(|row| row.map(Cow::into_owned));
        if let Some(decided) = repeated? {
            return Ok(decided.into());
        }
        let row = row?;
        let row = row.as_deref().map(StreamRow::read).transpose()?;
        let version = row.as_ref().map_or(0, StreamRow::version);
        if let Some(problem) = unmet(input, version) {
            return Ok(Decided::Rejected(problem).into());
        }
        let state = match row {
            Some(StreamRow::Blocked(blocked)) => {
                let stream = ids::stream_name(input.aggregate.aggregate_type, input.id);
                return Ok(Decided::Rejected(blocked.problem(&stream)).into());
            }
            Some(StreamRow::State(_, state)) => Some(state),
            None => None,
        };
        self.run_decider(access, aggregate, input, (version, state))
    }

    fn run_decider(
        &self,
        access: &mut Access<'_>,
        aggregate: &dyn AnyAggregate,
        input: &CommandInput<'_>,
        (version, state): (u64, Option<&[u8]>),
    ) -> Attempt<Verdict> {
        let mut reads = EngineReads { engine: self, access, faults: &[] };
        let mut decision = Decision::new(input.id, self.now(input.stamp), input.stamp, &mut reads);
        let decided = aggregate.decide(state, input.command.name, input.data, &mut decision);
        let entropy = decision.drew_entropy().then_some(input.stamp.entropy);
        // A read that stopped the decision counts, whatever the decision made of that.
        let appended = decision.finish()?;
        Ok(match decided {
            Err(rejection) => Decided::Rejected(rejection).into(),
            Ok(events) if events.is_empty() && !appended.is_empty() => {
                return Err(Stop::Fault(
                    "a decision appends to other streams and not to its own".into(),
                ));
            }
            Ok(events) if events.is_empty() => Decided::Nothing(Answered {
                aggregate_type: input.aggregate.aggregate_type.into(),
                id: input.id.into(),
                time: self.now(input.stamp),
                created: false,
                version,
                position: self.head.position,
                hash: None,
                events: Vec::new(),
            })
            .into(),
            Ok(events) => {
                let published = Vec::new();
                Verdict::Made(Made { events, appended, published, version, entropy, silent: false })
            }
        })
    }
}

/// What a decision reads, through the attempt's own access.
pub(super) struct EngineReads<'x, 'e> {
    pub engine: &'x Engine,
    pub access: &'x mut Access<'e>,
    /// Projections that stopped at a record of this very commit: their rows are as of before.
    pub faults: &'x [(ViewId, Fault)],
}

impl Reads for EngineReads<'_, '_> {
    fn state(&mut self, aggregate_type: &str, id: &str) -> Result<Option<Vec<u8>>, Stop> {
        let known = self.engine.registry.by_type(aggregate_type);
        let (index, _) = known
            .ok_or_else(|| Stop::Fault(format!("aggregate {aggregate_type} is not registered")))?;
        Ok(self.engine.stream_row(self.access, index, id)?.map(Cow::into_owned))
    }

    fn row(&mut self, projection: &str, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop> {
        let mut projections = self.engine.registry.projections.iter();
        let index = projections
            .position(|found| found.spec().name == projection)
            .ok_or_else(|| Stop::Fault(format!("projection {projection} is not registered")))?;
        let view = self.engine.views.projection(index);
        let position = self.engine.views.state(view).map(|state| state.position);
        let stopped = self.faults.iter().any(|(faulted, _)| *faulted == view);
        if stopped || position != Some(self.engine.head.position) {
            return Ok(None);
        }
        Ok(Some(self.access.row(view, key)?.map(Cow::into_owned)))
    }
}

pub(super) enum Verdict {
    Made(Made),
    Settled(Box<Decided>),
}

impl From<Decided> for Verdict {
    fn from(decided: Decided) -> Self {
        Self::Settled(Box::new(decided))
    }
}

/// The precondition that does not hold, if any.
pub(super) fn unmet(input: &CommandInput<'_>, version: u64) -> Option<Problem> {
    // Most commands have none: nothing is made for them.
    let stream = || ids::stream_name(input.aggregate.aggregate_type, input.id);
    let problem = |detail: String| {
        Problem::new(Code::PreconditionFailed, detail).number("currentVersion", version)
    };
    if input.preconditions.none && version > 0 {
        return Some(problem(format!(
            "If-None-Match is *, but {} exists at version {version}",
            stream()
        )));
    }
    let expected = input.preconditions.versions.as_ref()?;
    match expected.as_slice() {
        [] if version == 0 => {
            Some(problem(format!("If-Match is *, but {} does not exist", stream())))
        }
        [first, ..] if !expected.contains(&version) => {
            let detail = format!("{} is at version {version}, not {first}", stream());
            Some(problem(detail).number("expectedVersion", *first))
        }
        _ => None,
    }
}

/// What the answer to a command tells, from its commit alone: the same for ever.
pub fn answered(commit: &Commit<'_>) -> Result<Answered, Stop> {
    let first =
        commit.events.first().ok_or_else(|| Stop::Fault("a commit without events".into()))?;
    let (aggregate_type, id) = ids::split_stream(&first.stream).unwrap_or((&first.stream, ""));
    let own = commit.events.iter().filter(|event| event.stream == first.stream);
    let events =
        commit.events.iter().zip(commit.position..).map(|(event, position)| AnsweredEvent {
            id: event.id.as_deref().map_or_else(|| made_id(event, position), ToString::to_string),
            event_type: event.event_type.to_string(),
            version: event.version,
            position,
        });
    Ok(Answered {
        aggregate_type: aggregate_type.into(),
        id: id.into(),
        time: Time::parse_iso(&commit.time).unwrap_or_default(),
        created: first.version == 1,
        version: own.map(|event| event.version).max().unwrap_or_default(),
        position: commit.last_position(),
        hash: commit.hash.as_deref().filter(|hash| *hash != HASH_HOLE).map(ToString::to_string),
        events: events.collect(),
    })
}
