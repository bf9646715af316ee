//! Proposing: from a client's command to a commit that is not taken in yet.
//!
//! Owns the order of checks after parsing: idempotency key, preconditions, decision; and what of
//! a commit its answer tells. Refuses to know how commands arrive and how answers look.

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Engine;
use super::access::Access;
use super::apply::{self, FoldStop, Taken, split_state};
use super::repeats;
use crate::chain::{FORMAT_VERSION, HASH_HOLE, hex, sha256};
use crate::commit::{self, Commit, hex16};
use crate::decider::{AggregateSpec, AnyAggregate, CommandSpec, Decision, NewEvents};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::limits::{COMMIT_BYTES_MAX, INTEGER_MAX};
use crate::protocol::{Query, Stamp};
use crate::read::Stop;
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
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Answered {
    /// Type of the stream.
    pub aggregate_type: String,
    /// Id of the stream.
    pub id: String,
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

/// A commit that is decided, but not taken in.
#[derive(Debug)]
pub struct Proposal {
    pub(super) first: u64,
    pub(super) last: u64,
    pub(super) line: String,
    pub(super) taken: Taken,
}

impl Proposal {
    /// Position of its last event.
    pub const fn last(&self) -> u64 {
        self.last
    }
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
    /// It is refused.
    Rejected(Problem),
}

/// An attempt that did not come to an end.
pub(super) type Attempt<T> = Result<T, Stop>;

impl Engine {
    /// Decides a command. `Err` names the reads that are missing; nothing changes either way.
    pub fn propose(
        &self,
        mut access: Access<'_>,
        input: &CommandInput<'_>,
    ) -> Result<Decided, Vec<Query>> {
        let fault = |what: String| Decided::Rejected(Problem::new(Code::Internal, what));
        let decision = match self.decide(&mut access, input) {
            Ok(decision) => decision,
            Err(Stop::Miss) => return Err(access.take_misses()),
            Err(Stop::Fault(what)) => return Ok(fault(what)),
        };
        let (events, before, entropy) = match decision {
            Verdict::Made { events, version, entropy } => (events, version, entropy),
            Verdict::Settled(decided) => return Ok(*decided),
        };
        match self.build(&mut access, input, &events, before, entropy) {
            Ok(Ok((answered, line, folded, genesis))) => {
                let (first, last) = (self.head.position.saturating_add(1), answered.position);
                let mut taken = Taken::new(access, folded);
                taken.genesis = genesis;
                Ok(Decided::Proposed(answered, Box::new(Proposal { first, last, line, taken })))
            }
            Ok(Err(problem)) => Ok(Decided::Rejected(problem)),
            Err(FoldStop::Need(_)) => Err(access.take_misses()),
            Err(FoldStop::Corrupt(what)) => Ok(fault(what)),
        }
    }

    pub(super) fn now(&self, stamp: &Stamp) -> Time {
        self.head.time.max(stamp.clock)
    }

    fn decide(&self, access: &mut Access<'_>, input: &CommandInput<'_>) -> Attempt<Verdict> {
        let Some((index, aggregate)) = self.registry.by_type(input.aggregate.aggregate_type) else {
            return Err(Stop::Fault("the aggregate is not registered".into()));
        };
        let view = self.views.aggregate(index);
        // All reads are tried before any miss is told, so that one round supplies them all.
        let repeated = self.repeated(access, input);
        let row = access.row(view, input.id.as_bytes()).map(|row| row.map(Cow::into_owned));
        if let Some(decided) = repeated? {
            return Ok(decided.into());
        }
        let row = row?;
        let (version, state) = match &row {
            Some(bytes) => split_state(bytes).map(|(version, state)| (version, Some(state)))?,
            None => (0, None),
        };
        if let Some(problem) = unmet(input, version) {
            return Ok(Decided::Rejected(problem).into());
        }
        Ok(self.run_decider(aggregate, input, version, state))
    }

    fn run_decider(
        &self,
        aggregate: &dyn AnyAggregate,
        input: &CommandInput<'_>,
        version: u64,
        state: Option<&[u8]>,
    ) -> Verdict {
        let mut decision = Decision::new(input.id, self.now(input.stamp), input.stamp);
        match aggregate.decide(state, input.command.name, input.data, &mut decision) {
            Err(rejection) => Decided::Rejected(rejection).into(),
            Ok(events) if events.is_empty() => Decided::Nothing(Answered {
                aggregate_type: input.aggregate.aggregate_type.into(),
                id: input.id.into(),
                created: false,
                version,
                position: self.head.position,
                hash: None,
                events: Vec::new(),
            })
            .into(),
            Ok(events) => {
                let entropy = decision.drew_entropy().then_some(input.stamp.entropy);
                Verdict::Made { events, version, entropy }
            }
        }
    }

    /// The commit's line and what it changes.
    #[expect(clippy::type_complexity, reason = "used once, right above")]
    fn build(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
        events: &NewEvents,
        before: u64,
        entropy: Option<[u8; 16]>,
    ) -> Result<Result<(Answered, String, apply::Folded, Option<String>), Problem>, FoldStop> {
        let now = self.now(input.stamp);
        let metadata = input.metadata;
        let borrowed = |text: &'_ Option<String>| text.clone().map(Cow::Owned);
        let stream = ids::stream_name(input.aggregate.aggregate_type, input.id);
        let genesis = self.genesis_line(now);
        let settings_differ = genesis.is_none() && self.head.settings != self.settings;
        let guest_differs = genesis.is_none() && self.head.guest != self.guest;
        let mut commit = Commit {
            position: self.head.position.saturating_add(1),
            time: Cow::Owned(now.to_iso()),
            clock: (now != input.stamp.clock).then(|| Cow::Owned(input.stamp.clock.to_iso())),
            actor: borrowed(&metadata.actor),
            correlation_id: borrowed(&metadata.correlation_id),
            causation_id: borrowed(&metadata.causation_id),
            traceparent: borrowed(&metadata.traceparent),
            meta: metadata.meta.as_deref(),
            entropy: entropy.as_ref().map(|bytes| Cow::Owned(hex16(bytes))),
            settings: settings_differ.then_some(self.settings.as_str()),
            guest: guest_differs.then_some(Cow::Borrowed(self.guest.as_str())),
            command: Some(self.command(input)),
            cause: None,
            events: Vec::with_capacity(events.len()),
            reactions: None,
            hash: None,
        };
        if let Some(problem) = repeats::miscounted(&metadata.event_ids, events.len()) {
            return Ok(Err(problem));
        }
        let mut ids = metadata.event_ids.iter().map(|id| Cow::Borrowed(id.as_str()));
        for ((event_type, data), version) in events.iter().zip(before.saturating_add(1)..) {
            commit.events.push(commit::Event {
                id: ids.next(),
                event_type: Cow::Borrowed(event_type),
                schema_version: None,
                stream: Cow::Borrowed(&stream),
                version,
                data,
            });
        }
        let line = commit.line();
        if line.len() > COMMIT_BYTES_MAX {
            let detail = format!(
                "the commit would have {} bytes; at most {COMMIT_BYTES_MAX} are stored",
                line.len()
            );
            return Ok(Err(
                Problem::new(Code::TooLarge, detail).number("limit", COMMIT_BYTES_MAX as u64)
            ));
        }
        if commit.last_position() > INTEGER_MAX {
            return Ok(Err(Problem::new(
                Code::LimitExceeded,
                "the partition has no positions left",
            )));
        }
        let folded = apply::apply(self, access, &commit)?;
        let answered = answered(&commit).map_err(|stop| FoldStop::Corrupt(format!("{stop:?}")))?;
        Ok(Ok((answered, line, folded, genesis)))
    }

    fn command<'a>(&self, input: &CommandInput<'a>) -> commit::Command<'a> {
        let key = input.metadata.key.as_ref();
        commit::Command {
            name: Cow::Borrowed(input.command.name),
            version: input.command.version,
            data: self.record_commands.then_some(input.data),
            sha256: (!self.record_commands)
                .then(|| Cow::Owned(hex(&sha256(&[input.data.as_bytes()])))),
            key: key.map(|(key, _)| Cow::Owned(key.clone())),
            request: key.map(|(_, request)| Cow::Owned(hex(request))),
        }
    }

    /// The genesis line, when this would be the first commit of the log.
    fn genesis_line(&self, now: Time) -> Option<String> {
        let genesis = self.genesis.as_ref().filter(|genesis| genesis.line.is_none())?;
        let genesis = commit::Genesis {
            position: 0,
            format: FORMAT_VERSION,
            partition: Cow::Borrowed(&self.partition),
            incarnation: Cow::Owned(hex16(&genesis.incarnation)),
            time: Cow::Owned(now.to_iso()),
            settings: &self.settings,
            guest: Cow::Borrowed(&self.guest),
        };
        Some(genesis.line())
    }
}

enum Verdict {
    Made { events: NewEvents, version: u64, entropy: Option<[u8; 16]> },
    Settled(Box<Decided>),
}

impl From<Decided> for Verdict {
    fn from(decided: Decided) -> Self {
        Self::Settled(Box::new(decided))
    }
}

/// The precondition that does not hold, if any.
fn unmet(input: &CommandInput<'_>, version: u64) -> Option<Problem> {
    let stream = ids::stream_name(input.aggregate.aggregate_type, input.id);
    let problem = |detail: String| {
        Problem::new(Code::PreconditionFailed, detail).number("currentVersion", version)
    };
    if input.preconditions.none && version > 0 {
        return Some(problem(format!(
            "If-None-Match is *, but {stream} exists at version {version}"
        )));
    }
    let expected = input.preconditions.versions.as_ref()?;
    match expected.as_slice() {
        [] if version == 0 => Some(problem(format!("If-Match is *, but {stream} does not exist"))),
        [first, ..] if !expected.contains(&version) => {
            let detail = format!("{stream} is at version {version}, not {first}");
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
            id: event.id.as_deref().map_or_else(|| ids::event_id(position), ToString::to_string),
            event_type: event.event_type.to_string(),
            version: event.version,
            position,
        });
    Ok(Answered {
        aggregate_type: aggregate_type.into(),
        id: id.into(),
        created: first.version == 1,
        version: own.map(|event| event.version).max().unwrap_or_default(),
        position: commit.last_position(),
        hash: commit.hash.as_deref().filter(|hash| *hash != HASH_HOLE).map(ToString::to_string),
        events: events.collect(),
    })
}
