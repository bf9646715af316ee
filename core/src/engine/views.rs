//! The table of views: every kind of row the engine keeps, with revision, generation and position.
//!
//! Owns which view has which number in memory and which name and generation in the store. Refuses
//! to know what rows hold.
//!
//! Order: the engine's own views, then the registry's aggregates, then its projections.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::cache::ViewId;
use crate::protocol::View;
use crate::registry::Registry;

/// Positions by stream, category, type and correlation id.
pub const POSTINGS: ViewId = 0;
/// Idempotency keys, and the queue in which they expire.
pub const IDEMPOTENCY: ViewId = 1;
/// Versions of streams whose type the registry does not know.
pub const STREAMS: ViewId = 2;
/// Why projections are out of service. Outside the digest.
pub const FAULTS: ViewId = 3;
/// States of streams as of some versions. Outside the digest.
pub const SNAPSHOTS: ViewId = 4;
/// The same, taken on request: the fold does not take them again. Outside the digest.
pub const TAKEN: ViewId = 5;
/// The first aggregate's view.
const AGGREGATES: ViewId = 6;

const OWN: [(&str, u32); 6] = [
    ("postings", 1),
    ("idempotency", 1),
    ("streams", 1),
    ("~faults", 1),
    ("~snapshots", 1),
    ("~snapshots-taken", 1),
];

/// What the checkpoint keeps of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// Name in the store.
    pub name: String,
    /// Revision of the code that folded its rows.
    pub revision: u32,
    /// Generation of its rows.
    pub generation: u32,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// How many rows it has; counted for projections.
    pub rows: u64,
}

/// All views of an engine.
#[derive(Clone, Debug)]
pub struct Views {
    states: Vec<ViewState>,
    aggregates: usize,
}

impl Views {
    /// The views of a registry, all empty, of generation 1.
    pub fn new(registry: &Registry) -> Self {
        let own = OWN.iter().copied();
        let aggregates =
            registry.aggregates.iter().map(|a| (a.spec().aggregate_type, a.spec().revision));
        let projections = registry.projections.iter().map(|p| (p.spec().name, p.spec().revision));
        let state = |(name, revision): (&str, u32)| ViewState {
            name: name.to_string(),
            revision,
            generation: 1,
            position: 0,
            rows: 0,
        };
        Self {
            states: own.chain(aggregates).chain(projections).map(state).collect(),
            aggregates: registry.aggregates.len(),
        }
    }

    /// Takes over the states of a checkpoint; false when any view is another one now.
    pub fn restore(&mut self, stored: Vec<ViewState>) -> bool {
        let same = stored.len() == self.states.len()
            && stored
                .iter()
                .zip(&self.states)
                .all(|(a, b)| a.name == b.name && a.revision == b.revision);
        if same {
            self.states = stored;
        }
        same
    }

    /// What the checkpoint keeps.
    pub fn states(&self) -> &[ViewState] {
        &self.states
    }

    /// A view's state.
    pub fn state(&self, view: ViewId) -> Option<&ViewState> {
        self.states.get(usize::from(view))
    }

    /// A view's state, to be changed by a commit taken in.
    pub fn state_mut(&mut self, view: ViewId) -> Option<&mut ViewState> {
        self.states.get_mut(usize::from(view))
    }

    /// A view as the store names it.
    pub fn stored(&self, view: ViewId) -> View {
        match self.state(view) {
            Some(state) => View { name: state.name.clone(), generation: state.generation },
            None => View { name: String::new(), generation: 0 },
        }
    }

    /// The number of a view that the store names.
    pub fn find(&self, view: &View) -> Option<ViewId> {
        let index = self
            .states
            .iter()
            .position(|s| s.name == view.name && s.generation == view.generation)?;
        ViewId::try_from(index).ok()
    }

    /// The view of the registry's aggregate with this index.
    pub fn aggregate(&self, index: usize) -> ViewId {
        ViewId::try_from(index).unwrap_or(ViewId::MAX).saturating_add(AGGREGATES)
    }

    /// The view of the registry's projection with this index.
    pub fn projection(&self, index: usize) -> ViewId {
        self.aggregate(self.aggregates.saturating_add(index))
    }

    /// Moves every view that is at `from` to `to`, but for those that stopped.
    pub fn advance(&mut self, from: u64, to: u64, stopped: impl Fn(ViewId) -> bool) {
        for (state, view) in self.states.iter_mut().zip(0..) {
            if state.position == from && !stopped(view) {
                state.position = to;
            }
        }
    }
}
