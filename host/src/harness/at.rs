//! `foldlog at`: a projection or a stream's state as of a position or a time, folded from the log.
//!
//! Owns what is asked for. What is shown is what `GET /projections` and `GET /queries` answered
//! then.

use std::process::ExitCode;

use foldlog_core::driver::describe;
use foldlog_core::ids;
use serde::Deserialize;

use super::commits;
use super::past::{Past, Until, escape};
use super::replay::module;
use super::source::Source;
use crate::cli::{At, print};
use crate::json::Object;

/// Folds it and prints the answer.
pub fn run(at: &At) -> Result<ExitCode, String> {
    let until = match (&at.time, at.position) {
        (Some(text), _) => Until::Time(commits::time("--time", text)?),
        (None, position) => Until::Position(position.unwrap_or(u64::MAX)),
    };
    let source = Source::open(&at.source.source, &at.source.partition)?;
    let genesis = commits::genesis(&source)?;
    let cut = until.cut(&source, &genesis)?;
    let (position, hash) = (cut.position, cut.hash());
    let mut module = module(at.source.guest.as_deref())?;
    let routes = describe(&mut module).map_err(|failure| failure.to_string())?.routes;
    let mut past = Past::open(&source, module, cut)?;
    let (name, body) = match &at.aggregate {
        Some(stream) => ("aggregate", state(&mut past, &routes, stream)?),
        None if at.projection.is_some() => ("projection", past.body(&projection(at))?),
        None => ("projections", past.body(&projection(at))?),
    };
    if at.source.json {
        let object = Object::default().token("position", position).text("hash", &hash);
        print(&object.token(name, body).end());
    } else {
        print(&format!("as of     {position} {hash}"));
        print(&body);
    }
    Ok(ExitCode::SUCCESS)
}

fn projection(at: &At) -> String {
    let mut target = String::from("/projections");
    if let Some(name) = &at.projection {
        target.push('/');
        escape(&mut target, name);
        target.push_str(&format!("?limit={}", at.limit));
        if let Some(after) = &at.after {
            target.push_str("&after=");
            escape(&mut target, after);
        }
    }
    target
}

/// The state of a stream. Routes name aggregates by their names in paths, and only events tell the
/// types of those: of all that have events under this id, the one whose events say so is meant.
fn state(past: &mut Past<'_>, routes: &[String], stream: &str) -> Result<String, String> {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Event {
        aggregate_type: String,
    }
    let (kind, id) = ids::split_stream(stream)
        .ok_or_else(|| format!("--aggregate must be TYPE:ID, not `{stream}`"))?;
    let mut own = String::new();
    escape(&mut own, id);
    let names = routes.iter().filter_map(|route| {
        route.strip_prefix("GET /queries/").and_then(|rest| rest.strip_suffix("/{id}"))
    });
    for name in names {
        let response = past.get(&format!("/events/{name}/{own}?limit=1"))?;
        let events: Vec<Event> = serde_json::from_slice(&response.body).unwrap_or_default();
        if events.first().is_some_and(|event| event.aggregate_type == kind) {
            return past.body(&format!("/queries/{name}/{own}"));
        }
    }
    Err(format!("there was no stream {stream} then, of a type that the guest knows"))
}
