//! News: what of a stored commit the host's log should tell.
//!
//! Owns how topics and publications are recognised in a line. Refuses payloads and schemas: names and
//! numbers alone get out.

use alloc::string::String;
use alloc::vec::Vec;

use serde::Deserialize;

use super::notes::Note;
use crate::commit::{Commit, Event};
use crate::ids;

/// The command stands in a line's beginning, behind what is bounded: ids, metadata, settings.
const COMMAND_WITHIN: usize = 16 << 10;
const COMMAND: &str = "\"command\":{\"name\":\"";
const EVENTS: &str = ",\"events\":[";
/// Commands whose events are news.
const NEWS: [&str; 3] = ["Publish\"", "CreateTopic\"", "AddTopicSchemas\""];

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

/// What a line tells.
pub(super) fn of(line: &str, tell: impl FnMut(Note)) {
    if is_news(line)
        && let Ok(commit) = Commit::parse(line)
    {
        commit.events.iter().filter_map(note).for_each(tell);
    }
}

/// Most commits are not, and are not read for it.
fn is_news(line: &str) -> bool {
    let head = line.get(..line.floor_char_boundary(COMMAND_WITHIN)).unwrap_or(line);
    let Some(command) = head.find(COMMAND) else { return false };
    // Behind the first events it is a payload's.
    if head.find(EVENTS).is_some_and(|events| events < command) {
        return false;
    }
    let name = head.get(command.saturating_add(COMMAND.len())..).unwrap_or_default();
    NEWS.iter().any(|news| name.starts_with(news))
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
