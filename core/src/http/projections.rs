//! Projections over HTTP: how far each has got, and its data.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::request::Parsed;
use super::{Handled, events, read};
use crate::engine::{Access, Engine, Fault, ViewId};
use crate::errors::{Code, Problem};
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::projection::Page;
use crate::protocol::Kind;
use crate::read::{Reader, Stop};

/// How far a projection has got.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// Id of the event there; none at the start.
    event: Option<String>,
    /// Why it stopped, when it did.
    pub error: Option<String>,
    /// `live`, `rebuilding` or `faulted`.
    state: &'static str,
    lag: u64,
    rows: u64,
}

/// The status of the registry's projection with this index.
pub fn status(
    engine: &Engine,
    access: &mut Access<'_>,
    index: usize,
) -> Result<Option<Status>, Stop> {
    let Some(spec) = engine.registry().projections.get(index).map(|p| p.spec()) else {
        return Ok(None);
    };
    let Some((view, state)) = engine.projection(index) else { return Ok(None) };
    let lag = engine.head().position.saturating_sub(state.position);
    let error = match engine.fault(view) {
        Some(fault) => Some(fault.reason.clone()),
        // It stopped before this instance was opened: the reason is stored.
        None => {
            let row = access.row(engine.faults_view(), spec.name.as_bytes())?;
            let fault: Option<Fault> = row.and_then(|bytes| postcard::from_bytes(&bytes).ok());
            // One of another module says nothing of this one.
            let fault = fault.filter(|fault| fault.revision == spec.revision);
            let lost = || "it stopped; the reason is lost".to_string();
            fault.map(|fault| fault.reason).or_else(|| state.stopped.then(lost))
        }
    };
    let event = match state.position {
        0 => None,
        position => Some(events::id_at(access, position)?),
    };
    let (position, rows, stopped) = (state.position, state.rows, state.stopped);
    let state = match (state.building.is_some(), stopped, lag) {
        (true, ..) | (_, false, 1..) => "rebuilding",
        (_, true, _) => "faulted",
        _ => "live",
    };
    Ok(Some(Status { name: spec.name, position, event, error, state, lag, rows }))
}

impl Status {
    fn push_members(&self, out: &mut String) {
        out.push_str("{\"name\":");
        push_string(out, self.name);
        out.push_str(",\"lastProcessedEvent\":");
        match &self.event {
            Some(id) => push_string(out, id),
            None => out.push_str("null"),
        }
        let state = self.state;
        out.push_str(&format!(
            ",\"lastProcessedVersion\":{},\"lag\":{},\"state\":\"{state}\",\"error\":",
            self.position, self.lag
        ));
        match &self.error {
            Some(error) => push_string(out, error),
            None => out.push_str("null"),
        }
        out.push_str(&format!(",\"rows\":{}", self.rows));
    }
}

/// `GET /projections`.
pub fn list(engine: &Engine, access: &mut Access<'_>) -> Result<Answer, Stop> {
    let mut body = String::from("[");
    let all = 0..engine.registry().projections.len();
    // All are tried before a miss is told, so that one round supplies them all.
    let all: Vec<_> = all.map(|index| status(engine, access, index)).collect();
    for (index, status) in all.into_iter().enumerate() {
        if let Some(status) = status? {
            if index > 0 {
                body.push(',');
            }
            status.push_members(&mut body);
            body.push('}');
        }
    }
    body.push(']');
    Ok(Answer::json(body))
}

/// `GET /projections/{name}`.
pub fn one(engine: &Engine, access: &mut Access<'_>, parsed: &Parsed) -> Result<Answer, Stop> {
    let mut all = engine.registry().projections.iter().enumerate();
    let Some((index, projection)) = all.find(|(_, p)| p.spec().name == parsed.id) else {
        let detail = format!("there is no projection {}; GET /projections lists them", parsed.id);
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    };
    let view = match served(engine, index, &parsed.id)? {
        Ok(view) => view,
        Err(problem) => return Ok(Answer::problem(&problem)),
    };
    let rendered = projection.page(&mut Reader::new(access, view), &page(parsed))?;
    let Some(status) = status(engine, access, index)? else {
        return Err(Stop::Fault("no such view".into()));
    };
    let mut body = String::with_capacity(rendered.json.len().saturating_add(256));
    status.push_members(&mut body);
    body.push_str(",\"data\":");
    body.push_str(&rendered.json);
    body.push('}');
    Ok(Answer::json(body).next(parsed, rendered.next.as_deref()))
}

/// Where a projection lists its rows itself.
pub fn listed(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
    name: &str,
) -> Result<Answer, Stop> {
    let mut all = engine.registry().projections.iter().enumerate();
    let found = all.find(|(_, projection)| projection.spec().name == name);
    let (index, projection) = found.ok_or_else(|| Stop::Fault("no such projection".into()))?;
    let view = match served(engine, index, name)? {
        Ok(view) => view,
        Err(problem) => return Ok(Answer::problem(&problem)),
    };
    let rendered = projection.list(&mut Reader::new(access, view), &page(parsed))?;
    Ok(Answer::json(rendered.json).next(parsed, rendered.next.as_deref()))
}

/// The view that serves; a projection that is being built answers when it is.
fn served(engine: &Engine, index: usize, name: &str) -> Result<Result<ViewId, Problem>, Stop> {
    let Some((view, state)) = engine.projection(index) else {
        return Err(Stop::Fault("no such view".into()));
    };
    if !state.stopped && state.position < engine.head().position {
        let detail = format!("projection {name} is being built; it answers when it is");
        return Ok(Err(Problem::new(Code::Restarting, detail)));
    }
    Ok(Ok(view))
}

fn page(parsed: &Parsed) -> Page {
    let param = |name: &str| parsed.params.get(name).cloned();
    let limit = param("limit").and_then(|limit| limit.parse().ok()).unwrap_or(LIST_LIMIT_DEFAULT);
    Page { after: param("after"), limit, status: param("status") }
}

/// `POST /projections/rebuild`. Asked again meanwhile, it answers the same and changes nothing.
pub fn rebuild(engine: &Engine, parsed: &Parsed) -> Handled {
    let mut all = engine.registry().projections.iter();
    let Some(index) = all.position(|p| p.spec().name == parsed.id) else {
        let detail = format!("there is no projection {}; GET /projections lists them", parsed.id);
        return super::refused(&Problem::new(Code::NotFound, detail));
    };
    let mut body = String::from("{\"name\":");
    push_string(&mut body, &parsed.id);
    body.push_str(",\"state\":\"rebuilding\"}");
    let under_way = engine.projection(index).is_some_and(|(_, state)| {
        let behind = !state.stopped && state.position < engine.head().position;
        state.building.is_some() || behind
    });
    Handled {
        rebuild: (!under_way).then_some(index),
        ..read(Answer::json(body).status(202), Kind::Read)
    }
}
