//! The decider pattern: what a domain writes about one kind of stream.
//!
//! Owns [`Aggregate`], the typed side, and [`AnyAggregate`], the same with types erased, which is
//! all the engine sees: rows are bytes, commands and events are (name, JSON). Refuses to know
//! where rows are kept and how commands arrive.
//!
//! `decide` and `evolve` are pure: time and entropy come from the [`Decision`], nothing else does.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::errors::{Code, Problem, Rejection};
use crate::fields::Field;
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
    /// Name in the path: `open-account`.
    pub path: &'static str,
    /// Version of its payload, from 1.
    pub version: u32,
    /// One line for the contract.
    pub summary: &'static str,
    /// Its fields; the list is closed.
    pub fields: &'static [Field],
    /// What its decision can refuse with, for the contract.
    pub rejections: &'static [Code],
    /// Whether it can bring a stream into being (201).
    pub creates: bool,
}

/// What a decision may use beside state and command.
#[derive(Debug)]
pub struct Decision<'a> {
    id: &'a str,
    now: Time,
    stamp: &'a Stamp,
    drawn: bool,
}

impl<'a> Decision<'a> {
    /// A decision on the stream with this id, at this time.
    pub const fn new(id: &'a str, now: Time, stamp: &'a Stamp) -> Self {
        Self { id, now, stamp, drawn: false }
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
        let broken =
            |what: &dyn core::fmt::Display| Problem::new(Code::Internal, format!("{what}"));
        let state: Option<A::State> =
            state.map(postcard::from_bytes).transpose().map_err(|e| broken(&e))?;
        let command: A::Command = tagged::read(command, data).map_err(|e| {
            Problem::new(Code::InvalidField, format!("the body does not fit the command: {e}"))
        })?;
        A::decide(state.as_ref(), &command, decision)?
            .iter()
            .map(|event| tagged::write(event).map_err(|e| broken(&e)))
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
