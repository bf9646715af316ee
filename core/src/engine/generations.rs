//! Generations: which rows of a view count, and what becomes of those of another module.
//!
//! Owns what is taken over from a checkpoint, what is built beside it, and what is deleted. Refuses
//! to know how rows are made.
//!
//! A generation belongs to one (view, revision): its number is twice the revision, or one more. A
//! rebuild at the same revision builds the other of the two beside the one that serves. Rows of the
//! revision before are left asleep, at the position where they were left: the module that made them
//! may come back, and then goes on with them. Those of any earlier one are deleted, so that at most
//! two generations of a view are kept.
//!
//! Invariant: rows of a generation are written only when the store holds none of its former ones.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::cache::ViewId;
use super::views::{Building, Kind, ViewState, Views};
use crate::protocol::View;

/// What a checkpoint says of views.
#[derive(Debug, Default)]
pub struct Kept<'a> {
    pub states: Vec<ViewState>,
    pub asleep: Vec<ViewState>,
    pub garbage: Vec<View>,
    /// Settings that hold at the checkpoint's position, and at genesis.
    pub settings: &'a str,
    pub first_settings: &'a str,
}

fn same(a: &ViewState, b: &ViewState) -> bool {
    a.kind == b.kind && a.name == b.name && a.revision == b.revision
}

impl Views {
    /// Takes over what a checkpoint keeps; false when its rows are of no use. A view that is new, or
    /// has another revision now, goes on where its generation was left, or starts anew; either way
    /// behind the others, which serve.
    pub fn restore(&mut self, kept: Kept<'_>) -> bool {
        let known = |state: &ViewState| kept.states.iter().any(|other| same(state, other));
        if !self.states.iter().filter(|state| state.kind == Kind::Own).all(known) {
            return false;
        }
        // Names alone do not tell kinds apart in the store: such rows are folded again.
        let moved = |old: &ViewState| {
            self.states.iter().any(|state| state.name == old.name && state.kind != old.kind)
        };
        if kept.states.iter().chain(&kept.asleep).any(moved) {
            return false;
        }
        self.garbage = kept.garbage;
        for old in kept.states.into_iter().chain(kept.asleep) {
            self.take_over(old, kept.settings);
        }
        let garbage = &self.garbage;
        let used = |state: &ViewState| state.stored().any(|view| garbage.contains(&view));
        for state in self.states.iter_mut().filter(|state| state.position == 0 && used(state)) {
            // Its former rows are not deleted yet: the other number has none, or all are too many.
            state.generation ^= 1;
            if used(state) {
                return false;
            }
        }
        for state in self.states.iter_mut().filter(|state| state.position == 0) {
            state.settings = kept.first_settings.to_string();
        }
        true
    }

    /// A generation of the module before: it is this one's, or may be of use again, or goes.
    fn take_over(&mut self, mut old: ViewState, settings: &str) {
        if let Some(state) = self.states.iter_mut().find(|state| same(state, &old)) {
            *state = old;
            return;
        }
        let named = |state: &ViewState| state.name == old.name;
        if self.states.iter().any(named) && !self.asleep.iter().any(named) {
            if old.settings.is_empty() {
                old.settings = settings.to_string();
            }
            let building = old.building.take();
            self.garbage.extend(
                building
                    .map(|Building { generation, .. }| View { name: old.name.clone(), generation }),
            );
            self.asleep.push(old);
        } else {
            self.garbage.extend(old.stored());
        }
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

    /// Generations that slices work on, with the log at `head`: index of the state, view, and how
    /// far it got. One that is being rebuilt, else one that serves but is behind.
    pub fn behind(&self, head: u64) -> impl Iterator<Item = (usize, ViewId, u64)> {
        let derived = self.states.iter().enumerate().skip(Self::first_derived());
        derived.filter_map(move |(index, state)| {
            if let Some(building) = &state.building {
                return Some((index, self.number(index, building.generation), building.position));
            }
            let behind = state.position < head && !state.stopped;
            behind.then(|| (index, self.number(index, state.generation), state.position))
        })
    }

    /// The generations that serve, with the log at `head`.
    pub fn serving(&self, head: u64) -> Vec<View> {
        let whole = self.states.iter().filter(|state| state.stopped || state.position == head);
        let serving = |state: &ViewState| ViewState { building: None, ..state.clone() };
        whole.flat_map(|state| serving(state).stored().collect::<Vec<_>>()).collect()
    }

    /// Starts to build the other generation of a projection, or goes on with it.
    pub fn start_rebuild(&mut self, projection: usize) {
        let state = self.projection_mut(projection);
        if let Some(state) = state.filter(|state| state.building.is_none()) {
            let generation = state.generation ^ 1;
            state.building = Some(Building { generation, position: 0, rows: 0 });
        }
    }

    /// Gives up the generation of a state that is being built, and tells which that was.
    pub fn abandon(&mut self, index: usize) -> Option<ViewId> {
        let state = self.states.get_mut(index)?;
        let generation = state.building.take()?.generation;
        let name = state.name.clone();
        self.garbage.push(View { name, generation });
        Some(self.number(index, generation))
    }

    /// Lets the generation that was built serve, and tells which one did before.
    pub fn flip(&mut self, index: usize) -> Option<ViewId> {
        let state = self.states.get_mut(index)?;
        let Building { generation, position, rows } = state.building.take()?;
        let before = core::mem::replace(&mut state.generation, generation);
        (state.position, state.rows, state.stopped) = (position, rows, false);
        let name = state.name.clone();
        self.garbage.push(View { name, generation: before });
        Some(self.number(index, before))
    }

    /// Moves every view that is at `from` to `to`, but for those that stopped.
    pub fn advance(&mut self, from: u64, to: u64) {
        for state in &mut self.states {
            if state.position == from && !state.stopped {
                state.position = to;
                state.settings.clear();
            }
        }
    }
}
