//! News: what of a stored commit the host's log should tell.
//!
//! Owns how topics and publications are recognised in a line. Refuses payloads and schemas: names and
//! numbers alone get out.
//!
//! A publication's line is as long as its payloads: which events it holds is read from its answer,
//! which names them all, and from the line only where there is none.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use super::notes::Note;
use crate::commit::{Commit, Event};
use crate::{ids, json};

/// The command stands in a line's beginning, behind what is bounded: ids, metadata, settings.
const COMMAND_WITHIN: usize = 16 << 10;
const COMMAND: &str = "\"command\":{\"name\":\"";
const EVENTS: &str = ",\"events\":[";
const PUBLISH: &str = "Publish\"";
/// Other commands whose events are news.
const OF_TOPICS: [&str; 2] = ["CreateTopic\"", "AddTopicSchemas\""];

#[derive(Deserialize)]
struct Schemas<'a> {
    #[serde(borrow)]
    schemas: Vec<Named<'a>>,
}

#[derive(Deserialize)]
struct Named<'a> {
    #[serde(rename = "type", borrow)]
    name: alloc::borrow::Cow<'a, str>,
}

/// What a line tells, which was answered like this.
pub(super) fn of<'a>(
    line: &str,
    answer: impl FnOnce() -> Option<&'a [u8]>,
    tell: impl FnMut(Note),
) {
    // Most commits are no news, and are not read for it.
    let Some(name) = command(line) else { return };
    let publication = name.starts_with(PUBLISH);
    if publication && let Some(notes) = answer().and_then(published) {
        notes.into_iter().for_each(tell);
    } else if (publication || OF_TOPICS.iter().any(|command| name.starts_with(command)))
        && let Ok(commit) = Commit::parse(line)
    {
        commit.events.iter().filter_map(note).for_each(tell);
    }
}

/// What follows behind the start of the command's name.
fn command(line: &str) -> Option<&str> {
    let head = line.get(..line.floor_char_boundary(COMMAND_WITHIN)).unwrap_or(line);
    let command = head.find(COMMAND)?;
    // Behind the first events it is a payload's.
    if head.find(EVENTS).is_some_and(|events| events < command) {
        return None;
    }
    head.get(command.saturating_add(COMMAND.len())..)
}

/// The events that the answer to a publication names.
fn published(answer: &[u8]) -> Option<Vec<Note>> {
    let members = json::members(core::str::from_utf8(answer).ok()?)?;
    let (_, ids) = members.into_iter().find(|(name, _)| name == "eventIds")?;
    let note = |token| {
        let id = json::string(token)?;
        let (topic, number) = ids::published(&id)?;
        Some(Note::Published { topic: topic.into(), first: number, last: number })
    };
    json::elements(ids)?.into_iter().map(note).collect()
}

fn note(event: &Event<'_>) -> Option<Note> {
    let (aggregate_type, topic) = ids::split_stream(&event.stream)?;
    let topic = String::from(topic);
    match aggregate_type {
        ids::TOPIC => Some(Note::Published { topic, first: event.version, last: event.version }),
        ids::TOPIC_DEFINITION => {
            let Schemas { schemas } = serde_json::from_str(event.data).ok()?;
            let types = schemas.into_iter().map(|schema| schema.name.into_owned()).collect();
            let created = event.event_type == "Topic.Created";
            Some(Note::Topic { topic, created, types })
        }
        _ => None,
    }
}
