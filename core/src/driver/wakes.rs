//! Wakes: when the system's own commands and effects get their turn, beside clients and slices.
//!
//! Owns what the driver remembers of them, and what a host asks between batches: is there anything
//! to do, and when ([`Partition::work_due`], [`Partition::work`]), and what is there to attempt
//! ([`Partition::take_effects`], answered by [`Partition::effect_ended`]). Refuses to know what is
//! due: the log says that, and the guest reads it.
//!
//! Invariants: nothing here has to survive. Whoever opens the partition stages a wake, and that
//! finds all that waits. An effect is handed out after the commit that asks for it is stored, and
//! not again before its attempt ended. With test stamps timers, effects and slices run in
//! `POST /test/wake` only.

use alloc::collections::BTreeSet;
use alloc::string::String;
use alloc::vec::Vec;

use super::batch::TRAPS_MAX;
use super::{OwnedRequest, Partition, Reply, Spawn, Store, World};
use crate::errors::Code;
use crate::protocol::{Due, EffectCall, EffectResult, Kind, Outcome, Response, Wake};
use crate::time::Time;

/// What is known of what waits.
#[derive(Debug, Default)]
pub(super) struct Wakes {
    /// Something may be due at once.
    due: bool,
    /// When the next timer falls due, by the raw clock.
    at: Option<Time>,
    /// Commands up to this one wait for a view, and so do those that are due at once up to that.
    after: Option<Due>,
    after_now: Option<Due>,
    /// The command that trapped last, and how often.
    trapped: Option<((u64, u32), u8)>,
    /// Wakes that came to nothing one after the other, and until when none is tried.
    failures: u32,
    wait_until_micros: u64,
    /// A test asked for all that is due.
    woken: bool,
    /// Effects that are being attempted, or are about to be.
    running: BTreeSet<(u64, u32)>,
    /// Those of them that the host did not take yet.
    ready: Vec<EffectCall>,
    /// What attempts came to, not yet settled.
    results: Vec<EffectResult>,
}

/// The wait after the first failure; it doubles to 256 times that.
const WAIT_MICROS: u64 = 100_000;
/// A host asks again after so long: the raw clock may be set meanwhile.
const ASK_AGAIN_MICROS: u64 = 60_000_000;
/// A test's wake ends after so many batches, whatever still is due.
const TEST_BATCHES_MAX: u32 = 10_000;

impl Wakes {
    /// An instance was opened or dropped, or views serve now that did not: something may be due,
    /// of what waited for a view too.
    pub(super) const fn opened(&mut self, any: bool) {
        self.due = any;
        (self.after, self.after_now) = (None, None);
    }

    /// The message of a wake.
    pub(super) fn message(&self, timers: bool, running_max: u32) -> Wake {
        let count = u32::try_from(self.running.len()).unwrap_or(u32::MAX);
        let trapped = self.trapped.filter(|(_, times)| *times >= TRAPS_MAX);
        Wake {
            timers,
            after: self.after,
            trapped: trapped.map(|(which, _)| which),
            silent: trapped.is_some_and(|(_, times)| times > TRAPS_MAX),
            running: self.running(),
            room: running_max.saturating_sub(count),
        }
    }

    /// This command trapped while it was done, refused, or refused without its manager; false when
    /// there is nothing left to try.
    pub(super) fn trapped(&mut self, which: (u64, u32)) -> bool {
        let before = self.trapped.filter(|(other, _)| *other == which).map_or(0, |(_, n)| n);
        let times = before.saturating_add(1);
        self.trapped = Some((which, times));
        times <= TRAPS_MAX.saturating_add(1)
    }

    /// What a wake found is stored.
    pub(super) const fn done(&mut self) {
        self.failures = 0;
    }

    /// The effects that are being attempted.
    pub(super) fn running(&self) -> Vec<(u64, u32)> {
        self.running.iter().copied().collect()
    }

    /// What a wake handed out can be attempted: all that led to it is stored.
    pub(super) fn stored(&mut self, effects: &mut Vec<EffectCall>) {
        self.ready.append(effects);
    }

    /// A batch was given up, and with it what its wakes handed out.
    pub(super) fn not_stored(&mut self, outcome: &Outcome) {
        for effect in &outcome.effects {
            self.running.remove(&(effect.position, effect.n));
        }
        self.due |= !outcome.effects.is_empty();
    }

    /// An attempt is over: there is room for another, or for the same again if it was not settled.
    pub(super) fn stopped(&mut self, result: &EffectResult) {
        self.running.remove(&(result.position, result.n));
        self.due = true;
    }
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Whether [`Self::work`] should be called, and in how many microseconds. A host asks when it
    /// is idle, and after each batch.
    pub fn work_due(&mut self) -> Option<u64> {
        let result = (!self.wakes.results.is_empty()).then_some(0);
        let (wake, slice) = (self.wake_due(), self.slices_due());
        let beside = self.deliveries_due().into_iter().chain(self.journal_due());
        result.into_iter().chain(wake).chain(slice).chain(beside).min()
    }

    /// Effects to attempt now, each once; the host tells of every one how that ended.
    pub fn take_effects(&mut self) -> Vec<EffectCall> {
        core::mem::take(&mut self.wakes.ready)
    }

    /// How many effects are being attempted.
    pub fn effects_running(&self) -> usize {
        self.wakes.running.len()
    }

    /// What an attempt came to; [`Self::work`] settles it.
    /// `came_to` is how it was done (no text where there is one way only), or why not.
    pub fn effect_ended(&mut self, (position, n): (u64, u32), came_to: Result<&str, String>) {
        let (detail, error) = match came_to {
            Ok(detail) => (Some(detail.into()).filter(|text: &String| !text.is_empty()), None),
            Err(error) => (None, Some(error)),
        };
        let result = EffectResult { position, n, error, detail, trapped: false };
        self.wakes.results.push(result);
    }

    /// The host waits for none of the attempts under way: whoever opens the partition next makes
    /// them again.
    pub fn effects_given_up(&mut self) {
        self.wakes.due |= !self.wakes.running.is_empty();
        self.wakes.running.clear();
        self.wakes.ready.clear();
    }

    /// When [`Self::work`] is to be called next, by the raw clock, for a host that closes it now.
    pub fn next_due(&mut self) -> Option<Time> {
        let result = (!self.wakes.results.is_empty()).then_some(0);
        let (wake, slice) = (self.wake_in(), self.slices_due());
        let beside = self.deliveries_due().into_iter().chain(self.journal_due());
        let micros = result.into_iter().chain(wake).chain(slice).chain(beside).min()?;
        Some(self.world.clock().after_ms(micros.div_ceil(1_000)))
    }

    /// What of the system's own work fails over and over, for `GET /health`.
    pub(super) const fn stuck(&self) -> Option<&'static str> {
        if self.wakes.failures > 1 {
            Some("the system's own commands can not be done; they are tried again")
        } else if self.slices.failures > 1 {
            Some("rows of projections can not be built; it is tried again")
        } else if self.deliveries.is_stuck() {
            Some("events can not be delivered to consumers; it is tried again")
        } else {
            None
        }
    }

    /// Opens it, so that what waits is known. What keeps it from that is told like the rest.
    pub fn wake(&mut self) {
        if let Err(failure) = self.open() {
            self.give_up(None, &failure);
        }
    }

    /// Does some milliseconds of what is due. What went wrong is told by [`Self::take_failures`].
    pub fn work(&mut self) {
        if self.journal_due() == Some(0) {
            self.save_rejected();
        }
        let results = core::mem::take(&mut self.wakes.results);
        if !results.is_empty() {
            self.run_results(results);
        } else if self.wake_due() == Some(0) {
            self.run_wakes(self.timers_run());
        } else if self.deliveries_turn() {
            self.deliver();
        } else if self.slices_due() == Some(0) {
            return self.slice();
        }
        // What keeps the partition from working keeps it from waking too.
        if self.trouble.is_some() {
            self.wake_failed();
        }
    }

    /// Whether timers run by themselves.
    pub(super) const fn timers_run(&self) -> bool {
        self.config.test_stamps.is_none() || self.wakes.woken
    }

    pub(super) fn wake_due(&mut self) -> Option<u64> {
        self.wake_in().map(|micros| micros.min(ASK_AGAIN_MICROS))
    }

    fn wake_in(&mut self) -> Option<u64> {
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
        Some(due.max(wait))
    }

    /// Takes in what a staged input says of what waits.
    pub(super) fn note_wakes(&mut self, outcome: &Outcome, wake: bool) {
        match outcome.kind {
            Kind::System if wake => {
                self.wakes.due = outcome.wake;
                self.wakes.at = outcome.wake_at;
                match outcome.passed {
                    Some(due) => {
                        self.wakes.after = Some(due);
                        if due.at == Time(0) {
                            self.wakes.after_now = Some(due);
                        }
                    }
                    // All was looked at. What is asked for from now on is due at once and comes
                    // before the timers, but after whatever was due at once before.
                    None if outcome.proposed.is_none() => self.wakes.after = self.wakes.after_now,
                    None => {}
                }
                let handed = outcome.effects.iter().map(|effect| (effect.position, effect.n));
                self.wakes.running.extend(handed);
            }
            _ => self.wakes.due |= outcome.wake,
        }
    }

    /// A wake came to nothing: the next one waits.
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
        Some(Reply::of(response))
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
            self.deliver_for_test();
            if !self.wakes.due || self.wakes.failures > 0 {
                break;
            }
        }
        self.wakes.woken = false;
    }
}
