//! Projections: given events of any streams, then what a reader is shown.
//!
//! The projection runs in the engine, over a log made of the events.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use core::marker::PhantomData;

use super::{NOW, difference, pretty};
use crate::chain;
use crate::commit::{Commit, Event, Genesis};
use crate::decider::Aggregate;
use crate::driver::{
    Config, Linked, MemoryStore, OwnedBody, OwnedRequest, Partition, StoredBlock, World,
};
use crate::ids;
use crate::json;
use crate::projection::{self, Projection};
use crate::protocol::OpenSettings;
use crate::registry::Registry;
use crate::tagged;
use crate::time::Time;
use crate::upcast;

/// A projection's past.
#[derive(Debug)]
pub struct Projected<P> {
    log: MemoryStore,
    hash: chain::Hash,
    position: u64,
    versions: BTreeMap<String, u64>,
    time: Time,
    projection: PhantomData<P>,
}

/// A projection over an empty log.
pub fn projected<P: Projection>() -> Projected<P> {
    let mut projected = Projected {
        log: MemoryStore::default(),
        hash: chain::NO_HASH,
        position: 0,
        versions: BTreeMap::new(),
        time: NOW,
        projection: PhantomData,
    };
    let genesis = Genesis {
        format: chain::FORMAT_VERSION,
        partition: "main".into(),
        incarnation: "00".repeat(16).into(),
        time: NOW.to_iso().into(),
        settings: "{}",
        guest: chain::HASH_HOLE.into(),
        ..Genesis::default()
    };
    projected.store(0, 0, &genesis.line());
    projected
}

impl<P: Projection> Projected<P> {
    /// From here on it is this time.
    #[must_use]
    pub fn at(mut self, time: Time) -> Self {
        self.time = time;
        self
    }

    /// These events of one stream happened, each in a commit of its own.
    #[must_use]
    pub fn given<A: Aggregate>(
        mut self,
        id: &str,
        events: impl IntoIterator<Item = A::Event>,
    ) -> Self {
        let stream = ids::stream_name(A::SPEC.aggregate_type, id);
        for event in events {
            let (name, data) = tagged::write(&event)
                .unwrap_or_else(|e| panic!("an event can not be written: {e}"));
            let schema_version = upcast::stated(A::UPCASTS, &name);
            self.happened(&stream, &name, schema_version, &data);
        }
        self
    }

    /// This event happened, as an older module recorded it.
    #[must_use]
    pub fn given_recorded<A: Aggregate>(
        mut self,
        id: &str,
        (event_type, major): (&str, u32),
        data: &str,
    ) -> Self {
        let stream = ids::stream_name(A::SPEC.aggregate_type, id);
        let data = json::minify(data.as_bytes())
            .unwrap_or_else(|e| panic!("the recorded data are no JSON: {e}"));
        self.happened(&stream, event_type, Some(format!("{major}.0.0")), &data);
        self
    }

    fn happened(&mut self, stream: &str, name: &str, schema: Option<String>, data: &str) {
        self.position = self.position.saturating_add(1);
        let version = self.versions.entry(stream.into()).or_default();
        *version = version.saturating_add(1);
        let event = Event {
            event_type: Cow::Borrowed(name),
            schema_version: schema.map(Cow::Owned),
            stream: Cow::Borrowed(stream),
            version: *version,
            data,
            ..Event::default()
        };
        let commit = Commit {
            position: self.position,
            time: self.time.to_iso().into(),
            events: vec![event],
            ..Commit::default()
        };
        let line = commit.line();
        self.store(self.position, self.position, &line);
    }

    fn store(&mut self, first: u64, last: u64, line: &str) {
        let (line, hash) = chain::seal(&self.hash, line)
            .unwrap_or_else(|| panic!("a commit can not be sealed: {line}"));
        self.hash = hash;
        let block = StoredBlock { first, last, body: format!("[{line}]") };
        self.log.log.insert(first, block);
    }

    /// Its first page is this JSON, white space aside.
    #[track_caller]
    pub fn then(self, data: &str) {
        let expected = json::minify(data.as_bytes())
            .unwrap_or_else(|e| panic!("the expected data are no JSON: {e}"));
        let answer = self.answer();
        let found = json::members(&answer).and_then(|members| {
            members.into_iter().find(|(name, _)| name == "data").map(|(_, data)| data.to_string())
        });
        let found = found.unwrap_or(answer);
        if found != expected {
            let (expected, found) = (pretty(&expected), pretty(&found));
            panic!("{} shows other data\n{}", P::SPEC.name, difference(&expected, &found));
        }
    }

    /// What `GET /projections/<name>` answers.
    fn answer(self) -> String {
        let config = Config {
            partition: "main".into(),
            incarnation: [0; 16],
            settings: OpenSettings::default(),
            host: "native",
            tail_events_max: u64::MAX,
            batch_commands_max: 100,
            effects_in_flight_max: 1,
            rejected_bytes_max: 0,
            secret: None,
            test_stamps: None,
        };
        let mut partition = Partition::new(Linked(registry::<P>), self.log, Still, config);
        let request = OwnedRequest {
            method: "GET".into(),
            target: format!("/projections/{}", P::SPEC.name),
            headers: Vec::new(),
            body: OwnedBody::Whole(Vec::new()),
        };
        let bodies = partition.run(vec![request]).into_iter().map(|reply| reply.response.body);
        String::from_utf8_lossy(&bodies.flatten().collect::<Vec<u8>>()).into_owned()
    }
}

/// The projection alone: streams of types that are not registered are folded all the same.
fn registry<P: Projection>() -> Registry {
    let projections = vec![projection::erase::<P>()];
    Registry { version: "0.0.0", aggregates: Vec::new(), projections, managers: Vec::new() }
}

/// A clock that stands still.
struct Still;

impl World for Still {
    fn clock(&mut self) -> Time {
        NOW
    }
    fn entropy(&mut self) -> [u8; 16] {
        [0; 16]
    }
    fn micros(&mut self) -> u64 {
        0
    }
}
