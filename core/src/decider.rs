//! The decider pattern: what a domain writes about one kind of stream.
//!
//! Owns [`Aggregate`], the typed side, and [`AnyAggregate`], the same with types erased, which is
//! all the engine sees: rows are bytes, commands and events are (name, JSON). What a decision may
//! use is in `decision`, the paths that an aggregate may name in `paths`. Refuses to know where rows
//! are kept and how commands arrive. `decide` and `evolve` are pure: time and entropy come from the
//! [`Decision`], nothing else does.

mod decision;
mod paths;

pub use decision::{Appended, Decision, NoReads, Reads};
pub(crate) use paths::check as check_paths;
pub use paths::{Path, Serves};

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::encode::onto;
use crate::errors::{Code, Problem, Rejection};
use crate::fields::Field;
use crate::read::{Reader, Stop};
use crate::record::Record;
use crate::tagged;
use crate::upcast::{Unreadable, Upcast};

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

impl AggregateSpec {
    /// One without a decider: the system writes such streams itself.
    pub(crate) const fn of_system(aggregate_type: &'static str, name: &'static str) -> Self {
        Self {
            aggregate_type,
            name,
            id_field: "id",
            revision: 1,
            snapshot_every: 0,
            events: &[],
            commands: &[],
            query_schema: "{}",
        }
    }
}

/// How a stream is named that whoever creates it leaves unnamed. The name stands in its events.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Named {
    /// By a random UUID, of the stamp's entropy.
    Uuid,
    /// By their number in the partition, without gaps, from 1. Nobody else may name one: the field
    /// of the id is not among those of what creates it.
    Counted {
        /// What comes before the number: `sub-`.
        prefix: &'static str,
        /// The event that each has once, at its beginning: those are counted.
        event: &'static str,
    },
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

    /// Its payload has this version: a module that knew an earlier one recorded others.
    #[must_use]
    pub const fn version(self, version: u32) -> Self {
        Self { version, ..self }
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
    /// How events and commands of older modules become those of this one.
    const UPCASTS: &'static [Upcast] = &[];
    /// Paths of its own, beside `/commands/…`, `/queries/<name>/{id}` and the like.
    const PATHS: &'static [Path] = &[];
    /// How streams of this kind are named that whoever creates them leaves unnamed.
    const NAMED: Named = Named::Uuid;
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
    /// See [`Aggregate::UPCASTS`].
    fn upcasts(&self) -> &'static [Upcast];
    /// See [`Aggregate::PATHS`].
    fn paths(&self) -> &'static [Path];
    /// See [`Aggregate::NAMED`].
    fn named(&self) -> Named;
    /// Decides a command on a stored state.
    fn decide(
        &self,
        state: Option<&[u8]>,
        command: &str,
        data: &str,
        decision: &mut Decision<'_>,
    ) -> Result<NewEvents, Rejection>;
    /// Appends the state after an event, as bytes. After an error `out` is of no use.
    fn evolve(
        &self,
        state: Option<&[u8]>,
        record: &Record<'_>,
        out: &mut Vec<u8>,
    ) -> Result<(), Unreadable>;
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

    fn upcasts(&self) -> &'static [Upcast] {
        A::UPCASTS
    }

    fn paths(&self) -> &'static [Path] {
        A::PATHS
    }

    fn named(&self) -> Named {
        A::NAMED
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
    ) -> Result<(), Unreadable> {
        let failed = |what: &str, e: postcard::Error| Unreadable::Failed(format!("{what}: {e}"));
        let event = record.read::<A>()?;
        let mut state: A::State = match state {
            Some(bytes) => {
                postcard::from_bytes(bytes).map_err(|e| failed("the state before", e))?
            }
            None => A::State::default(),
        };
        A::evolve(&mut state, event);
        *out = onto(core::mem::take(out), &state).map_err(|e| failed("the state after", e))?;
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
