//! The table of views: every kind of row the engine keeps, with revision, generation and position.
//!
//! Owns which view has which number in memory and which name and generation in the store. How
//! generations come and go is in `generations`. Refuses to know what rows hold.
//!
//! Order: the engine's own views, then streams of unknown types, the registry's aggregates, their
//! snapshots, its projections. A projection has two numbers, one for each of the two generations
//! that it can have at a time.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::cache::ViewId;
use crate::chain;
use crate::protocol::View;
use crate::registry::Registry;

/// Positions by stream, category, type and correlation id.
pub const POSTINGS: ViewId = 0;
/// Idempotency keys, and the queue in which they expire.
pub const IDEMPOTENCY: ViewId = 1;
/// Why projections are out of service. Outside the digest.
pub const FAULTS: ViewId = 2;
/// States of streams as of some versions, taken on request: the fold does not take them again.
/// Outside the digest.
pub const TAKEN: ViewId = 3;
/// What process managers asked for and is not done yet.
pub const PENDING: ViewId = 4;
/// Effects that were asked for, and how far each has got.
pub const OUTBOX: ViewId = 5;
/// Who is called about the events of which topics.
pub const CONSUMERS: ViewId = 6;
/// How far deliveries have got: the driver's rows, not made by the fold. Outside the digest.
pub const CURSORS: ViewId = 7;
/// Commands that were refused: the driver's rows too. Outside the digest.
pub const REJECTED: ViewId = 8;
/// Versions of streams whose type the registry does not know.
pub const STREAMS: ViewId = 9;
/// The first aggregate's view.
const AGGREGATES: ViewId = 10;
/// States of streams ahead of a generation that is being built. Never stored.
pub const AHEAD: ViewId = ViewId::MAX;

const OWN: [(&str, u32); 9] = [
    ("postings", 1),
    ("idempotency", 1),
    ("~faults", 1),
    ("~snapshots-taken", 1),
    ("pending", 1),
    ("outbox", 1),
    ("consumers", 1),
    ("~cursors", 1),
    ("~rejected", 1),
];

/// What a view's rows are made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Kind {
    /// The engine's own: folded with every commit, or of no use at all.
    Own,
    /// Streams of types that the registry does not know. Its revision stands for those it knows.
    Streams,
    /// The registry's aggregate with this name as its type.
    Aggregate,
    /// The registry's projection of this name.
    Projection,
}

/// Name of one of the engine's own views.
pub fn name(view: ViewId) -> &'static str {
    OWN.get(usize::from(view)).map_or("", |(name, _)| name)
}

/// Generation of one of the engine's own views.
pub fn generation(view: ViewId) -> u32 {
    OWN.get(usize::from(view)).map_or(0, |(_, revision)| revision.saturating_mul(2))
}

/// What the checkpoint keeps of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// What it is made from.
    pub kind: Kind,
    /// Name in the store.
    pub name: String,
    /// Revision of the code that folded its rows.
    pub revision: u32,
    /// The generation that serves.
    pub generation: u32,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// How many rows a projection has; of an aggregate, how many snapshots are kept.
    pub rows: u64,
    /// It failed on the record after its position, and is left there.
    pub stopped: bool,
    /// The generation that will replace it.
    pub building: Option<Building>,
    /// The settings that held at its position, when it is behind the others.
    pub settings: String,
}

/// A generation that does not serve yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Building {
    /// Its number.
    pub generation: u32,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// How many rows it has.
    pub rows: u64,
}

/// All views of an engine.
#[derive(Clone, Debug)]
pub struct Views {
    pub(super) states: Vec<ViewState>,
    aggregates: usize,
    /// Generations of other revisions, left for a module that may come back: one of each name.
    pub(super) asleep: Vec<ViewState>,
    /// Generations of no use any more whose rows are not deleted yet.
    pub(super) garbage: Vec<View>,
}

/// Where a view's number leads.
#[derive(Clone, Copy, Debug)]
enum Place {
    /// To the one generation of a state.
    Only(usize),
    /// To the snapshots of the aggregate with this state.
    Snapshots(usize),
    /// To one side of a projection's state: even or odd generations.
    Side(usize, u32),
}

/// Name of the view that keeps an aggregate's snapshots. Outside the digest.
fn snapshots_of(name: &str) -> String {
    format!("~snapshots:{name}")
}

/// Stands for the types that a registry knows: streams of others are kept by type.
fn types_known(registry: &Registry) -> u32 {
    let mut names: Vec<&str> =
        registry.aggregates.iter().map(|a| a.spec().aggregate_type).collect();
    names.sort_unstable();
    // Twice a revision must be a generation.
    chain::crc32c(names.join(",").as_bytes()) >> 2
}

impl ViewState {
    fn new(kind: Kind, name: &str, revision: u32) -> Self {
        Self {
            kind,
            name: name.to_string(),
            revision,
            generation: revision.saturating_mul(2),
            position: 0,
            rows: 0,
            stopped: false,
            building: None,
            settings: String::new(),
        }
    }

    /// All generations of it that have rows, as the store names them.
    pub fn stored(&self) -> impl Iterator<Item = View> {
        let building = self.building.as_ref().map(|building| building.generation);
        let rows = core::iter::once(self.generation).chain(building);
        let rows = rows.map(|generation| View { name: self.name.clone(), generation });
        let snapshots = (self.kind == Kind::Aggregate)
            .then(|| View { name: snapshots_of(&self.name), generation: self.generation });
        rows.chain(snapshots)
    }
}

impl Views {
    /// The views of a registry, all empty.
    pub fn new(registry: &Registry) -> Self {
        let own = OWN.iter().map(|(name, revision)| ViewState::new(Kind::Own, name, *revision));
        let streams = ViewState::new(Kind::Streams, "streams", types_known(registry));
        let aggregates = registry.aggregates.iter().map(|a| a.spec());
        let aggregates =
            aggregates.map(|s| ViewState::new(Kind::Aggregate, s.aggregate_type, s.revision));
        let projections = registry.projections.iter().map(|p| p.spec());
        let projections = projections.map(|s| ViewState::new(Kind::Projection, s.name, s.revision));
        Self {
            states: own.chain([streams]).chain(aggregates).chain(projections).collect(),
            aggregates: registry.aggregates.len(),
            asleep: Vec::new(),
            garbage: Vec::new(),
        }
    }

    /// What the checkpoint keeps.
    pub fn states(&self) -> &[ViewState] {
        &self.states
    }

    /// Where the states start that are not the engine's own.
    pub(super) const fn first_derived() -> usize {
        OWN.len()
    }

    /// Where those of the registry's projections start.
    pub(super) const fn first_projection(&self) -> usize {
        OWN.len().saturating_add(1).saturating_add(self.aggregates)
    }

    fn place(&self, view: ViewId) -> Place {
        let (view, first) = (usize::from(view), self.first_projection());
        if view < first {
            return Place::Only(view);
        }
        let beyond = view.saturating_sub(first);
        match beyond.checked_sub(self.aggregates) {
            None => Place::Snapshots(usize::from(AGGREGATES).saturating_add(beyond)),
            Some(beyond) => {
                let side = u32::from(!beyond.is_multiple_of(2));
                Place::Side(first.saturating_add(beyond / 2), side)
            }
        }
    }

    /// The number of a state's generation.
    pub(super) fn number(&self, index: usize, generation: u32) -> ViewId {
        let first = self.first_projection();
        let number = match index.checked_sub(first) {
            None => index,
            Some(beyond) => {
                let side = usize::from(generation % 2 == 1);
                let beyond = beyond.saturating_mul(2).saturating_add(side);
                first.saturating_add(self.aggregates).saturating_add(beyond)
            }
        };
        ViewId::try_from(number).unwrap_or(AHEAD)
    }

    fn index(&self, view: ViewId) -> usize {
        match self.place(view) {
            Place::Only(index) | Place::Snapshots(index) | Place::Side(index, _) => index,
        }
    }

    /// A view's state.
    pub fn state(&self, view: ViewId) -> Option<&ViewState> {
        self.states.get(self.index(view))
    }

    /// A view's state, to be changed by a commit taken in.
    pub fn state_mut(&mut self, view: ViewId) -> Option<&mut ViewState> {
        let index = self.index(view);
        self.states.get_mut(index)
    }

    /// Whether a view's rows are as of `head`.
    pub fn serves(&self, view: ViewId, head: u64) -> bool {
        self.state(view).is_some_and(|state| state.position == head)
    }

    /// What is counted of one generation.
    pub fn rows_mut(&mut self, view: ViewId) -> Option<&mut u64> {
        let (place, index) = (self.place(view), self.index(view));
        let state = self.states.get_mut(index)?;
        match (place, &mut state.building) {
            (Place::Side(_, side), Some(building)) if side == building.generation % 2 => {
                Some(&mut building.rows)
            }
            _ => Some(&mut state.rows),
        }
    }

    /// A view as the store names it.
    pub fn stored(&self, view: ViewId) -> View {
        let place = self.place(view);
        let Some(state) = self.states.get(self.index(view)) else {
            return View { name: String::new(), generation: 0 };
        };
        let generation = state.generation;
        match place {
            Place::Snapshots(_) => View { name: snapshots_of(&state.name), generation },
            Place::Side(_, side) if generation % 2 != side => {
                View { name: state.name.clone(), generation: generation ^ 1 }
            }
            _ => View { name: state.name.clone(), generation },
        }
    }

    /// The number of a view that the store names.
    pub fn find(&self, view: &View) -> Option<ViewId> {
        if let Some(name) = view.name.strip_prefix("~snapshots:") {
            let mut states = self.states.iter();
            let index = states.position(|s| {
                (s.kind, s.generation) == (Kind::Aggregate, view.generation) && s.name == name
            })?;
            return Some(self.snapshots(index.saturating_sub(usize::from(AGGREGATES))));
        }
        let index = self.states.iter().position(|s| {
            let building = s.building.as_ref().map(|building| building.generation);
            s.name == view.name
                && (s.generation == view.generation || building == Some(view.generation))
        })?;
        Some(self.number(index, view.generation))
    }

    /// The view of the registry's aggregate with this index.
    pub fn aggregate(&self, index: usize) -> ViewId {
        ViewId::try_from(index).unwrap_or(AHEAD).saturating_add(AGGREGATES)
    }

    /// The view of that aggregate's snapshots.
    pub fn snapshots(&self, index: usize) -> ViewId {
        let number = self.first_projection().saturating_add(index);
        ViewId::try_from(number).unwrap_or(AHEAD)
    }

    /// The view of the registry's projection with this index: the generation that serves.
    pub fn projection(&self, index: usize) -> ViewId {
        let index = self.first_projection().saturating_add(index);
        self.number(index, self.states.get(index).map_or(0, |state| state.generation))
    }

    /// The state of the registry's projection with this index, to be changed.
    pub fn projection_mut(&mut self, index: usize) -> Option<&mut ViewState> {
        let index = self.first_projection().saturating_add(index);
        self.states.get_mut(index)
    }

    /// Snapshots that the fold took and that are kept.
    pub fn snapshots_kept(&self) -> u64 {
        let aggregates = self.states.iter().filter(|state| state.kind == Kind::Aggregate);
        aggregates.fold(0, |sum, state| sum.saturating_add(state.rows))
    }
}
