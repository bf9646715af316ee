//! Projections over HTTP: how far each has got, and its data.

use alloc::format;
use alloc::string::{String, ToString};

use super::answer::Answer;
use super::request::Parsed;
use crate::engine::{Access, Engine, Fault};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::projection::Page;
use crate::read::{Reader, Stop};

/// How far a projection has got.
#[derive(Clone, Debug)]
pub struct Status {
    /// Its name.
    pub name: &'static str,
    /// Its rows are the fold up to here.
    pub position: u64,
    /// Why it stopped, when it did.
    pub error: Option<String>,
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
    let error =
        match engine.fault(view) {
            Some(fault) => Some(fault.reason.clone()),
            // It stopped before this instance was opened: the reason is stored.
            None if lag > 0 => {
                let row = access.row(engine.faults_view(), spec.name.as_bytes())?;
                let fault: Option<Fault> = row.and_then(|bytes| postcard::from_bytes(&bytes).ok());
                Some(fault.map_or_else(
                    || "it stopped; the reason is lost".to_string(),
                    |fault| fault.reason,
                ))
            }
            None => None,
        };
    Ok(Some(Status { name: spec.name, position: state.position, error, lag, rows: state.rows }))
}

impl Status {
    fn push_members(&self, out: &mut String) {
        out.push_str("{\"name\":");
        push_string(out, self.name);
        out.push_str(",\"lastProcessedEvent\":");
        if self.position > 0 {
            push_string(out, &ids::event_id(self.position));
        } else {
            out.push_str("null");
        }
        let state = if self.error.is_some() { "faulted" } else { "live" };
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
    for index in 0..engine.registry().projections.len() {
        if let Some(status) = status(engine, access, index)? {
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
    let limit = parsed
        .params
        .get("limit")
        .and_then(|limit| limit.parse().ok())
        .unwrap_or(LIST_LIMIT_DEFAULT);
    let page = Page { after: parsed.params.get("after").cloned(), limit };
    let Some((view, _)) = engine.projection(index) else {
        return Err(Stop::Fault("no such view".into()));
    };
    let rendered = projection.page(&mut Reader::new(access, view), &page)?;
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
