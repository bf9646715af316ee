//! Pending rows: what process managers asked for and is not done yet.
//!
//! Owns their keys and bytes, and how a commit opens and closes them: opened by its reactions,
//! closed by its cause. Effects have rows of their own (`outbox`). Refuses to know what a reaction
//! wants; payloads stay in the log.
//!
//! Rows: `r` + position + n → the reaction's place in time; `d` + due + position + n → nothing, in
//! the order in which reactions fall due; `t` + manager + 0 + key → which timer has that key.
//!
//! Invariant: each reaction that waits has one `r` and one `d` row. A commit whose cause names no
//! open row is corrupt, so nothing is done twice.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Engine;
use super::access::Access;
use super::apply::{FoldStop, Folded};
use super::outbox;
use super::views::PENDING;
use crate::commit::Commit;
use crate::json::{members, push_string, string, unsigned};
use crate::process::{Effect, Ordered, Reaction};
use crate::protocol::Due;
use crate::read::Stop;
use crate::time::Time;

/// How the keys of rows start that are in the order in which reactions fall due.
pub const ORDER: &[u8] = b"d";

/// Which reaction: first position of its commit, and its number there.
pub type Which = (u64, u32);

/// What is kept of a reaction that waits.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waits {
    /// When, by the raw clock; 0 is at once.
    pub due: Time,
    /// How many reactions led to it, itself included.
    pub depth: u32,
    /// Name of the manager.
    pub manager: String,
    /// Its key among the manager's timers.
    pub timer: Option<String>,
}

/// A reaction as a commit records it.
#[derive(Debug, Default)]
pub struct Recorded<'a> {
    /// Name of the manager.
    pub manager: Cow<'a, str>,
    /// Number in the commit.
    pub n: u32,
    /// How many reactions led to it, itself included.
    pub depth: u32,
    /// Index of the event that it reacts to.
    pub event: u32,
    /// `command`, `effect`, `timer` or `cancel`; others are of a later version.
    pub kind: Cow<'a, str>,
    /// By kind.
    pub payload: &'a str,
    /// When, for timers.
    pub due: Option<Time>,
}

pub(super) fn broken(what: &str) -> Stop {
    Stop::Fault(format!("a recorded reaction can not be read: {what}"))
}

/// Appends a reaction to the text of a commit's reactions.
pub fn record(out: &mut String, manager: &str, place: (u32, u32, u32), reaction: &Reaction) {
    let (n, depth, event) = place;
    out.push_str(if out.is_empty() { "[{\"manager\":" } else { ",{\"manager\":" });
    push_string(out, manager);
    for (name, value) in [("n", n), ("depth", depth), ("event", event)] {
        if name != "event" || value > 0 {
            out.push_str(&format!(",\"{name}\":{value}"));
        }
    }
    let (kind, key, command, due) = match reaction {
        Reaction::Command(command) => ("command", None, Some(command), None),
        Reaction::Effect(_) => ("effect", None, None, None),
        Reaction::Timer { key, due, command } => ("timer", Some(key), Some(command), Some(*due)),
        Reaction::Cancel { key } => ("cancel", Some(key), None, None),
    };
    out.push_str(&format!(",\"kind\":\"{kind}\",\"payload\":{{"));
    let mut text = |name: &str, value: &str| {
        out.push_str(if out.ends_with('{') { "\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        push_string(out, value);
    };
    if let Some(key) = key {
        text("key", key);
    }
    let (mut version, mut data) = (1, None);
    if let Some(command) = command {
        text("aggregateType", &command.aggregate_type);
        text("aggregateId", &command.aggregate_id);
        text("command", &command.command);
        version = command.version;
        data = Some(&command.data);
    }
    if let Reaction::Effect(effect) = reaction {
        text("kind", &effect.kind);
        text("target", &effect.target);
        if let Some(deadline) = effect.deadline {
            text("deadline", &deadline.to_iso());
        }
        data = Some(&effect.data);
    }
    if version != 1 {
        out.push_str(&format!(",\"version\":{version}"));
    }
    if let Some(data) = data {
        out.push_str(",\"data\":");
        out.push_str(data);
    }
    out.push('}');
    if let Some(due) = due {
        out.push_str(",\"dueAt\":\"");
        due.push_iso(out);
        out.push('"');
    }
    out.push('}');
}

/// The reactions of a commit.
pub fn recorded<'a>(commit: &Commit<'a>) -> Result<Vec<Recorded<'a>>, Stop> {
    let Some(text) = commit.reactions else { return Ok(Vec::new()) };
    let elements = crate::json::elements(text).ok_or_else(|| broken("no array"))?;
    elements.into_iter().map(one).collect()
}

fn one(element: &str) -> Result<Recorded<'_>, Stop> {
    let mut out = Recorded::default();
    let number = |token| {
        let number = unsigned(token).and_then(|n| u32::try_from(n).ok());
        number.ok_or_else(|| broken("a number"))
    };
    let text = |token| string(token).ok_or_else(|| broken("a string"));
    for (name, token) in members(element).ok_or_else(|| broken("no object"))? {
        match &*name {
            "manager" => out.manager = text(token)?,
            "n" => out.n = number(token)?,
            "depth" => out.depth = number(token)?,
            "event" => out.event = number(token)?,
            "kind" => out.kind = text(token)?,
            "payload" => out.payload = token,
            "dueAt" => out.due = Time::parse_iso(&text(token)?),
            _ => {}
        }
    }
    Ok(out)
}

impl Recorded<'_> {
    /// The command that is asked for.
    pub fn command(&self) -> Result<Ordered, Stop> {
        let version = self.member("version").map_or(Some(1), unsigned);
        let version = version.and_then(|version| u32::try_from(version).ok());
        Ok(Ordered {
            aggregate_type: self.text("aggregateType")?,
            aggregate_id: self.text("aggregateId")?,
            command: self.text("command")?,
            version: version.ok_or_else(|| broken("version"))?,
            data: self.data()?,
        })
    }

    /// The effect that is asked for.
    pub fn effect(&self) -> Result<Effect, Stop> {
        let deadline = self.member("deadline").map(|_| self.text("deadline")).transpose()?;
        let deadline =
            deadline.map(|time| Time::parse_iso(&time).ok_or_else(|| broken("deadline")));
        Ok(Effect {
            kind: self.text("kind")?,
            target: self.text("target")?,
            data: self.data()?,
            deadline: deadline.transpose()?,
        })
    }

    fn text(&self, name: &str) -> Result<String, Stop> {
        let text = self.member(name).and_then(string).map(Cow::into_owned);
        text.ok_or_else(|| broken(name))
    }

    fn data(&self) -> Result<String, Stop> {
        self.member("data").map(ToString::to_string).ok_or_else(|| broken("data"))
    }

    fn member(&self, name: &str) -> Option<&str> {
        members(self.payload)?.into_iter().find(|(found, _)| found == name).map(|(_, token)| token)
    }

    fn key(&self) -> Option<String> {
        self.member("key").and_then(string).map(Cow::into_owned)
    }
}

/// Key of a reaction's row.
fn row_key((position, n): Which) -> Vec<u8> {
    let mut key = Vec::with_capacity(13);
    key.push(b'r');
    key.extend_from_slice(&position.to_be_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    key
}

fn order_key(due: Time, (position, n): Which) -> Vec<u8> {
    let mut key = Vec::with_capacity(21);
    key.extend_from_slice(ORDER);
    key.extend_from_slice(&due.0.to_be_bytes());
    key.extend_from_slice(&position.to_be_bytes());
    key.extend_from_slice(&n.to_be_bytes());
    key
}

fn timer_key(manager: &str, key: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(manager.len().saturating_add(key.len()).saturating_add(2));
    row.push(b't');
    row.extend_from_slice(manager.as_bytes());
    row.push(0);
    row.extend_from_slice(key.as_bytes());
    row
}

/// How many reactions a commit opened, less those it closed: of those due at once, and of timers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Change {
    /// Due at once.
    pub now: i64,
    /// Due at a time.
    pub timers: i64,
    /// Effects.
    pub effects: i64,
    /// Something was opened or closed.
    pub any: bool,
}

/// Opens and closes what a commit opens and closes.
fn apply(
    access: &mut Access<'_>,
    commit: &Commit<'_>,
    incarnation: [u8; 16],
) -> Result<Change, Stop> {
    let mut change = Change::default();
    if let Some(cause) = &commit.cause {
        let which = (cause.position, cause.n);
        match waits(access, which)? {
            Some(waits) => close(access, which, &waits, &mut change),
            None => outbox::settle(access, which, commit, &mut change)?,
        }
    }
    for reaction in recorded(commit)? {
        let which = (commit.position, reaction.n);
        if reaction.kind == "effect" {
            outbox::open(access, commit, &reaction, incarnation)?;
            change.effects = change.effects.saturating_add(1);
            change.any = true;
            continue;
        }
        let timer = reaction.key();
        if let Some(key) = &timer {
            let row = timer_key(&reaction.manager, key);
            let before: Option<Which> = decoded(access.row(PENDING, &row)?.as_deref())?;
            if let Some(before) = before
                && let Some(waits) = waits(access, before)?
            {
                close(access, before, &waits, &mut change);
            }
        }
        let due = match &*reaction.kind {
            "command" => Time(0),
            "timer" => reaction.due.ok_or_else(|| broken("dueAt"))?,
            _ => continue,
        };
        let waits =
            Waits { due, depth: reaction.depth, manager: reaction.manager.into_owned(), timer };
        access.put(PENDING, &row_key(which), &waits)?;
        access.put(PENDING, &order_key(due, which), &())?;
        if let Some(key) = &waits.timer {
            access.put(PENDING, &timer_key(&waits.manager, key), &which)?;
        }
        count(&mut change, due, 1);
    }
    Ok(change)
}

/// The same, as part of applying a commit.
pub(super) fn take(
    engine: &Engine,
    access: &mut Access<'_>,
    commit: &Commit<'_>,
    mut folded: Folded,
) -> Result<Folded, FoldStop> {
    if commit.cause.is_none() && commit.reactions.is_none() {
        return Ok(folded);
    }
    let incarnation = folded.incarnation.unwrap_or(engine.head.incarnation);
    match apply(access, commit, incarnation) {
        Ok(change) => folded.pending = change,
        Err(Stop::Miss) => return Err(FoldStop::Need(Vec::new())),
        Err(Stop::Fault(what)) => {
            return Err(FoldStop::Corrupt(format!("position {}: {what}", commit.position)));
        }
    }
    Ok(folded)
}

fn close(access: &mut Access<'_>, which: Which, waits: &Waits, change: &mut Change) {
    access.delete(PENDING, &row_key(which));
    access.delete(PENDING, &order_key(waits.due, which));
    if let Some(key) = &waits.timer {
        access.delete(PENDING, &timer_key(&waits.manager, key));
    }
    count(change, waits.due, -1);
}

const fn count(change: &mut Change, due: Time, by: i64) {
    let counter = if due.0 == 0 { &mut change.now } else { &mut change.timers };
    *counter = counter.saturating_add(by);
    change.any = true;
}

pub(super) fn decoded<T: for<'de> Deserialize<'de>>(
    bytes: Option<&[u8]>,
) -> Result<Option<T>, Stop> {
    let read = |bytes| postcard::from_bytes(bytes).map_err(|e| Stop::Fault(e.to_string()));
    bytes.map(read).transpose()
}

/// What is kept of a reaction, while it waits.
pub fn waits(access: &mut Access<'_>, which: Which) -> Result<Option<Waits>, Stop> {
    decoded(access.row(PENDING, &row_key(which))?.as_deref())
}

/// The reaction that falls due first, of all or of those after a place.
pub fn first(access: &mut Access<'_>, after: Option<Due>) -> Result<Option<Due>, Stop> {
    let after =
        after.map_or_else(|| ORDER.to_vec(), |due| order_key(due.at, (due.position, due.n)));
    let rows = access.front(PENDING, ORDER, &after, 1)?;
    let first = rows.first().map(|(key, _)| order_of(key).ok_or_else(|| broken("its order")));
    first.transpose()
}

/// The place that the key of a row tells.
pub(super) fn order_of(key: &[u8]) -> Option<Due> {
    let (due, rest) = key.get(1..)?.split_first_chunk::<8>()?;
    let (position, n) = rest.split_first_chunk::<8>()?;
    let n = u32::from_be_bytes(*n.first_chunk::<4>()?);
    Some(Due { at: Time(u64::from_be_bytes(*due)), position: u64::from_be_bytes(*position), n })
}
