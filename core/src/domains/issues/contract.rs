//! Issues and executions as the contract tells them: their paths, the fields of their commands, and
//! what their queries show. Both take and show the same; they differ in the names of their states.
//!
//! State names and events are texts here: which of them lead where is for the decision to say, and
//! a refusal (409) names those that do.

use crate::fields::{self, Field, FieldKind};
use crate::limits::{REASON_CHARS_MAX, STATE_CHARS_MAX, TITLE_CHARS_MAX};

const fn state(name: &'static str, doc: &'static str) -> Field {
    let kind = FieldKind::Text { chars_max: STATE_CHARS_MAX };
    Field { name, kind, optional: false, doc }
}

/// Of what brings one into being.
pub(super) const CREATE_FIELDS: &[Field] = &[
    Field {
        name: "id",
        kind: FieldKind::Id,
        optional: true,
        doc: "Names it; a random UUID when left out",
    },
    Field {
        name: "title",
        kind: FieldKind::Text { chars_max: TITLE_CHARS_MAX },
        optional: true,
        doc: "What it is about",
    },
];

/// Of what moves one on.
pub(super) const TRANSITION_FIELDS: &[Field] = &[
    Field { name: "id", kind: FieldKind::Id, optional: false, doc: "Which one" },
    state("fromState", "The state that it must be in"),
    state("toState", "The state that it goes to"),
    state("event", "What happens: the name of an edge between the two"),
    Field {
        name: "reason",
        kind: FieldKind::Text { chars_max: REASON_CHARS_MAX },
        optional: true,
        doc: "Why",
    },
    fields::ACTOR,
    fields::CORRELATION_ID,
    fields::CAUSATION_ID,
    fields::EVENT_ID,
];

/// Their own paths, given where these start and the names of the commands.
macro_rules! paths {
    ($start:literal, $create:literal, $transition:literal) => {{
        use $crate::decider::Serves;
        const fn at(path: &'static str, serves: Serves) -> Path {
            Path { path, serves }
        }
        &[
            at($start, Serves::Command($create)),
            at(concat!($start, "/{id}/transitions"), Serves::Command($transition)),
            at(concat!($start, "/{id}"), Serves::State),
            at(concat!($start, "/{id}/events"), Serves::Events),
            at(concat!($start, "/{id}/snapshots"), Serves::TakeSnapshot),
            at(concat!($start, "/{id}/snapshots/latest"), Serves::LatestSnapshot),
        ]
    }};
}
pub(super) use paths;

/// The schema of what a query shows, given the names of the states.
macro_rules! flow_schema {
    ($first:literal $(, $other:literal)*) => {
        concat!(
            r#"{"type":"object","required":["id","title","status","transitionCount","stateHistory","version"],"additionalProperties":false,"properties":{"id":{"type":"string"},"title":{"type":["string","null"]},"status":{"enum":[""#,
            $first, $("\",\"", $other,)*
            r#""]},"transitionCount":{"type":"integer","minimum":0},"stateHistory":{"type":"array","maxItems":100,"description":"The latest 100 changes of state, oldest first","items":{"type":"object","required":["from","to","event","actor","reason","at","persistedAt","eventId","version","sequenceNumber","schemaVersion","correlationId","causationId"],"additionalProperties":false,"properties":{"from":{"enum":[""#,
            $first, $("\",\"", $other,)*
            r#""]},"to":{"enum":[""#,
            $first, $("\",\"", $other,)*
            r#""]},"event":{"type":"string"},"actor":{"type":["string","null"]},"reason":{"type":["string","null"]},"at":{"type":"string","format":"date-time"},"persistedAt":{"type":"string","format":"date-time"},"eventId":{"type":"string"},"version":{"type":"integer","minimum":2,"description":"Its place in the stream"},"sequenceNumber":{"type":"integer","minimum":2,"description":"The same"},"schemaVersion":{"type":"string"},"correlationId":{"type":"string"},"causationId":{"type":["string","null"]}}}},"version":{"type":"integer","minimum":1}}}"#
        )
    };
}
pub(super) use flow_schema;
