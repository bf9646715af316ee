//! Dispatchers: which consumer is sent events of which topic next, and what its answer leads to.
//!
//! Owns every consumer's place in each of its topics, the order in which they get their turn, waits
//! after failures, and when places are to be saved. A pure machine: it is told the time, and hands
//! out what is to be read, sent, recorded and saved. Refuses to know how: `deliveries` does.
//!
//! Invariants: of a consumer and a topic one delivery is under way at most, and the next one begins
//! where it ended, so order holds. A place moves on only when a delivery was accepted. Consumers that
//! are slow, or are tried again, hold half of the slots at most, and those of which no answer is known
//! yet leave an eighth free: they do not delay the others.

mod lanes;
#[cfg(test)]
mod tests;

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::notes::{Note, Notes};
use crate::limits::{DELIVERY_ATTEMPTS_MAX, DELIVERY_EVENTS_MAX};
use crate::protocol::consumers::{Consumer, OnFailure, Page, Place};
use lanes::{Known, Lane, Pace, State};

/// An answer that took longer makes its consumer a slow one.
pub const SLOW_MICROS: u64 = 1_000_000;
/// The longest wait after a first failed attempt; it doubles up to the longest.
const RETRY_MICROS: u64 = 1_000_000;
const RETRY_MICROS_MAX: u64 = 300_000_000;
/// Places are saved so often at most.
const SAVE_MICROS: u64 = 200_000;
/// The log tells how far a consumer has got after so many deliveries, or after so long.
const ADVANCE_DELIVERIES: u32 = 1_000;
const ADVANCE_MICROS: u64 = 600_000_000;

/// A consumer and a topic.
pub(super) type Way = (String, String);

/// A page of events that is to be read for a delivery.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Wanted {
    pub way: Way,
    pub after: u64,
    pub limit: u32,
}

/// What a delivery came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum CameTo {
    /// It was accepted.
    Accepted,
    /// It was not, or there was no answer.
    Failed(String),
    /// The consumer wants no more (410).
    Gone(String),
}

impl CameTo {
    /// What came of a call, as a host tells it.
    pub fn of(called: Result<(), String>) -> Self {
        match called {
            Ok(()) => Self::Accepted,
            Err(why) if why.split([':', ',']).next() == Some("answered 410") => Self::Gone(why),
            Err(why) => Self::Failed(why),
        }
    }
}

/// A delivery under way.
#[derive(Debug)]
struct Flight {
    way: Way,
    count: u32,
    last: Place,
    /// There is more behind it.
    more: bool,
    started: u64,
    pace: Pace,
}

/// The dispatchers of a partition. Times are microseconds of a clock that never goes back.
#[derive(Debug, Default)]
pub(super) struct Dispatch {
    slots_max: usize,
    consumers: BTreeMap<String, Known>,
    /// Who wants events of a topic.
    topics: BTreeMap<String, BTreeSet<String>>,
    /// Those that may have something to be sent, in turn.
    fast: VecDeque<Way>,
    slow: VecDeque<Way>,
    unknown: VecDeque<Way>,
    /// Those that are tried again, and when.
    waiting: BTreeSet<(u64, Way)>,
    flights: BTreeMap<u64, Flight>,
    next_id: u64,
    /// To be removed, and why.
    leaving: BTreeMap<String, String>,
    /// Places that moved on since they were saved, and those of consumers that are gone.
    moved: BTreeSet<Way>,
    gone: Vec<Way>,
    saved_at: Option<u64>,
    /// When the log is to tell how far a consumer has got.
    advances: BTreeSet<(u64, String)>,
    notes: Notes,
}

impl Dispatch {
    /// None yet; so many deliveries are under way at a time.
    pub fn new(slots_max: u32) -> Self {
        let slots_max = usize::try_from(slots_max).unwrap_or(usize::MAX);
        Self { slots_max, ..Self::default() }
    }

    /// Whether anything is known of consumers.
    pub fn is_empty(&self) -> bool {
        self.consumers.is_empty()
    }

    /// Takes in who there is. All may have something to be sent when the log may have grown
    /// meanwhile; else those that are new.
    pub fn listed(&mut self, all: Vec<Consumer>, grown: bool, tell: bool) {
        let mut before = core::mem::take(&mut self.consumers);
        for consumer in all {
            let known = before.remove(&consumer.id);
            let id = consumer.id.clone();
            if known.is_none() && tell {
                let host = lanes::host_of(&consumer.callback);
                self.notes.push(Note::Registered { consumer: id.clone(), host });
            }
            let known = Known::of(consumer, known);
            for topic in known.lanes.keys() {
                let wanting = self.topics.entry(topic.clone()).or_default();
                if wanting.is_empty() {
                    self.notes.push(Note::Started(topic.clone()));
                }
                wanting.insert(id.clone());
            }
            self.consumers.insert(id, known);
        }
        for (id, known) in before {
            self.forget(id, known);
        }
        let mut queued = Vec::new();
        for (id, known) in &self.consumers {
            let idle = known.lanes.iter().filter(|(_, lane)| lane.state == State::Idle);
            let wanted = idle.filter(|(_, lane)| grown || lane.fresh);
            queued.extend(wanted.map(|(topic, _)| (id.clone(), topic.clone())));
        }
        queued.into_iter().for_each(|way| self.queue(way));
    }

    /// One that is gone.
    fn forget(&mut self, id: String, known: Known) {
        let reason = self.leaving.remove(&id).unwrap_or_else(|| "deleted".to_string());
        if let Some(due) = known.advance_at {
            self.advances.remove(&(due, id.clone()));
        }
        for (topic, _) in known.lanes {
            if let Some(wanting) = self.topics.get_mut(&topic) {
                wanting.remove(&id);
                if wanting.is_empty() {
                    self.topics.remove(&topic);
                    self.notes.push(Note::Stopped(topic.clone()));
                }
            }
            let way = (id.clone(), topic);
            self.moved.remove(&way);
            self.gone.push(way);
        }
        self.waiting.retain(|(_, (consumer, _))| *consumer != id);
        self.notes.push(Note::Removed { consumer: id, reason });
    }

    /// These topics got events.
    pub fn touched(&mut self, topics: &[String]) {
        for topic in topics {
            let Some(wanting) = self.topics.get(topic) else { continue };
            let mut idle = Vec::new();
            for id in wanting {
                let Some(lane) = lane_of(&mut self.consumers, id, topic) else { continue };
                if lane.state == State::Idle {
                    idle.push((id.clone(), topic.clone()));
                } else {
                    lane.behind = true;
                }
            }
            idle.into_iter().for_each(|way| self.queue(way));
        }
    }

    fn queue(&mut self, way: Way) {
        let Some(known) = self.consumers.get_mut(&way.0) else { return };
        let pace = known.pace;
        let Some(lane) = known.lanes.get_mut(&way.1) else { return };
        (lane.state, lane.fresh) = (State::Queued, false);
        self.turns(pace).push_back(way);
    }

    /// Those of a pace that wait for their turn.
    const fn turns(&mut self, pace: Pace) -> &mut VecDeque<Way> {
        match pace {
            Pace::Fast => &mut self.fast,
            Pace::Slow => &mut self.slow,
            Pace::Unknown => &mut self.unknown,
        }
    }

    /// Who is to be sent something next, if a slot is free beside effects under way.
    pub fn next(&mut self, effects: usize, now: u64) -> Option<Wanted> {
        while let Some((due, way)) = self.waiting.first().cloned().filter(|(due, _)| *due <= now) {
            self.waiting.remove(&(due, way.clone()));
            self.queue(way);
        }
        if self.flights.len() >= self.slots_max.saturating_sub(effects) {
            return None;
        }
        let room = self.room();
        loop {
            let way = self.slow.pop_front_if(|_| room.allows(Pace::Slow));
            let way = way.or_else(|| self.unknown.pop_front_if(|_| room.allows(Pace::Unknown)));
            let way = way.or_else(|| self.fast.pop_front())?;
            let known = self.consumers.get(&way.0);
            let lane = known.and_then(|known| Some((known.pace, known.lanes.get(&way.1)?.state)));
            let Some((pace, State::Queued)) = lane else { continue };
            if self.leaving.contains_key(&way.0) {
                continue;
            }
            if !room.allows(pace) {
                self.turns(pace).push_back(way);
                continue;
            }
            let known = self.consumers.get_mut(&way.0);
            let Some(lane) = known.and_then(|known| known.lanes.get_mut(&way.1)) else { continue };
            (lane.state, lane.behind) = (State::UnderWay, false);
            let limit = lane.batch.unwrap_or(DELIVERY_EVENTS_MAX);
            return Some(Wanted { way, after: lane.place.position, limit });
        }
    }

    /// What was wanted can not be read now.
    pub fn unread(&mut self, way: Way) {
        self.queue(way);
    }

    /// What was wanted has been read. A number for the delivery, if there is anything to deliver.
    pub fn begin(&mut self, way: Way, page: &Page, head: u64, now: u64) -> Option<u64> {
        let known = self.consumers.get_mut(&way.0)?;
        let pace = known.pace;
        let lane = known.lanes.get_mut(&way.1)?;
        if page.count == 0 {
            lane.state = State::Idle;
            lane.batch = None;
            if lane.behind || page.looked < head {
                lane.place.position = lane.place.position.max(page.looked);
                self.queue(way);
            }
            return None;
        }
        let id = self.next_id;
        self.next_id = id.saturating_add(1);
        let (last, more) = (page.last.clone(), page.looked < head);
        let flight = Flight { way, count: page.count, last, more, started: now, pace };
        self.flights.insert(id, flight);
        Some(id)
    }

    /// What a delivery came to.
    pub fn ended(&mut self, id: u64, came_to: CameTo, now: u64, random: u64) {
        let Some(flight) = self.flights.remove(&id) else { return };
        let (consumer, topic) = flight.way.clone();
        let Some(known) = self.consumers.get_mut(&consumer) else { return };
        let Some(lane) = known.lanes.get_mut(&topic) else { return };
        let slow = now.saturating_sub(flight.started) > SLOW_MICROS;
        known.pace = if slow { Pace::Slow } else { Pace::Fast };
        let attempt = lane.attempt.saturating_add(1);
        let (why, gone) = match came_to {
            CameTo::Accepted => {
                let again = lane.behind || flight.more;
                let (noted, events) = (consumer.clone(), flight.count);
                let topic_of = topic.clone();
                self.notes.push(Note::Delivered {
                    consumer: noted,
                    topic: topic_of,
                    attempt,
                    events,
                });
                *lane = Lane { place: flight.last, ..Lane::default() };
                known.accepted(&topic);
                let due = now.saturating_add(ADVANCE_MICROS);
                let early = if known.accepted >= ADVANCE_DELIVERIES { now } else { due };
                if let Some(before) = known.advance_at.filter(|before| early < *before) {
                    self.advances.remove(&(before, consumer.clone()));
                    known.advance_at = None;
                }
                if known.advance_at.is_none() {
                    known.advance_at = Some(early);
                    self.advances.insert((early, consumer));
                }
                self.moved.insert(flight.way.clone());
                if again {
                    self.queue(flight.way);
                }
                return;
            }
            CameTo::Failed(why) => (why, false),
            CameTo::Gone(why) => (why, true),
        };
        let (noted, reason) = (consumer.clone(), why.clone());
        self.notes.push(Note::Failed { consumer: noted, topic: topic.clone(), attempt, reason });
        let tries = known.told.on_failure == OnFailure::Retry && !gone;
        if tries && attempt < DELIVERY_ATTEMPTS_MAX {
            known.pace = Pace::Slow;
            (lane.attempt, lane.batch, lane.state) = (attempt, Some(flight.count), State::Waiting);
            let due = now.saturating_add(wait_micros(attempt, random));
            self.waiting.insert((due, flight.way.clone()));
            // A restart goes on counting.
            self.moved.insert(flight.way);
            return;
        }
        lane.state = State::Idle;
        let reason = match tries {
            true => format!("topic {topic}, attempt {attempt}: {why}"),
            false => format!("topic {topic}: {why}"),
        };
        self.leaving.entry(consumer).or_insert(reason);
    }

    /// Nobody waits for the deliveries under way: they are made again.
    pub fn given_up(&mut self) {
        for (_, flight) in core::mem::take(&mut self.flights) {
            self.queue(flight.way);
        }
    }

    /// How many deliveries are under way.
    pub fn running(&self) -> usize {
        self.flights.len()
    }

    /// What a delivery is signed and told by.
    pub fn flight(&self, id: u64) -> Option<(&Consumer, &str, u32)> {
        let flight = self.flights.get(&id)?;
        let known = self.consumers.get(&flight.way.0)?;
        let lane = known.lanes.get(&flight.way.1)?;
        Some((&known.told, &flight.way.1, lane.attempt.saturating_add(1)))
    }

    /// Forgets a delivery whose consumer is gone.
    pub fn drop_flight(&mut self, id: u64) {
        self.flights.remove(&id);
    }
}

fn lane_of<'d>(
    consumers: &'d mut BTreeMap<String, Known>,
    id: &str,
    topic: &str,
) -> Option<&'d mut Lane> {
    consumers.get_mut(id)?.lanes.get_mut(topic)
}

/// The wait after an attempt: doubled each time, and of that between a half and all, so that what
/// failed together is not tried again together.
fn wait_micros(attempt: u32, random: u64) -> u64 {
    let doublings = attempt.saturating_sub(1).min(16);
    let longest = RETRY_MICROS.saturating_mul(1 << doublings).min(RETRY_MICROS_MAX);
    let half = longest / 2;
    let part = half.saturating_mul(random & 0xffff_ffff) >> 32;
    half.saturating_add(part)
}
