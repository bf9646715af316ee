//! Deciding again: what a recorded commit tells of its input, and what this module makes of that.
//!
//! Owns how a commit leads back to a command, a cause or the end of an effect, under the stamp and
//! the settings that it records. Refuses to know publications (their schemas are `http`'s) and how
//! results are compared (`compare`).
//!
//! Invariant: deciding again changes nothing; what is taken in afterwards is what is recorded.

mod compare;

pub use compare::{Compared, compare, upcasted};

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::Engine;
use super::outbox::{self, effect_id};
use super::pending;
use super::proposal::Proposal;
use super::propose::{CommandInput, Decided, Metadata, Preconditions};
use super::refold::Missing;
use super::retry::Retry;
use super::supplied::Supplied;
use super::wake::{self, Wake, Woken};
use crate::chain::{self, unhex};
use crate::commit::Commit;
use crate::errors::{Code, Problem};
use crate::ids;
use crate::json::{members, string};
use crate::process::{
    DROPPED, Ended, FAILED, Ordered, PARTITION, REFUSED, RETRIED, Refused, SUCCEEDED, SYSTEM,
};
use crate::protocol::{self, EffectResult, Origin, Stamp, Why};
use crate::read::Stop;
use crate::same::same;
use crate::time::Time;
use crate::upcast::{self, Unreadable};

/// What became of a recorded input.
#[derive(Debug)]
pub enum Again {
    /// It makes a commit.
    Proposed(Box<Proposal>),
    /// It is fine and changes nothing.
    Nothing,
    /// It is refused.
    Refused(Problem),
}

impl From<Decided> for Again {
    fn from(decided: Decided) -> Self {
        match decided {
            Decided::Proposed(_, proposal) => Self::Proposed(proposal),
            Decided::Rejected(problem) => Self::Refused(problem),
            Decided::Nothing(_) | Decided::Replayed(_) | Decided::Known(_) => Self::Nothing,
        }
    }
}

impl From<Problem> for Again {
    fn from(problem: Problem) -> Self {
        Self::Refused(problem)
    }
}

/// What caused a commit, or why that can not be decided again.
pub fn origin(engine: &Engine, commit: &Commit<'_>) -> Result<Origin, Why> {
    let first = commit.events.first().ok_or(Why::NoInput)?;
    if commit.cause.is_some() {
        return match &*first.event_type {
            RETRIED => Ok(Origin::Retry),
            SUCCEEDED | FAILED | DROPPED => told_of_no_trap(commit, Origin::Effect),
            _ => told_of_no_trap(commit, Origin::System),
        };
    }
    let (aggregate_type, _) = ids::split_stream(&first.stream).unwrap_or((&first.stream, ""));
    match &commit.command {
        None if super::adopt::incarnation(first).is_some() => Ok(Origin::Adoption),
        None => Err(Why::NoInput),
        Some(_) if aggregate_type == ids::TOPIC => Ok(Origin::Publication),
        // A consumer that came, went or got another secret: a host's answer has a part in it.
        Some(_) if aggregate_type == SYSTEM => Err(Why::NoInput),
        Some(command) if command.data.is_none() => Err(Why::PayloadNotRecorded),
        Some(_) if engine.registry().by_type(aggregate_type).is_none() => {
            Err(Why::UnknownAggregate)
        }
        Some(_) => Ok(Origin::Command),
    }
}

/// What came of a trap, or of reading too much, is no decision: it can not be made again.
fn told_of_no_trap(commit: &Commit<'_>, origin: Origin) -> Result<Origin, Why> {
    for event in commit.events.iter().filter(|event| event.stream.starts_with(SYSTEM)) {
        let trapped = match &*event.event_type {
            REFUSED => serde_json::from_str::<Refused>(event.data)
                .is_ok_and(|refused| wake::UNDECIDED.contains(&refused.detail.as_str())),
            _ => event.data.ends_with(&format!("\"reason\":\"{}\"}}", wake::TRAPPED)),
        };
        if trapped {
            return Err(Why::Trapped);
        }
    }
    Ok(origin)
}

/// The stamp that a commit records: of entropy only what was drawn.
pub fn stamp(commit: &Commit<'_>) -> Stamp {
    let clock = commit.clock.as_deref().unwrap_or(&commit.time);
    let first = commit.events.first();
    let entropy = commit.entropy.as_deref().and_then(unhex);
    let entropy = entropy.or_else(|| first.and_then(super::adopt::incarnation));
    // Given up, the wait that would have been too long is not recorded: the longest one is.
    let dropped = first.is_some_and(|event| event.event_type == DROPPED);
    let unknown = if dropped { [u8::MAX; 16] } else { [0; 16] };
    Stamp { clock: Time::parse_iso(clock).unwrap_or_default(), entropy: entropy.unwrap_or(unknown) }
}

/// What came with a client's command.
pub fn metadata(commit: &Commit<'_>) -> Metadata {
    let owned = |text: &Option<Cow<'_, str>>| text.as_deref().map(ToString::to_string);
    let command = commit.command.as_ref();
    let key = command.and_then(|command| {
        let request = unhex(command.request.as_deref()?)?;
        Some((command.key.as_deref()?.to_string(), request))
    });
    let ids = commit.events.iter().map(|event| owned(&event.id));
    Metadata {
        actor: owned(&commit.actor),
        correlation_id: owned(&commit.correlation_id),
        causation_id: owned(&commit.causation_id),
        traceparent: owned(&commit.traceparent),
        hops: commit.hops,
        meta: commit.meta.map(ToString::to_string),
        key,
        event_ids: ids.collect::<Option<Vec<String>>>().unwrap_or_default(),
    }
}

/// The name under which a commit asks for its partition to be listed.
fn listed(commit: &Commit<'_>) -> Option<String> {
    let recorded = pending::recorded(commit).ok()?;
    let asked = recorded.iter().find(|reaction| reaction.manager == PARTITION)?;
    let effect = asked.effect().ok()?;
    let mut members = members(&effect.data)?.into_iter();
    let (_, token) = members.find(|(name, _)| name == "partition")?;
    string(token).map(Cow::into_owned)
}

type Outcome = Result<Again, Missing>;

impl Engine {
    /// Has the settings and the guest hold that the log says a commit was decided under.
    pub fn under(&mut self, commit: &Commit<'_>) {
        self.unanswered = true;
        let settings = commit.settings.unwrap_or(&self.head.settings);
        if !same(self.settings.as_bytes(), settings.as_bytes()) {
            self.settings = settings.to_string();
            self.record_commands = !settings.contains("\"recordCommands\":false");
        }
        let guest = commit.guest.as_deref().unwrap_or(&self.head.guest);
        if !same(self.guest.as_bytes(), guest.as_bytes()) {
            self.guest = guest.to_string();
        }
        let adoption = commit.events.first().and_then(super::adopt::incarnation).is_some();
        if commit.position == 1 || adoption {
            // A log that was imported may have another name than its genesis says.
            let name = listed(commit);
            self.partition = name.unwrap_or_else(|| ids::DEFAULT_PARTITION.to_string());
        }
    }

    /// Whoever asks from here on is answered, though commits were decided again before.
    pub const fn answers(&mut self) {
        self.unanswered = false;
    }

    /// Decides what a commit records, but for publications. `Err` names what is missing.
    pub fn decide_again(
        &self,
        supplied: &Supplied,
        commit: &Commit<'_>,
        (origin, stamp): (Origin, &Stamp),
    ) -> Outcome {
        match origin {
            Origin::Adoption => Ok(match self.propose_adoption(self.access(supplied), stamp)? {
                Ok(proposal) => Again::Proposed(proposal),
                Err(stop) => Again::Refused(internal(&stop)),
            }),
            Origin::System => self.system_again(supplied, commit, stamp),
            Origin::Effect => self.effect_again(supplied, commit, stamp),
            Origin::Retry => self.retry_again(supplied, commit, stamp),
            Origin::Command | Origin::Publication => self.command_again(supplied, commit, stamp),
        }
    }

    fn command_again(&self, supplied: &Supplied, commit: &Commit<'_>, stamp: &Stamp) -> Outcome {
        let stream = commit.events.first().map_or("", |event| &event.stream);
        let (aggregate_type, id) = ids::split_stream(stream).unwrap_or((stream, ""));
        let Some(command) = &commit.command else { return Ok(broken("no command").into()) };
        let data = command.data.unwrap_or("{}");
        let known = self.registry.by_type(aggregate_type).map(|(_, aggregate)| aggregate);
        let found = known.ok_or(Unreadable::Unknown).and_then(|aggregate| {
            let found = upcast::command(aggregate, &command.name, command.version, data)?;
            Ok((aggregate.spec(), found))
        });
        let (aggregate, (spec, data)) = match found {
            Ok(found) => found,
            Err(why) => {
                let ordered = Ordered {
                    aggregate_type: aggregate_type.into(),
                    aggregate_id: id.into(),
                    command: command.name.to_string(),
                    version: command.version,
                    data: String::new(),
                };
                return Ok(wake::unreadable(&ordered, &why).into());
            }
        };
        let metadata = metadata(commit);
        let input = CommandInput {
            aggregate,
            command: spec,
            id,
            data: &data,
            metadata: &metadata,
            // They held: what they were is not recorded.
            preconditions: &Preconditions::default(),
            stamp,
            cause: None,
        };
        self.propose(self.access(supplied), &input).map(Again::from)
    }

    fn system_again(&self, supplied: &Supplied, commit: &Commit<'_>, stamp: &Stamp) -> Outcome {
        let Some(cause) = &commit.cause else { return Ok(broken("no cause").into()) };
        let wake = protocol::Wake::default();
        let wake = Wake { stamp, wake: &wake, too_much: false };
        Ok(match self.do_due(supplied, &wake, (cause.position, cause.n))? {
            Some(woken) => settled(woken),
            None => Again::Refused(Problem::new(Code::Restarting, "it waits for a view")),
        })
    }

    fn effect_again(&self, supplied: &Supplied, commit: &Commit<'_>, stamp: &Stamp) -> Outcome {
        let event = commit.events.first();
        let ended = event.and_then(|event| serde_json::from_str::<Ended>(event.data).ok());
        let Some(ended) = ended else { return Ok(broken("what came of an effect").into()) };
        let Ended { position, n, error, detail, .. } = ended;
        let result = EffectResult { position, n, error, detail, trapped: false };
        self.effect_result(supplied, stamp, &result).map(settled)
    }

    fn retry_again(&self, supplied: &Supplied, commit: &Commit<'_>, stamp: &Stamp) -> Outcome {
        let Some(cause) = &commit.cause else { return Ok(broken("no cause").into()) };
        let which = (cause.position, cause.n);
        let mut access = self.access(supplied);
        let call = match outbox::call(&mut access, which) {
            Ok(Some(call)) => call,
            Ok(None) => return Ok(broken("there is no such effect").into()),
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(stop) => return Ok(internal(&stop).into()),
        };
        let (id, key) = (effect_id(which, &call.incarnation), metadata(commit).key);
        let retry = Retry { id: &id, key: key.as_ref(), running: &[] };
        Ok(match self.retry_effect(access, stamp, retry)? {
            Ok((_, Some(proposal))) => Again::Proposed(proposal),
            Ok((_, None)) => Again::Nothing,
            Err(problem) => Again::Refused(problem),
        })
    }

    /// Takes in what was decided again, in place of the recorded commit that it equals.
    pub fn take_equal(&mut self, proposal: Proposal) {
        self.take_in(proposal.taken);
    }

    /// Keeps a recorded commit at hand whose reactions are looked for soon.
    pub fn keep_at_hand(&mut self, commit: &Commit<'_>, line: &str) {
        if commit.reactions.is_some() {
            let (first, last) = (commit.position, commit.last_position());
            self.unstored.push(super::Unstored { first, last, line: line.into() });
        }
    }

    /// Lets go of what was kept at hand.
    pub fn let_go(&mut self) {
        self.unstored.clear();
    }
}

impl Proposal {
    /// The commit's line, 64 zeros for its hash.
    pub fn line(&self) -> &str {
        &self.line
    }
}

fn settled(woken: Woken) -> Again {
    match woken {
        Woken::Proposed(proposal) => Again::Proposed(proposal),
        Woken::Broken(what) => Again::Refused(broken(&what)),
        Woken::Idle { .. } | Woken::Passed(_) => Again::Nothing,
    }
}

fn broken(what: &str) -> Problem {
    Problem::new(Code::Internal, what)
}

fn internal(stop: &Stop) -> Problem {
    match stop {
        Stop::Fault(what) => broken(what),
        Stop::Miss => broken("a read was lost"),
    }
}

/// The line's bytes without its hash.
fn hashed(line: &str) -> &[u8] {
    let end = line.len().checked_sub(chain::HASH_MEMBER_BYTES);
    end.and_then(|end| line.as_bytes().get(..end)).unwrap_or(line.as_bytes())
}
