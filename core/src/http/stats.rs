//! Statistics over HTTP: of all streams, and of one.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::process;
use super::request::Parsed;
use crate::engine::{Access, Engine, StreamRow, ViewId, snapshots};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::protocol::Process;
use crate::read::Stop;
use crate::sorted::order;

/// Type and view of every kind of stream, by type; streams of unknown types last.
fn kinds(engine: &Engine) -> Vec<(&'static str, ViewId)> {
    let aggregates = engine.registry().aggregates.iter().enumerate();
    let known: Vec<_> =
        aggregates.map(|(i, a)| (a.spec().aggregate_type, engine.aggregate_view(i))).collect();
    let sorted = order(known.len(), &|a, b| known.get(a).cmp(&known.get(b)));
    let mut kinds: Vec<_> =
        sorted.iter().filter_map(|at| known.get(*at as usize).copied()).collect();
    kinds.push(("", engine.streams_view()));
    kinds
}

/// `GET /stats`.
pub fn all(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
    told: &Process,
) -> Result<Answer, Stop> {
    let limit = parsed
        .params
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(LIST_LIMIT_DEFAULT);
    let after = parsed.params.get("after").map(String::as_str).unwrap_or_default();
    if let Some((kind, _)) = kinds(engine).into_iter().find(|(_, view)| !engine.serves(*view)) {
        let what = if kind.is_empty() { "the list of streams of other types" } else { kind };
        let detail = format!("{what} is being built; it answers when it is");
        return Ok(Answer::problem(&Problem::new(Code::Restarting, detail)));
    }
    let (rows, next) = aggregates(engine, access, after, limit)?;
    let head = engine.head();
    let streams = head.streams.values().fold(0_u64, |sum, count| sum.saturating_add(*count));
    let mut body = format!(
        "{{\"totalEvents\":{},\"totalAggregates\":{streams},\"totalSnapshots\":{},\"eventsByType\":{{",
        head.position,
        engine.snapshots_kept()
    );
    for (index, (event_type, count)) in head.events.iter().enumerate() {
        if index > 0 {
            body.push(',');
        }
        push_string(&mut body, event_type);
        body.push_str(&format!(":{count}"));
    }
    body.push_str("},\"aggregates\":[");
    for (index, (stream, version)) in rows.iter().enumerate() {
        body.push_str(if index > 0 { ",{\"aggregate\":" } else { "{\"aggregate\":" });
        push_string(&mut body, stream);
        body.push_str(&format!(",\"eventCount\":{version},\"latestVersion\":{version}}}"));
    }
    body.push_str(&format!(
        "],\"commandsProcessed\":{},\"commandsRejected\":{},\"uptimeSeconds\":{},\"restarts\":{},\
         \"projections\":{},\"processingMicros\":{{\"p50\":{},\"p99\":{}}},\"guest\":{}}}",
        told.commands_processed,
        told.commands_rejected,
        told.uptime_seconds,
        told.restarts,
        engine.registry().projections.len(),
        told.p50_micros,
        told.p99_micros,
        process::guest(engine),
    ));
    Ok(Answer::json(body).next(parsed, next.as_deref()))
}

/// A page of streams with their versions, ordered by type and id.
#[expect(clippy::type_complexity, reason = "rows and where they go on")]
fn aggregates(
    engine: &Engine,
    access: &mut Access<'_>,
    after: &str,
    limit: u32,
) -> Result<(Vec<(String, u64)>, Option<String>), Stop> {
    let limit_rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let (after_type, after_id) = ids::split_stream(after).unwrap_or((after, ""));
    let known = engine.registry().by_type(after_type).is_some();
    let mut rows: Vec<(String, u64)> = Vec::new();
    for (aggregate_type, view) in kinds(engine) {
        let start = match aggregate_type {
            "" if known => "",
            "" => after,
            t if !after.is_empty() && (!known || t < after_type) => continue,
            t if t == after_type => after_id,
            _ => "",
        };
        let wanted = limit.saturating_add(1);
        for (key, bytes) in access.range(view, b"", start.as_bytes(), wanted)? {
            let id = String::from_utf8_lossy(&key).into_owned();
            let name =
                if aggregate_type.is_empty() { id } else { ids::stream_name(aggregate_type, &id) };
            rows.push((name, StreamRow::read(&bytes)?.version()));
        }
        if rows.len() > limit_rows {
            break;
        }
    }
    let more = rows.len() > limit_rows;
    rows.truncate(limit_rows);
    let next = rows.last().filter(|_| more).map(|(name, _)| name.to_string());
    Ok((rows, next))
}

/// `GET /stats/{aggregateType}/{id}`.
pub fn aggregate(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let (aggregate_type, id) = (parsed.id.as_str(), parsed.second.as_str());
    let stream = ids::stream_name(aggregate_type, id);
    let version = engine.stream_version(access, aggregate_type, id)?;
    if version == 0 {
        let detail = format!("there is no stream {stream}");
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    }
    let snapshot = match engine.registry().by_type(aggregate_type) {
        Some((index, aggregate)) => {
            let own = (engine.snapshots_view(index), aggregate.spec().revision);
            snapshots::latest(access, own, &stream)?.map(|snapshot| snapshot.version)
        }
        None => None,
    };
    let mut body = String::from("{\"aggregate\":");
    push_string(&mut body, &stream);
    let shown = snapshot.map_or_else(|| "null".to_string(), |version| version.to_string());
    body.push_str(&format!(
        ",\"eventCount\":{version},\"latestVersion\":{version},\"hasSnapshot\":{},\"snapshotVersion\":{shown}}}",
        snapshot.is_some()
    ));
    Ok(Answer::json(body))
}
