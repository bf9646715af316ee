//! What the system itself must do next, in the reference: law 4 as a check.
//!
//! Owns the order: what a commit asks for is closed by one commit that names it, and by no other;
//! what is due at once before timers, timers when their time has come, each oldest first.

use std::collections::BTreeMap;

use foldlog_core::time::Time;
use serde_json::Value;

use super::super::happened::Happened;
use super::{Checked, text};

/// What was asked for and is not done.
#[derive(Clone, Debug)]
pub struct Asked {
    pub manager: String,
    pub command: String,
    /// Id of the stream that is to do it.
    pub id: String,
    pub data: Value,
    timer: Option<String>,
}

type Which = (u64, u64);

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Waiting {
    all: BTreeMap<(u64, Which), Asked>,
    due: BTreeMap<Which, u64>,
    timers: BTreeMap<String, Which>,
}

impl Waiting {
    /// Whether something is due.
    pub fn is_due(&self, now: u64) -> bool {
        self.all.keys().next().is_some_and(|(due, _)| *due <= now)
    }

    /// The one that is due first.
    pub fn first_due(&self, now: u64) -> Option<Which> {
        let (due, which) = self.all.keys().next()?;
        (*due <= now).then_some(*which)
    }

    pub fn is_empty(&self) -> bool {
        self.all.is_empty()
    }

    /// When the last of it falls due.
    pub fn last_due(&self) -> Option<u64> {
        self.all.keys().next_back().map(|(due, _)| *due)
    }

    /// Whether one is not due any more when the clock goes back from `now` to `then`.
    pub fn is_due_between(&self, then: u64, now: u64) -> bool {
        self.all.keys().any(|(due, _)| *due > then && *due <= now + 1_000)
    }

    pub fn first(&self) -> Option<&Asked> {
        self.all.values().next()
    }

    /// Takes in a reaction of a commit; effects are another's.
    pub fn open(&mut self, first: u64, reaction: &Value, told: &mut Happened) -> Checked<()> {
        let n = reaction["n"].as_u64().ok_or("a reaction without a number")?;
        let (payload, which) = (&reaction["payload"], (first, n));
        let manager = text(&reaction["manager"]);
        let timer = payload["key"].as_str().map(|key| format!("{manager} {key}"));
        if let Some(before) = timer.as_ref().and_then(|timer| self.timers.remove(timer)) {
            let due = self.due.remove(&before).ok_or("a timer that is not there")?;
            self.all.remove(&(due, before));
            let cancelled = reaction["kind"] == "cancel";
            told.note(if cancelled { "a timer is cancelled" } else { "a timer is replaced" });
        }
        let due = match reaction["kind"].as_str() {
            Some("command") => 0,
            Some("timer") => {
                let due = text(&reaction["dueAt"]);
                Time::parse_iso(&due).ok_or("a timer without a time")?.0
            }
            Some("cancel") => return Ok(()),
            other => return Err(format!("a reaction of kind {other:?}")),
        };
        let (command, id) = (text(&payload["command"]), text(&payload["aggregateId"]));
        let data = payload["data"].clone();
        if let Some(timer) = &timer {
            self.timers.insert(timer.clone(), which);
        }
        let asked = Asked { manager, command, id, data, timer };
        let again = self.due.insert(which, due).is_some();
        self.all.insert((due, which), asked);
        if again { Err("a reaction is opened twice".into()) } else { Ok(()) }
    }

    /// What a commit of the system closes, unless that is no command.
    pub fn close(&mut self, which: Which, now: u64, told: &mut Happened) -> Checked<Option<Asked>> {
        let Some(due) = self.due.remove(&which) else { return Ok(None) };
        let oldest = self.all.keys().next().copied();
        let asked = self.all.remove(&(due, which)).ok_or("a cause that is not open")?;
        if due > now {
            return Err(format!("{asked:?} is due at {due}, and is done at {now}"));
        }
        if oldest != Some((due, which)) {
            return Err("it is not the oldest that is due".into());
        }
        if let Some(timer) = &asked.timer {
            self.timers.remove(timer);
            told.note("a timer comes");
        }
        Ok(Some(asked))
    }
}
