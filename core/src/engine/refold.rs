//! Folding one stream again, up to a version: its state as of then.
//!
//! Owns the nearest snapshot and the pages after it. Between two pages it keeps the state and
//! nothing else, so a stream of any length is folded in little memory. Refuses to know who asks.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::access::Access;
use super::snapshots::{self, Wrong};
use super::streams::{Blocked, StreamRow};
use super::views::POSTINGS;
use super::{Engine, ViewId, postings};
use crate::decider::AnyAggregate;
use crate::ids;
use crate::limits::REFOLD_PAGE;
use crate::protocol::Query;
use crate::read::{Stop, with_each};

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

/// What a stream was as of a version.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Then {
    /// Its row.
    pub row: Vec<u8>,
    /// Position of the event that has the version; 0 where the stream is blocked.
    pub position: u64,
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
///
/// Started from a snapshot it goes on to the next state that is known, where that lies within the
/// first page: a later snapshot, or the stream's current state. When that is another one, no
/// snapshot of the stream is trusted: the fold starts anew from nothing, and each snapshot that it
/// passes is compared.
#[derive(Debug)]
pub struct Refold {
    wanted: Wanted,
    started: bool,
    version: u64,
    position: u64,
    /// The stream's row as of that.
    row: Option<Vec<u8>>,
    /// How far it goes: the version that is wanted, or a later one to compare with.
    goal: u64,
    /// What is wanted, once it was passed.
    found: Option<Then>,
    /// States of snapshots to compare with.
    known: Vec<(u64, Vec<u8>)>,
    /// The stream's current state, to compare with.
    current: Option<(u64, Vec<u8>)>,
    distrusts: bool,
    wrong: Vec<Wrong>,
}

impl Refold {
    /// A fold that has not begun.
    pub const fn new(wanted: Wanted) -> Self {
        let goal = wanted.version;
        Self {
            wanted,
            started: false,
            version: 0,
            position: 0,
            row: None,
            goal,
            found: None,
            known: Vec::new(),
            current: None,
            distrusts: false,
            wrong: Vec::new(),
        }
    }

    /// Takes the next page in; true when it has come to the version. A miss changes nothing.
    pub fn step(&mut self, engine: &Engine, access: &mut Access<'_>) -> Result<bool, Stop> {
        let fault = |what: &str| Stop::Fault(what.into());
        let aggregates = &engine.registry().aggregates;
        let aggregate = aggregates.get(self.wanted.aggregate);
        let aggregate = &**aggregate.ok_or_else(|| fault("the aggregate is not registered"))?;
        let stream = ids::stream_name(aggregate.spec().aggregate_type, &self.wanted.id);
        if !self.started {
            self.start(engine, access, aggregate, &stream)?;
        }
        if self.version < self.goal {
            self.page(engine, access, aggregate, &stream)?;
        }
        if self.version < self.goal {
            return Ok(false);
        }
        if self.distrusts || self.agrees(self.known.iter().chain(&self.current)) {
            return Ok(true);
        }
        self.distrusts = true;
        (self.version, self.position) = (0, 0);
        (self.row, self.found) = (None, None);
        Ok(false)
    }

    /// Finds the nearest snapshot, and what it can be compared with.
    fn start(
        &mut self,
        engine: &Engine,
        access: &mut Access<'_>,
        aggregate: &dyn AnyAggregate,
        stream: &str,
    ) -> Result<(), Stop> {
        let (wanted, revision) = (self.wanted.version, aggregate.spec().revision);
        let own = (engine.snapshots_view(self.wanted.aggregate), revision);
        let nearest = snapshots::nearest(access, own, stream, wanted)?;
        let Some(snapshot) = nearest else {
            self.started = true;
            return Ok(());
        };
        let newest = snapshots::newest(access, own, stream)?;
        let view = engine.aggregate_view(self.wanted.aggregate);
        let current = access.row(view, self.wanted.id.as_bytes())?;
        self.current = match current.as_deref().map(StreamRow::read).transpose()? {
            Some(StreamRow::State(version, state)) => Some((version, state.to_vec())),
            Some(StreamRow::Blocked(_)) | None => None,
        };
        self.known = newest.into_iter().map(|found| (found.version, found.state)).collect();
        self.known.push((snapshot.version, snapshot.state.clone()));
        let within = snapshot.version.saturating_add(REFOLD_PAGE.into());
        let later = self.known.iter().chain(&self.current).map(|(version, _)| *version);
        let next = later.filter(|version| *version > wanted.max(snapshot.version)).min();
        self.goal = next.filter(|next| *next <= within).unwrap_or(wanted);
        self.version = snapshot.version;
        self.position = snapshot.position;
        let row = postcard::to_allocvec(&snapshot.version);
        let row = row.map_err(|e| Stop::Fault(e.to_string()))?;
        let row = [row, snapshot.state].concat();
        if self.version == wanted {
            self.found = Some(Then { row: row.clone(), position: self.position });
        }
        self.row = Some(row);
        self.started = true;
        Ok(())
    }

    /// The state it came to; nothing when the stream is blocked.
    fn state(&self) -> Option<&[u8]> {
        match StreamRow::read(self.row.as_deref()?) {
            Ok(StreamRow::State(_, state)) => Some(state),
            Ok(StreamRow::Blocked(_)) | Err(_) => None,
        }
    }

    /// Whether all that is known of the version it came to is the state it folded.
    fn agrees<'k>(&self, known: impl Iterator<Item = &'k (u64, Vec<u8>)>) -> bool {
        let mut same = known.filter(|(version, _)| *version == self.version);
        same.all(|(_, state)| Some(state.as_slice()) == self.state())
    }

    fn page(
        &mut self,
        engine: &Engine,
        access: &mut Access<'_>,
        aggregate: &dyn AnyAggregate,
        stream: &str,
    ) -> Result<(), Stop> {
        let own = (engine.snapshots_view(self.wanted.aggregate), aggregate.spec().revision);
        let term = postings::stream_term(stream);
        // A record is a version: no more of them are read than lead to the goal.
        let left = self.goal.saturating_sub(self.version);
        let limit = u32::try_from(left).map_or(REFOLD_PAGE, |left| left.min(REFOLD_PAGE));
        let positions = postings::after(access, POSTINGS, &term, self.position, limit)?;
        if positions.is_empty() {
            return Err(Stop::Fault("a stream ends before its version".into()));
        }
        let lines = access.some_commits(&positions)?;
        with_each(&lines, &positions, |record| {
            if self.version == self.goal {
                return Ok(());
            }
            let before = self.row.as_deref().map(StreamRow::read).transpose()?;
            let mut out = Vec::new();
            let start = engine.next_row(aggregate, before.as_ref(), record, false, &mut out)?;
            self.row = Some(out);
            self.position = record.position;
            // Nothing unblocks a stream further on.
            self.version = start.map_or(self.goal, |_| record.event.version);
            self.passed(own, stream);
            Ok(())
        })
    }

    /// Notes the row that is wanted, and from nothing each snapshot that is another one.
    fn passed(&mut self, own: (ViewId, u32), stream: &str) {
        if self.found.is_none() && self.version >= self.wanted.version {
            let row = self.row.clone().unwrap_or_default();
            self.found = Some(Then { row, position: self.position });
        }
        if !self.distrusts || self.agrees(self.known.iter()) {
            return;
        }
        if let Some(state) = self.state().map(<[u8]>::to_vec) {
            let (stream, version) = (stream.into(), self.version);
            self.wrong.push(Wrong { own, stream, version, state });
        }
    }

    /// What was wanted, the stream as of then, and the snapshots that are not the fold.
    pub fn finish(self) -> (Wanted, Then, Vec<Wrong>) {
        let then = self
            .found
            .unwrap_or_else(|| Then { row: self.row.unwrap_or_default(), position: self.position });
        // A blocked stream was not folded any further: its version is that of the stream then.
        let blocked = match StreamRow::read(&then.row) {
            Ok(StreamRow::Blocked(blocked)) => {
                Blocked { version: self.wanted.version, ..blocked }.row().ok()
            }
            Ok(StreamRow::State(..)) | Err(_) => None,
        };
        let then = blocked.map_or(then, |row| Then { row, position: 0 });
        (self.wanted, then, self.wrong)
    }
}

impl Access<'_> {
    /// A stream as of a version; noted as missing unless it was folded already.
    pub fn state_at(&mut self, wanted: Wanted) -> Result<Then, Stop> {
        if let Some(then) = self.supplied.refolded.get(&wanted) {
            return Ok(then.clone());
        }
        self.wanted = Some(wanted);
        Err(Stop::Miss)
    }

    /// What this attempt lacks.
    pub fn take_missing(&mut self) -> Missing {
        Missing { queries: self.take_misses(), refold: self.wanted.take() }
    }
}
