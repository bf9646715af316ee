//! Commands over HTTP: the headers they take, and the answer to one.
//!
//! Owns what a command's answer looks like. It follows from the commit alone, so that the answer
//! to a repeated idempotency key is the first one again, byte for byte.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use super::answer::Answer;
use super::request::{Headers, Parsed, versions};
use super::routes::{Route, place};
use crate::chain::HASH_HOLE;
use crate::decider::{AggregateSpec, CommandKind, CommandSpec, Serves};
use crate::engine::{Answered, CommandInput, Metadata, reserved};
use crate::errors::{Code, Problem};
use crate::fields::{self, Field, Fields};
use crate::ids::{TOPIC_DEFINITION, is_header_id};
use crate::json::{push_string, push_unsigned};
use crate::limits::{
    HEADER_ID_CHARS_MAX, HOPS_MAX, KEY_CHARS_MAX, META_COUNT_MAX, META_NAME_CHARS_MAX,
    META_VALUE_CHARS_MAX,
};
use crate::protocol::Stamp;
use crate::webhook;

/// What the engine is asked to decide.
pub fn input<'a>(
    aggregate: &'static AggregateSpec,
    command: &'static CommandSpec,
    parsed: &'a Parsed,
    id: &'a str,
    stamp: &'a Stamp,
) -> CommandInput<'a> {
    CommandInput {
        aggregate,
        command,
        id,
        data: &parsed.data,
        metadata: &parsed.metadata,
        preconditions: &parsed.preconditions,
        stamp,
        cause: None,
    }
}

/// Takes in what a body says of the command itself, if it may: that goes before headers.
pub fn take_metadata(
    fields: &Fields<'_>,
    command: &CommandSpec,
    metadata: &mut Metadata,
) -> Result<(), Problem> {
    metadata.event_ids = fields.ids("eventIds");
    let given = |field: Field| {
        let text = command.fields.contains(&field).then(|| fields.text(field.name));
        text.flatten().map(Cow::into_owned)
    };
    for (field, place) in [
        (fields::ACTOR, &mut metadata.actor),
        (fields::CORRELATION_ID, &mut metadata.correlation_id),
        (fields::CAUSATION_ID, &mut metadata.causation_id),
    ] {
        *place = given(field).or(place.take());
    }
    let Some(id) = given(fields::EVENT_ID) else { return Ok(()) };
    if !metadata.event_ids.is_empty() {
        let detail = "fields `eventId` and `eventIds` exclude each other";
        return Err(Problem::new(Code::InvalidField, detail).text("field", "eventId"));
    }
    if let Some(problem) = reserved("eventId", &id) {
        return Err(problem);
    }
    metadata.event_ids = alloc::vec![id];
    Ok(())
}

fn invalid(name: &str, expectation: &str, limit: usize) -> Problem {
    let detail = format!("header `{name}` must be {expectation}");
    Problem::new(Code::InvalidHeader, detail).text("field", name).number("limit", limit as u64)
}

/// Checks and takes in the headers of a command.
pub fn check_headers(
    headers: &Headers<'_>,
    fingerprint: Option<[u8; 32]>,
    parsed: &mut Parsed,
) -> Result<(), Problem> {
    if let Some(value) = headers.one("if-match")? {
        parsed.preconditions.versions = Some(versions("If-Match", &value)?);
    }
    if let Some(value) = headers.one("if-none-match")? {
        if value != "*" {
            return Err(invalid("If-None-Match", "* on a command", 1));
        }
        parsed.preconditions.none = true;
    }
    let id = |name: &str, shown: &str| -> Result<Option<String>, Problem> {
        match headers.one(name)? {
            Some(value) if is_header_id(&value) => Ok(Some(value.into_owned())),
            Some(_) => {
                let what = format!("1 to {HEADER_ID_CHARS_MAX} characters, not starting with ~");
                Err(invalid(shown, &what, HEADER_ID_CHARS_MAX))
            }
            None => Ok(None),
        }
    };
    let metadata = &mut parsed.metadata;
    metadata.correlation_id = id("x-correlation-id", "X-Correlation-Id")?;
    metadata.causation_id = id("x-causation-id", "X-Causation-Id")?;
    metadata.actor = id("x-actor", "X-Actor")?;
    metadata.traceparent = id("traceparent", "traceparent")?;
    if metadata.traceparent.as_deref().is_some_and(|value| !is_traceparent(value)) {
        return Err(invalid("traceparent", "of the form 00-<32 hex>-<16 hex>-<2 hex>", 55));
    }
    metadata.hops = hops(headers)?;
    metadata.meta = meta(headers)?;
    metadata.key = key(headers, fingerprint)?;
    Ok(())
}

/// How many deliveries led here, as the last one said: a receiver gives its header on, so that
/// webhooks and commands that lead to each other come to an end.
fn hops(headers: &Headers<'_>) -> Result<u32, Problem> {
    let Some(value) = headers.one(webhook::HOPS)? else { return Ok(0) };
    let digits = value.len() < 10 && value.bytes().all(|byte| byte.is_ascii_digit());
    let hops = value.parse().ok().filter(|_| digits).ok_or_else(|| {
        let limit = HOPS_MAX as usize;
        invalid("Foldlog-Hops", "a number, as the delivery had it", limit)
    })?;
    if hops > HOPS_MAX {
        let detail = format!(
            "{hops} deliveries to consumers led to this, one after the other; at most {HOPS_MAX} may"
        );
        let problem = Problem::new(Code::LimitExceeded, detail).text("field", "Foldlog-Hops");
        return Err(problem.number("limit", HOPS_MAX.into()));
    }
    Ok(hops)
}

/// The idempotency key, and what the request is told by.
pub fn key(
    headers: &Headers<'_>,
    fingerprint: Option<[u8; 32]>,
) -> Result<Option<(String, [u8; 32])>, Problem> {
    let Some(value) = headers.one("idempotency-key")? else { return Ok(None) };
    let key = idempotency_key(&value)?.into_owned();
    let request =
        fingerprint.ok_or_else(|| Problem::new(Code::Internal, "the host gave no fingerprint"))?;
    Ok(Some((key, request)))
}

/// W3C Trace Context, any version: <https://www.w3.org/TR/trace-context/#traceparent-header>.
fn is_traceparent(value: &str) -> bool {
    let hex = |part: Option<&str>, digits: usize| {
        part.is_some_and(|part| {
            part.len() == digits && part.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'))
        })
    };
    let mut parts = value.split('-');
    hex(parts.next(), 2) && hex(parts.next(), 32) && hex(parts.next(), 16) && hex(parts.next(), 2)
}

/// An RFC 8941 string (quoted, `\"` and `\\` escaped), or the bare value.
fn idempotency_key<'a>(value: &Cow<'a, str>) -> Result<Cow<'a, str>, Problem> {
    let problem = || {
        let what = format!(
            "a string of 1 to {KEY_CHARS_MAX} characters, quoted or bare, not starting with ~"
        );
        invalid("Idempotency-Key", &what, KEY_CHARS_MAX)
    };
    let key: Cow<'a, str> = match value.strip_prefix('"') {
        None => value.clone(),
        Some(rest) => {
            let inner = rest.strip_suffix('"').ok_or_else(problem)?;
            let mut key = String::with_capacity(inner.len());
            let mut chars = inner.chars();
            while let Some(c) = chars.next() {
                match c {
                    '\\' => key.push(
                        chars.next().filter(|c| matches!(c, '"' | '\\')).ok_or_else(problem)?,
                    ),
                    '"' => return Err(problem()),
                    c => key.push(c),
                }
            }
            Cow::Owned(key)
        }
    };
    let fine = (1..=KEY_CHARS_MAX).contains(&key.len()) && !key.starts_with('~');
    if fine { Ok(key) } else { Err(problem()) }
}

/// `Foldlog-Meta-*` pairs as one JSON object, names sorted.
fn meta(headers: &Headers<'_>) -> Result<Option<String>, Problem> {
    let names = headers.names("foldlog-meta-");
    if names.is_empty() {
        return Ok(None);
    }
    if names.len() > META_COUNT_MAX {
        return Err(invalid(
            "Foldlog-Meta-*",
            &format!("given at most {META_COUNT_MAX} times"),
            META_COUNT_MAX,
        ));
    }
    let mut out = String::from("{");
    for name in names {
        let header = format!("foldlog-meta-{name}");
        if !(1..=META_NAME_CHARS_MAX).contains(&name.len()) {
            let what = format!("named by 1 to {META_NAME_CHARS_MAX} characters after the prefix");
            return Err(invalid("Foldlog-Meta-*", &what, META_NAME_CHARS_MAX));
        }
        let value = headers.one(&header)?.unwrap_or_default();
        if value.len() > META_VALUE_CHARS_MAX {
            let what = format!("at most {META_VALUE_CHARS_MAX} characters long");
            return Err(invalid(&header, &what, META_VALUE_CHARS_MAX));
        }
        if out.len() > 1 {
            out.push(',');
        }
        push_string(&mut out, name);
        out.push(':');
        push_string(&mut out, &value);
    }
    out.push('}');
    Ok(Some(out))
}

/// Whether a command was done before.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Repeated {
    /// It was not.
    No,
    /// Under the same idempotency key: its answer is the first one again.
    ByKey,
    /// Its events exist: they are told, and nothing came into being or was started.
    ByEventIds,
}

/// Whether the answer tells the schemas that the command gave.
pub fn shows_schemas(aggregate: &AggregateSpec, command: &CommandSpec) -> bool {
    aggregate.aggregate_type == TOPIC_DEFINITION && command.creates
}

/// The answer to a command that was done, now or before; `more` are further members, each with a
/// comma before it.
pub fn answer(
    parsed: &Parsed,
    (aggregate, command): (&AggregateSpec, &CommandSpec),
    (answered, more): (&Answered, &str),
    repeated: Repeated,
    routes: &[Route],
) -> Answer {
    let mut body = String::with_capacity(320);
    body.push_str("{\"ok\":true,\"");
    body.push_str(aggregate.id_field);
    body.push_str("\":");
    push_string(&mut body, &answered.id);
    body.push_str(",\"version\":");
    push_unsigned(&mut body, answered.version);
    body.push_str(",\"position\":");
    push_unsigned(&mut body, answered.position);
    body.push_str(",\"hash\":\"");
    let offset = body.len();
    body.push_str(answered.hash.as_deref().unwrap_or(HASH_HOLE));
    body.push_str("\",\"events\":[");
    for (index, event) in answered.events.iter().enumerate() {
        body.push_str(if index > 0 { ",{\"id\":" } else { "{\"id\":" });
        push_string(&mut body, &event.id);
        body.push_str(",\"eventType\":");
        push_string(&mut body, &event.event_type);
        body.push_str(",\"version\":");
        push_unsigned(&mut body, event.version);
        body.push_str(",\"position\":");
        push_unsigned(&mut body, event.position);
        body.push('}');
    }
    body.push(']');
    body.push_str(more);
    body.push('}');
    let known = repeated == Repeated::ByEventIds;
    let created = answered.created && !answered.events.is_empty() && !known;
    let status = match command.kind {
        _ if known => 200,
        CommandKind::Started => 202,
        CommandKind::Whole | CommandKind::Internal if created => 201,
        _ => 200,
    };
    let mut answer = Answer::json(body).status(status);
    answer = answer
        .etag(answered.version)
        .header("Foldlog-Position", format!("{}", answered.position))
        .hash_header("Foldlog-Hash", answered.hash.as_deref(), answered.position);
    if answered.hash.is_none() {
        answer = answer.hash_at(offset, answered.position);
    }
    if created {
        let place = match shows_schemas(aggregate, command) {
            true => format!("/topics/{}", answered.id),
            false => place(routes, aggregate, Serves::State, &answered.id),
        };
        answer = answer.header("Location", format!("{}{place}", parsed.prefix));
    }
    match repeated {
        Repeated::No => answer,
        _ => answer.header("Idempotency-Replayed", "true".into()),
    }
}
