//! The HTTP contract: requests in, answers out, the same on every host.
//!
//! Reading order: `request` (a request's parts, checked in the contract's order; with `body`),
//! `routes` (the table that routes and publishes), `answer` (what is sent back), then one file per
//! group of routes, and `openapi` (the table as a document).
//!
//! Owns every byte of an answer but the hashes. Refuses to know sockets and stores. Statuses of
//! errors come from the table in `errors`; those of successes are chosen in `answer`.

mod answer;
mod body;
mod commands;
mod consumers;
mod delivered;
mod effects;
mod events;
mod headers;
mod import;
mod live;
mod matching;
mod openapi;
mod ownership;
mod partitions;
mod process;
mod projections;
mod publish;
mod queries;
mod request;
mod routes;
mod shown;
mod stats;
mod topics;
#[cfg(test)]
mod tests;

pub use answer::Answer;
pub use delivered::page as topic_page;
pub use import::{is_import, not_empty, too_large};
pub use live::PAGE;
pub use publish::{body_bytes_max, decide_publication};
pub use request::{Parsed, parse, partition_of};
pub use routes::{Action, Of, Route, table};
pub use shown::{Form, push as push_record};

use alloc::string::String;

use commands::Repeated;

use crate::decider::{AggregateSpec, CommandSpec, Named};
use crate::engine::{Access, Answered, Decided, Engine, Missing, Proposal, postings};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::protocol::{Kind, Process, Stamp};
use crate::read::Stop;

/// An answer, and the commit it belongs to.
#[derive(Debug)]
pub struct Handled {
    /// What is sent back.
    pub answer: Answer,
    /// What it was, for counting.
    pub kind: Kind,
    /// What is to be taken in.
    pub proposal: Option<Proposal>,
    /// The projection to be built anew.
    pub rebuild: Option<usize>,
}

/// The answer to a command that is refused.
pub fn refused(problem: &Problem) -> Handled {
    read(Answer::problem(problem), Kind::Rejected)
}

/// Handles one parsed request. `Err` names what is missing; nothing changes either way.
pub fn handle(
    engine: &Engine,
    routes: &[Route],
    mut access: Access<'_>,
    parsed: &Parsed,
    stamp: &Stamp,
    process: &Process,
) -> Result<Handled, Missing> {
    if let Some(problem) = ownership::refusal(parsed.action, process) {
        return Ok(refused(&problem));
    }
    if let Action::Command { aggregate, command } = parsed.action {
        return decided(engine, routes, access, (aggregate, command), (parsed, stamp));
    }
    if let Action::TakeSnapshot { aggregate } = parsed.action {
        return queries::take_snapshot(engine, routes, access, aggregate, parsed);
    }
    match parsed.action {
        Action::Rebuild => return Ok(projections::rebuild(engine, parsed)),
        Action::Resume => return ownership::resume(engine, access, stamp, process),
        Action::RetryEffect => return effects::retry(engine, access, parsed, stamp, process),
        Action::Publish => return publish::publish(engine, access, parsed, stamp),
        Action::LogImport => return Ok(import::begin(engine, parsed)),
        Action::Consumers(of) if of != Of::List => {
            return consumers::decide(engine, access, (of, parsed), stamp);
        }
        _ => {}
    }
    let answer = match parsed.action {
        Action::Query { aggregate } => queries::state(engine, &mut access, aggregate, parsed),
        Action::Snapshot { aggregate } => queries::snapshot(engine, &mut access, aggregate, parsed),
        Action::AggregateStats => stats::aggregate(engine, &mut access, parsed),
        Action::Stats => stats::all(engine, &mut access, parsed, process),
        Action::EventStream => events::stream(engine, &mut access, parsed),
        Action::EventsOf { aggregate } => {
            events::of_aggregate(engine, &mut access, aggregate, parsed)
        }
        Action::EventById => events::by_id(engine, &mut access, parsed),
        Action::Live { .. } => live::answer(engine, &mut access, parsed),
        Action::Topic => topics::one(engine, &mut access, parsed),
        Action::TopicEvents => topics::events(engine, &mut access, parsed),
        Action::Effects => effects::list(&mut access, parsed, process),
        Action::Consumers(_) => consumers::list(&mut access, parsed, process),
        Action::Partitions => Ok(partitions::list(parsed)),
        Action::Projections => projections::list(engine, &mut access),
        Action::Projection => projections::one(engine, &mut access, parsed),
        Action::List { name } => projections::listed(engine, &mut access, parsed, name),
        Action::Health => process::health(engine, &mut access, process),
        Action::LogHead => Ok(process::log_head(engine, process)),
        Action::LogExport => Ok(process::log_export(parsed)),
        Action::Rejected => process::rejected(&mut access, parsed),
        Action::OpenApi => Ok(openapi::answer(engine.registry(), routes)),
        Action::Index => Ok(process::index()),
        Action::Command { .. }
        | Action::TakeSnapshot { .. }
        | Action::Rebuild
        | Action::Resume
        | Action::RetryEffect
        | Action::Publish
        | Action::LogImport => Ok(Answer::problem(&Problem::new(Code::Internal, "unreachable"))),
    };
    finish(answer, &mut access)
}

/// Decides a client's command.
fn decided(
    engine: &Engine,
    routes: &[Route],
    mut access: Access<'_>,
    (aggregate, command): (&'static AggregateSpec, &'static CommandSpec),
    (parsed, stamp): (&Parsed, &Stamp),
) -> Result<Handled, Missing> {
    // Who creates something may leave its name to us. It stands in the commit, as any other.
    let unnamed = parsed.id.is_empty();
    let made = unnamed.then(|| name(engine, &mut access, aggregate, stamp)).transpose();
    let Ok(made) = made else { return Err(access.take_missing()) };
    let id = made.as_deref().unwrap_or(&parsed.id);
    let input = commands::input(aggregate, command, parsed, id, stamp);
    // What a topic has from its first commit on, or an earlier one has already.
    let topic = commands::shows_schemas(aggregate, command)
        .then(|| topics::to_create(engine, &mut access, id));
    let since = match topic.transpose() {
        Ok(Some(Ok(since))) => since,
        Ok(Some(Err(problem))) => return Ok(refused(&problem)),
        Ok(None) => None,
        Err(Stop::Miss) => return Err(access.take_missing()),
        Err(Stop::Fault(what)) => return Ok(refused(&Problem::new(Code::Internal, what))),
    };
    let told = |answered: &Answered, repeated| {
        let created = answered.events.is_empty().then_some(since.as_deref()).flatten();
        let more = match commands::shows_schemas(aggregate, command) {
            true => topics::created(&parsed.data, answered, created),
            false => String::new(),
        };
        let (of, answered) = ((aggregate, command), (answered, more.as_str()));
        read(commands::answer(parsed, of, answered, repeated, routes), Kind::Command)
    };
    Ok(match engine.propose(access, &input)? {
        Decided::Proposed(answered, proposal) => {
            Handled { proposal: Some(*proposal), ..told(&answered, Repeated::No) }
        }
        Decided::Nothing(answered) => told(&answered, Repeated::No),
        Decided::Replayed(answered) => told(&answered, Repeated::ByKey),
        Decided::Known(known) => {
            let id = if unnamed { known.id.clone() } else { parsed.id.clone() };
            told(&Answered { id, ..known }, Repeated::ByEventIds)
        }
        Decided::Rejected(problem) => read(Answer::problem(&problem), Kind::Rejected),
    })
}

/// A name for a stream that whoever creates it leaves unnamed.
fn name(
    engine: &Engine,
    access: &mut Access<'_>,
    aggregate: &AggregateSpec,
    stamp: &Stamp,
) -> Result<String, Stop> {
    let known = engine.registry().by_type(aggregate.aggregate_type);
    match known.map_or(Named::Uuid, |(_, aggregate)| aggregate.named()) {
        Named::Uuid => Ok(ids::uuid(stamp.entropy)),
        Named::Counted { prefix, event } => {
            let index = access.postings_view();
            let count = postings::count(access, index, &postings::type_term(event))?;
            Ok(alloc::format!("{prefix}{}", count.saturating_add(1)))
        }
    }
}

/// An answer that proposes nothing, or what it still needs.
fn finish(answer: Result<Answer, Stop>, access: &mut Access<'_>) -> Result<Handled, Missing> {
    match answer {
        Ok(answer) => Ok(read(answer, Kind::Read)),
        Err(Stop::Miss) => Err(access.take_missing()),
        Err(Stop::Fault(what)) => {
            let detail = alloc::format!("the answer could not be made: {what}");
            Ok(read(Answer::problem(&Problem::new(Code::Internal, detail)), Kind::Read))
        }
    }
}

const fn read(answer: Answer, kind: Kind) -> Handled {
    Handled { answer, kind, proposal: None, rebuild: None }
}
