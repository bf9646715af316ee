//! The definition of a topic: its event types, and the schemas that their payloads are checked by.
//!
//! Owns when a definition may come into being and change. A type's schema is never taken away: a
//! next version of it takes the place of the one before, for what is published from then on.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

use super::schemas::{self, Declared};
use crate::decider::{Aggregate, AggregateSpec, CommandSpec, Decision, Path, Serves};
use crate::errors::{Code, Problem, Rejection};
use crate::fields::{Field, FieldKind};
use crate::ids;
use crate::json::{push_string, push_unsigned};
use crate::limits::{TOPIC_SCHEMAS_BYTES_MAX, TOPIC_TYPES_MAX};
use crate::read::{Reader, Stop};

/// See the module's description.
#[derive(Debug)]
pub struct Definition;

/// What clients ask for.
#[derive(Debug, Deserialize)]
pub enum DefinitionCommand {
    /// A topic.
    #[serde(rename = "CreateTopic")]
    Create {
        /// Its event types.
        schemas: Box<RawValue>,
    },
    /// Event types of a topic, or next versions of them.
    #[serde(rename = "AddTopicSchemas")]
    Add {
        /// These.
        schemas: Box<RawValue>,
    },
}

/// What happened.
#[derive(Debug, Serialize, Deserialize)]
pub enum DefinitionEvent {
    /// A topic came into being.
    #[serde(rename = "Topic.Created", rename_all = "camelCase")]
    Created {
        /// When, ISO 8601.
        created_at: String,
        /// Its event types.
        schemas: Vec<Versioned>,
    },
    /// It has more event types, or other versions of them.
    #[serde(rename = "Topic.SchemasAdded")]
    SchemasAdded {
        /// These.
        schemas: Vec<Versioned>,
    },
}

/// A version of an event type's schema.
#[derive(Debug, Serialize, Deserialize)]
pub struct Versioned {
    /// The event type.
    #[serde(rename = "type")]
    pub name: String,
    /// From 1.
    pub version: u32,
    /// The schema.
    pub schema: Box<RawValue>,
}

/// The topic's event types, each with all versions of its schema, oldest first.
pub type Types = Vec<(String, Vec<String>)>;

/// What is known of a topic.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct DefinitionState {
    /// When it came into being, ISO 8601.
    pub created_at: String,
    /// In the order in which they came.
    pub types: Types,
    /// So many of them the topic began with.
    pub first: u32,
}

const NAME: Field =
    Field { name: "name", kind: FieldKind::Topic, optional: false, doc: "Name of the topic" };
const SCHEMAS: Field = Field {
    name: "schemas",
    kind: FieldKind::Schemas,
    optional: false,
    doc: "The event types: each a JSON Schema (2020-12) of the payload, which is an object, with the event type in its member `type`; or {type, schema} with any schema",
};

impl Aggregate for Definition {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: ids::TOPIC_DEFINITION,
        name: "topic-definition",
        id_field: "name",
        revision: 1,
        snapshot_every: 0,
        events: &["Topic.Created", "Topic.SchemasAdded"],
        commands: &[
            CommandSpec::new(
                "CreateTopic",
                "create-topic",
                "Creates a topic; the same again changes nothing",
                &[NAME, SCHEMAS],
            )
            .creating()
            .refusing(&[Code::SchemaConflict, Code::AlreadyExists, Code::LimitExceeded]),
            CommandSpec::new(
                "AddTopicSchemas",
                "add-topic-schemas",
                "Adds event types to a topic, or next versions of their schemas; events keep the version that they were checked against",
                &[NAME, SCHEMAS],
            )
            .refusing(&[Code::NotFound, Code::LimitExceeded]),
        ],
        query_schema: SHOWN_SCHEMA,
    };

    const PATHS: &'static [Path] = &[
        Path { path: "/topics", serves: Serves::Command("CreateTopic") },
        Path { path: "/topics/{id}/schemas", serves: Serves::Command("AddTopicSchemas") },
    ];

    type State = DefinitionState;
    type Command = DefinitionCommand;
    type Event = DefinitionEvent;

    fn decide(
        state: Option<&DefinitionState>,
        command: &DefinitionCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<DefinitionEvent>, Rejection> {
        match (command, state) {
            (DefinitionCommand::Create { schemas }, None) => {
                let declared = schemas::declared(schemas.get())?;
                let schemas = added(&DefinitionState::default(), declared)?;
                let created_at = decision.now().to_iso();
                Ok(Vec::from([DefinitionEvent::Created { created_at, schemas }]))
            }
            (DefinitionCommand::Create { schemas }, Some(state)) => {
                let declared = schemas::declared(schemas.get())?;
                if state.is_said_by(&declared) {
                    return Ok(Vec::new());
                }
                let detail = format!(
                    "topic {} exists with other schemas; POST /topics/{0}/schemas adds to them",
                    decision.id()
                );
                Err(Problem::new(Code::SchemaConflict, detail))
            }
            (DefinitionCommand::Add { .. }, None) => {
                let detail = format!("there is no topic {}", decision.id());
                Err(Problem::new(Code::NotFound, detail))
            }
            (DefinitionCommand::Add { schemas }, Some(state)) => {
                let schemas = added(state, schemas::declared(schemas.get())?)?;
                Ok(match schemas.is_empty() {
                    true => Vec::new(),
                    false => Vec::from([DefinitionEvent::SchemasAdded { schemas }]),
                })
            }
        }
    }

    fn evolve(state: &mut DefinitionState, event: &DefinitionEvent) {
        let (DefinitionEvent::Created { schemas, .. } | DefinitionEvent::SchemasAdded { schemas }) =
            event;
        for Versioned { name, schema, .. } in schemas {
            let schema = schema.get().to_string();
            match state.types.iter_mut().find(|(known, _)| known == name) {
                Some((_, versions)) => versions.push(schema),
                None => state.types.push((name.clone(), Vec::from([schema]))),
            }
        }
        if let DefinitionEvent::Created { created_at, schemas } = event {
            state.created_at.clone_from(created_at);
            state.first = u32::try_from(schemas.len()).unwrap_or(u32::MAX);
        }
    }

    fn show(
        id: &str,
        _version: u64,
        state: &DefinitionState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let events = reader.stream_count(ids::TOPIC, id)?;
        Ok(state.shown(id, events))
    }
}

/// What of this is new, with the versions that it gets.
fn added(state: &DefinitionState, declared: Vec<Declared>) -> Result<Vec<Versioned>, Rejection> {
    let known = |name: &str| state.types.iter().find(|(known, _)| known == name);
    let mut bytes: usize =
        state.types.iter().flat_map(|(_, versions)| versions).map(String::len).sum();
    let mut types = state.types.len();
    let mut out = Vec::new();
    for Declared { name, schema } in declared {
        let versions = known(&name).map_or(&[][..], |(_, versions)| versions);
        if versions.last().is_some_and(|current| *current == schema) {
            continue;
        }
        types = types.saturating_add(usize::from(versions.is_empty()));
        bytes = bytes.saturating_add(schema.len());
        let version = u32::try_from(versions.len()).unwrap_or(u32::MAX).saturating_add(1);
        let schema = RawValue::from_string(schema)
            .map_err(|e| Problem::new(Code::Internal, e.to_string()))?;
        out.push(Versioned { name, version, schema });
    }
    for (count, limit, what) in [
        (types, TOPIC_TYPES_MAX, "event types"),
        (bytes, TOPIC_SCHEMAS_BYTES_MAX, "bytes of schemas, all versions together"),
    ] {
        if count > limit {
            let detail = format!("a topic has at most {limit} {what}; it would have {count}");
            let problem = Problem::new(Code::LimitExceeded, detail).text("field", "schemas");
            return Err(problem.number("limit", limit as u64));
        }
    }
    Ok(out)
}

impl DefinitionState {
    /// Whether these schemas are those that the topic began with, or those it has now.
    fn is_said_by(&self, declared: &[Declared]) -> bool {
        let is = |one: &Declared, of: &dyn Fn(&Vec<String>) -> bool| {
            self.types.iter().any(|(name, versions)| *name == one.name && of(versions))
        };
        let first = usize::try_from(self.first).unwrap_or(usize::MAX);
        let began = self.types.get(..first).unwrap_or_default();
        let is_first = declared.len() == began.len()
            && declared.iter().all(|one| {
                began.iter().any(|(name, versions)| {
                    *name == one.name && versions.first() == Some(&one.schema)
                })
            });
        is_first
            || (declared.len() == self.types.len()
                && declared.iter().all(|one| is(one, &|v| v.last() == Some(&one.schema))))
    }

    /// The JSON that shows it.
    pub fn shown(&self, topic: &str, events: u64) -> String {
        let mut out = String::from("{\"name\":");
        push_string(&mut out, topic);
        out.push_str(",\"schemas\":[");
        for (index, (name, versions)) in self.types.iter().enumerate() {
            out.push_str(if index > 0 { ",{\"type\":" } else { "{\"type\":" });
            push_string(&mut out, name);
            let Some((current, earlier)) = versions.split_last() else { continue };
            push_version(&mut out, ",", versions.len(), current);
            out.push_str(",\"earlier\":[");
            for (index, schema) in earlier.iter().enumerate() {
                out.push_str(if index > 0 { ",{" } else { "{" });
                push_version(&mut out, "", index.saturating_add(1), schema);
                out.push('}');
            }
            out.push_str("]}");
        }
        out.push_str("],\"events\":");
        push_unsigned(&mut out, events);
        out.push_str(",\"createdAt\":\"");
        out.push_str(&self.created_at);
        out.push_str("\"}");
        out
    }
}

fn push_version(out: &mut String, comma: &str, version: usize, schema: &str) {
    out.push_str(comma);
    out.push_str("\"version\":");
    push_unsigned(out, version as u64);
    out.push_str(",\"schema\":");
    out.push_str(schema);
}

/// What is shown of a topic.
pub const SHOWN_SCHEMA: &str = r#"{"type":"object","required":["name","schemas","events","createdAt"],"additionalProperties":false,"properties":{"name":{"type":"string"},"schemas":{"type":"array","items":{"type":"object","required":["type","version","schema","earlier"],"additionalProperties":false,"properties":{"type":{"type":"string"},"version":{"type":"integer","minimum":1},"schema":{"type":["object","boolean"]},"earlier":{"type":"array","items":{"type":"object","required":["version","schema"],"additionalProperties":false,"properties":{"version":{"type":"integer","minimum":1},"schema":{"type":["object","boolean"]}}}}}}},"events":{"type":"integer","minimum":0},"createdAt":{"type":["string","null"],"format":"date-time"}}}"#;
