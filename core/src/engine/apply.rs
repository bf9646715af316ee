//! Applying a commit to rows: the one fold behind staging, recovery, replay and rebuild.
//!
//! Owns which rows a commit changes: the index postings, the projections, the idempotency entry, the
//! counters; the stream's own is in `streams`. Refuses to decide anything; process managers do not
//! run here.
//!
//! Invariant: what it changes follows from the rows before and the commit alone.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::cell::Cell;

use super::access::Access;
use super::cache::{KeyRef, ViewId};
use super::keys::{
    Expiry, KeyEntry, drop_expired, event_row, expired, expiry_row, idempotency_days, key_row,
};
use super::overlay::{Overlay, Target};
use super::postings::Appended;
use super::snapshots::Policy;
use super::views::{FAULTS, IDEMPOTENCY, POSTINGS};
use super::{Doing, Engine, Fault, Head, doing, done, pending, postings};
use crate::commit::Commit;
use crate::protocol::{Quarantined, Query};
use crate::read::{self, Stop};
use crate::record::{Decoded, Record};
use crate::time::Time;

/// Why a stored commit was not folded.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum FoldStop {
    /// These reads are missing.
    Need(Vec<Query>),
    /// The commit does not follow from the ones before.
    Corrupt(String),
}

/// A commit's changes, ready to be taken in.
#[derive(Debug)]
pub struct Taken {
    overlay: Overlay,
    folded: Folded,
    /// The genesis line, when this is the first commit of a log.
    pub(super) genesis: Option<String>,
}

impl Taken {
    pub(super) fn new(access: Access<'_>, folded: Folded) -> Self {
        Self { overlay: access.overlay, folded, genesis: None }
    }

    /// Whether it opens or closes anything that waits.
    pub(super) const fn changes_pending(&self) -> bool {
        self.folded.pending.any
    }

    /// Whether consumers come, go or change.
    pub(super) const fn changes_consumers(&self) -> bool {
        self.folded.consumers.1
    }

    /// The topics that get events, when there are consumers.
    pub(super) fn topics(&self) -> &[String] {
        &self.folded.topics
    }
}

/// A name to count under: the registry's own where it knows it, so that counting copies nothing.
type Name = Cow<'static, str>;

/// What a commit changes beside rows.
#[derive(Debug, Default)]
pub struct Folded {
    position: u64,
    time: Time,
    settings: Option<String>,
    guest: Option<String>,
    pub(super) created: Vec<Name>,
    pub(super) event_types: Vec<Name>,
    oldest_key: Option<Option<(u64, Time)>>,
    /// Snapshots taken on request that are kept more than before, and any that were taken anew.
    snapshots: (i64, u64),
    /// The policy, when this commit brings another one.
    policy: Option<Policy>,
    faults: Vec<(ViewId, Fault)>,
    /// The log goes on under another incarnation.
    pub(super) incarnation: Option<[u8; 16]>,
    /// Pending rows that came and went.
    pub(super) pending: pending::Change,
    /// Consumers that came, less those that went; and whether any of them changed.
    pub(super) consumers: (i64, bool),
    /// Topics that get events, when there are consumers.
    pub(super) topics: Vec<String>,
}

impl Folded {
    /// No commit: rows change, and what is counted of snapshots.
    pub(super) fn rows_alone(head: &Head, snapshots: (i64, u64)) -> Self {
        Self { position: head.position, time: head.time, snapshots, ..Self::default() }
    }

    /// The policy that holds for the commit.
    pub(super) fn policy<'p>(&'p self, engine: &'p Engine) -> &'p Policy {
        self.policy.as_ref().unwrap_or(&engine.policy)
    }
}

/// Called with each record when the rows are as of it, but for those of views that stopped.
pub(super) type After<'f> =
    &'f mut dyn FnMut(&mut Access<'_>, &Record<'_>, &[(ViewId, Fault)]) -> Result<(), Stop>;

/// Applies a stored commit: nothing reacts to it, what it records is opened and closed.
pub fn apply_stored(
    engine: &Engine,
    access: &mut Access<'_>,
    commit: &Commit<'_>,
) -> Result<Folded, FoldStop> {
    let folded = apply(engine, access, commit, None)?;
    pending::take(engine, access, commit, folded)
}

/// Applies a commit to the rows that `access` sees, but for what it opens and closes. Misses are
/// left in `access`. One that is being made has somebody who looks at it.
pub fn apply(
    engine: &Engine,
    access: &mut Access<'_>,
    commit: &Commit<'_>,
    mut after: Option<After<'_>>,
) -> Result<Folded, FoldStop> {
    let expected = engine.head.position.saturating_add(1);
    let corrupt = |what: &str| FoldStop::Corrupt(format!("position {}: {what}", commit.position));
    if commit.position != expected {
        return Err(corrupt(&format!("position {expected} was expected")));
    }
    let time = Time::parse_iso(&commit.time).ok_or_else(|| corrupt("its time can not be read"))?;
    if time < engine.head.time {
        return Err(corrupt("its time is before that of the commit before"));
    }
    if commit.events.is_empty() {
        return Err(corrupt("it has no events"));
    }
    let settings = commit.settings.map(ToString::to_string);
    let mut folded = Folded {
        position: commit.last_position(),
        time,
        policy: settings.as_deref().map(|text| Policy::of(text, &engine.registry)),
        settings,
        guest: commit.guest.as_deref().map(ToString::to_string),
        ..Folded::default()
    };
    let missed = Cell::new(false);
    let mut note = |result: Result<(), Stop>| match result {
        Ok(()) => Ok(()),
        Err(Stop::Miss) => {
            missed.set(true);
            Ok(())
        }
        Err(Stop::Fault(what)) => Err(corrupt(&what)),
    };
    let room = Decoded::room(commit);
    for record in Record::all(commit, time, &room) {
        note(engine.apply_stream(access, &record, &mut folded, after.is_some()))?;
        note(apply_postings(access, &record))?;
        if let Some(id) = &record.event.id {
            note(access.put(IDEMPOTENCY, &event_row(id), &record.position))?;
        }
        apply_projections(engine, access, &record, &mut folded, &mut note)?;
        // Rows that are not all there are not rows as of the record.
        if let Some(after) = after.as_mut().filter(|_| !missed.get()) {
            note(after(access, &record, &folded.faults))?;
        }
    }
    if let Some(id) = &commit.correlation_id {
        for position in commit.position..=commit.last_position() {
            note(postings::append(
                access,
                POSTINGS,
                &[postings::CORRELATION, id.as_bytes()],
                position,
            ))?;
        }
    }
    note(apply_key(engine, access, commit, time, &mut folded))?;
    if missed.get() { Err(FoldStop::Need(Vec::new())) } else { Ok(folded) }
}

fn apply_postings(access: &mut Access<'_>, record: &Record<'_>) -> Result<(), Stop> {
    let terms = [
        [postings::STREAM, record.event.stream.as_bytes()],
        [postings::CATEGORY, record.aggregate_type.as_bytes()],
        [postings::EVENT_TYPE, record.event_type().as_bytes()],
    ];
    // All three are tried before a miss is told, so that one round supplies them all.
    let results = terms.map(|term| postings::append(access, POSTINGS, &term, record.position));
    results.into_iter().collect()
}

fn apply_projections(
    engine: &Engine,
    access: &mut Access<'_>,
    record: &Record<'_>,
    folded: &mut Folded,
    note: &mut impl FnMut(Result<(), Stop>) -> Result<(), FoldStop>,
) -> Result<(), FoldStop> {
    for (index, projection) in engine.registry.projections.iter().enumerate() {
        let view = engine.views.projection(index);
        // A view that stopped earlier, or is still being built, stays behind the head.
        let head = engine.head.position;
        let state = engine.views.state(view);
        let behind = state.is_none_or(|state| state.stopped || state.position != head);
        if behind || folded.faults.iter().any(|(faulted, _)| *faulted == view) {
            continue;
        }
        let trapped = engine.trapped(Quarantined::projection(index), record.position);
        let result = match trapped {
            Some(reason) => Err(Stop::Fault(reason.into())),
            None => {
                let before = doing(Doing::Projection(index, record.position));
                let mark = access.overlay.begin();
                let result = projection.apply(record, &mut read::Rows::new(access, view));
                access.overlay.end(mark, result.is_err());
                done(before);
                result
            }
        };
        match result {
            Err(Stop::Fault(reason)) => {
                let spec = projection.spec();
                let fault = Fault { position: record.position, reason, revision: spec.revision };
                note(access.put(FAULTS, spec.name.as_bytes(), &fault))?;
                folded.faults.push((view, fault));
            }
            other => note(other)?,
        }
    }
    Ok(())
}

/// The commit's idempotency entry, and those that expired by now.
fn apply_key(
    engine: &Engine,
    access: &mut Access<'_>,
    commit: &Commit<'_>,
    time: Time,
    folded: &mut Folded,
) -> Result<(), Stop> {
    let days = folded.settings.as_deref().map_or(engine.head.idempotency_days, idempotency_days);
    let mut oldest = engine.head.oldest_key;
    if let Some((position, _)) = oldest.filter(|(_, made)| expired(*made, time, days)) {
        oldest = drop_expired(access, position, time, days)?;
        folded.oldest_key = Some(oldest);
    }
    let Some(command) = &commit.command else { return Ok(()) };
    let (Some(key), Some(request)) = (&command.key, &command.request) else { return Ok(()) };
    let request = crate::chain::unhex(request)
        .ok_or_else(|| Stop::Fault("its fingerprint can not be read".into()))?;
    let entry = KeyEntry { position: commit.position, time, request };
    let expiry = Expiry { time, key: key.to_string() };
    access.put(IDEMPOTENCY, &key_row(key), &entry)?;
    access.put(IDEMPOTENCY, &expiry_row(commit.position), &expiry)?;
    if oldest.is_none() {
        folded.oldest_key = Some(Some((commit.position, time)));
    }
    Ok(())
}

impl Engine {
    /// Takes a commit's changes in. Can not fail.
    pub(super) fn take_in(&mut self, taken: Taken) {
        let mut folded = taken.folded;
        let before = self.head.position;
        self.take_rows(taken.overlay);
        for (view, fault) in folded.faults.drain(..) {
            // Its rows are the fold up to the record before, and stay so.
            if let Some(state) = self.views.state_mut(view) {
                state.position = fault.position.saturating_sub(1);
                state.stopped = true;
            }
            self.faults.insert(view, fault);
        }
        self.views.advance(before, folded.position);
        self.head.position = folded.position;
        self.head.time = folded.time;
        if let Some(settings) = folded.settings.take() {
            self.head.idempotency_days = idempotency_days(&settings);
            self.head.settings = settings;
        }
        if let Some(policy) = folded.policy.take() {
            self.policy = policy;
        }
        self.head.snapshots = self.head.snapshots.saturating_add_signed(folded.snapshots.0);
        self.head.discarded = self.head.discarded.saturating_add(folded.snapshots.1);
        self.head.due_now = self.head.due_now.saturating_add_signed(folded.pending.now);
        self.head.timers = self.head.timers.saturating_add_signed(folded.pending.timers);
        self.head.effects = self.head.effects.saturating_add_signed(folded.pending.effects);
        self.head.consumers = self.head.consumers.saturating_add_signed(folded.consumers.0);
        if let Some(guest) = folded.guest.take() {
            self.head.guest = guest;
        }
        if let Some(incarnation) = folded.incarnation {
            self.head.incarnation = incarnation;
        }
        if let Some(oldest) = folded.oldest_key {
            self.head.oldest_key = oldest;
        }
        for (counts, names) in [
            (&mut self.head.streams, &mut folded.created),
            (&mut self.head.events, &mut folded.event_types),
        ] {
            for name in names.drain(..) {
                match counts.get_mut(name.as_ref()) {
                    Some(count) => *count = count.saturating_add(1),
                    None => {
                        counts.insert(name.into_owned(), 1);
                    }
                }
            }
        }
        self.changed = true;
    }

    /// Takes an attempt's changed rows in.
    pub(super) fn take_rows(&mut self, mut overlay: Overlay) {
        for (target, value) in overlay.changes() {
            match target {
                Target::Slot(slot) => self.cache.change_slot(*slot, value),
                Target::New(view, key) => {
                    self.cache.change(KeyRef { view: *view, bytes: key }, value)
                }
            }
        }
        for (slot, position) in overlay.appends.drain(..) {
            if let (view, Appended::NewRow) = self.cache.append(slot, position) {
                overlay.row_counts.push((view, 1));
            }
        }
        for (view, difference) in overlay.row_counts.drain(..) {
            if let Some(rows) = self.views.rows_mut(view) {
                *rows = rows.saturating_add_signed(difference);
            }
        }
        overlay.clear();
        self.scratch = overlay.into();
    }
}
