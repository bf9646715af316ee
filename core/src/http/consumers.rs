//! Consumers over HTTP: registering, listing, removing, a new secret.
//!
//! Owns what these take and answer. Refuses to know secrets: the guest leaves room for them, the
//! driver fills it. Refuses to deliver anything.
//!
//! An answer follows from its commit alone, so that a repetition under the same idempotency key gets
//! the first one again, byte for byte.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};

use super::answer::Answer;
use super::commands::Repeated;
use super::request::{Headers, Parsed};
use super::routes::Of;
use super::topics::{position_in, term};
use super::{Handled, read, refused};
use crate::chain::HASH_HOLE;
use crate::commit::Commit;
use crate::decider::CommandSpec;
use crate::engine::consumers::{self, At, Listed, Registered, Told, generation_of, word};
use crate::engine::{Access, Answered, Decided, Engine, Missing};
use crate::errors::{Code, Problem};
use crate::fields::{Field, FieldKind, Fields};
use crate::ids;
use crate::json::{push_string, push_unsigned};
use crate::limits::{CALLBACK_CHARS_MAX, CONSUMER_TOPICS_MAX, CONSUMERS_MAX, LIST_LIMIT_DEFAULT};
use crate::protocol::consumers::{OnFailure, SECRET_HOLE, SecretHole};
use crate::protocol::{Kind, Process, Stamp};
use crate::read::Stop;
use crate::targets::{self, TargetError};

/// The body of `POST /consumers/register`.
pub const REGISTER_FIELDS: &[Field] = &[
    Field {
        name: "callback",
        kind: FieldKind::Text { chars_max: CALLBACK_CHARS_MAX },
        optional: false,
        doc: "URL that events are posted to: http or https, in the public network",
    },
    Field {
        name: "topics",
        kind: FieldKind::Places { count_max: CONSUMER_TOPICS_MAX },
        optional: false,
        doc: "Of which topics, each with the id of the last event that is not wanted any more; null: from the beginning",
    },
    Field {
        name: "onFailure",
        kind: FieldKind::OneOf(&["remove", "retry"]),
        optional: true,
        doc: "A delivery that fails removes the consumer at once (remove, the default) or when the tenth attempt failed (retry)",
    },
];

/// Checks the fields of a request that changes consumers.
pub fn check(of: Of, body: Option<String>, parsed: &mut Parsed) -> Result<(), Problem> {
    parsed.data = body.unwrap_or_else(|| "{}".into());
    let own = if of == Of::Register { REGISTER_FIELDS } else { &[] };
    let fields = Fields::parse(&parsed.data, own)?;
    parsed.metadata.event_ids = fields.ids("eventIds");
    let url = fields.text("callback");
    match url.as_deref().map(|url| targets::check(url, true)) {
        Some(Err(TargetError::Malformed(what))) => {
            let detail = format!("field `callback` {what}");
            Err(Problem::new(Code::InvalidField, detail).text("field", "callback"))
        }
        _ => Ok(()),
    }
}

/// Whether a body may be left out.
pub const fn takes_no_fields(of: Of) -> bool {
    !matches!(of, Of::Register)
}

/// What came of a command before its commit is made.
enum Ready {
    Told(Told),
    Refused(Problem),
}

/// Decides a command to a consumer.
pub fn decide(
    engine: &Engine,
    mut access: Access<'_>,
    (of, parsed): (Of, &Parsed),
    stamp: &Stamp,
) -> Result<Handled, Missing> {
    let made = ids::uuid(stamp.entropy);
    let (command, id): (&'static CommandSpec, &str) = match of {
        Of::Register => (&consumers::REGISTER, &made),
        Of::Remove => (&consumers::REMOVE, &parsed.id),
        Of::Rotate | Of::List => (&consumers::ROTATE, &parsed.id),
    };
    let with = (&parsed.metadata, &parsed.preconditions);
    let input = consumers::input(command, (id, &parsed.data), with, stamp);
    let repeated = engine.repeated(&mut access, &input);
    // Tried before a miss is told, so that one round supplies both.
    let ready = ready(engine, &mut access, (of, id, parsed), stamp);
    let decided = match (repeated, ready) {
        (Ok(Some(decided)), _) => decided,
        (Ok(None), Ok(Ready::Refused(problem))) => Decided::Rejected(problem),
        (Ok(None), Ok(Ready::Told(told))) => {
            let generation = match &told {
                Told::Registered(_) => Some(1),
                Told::Rotated(generation) => Some(*generation),
                Told::Removed(_) | Told::Advanced(_) => None,
            };
            return match engine.propose_consumer(access, &input, told)? {
                Decided::Proposed(answered, proposal) => {
                    let answer = answer(of, (&answered, generation), Repeated::No);
                    Ok(Handled { proposal: Some(*proposal), ..read(answer, Kind::Command) })
                }
                Decided::Rejected(problem) => Ok(refused(&problem)),
                _ => Ok(refused(&Problem::new(Code::Internal, "nothing was proposed"))),
            };
        }
        (Err(Stop::Fault(what)), _) | (_, Err(Stop::Fault(what))) => {
            return Ok(refused(&Problem::new(Code::Internal, what)));
        }
        _ => return Err(access.take_missing()),
    };
    let (answered, repeated) = match decided {
        Decided::Replayed(answered) => (answered, Repeated::ByKey),
        Decided::Known(answered) => (answered, Repeated::ByEventIds),
        Decided::Rejected(problem) => return Ok(refused(&problem)),
        Decided::Proposed(..) | Decided::Nothing(_) => {
            return Ok(refused(&Problem::new(Code::Internal, "it was not done before")));
        }
    };
    let generation = match of {
        Of::Remove => None,
        _ => match access.commits(&[answered.position]) {
            Ok(lines) => lines.first().and_then(|line| brought(line)),
            Err(_) => return Err(access.take_missing()),
        },
    };
    Ok(read(answer(of, (&answered, generation), repeated), Kind::Command))
}

/// The generation that the last event of a commit brought.
fn brought(line: &str) -> Option<u32> {
    let commit = Commit::parse(line).ok()?;
    let event = commit.events.last()?;
    generation_of(&event.event_type, event.data)
}

fn ready(
    engine: &Engine,
    access: &mut Access<'_>,
    (of, id, parsed): (Of, &str, &Parsed),
    stamp: &Stamp,
) -> Result<Ready, Stop> {
    if of == Of::Register {
        return register(engine, access, id, parsed);
    }
    let Some(consumer) = consumers::consumer(access, id)? else {
        let detail = format!("there is no consumer {id}; GET /consumers lists them");
        return Ok(Ready::Refused(Problem::new(Code::NotFound, detail)));
    };
    Ok(match of {
        Of::Remove => Ready::Told(Told::Removed("deleted".into())),
        _ => match engine.next_generation(&consumer, id, stamp) {
            Ok(generation) => Ready::Told(Told::Rotated(generation)),
            Err(problem) => Ready::Refused(problem),
        },
    })
}

fn register(
    engine: &Engine,
    access: &mut Access<'_>,
    id: &str,
    parsed: &Parsed,
) -> Result<Ready, Stop> {
    let fields = Fields::parse(&parsed.data, REGISTER_FIELDS);
    let fields = fields.map_err(|problem| Stop::Fault(problem.detail))?;
    let callback = fields.text("callback").unwrap_or_default();
    let forbidden = targets::check(&callback, engine.allows_private_callbacks()).err();
    if let Some(TargetError::Forbidden(why)) = forbidden {
        let problem = Problem::new(Code::ForbiddenTarget, why).text("field", "callback");
        return Ok(Ready::Refused(problem));
    }
    let mut topics = BTreeMap::new();
    let mut missed = false;
    for (topic, last) in fields.places("topics") {
        match place(engine, access, &topic, last.as_deref()) {
            Ok(Ok(position)) => {
                topics.insert(topic, At { id: last, position });
            }
            Ok(Err(problem)) => return Ok(Ready::Refused(problem)),
            // All are tried before a miss is told, so that one round supplies them all.
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed {
        return Err(Stop::Miss);
    }
    if engine.consumers() >= CONSUMERS_MAX {
        let detail = format!("a partition has at most {CONSUMERS_MAX} consumers");
        let problem = Problem::new(Code::LimitExceeded, detail).number("limit", CONSUMERS_MAX);
        return Ok(Ready::Refused(problem));
    }
    let retry = fields.text("onFailure").as_deref() == Some(word(OnFailure::Retry));
    let on_failure = word(if retry { OnFailure::Retry } else { OnFailure::Remove }).to_string();
    let (consumer_id, callback) = (id.to_string(), callback.into_owned());
    Ok(Ready::Told(Told::Registered(Registered { consumer_id, callback, topics, on_failure })))
}

/// From which position on events of a topic are wanted.
fn place(
    engine: &Engine,
    access: &mut Access<'_>,
    topic: &str,
    last: Option<&str>,
) -> Result<Result<u64, Problem>, Stop> {
    let missing = |detail: String| Problem::new(Code::NotFound, detail).text("field", "topics");
    if term(engine, access, topic)?.is_none() {
        return Ok(Err(missing(format!("there is no topic {topic}"))));
    }
    let Some(id) = last else { return Ok(Ok(0)) };
    let position = position_in(access, topic, id)?;
    Ok(position.ok_or_else(|| missing(format!("topic {topic} has no event {id}"))))
}

/// What a command to a consumer is answered with: `generation` is that of the secret to be told.
fn answer(of: Of, (answered, generation): (&Answered, Option<u32>), repeated: Repeated) -> Answer {
    let mut body = String::with_capacity(400);
    body.push_str("{\"ok\":true,\"consumerId\":");
    push_string(&mut body, &answered.id);
    body.push_str(",\"secret\":\"");
    let secret_at = body.len() as u64;
    body.push_str(SECRET_HOLE);
    body.push_str("\",\"version\":");
    push_unsigned(&mut body, answered.version);
    body.push_str(",\"position\":");
    push_unsigned(&mut body, answered.position);
    body.push_str(",\"hash\":\"");
    let hash_at = body.len();
    body.push_str(answered.hash.as_deref().unwrap_or(HASH_HOLE));
    body.push_str("\"}");
    let removed = of == Of::Remove;
    let status = match of {
        Of::Register if repeated != Repeated::ByEventIds => 201,
        Of::Remove => 204,
        _ => 200,
    };
    let mut answer = if removed { Answer::empty() } else { Answer::json(body) };
    answer = answer
        .status(status)
        .etag(answered.version)
        .header("Foldlog-Position", answered.position.to_string())
        .hash_header("Foldlog-Hash", answered.hash.as_deref(), answered.position);
    if !removed {
        if answered.hash.is_none() {
            answer = answer.hash_at(hash_at, answered.position);
        }
        answer.secret = generation.map(|generation| SecretHole {
            offset: secret_at,
            consumer: answered.id.clone(),
            generation,
        });
    }
    match repeated {
        Repeated::No => answer,
        _ => answer.header("Idempotency-Replayed", "true".into()),
    }
}

/// `GET /consumers`, by id.
pub fn list(access: &mut Access<'_>, parsed: &Parsed, process: &Process) -> Result<Answer, Stop> {
    let param = |name: &str| parsed.params.get(name).map(String::as_str);
    let limit = param("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LIST_LIMIT_DEFAULT);
    let after = param("after").unwrap_or_default();
    let rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = consumers::page(access, after, limit.saturating_add(1))?;
    let more = found.len() > rows;
    found.truncate(rows);
    let last = found.last().map(|listed| listed.id.clone()).filter(|_| more);
    let mut body = String::from("[");
    for (index, Listed { id, consumer, .. }) in found.iter().enumerate() {
        body.push_str(if index > 0 { ",{\"consumerId\":" } else { "{\"consumerId\":" });
        push_string(&mut body, id);
        body.push_str(",\"callback\":");
        push_string(&mut body, &consumer.callback);
        body.push_str(",\"topics\":{");
        for (index, (topic, place)) in consumer.topics.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            push_string(&mut body, topic);
            body.push(':');
            match &place.id {
                Some(id) => push_string(&mut body, id),
                None => body.push_str("null"),
            }
        }
        let retrying = process.retrying.contains(id);
        let status = if retrying { "retrying" } else { "active" };
        let on_failure = word(consumer.on_failure);
        body.push_str(&format!("}},\"onFailure\":\"{on_failure}\",\"status\":\"{status}\"}}"));
    }
    body.push(']');
    Ok(Answer::json(body).next(parsed, last.as_deref()))
}

/// The headers that commands take, and the fields of the body.
pub fn parse(
    of: Of,
    (headers, fingerprint): (&Headers<'_>, Option<[u8; 32]>),
    body: Option<String>,
    parsed: &mut Parsed,
) -> Result<(), Problem> {
    super::commands::check_headers(headers, fingerprint, parsed)?;
    check(of, body, parsed)
}
