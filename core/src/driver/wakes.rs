//! Wakes: when the system's own commands get their turn, beside clients and slices.
//!
//! Owns what the driver remembers of them, and what a host asks between batches: is there anything
//! to do, and when ([`Partition::work_due`], [`Partition::work`]). Refuses to know what is due:
//! the log says that, and the guest reads it.
//!
//! Invariant: nothing here has to survive. Whoever opens the partition stages a wake, and that
//! finds all that waits. With test stamps timers and slices run in `POST /test/wake` only.

use super::{OwnedRequest, Partition, Reply, Spawn, Store, World};
use crate::errors::Code;
use crate::protocol::{Kind, Outcome, Response};
use crate::time::Time;

/// What is known of what waits.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    /// Something may be due at once.
    due: bool,
    /// When the next timer falls due, by the raw clock.
    at: Option<Time>,
    /// Wakes that came to nothing one after the other, and until when none is tried.
    failures: u32,
    wait_until_micros: u64,
    /// A test asked for all that is due.
    woken: bool,
}

/// The wait after the first failure; it doubles to 256 times that.
const WAIT_MICROS: u64 = 100_000;
/// A host asks again after so long: the raw clock may be set meanwhile.
const ASK_AGAIN_MICROS: u64 = 60_000_000;
/// A test's wake ends after so many batches, whatever still is due.
const TEST_BATCHES_MAX: u32 = 10_000;

impl Wakes {
    /// An instance was opened, or views serve now that did not: something may be due.
    pub(super) const fn opened(&mut self, any: bool) {
        self.due = any;
    }
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Whether [`Self::work`] should be called, and in how many microseconds. A host asks when it
    /// is idle, and after each batch.
    pub fn work_due(&mut self) -> Option<u64> {
        let (wake, slice) = (self.wake_due(), self.slices_due());
        wake.into_iter().chain(slice).min()
    }

    /// Does some milliseconds of what is due. What went wrong is told by [`Self::take_failures`].
    pub fn work(&mut self) {
        if self.wake_due() == Some(0) {
            self.run_wakes(self.timers_run());
        } else if self.slices_due() == Some(0) {
            self.slice();
        }
    }

    /// Whether timers run by themselves.
    pub(super) const fn timers_run(&self) -> bool {
        self.config.test_stamps.is_none() || self.wakes.woken
    }

    pub(super) fn wake_due(&mut self) -> Option<u64> {
        if self.held() {
            return None;
        }
        let due = match self.wakes.at.filter(|_| self.timers_run()) {
            _ if self.wakes.due => 0,
            Some(at) => at.0.saturating_sub(self.world.clock().0).saturating_mul(1_000),
            None => return None,
        };
        let wait = match self.wakes.failures {
            0 => 0,
            _ => self.wakes.wait_until_micros.saturating_sub(self.world.micros()),
        };
        Some(due.max(wait).min(ASK_AGAIN_MICROS))
    }

    /// Takes in what a staged input says of what waits.
    pub(super) fn note_wakes(&mut self, outcome: &Outcome) {
        match outcome.kind {
            Kind::System => {
                self.wakes.due = outcome.wake;
                self.wakes.at = outcome.wake_at;
                self.wakes.failures = 0;
            }
            _ => self.wakes.due |= outcome.wake,
        }
    }

    /// A wake trapped, and could not even refuse what is due.
    pub(super) fn wake_failed(&mut self) {
        let doublings = self.wakes.failures.min(8);
        let wait = WAIT_MICROS.saturating_mul(1_u64.wrapping_shl(doublings));
        self.wakes.wait_until_micros = self.world.micros().saturating_add(wait);
        self.wakes.failures = self.wakes.failures.saturating_add(1);
    }

    /// `POST /test/wake {"advanceMs":n}`, present with test stamps only.
    pub(super) fn wake_for_test(&mut self, request: &OwnedRequest) -> Option<Reply> {
        let stamps = self.config.test_stamps.as_mut()?;
        let path = request.target.strip_prefix("/p/").and_then(|rest| rest.split_once('/'));
        let path = path.map_or(request.target.as_str(), |(_, path)| path).trim_start_matches('/');
        if request.method != "POST" || path != "test/wake" {
            return None;
        }
        let body =
            if let super::OwnedBody::Whole(body) = &request.body { body.as_slice() } else { &[] };
        let advance = core::str::from_utf8(body).ok().and_then(|text| {
            text.trim()
                .strip_prefix("{\"advanceMs\":")?
                .strip_suffix('}')?
                .trim()
                .parse::<u64>()
                .ok()
        });
        let Some(advance) = advance else {
            return Some(Reply::problem(
                Code::InvalidField,
                "the body is {\"advanceMs\": milliseconds}",
            ));
        };
        stamps.offset_ms = stamps.offset_ms.saturating_add(advance);
        self.wakes.woken = true;
        let headers = alloc::vec![("Content-Type".into(), "application/json".into())];
        let response = Response { status: 200, headers, body: b"{\"ok\":true}".to_vec() };
        Some(Reply { response, export: None })
    }

    /// Does all that is due when a test asked for it, after the batch is stored.
    pub(super) fn work_of_test(&mut self) {
        if !self.wakes.woken {
            return;
        }
        self.wakes.due = true;
        for _ in 0..TEST_BATCHES_MAX {
            if self.wakes.due {
                self.run_wakes(true);
            }
            self.all_slices();
            if !self.wakes.due || self.wakes.failures > 0 {
                break;
            }
        }
        self.wakes.woken = false;
    }
}
