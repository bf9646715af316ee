//! Building generations in slices: a bounded step at a time, beside everything else.
//!
//! Owns what a slice works on: first the rows of generations that are of no use any more, then the
//! views that are furthest behind, all of them at once: projections, and what another module left
//! of the states of streams. Refuses to know when slices run and how long they take. A complete
//! generation serves at once; the next checkpoint makes all of that durable in one transaction.
//!
//! Invariant: rows of a generation are written only when the store holds none of its former ones,
//! so what is read of it is what was built.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::access::Access;
use super::cache::{KeyRef, ViewId};
use super::snapshots::Policy;
use super::supplied::Supplied;
use super::views::FAULTS;
use super::{Doing, Engine, Fault, doing, done};
use crate::commit::Commit;
use crate::limits::{SLICE_PAGE_COMMITS, TRIMMED_ROWS_MAX};
use crate::protocol::{Answer, Quarantined, Query, RowChange, View};
use crate::read::{self, Stop};
use crate::record::{Decoded, Record};
use crate::time::Time;

/// Why a slice did not come to its end.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SliceStop {
    /// These reads are missing.
    Need(Vec<Query>),
    /// The log can not be read.
    Corrupt(String),
}

/// A slice under way.
#[derive(Debug)]
pub struct Slice {
    left: u32,
    /// Commits to take in, and which is the next of them.
    lines: Vec<String>,
    next: usize,
    /// When snapshots are taken by the settings that hold at a position.
    policy: Option<(u64, Policy)>,
}

impl Slice {
    /// A slice of at most so many events, or rows to delete.
    pub const fn new(events_max: u32) -> Self {
        Self { left: events_max, lines: Vec::new(), next: 0, policy: None }
    }
}

/// Rows to be deleted by the next checkpoint.
#[derive(Debug, Default)]
pub(super) struct Trimmed {
    rows: Vec<(View, Vec<RowChange>)>,
    count: u32,
    /// Key after which the search for more of them goes on.
    after: Vec<u8>,
}

impl Trimmed {
    /// Hands them out.
    pub fn take(&mut self) -> Vec<(View, Vec<RowChange>)> {
        self.count = 0;
        core::mem::take(&mut self.rows)
    }
}

/// A view that a slice works on: its state, and for a projection its index in the registry.
#[derive(Clone, Copy, Debug)]
struct Target {
    index: usize,
    view: ViewId,
    projection: Option<usize>,
}

impl Engine {
    /// Starts to build a projection anew, unless that is under way.
    pub fn start_rebuild(&mut self, index: usize) {
        self.views.start_rebuild(index);
        let own = [Quarantined::projection(index), Quarantined::building(index)];
        self.quarantined.retain(|quarantine| !own.contains(&quarantine.what));
        self.changed = true;
    }

    /// Whether slices have something to do, with the log at `head`.
    pub fn slices_due(&self, head: u64) -> bool {
        !self.views.garbage().is_empty() || self.views.behind(head).next().is_some()
    }

    /// Whether a checkpoint has to be stored before the next slice.
    pub const fn slice_checkpoint_due(&self) -> bool {
        self.cache.is_full() || self.trimmed.count > 0
    }

    /// Works until the slice is used up, a checkpoint is due, or nothing is left to do.
    pub fn slice(&mut self, slice: &mut Slice, supplied: &mut Supplied) -> Result<(), SliceStop> {
        while slice.left > 0 && !self.cache.is_full() && self.trimmed.count < TRIMMED_ROWS_MAX {
            if let Some(view) = self.views.garbage().first().cloned() {
                self.trim(view, slice, supplied)?;
                continue;
            }
            let (position, targets) = self.targets();
            if targets.is_empty() || self.trimmed.count > 0 {
                break;
            }
            if position >= self.head.position {
                targets.iter().for_each(|target| self.serve(*target));
                continue;
            }
            self.fold_next(slice, supplied, position, &targets)?;
        }
        Ok(())
    }

    /// Finds rows of a generation that is of no use.
    fn trim(
        &mut self,
        view: View,
        slice: &mut Slice,
        supplied: &mut Supplied,
    ) -> Result<(), SliceStop> {
        let limit = slice.left.min(TRIMMED_ROWS_MAX);
        let after_key = self.trimmed.after.clone();
        let query = Query::Rows { view: view.clone(), after_key, prefix: Vec::new(), limit };
        let Some(Answer::Rows(rows)) = supplied.others.remove(&query) else {
            return Err(SliceStop::Need(Vec::from([query])));
        };
        let keys: Vec<Vec<u8>> = rows.into_iter().map(|(key, _)| key).collect();
        let count = u32::try_from(keys.len()).unwrap_or(u32::MAX);
        self.trimmed.after = keys.last().cloned().unwrap_or_default();
        self.trimmed.count = self.trimmed.count.saturating_add(count);
        slice.left = slice.left.saturating_sub(count.max(1));
        if count < limit {
            self.trimmed.after.clear();
            self.views.garbage_gone();
        }
        self.trimmed.rows.push((view, keys.into_iter().map(|key| (key, None)).collect()));
        self.changed = true;
        Ok(())
    }

    /// The views that are furthest behind, and where they are.
    fn targets(&self) -> (u64, Vec<Target>) {
        let all: Vec<_> = self.views.behind(self.head.position).collect();
        let first = all.iter().map(|(.., position)| *position).min().unwrap_or_default();
        let at_first = all.into_iter().filter(|(.., position)| *position == first);
        let target = |(index, view, _): (usize, ViewId, u64)| {
            let projection = index.checked_sub(self.views.first_projection());
            Target { index, view, projection }
        };
        (first, at_first.map(target).collect())
    }

    /// Takes the next commit into the targets.
    fn fold_next(
        &mut self,
        slice: &mut Slice,
        supplied: &mut Supplied,
        position: u64,
        targets: &[Target],
    ) -> Result<(), SliceStop> {
        if slice.lines.get(slice.next).and_then(|line| crate::chain::position(line))
            != Some(position.saturating_add(1))
        {
            let limit = slice.left.min(SLICE_PAGE_COMMITS);
            let query = Query::CommitsAfter { after: position, limit, descending: false };
            let Some(Answer::Commits(lines)) = supplied.others.remove(&query) else {
                return Err(SliceStop::Need(Vec::from([query])));
            };
            (slice.lines, slice.next) = (lines, 0);
        }
        let broken = |what: &str| {
            SliceStop::Corrupt(format!("position {}: {what}", position.saturating_add(1)))
        };
        let line = slice.lines.get(slice.next).map(String::as_str).unwrap_or_default();
        let commit = Commit::parse(line).map_err(|e| broken(&format!("{e}")))?;
        if commit.position != position.saturating_add(1) {
            return Err(broken("the log has a gap"));
        }
        let time = Time::parse_iso(&commit.time).ok_or_else(|| broken("its time"))?;
        let (to, events) = (commit.last_position(), commit.events.len());
        let policy = self.policy_at(slice.policy.take(), position, targets, &commit);
        let faults = self.apply_to(supplied, targets, (&commit, time), &policy)?;
        slice.policy = Some((to, policy));
        slice.next = slice.next.saturating_add(1);
        slice.left = slice.left.saturating_sub(u32::try_from(events).unwrap_or(u32::MAX));
        // Ranges were supplied as of before this commit.
        supplied.forget();
        for target in targets {
            match faults.iter().find(|(view, _)| *view == target.view) {
                Some((_, fault)) => self.fail(*target, fault.clone()),
                None => self.reach(*target, to, commit.settings),
            }
        }
        self.changed = true;
        Ok(())
    }

    /// When snapshots are taken after this commit, which follows `position`.
    fn policy_at(
        &self,
        known: Option<(u64, Policy)>,
        position: u64,
        targets: &[Target],
        commit: &Commit<'_>,
    ) -> Policy {
        let known = known.filter(|(at, _)| *at == position && commit.settings.is_none());
        known.map_or_else(
            || {
                let state = targets.first().and_then(|target| self.views.states.get(target.index));
                let settled = state.map_or("", |state| state.settings.as_str());
                Policy::of(commit.settings.unwrap_or(settled), &self.registry)
            },
            |(_, policy)| policy,
        )
    }

    /// Applies a commit's records to the targets' rows; tells which of them failed.
    fn apply_to(
        &mut self,
        supplied: &Supplied,
        targets: &[Target],
        (commit, time): (&Commit<'_>, Time),
        policy: &Policy,
    ) -> Result<Vec<(ViewId, Fault)>, SliceStop> {
        let room = Decoded::room(commit);
        let mut access = self.access(supplied);
        let mut faults: Vec<(ViewId, Fault)> = Vec::new();
        let mut missed = false;
        for record in Record::all(commit, time, &room) {
            let known = self.registry.by_type(record.aggregate_type);
            for target in targets {
                if faults.iter().any(|(faulted, _)| *faulted == target.view) {
                    continue;
                }
                let result = match target.projection {
                    Some(projection) => {
                        self.apply_projection(&mut access, projection, target.view, &record)
                    }
                    None if self.view_of(known) == target.view => {
                        self.fold_stream(&mut access, &record, known, (policy, false))
                    }
                    None => Ok(()),
                };
                match (result, target.projection) {
                    (Ok(()), _) => {}
                    (Err(Stop::Miss), _) => missed = true,
                    (Err(Stop::Fault(reason)), Some(index)) => {
                        let revision = self.registry.projections.get(index);
                        let revision = revision.map_or(0, |p| p.spec().revision);
                        let fault = Fault { position: record.position, reason, revision };
                        faults.push((target.view, fault));
                    }
                    (Err(Stop::Fault(what)), None) => {
                        let what = format!("position {}: {what}", record.position);
                        return Err(SliceStop::Corrupt(what));
                    }
                }
            }
        }
        if missed {
            return Err(SliceStop::Need(access.take_misses()));
        }
        let overlay = access.overlay;
        self.take_rows(overlay);
        Ok(faults)
    }

    fn apply_projection(
        &self,
        access: &mut Access<'_>,
        index: usize,
        view: ViewId,
        record: &Record<'_>,
    ) -> Result<(), Stop> {
        let Some(projection) = self.registry.projections.get(index) else { return Ok(()) };
        if let Some(reason) = self.trapped(Quarantined::building(index), record.position) {
            return Err(Stop::Fault(reason.into()));
        }
        let before = doing(Doing::Building(index, record.position));
        let mark = access.overlay.begin();
        let result = projection.apply(record, &mut read::Rows::new(access, view));
        access.overlay.end(mark, result.is_err());
        done(before);
        result
    }

    fn reach(&mut self, target: Target, position: u64, settings: Option<&str>) {
        let Some(state) = self.views.states.get_mut(target.index) else { return };
        match &mut state.building {
            Some(building) => building.position = position,
            None => {
                state.position = position;
                if let Some(settings) = settings {
                    state.settings = settings.to_string();
                }
            }
        }
    }

    /// The projection failed: what was being built is given up, what served goes on as before.
    fn fail(&mut self, target: Target, mut fault: Fault) {
        let Some(state) = self.views.states.get_mut(target.index) else { return };
        if state.building.is_none() {
            state.position = fault.position.saturating_sub(1);
            state.stopped = true;
        } else if !state.stopped {
            fault.reason = format!("rebuilding it failed at {}: {}", fault.position, fault.reason);
        }
        let name = state.name.clone();
        if let Some(abandoned) = self.views.abandon(target.index) {
            self.cache.forget(abandoned);
        }
        let row = postcard::to_allocvec(&fault).unwrap_or_default();
        self.cache.change(KeyRef { view: FAULTS, bytes: name.as_bytes() }, Some(&row));
        self.faults.insert(self.views.projection(target.projection.unwrap_or_default()), fault);
    }

    /// The generation is complete: it serves from now on.
    fn serve(&mut self, target: Target) {
        let Some(before) = self.views.flip(target.index) else { return };
        self.cache.forget(before);
        for view in [before, target.view] {
            self.faults.remove(&view);
        }
        let name = self.views.state(target.view).map(|state| state.name.to_string());
        let name = name.unwrap_or_default();
        self.cache.change(KeyRef { view: FAULTS, bytes: name.as_bytes() }, None);
        self.changed = true;
    }
}
