//! What is remembered of consumers, what of it is saved and recorded, and when something is due.

use alloc::collections::{BTreeMap, BTreeSet, VecDeque};
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::{Dispatch, SAVE_MICROS, Way};
use crate::driver::notes::{Note, Notes};
use crate::protocol::consumers::{Consumer, Cursor, Place};

/// What a consumer's events of one topic are doing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) enum State {
    /// Nothing: there are none, as far as is known.
    #[default]
    Idle,
    /// They wait for their turn.
    Queued,
    /// They are read, or being delivered.
    UnderWay,
    /// They wait for the next attempt.
    Waiting,
}

/// One consumer's way through one topic.
#[derive(Clone, Debug, Default)]
pub(super) struct Lane {
    /// All up to there was accepted.
    pub place: Place,
    pub state: State,
    /// The topic got events since they were read.
    pub behind: bool,
    /// Nothing was looked for yet.
    pub fresh: bool,
    /// Attempts at the next batch that failed.
    pub attempt: u32,
    /// How many events that batch has: it stays the same until it is accepted.
    pub batch: Option<u32>,
}

/// How a consumer answers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Pace {
    /// It was not seen to.
    Unknown,
    /// Soon.
    Fast,
    /// It took long, or is tried again.
    Slow,
}

/// Whose turn there is a slot for, if one is free.
#[derive(Clone, Copy, Debug)]
pub(super) struct Room {
    slow: bool,
    unknown: bool,
}

impl Room {
    pub const fn allows(self, pace: Pace) -> bool {
        match pace {
            Pace::Fast => true,
            Pace::Slow => self.slow && self.unknown,
            Pace::Unknown => self.unknown,
        }
    }
}

/// What is known of a consumer.
#[derive(Debug)]
pub(super) struct Known {
    pub told: Consumer,
    pub lanes: BTreeMap<String, Lane>,
    /// How it answered last.
    pub pace: Pace,
    /// Deliveries since the log last told how far it has got, of these topics; and when it is to
    /// tell that again.
    pub accepted: u32,
    pub changed: BTreeSet<String>,
    pub advance_at: Option<u64>,
}

impl Known {
    /// A consumer as the log tells it now: what is known to have been accepted stays so.
    pub fn of(mut told: Consumer, before: Option<Self>) -> Self {
        let mut known = before.unwrap_or_else(|| Self {
            told: told.clone(),
            lanes: BTreeMap::new(),
            pace: Pace::Unknown,
            accepted: 0,
            changed: BTreeSet::new(),
            advance_at: None,
        });
        for (topic, place) in core::mem::take(&mut told.topics) {
            let fresh = !known.lanes.contains_key(&topic);
            let failed = told.attempts.iter().find(|(of, _)| *of == topic);
            let attempt = failed.map_or(0, |(_, attempt)| *attempt);
            let lane = known.lanes.entry(topic).or_default();
            if fresh {
                (lane.fresh, lane.attempt) = (true, attempt);
            }
            if lane.place.position < place.position {
                lane.place = place;
            }
        }
        known.told = told;
        known
    }

    /// One more delivery of a topic was accepted.
    pub fn accepted(&mut self, topic: &str) {
        self.accepted = self.accepted.saturating_add(1);
        if !self.changed.contains(topic) {
            self.changed.insert(topic.to_string());
        }
    }
}

/// The host of a callback: all that logs tell of it.
pub(super) fn host_of(callback: &str) -> String {
    let rest = callback.split_once("://").map_or(callback, |(_, rest)| rest);
    rest.split(['/', '?']).next().unwrap_or_default().to_string()
}

/// What is to be stored of places and failed attempts; nothing deletes one.
pub(in super::super) type Saved = Vec<(Way, Option<Cursor>)>;

impl Dispatch {
    /// What is to be removed, and why.
    pub fn leaving(&self) -> Vec<(String, String)> {
        self.leaving.iter().map(|(id, reason)| (id.clone(), reason.clone())).collect()
    }

    /// How far consumers have got, where the log is to tell that now.
    pub fn take_advances(&mut self, now: u64) -> Vec<(String, Vec<(String, Place)>)> {
        let mut all = Vec::new();
        while let Some((due, id)) = self.advances.first().cloned().filter(|(due, _)| *due <= now) {
            self.advances.remove(&(due, id.clone()));
            let Some(known) = self.consumers.get_mut(&id) else { continue };
            (known.accepted, known.advance_at) = (0, None);
            let changed = core::mem::take(&mut known.changed).into_iter();
            let places = changed.filter_map(|topic| {
                let place = known.lanes.get(&topic)?.place.clone();
                Some((topic, place))
            });
            all.push((id.clone(), places.collect()));
        }
        all
    }

    /// Places that moved on since they were saved, and attempts that failed.
    pub fn take_moved(&mut self, now: u64) -> Saved {
        let mut saved: Saved =
            core::mem::take(&mut self.gone).into_iter().map(|way| (way, None)).collect();
        for way in core::mem::take(&mut self.moved) {
            let known = self.consumers.get(&way.0);
            let lane = known.and_then(|known| known.lanes.get(&way.1));
            saved.extend(lane.map(|lane| (way, Some((lane.place.clone(), lane.attempt)))));
        }
        self.saved_at = Some(now);
        saved
    }

    /// They could not be saved.
    pub fn not_saved(&mut self, saved: Saved) {
        for (way, place) in saved {
            match place {
                Some(_) => {
                    self.moved.insert(way);
                }
                None => self.gone.push(way),
            }
        }
    }

    /// When places are to be saved.
    pub fn save_at(&self) -> Option<u64> {
        let any = !self.moved.is_empty() || !self.gone.is_empty();
        any.then(|| self.saved_at.map_or(0, |at| at.saturating_add(SAVE_MICROS)))
    }

    /// When there is something to record.
    pub fn record_at(&self) -> Option<u64> {
        let advance = self.advances.first().map(|(due, _)| *due);
        if self.leaving.is_empty() { advance } else { Some(0) }
    }

    /// When somebody gets a turn, with so many effects under way.
    pub fn turn_at(&self, effects: usize) -> Option<u64> {
        if self.flights.len() >= self.slots_max.saturating_sub(effects) {
            return None;
        }
        let room = self.room();
        let turn = |pace, turns: &VecDeque<Way>| room.allows(pace) && !turns.is_empty();
        if turn(Pace::Fast, &self.fast)
            || turn(Pace::Slow, &self.slow)
            || turn(Pace::Unknown, &self.unknown)
        {
            return Some(0);
        }
        self.waiting.first().map(|(due, _)| *due)
    }

    /// What those under way leave free: slow ones half of the slots, they and unknown ones an eighth.
    pub(super) fn room(&self) -> Room {
        let under_way = |pace| self.flights.values().filter(|flight| flight.pace == pace).count();
        let (slow, unknown) = (under_way(Pace::Slow), under_way(Pace::Unknown));
        let kept = (self.slots_max / 8).max(1).min(self.slots_max.saturating_sub(1));
        Room {
            slow: slow < (self.slots_max / 2).max(1),
            unknown: slow.saturating_add(unknown) < self.slots_max.saturating_sub(kept),
        }
    }

    /// Whether nothing is under way and nobody waits for a turn.
    pub fn is_idle(&self) -> bool {
        let turns = [&self.fast, &self.slow, &self.unknown];
        self.flights.is_empty() && turns.iter().all(|turns| turns.is_empty())
    }

    /// Topics of which events are being delivered, or are about to be.
    pub fn busy_topics(&self) -> Vec<String> {
        let busy = |topic: &&String| {
            let wanting = self.topics.get(*topic).into_iter().flatten();
            let mut lanes = wanting.filter_map(|id| self.consumers.get(id)?.lanes.get(*topic));
            lanes.any(|lane| lane.state != State::Idle)
        };
        self.topics.keys().filter(busy).cloned().collect()
    }

    /// Consumers that are tried again.
    pub fn retrying(&self) -> Vec<String> {
        let tried = |known: &Known| known.lanes.values().any(|lane| lane.attempt > 0);
        let all = self.consumers.iter().filter(|(_, known)| tried(known));
        all.map(|(id, _)| id.clone()).collect()
    }

    /// What happened beside deliveries.
    pub fn tell(&mut self, notes: Notes) {
        self.notes.extend(notes);
    }

    /// What the host's log should tell.
    pub fn take_notes(&mut self) -> Vec<Note> {
        self.notes.take()
    }
}
