//! Rows of streams: version and state, or why the state can not be known.
//!
//! Owns their bytes, and how a record changes them. A stream with an event that this module can not
//! read is blocked: its row says which event that is, its later events are counted and no more, and
//! whoever asks for its state or gives it a command is told. Everything else goes on.
//!
//! Row: the version as a varint, then the state's bytes. A version of 0, which no stream has, starts
//! the row of one that is blocked.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::apply::Folded;
use super::cache::ViewId;
use super::refold::Wanted;
use super::snapshots::{self, Policy};
use super::views::{AHEAD, POSTINGS, STREAMS};
use super::{Doing, Engine, adopt, consumers, doing, done, postings};
use crate::commit::Event;
use crate::decider::AnyAggregate;
use crate::encode::onto;
use crate::errors::{Code, Problem};
use crate::ids;
use crate::protocol::Quarantined;
use crate::read::Stop;
use crate::record::Record;
use crate::upcast::Unreadable;

/// What a stream's row says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum StreamRow<'a> {
    /// Version and the state's bytes.
    State(u64, &'a [u8]),
    /// Its state can not be known.
    Blocked(Blocked),
}

/// A stream whose state can not be known, and since which event.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Blocked {
    /// The stream's version.
    pub version: u64,
    /// Id of the first event that can not be read.
    pub event_id: String,
    /// Its type.
    pub event_type: String,
    /// Version of its data's schema.
    pub schema_version: String,
    /// Why it can not be read.
    pub why: Unreadable,
}

/// The registry's aggregate of a record, and its index; none for types that it does not know.
pub(super) type Known<'r> = Option<(usize, &'r dyn AnyAggregate)>;

impl<'a> StreamRow<'a> {
    /// Reads a row's bytes.
    pub fn read(bytes: &'a [u8]) -> Result<Self, Stop> {
        let broken = |e| Stop::Fault(format!("a stream's row can not be read: {e}"));
        let (version, rest) = postcard::take_from_bytes::<u64>(bytes).map_err(broken)?;
        if version > 0 {
            return Ok(Self::State(version, rest));
        }
        postcard::from_bytes(rest).map(Self::Blocked).map_err(broken)
    }

    /// The stream's version.
    pub const fn version(&self) -> u64 {
        match self {
            Self::State(version, _) => *version,
            Self::Blocked(blocked) => blocked.version,
        }
    }
}

impl Blocked {
    fn by(record: &Record<'_>, why: Unreadable) -> Self {
        Self {
            version: record.event.version,
            event_id: record.id().into_owned(),
            event_type: record.event_type().to_string(),
            schema_version: record.schema_version().to_string(),
            why,
        }
    }

    /// The answer to whoever wants the state of `stream`.
    pub fn problem(&self, stream: &str) -> Problem {
        let Self { event_id, event_type, schema_version, .. } = self;
        let why = match &self.why {
            Unreadable::Unknown => "is of a type that this module does not know".to_string(),
            Unreadable::Newer => "is of a newer version than this module knows".to_string(),
            Unreadable::Failed(why) => format!("can not be read: {why}"),
        };
        let detail = format!(
            "the state of {stream} is not known here: event {event_id} ({event_type} \
             {schema_version}) {why}"
        );
        Problem::new(Code::SchemaConflict, detail)
            .text("eventId", event_id)
            .text("eventType", event_type)
            .text("schemaVersion", schema_version)
    }

    /// The row that tells it.
    pub fn row(&self) -> Result<Vec<u8>, Stop> {
        onto(Vec::from([0]), self).map_err(|e| Stop::Fault(e.to_string()))
    }
}

/// Version and state of a row, for domains; the inner error is for a stream that is blocked.
pub fn typed_state<S: DeserializeOwned>(row: &[u8]) -> Result<Result<(u64, S), Blocked>, Stop> {
    match StreamRow::read(row)? {
        StreamRow::Blocked(blocked) => Ok(Err(blocked)),
        StreamRow::State(version, state) => postcard::from_bytes(state)
            .map(|state| Ok((version, state)))
            .map_err(|e| Stop::Fault(format!("a stored state can not be read: {e}"))),
    }
}

impl Engine {
    /// The row of a stream of the registry's aggregate with this index. While its generation is
    /// being built, the state is folded for the input that wants it.
    pub fn stream_row<'x>(
        &self,
        access: &'x mut Access<'_>,
        index: usize,
        id: &str,
    ) -> Result<Option<Cow<'x, [u8]>>, Stop> {
        let view = self.views.aggregate(index);
        if self.serves(view) {
            return access.row(view, id.as_bytes());
        }
        let Some(aggregate) = self.registry.aggregates.get(index) else { return Ok(None) };
        let stream = ids::stream_name(aggregate.spec().aggregate_type, id);
        let version = postings::count(access, POSTINGS, &postings::stream_term(&stream))?;
        if version == 0 {
            // It is of this very attempt, if it is at all.
            return Ok(access.peek(AHEAD, stream.as_bytes()));
        }
        let ahead = access.peek(AHEAD, stream.as_bytes()).map(Cow::into_owned);
        match ahead {
            Some(row) if StreamRow::read(&row)?.version() >= version => Ok(Some(row.into())),
            _ => access
                .state_at(Wanted { aggregate: index, id: id.to_string(), version })
                .map(|then| Some(then.row.into())),
        }
    }

    /// The version of any stream; 0 when it does not exist.
    pub fn stream_version(
        &self,
        access: &mut Access<'_>,
        aggregate_type: &str,
        id: &str,
    ) -> Result<u64, Stop> {
        let stream = ids::stream_name(aggregate_type, id);
        let (view, key) = match self.registry.by_type(aggregate_type) {
            Some((index, _)) => (self.views.aggregate(index), id),
            None => (STREAMS, stream.as_str()),
        };
        if !self.serves(view) {
            return postings::count(access, POSTINGS, &postings::stream_term(&stream));
        }
        match access.row(view, key.as_bytes())? {
            Some(row) => StreamRow::read(&row).map(|row| row.version()),
            None => Ok(0),
        }
    }

    /// Takes a record into its stream's row, which is as of the record before.
    pub(super) fn fold_stream(
        &self,
        access: &mut Access<'_>,
        record: &Record<'_>,
        known: Known<'_>,
        (policy, staged): (&Policy, bool),
    ) -> Result<(), Stop> {
        let Event { stream, version, .. } = record.event;
        let (view, key) = match known {
            Some((index, _)) => (self.views.aggregate(index), record.aggregate_id),
            None => (STREAMS, stream.as_ref()),
        };
        // The new state is written beside: the old one lies where new values go.
        let mut out = core::mem::take(&mut access.overlay.scratch);
        out.clear();
        let row = access.row(view, key.as_bytes())?;
        let before = row.as_deref().map(StreamRow::read).transpose()?;
        follows(record, before.as_ref().map_or(0, StreamRow::version))?;
        let start = match known {
            Some((_, aggregate)) => {
                self.next_row(aggregate, before.as_ref(), record, staged, &mut out)?
            }
            None => {
                out = onto(out, version).map_err(|e| Stop::Fault(e.to_string()))?;
                None
            }
        };
        access.put_with(view, key.as_bytes(), |mut values| {
            values.extend_from_slice(&out);
            Ok(values)
        })?;
        let taken = match (known, start) {
            (Some((index, aggregate)), Some(start)) if policy.due(index, *version) => {
                let state = out.get(start..).unwrap_or_default();
                let (view, revision) = (self.views.snapshots(index), aggregate.spec().revision);
                snapshots::take(access, view, policy, record, revision, state)
            }
            _ => Ok(()),
        };
        access.overlay.scratch = out;
        taken
    }

    /// The same while the stream's generation is being built, which takes the record in later. Who
    /// wanted the state before has the one after in memory; who did not has nothing.
    fn fold_ahead(
        &self,
        access: &mut Access<'_>,
        record: &Record<'_>,
        known: Known<'_>,
        staged: bool,
    ) -> Result<(), Stop> {
        let stream = record.event.stream.as_ref();
        let count = postings::count(access, POSTINGS, &postings::stream_term(stream))?;
        let events = record.commit.events.iter().zip(record.commit.position..record.position);
        let earlier = events.filter(|(event, _)| event.stream == stream).count() as u64;
        let version_before = count.saturating_add(earlier);
        follows(record, version_before)?;
        let Some((index, aggregate)) = known else { return Ok(()) };
        let row = access.peek(AHEAD, stream.as_bytes()).map(Cow::into_owned);
        let row = match row {
            Some(row) if StreamRow::read(&row)?.version() == version_before => Some(row),
            _ if version_before == 0 => None,
            _ => {
                let (id, version) = (record.aggregate_id.to_string(), version_before);
                let wanted = Wanted { aggregate: index, id, version };
                let Some(then) = access.supplied.refolded.get(&wanted) else {
                    return Ok(());
                };
                Some(then.row.clone())
            }
        };
        let before = row.as_deref().map(StreamRow::read).transpose()?;
        let mut out = Vec::new();
        self.next_row(aggregate, before.as_ref(), record, staged, &mut out)?;
        access.put_with(AHEAD, stream.as_bytes(), |mut values| {
            values.extend_from_slice(&out);
            Ok(values)
        })
    }

    /// Takes a record of a commit into its stream, and counts it.
    pub(super) fn apply_stream(
        &self,
        access: &mut Access<'_>,
        record: &Record<'_>,
        folded: &mut Folded,
        staged: bool,
    ) -> Result<(), Stop> {
        let Event { event_type, version, .. } = record.event;
        let known = self.registry.by_type(record.aggregate_type);
        let spec = known.map(|(_, aggregate)| aggregate.spec());
        let own_name = spec.and_then(|spec| spec.events.iter().find(|name| *name == event_type));
        let name = own_name.map_or_else(|| event_type.to_string().into(), |n| Cow::Borrowed(*n));
        folded.event_types.push(name);
        if *version == 1 {
            let name = spec.map(|spec| Cow::Borrowed(spec.aggregate_type));
            folded.created.push(name.unwrap_or_else(|| record.aggregate_type.to_string().into()));
        }
        if known.is_none() {
            folded.incarnation = adopt::adopted(record)?.or(folded.incarnation);
            consumers::fold(access, record, folded)?;
        }
        if self.head.consumers > 0 {
            let topic = consumers::topic_of(record);
            if !folded.topics.contains(&topic) {
                folded.topics.push(topic);
            }
        }
        if self.serves(self.view_of(known)) {
            self.fold_stream(access, record, known, (folded.policy(self), staged))
        } else {
            self.fold_ahead(access, record, known, staged)
        }
    }

    /// The view that has the streams of a kind.
    pub(super) fn view_of(&self, known: Known<'_>) -> ViewId {
        known.map_or(STREAMS, |(index, _)| self.views.aggregate(index))
    }

    /// Appends the row of a stream after a record to `out`; tells where its state starts, if it has
    /// one. A new event that can not be read is a bug of its domain, and is not recorded.
    pub(super) fn next_row(
        &self,
        aggregate: &dyn AnyAggregate,
        before: Option<&StreamRow<'_>>,
        record: &Record<'_>,
        staged: bool,
        out: &mut Vec<u8>,
    ) -> Result<Option<usize>, Stop> {
        let state = match before {
            Some(StreamRow::Blocked(blocked)) => {
                let blocked = Blocked { version: record.event.version, ..blocked.clone() };
                *out = blocked.row()?;
                return Ok(None);
            }
            Some(StreamRow::State(_, state)) => Some(*state),
            None => None,
        };
        *out = onto(core::mem::take(out), &record.event.version)
            .map_err(|e| Stop::Fault(e.to_string()))?;
        let start = out.len();
        let evolved = match self.trapped(Quarantined::Stream, record.position) {
            Some(reason) => Err(Unreadable::Failed(reason.into())),
            // A trap on an event that is being made is told of what makes it.
            None if staged => aggregate.evolve(state, record, out),
            None => {
                let before = doing(Doing::Stream(record.position));
                let evolved = aggregate.evolve(state, record, out);
                done(before);
                evolved
            }
        };
        match evolved {
            Ok(()) => Ok(Some(start)),
            Err(why) if staged => Err(Stop::Fault(format!(
                "a decision made {}, which {} can not read: {why:?}",
                record.told(),
                aggregate.spec().aggregate_type
            ))),
            Err(why) => {
                *out = Blocked::by(record, why).row()?;
                Ok(None)
            }
        }
    }
}

/// A record states the version after that of the one before.
fn follows(record: &Record<'_>, before: u64) -> Result<(), Stop> {
    let Event { stream, version, .. } = record.event;
    if *version == before.saturating_add(1) {
        return Ok(());
    }
    let detail = format!("stream {stream} is at version {before}, the event states {version}");
    Err(Stop::Fault(detail))
}
