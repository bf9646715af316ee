//! The decider pattern: what a domain writes about one kind of stream.
//!
//! Owns [`Aggregate`], the typed side, and [`AnyAggregate`], the same with types erased, which is
//! all the engine sees: rows are bytes, commands and events are (name, JSON). Refuses to know
//! where rows are kept and how commands arrive. `decide` and `evolve` are pure: time and entropy
//! come from the [`Decision`], nothing else does.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::errors::{Code, Problem, Rejection};
use crate::fields::Field;
use crate::projection::Projection;
use crate::protocol::Stamp;
use crate::read::{Reader, Stop};
use crate::record::Record;
use crate::tagged;
use crate::time::Time;

/// What is said of an aggregate once, as constants.
#[derive(Clone, Copy, Debug)]
pub struct AggregateSpec {
    /// Type in events and stream names: `BankAccount`. No colon, no leading `~`.
    pub aggregate_type: &'static str,
    /// Name in paths: `account`.
    pub name: &'static str,
    /// The field that carries the id in bodies and answers: `accountId`.
    pub id_field: &'static str,
    /// Raised when the bytes of a folded state can change.
    pub revision: u32,
    /// A snapshot is taken every so many events, unless the host is set otherwise; 0 for none.
    pub snapshot_every: u32,
    /// Every event type it can produce.
    pub events: &'static [&'static str],
    /// Its commands.
    pub commands: &'static [CommandSpec],
    /// JSON Schema of what its query shows, for the contract.
    pub query_schema: &'static str,
}

/// What is said of a command once.
#[derive(Clone, Copy, Debug)]
pub struct CommandSpec {
    /// Name in the log: `OpenAccount`.
    pub name: &'static str,
    /// Name in the path: `open-account`; empty when it has no route.
    pub path: &'static str,
    /// Version of its payload, from 1.
    pub version: u32,
    /// One line for the contract.
    pub summary: &'static str,
    /// Fields that clients give; the list is closed.
    pub fields: &'static [Field],
    /// What its decision can refuse with, for the contract.
    pub rejections: &'static [Code],
    /// Whether it can bring a stream into being (201).
    pub creates: bool,
    /// Who gives it, and whether its commit is all there is to it.
    pub kind: CommandKind,
}

/// Who gives a command, and what an answer to it promises.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum CommandKind {
    /// Clients; its commit is all of it.
    #[default]
    Whole,
    /// Clients; a process manager goes on from its commit (202).
    Started,
    /// Process managers, timers and results of effects alone: it has no route.
    Internal,
}

impl CommandSpec {
    /// A command of version 1 that does not create streams.
    pub const fn new(
        name: &'static str,
        path: &'static str,
        summary: &'static str,
        fields: &'static [Field],
    ) -> Self {
        Self {
            name,
            path,
            version: 1,
            summary,
            fields,
            rejections: &[],
            creates: false,
            kind: CommandKind::Whole,
        }
    }

    /// One that process managers, timers and results of effects give, and no client.
    pub const fn internal(name: &'static str, summary: &'static str) -> Self {
        Self { kind: CommandKind::Internal, ..Self::new(name, "", summary, &[]) }
    }

    /// It can bring a stream into being.
    #[must_use]
    pub const fn creating(self) -> Self {
        Self { creates: true, ..self }
    }

    /// Its decision can refuse with these codes.
    #[must_use]
    pub const fn refusing(self, rejections: &'static [Code]) -> Self {
        Self { rejections, ..self }
    }
}

/// What a decision can read of its partition, beside its own state: supplied by the engine.
pub trait Reads {
    /// Version and state of a stream, as stored.
    fn state(&mut self, aggregate_type: &str, id: &str) -> Result<Option<Vec<u8>>, Stop>;
    /// A row of a projection; `None` in the middle when the projection is not live.
    fn row(&mut self, projection: &str, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop>;
}

/// A partition without other streams and rows.
#[derive(Clone, Copy, Debug)]
pub struct NoReads;

impl Reads for NoReads {
    fn state(&mut self, _: &str, _: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(None)
    }
    fn row(&mut self, _: &str, _: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop> {
        Ok(Some(None))
    }
}

/// An event of another stream than the decision's own.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    /// Type of the stream.
    pub aggregate_type: &'static str,
    /// Id of the stream.
    pub id: String,
    /// Type of the event.
    pub event_type: String,
    /// Its data, as JSON.
    pub data: String,
}

/// What a decision may use beside state and command: time, entropy, other streams and rows of the
/// partition, all as of one moment.
pub struct Decision<'a> {
    id: &'a str,
    now: Time,
    stamp: &'a Stamp,
    drawn: bool,
    reads: &'a mut dyn Reads,
    stopped: Option<Stop>,
    appended: Vec<Appended>,
}

impl core::fmt::Debug for Decision<'_> {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        f.debug_struct("Decision").field("id", &self.id).field("now", &self.now).finish()
    }
}

impl<'a> Decision<'a> {
    /// A decision on the stream with this id, at this time.
    pub fn new(id: &'a str, now: Time, stamp: &'a Stamp, reads: &'a mut dyn Reads) -> Self {
        Self { id, now, stamp, drawn: false, reads, stopped: None, appended: Vec::new() }
    }

    /// Id of the stream.
    pub const fn id(&self) -> &'a str {
        self.id
    }

    /// Recorded time: never before that of any earlier commit.
    pub const fn now(&self) -> Time {
        self.now
    }

    /// 16 random bytes, the same on every call. Drawing them records them in the commit.
    pub const fn entropy(&mut self) -> [u8; 16] {
        self.drawn = true;
        self.stamp.entropy
    }

    /// Whether [`Self::entropy`] was called.
    pub const fn drew_entropy(&self) -> bool {
        self.drawn
    }

    /// Version and state of another stream. Pass an error on with `?`: mostly the state is not in
    /// memory, is asked for, and the decision is made again from the start.
    pub fn state<B: Aggregate>(&mut self, id: &str) -> Result<Option<(u64, B::State)>, Rejection> {
        let read = self.reads.state(B::SPEC.aggregate_type, id).and_then(|row| {
            row.map(|bytes| {
                let (version, state) = crate::engine::split_state(&bytes)?;
                Ok((version, stored(state)?))
            })
            .transpose()
        });
        self.passed_on(read)
    }

    /// A row of a projection, as of the last commit. Pass an error on with `?`.
    pub fn row<P: Projection, T: DeserializeOwned>(
        &mut self,
        key: &[u8],
    ) -> Result<Option<T>, Rejection> {
        let name = P::SPEC.name;
        let read = self.reads.row(name, key);
        match self.passed_on(read)? {
            Some(row) => {
                let read = row.map(|bytes| stored(&bytes)).transpose();
                self.passed_on(read)
            }
            None => {
                Err(Problem::new(Code::Restarting, format!("projection {name} is not live now")))
            }
        }
    }

    /// Adds an event of another stream to the commit, after the own ones. Only beside at least one
    /// event of the own stream; read the other stream's state first, to know that it may happen.
    pub fn append<B: Aggregate>(&mut self, id: &str, event: &B::Event) {
        match tagged::write(event) {
            Ok((event_type, _)) if !B::SPEC.events.contains(&event_type.as_str()) => {
                self.stopped = Some(Stop::Fault(undeclared::<B>(&event_type)));
            }
            Ok((event_type, data)) => {
                let aggregate_type = B::SPEC.aggregate_type;
                self.appended.push(Appended { aggregate_type, id: id.into(), event_type, data });
            }
            Err(e) => self.stopped = Some(Stop::Fault(format!("{e}"))),
        }
    }

    /// What was appended, unless a read stopped the decision; to be asked when it is made.
    pub fn finish(self) -> Result<Vec<Appended>, Stop> {
        self.stopped.map_or(Ok(self.appended), Err)
    }

    fn passed_on<T>(&mut self, read: Result<T, Stop>) -> Result<T, Rejection> {
        read.map_err(|stop| {
            self.stopped.get_or_insert(stop);
            Problem::new(Code::Internal, "a read did not come to its end")
        })
    }
}

/// Stored, such an event would change no state for ever.
pub(crate) fn undeclared<A: Aggregate>(event_type: &str) -> String {
    format!("`{event_type}` is not among the events of {}", A::SPEC.aggregate_type)
}

fn stored<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Stop> {
    postcard::from_bytes(bytes)
        .map_err(|e| Stop::Fault(format!("a stored row can not be read: {e}")))
}

/// One kind of stream: its commands, its events, its state.
pub trait Aggregate: 'static {
    /// Its names and tables.
    const SPEC: AggregateSpec;
    /// Small: lists belong into the log, found through its indexes.
    type State: Default + Serialize + DeserializeOwned;
    /// An enum whose variants are named as in [`AggregateSpec::commands`].
    type Command: DeserializeOwned;
    /// An enum whose variants are named as in [`AggregateSpec::events`].
    type Event: Serialize + DeserializeOwned + 'static;

    /// What a command leads to. `None` is a stream that does not exist. No events: nothing to do.
    fn decide(
        state: Option<&Self::State>,
        command: &Self::Command,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<Self::Event>, Rejection>;

    /// The state after an event. Must not fail: whatever is in the log happened.
    fn evolve(state: &mut Self::State, event: &Self::Event);

    /// The JSON that the query shows; `reader` gives the stream's own records.
    fn show(
        id: &str,
        version: u64,
        state: &Self::State,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop>;
}

/// Events as (type, JSON of the data).
pub type NewEvents = Vec<(String, String)>;

/// An [`Aggregate`] with its types erased.
pub trait AnyAggregate {
    /// Its names and tables.
    fn spec(&self) -> &'static AggregateSpec;
    /// Decides a command on a stored state.
    fn decide(
        &self,
        state: Option<&[u8]>,
        command: &str,
        data: &str,
        decision: &mut Decision<'_>,
    ) -> Result<NewEvents, Rejection>;
    /// Appends the state after an event, as bytes. An event of an unknown type changes nothing.
    fn evolve(
        &self,
        state: Option<&[u8]>,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), String>;
    /// A stored state as JSON.
    fn state_json(&self, state: &[u8]) -> Result<String, Stop>;
    /// The JSON that the query shows.
    fn show(
        &self,
        id: &str,
        version: u64,
        state: &[u8],
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop>;
}

/// Erases an aggregate's types.
pub fn erase<A: Aggregate>() -> Box<dyn AnyAggregate> {
    Box::new(Erased::<A>(PhantomData))
}

struct Erased<A>(PhantomData<A>);

impl<A: Aggregate> AnyAggregate for Erased<A> {
    fn spec(&self) -> &'static AggregateSpec {
        const { &A::SPEC }
    }

    fn decide(
        &self,
        state: Option<&[u8]>,
        command: &str,
        data: &str,
        decision: &mut Decision<'_>,
    ) -> Result<NewEvents, Rejection> {
        let broken = |what: &dyn core::fmt::Display| Problem::new(Code::Internal, what.to_string());
        let state: Option<A::State> =
            state.map(postcard::from_bytes).transpose().map_err(|e| broken(&e))?;
        let command: A::Command = tagged::read(command, data).map_err(|e| {
            Problem::new(Code::InvalidField, format!("the body does not fit the command: {e}"))
        })?;
        A::decide(state.as_ref(), &command, decision)?
            .iter()
            .map(|event| match tagged::write(event) {
                Ok((name, _)) if !A::SPEC.events.contains(&name.as_str()) => {
                    Err(broken(&undeclared::<A>(&name)))
                }
                event => event.map_err(|e| broken(&e)),
            })
            .collect()
    }

    fn evolve(
        &self,
        state: Option<&[u8]>,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let mut state: A::State = match state {
            Some(bytes) => postcard::from_bytes(bytes).map_err(|e| format!("stored state: {e}"))?,
            None => A::State::default(),
        };
        if A::SPEC.events.contains(&record.event_type()) {
            A::evolve(&mut state, record.decode()?);
        }
        *out =
            postcard::to_extend(&state, core::mem::take(out)).map_err(|e| format!("state: {e}"))?;
        Ok(())
    }

    fn state_json(&self, state: &[u8]) -> Result<String, Stop> {
        let state: A::State = stored(state)?;
        serde_json::to_string(&state).map_err(|e| Stop::Fault(format!("state as JSON: {e}")))
    }

    fn show(
        &self,
        id: &str,
        version: u64,
        state: &[u8],
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let state =
            postcard::from_bytes(state).map_err(|e| Stop::Fault(format!("stored state: {e}")))?;
        A::show(id, version, &state, reader)
    }
}
