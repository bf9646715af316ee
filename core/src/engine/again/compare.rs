//! Comparing what was decided again with what is recorded.
//!
//! Owns what counts as the same: the same bytes but for the hash, or versions of payloads that
//! upcasters lead to and that then say the same. Refuses to decide anything.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::hashed;
use crate::chain::crc32c;
use crate::commit::{Commit, Event};
use crate::engine::Engine;
use crate::engine::pending::{self, Recorded};
use crate::ids;
use crate::protocol::Upcasted;
use crate::same::same;
use crate::upcast::{self, Kind, Unreadable};

/// How a commit that was decided again stands to the recorded one.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Compared {
    /// Byte for byte the same.
    Same,
    /// The same but for versions that upcasters lead to.
    Lifted,
    /// Another one.
    Differs,
}

/// Compares a line that was decided again with the recorded one.
pub fn compare(engine: &Engine, recorded: (&Commit<'_>, &str), line: &str) -> Compared {
    let (commit, recorded_line) = recorded;
    if same(hashed(recorded_line), hashed(line)) {
        return Compared::Same;
    }
    let lifted = Commit::parse(line).ok().and_then(|made| lowered(engine, commit, made));
    match lifted {
        Some(line) if hashed(recorded_line) == hashed(&line) => Compared::Lifted,
        _ => Compared::Differs,
    }
}

/// The line of a commit that was decided again, with recorded payloads in place of newer versions
/// that say the same; nothing when there are none.
fn lowered(engine: &Engine, recorded: &Commit<'_>, made: Commit<'_>) -> Option<String> {
    let mut command = made.command.clone();
    let mut any = false;
    if let (Some(old), Some(new)) = (&recorded.command, &made.command)
        && (&old.name, old.version < new.version) == (&new.name, true)
    {
        // It was lifted before it was decided.
        (command, any) = (Some(old.clone()), true);
    }
    let events = made.events.iter().zip(&recorded.events).map(|(new, old)| {
        let same = same_event(engine, old, new);
        any |= same;
        let (schema_version, data) =
            if same { (&old.schema_version, old.data) } else { (&new.schema_version, new.data) };
        Event { schema_version: schema_version.clone(), data, ..new.clone() }
    });
    let mut events: Vec<Event<'_>> = events.collect();
    events.extend(made.events.iter().skip(recorded.events.len()).cloned());
    let reactions = match (recorded.reactions, made.reactions) {
        (Some(_), Some(_)) if same_reactions(engine, recorded, &made) => {
            any = true;
            recorded.reactions
        }
        (_, own) => own,
    };
    any.then(|| Commit { events, reactions, command, ..made.clone() }.line())
}

/// A newer version of the recorded event that says the same.
fn same_event(engine: &Engine, old: &Event<'_>, new: &Event<'_>) -> bool {
    if old.schema_version == new.schema_version || old.event_type != new.event_type {
        return false;
    }
    lifted(engine, old)
        .is_some_and(|(_, data)| data.is_ok_and(|data| says_the_same(&data, new.data)))
}

/// The same reactions, but for versions of commands.
fn same_reactions(engine: &Engine, recorded: &Commit<'_>, made: &Commit<'_>) -> bool {
    let (Ok(old), Ok(new)) = (pending::recorded(recorded), pending::recorded(made)) else {
        return false;
    };
    let place = |one: &Recorded<'_>| (one.n, one.depth, one.event, one.due);
    old.len() == new.len()
        && old.iter().zip(&new).all(|(old, new)| {
            place(old) == place(new)
                && (&old.manager, &old.kind) == (&new.manager, &new.kind)
                && (old.payload == new.payload || same_order(engine, old, new))
        })
}

fn same_order(engine: &Engine, old: &Recorded<'_>, new: &Recorded<'_>) -> bool {
    let (Ok(old), Ok(new)) = (old.command(), new.command()) else { return false };
    let Some((_, aggregate)) = engine.registry().by_type(&new.aggregate_type) else { return false };
    let same = (&old.aggregate_type, &old.aggregate_id, &old.command)
        == (&new.aggregate_type, &new.aggregate_id, &new.command);
    let lifted =
        upcast::lift(aggregate.upcasts(), Kind::Command, &old.command, old.version, &old.data);
    same && old.version < new.version && lifted.is_ok_and(|data| says_the_same(&data, &new.data))
}

/// Whether two JSON texts say the same, in whatever order of members.
fn says_the_same(a: &str, b: &str) -> bool {
    let read = |text| serde_json::from_str::<serde_json::Value>(text).ok();
    a == b || read(a).is_some_and(|a| read(b) == Some(a))
}

/// A recorded event as of the current version, when it has an older or newer one.
fn lifted<'e>(
    engine: &Engine,
    event: &Event<'e>,
) -> Option<(u32, Result<Cow<'e, str>, Unreadable>)> {
    let (aggregate_type, _) = ids::split_stream(&event.stream)?;
    let steps = engine.registry().by_type(aggregate_type)?.1.upcasts();
    if steps.is_empty() && event.schema_version.is_none() {
        return None;
    }
    let to = upcast::current(steps, Kind::Event, &event.event_type);
    let version = event.schema_version.as_deref().map_or(Some(1), upcast::major);
    let data = version.ok_or(Unreadable::Newer).and_then(|version| {
        upcast::lift(steps, Kind::Event, &event.event_type, version, event.data)
    });
    (version != Some(to)).then_some((to, data))
}

/// What upcasters make of a commit's command and events.
pub fn upcasted(engine: &Engine, commit: &Commit<'_>, out: &mut Vec<Upcasted>) {
    let mut tell = |position, name: &str, to, data: Result<Cow<'_, str>, Unreadable>| {
        let result = data.map(|data| crc32c(data.as_bytes())).map_err(|why| match why {
            Unreadable::Unknown => "it is not known".into(),
            Unreadable::Newer => "a newer module recorded it".into(),
            Unreadable::Failed(why) => why,
        });
        out.push(Upcasted { position, name: name.into(), to, result });
    };
    let first = commit.events.first().and_then(|event| ids::split_stream(&event.stream));
    if let (Some(command), Some((aggregate_type, _))) = (&commit.command, first)
        && let Some((_, aggregate)) = engine.registry().by_type(aggregate_type)
        && let Some(data) = command.data
    {
        let (steps, name) = (aggregate.upcasts(), &*command.name);
        let to = upcast::current(steps, Kind::Command, name);
        if to != command.version {
            let data = upcast::lift(steps, Kind::Command, name, command.version, data);
            tell(commit.position, name, to, data);
        }
    }
    for (event, position) in commit.events.iter().zip(commit.position..) {
        if let Some((to, data)) = lifted(engine, event) {
            tell(position, &event.event_type, to, data);
        }
    }
}
