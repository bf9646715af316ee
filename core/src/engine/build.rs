//! Building a commit: from what was decided to the line it is stored as and the rows it changes.
//!
//! Owns what a commit records of its command, and the versions of its events in their streams.
//! Refuses to decide anything.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::access::Access;
use super::apply::{self, FoldStop};
use super::propose::{Answered, CommandInput, answered};
use super::publish::Published;
use super::react::{self, Reacting};
use super::streams::{Blocked, StreamRow};
use super::{Engine, Fault, ViewId, pending, repeats};
use crate::chain::{FORMAT_VERSION, hex, sha256};
use crate::commit::{self, Commit, hex16};
use crate::decider::{Appended, NewEvents};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::limits::{COMMIT_BYTES_MAX, INTEGER_MAX};
use crate::process;
use crate::read::Stop;
use crate::record::Record;
use crate::same::same;
use crate::time::Time;
use crate::upcast;

/// What a decision made.
#[derive(Debug)]
pub(super) struct Made {
    /// Of the command's own stream; at least one.
    pub events: NewEvents,
    /// Of other streams.
    pub appended: Vec<Appended>,
    /// Of topics, by a publication; nothing else is made then.
    pub published: Vec<Published>,
    /// Version of the own stream before.
    pub version: u64,
    /// What the decision drew.
    pub entropy: Option<[u8; 16]>,
    /// No manager is run.
    pub silent: bool,
}

/// A commit, ready to be proposed.
#[derive(Debug)]
pub(super) struct Built {
    pub answered: Answered,
    pub line: String,
    pub folded: apply::Folded,
    /// The genesis line, with the first commit of a log.
    pub genesis: Option<String>,
}

impl Engine {
    /// The commit's line and what it changes. What managers ask for that go too deep is dropped,
    /// and the same commit says so of each of them.
    pub(super) fn build_bounded(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
        mut made: Made,
    ) -> Result<Result<Built, Problem>, FoldStop> {
        let depth = input.cause.map_or(0, |caused| caused.depth).saturating_add(1);
        let mut reacting = if made.silent { Reacting::off() } else { Reacting::new(depth) };
        let built = self.build(access, input, &made, &mut reacting)?;
        if let Some(problem) = reacting.unseen.take() {
            return Ok(Err(problem));
        }
        if reacting.too_deep.is_empty() {
            return Ok(built);
        }
        access.overlay.clear();
        let stopped = reacting.too_deep.iter();
        made.appended.extend(stopped.map(|manager| react::stopped(manager, depth)));
        self.build(access, input, &made, &mut reacting.without_those())
    }

    /// The commit's line and what it changes.
    fn build(
        &self,
        access: &mut Access<'_>,
        input: &CommandInput<'_>,
        made: &Made,
        reacting: &mut Reacting,
    ) -> Result<Result<Built, Problem>, FoldStop> {
        let now = self.now(input.stamp);
        let metadata = input.metadata;
        let borrowed = |text: &'_ Option<String>| text.clone().map(Cow::Owned);
        let stream = ids::stream_name(input.aggregate.aggregate_type, input.id);
        let mut events = match self.place(access, &stream, made) {
            Ok(Ok(events)) => events,
            Ok(Err(problem)) => return Ok(Err(problem)),
            Err(Stop::Miss) => return Err(FoldStop::Need(Vec::new())),
            Err(Stop::Fault(what)) => return Err(FoldStop::Corrupt(what)),
        };
        if let Some(problem) = repeats::miscounted(&metadata.event_ids, events.len()) {
            return Ok(Err(problem));
        }
        for (event, id) in events.iter_mut().zip(&metadata.event_ids) {
            event.id = Some(Cow::Borrowed(id));
        }
        let genesis = self.genesis_line(now);
        let differ =
            |head: &str, own: &str| genesis.is_none() && !same(head.as_bytes(), own.as_bytes());
        let settings_differ = differ(&self.head.settings, &self.settings);
        let guest_differs = differ(&self.head.guest, &self.guest);
        // Of what a client asks the system for, only what makes it safe to repeat.
        let told = input.cause.is_none() || metadata.key.is_some();
        let commanded = told && !input.command.name.is_empty();
        let mut commit = Commit {
            position: self.head.position.saturating_add(1),
            time: Cow::Owned(now.to_iso()),
            clock: (now != input.stamp.clock).then(|| Cow::Owned(input.stamp.clock.to_iso())),
            actor: borrowed(&metadata.actor),
            correlation_id: borrowed(&metadata.correlation_id),
            causation_id: borrowed(&metadata.causation_id),
            traceparent: borrowed(&metadata.traceparent),
            hops: metadata.hops,
            meta: metadata.meta.as_deref(),
            entropy: made.entropy.as_ref().map(|bytes| Cow::Owned(hex16(bytes))),
            settings: settings_differ.then_some(self.settings.as_str()),
            guest: guest_differs.then_some(Cow::Borrowed(self.guest.as_str())),
            command: commanded.then(|| self.command(input)),
            cause: input.cause.map(|caused| caused.cause.clone()),
            events,
            reactions: None,
            hash: None,
        };
        let mut react =
            |access: &mut Access<'_>, record: &Record<'_>, faults: &[(ViewId, Fault)]| {
                reacting.react(self, access, record, faults)
            };
        let folded = apply::apply(self, access, &commit, Some(&mut react))?;
        if commit.position == 1 {
            reacting.list_partition(&self.partition);
        }
        commit.reactions = reacting.text();
        let line = commit.line();
        if let Some(problem) = too_much(&line, commit.last_position()) {
            return Ok(Err(problem));
        }
        let folded = pending::take(self, access, &commit, folded)?;
        let answered = self.answered(&commit)?;
        Ok(Ok(Built { answered, line, folded, genesis }))
    }

    /// What the answer tells; of a commit that is decided again only where it ends.
    fn answered(&self, commit: &Commit<'_>) -> Result<Answered, FoldStop> {
        if self.unanswered {
            return Ok(Answered { position: commit.last_position(), ..Answered::default() });
        }
        answered(commit).map_err(|stop| FoldStop::Corrupt(format!("{stop:?}")))
    }

    /// The decision's events, the own ones first, each with its place in its stream.
    fn place<'m>(
        &self,
        access: &mut Access<'_>,
        stream: &'m str,
        made: &'m Made,
    ) -> Result<Result<Vec<commit::Event<'m>>, Problem>, Stop> {
        let mut events: Vec<commit::Event<'m>> =
            Vec::with_capacity(made.events.len().saturating_add(made.appended.len()));
        self.place_published(access, &made.published, &mut events)?;
        for ((event_type, data), version) in
            made.events.iter().zip(made.version.saturating_add(1)..)
        {
            events.push(self.event(stream.into(), version, event_type, data)?);
        }
        for Appended { aggregate_type, id, event_type, data } in &made.appended {
            let name = ids::stream_name(aggregate_type, id);
            let before = events.iter().rev().find(|event| event.stream == name);
            let before = match before {
                Some(event) => event.version,
                None => match self.open_version(access, aggregate_type, id)? {
                    Ok(version) => version,
                    Err(blocked) => return Ok(Err(blocked.problem(&name))),
                },
            };
            events.push(self.event(name.into(), before.saturating_add(1), event_type, data)?);
        }
        Ok(Ok(events))
    }

    /// An event as this module records it.
    fn event<'m>(
        &self,
        stream: Cow<'m, str>,
        version: u64,
        event_type: &'m str,
        data: &'m str,
    ) -> Result<commit::Event<'m>, Stop> {
        let (aggregate_type, _) = ids::split_stream(&stream).unwrap_or((&stream, ""));
        let schema_version = match self.registry.by_type(aggregate_type) {
            Some((_, aggregate)) => upcast::stated(aggregate.upcasts(), event_type).map(Cow::Owned),
            None if aggregate_type == process::SYSTEM => None,
            None => {
                let what = format!("an event of {aggregate_type}, which is not registered");
                return Err(Stop::Fault(what));
            }
        };
        let event_type = Cow::Borrowed(event_type);
        Ok(commit::Event { id: None, event_type, schema_version, stream, version, data })
    }

    /// The version of a stream that takes events; of one that does not, why.
    fn open_version(
        &self,
        access: &mut Access<'_>,
        aggregate_type: &str,
        id: &str,
    ) -> Result<Result<u64, Blocked>, Stop> {
        let Some((index, _)) = self.registry.by_type(aggregate_type) else {
            return self.stream_version(access, aggregate_type, id).map(Ok);
        };
        let row = self.stream_row(access, index, id)?;
        Ok(match row.as_deref().map(StreamRow::read).transpose()? {
            Some(StreamRow::Blocked(blocked)) => Err(blocked),
            Some(StreamRow::State(version, _)) => Ok(version),
            None => Ok(0),
        })
    }

    fn command<'a>(&self, input: &CommandInput<'a>) -> commit::Command<'a> {
        let key = input.metadata.key.as_ref();
        // The events of a publication are its payload.
        let told = !input.data.is_empty();
        commit::Command {
            name: Cow::Borrowed(input.command.name),
            version: input.command.version,
            data: (self.record_commands && told).then_some(input.data),
            sha256: (!self.record_commands && told)
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

/// A commit that can not be stored.
fn too_much(line: &str, last: u64) -> Option<Problem> {
    if line.len() > COMMIT_BYTES_MAX {
        let bytes = line.len();
        let detail =
            format!("the commit would have {bytes} bytes; at most {COMMIT_BYTES_MAX} are stored");
        let problem = Problem::new(Code::TooLarge, detail);
        return Some(problem.number("limit", COMMIT_BYTES_MAX as u64));
    }
    (last > INTEGER_MAX)
        .then(|| Problem::new(Code::LimitExceeded, "the partition has no positions left"))
}
