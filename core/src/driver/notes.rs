//! Notes: what happened to topics and consumers that the host's log should tell.
//!
//! Owns what there is to tell, and that publications told one after the other become one. Refuses
//! words, payloads, secrets, and of callbacks more than the host.

use alloc::string::String;
use alloc::vec::Vec;

/// What happened that the host's log should tell.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Note {
    /// A topic came into being, or got schemas.
    Topic {
        /// Its name.
        topic: String,
        /// It came into being.
        created: bool,
        /// The event types whose schemas are new.
        types: Vec<String>,
    },
    /// Events were published.
    Published {
        /// To which topic.
        topic: String,
        /// Number of the first one: its id is `<topic>-<number>`.
        first: u64,
        /// Number of the last one.
        last: u64,
    },
    /// A consumer came.
    Registered {
        /// Its id.
        consumer: String,
        /// The host that it is called at.
        host: String,
    },
    /// One went.
    Removed {
        /// Its id.
        consumer: String,
        /// Why.
        reason: String,
    },
    /// A delivery was accepted.
    Delivered {
        /// By whom.
        consumer: String,
        /// Of which topic.
        topic: String,
        /// At which attempt.
        attempt: u32,
        /// How many events it had.
        events: u32,
    },
    /// A delivery was not accepted.
    Failed {
        /// Whose.
        consumer: String,
        /// Of which topic.
        topic: String,
        /// Which attempt.
        attempt: u32,
        /// Why.
        reason: String,
    },
    /// A topic has consumers now.
    Started(String),
    /// It has none any more.
    Stopped(String),
}

/// Topics that publications are told of together, at most.
const TOGETHER_MAX: usize = 16;

/// What there is to tell.
#[derive(Debug, Default)]
pub(super) struct Notes(Vec<Note>);

impl Notes {
    /// Adds one. Of a topic, events that follow those of a publication that waits to be told belong
    /// to it.
    pub fn push(&mut self, note: Note) {
        if let Note::Published { topic, first, last } = &note {
            let mut newest = self.0.iter_mut().rev().take(TOGETHER_MAX);
            let before = newest.find_map(|told| match told {
                Note::Published { topic: of, last, .. } if of == topic => Some(last),
                _ => None,
            });
            if let Some(before) = before.filter(|before| before.saturating_add(1) == *first) {
                *before = *last;
                return;
            }
        }
        self.0.push(note);
    }

    /// Adds all of these.
    pub fn extend(&mut self, notes: Self) {
        notes.0.into_iter().for_each(|note| self.push(note));
    }

    /// All of them, once.
    pub fn take(&mut self) -> Vec<Note> {
        core::mem::take(&mut self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn publications_that_follow_each_other_are_told_once() {
        let one = |topic: &str, n| Note::Published { topic: topic.into(), first: n, last: n };
        let mut notes = Notes::default();
        for (topic, n) in [("a", 1), ("b", 7), ("a", 2), ("a", 3), ("b", 9), ("a", 4)] {
            notes.push(one(topic, n));
        }
        let a = Note::Published { topic: "a".into(), first: 1, last: 4 };
        assert_eq!(notes.take(), [a, one("b", 7), one("b", 9)]);
        assert_eq!(notes.take(), []);
    }
}
