//! Slices: building generations of projections between batches, a few milliseconds at a time.
//!
//! Owns when a slice may run, how large it is, and the checkpoints that keep what slices did.
//! Refuses to know what is built, and how hosts find the time for it (`wakes`).
//!
//! With test stamps slices run in `POST /test/wake` only, all of them at once. They run on a log that
//! is held too: they store rows, and reads of it must work.

use super::call::call;
use super::partition::Failure;
use super::{Partition, Spawn, Store, StoreError, World};
use crate::chain::{self, Chain, NO_HASH};
use crate::limits::{SLICE_EVENTS, SLICE_TAILS_MAX};
use crate::protocol::{Answer, Op, Query, SliceStep};

/// What the driver remembers between slices.
#[derive(Debug)]
pub(super) struct Slices {
    /// Events of the next slice.
    events: u32,
    /// Events since the last checkpoint, at most.
    unsaved: u64,
    /// Slices that failed one after the other, and until when none is tried.
    pub(super) failures: u32,
    wait_until_micros: u64,
    /// There was something to do when the instance was dropped.
    lost: bool,
    /// Clients asked for something since the last slice.
    disturbed: bool,
}

impl Default for Slices {
    fn default() -> Self {
        let (unsaved, failures, wait_until_micros) = (0, 0, 0);
        let events = SLICE_EVENTS;
        Self { events, unsaved, failures, wait_until_micros, lost: false, disturbed: false }
    }
}

impl Slices {
    /// A client waits for something: the next slice is a short one.
    pub(super) const fn disturb(&mut self) {
        self.disturbed = true;
    }
}

/// What a slice should take while clients ask for something, and while none does: each costs the
/// same to begin. And the bounds within which its size is adapted to that.
const SLICE_MICROS: u64 = 6_000;
const UNDISTURBED_MICROS: u64 = 8_000;
const EVENTS_MIN: u32 = 16;
const EVENTS_MAX: u32 = 4_096;
/// The wait after the first failure; it doubles to 256 times that.
const WAIT_MICROS: u64 = 100_000;

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Whether [`Self::slice`] should be called now; `Some` with a number: in so many microseconds.
    pub(super) fn slices_due(&mut self) -> Option<u64> {
        let behind = self.live.as_ref().map_or(self.slices.lost, |live| live.behind);
        // Of a log that is held too: rows follow from it, and reads go on.
        if !behind || self.config.test_stamps.is_some() {
            return None;
        }
        if self.slices.failures == 0 {
            return Some(0);
        }
        Some(self.slices.wait_until_micros.saturating_sub(self.world.micros()))
    }

    /// Runs one slice. What went wrong is told by [`Self::take_failures`].
    pub(super) fn slice(&mut self) {
        let started = self.world.micros();
        let disturbed = core::mem::take(&mut self.slices.disturbed);
        let aim = if disturbed { SLICE_MICROS } else { UNDISTURBED_MICROS };
        let result = self.try_slice();
        let micros = self.world.micros().saturating_sub(started);
        match result {
            Ok(()) => {
                self.slices.failures = 0;
                // Where the clock stands still within an event, the size stays as it is.
                let events = u64::from(self.slices.events);
                let fitting = events.saturating_mul(aim).checked_div(micros);
                let fitting = fitting.unwrap_or(events).min(events.saturating_mul(2));
                let fitting = u32::try_from(fitting).unwrap_or(EVENTS_MAX);
                self.slices.events = fitting.clamp(EVENTS_MIN, EVENTS_MAX);
            }
            Err(failure) => self.slice_failed(failure, started.saturating_add(micros)),
        }
    }

    fn slice_failed(&mut self, failure: Failure, now_micros: u64) {
        self.drop_live();
        self.slices.lost = true;
        self.slices.unsaved = 0;
        self.report(&failure);
        let known = match failure {
            Failure::Trap(trap) => self.quarantine(&trap),
            Failure::Store(StoreError::CorruptRow { .. }) => {
                self.rows_damaged = true;
                true
            }
            _ => false,
        };
        if !known {
            self.failed = self.failed.saturating_add(1);
            let doublings = self.slices.failures.min(8);
            let wait = WAIT_MICROS.saturating_mul(1_u64.wrapping_shl(doublings));
            self.slices.wait_until_micros = now_micros.saturating_add(wait);
            self.slices.failures = self.slices.failures.saturating_add(1);
        }
    }

    fn try_slice(&mut self) -> Result<(), Failure> {
        self.open().inspect_err(|failure| self.in_trouble(failure))?;
        let events = self.slices.events;
        let Some(live) = self.live.as_mut().filter(|live| live.behind) else {
            self.slices.lost = false;
            return Ok(());
        };
        let mut step: SliceStep = call(&mut live.guest, Op::Slice, &events)?;
        let (more, checkpoint_due) = loop {
            match step {
                SliceStep::Need(queries) => {
                    let answers = self.store.read(&queries)?;
                    for (query, answer) in queries.iter().zip(&answers) {
                        if let (Query::CommitsAfter { after, .. }, Answer::Commits(lines)) =
                            (query, answer)
                        {
                            check_page(&mut self.store, live.head.genesis, *after, lines)?;
                        }
                    }
                    step = call(&mut live.guest, Op::Supply, &answers)?;
                }
                SliceStep::Done { more, checkpoint_due } => break (more, checkpoint_due),
            }
        };
        live.behind = more;
        if !more {
            // System commands may have waited for what serves now.
            self.wakes.opened(true);
        }
        live.changed = true;
        self.slices.lost = more;
        self.slices.unsaved = self.slices.unsaved.saturating_add(events.into());
        let unsaved_max = self.config.tail_events_max.saturating_mul(SLICE_TAILS_MAX);
        if checkpoint_due || !more || self.slices.unsaved >= unsaved_max {
            self.slices.unsaved = 0;
            self.checkpoint()?;
        }
        Ok(())
    }

    /// Runs all slices there are, for a test.
    pub(super) fn all_slices(&mut self) {
        while self.live.as_ref().map_or(self.slices.lost, |live| live.behind)
            && self.slices.failures < 3
        {
            self.slice();
        }
        self.slices.failures = 0;
    }
}

/// The chain of a page of lines, which starts after position `after`.
fn check_page<T: Store>(
    store: &mut T,
    genesis: chain::Hash,
    after: u64,
    lines: &[alloc::string::String],
) -> Result<(), StoreError> {
    let mut chain = Chain { hash: genesis, position: Some(after) };
    if after > 0 {
        let answers = store.read(&[Query::Commits { positions: alloc::vec![after] }])?;
        if let Some(Answer::Commits(lines)) = answers.first() {
            chain.hash = lines.first().and_then(|line| chain::stored_hash(line)).unwrap_or(NO_HASH);
        }
    }
    for line in lines {
        chain.take(line).map_err(|broken| StoreError::CorruptLog {
            position: broken.position(),
            detail: alloc::string::ToString::to_string(&broken),
        })?;
    }
    Ok(())
}
