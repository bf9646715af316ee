//! Routes about the log as a whole and about the process: health, head, export, the front page.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::projections;
use super::request::Parsed;
use crate::chain::HASH_HOLE;
use crate::engine::{Access, Engine, rejected};
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::protocol::{ExportFrom, Process};
use crate::read::Stop;

/// `GET /health`: 503 with reasons when something needs a person.
pub fn health(engine: &Engine, access: &mut Access<'_>, process: &Process) -> Result<Answer, Stop> {
    let position = engine.head().position;
    let mut reasons: Vec<String> = Vec::new();
    for index in 0..engine.registry().projections.len() {
        // Reasons are rows: read for those that stopped, so that a healthy answer reads none.
        if !engine.projection(index).is_some_and(|(_, state)| state.stopped) {
            continue;
        }
        if let Some(status) = projections::status(engine, access, index)? {
            let error = status.error.unwrap_or_default();
            let at = status.position.saturating_add(1);
            reasons.push(format!("projection {} stopped at position {at}: {error}", status.name));
        }
    }
    reasons.extend(process.trouble.clone());
    let mut body = String::from("{\"status\":");
    push_string(&mut body, if reasons.is_empty() { "healthy" } else { "unhealthy" });
    if !reasons.is_empty() {
        body.push_str(",\"reasons\":[");
        for (index, reason) in reasons.iter().enumerate() {
            if index > 0 {
                body.push(',');
            }
            push_string(&mut body, reason);
        }
        body.push(']');
    }
    body.push_str(&format!(",\"consumers\":{},\"runningDispatchers\":[", engine.consumers()));
    for (index, topic) in process.dispatchers.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        push_string(&mut body, topic);
    }
    body.push_str("],\"partition\":");
    push_string(&mut body, engine.partition());
    body.push_str(&format!(",\"position\":{position},\"hash\":\""));
    let offset = body.len();
    body.push_str(HASH_HOLE);
    body.push_str("\",\"guest\":");
    body.push_str(&guest(engine));
    body.push_str(",\"host\":");
    push_string(&mut body, &process.host);
    // Nobody was told anything wrong, but there is a bug to be found.
    if engine.head().discarded > 0 {
        body.push_str(&format!(",\"snapshotsDiscarded\":{}", engine.head().discarded));
    }
    body.push_str(&format!(",\"restarts\":{}}}", process.restarts));
    let status = if reasons.is_empty() { 200 } else { 503 };
    Ok(Answer::json(body).status(status).hash_at(offset, position))
}

/// The module, for health and statistics.
pub fn guest(engine: &Engine) -> String {
    let mut out = String::from("{\"version\":");
    push_string(&mut out, engine.registry().version);
    out.push_str(",\"sha256\":\"");
    out.push_str(engine.guest());
    out.push_str("\"}");
    out
}

/// `GET /log/head`.
pub fn log_head(engine: &Engine, process: &Process) -> Answer {
    let position = engine.head().position;
    let mut body = String::from("{\"partition\":");
    push_string(&mut body, engine.partition());
    body.push_str(&format!(",\"position\":{position},\"hash\":\""));
    let offset = body.len();
    body.push_str(HASH_HOLE);
    body.push_str(&format!("\",\"checkpoint\":{}}}", process.checkpoint));
    Answer::json(body).hash_at(offset, position)
}

/// `GET /log/export`: the host streams what is stored.
pub fn log_export(parsed: &Parsed) -> Answer {
    let after = parsed.params.get("after").and_then(|after| after.parse().ok());
    let mut answer = Answer::ok(super::import::NDJSON, String::new());
    answer.export = Some(after.map_or(ExportFrom::Genesis, ExportFrom::After));
    answer
}

/// `GET /log/rejected`: entries of the journal, as stored.
pub fn rejected(access: &mut Access<'_>, parsed: &Parsed) -> Result<Answer, Stop> {
    let number = |name: &str| parsed.params.get(name).and_then(|number| number.parse().ok());
    let limit = number("limit").unwrap_or(LIST_LIMIT_DEFAULT.into());
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let (found, more) = rejected::page(access, number("after"), limit)?;
    let entries: Vec<&str> = found.iter().map(|(_, entry)| entry.as_str()).collect();
    let last = found.last().filter(|_| more).map(|(number, _)| number.to_string());
    Ok(Answer::json(format!("[{}]", entries.join(","))).next(parsed, last.as_deref()))
}

/// `GET /`: what this is, for a person with a browser.
pub fn index() -> Answer {
    let page = "<!doctype html>\n<html lang=\"en\"><meta charset=\"utf-8\"><meta name=\"viewport\" \
        content=\"width=device-width\"><title>Foldlog</title>\n\
        <style>body{font:16px/1.5 system-ui,sans-serif;max-width:40em;margin:3em auto;padding:0 1em}\
        code{background:#8882;padding:.1em .3em}</style>\n\
        <h1>Foldlog</h1>\n<p>An event-sourcing system: everything here is a fold over one log.</p>\n\
        <ul>\n<li><a href=\"/openapi.json\">/openapi.json</a>: all routes, as OpenAPI 3.1</li>\n\
        <li><a href=\"/health\">/health</a>, <a href=\"/stats\">/stats</a>: how it is</li>\n\
        <li><a href=\"/events/stream\">/events/stream</a>: what happened; \
        <a href=\"/events/live?after=0\">/events/live</a>: as it happens</li>\n\
        <li><a href=\"/projections\">/projections</a>: what follows from it</li>\n\
        <li><a href=\"/log/export\">/log/export</a>: the log, as stored</li>\n</ul>\n\
        <p>Try: <code>POST /commands/open-account</code> with \
        <code>{\"accountId\":\"a\",\"initialBalance\":1000}</code></p>\n</html>\n";
    Answer::ok("text/html; charset=utf-8", page.into())
}
