//! Topics over HTTP: one topic, its events, and what a new one's name must not be.
//!
//! Owns what is a topic: what clients publish to, and, read-only, `@<AggregateType>` for every type
//! of stream that the module knows. Refuses to know what schemas say.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use super::answer::Answer;
use super::events::{List, Range, filtered, id_at};
use super::request::Parsed;
use super::shown::Form;
use crate::domains::topics::{DefinitionState, declared};
use crate::engine::{
    Access, Answered, Engine, Term, TopicSchemas, first_position_at, given_ids, position_of_event,
    postings, typed_state,
};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::json::{self, push_string, push_unsigned};
use crate::limits::{LIST_LIMIT_DEFAULT, PAGE_BYTES_MAX};
use crate::read::Stop;
use crate::schema::Schema;
use crate::sorted::order;
use crate::time::Day;

/// What is known of the definition of a topic: its version and state. The inner error is for one
/// that this module can not read.
type Known = Result<Option<(u64, DefinitionState)>, Problem>;

fn definition(engine: &Engine, access: &mut Access<'_>, topic: &str) -> Result<Known, Stop> {
    let aggregate_type = ids::TOPIC_DEFINITION;
    let Some((index, _)) = engine.registry().by_type(aggregate_type) else { return Ok(Ok(None)) };
    let Some(row) = engine.stream_row(access, index, topic)? else { return Ok(Ok(None)) };
    let state = typed_state::<DefinitionState>(&row)?;
    Ok(state.map(Some).map_err(|blocked| blocked.problem(&ids::stream_name(aggregate_type, topic))))
}

/// The schemas in force of a topic; none when there is no such topic.
pub(super) fn schemas(
    engine: &Engine,
    access: &mut Access<'_>,
    topic: &str,
) -> Result<Result<Option<Rc<TopicSchemas>>, Problem>, Stop> {
    let (version, state) = match definition(engine, access, topic)? {
        Ok(Some(known)) => known,
        Ok(None) => return Ok(Ok(None)),
        Err(problem) => return Ok(Err(problem)),
    };
    let compiled = engine.topic_schemas(topic, version, || compile(&state));
    Ok(Ok(Some(compiled.map_err(Stop::Fault)?)))
}

fn compile(state: &DefinitionState) -> Result<TopicSchemas, String> {
    let mut schemas = TopicSchemas::default();
    let types: Vec<_> = state.types.iter().collect();
    let name = |at: usize| types.get(at).map(|(name, _)| name);
    for at in order(types.len(), &|a, b| name(a).cmp(&name(b))) {
        let Some((name, versions)) = types.get(at as usize) else { continue };
        let Some(text) = versions.last() else { continue };
        let schema = Schema::compile(text)
            .map_err(|refused| format!("the schema of {name}: {}", refused.message))?;
        let version = u32::try_from(versions.len()).unwrap_or(u32::MAX);
        schemas.bytes = schemas.bytes.saturating_add(text.len());
        schemas.types.push(((*name).clone(), version, schema));
    }
    Ok(schemas)
}

fn missing(topic: &str) -> Answer {
    let detail = format!("there is no topic {topic}; GET /topics lists them");
    Answer::problem(&Problem::new(Code::NotFound, detail))
}

/// `GET /topics/{topic}`.
pub(super) fn one(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let topic = parsed.id.as_str();
    let count = |access: &mut Access<'_>, term: &[u8]| {
        postings::count(access, access.postings_view(), term)
    };
    if let Some(aggregate_type) = topic.strip_prefix('@') {
        if engine.registry().by_type(aggregate_type).is_none() {
            return Ok(missing(topic));
        }
        let events = count(access, &postings::category_term(aggregate_type))?;
        let mut body = String::from("{\"name\":");
        push_string(&mut body, topic);
        body.push_str(",\"schemas\":[],\"events\":");
        push_unsigned(&mut body, events);
        body.push_str(",\"createdAt\":null}");
        return Ok(Answer::json(body));
    }
    let term = postings::stream_term(&ids::stream_name(ids::TOPIC, topic));
    let (state, events) = (definition(engine, access, topic), count(access, &term));
    Ok(match state? {
        Ok(Some((_, state))) => Answer::json(state.shown(topic, events?)),
        Ok(None) => missing(topic),
        Err(problem) => Answer::problem(&problem),
    })
}

/// The index list of a topic; none when there is no such topic.
pub(super) fn term(
    engine: &Engine,
    access: &mut Access<'_>,
    topic: &str,
) -> Result<Option<Vec<u8>>, Stop> {
    if let Some(aggregate_type) = topic.strip_prefix('@') {
        let known = engine.registry().by_type(aggregate_type).is_some();
        return Ok(known.then(|| postings::category_term(aggregate_type)));
    }
    let aggregate_type = ids::TOPIC_DEFINITION;
    let there = engine.stream_version(access, aggregate_type, topic)? > 0;
    Ok(there.then(|| postings::stream_term(&ids::stream_name(ids::TOPIC, topic))))
}

/// The position of an event of a topic, by its id; none when the topic has no such event.
pub(super) fn position_in(
    access: &mut Access<'_>,
    topic: &str,
    id: &str,
) -> Result<Option<u64>, Stop> {
    let Some(position) = position_of_event(access, id)? else { return Ok(None) };
    let belongs = match topic.strip_prefix('@') {
        None => ids::published(id).is_some_and(|(of, _)| of == topic),
        Some(aggregate_type) => {
            let term = postings::category_term(aggregate_type);
            let before = position.saturating_sub(1);
            let found = postings::after(access, access.postings_view(), &term, before, 1)?;
            found.first() == Some(&position)
        }
    };
    Ok(Some(position).filter(|_| belongs))
}

/// `GET /topics/{topic}/events`.
pub(super) fn events(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let topic = parsed.id.as_str();
    let Some(term) = term(engine, access, topic)? else { return Ok(missing(topic)) };
    let param = |name| parsed.params.get(name).map(String::as_str);
    let limit = param("limit").and_then(|n| n.parse().ok()).unwrap_or(LIST_LIMIT_DEFAULT);
    let mut range = Range { low: 1, high: engine.head().position, descending: false, limit };
    if let Some(day) = param("date").and_then(Day::parse_iso) {
        // Both are tried before a miss is told.
        let low = first_position_at(access, day.first());
        let beyond = first_position_at(access, day.last().after_ms(1));
        (range.low, range.high) = (low?, beyond?.saturating_sub(1));
    }
    if let Some(id) = param("sinceEventId") {
        match position_in(access, topic, id)? {
            Some(position) => range.low = range.low.max(position.saturating_add(1)),
            None => {
                let detail = format!("topic {topic} has no event {id}");
                let problem = Problem::new(Code::NotFound, detail).text("field", "sinceEventId");
                return Ok(Answer::problem(&problem));
            }
        }
    }
    let mut list = List::new(engine.partition(), Form::Topic, PAGE_BYTES_MAX);
    filtered(access, &range, &[Term::list(term)], &mut list)?;
    let next = match list.last.filter(|_| list.more) {
        Some(last) => Some(id_at(access, last)?),
        None => None,
    };
    Ok(list.closed("application/json").next_by(parsed, "sinceEventId", next.as_deref()))
}

/// Rows of the index of given event ids that are looked at in one read.
const IDS_PAGE: u32 = 1_000;

/// Before a topic is created: when it was, if it is there; or why its name can not be taken.
pub(super) fn to_create(
    engine: &Engine,
    access: &mut Access<'_>,
    topic: &str,
) -> Result<Result<Option<String>, Problem>, Stop> {
    match definition(engine, access, topic)? {
        Ok(Some((_, state))) => Ok(Ok(Some(state.created_at))),
        Ok(None) => Ok(match name_in_use(access, topic)? {
            Some(problem) => Err(problem),
            None => Ok(None),
        }),
        // The decision says so.
        Err(_) => Ok(Ok(None)),
    }
}

/// What the answer to creating a topic has beside what every command's has: the schemas as they are
/// kept, and when it was created (`since`, if not now).
pub(super) fn created(data: &str, answered: &Answered, since: Option<&str>) -> String {
    let members = json::members(data).unwrap_or_default();
    let schemas = members.iter().find(|(name, _)| name == "schemas").map(|(_, token)| *token);
    let declared = schemas.and_then(|text| declared(text).ok()).unwrap_or_default();
    let mut out = String::from(",\"schemas\":[");
    for (index, one) in declared.iter().enumerate() {
        out.push_str(if index > 0 { ",{\"type\":" } else { "{\"type\":" });
        push_string(&mut out, &one.name);
        out.push_str(",\"version\":1,\"schema\":");
        out.push_str(&one.schema);
        out.push('}');
    }
    out.push_str("],\"createdAt\":\"");
    match since {
        Some(since) => out.push_str(since),
        None => answered.time.push_iso(&mut out),
    }
    out.push('"');
    out
}

/// Why a topic can not have this name: an event has an id that would then be one of the topic's.
fn name_in_use(access: &mut Access<'_>, topic: &str) -> Result<Option<Problem>, Stop> {
    let prefix = format!("{topic}-");
    let mut after = String::new();
    loop {
        let ids = given_ids(access, &prefix, &after, IDS_PAGE)?;
        let own = ids.iter().find(|id| ids::published(id).is_some_and(|(of, _)| of == topic));
        if let Some(id) = own {
            let detail = format!("event {id} has an id that would be one of topic {topic}'s");
            return Ok(Some(Problem::new(Code::AlreadyExists, detail).text("eventId", id)));
        }
        match ids.last() {
            Some(last) if ids.len() as u64 >= u64::from(IDS_PAGE) => {
                after.clone_from(last);
            }
            _ => return Ok(None),
        }
    }
}
