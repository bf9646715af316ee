//! Process managers: given streams and rows, when an event, then reactions.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;

use super::decision::Others;
use super::{NOW, difference};
use crate::commit::{Commit, Event};
use crate::decider::Aggregate;
use crate::errors::Code;
use crate::ids;
use crate::process::{Effect, Ended, Ordered, ProcessManager, Reaction, Refused, Sight};
use crate::projection::Projection;
use crate::read::Stop;
use crate::record::{Decoded, Record};
use crate::tagged;
use crate::upcast;

/// What a process manager can see.
#[derive(Debug)]
pub struct Reacting<M> {
    others: Others,
    depth: u32,
    manager: PhantomData<M>,
}

/// A process manager in a partition where nothing happened yet.
pub fn reacting<M: ProcessManager>() -> Reacting<M> {
    Reacting { others: Others::default(), depth: 0, manager: PhantomData }
}

impl<M: ProcessManager> Reacting<M> {
    /// Given a stream with these events, the one that is reacted to included.
    #[must_use]
    pub fn given<A: Aggregate>(
        mut self,
        id: &str,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Self {
        self.others.put::<A>(id, events);
        self
    }

    /// Given this row of a projection.
    #[must_use]
    pub fn given_row<P: Projection>(mut self, key: &[u8], value: &impl Serialize) -> Self {
        self.others.put_row::<P>(key, value);
        self
    }

    /// Given that so many reactions led here.
    #[must_use]
    pub fn at_depth(self, depth: u32) -> Self {
        Self { depth, ..self }
    }

    /// When this happened to a stream. An event that the manager does not react to leads to
    /// nothing.
    pub fn when<A: Aggregate>(mut self, id: &str, event: A::Event) -> Reactions
    where
        A::Event: Serialize,
    {
        let (event_type, data) =
            tagged::write(&event).unwrap_or_else(|e| panic!("an event can not be written: {e}"));
        let stream = ids::stream_name(A::SPEC.aggregate_type, id);
        let wanted = (A::SPEC.aggregate_type, event_type.as_str());
        if !M::SPEC.reacts_to.contains(&wanted) {
            return Reactions(Vec::new());
        }
        let event = Event {
            event_type: event_type.as_str().into(),
            schema_version: upcast::stated(A::UPCASTS, &event_type).map(Into::into),
            stream: stream.into(),
            version: 1,
            data: &data,
            ..Event::default()
        };
        let commit = Commit {
            position: 1,
            time: NOW.to_iso().into(),
            events: alloc::vec![event],
            ..Commit::default()
        };
        let room = Decoded::room(&commit);
        let mut sight = Sight::new(&mut self.others, NOW, self.depth);
        let reactions = Record::all(&commit, NOW, &room).map(|r| M::react(&r, &mut sight)).next();
        settled(reactions.unwrap_or_else(|| Ok(Vec::new())))
    }

    /// When one of its commands was refused.
    pub fn when_refused(mut self, command: &Ordered, code: Code) -> Reactions {
        let Ordered { aggregate_type, aggregate_id, command, version, data } = command.clone();
        let (manager, code) = (M::SPEC.name.to_string(), code.name().to_string());
        let refused = Refused {
            manager,
            position: 1,
            n: 0,
            aggregate_type,
            aggregate_id,
            command,
            code,
            detail: String::new(),
            data,
            version,
        };
        settled(M::refused(&refused, &mut Sight::new(&mut self.others, NOW, self.depth)))
    }
}

impl<M: ProcessManager> Reacting<M> {
    /// When one of its effects succeeded or, with an error, was given up.
    pub fn when_ended(self, effect: &Effect, error: Option<&str>) -> Reactions {
        let error = error.map(ToString::to_string);
        self.when_attempted(effect, Ended { attempt: 1, error, ..Ended::default() })
    }

    /// When this came of an attempt at one of its effects; what the effect itself tells is filled
    /// in.
    pub fn when_attempted(mut self, effect: &Effect, attempted: Ended) -> Reactions {
        let Effect { kind, target, data, .. } = effect.clone();
        let manager = M::SPEC.name.to_string();
        let attempted = Ended { manager, position: 1, kind, target, data, ..attempted };
        settled(M::attempted(&attempted, &mut Sight::new(&mut self.others, NOW, self.depth)))
    }
}

fn settled(reactions: Result<Vec<Reaction>, Stop>) -> Reactions {
    match reactions {
        Ok(reactions) => Reactions(reactions),
        Err(stop) => panic!("the process manager stopped: {stop:?}"),
    }
}

/// What a process manager asked for.
#[derive(Debug)]
#[must_use = "reactions prove nothing until `then` looks at them"]
pub struct Reactions(Vec<Reaction>);

impl Reactions {
    /// It asked for these, in this order.
    #[track_caller]
    pub fn then(self, expected: impl IntoIterator<Item = Reaction>) {
        let expected: Vec<Reaction> = expected.into_iter().collect();
        if self.0 != expected {
            let shown =
                |reactions: &[Reaction]| -> Vec<String> { reactions.iter().map(shown).collect() };
            panic!("other reactions\n{}", difference(&shown(&expected), &shown(&self.0)));
        }
    }
}

/// A reaction on one line.
fn shown(reaction: &Reaction) -> String {
    let ordered = |ordered: &Ordered| {
        let Ordered { aggregate_type, aggregate_id, command, version, data } = ordered;
        let version = if *version == 1 { String::new() } else { format!(" {version}") };
        format!("{} {command}{version} {data}", ids::stream_name(aggregate_type, aggregate_id))
    };
    match reaction {
        Reaction::Command(command) => format!("command {}", ordered(command)),
        Reaction::Timer { key, due, command } => {
            format!("timer {key} due {}: {}", due.to_iso(), ordered(command))
        }
        Reaction::Cancel { key } => format!("cancel {key}"),
        Reaction::Effect(effect) => {
            let Effect { kind, target, data, deadline } = effect;
            let until = deadline.map(|time| format!(" until {}", time.to_iso()));
            format!("effect {kind} to {target}{}: {data}", until.unwrap_or_default())
        }
    }
}
