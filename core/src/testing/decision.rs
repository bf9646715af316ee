//! Deciders: given streams and rows, when a command, then events or a refusal.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use serde::Serialize;

use super::{NOW, difference};
use crate::decider::{Aggregate, Appended, Decision, Reads, undeclared};
use crate::errors::{Code, Rejection};
use crate::ids;
use crate::projection::Projection;
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::tagged;
use crate::time::Time;

/// A decision's past.
#[derive(Debug)]
pub struct Given<A: Aggregate> {
    state: Option<A::State>,
    id: String,
    stamp: Stamp,
    others: Others,
}

/// Streams and rows that a decision may read.
#[derive(Debug, Default)]
pub(super) struct Others {
    states: BTreeMap<(String, String), Vec<u8>>,
    rows: BTreeMap<(String, Vec<u8>), Vec<u8>>,
}

impl Others {
    /// A stream with these events.
    pub(super) fn put<A: Aggregate>(
        &mut self,
        id: &str,
        events: impl IntoIterator<Item = A::Event>,
    ) {
        if let Some(state) = folded::<A>(events) {
            let key = (A::SPEC.aggregate_type.to_string(), id.to_string());
            self.states.insert(key, stored(&state));
        }
    }

    /// A row of a projection.
    pub(super) fn put_row<P: Projection>(&mut self, key: &[u8], value: &impl Serialize) {
        self.rows.insert((P::SPEC.name.to_string(), key.to_vec()), stored(value));
    }
}

impl Reads for Others {
    fn state(&mut self, aggregate_type: &str, id: &str) -> Result<Option<Vec<u8>>, Stop> {
        Ok(self.states.get(&(aggregate_type.into(), id.into())).cloned())
    }

    fn row(&mut self, projection: &str, key: &[u8]) -> Result<Option<Option<Vec<u8>>>, Stop> {
        Ok(Some(self.rows.get(&(projection.into(), key.into())).cloned()))
    }
}

/// The state after these events; `None` without any.
pub(super) fn folded<A: Aggregate>(
    events: impl IntoIterator<Item = A::Event>,
) -> Option<(u64, A::State)> {
    events.into_iter().fold(None, |before, event| {
        let (version, mut state) = before.unwrap_or_default();
        A::evolve(&mut state, &event);
        Some((version.saturating_add(1), state))
    })
}

pub(super) fn stored(value: &impl Serialize) -> Vec<u8> {
    postcard::to_allocvec(value).unwrap_or_else(|e| panic!("a value can not be stored: {e}"))
}

/// A stream with these events, and nothing else; its id is `id`.
pub fn given<A: Aggregate>(events: impl IntoIterator<Item = A::Event>) -> Given<A> {
    let stamp = Stamp { clock: NOW, entropy: [7; 16] };
    let state = folded::<A>(events).map(|(_, state)| state);
    Given { state, id: "id".into(), stamp, others: Others::default() }
}

impl<A: Aggregate> Given<A> {
    /// The stream has this id.
    #[must_use]
    pub fn of(self, id: &str) -> Self {
        Self { id: id.into(), ..self }
    }

    /// It is this time.
    #[must_use]
    pub fn at(mut self, time: Time) -> Self {
        self.stamp.clock = time;
        self
    }

    /// And another stream with these events.
    #[must_use]
    pub fn and<B: Aggregate>(
        mut self,
        id: &str,
        events: impl IntoIterator<Item = B::Event>,
    ) -> Self {
        self.others.put::<B>(id, events);
        self
    }

    /// And this row of a projection.
    #[must_use]
    pub fn and_row<P: Projection>(mut self, key: &[u8], value: &impl Serialize) -> Self {
        self.others.put_row::<P>(key, value);
        self
    }

    /// Decides.
    pub fn when(mut self, command: A::Command) -> Outcome<A> {
        let (stamp, id) = (self.stamp, self.id.clone());
        let mut decision = Decision::new(&id, stamp.clock, &stamp, &mut self.others);
        let decided = A::decide(self.state.as_ref(), &command, &mut decision);
        for event in decided.iter().flatten() {
            let (name, _) =
                tagged::write(event).unwrap_or_else(|e| panic!("an event can not be written: {e}"));
            assert!(A::SPEC.events.contains(&name.as_str()), "{}", undeclared::<A>(&name));
        }
        let appended =
            decision.finish().unwrap_or_else(|stop| panic!("the decision stopped: {stop:?}"));
        Outcome { decided, appended, expected: Vec::new(), aggregate: PhantomData }
    }
}

/// What a decision came to.
#[derive(Debug)]
#[must_use = "an outcome proves nothing until `then` looks at it"]
pub struct Outcome<A: Aggregate> {
    decided: Result<Vec<A::Event>, Rejection>,
    appended: Vec<Appended>,
    expected: Vec<String>,
    aggregate: PhantomData<A>,
}

fn line(stream: &str, event: &impl Serialize) -> String {
    let (name, data) =
        tagged::write(event).unwrap_or_else(|e| panic!("an event can not be written: {e}"));
    format!("{stream}{name} {data}")
}

impl<A: Aggregate> Outcome<A> {
    /// Events of another stream that are expected in the same commit, in order.
    pub fn appending<B: Aggregate>(
        mut self,
        id: &str,
        events: impl IntoIterator<Item = B::Event>,
    ) -> Self {
        let stream = format!("{} ", ids::stream_name(B::SPEC.aggregate_type, id));
        self.expected.extend(events.into_iter().map(|event| line(&stream, &event)));
        self
    }

    /// Exactly these events of the own stream, and what [`Self::appending`] named.
    #[track_caller]
    pub fn then(self, events: impl IntoIterator<Item = A::Event>) {
        let own = events.into_iter().map(|event| line("", &event));
        let expected: Vec<String> = own.chain(self.expected.iter().cloned()).collect();
        let found = self.found();
        if found.as_ref() != Ok(&expected) {
            let found = found.unwrap_or_else(|refusal| vec![refusal]);
            panic!("the decision made other events\n{}", difference(&expected, &found));
        }
    }

    /// Nothing to do: no event.
    #[track_caller]
    pub fn then_nothing(self) {
        self.then([]);
    }

    /// Refused with this code.
    #[track_caller]
    pub fn then_rejected(self, code: Code) {
        match self.decided {
            Err(rejection) if rejection.code == code => {}
            _ => {
                let expected = vec![format!("refused: {}", code.name())];
                let found = self.found().unwrap_or_else(|refusal| vec![refusal]);
                panic!("it is not refused so\n{}", difference(&expected, &found));
            }
        }
    }

    fn found(&self) -> Result<Vec<String>, String> {
        match &self.decided {
            Ok(events) => {
                let own = events.iter().map(|event| line("", event));
                let others = self.appended.iter().map(|appended| {
                    let Appended { aggregate_type, id, event_type, data } = appended;
                    format!("{} {event_type} {data}", ids::stream_name(aggregate_type, id))
                });
                Ok(own.chain(others).collect())
            }
            Err(rejection) => {
                Err(format!("refused: {}: {}", rejection.code.name(), rejection.detail))
            }
        }
    }
}
