//! The table of views: every kind of row the engine keeps, with revision, generation and position.
//!
//! Owns which view has which number in memory and which name and generation in the store. Refuses
//! to know what rows hold.
//!
//! Order: the engine's own views, then the registry's aggregates, then its projections. A projection
//! has two numbers, one for each of the two generations that it can have at a time.
//!
//! Generations: `2 * revision`, and that plus one. A rebuild at the same revision builds the other
//! of the two beside the one that serves. Rows of any other revision are of no use to this guest.

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
/// What process managers asked for and is not done yet.
pub const PENDING: ViewId = 6;
/// Effects that were asked for, and how far each has got.
pub const OUTBOX: ViewId = 7;
/// The first aggregate's view.
const AGGREGATES: ViewId = 8;

const OWN: [(&str, u32); 8] = [
    ("postings", 1),
    ("idempotency", 1),
    ("streams", 1),
    ("~faults", 1),
    ("~snapshots", 1),
    ("~snapshots-taken", 1),
    ("pending", 1),
    ("outbox", 1),
];

/// Name of one of the engine's own views.
pub fn name(view: ViewId) -> &'static str {
    OWN.get(usize::from(view)).map_or("", |(name, _)| name)
}

/// What the checkpoint keeps of a view.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct ViewState {
    /// Name in the store.
    pub name: String,
    /// Revision of the code that folded its rows.
    pub revision: u32,
    /// The generation that serves.
    pub generation: u32,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// How many rows it has; counted for projections.
    pub rows: u64,
    /// It failed on the record after its position, and is left there.
    pub stopped: bool,
    /// The generation that will replace it.
    pub building: Option<Building>,
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
    states: Vec<ViewState>,
    aggregates: usize,
    /// Generations of no use any more whose rows are not deleted yet.
    garbage: Vec<View>,
}

impl Views {
    /// The views of a registry, all empty.
    pub fn new(registry: &Registry) -> Self {
        let own = OWN.iter().copied();
        let aggregates =
            registry.aggregates.iter().map(|a| (a.spec().aggregate_type, a.spec().revision));
        let projections = registry.projections.iter().map(|p| (p.spec().name, p.spec().revision));
        let state = |(name, revision): (&str, u32)| ViewState {
            name: name.to_string(),
            revision,
            generation: revision.saturating_mul(2),
            position: 0,
            rows: 0,
            stopped: false,
            building: None,
        };
        Self {
            states: own.chain(aggregates).chain(projections).map(state).collect(),
            aggregates: registry.aggregates.len(),
            garbage: Vec::new(),
        }
    }

    /// Takes over what a checkpoint keeps; false when its rows are of no use. A projection that is
    /// new, or has another revision now, starts anew behind the others, which serve.
    pub fn restore(&mut self, stored: Vec<ViewState>, garbage: Vec<View>) -> bool {
        let projections = OWN.len().saturating_add(self.aggregates);
        let same = |a: &ViewState, b: &ViewState| a.name == b.name && a.revision == b.revision;
        let fixed = self.states.iter().take(projections);
        let found = fixed.filter(|own| stored.iter().any(|other| same(own, other)));
        if found.count() != projections {
            return false;
        }
        // What now is an aggregate or belongs to the engine was no projection then, or the other
        // way round: names alone do not tell, so such rows are folded again.
        let moved = stored.iter().skip(projections);
        if moved.into_iter().any(|s| self.states.iter().take(projections).any(|f| f.name == s.name))
        {
            return false;
        }
        self.garbage = garbage;
        for old in stored {
            match self.states.iter_mut().find(|state| same(state, &old)) {
                Some(state) => *state = old,
                None => {
                    let building = old.building.map(|building| building.generation);
                    for generation in core::iter::once(old.generation).chain(building) {
                        self.garbage.push(View { name: old.name.clone(), generation });
                    }
                }
            }
        }
        true
    }

    /// What the checkpoint keeps.
    pub fn states(&self) -> &[ViewState] {
        &self.states
    }

    /// Generations of no use any more whose rows are not deleted yet.
    pub fn garbage(&self) -> &[View] {
        &self.garbage
    }

    /// The first of them has no rows any more.
    pub fn garbage_gone(&mut self) {
        if !self.garbage.is_empty() {
            self.garbage.remove(0);
        }
    }

    /// Where the registry's projections start.
    const fn first_projection(&self) -> usize {
        OWN.len().saturating_add(self.aggregates)
    }

    /// Index of a view's state, and for a projection which of its two generations is meant.
    fn place(&self, view: ViewId) -> (usize, Option<u32>) {
        let (view, first) = (usize::from(view), self.first_projection());
        match view.checked_sub(first) {
            None => (view, None),
            Some(beyond) => {
                let side = u32::from(!beyond.is_multiple_of(2));
                (first.saturating_add(beyond / 2), Some(side))
            }
        }
    }

    fn number(&self, index: usize, generation: u32) -> ViewId {
        let first = self.first_projection();
        let number = match index.checked_sub(first) {
            None => index,
            Some(beyond) => {
                let side = usize::from(generation % 2 == 1);
                first.saturating_add(beyond.saturating_mul(2)).saturating_add(side)
            }
        };
        ViewId::try_from(number).unwrap_or(ViewId::MAX)
    }

    /// A view's state.
    pub fn state(&self, view: ViewId) -> Option<&ViewState> {
        self.states.get(self.place(view).0)
    }

    /// A view's state, to be changed by a commit taken in.
    pub fn state_mut(&mut self, view: ViewId) -> Option<&mut ViewState> {
        let (index, _) = self.place(view);
        self.states.get_mut(index)
    }

    /// The number of rows of one generation.
    pub fn rows_mut(&mut self, view: ViewId) -> Option<&mut u64> {
        let (index, side) = self.place(view);
        let state = self.states.get_mut(index)?;
        match &mut state.building {
            Some(building) if side == Some(building.generation % 2) => Some(&mut building.rows),
            _ => Some(&mut state.rows),
        }
    }

    /// A view as the store names it.
    pub fn stored(&self, view: ViewId) -> View {
        let (index, side) = self.place(view);
        match self.states.get(index) {
            Some(state) => {
                let generation = match side {
                    Some(side) if state.generation % 2 != side => state.generation ^ 1,
                    _ => state.generation,
                };
                View { name: state.name.clone(), generation }
            }
            None => View { name: String::new(), generation: 0 },
        }
    }

    /// The number of a view that the store names.
    pub fn find(&self, view: &View) -> Option<ViewId> {
        let index = self.states.iter().position(|s| {
            let building = s.building.as_ref().map(|building| building.generation);
            s.name == view.name
                && (s.generation == view.generation || building == Some(view.generation))
        })?;
        Some(self.number(index, view.generation))
    }

    /// The view of the registry's aggregate with this index.
    pub fn aggregate(&self, index: usize) -> ViewId {
        ViewId::try_from(index).unwrap_or(ViewId::MAX).saturating_add(AGGREGATES)
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

    /// The generation of a projection that slices work on, and how far it got: one that is being
    /// rebuilt, else one that serves but is behind `head`.
    pub fn behind(&self, index: usize, head: u64) -> Option<(ViewId, u64)> {
        let at = self.first_projection().saturating_add(index);
        let state = self.states.get(at)?;
        if let Some(building) = &state.building {
            return Some((self.number(at, building.generation), building.position));
        }
        let behind = state.position < head && !state.stopped;
        behind.then(|| (self.number(at, state.generation), state.position))
    }

    /// The generations that serve, with the log at `head`.
    pub fn serving(&self, head: u64) -> Vec<View> {
        let whole = self.states.iter().filter(|state| state.stopped || state.position == head);
        whole.map(|state| View { name: state.name.clone(), generation: state.generation }).collect()
    }

    /// Starts to build the other generation of a projection, or goes on with it.
    pub fn start_rebuild(&mut self, index: usize) {
        if let Some(state) = self.projection_mut(index).filter(|state| state.building.is_none()) {
            let generation = state.generation ^ 1;
            state.building = Some(Building { generation, position: 0, rows: 0 });
        }
    }

    /// Gives up the generation that is being built, and tells which that was.
    pub fn abandon(&mut self, index: usize) -> Option<ViewId> {
        let at = self.first_projection().saturating_add(index);
        let state = self.states.get_mut(at)?;
        let generation = state.building.take()?.generation;
        let name = state.name.clone();
        self.garbage.push(View { name, generation });
        Some(self.number(at, generation))
    }

    /// Lets the generation that was built serve, and tells which one did before.
    pub fn flip(&mut self, index: usize) -> Option<ViewId> {
        let at = self.first_projection().saturating_add(index);
        let state = self.states.get_mut(at)?;
        let Building { generation, position, rows } = state.building.take()?;
        let before = core::mem::replace(&mut state.generation, generation);
        (state.position, state.rows, state.stopped) = (position, rows, false);
        let name = state.name.clone();
        self.garbage.push(View { name, generation: before });
        Some(self.number(at, before))
    }

    /// Moves every view that is at `from` to `to`, but for those that stopped.
    pub fn advance(&mut self, from: u64, to: u64) {
        for state in &mut self.states {
            if state.position == from && !state.stopped {
                state.position = to;
            }
        }
    }
}
