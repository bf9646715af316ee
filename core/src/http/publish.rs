//! `POST /events`: publishing events to topics, all of them or none.
//!
//! Owns what a publication looks like, that each payload is checked against the schema in force, and
//! the answer. Refuses to know how schemas work and where events end up.
//!
//! The answer follows from the commit alone, so that a repetition under the same idempotency key
//! gets the first one again, byte for byte.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::matching::is_at;
use super::request::{Headers, Parsed};
use super::{Handled, read, refused, topics};
use crate::chain::HASH_HOLE;
use crate::commit::{Commit, Event};
use crate::engine::{
    Access, Answered, Decided, Engine, Metadata, Missing, Published, TopicSchemas,
};
use crate::errors::{Code, Problem};
use crate::ids::{is_id, is_topic, split_stream};
use crate::json::{self, push_string, push_unsigned};
use crate::limits::{
    ID_CHARS_MAX, PUBLISH_BYTES_MAX, PUBLISH_EVENTS_MAX, PUBLISH_VIOLATIONS_MAX, TOPIC_CHARS_MAX,
};
use crate::protocol::{Kind, Stamp};
use crate::read::Stop;

/// An event as a client gives it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    topic: Rc<str>,
    event_type: Rc<str>,
    payload: Rc<str>,
}

impl Given {
    /// One that was published before, as the log has it.
    fn recorded(event: &Event<'_>) -> Self {
        let (_, topic) = split_stream(&event.stream).unwrap_or_default();
        let event_type = (&*event.event_type).into();
        Self { topic: topic.into(), event_type, payload: event.data.into() }
    }
}

/// The longest body that a host reads for this request, if it reads this much for all others.
pub fn body_bytes_max(method: &str, target: &str, others: u64) -> u64 {
    match method == "POST" && is_at(target, "/events") {
        true => others.max(PUBLISH_BYTES_MAX),
        false => others,
    }
}

/// What is known of commands on one stream, and means nothing here.
pub(super) fn check_headers(headers: &Headers<'_>) -> Result<(), Problem> {
    for (name, shown) in [("if-match", "If-Match"), ("if-none-match", "If-None-Match")] {
        if headers.one(name)?.is_some() {
            let detail =
                format!("header `{shown}` is not taken here: a publication has no version");
            return Err(Problem::new(Code::InvalidHeader, detail).text("field", shown));
        }
    }
    Ok(())
}

/// Reads a publication: a minified JSON text.
pub(super) fn parse(text: &str) -> Result<Vec<Given>, Problem> {
    let events = json::objects(text, PUBLISH_EVENTS_MAX).unwrap_or_default();
    if events.is_empty() {
        let detail = format!(
            "the body must be a list of 1 to {PUBLISH_EVENTS_MAX} events {{topic, type, payload}}"
        );
        let problem = Problem::new(Code::InvalidField, detail).text("field", "");
        return Err(problem.number("limit", PUBLISH_EVENTS_MAX as u64));
    }
    events.into_iter().enumerate().map(|(index, event)| given(index, event)).collect()
}

fn given(index: usize, event: Option<json::Members<'_>>) -> Result<Given, Problem> {
    let wrong = |field: &str, what: &str, limit: Option<usize>| {
        let field = format!("[{index}]{}{field}", if field.is_empty() { "" } else { "." });
        let problem = Problem::new(Code::InvalidField, format!("`{field}` must be {what}"));
        let problem = problem.text("field", &field).number("index", index as u64);
        limit.map_or_else(|| problem.clone(), |limit| problem.clone().number("limit", limit as u64))
    };
    let members = event.ok_or_else(|| wrong("", "an object {topic, type, payload}", None))?;
    let (mut topic, mut event_type, mut payload) = (None, None, None);
    for (name, token) in members {
        match name.as_ref() {
            "topic" => topic = json::string(token).filter(|name| is_topic(name)),
            "type" => event_type = json::string(token).filter(|name| is_id(name)),
            "payload" => payload = Some(token),
            other => {
                let shown: String = other.chars().take(ID_CHARS_MAX).collect();
                let field = format!("[{index}].{shown}");
                let detail =
                    format!("field `{field}` is not known here; known: topic, type, payload");
                let problem = Problem::new(Code::UnknownField, detail).text("field", &field);
                return Err(problem.number("index", index as u64));
            }
        }
    }
    let topic = topic.ok_or_else(|| {
        let what = format!("the name of a topic: 1 to {TOPIC_CHARS_MAX} characters from a-z 0-9 . _ -, starting with a-z");
        wrong("topic", &what, Some(TOPIC_CHARS_MAX))
    })?;
    let event_type = event_type.ok_or_else(|| {
        let what =
            format!("an event type: 1 to {ID_CHARS_MAX} characters from A-Z a-z 0-9 . _ : -");
        wrong("type", &what, Some(ID_CHARS_MAX))
    })?;
    let payload = payload.ok_or_else(|| wrong("payload", "there: the event's data", None))?;
    let (topic, event_type) = ((&*topic).into(), (&*event_type).into());
    Ok(Given { topic, event_type, payload: payload.into() })
}

/// Publishes, or says why not.
pub(super) fn publish(
    engine: &Engine,
    access: Access<'_>,
    parsed: &Parsed,
    stamp: &Stamp,
) -> Result<Handled, Missing> {
    let decided = decide(engine, access, &parsed.batch, (&parsed.metadata, stamp))?;
    let handled = told(&decided);
    Ok(match decided {
        Decided::Proposed(_, proposal) => Handled { proposal: Some(*proposal), ..handled },
        _ => handled,
    })
}

/// What becomes of a publication that the log records. `Err` names what is missing.
pub fn decide_publication(
    engine: &Engine,
    access: Access<'_>,
    commit: &Commit<'_>,
    with: (&Metadata, &Stamp),
) -> Result<Decided, Missing> {
    let batch: Vec<Given> = commit.events.iter().map(Given::recorded).collect();
    decide(engine, access, &batch, with)
}

fn decide(
    engine: &Engine,
    mut access: Access<'_>,
    batch: &[Given],
    (metadata, stamp): (&Metadata, &Stamp),
) -> Result<Decided, Missing> {
    let before = engine.published_before(&mut access, metadata, stamp);
    // Tried before a miss is told, so that one round supplies both.
    let checked = checked(engine, &mut access, batch);
    let published = match (before, checked) {
        (Ok(Some(decided)), _) => return Ok(decided),
        (Err(Stop::Fault(what)), _) | (Ok(None), Err(Stop::Fault(what))) => {
            return Ok(Decided::Rejected(Problem::new(Code::Internal, what)));
        }
        (Err(Stop::Miss), _) | (Ok(None), Err(Stop::Miss)) => return Err(access.take_missing()),
        (Ok(None), Ok(Err(problem))) => return Ok(Decided::Rejected(problem)),
        (Ok(None), Ok(Ok(published))) => published,
    };
    engine.propose_published(access, metadata, stamp, published)
}

fn told(decided: &Decided) -> Handled {
    match decided {
        Decided::Proposed(answered, _) | Decided::Nothing(answered) | Decided::Known(answered) => {
            read(answer(answered), Kind::Command)
        }
        Decided::Replayed(answered) => {
            let again = answer(answered).header("Idempotency-Replayed", "true".into());
            read(again, Kind::Command)
        }
        Decided::Rejected(problem) => refused(problem),
    }
}

fn answer(answered: &Answered) -> Answer {
    let mut body = String::with_capacity(answered.events.len().saturating_mul(24));
    body.push_str("{\"eventIds\":[");
    for (index, event) in answered.events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        push_string(&mut body, &event.id);
    }
    body.push_str("],\"position\":");
    push_unsigned(&mut body, answered.position);
    body.push_str(",\"hash\":\"");
    let offset = body.len();
    body.push_str(answered.hash.as_deref().unwrap_or(HASH_HOLE));
    body.push_str("\"}");
    let answer = Answer::json(body)
        .status(201)
        .header("Foldlog-Position", answered.position.to_string())
        .hash_header("Foldlog-Hash", answered.hash.as_deref(), answered.position);
    match answered.hash {
        Some(_) => answer,
        None => answer.hash_at(offset, answered.position),
    }
}

type Checked = Result<Vec<Published>, Problem>;

/// The events with the versions of the schemas that they were checked against.
fn checked(engine: &Engine, access: &mut Access<'_>, batch: &[Given]) -> Result<Checked, Stop> {
    let mut topics: BTreeMap<&str, Rc<TopicSchemas>> = BTreeMap::new();
    let mut missed = false;
    for (index, Given { topic, .. }) in batch.iter().enumerate() {
        if topics.contains_key(&**topic) {
            continue;
        }
        match topics::schemas(engine, access, topic) {
            Ok(Ok(Some(schemas))) => {
                topics.insert(topic, schemas);
            }
            Ok(Ok(None)) => return Ok(Err(unknown(index, topic))),
            Ok(Err(problem)) => return Ok(Err(problem)),
            // All topics are tried before a miss is told.
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed {
        return Err(Stop::Miss);
    }
    let (mut published, mut violations) = (Vec::with_capacity(batch.len()), Violations::default());
    for (index, given) in batch.iter().enumerate() {
        let Some(schemas) = topics.get(&*given.topic) else { continue };
        let Some((version, schema)) = schemas.of(&given.event_type) else {
            let message = format!("`{}` is not an event type of {}", given.event_type, given.topic);
            violations.push(index, "", &message);
            continue;
        };
        match schema.check(&given.payload) {
            Ok(()) if violations.count == 0 => published.push(Published {
                topic: given.topic.clone(),
                event_type: given.event_type.clone(),
                schema: version,
                payload: given.payload.clone(),
            }),
            Ok(()) => {}
            Err(all) => {
                all.iter().for_each(|one| violations.push(index, &one.pointer, &one.message))
            }
        }
    }
    Ok(if violations.count > 0 { Err(violations.problem()) } else { Ok(published) })
}

fn unknown(index: usize, topic: &str) -> Problem {
    let detail = format!("there is no topic {topic}; POST /topics creates one");
    let problem = Problem::new(Code::NotFound, detail);
    problem.text("field", &format!("[{index}].topic")).number("index", index as u64)
}

/// What is wrong with payloads, as far as it is told.
#[derive(Default)]
struct Violations {
    tokens: String,
    count: usize,
    first: String,
}

impl Violations {
    fn push(&mut self, index: usize, pointer: &str, message: &str) {
        self.count = self.count.saturating_add(1);
        if self.count > PUBLISH_VIOLATIONS_MAX {
            return;
        }
        if self.count == 1 {
            let place = if pointer.is_empty() { "" } else { " at " };
            self.first = format!("event {index}{place}{pointer}: {message}");
        }
        self.tokens.push_str(if self.count > 1 { ",{\"index\":" } else { "{\"index\":" });
        push_unsigned(&mut self.tokens, index as u64);
        self.tokens.push_str(",\"pointer\":");
        push_string(&mut self.tokens, pointer);
        self.tokens.push_str(",\"message\":");
        push_string(&mut self.tokens, message);
        self.tokens.push('}');
    }

    fn problem(self) -> Problem {
        let Self { tokens, count, first } = self;
        let more = match count {
            1 => String::new(),
            count => format!(" (and {} more)", count.saturating_sub(1)),
        };
        let problem = Problem::new(Code::SchemaViolation, format!("{first}{more}"));
        problem.token("errors", format!("[{tokens}]"))
    }
}
