//! One aggregate over HTTP: its state now or as of then, and its snapshots.
//!
//! Owns what "as of then" means: a version of the stream, or the last one recorded up to a time.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;

use super::Handled;
use super::answer::Answer;
use super::request::Parsed;
use super::routes::{Route, place};
use crate::chain::HASH_HOLE;
use crate::commit::Commit;
use crate::decider::{AggregateSpec, AnyAggregate, Serves};
use crate::engine::snapshots::{self, Snapshot};
use crate::engine::{Access, Engine, Missing, StreamRow, Wanted, first_position_at, postings};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::json::push_string;
use crate::protocol::Kind;
use crate::read::{Reader, Stop};
use crate::time::Time;

/// As of when a state is asked for.
enum AsOf {
    Now,
    Version(u64),
    Time(Time),
}

fn as_of(parsed: &Parsed) -> Result<AsOf, Problem> {
    let mut given = ["atVersion", "toSequence", "atTime", "toTimestamp"]
        .into_iter()
        .filter_map(|name| parsed.params.get(name).map(|value| (name, value)));
    let Some((name, value)) = given.next() else { return Ok(AsOf::Now) };
    if let Some((other, _)) = given.next() {
        let detail = format!("query parameters `{name}` and `{other}` exclude each other");
        return Err(Problem::new(Code::InvalidParameter, detail).text("field", other));
    }
    // Their forms were checked with the route's parameters.
    Ok(match name {
        "atVersion" | "toSequence" => AsOf::Version(value.parse().unwrap_or_default()),
        _ => AsOf::Time(Time::parse_iso(value).unwrap_or_default()),
    })
}

/// `GET /queries/<name>/{id}`.
pub fn state(
    engine: &Engine,
    access: &mut Access<'_>,
    spec: &AggregateSpec,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let asked = match as_of(parsed) {
        Ok(asked) => asked,
        Err(problem) => return Ok(Answer::problem(&problem)),
    };
    let Some((index, aggregate)) = engine.registry().by_type(spec.aggregate_type) else {
        return Err(Stop::Fault("the aggregate is not registered".into()));
    };
    let view = engine.aggregate_view(index);
    let current = engine.stream_version(access, spec.aggregate_type, &parsed.id)?;
    if current == 0 {
        let detail = format!("there is no {} {}", spec.name, parsed.id);
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    }
    let stream = ids::stream_name(spec.aggregate_type, &parsed.id);
    let term = postings::stream_term(&stream);
    let version = match asked {
        AsOf::Now => current,
        AsOf::Version(version) => version,
        AsOf::Time(time) => {
            let beyond = first_position_at(access, Time(time.0.saturating_add(1)))?;
            let view = access.postings_view();
            postings::count_to(access, view, &term, beyond.saturating_sub(1))?
        }
    };
    if version == 0 || version > current {
        let (name, id) = (spec.name, &parsed.id);
        let detail = match version {
            0 => format!("{name} {id} was not there yet; it is at version {current} now"),
            _ => format!("{name} {id} is at version {current}; there is no version {version}"),
        };
        let problem = Problem::new(Code::NotFound, detail).number("currentVersion", current);
        return Ok(Answer::problem(&problem));
    }
    let known = parsed.known_versions.as_ref();
    if known.is_some_and(|known| known.is_empty() || known.contains(&version)) {
        return Ok(Answer::not_modified(version));
    }
    let (row, until) = if version == current {
        (engine.stream_row(access, index, &parsed.id)?.map(Cow::into_owned), None)
    } else {
        let wanted = Wanted { aggregate: index, id: parsed.id.clone(), version };
        let then = access.state_at(wanted)?;
        (Some(then.row), Some(then.position))
    };
    let body = match StreamRow::read(&row.unwrap_or_default())? {
        StreamRow::Blocked(blocked) => return Ok(Answer::problem(&blocked.problem(&stream))),
        StreamRow::State(_, state) => {
            let mut reader = match until {
                Some(until) => Reader::until(access, view, until),
                None => Reader::new(access, view),
            };
            aggregate.show(&parsed.id, version, state, &mut reader)?
        }
    };
    Ok(Answer::json(body).etag(version))
}

/// `GET /snapshots/<name>/{id}`.
pub fn snapshot(
    engine: &Engine,
    access: &mut Access<'_>,
    spec: &AggregateSpec,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let Some((index, aggregate)) = engine.registry().by_type(spec.aggregate_type) else {
        return Err(Stop::Fault("the aggregate is not registered".into()));
    };
    if !engine.serves(engine.aggregate_view(index)) {
        let detail = format!("{} is being built; it answers when it is", spec.aggregate_type);
        return Ok(Answer::problem(&Problem::new(Code::Restarting, detail)));
    }
    let stream = ids::stream_name(spec.aggregate_type, &parsed.id);
    let own = (engine.snapshots_view(index), spec.revision);
    let Some(found) = snapshots::latest(access, own, &stream)? else {
        let detail = format!("there is no snapshot of {} {}", spec.name, parsed.id);
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    };
    let wanted = Wanted { aggregate: index, id: parsed.id.clone(), version: found.version };
    // Both are tried before a miss is told.
    let then = access.state_at(wanted);
    access.commits(&[found.position])?;
    match StreamRow::read(&then?.row)? {
        StreamRow::Blocked(blocked) => Ok(Answer::problem(&blocked.problem(&stream))),
        StreamRow::State(_, state) => {
            shown(access, aggregate, parsed, &Snapshot { state: state.to_vec(), ..found })
        }
    }
}

/// A snapshot as JSON, with the hash of the commit that it stands at.
fn shown(
    access: &mut Access<'_>,
    aggregate: &dyn AnyAggregate,
    parsed: &Parsed,
    found: &Snapshot,
) -> Result<Answer, Stop> {
    let lines = access.commits(&[found.position])?;
    let commit = lines.first().and_then(|line| Commit::parse(line).ok());
    let hash = commit.as_ref().and_then(|commit| commit.hash.as_deref()).unwrap_or(HASH_HOLE);
    let mut body = String::from("{\"aggregateId\":");
    push_string(&mut body, &parsed.id);
    body.push_str(",\"aggregateType\":");
    push_string(&mut body, aggregate.spec().aggregate_type);
    body.push_str(&format!(
        ",\"version\":{},\"schemaVersion\":\"{}.0.0\",\"state\":{},\"timestamp\":\"",
        found.version,
        found.revision,
        aggregate.state_json(&found.state)?
    ));
    found.time.push_iso(&mut body);
    body.push_str(&format!("\",\"metadata\":{{\"position\":{},\"hash\":\"", found.position));
    let offset = body.len();
    body.push_str(hash);
    body.push_str("\"}}");
    let answer = Answer::json(body).etag(found.version);
    Ok(if hash == HASH_HOLE { answer.hash_at(offset, found.position) } else { answer })
}

/// `POST /snapshots/<name>/{id}`: stored before it is answered.
pub fn take_snapshot(
    engine: &Engine,
    routes: &[Route],
    mut access: Access<'_>,
    spec: &AggregateSpec,
    parsed: &Parsed,
) -> Result<Handled, Missing> {
    let taken = take(engine, &mut access, spec, parsed);
    let (answer, snapshot) = match taken {
        Ok((answer, Some(snapshot))) => {
            let place = place(routes, spec, Serves::LatestSnapshot, &parsed.id);
            (answer.header("Location", format!("{}{place}", parsed.prefix)), snapshot)
        }
        Ok((answer, None)) => return super::finish(Ok(answer), &mut access),
        Err(stop) => return super::finish(Err(stop), &mut access),
    };
    let stream = ids::stream_name(spec.aggregate_type, &parsed.id);
    let proposal = engine.propose_snapshot(access, &stream, snapshot)?;
    Ok(Handled { answer, kind: Kind::Read, proposal: Some(proposal), rebuild: None })
}

/// The answer, and the snapshot that is to be kept for it.
fn take(
    engine: &Engine,
    access: &mut Access<'_>,
    spec: &AggregateSpec,
    parsed: &Parsed,
) -> Result<(Answer, Option<Snapshot>), Stop> {
    let Some((index, aggregate)) = engine.registry().by_type(spec.aggregate_type) else {
        return Err(Stop::Fault("the aggregate is not registered".into()));
    };
    let row = engine.stream_row(access, index, &parsed.id)?.map(Cow::into_owned);
    let Some(row) = row else {
        let detail = format!("there is no {} {}", spec.name, parsed.id);
        return Ok((Answer::problem(&Problem::new(Code::NotFound, detail)), None));
    };
    let stream = ids::stream_name(spec.aggregate_type, &parsed.id);
    let (version, state) = match StreamRow::read(&row)? {
        StreamRow::State(version, state) => (version, state),
        StreamRow::Blocked(blocked) => {
            return Ok((Answer::problem(&blocked.problem(&stream)), None));
        }
    };
    let own = (engine.snapshots_view(index), spec.revision);
    let same = |found: &Snapshot| (found.version, found.state.as_slice()) == (version, state);
    let latest = snapshots::latest(access, own, &stream)?;
    if let Some(found) = latest.filter(|found| same(found) && !parsed.force) {
        return Ok((shown(access, aggregate, parsed, &found)?, None));
    }
    let index = access.postings_view();
    let last = postings::before(access, index, &postings::stream_term(&stream), None, 1)?;
    let position = last.first().copied().unwrap_or_default();
    let lines = access.commits(&[position])?;
    let commit = lines.first().and_then(|line| Commit::parse(line).ok());
    let time = commit.and_then(|commit| Time::parse_iso(&commit.time)).unwrap_or_default();
    let snapshot =
        Snapshot { version, position, time, revision: spec.revision, state: state.to_vec() };
    let answer = shown(access, aggregate, parsed, &snapshot)?.status(201);
    Ok((answer, Some(snapshot)))
}
