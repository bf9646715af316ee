//! What issues and executions have in common: a state, and a table of what leads out of it.
//!
//! Owns the one rule (a transition is an edge of the table, and starts where the thing stands), the
//! state that both fold to, and how its history is shown. Refuses to know any state's name: what a
//! log recorded counts, also when the table no longer has it.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use crate::errors::{Code, Problem, Rejection};
use crate::json::{push_string, push_unsigned};
use crate::limits::STATES_SHOWN;
use crate::read::{Reader, Stop};
use crate::record::Record;

/// What leads from one state to another.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Edge {
    /// Where it starts.
    pub from: &'static str,
    /// What happens.
    pub event: &'static str,
    /// Where it ends.
    pub to: &'static str,
}

/// A table row, short enough to be read as one.
pub(super) const fn edge(from: &'static str, event: &'static str, to: &'static str) -> Edge {
    Edge { from, event, to }
}

/// The states of one kind of thing.
#[derive(Debug)]
pub(super) struct Flow {
    /// What the thing is called, for people.
    pub noun: &'static str,
    /// Where it begins.
    pub initial: &'static str,
    /// All that can happen.
    pub edges: &'static [Edge],
}

/// What is said when a thing comes into being.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize)]
pub struct Create {
    /// What it is about.
    #[serde(default)]
    pub title: Option<String>,
}

/// What is said of a transition. Who and what led to it is beside the events, in their metadata.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Transition {
    /// Where the caller believes it to be.
    pub from_state: String,
    /// Where it is to go.
    pub to_state: String,
    /// What happens.
    pub event: String,
    /// Why.
    #[serde(default)]
    pub reason: Option<String>,
}

/// Where a thing stands. How it came there is read from the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct FlowState {
    /// What it is about.
    pub title: Option<String>,
    /// Its state.
    pub status: String,
    /// How often that changed.
    pub transition_count: u64,
}

impl FlowState {
    /// It came into being.
    pub(super) fn begin(&mut self, title: Option<&String>, status: &str) {
        *self = Self { title: title.cloned(), status: status.into(), transition_count: 0 };
    }

    /// It went on.
    pub(super) fn go(&mut self, to: &str) {
        self.status = to.into();
        self.transition_count = self.transition_count.saturating_add(1);
    }
}

impl Flow {
    /// Whether a new one may be named so.
    pub(super) fn absent(&self, id: &str, state: Option<&FlowState>) -> Result<(), Rejection> {
        match state {
            None => Ok(()),
            Some(_) => {
                let detail = format!("{} {id} exists already", self.noun);
                Err(Problem::new(Code::AlreadyExists, detail))
            }
        }
    }

    /// Whether the transition is an edge that starts where the thing stands.
    pub(super) fn allow(
        &self,
        id: &str,
        state: Option<&FlowState>,
        asked: &Transition,
    ) -> Result<(), Rejection> {
        let noun = self.noun;
        let Some(state) = state else {
            return Err(Problem::new(Code::NotFound, format!("there is no {noun} {id}")));
        };
        let (status, Transition { from_state, to_state, event, .. }) = (&state.status, asked);
        if from_state != status {
            let detail = format!("{noun} {id} is {status}, not {from_state}");
            return Err(self.illegal(detail, status));
        }
        let fits = |edge: &&Edge| {
            edge.from == status.as_str() && edge.event == event && edge.to == to_state
        };
        if self.edges.iter().find(fits).is_none() {
            let detail = format!("`{event}` does not lead from {status} to {to_state}");
            return Err(self.illegal(detail, status));
        }
        Ok(())
    }

    /// A refusal that says what would have been taken.
    fn illegal(&self, detail: String, status: &str) -> Problem {
        let mut allowed = String::from("[");
        for edge in self.edges.iter().filter(|edge| edge.from == status) {
            allowed.push_str(if allowed.len() > 1 { ",{\"event\":" } else { "{\"event\":" });
            push_string(&mut allowed, edge.event);
            allowed.push_str(",\"toState\":");
            push_string(&mut allowed, edge.to);
            allowed.push('}');
        }
        allowed.push(']');
        let problem = Problem::new(Code::IllegalTransition, detail).text("currentState", status);
        problem.token("allowed", allowed)
    }
}

/// One change of state, as its event tells it.
#[derive(Clone, Copy, Debug)]
pub(super) struct Changed<'a> {
    pub from: &'a str,
    pub to: &'a str,
    pub event: &'a str,
    pub reason: Option<&'a String>,
}

/// Reads a change out of a record; `None` for records of another kind.
pub(super) type Read = for<'r> fn(&Record<'r>) -> Result<Option<Changed<'r>>, Stop>;

/// The JSON that a query shows, for both kinds of things.
pub(super) fn show(
    (aggregate_type, id): (&str, &str),
    version: u64,
    state: &FlowState,
    reader: &mut Reader<'_, '_>,
    changed: Read,
) -> Result<String, Stop> {
    let mut out = String::with_capacity(512);
    out.push_str("{\"id\":");
    push_string(&mut out, id);
    out.push_str(",\"title\":");
    push_text(&mut out, state.title.as_deref());
    out.push_str(",\"status\":");
    push_string(&mut out, &state.status);
    out.push_str(",\"transitionCount\":");
    push_unsigned(&mut out, state.transition_count);
    out.push_str(",\"stateHistory\":[");
    // All records but the first are changes of state: the newest so many are the history's end.
    let wanted = state.transition_count.min(STATES_SHOWN.into());
    let wanted = u32::try_from(wanted).unwrap_or(STATES_SHOWN);
    if wanted > 0 {
        let mut positions = reader.stream_positions_before(aggregate_type, id, None, wanted)?;
        positions.reverse();
        let mut first = true;
        reader.records(&positions, |record| {
            if let Some(changed) = changed(record)? {
                out.push_str(if first { "{\"from\":" } else { ",{\"from\":" });
                first = false;
                push_change(&mut out, record, changed);
            }
            Ok(())
        })?;
    }
    out.push_str("],\"version\":");
    push_unsigned(&mut out, version);
    out.push('}');
    Ok(out)
}

/// A change's members, from the value of `from` on.
fn push_change(out: &mut String, record: &Record<'_>, changed: Changed<'_>) {
    push_string(out, changed.from);
    for (name, value) in [("to", changed.to), ("event", changed.event)] {
        out.push_str(&format!(",\"{name}\":"));
        push_string(out, value);
    }
    let reason = changed.reason.map(String::as_str);
    for (name, value) in [("actor", record.commit.actor.as_deref()), ("reason", reason)] {
        out.push_str(&format!(",\"{name}\":"));
        push_text(out, value);
    }
    // One writer: what happened was stored in the same instant.
    for name in ["at", "persistedAt"] {
        out.push_str(&format!(",\"{name}\":\""));
        record.time.push_iso(out);
        out.push('"');
    }
    out.push_str(",\"eventId\":");
    push_string(out, &record.id());
    for name in ["version", "sequenceNumber"] {
        out.push_str(&format!(",\"{name}\":{}", record.event.version));
    }
    out.push_str(",\"schemaVersion\":");
    push_string(out, record.schema_version());
    out.push_str(",\"correlationId\":");
    push_string(out, &record.correlation_id());
    out.push_str(",\"causationId\":");
    push_text(out, record.commit.causation_id.as_deref());
    out.push('}');
}

fn push_text(out: &mut String, text: Option<&str>) {
    match text {
        Some(text) => push_string(out, text),
        None => out.push_str("null"),
    }
}
