//! Folding one stream again, up to a version: its state as of then.
//!
//! Owns the nearest snapshot and the pages after it. Between two pages it keeps the state and
//! nothing else, so a stream of any length is folded in little memory. Refuses to know who asks.

use alloc::string::String;
use alloc::vec::Vec;

use super::access::Access;
use super::views::POSTINGS;
use super::{Engine, postings};
use crate::ids;
use crate::limits::REFOLD_PAGE;
use crate::protocol::Query;
use crate::read::{Stop, with_records};

/// A state as of a version.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Wanted {
    /// Index of the aggregate in the registry.
    pub aggregate: usize,
    /// Id of the stream.
    pub id: String,
    /// The stream has it.
    pub version: u64,
}

/// What an attempt lacks.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Missing {
    /// Reads for the host to answer.
    pub queries: Vec<Query>,
    /// A state to be folded first.
    pub refold: Option<Wanted>,
}

impl From<Vec<Query>> for Missing {
    fn from(queries: Vec<Query>) -> Self {
        Self { queries, refold: None }
    }
}

/// A fold on its way from a snapshot, or from nothing, to the version that is wanted.
#[derive(Debug)]
pub struct Refold {
    wanted: Wanted,
    started: bool,
    version: u64,
    position: u64,
    state: Option<Vec<u8>>,
}

impl Refold {
    /// A fold that has not begun.
    pub const fn new(wanted: Wanted) -> Self {
        Self { wanted, started: false, version: 0, position: 0, state: None }
    }

    /// Takes the next page in; true when it has come to the version. A miss changes nothing.
    pub fn step(&mut self, engine: &Engine, access: &mut Access<'_>) -> Result<bool, Stop> {
        let fault = |what: &str| Stop::Fault(what.into());
        let aggregates = &engine.registry().aggregates;
        let aggregate = aggregates.get(self.wanted.aggregate);
        let aggregate = aggregate.ok_or_else(|| fault("the aggregate is not registered"))?;
        let stream = ids::stream_name(aggregate.spec().aggregate_type, &self.wanted.id);
        if !self.started {
            let revision = aggregate.spec().revision;
            let nearest =
                super::snapshots::nearest(access, &stream, self.wanted.version, revision)?;
            if let Some(snapshot) = nearest {
                self.version = snapshot.version;
                self.position = snapshot.position;
                self.state = Some(snapshot.state);
            }
            self.started = true;
        }
        if self.version == self.wanted.version {
            return Ok(true);
        }
        let term = postings::stream_term(&stream);
        let positions = postings::after(access, POSTINGS, &term, self.position, REFOLD_PAGE)?;
        if positions.is_empty() {
            return Err(fault("a stream ends before its version"));
        }
        let lines = access.commits(&positions)?;
        for (line, position) in lines.iter().zip(&positions) {
            if self.version == self.wanted.version {
                break;
            }
            with_records(line, |record| {
                if record.position == *position {
                    let mut out = Vec::new();
                    let before = self.state.as_deref();
                    aggregate.evolve(before, record, &mut out).map_err(Stop::Fault)?;
                    self.state = Some(out);
                    self.version = record.event.version;
                    self.position = record.position;
                }
                Ok(())
            })?;
        }
        Ok(self.version == self.wanted.version)
    }

    /// What was wanted, and the state's bytes.
    pub fn finish(self) -> (Wanted, Vec<u8>) {
        (self.wanted, self.state.unwrap_or_default())
    }
}

impl Access<'_> {
    /// The bytes of a state as of a version; noted as missing unless it was folded already.
    pub fn state_at(&mut self, wanted: Wanted) -> Result<Vec<u8>, Stop> {
        if let Some(state) = self.supplied.refolded.get(&wanted) {
            return Ok(state.clone());
        }
        self.wanted = Some(wanted);
        Err(Stop::Miss)
    }

    /// What this attempt lacks.
    pub fn take_missing(&mut self) -> Missing {
        Missing { queries: self.take_misses(), refold: self.wanted.take() }
    }
}
