//! The outbox over HTTP: `GET /effects`, `POST /effects/{id}/retry`.

use alloc::format;
use alloc::string::String;

use super::answer::Answer;
use super::request::Parsed;
use super::{Handled, read};
use crate::engine::outbox::{self, Call, CallStatus, effect_id};
use crate::engine::{Access, Engine, Missing, Retry};
use crate::errors::{Code, Problem};
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::protocol::{Kind, Process, Stamp, Standing};
use crate::read::Stop;
use crate::time::Time;

/// What `status=` can be. `running` and `held` are told of effects that wait by the log: what the
/// process does with them is not in it.
pub const STATUSES: &[&str] = &["pending", "running", "succeeded", "dead", "held"];

/// `GET /effects`, in the order in which they were asked for.
pub fn list(access: &mut Access<'_>, parsed: &Parsed, process: &Process) -> Result<Answer, Stop> {
    let param = |name: &str| parsed.params.get(name).map(String::as_str);
    let limit = param("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LIST_LIMIT_DEFAULT);
    let after = match param("after") {
        None => None,
        Some(id) => match outbox::place_of(id) {
            Some(place) => Some(place),
            None => {
                let detail = "query parameter `after` must be the id of an effect";
                let problem = Problem::new(Code::InvalidParameter, detail).text("field", "after");
                return Ok(Answer::problem(&problem));
            }
        },
    };
    let wanted = param("status");
    let by_log = wanted.map(|wanted| match wanted {
        "succeeded" => CallStatus::Succeeded,
        "dead" => CallStatus::Dead,
        _ => CallStatus::Pending,
    });
    let rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut found = outbox::page(access, by_log, after, limit.saturating_add(1))?;
    let more = found.len() > rows;
    found.truncate(rows);
    let last = found.last().map(|(which, call)| effect_id(*which, &call.incarnation));
    let mut body = String::from("[");
    for (which, call) in &found {
        let status = status(*which, call, process);
        if wanted.is_some_and(|wanted| wanted != status) {
            continue;
        }
        if body.len() > 1 {
            body.push(',');
        }
        push(&mut body, &effect_id(*which, &call.incarnation), call, status);
    }
    body.push(']');
    Ok(Answer::json(body).next(parsed, last.as_deref().filter(|_| more)))
}

/// `POST /effects/{id}/retry`: it is due at once, as if it had not been attempted yet.
pub fn retry(
    engine: &Engine,
    access: Access<'_>,
    parsed: &Parsed,
    stamp: &Stamp,
    process: &Process,
) -> Result<Handled, Missing> {
    let key = parsed.metadata.key.as_ref();
    let wish = Retry { id: &parsed.id, key, running: &process.running };
    Ok(match engine.retry_effect(access, stamp, wish)? {
        Ok((call, proposal)) => {
            let mut body = String::new();
            push(&mut body, &parsed.id, &call, "pending");
            let mut answer = Answer::json(body);
            if proposal.is_none() {
                answer = answer.header("Idempotency-Replayed", "true".into());
            }
            Handled { proposal: proposal.map(|one| *one), ..read(answer, Kind::Command) }
        }
        Err(problem) => super::refused(&problem),
    })
}

fn status(which: (u64, u32), call: &Call, process: &Process) -> &'static str {
    match call.status {
        CallStatus::Succeeded => "succeeded",
        CallStatus::Dead => "dead",
        CallStatus::Pending if process.standing == Standing::Held => "held",
        CallStatus::Pending if process.running.contains(&which) => "running",
        CallStatus::Pending => "pending",
    }
}

fn push(out: &mut String, id: &str, call: &Call, status: &str) {
    for (name, text) in [("id", id), ("kind", &call.kind), ("target", &call.target)] {
        out.push_str(if name == "id" { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        push_string(out, text);
    }
    out.push_str(&format!(",\"attempt\":{},\"nextAttemptAt\":", call.attempt));
    let pending = call.status == CallStatus::Pending;
    push_time(out, pending.then_some(call.next));
    out.push_str(",\"deadline\":");
    push_time(out, call.deadline);
    out.push_str(",\"lastError\":");
    match &call.last_error {
        Some(error) => push_string(out, error),
        None => out.push_str("null"),
    }
    out.push_str(&format!(",\"status\":\"{status}\"}}"));
}

fn push_time(out: &mut String, time: Option<Time>) {
    match time {
        Some(time) => {
            out.push('"');
            time.push_iso(out);
            out.push('"');
        }
        None => out.push_str("null"),
    }
}
