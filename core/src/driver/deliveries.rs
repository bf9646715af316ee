//! Deliveries: events of topics on their way to consumers, beside clients, wakes and slices.
//!
//! Owns what a host asks of them ([`Partition::take_deliveries`], answered by
//! [`Partition::delivery_ended`]), and the saving of places. How a delivery looks is in `post`.
//! Whose turn it is `dispatch` knows; what there is to deliver, the guest.
//!
//! Invariants: what is delivered is stored. Nothing of a log that is held is delivered. Places are
//! rows of a view of their own, stored beside the log and never with a checkpoint: losing them costs
//! deliveries made again. With test stamps deliveries begin in `POST /test/wake` only.

mod post;

use alloc::string::String;
use alloc::vec::Vec;

use super::call::stage;
use super::dispatch::{CameTo, Dispatch, Wanted};
use super::notes::{Note, Notes};
use super::partition::Failure;
use super::{Partition, Spawn, Store, StoreError, World, Write};
use crate::engine::consumers::{cursor_key, cursors_view};
use crate::protocol::consumers::{self as messages, Consumer, Dispatched, Page, SECRET_HOLE};
use crate::protocol::{Input, Outcome, Process, Response, Stamp, What};
use crate::settings::Secret;
use crate::webhook::Key;
pub use post::DeliveryCall;

/// What the driver remembers of deliveries.
#[derive(Debug)]
pub(super) struct Deliveries {
    dispatch: Dispatch,
    /// Who there is has to be asked for; and whether the log may have grown unseen.
    unlisted: bool,
    grown: bool,
    /// Consumers that come or go are news: they were listed before.
    listed_once: bool,
    /// What the host did not take yet: number, how much of it the log went through, body.
    ready: Vec<Ready>,
    /// Turns that came to nothing one after the other, and until when none is tried.
    failures: u32,
    wait_until_micros: u64,
    /// A test asked for all that is due.
    pub(super) woken: bool,
    /// Something else had to wait for the last turn.
    yields: bool,
}

#[derive(Debug)]
struct Ready {
    id: u64,
    after: u64,
    page: Page,
}

/// The wait after the first failure; it doubles to 256 times that.
const WAIT_MICROS: u64 = 100_000;
/// What a turn should take, and the pages it reads at most: not all hosts have a clock for that.
const TURN_MICROS: u64 = 5_000;
const TURN_PAGES: u32 = 32;

impl Deliveries {
    pub(super) fn new(slots_max: u32) -> Self {
        Self {
            dispatch: Dispatch::new(slots_max),
            unlisted: false,
            grown: false,
            listed_once: false,
            ready: Vec::new(),
            failures: 0,
            wait_until_micros: 0,
            woken: false,
            yields: false,
        }
    }

    /// An instance was opened over a log with consumers, or without: it may have grown since the
    /// last one.
    pub(super) fn opened(&mut self, consumers: bool) {
        if consumers || !self.dispatch.is_empty() {
            (self.unlisted, self.grown) = (true, true);
        }
    }

    /// What an input proposed is stored.
    pub(super) fn stored(&mut self, outcome: &Outcome) {
        self.unlisted |= outcome.consumers;
        if !self.dispatch.is_empty() {
            self.dispatch.touched(&outcome.topics);
        }
    }

    /// What stored commits tell beside.
    pub(super) fn tell(&mut self, notes: Notes) {
        self.dispatch.tell(notes);
    }

    /// Topics of which events are being delivered, and consumers that are tried again.
    pub(super) fn told(&self) -> (Vec<String>, Vec<String>) {
        (self.dispatch.busy_topics(), self.dispatch.retrying())
    }

    pub(super) const fn is_stuck(&self) -> bool {
        self.failures > 1
    }
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Deliveries to make now, each once; the host tells of every one how that ended.
    pub fn take_deliveries(&mut self) -> Vec<DeliveryCall> {
        let ready = core::mem::take(&mut self.deliveries.ready);
        if ready.is_empty() {
            return Vec::new();
        }
        let (clock, secret) = (self.world.clock(), self.secret());
        let mut calls = Vec::with_capacity(ready.len());
        for Ready { id, after, page } in ready {
            let found = self.deliveries.dispatch.flight(id).zip(secret.as_ref());
            match found {
                Some(((consumer, topic, _), secret)) => {
                    let keys = post::keys(consumer, secret, clock);
                    calls.push(post::call(id, (consumer, topic), (after, page), (&keys, clock)));
                }
                None => self.deliveries.dispatch.drop_flight(id),
            }
        }
        calls
    }

    /// How many deliveries are under way.
    pub fn deliveries_running(&self) -> usize {
        self.deliveries.dispatch.running()
    }

    /// What a delivery came to; [`Self::work`] goes on from there.
    pub fn delivery_ended(&mut self, id: u64, came_to: CameTo) {
        let (now, random) = (self.delivery_now(), self.draw());
        self.deliveries.dispatch.ended(id, came_to, now, random);
    }

    /// The host waits for none of the deliveries under way: they are made again.
    pub fn deliveries_given_up(&mut self) {
        self.deliveries.ready.clear();
        self.deliveries.dispatch.given_up();
    }

    /// What happened to topics and consumers since the last call, for the host's log.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.deliveries.dispatch.take_notes()
    }

    /// Stores how far deliveries have got, if that is not stored. A host that stops calls it.
    pub fn save_places(&mut self) {
        if self.deliveries.dispatch.save_at().is_none() || self.held() {
            return;
        }
        let now = self.delivery_now();
        let saved = self.deliveries.dispatch.take_moved(now);
        let rows = saved.iter().map(|((consumer, topic), cursor)| {
            let value = cursor.as_ref().and_then(|cursor| postcard::to_allocvec(cursor).ok());
            (cursor_key(consumer, topic), value)
        });
        let rows = rows.collect();
        let write = Write { rows: alloc::vec![(cursors_view(), rows)], ..Write::default() };
        let Err(error) = self.store.write(&write) else { return };
        self.deliveries.dispatch.not_saved(saved);
        self.delivery_failed();
        let failure = Failure::Store(error);
        self.report(&failure);
        if !matches!(failure, Failure::Store(StoreError::Full)) {
            self.drop_live();
            self.in_trouble(&failure);
        }
    }

    /// The clock of deliveries: tests may set it forward.
    fn delivery_now(&mut self) -> u64 {
        let forward = self.config.test_stamps.as_ref().map_or(0, |stamps| stamps.offset_ms);
        self.world.micros().saturating_add(forward.saturating_mul(1_000))
    }

    fn delivery_failed(&mut self) {
        let doublings = self.deliveries.failures.min(8);
        let wait = WAIT_MICROS.saturating_mul(1_u64.wrapping_shl(doublings));
        self.deliveries.wait_until_micros = self.delivery_now().saturating_add(wait);
        self.deliveries.failures = self.deliveries.failures.saturating_add(1);
    }

    /// In how many microseconds there is something to do for deliveries, if there is.
    pub(super) fn deliveries_due(&mut self) -> Option<u64> {
        let runs = self.config.test_stamps.is_none() || self.deliveries.woken;
        if !runs || self.held() {
            return None;
        }
        let effects = self.effects_running();
        let dispatch = &self.deliveries.dispatch;
        let listed = self.deliveries.unlisted.then_some(0);
        // A test sees at once what moved.
        let save = dispatch.save_at().map(|at| if self.deliveries.woken { 0 } else { at });
        let turns = [listed, dispatch.turn_at(effects), dispatch.record_at(), save];
        let at = turns.into_iter().flatten().min()?;
        let wait = match self.deliveries.failures {
            0 => at,
            _ => at.max(self.deliveries.wait_until_micros),
        };
        let due = wait.saturating_sub(self.delivery_now());
        // What a test is to wait for is due at its next wake.
        (self.config.test_stamps.is_none() || due == 0).then_some(due)
    }

    /// Whether it is the turn of deliveries, when slices wait too.
    pub(super) fn deliveries_turn(&mut self) -> bool {
        let due = self.deliveries_due() == Some(0);
        let others = self.slices_due() == Some(0);
        self.deliveries.yields = due && others && !self.deliveries.yields;
        due && !(others && self.deliveries.yields)
    }

    /// Does some milliseconds of what is due for deliveries.
    pub(super) fn deliver(&mut self) {
        let failures = self.deliveries.failures;
        if self.deliveries.unlisted && !self.list_consumers() {
            return;
        }
        self.record_consumers();
        let started = self.delivery_now();
        for _ in 0..TURN_PAGES {
            if self.deliveries.unlisted
                || self.delivery_now().saturating_sub(started) > TURN_MICROS
                || !self.next_page()
            {
                break;
            }
        }
        let now = self.delivery_now();
        if self.deliveries.dispatch.save_at().is_some_and(|at| at <= now) {
            self.save_places();
        }
        if self.deliveries.failures == failures {
            self.deliveries.failures = 0;
        }
        let idle = self.deliveries.dispatch.is_idle() && !self.deliveries.unlisted;
        if self.config.test_stamps.is_some() && idle {
            // What moved is saved at once: a test that asks next sees it.
            self.save_places();
            self.deliveries.woken = false;
        }
    }

    /// Learns who there is.
    fn list_consumers(&mut self) -> bool {
        let (mut all, mut after): (Vec<Consumer>, String) = (Vec::new(), String::new());
        loop {
            let ask = messages::Dispatch::List { after: after.clone() };
            let Some(Dispatched::Consumers { found, more }) = self.ask(ask) else { return false };
            let last = found.last().map(|consumer| consumer.id.clone());
            all.extend(found);
            match last.filter(|_| more) {
                Some(last) => after = last,
                None => break,
            }
        }
        let grown = core::mem::take(&mut self.deliveries.grown);
        self.deliveries.unlisted = false;
        let tell = core::mem::replace(&mut self.deliveries.listed_once, true) || !grown;
        self.deliveries.dispatch.listed(all, grown, tell);
        true
    }

    /// Records who is removed, and how far others have got.
    fn record_consumers(&mut self) {
        let now = self.delivery_now();
        let leaving = self.deliveries.dispatch.leaving().into_iter();
        let removals =
            leaving.map(|(consumer, reason)| messages::Dispatch::Remove { consumer, reason });
        let advances = self.deliveries.dispatch.take_advances(now).into_iter();
        let advances =
            advances.map(|(consumer, topics)| messages::Dispatch::Advance { consumer, topics });
        let all: Vec<_> = removals.chain(advances).collect();
        if !all.is_empty() && !self.run_dispatches(all) {
            self.delivery_failed();
        }
    }

    /// Reads what is delivered next; false when nobody gets a turn.
    fn next_page(&mut self) -> bool {
        let (now, effects) = (self.delivery_now(), self.effects_running());
        let Some(wanted) = self.deliveries.dispatch.next(effects, now) else { return false };
        let Wanted { way, after, limit } = wanted;
        let ask = messages::Dispatch::Page { topic: way.1.clone(), after, limit };
        let Some(Dispatched::Events(page)) = self.ask(ask) else {
            self.deliveries.dispatch.unread(way);
            return false;
        };
        let head = self.live.as_ref().map_or(0, |live| live.head.position);
        if let Some(id) = self.deliveries.dispatch.begin(way, &page, head, now) {
            self.deliveries.ready.push(Ready { id, after, page });
        }
        true
    }

    /// Asks the guest something that only the driver can ask. All that there is is stored: it is
    /// not asked within a batch.
    fn ask(&mut self, ask: messages::Dispatch) -> Option<Dispatched> {
        if let Err(failure) = self.open() {
            self.give_up(None, &failure);
            self.delivery_failed();
            return None;
        }
        let stamp = Stamp { clock: self.world.clock(), entropy: self.world.entropy() };
        let live = self.live.as_mut()?;
        let input = Input { stamp, what: What::Dispatch(ask), process: Process::default() };
        match stage(live, &mut self.store, &input) {
            Ok(outcome) => outcome.dispatched,
            Err(failure) => {
                self.drop_live();
                self.report(&failure);
                self.failed = self.failed.saturating_add(1);
                match failure {
                    Failure::Trap(trap) => {
                        self.quarantine(&trap);
                    }
                    Failure::Store(StoreError::CorruptRow { .. }) => self.rows_damaged = true,
                    _ => {}
                }
                self.delivery_failed();
                None
            }
        }
    }

    /// What consumers' keys are made from. There is a log, so whoever keeps it has one.
    fn secret(&mut self) -> Option<Secret> {
        if self.config.secret.is_none() {
            self.config.secret = self.store.secret();
        }
        self.config.secret.clone()
    }

    /// Begins all deliveries that are due, when a test asked for that.
    pub(super) fn deliver_for_test(&mut self) {
        self.deliveries.woken = true;
        self.deliver();
    }

    /// Writes a consumer's secret into an answer.
    pub(super) fn fill_secret(&mut self, outcome: &Outcome, response: &mut Response) {
        let Some(hole) = &outcome.secret else { return };
        let Some(secret) = self.secret() else { return };
        let text = Key::derive(&secret, &hole.consumer, hole.generation).text();
        let start = usize::try_from(hole.offset).unwrap_or(usize::MAX);
        let place = response.body.get_mut(start..start.saturating_add(SECRET_HOLE.len()));
        if let Some(place) = place.filter(|place| place.len() == text.len()) {
            place.copy_from_slice(text.as_bytes());
        }
    }
}
