//! `GET /openapi.json`: the route table as an OpenAPI 3.1 document.
//!
//! Owns the document's form (<https://spec.openapis.org/oas/v3.1.0>) and the schemas of answers
//! that are no domain's own. What a route takes and refuses comes from the table, the registry and
//! the error codes, so it can not differ from what they do.

mod consumers;
mod schemas;
mod topics;

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::commands;
use super::consumers::REGISTER_FIELDS;
use super::routes::{
    Action, COMMAND_ERRORS, Of, Param, ParamKind, READ_ERRORS, REBUILD_FIELDS, Route,
    SNAPSHOT_FIELDS,
};
use super::shown::{CLOUD_EVENT, CLOUD_EVENTS};
use crate::decider::{AggregateSpec, CommandKind, CommandSpec};
use crate::errors::Code;
use crate::fields::{self, Field};
use crate::ids::TOPIC_DEFINITION;
use crate::json::push_string;
use crate::registry::Registry;
use schemas::{REJECTED, SCHEMAS};

/// Headers that every command takes.
const COMMAND_HEADERS: &[(&str, &str)] = &[
    (
        "Idempotency-Key",
        "RFC 8941 string, quoted or bare, at most 255 characters, kept at least 7 days: the same key, path and body give the first answer again",
    ),
    ("If-Match", "The stream's expected version in quotes, or * for any"),
    ("If-None-Match", "*: the stream must not exist"),
    ("X-Correlation-Id", "What this belongs to; the id of the first event when left out"),
    ("X-Causation-Id", "What led to this"),
    ("X-Actor", "Who"),
    ("traceparent", "W3C Trace Context"),
    (
        "Foldlog-Hops",
        "In what a consumer does about a delivery: that delivery's header; beyond 16 it is refused, so that loops end",
    ),
];

/// The document.
pub fn answer(registry: &Registry, routes: &[Route]) -> Answer {
    let mut out = String::with_capacity(64 * 1024);
    out.push_str(r#"{"openapi":"3.1.0","info":{"title":"Foldlog","version":""#);
    out.push_str(registry.version);
    out.push_str(r#"","description":"Event sourcing at the edge. Every route also exists below /p/{partition}. Commands also take up to 16 headers Foldlog-Meta-<Name>, at most 256 characters each. Times are ISO 8601, UTC; amounts are integers in minor units.","license":{"name":"MIT OR Apache-2.0","identifier":"MIT OR Apache-2.0"}},"servers":[{"url":"/"},{"url":"/p/{partition}","variables":{"partition":{"default":"main","description":"[a-z0-9][a-z0-9-]{0,62}"}}}],"paths":{"#);
    let mut paths: BTreeMap<&str, Vec<&Route>> = BTreeMap::new();
    for route in routes {
        paths.entry(route.path.as_str()).or_default().push(route);
    }
    let mut comma = "";
    for (path, routes) in paths {
        out.push_str(comma);
        comma = ",";
        push_string(&mut out, path);
        out.push_str(":{");
        for (index, route) in routes.iter().enumerate() {
            if index > 0 {
                out.push(',');
            }
            push_operation(&mut out, registry, route);
        }
        out.push('}');
    }
    out.push_str("},\"components\":{\"schemas\":{");
    out.push_str(consumers::SCHEMAS);
    out.push(',');
    out.push_str(&SCHEMAS.replacen("\"allowed\":", &format!("{},\"allowed\":", topics::ERRORS), 1));
    for aggregate in registry.aggregates.iter().map(|a| a.spec()) {
        out.push_str(&format!(
            ",\"{0}\":{1},{2}",
            aggregate.aggregate_type,
            aggregate.query_schema,
            done(aggregate)
        ));
    }
    for spec in registry.projections.iter().map(|p| p.spec()) {
        out.push_str(&format!(",\"{}\":{}", spec.name, spec.schema));
    }
    out.push_str("}}}");
    Answer::json(out)
}

/// The schema of an aggregate's command answers.
fn done(aggregate: &AggregateSpec) -> String {
    let id = aggregate.id_field;
    let mut all = aggregate.commands.iter();
    // Where one tells more, the others' schema is a part of its own.
    let open = all.any(|command| commands::shows_schemas(aggregate, command));
    format!(
        r##""{}Done":{{"type":"object","required":["ok","{id}","version","position","hash","events"],"additionalProperties":{open},"properties":{{"ok":{{"const":true}},"{id}":{{"type":"string"}},"version":{{"type":"integer"}},"position":{{"type":"integer"}},"hash":{{"$ref":"#/components/schemas/Hash"}},"events":{{"type":"array","items":{{"type":"object","required":["id","eventType","version","position"],"additionalProperties":false,"properties":{{"id":{{"type":"string"}},"eventType":{{"type":"string"}},"version":{{"type":"integer"}},"position":{{"type":"integer"}}}}}}}}}}}}"##,
        aggregate.aggregate_type
    )
}

/// That of one command, if it differs.
fn done_by(aggregate: &AggregateSpec, command: &CommandSpec) -> String {
    let name = aggregate.aggregate_type;
    let done = format!("{{\"$ref\":\"#/components/schemas/{name}Done\"}}");
    match commands::shows_schemas(aggregate, command) {
        true => format!("{{\"allOf\":[{done},{}]}}", topics::CREATED),
        false => done,
    }
}

fn push_operation(out: &mut String, registry: &Registry, route: &Route) {
    out.push_str(&format!("\"{}\":{{\"operationId\":", route.method.to_ascii_lowercase()));
    let words = route.path.split(['/', '{', '}', '-', '.']).filter(|word| !word.is_empty());
    let name = words.fold(route.method.to_ascii_lowercase(), |name, word| format!("{name}-{word}"));
    push_string(out, &name);
    out.push_str(",\"summary\":");
    push_string(out, &route.summary);
    out.push_str(",\"parameters\":[");
    let mut params: Vec<String> = Vec::new();
    for name in
        route.path.split('/').filter_map(|s| s.strip_prefix('{').and_then(|s| s.strip_suffix('}')))
    {
        let schema = match name {
            "topic" => topics::PATH_NAME,
            _ => r#"{"type":"string","pattern":"^[A-Za-z0-9._:-]{1,128}$"}"#,
        };
        params
            .push(format!(r#"{{"name":"{name}","in":"path","required":true,"schema":{schema}}}"#));
    }
    params.extend(route.params.iter().map(query_param));
    match route.action {
        Action::Command { .. } | Action::Consumers(Of::Register | Of::Remove | Of::Rotate) => {
            params.extend(COMMAND_HEADERS.iter().map(|(name, doc)| header_param(name, doc)))
        }
        Action::Publish => {
            let all = COMMAND_HEADERS.iter().filter(|(name, _)| !name.starts_with("If-"));
            params.extend(all.map(|(name, doc)| header_param(name, doc)));
        }
        Action::Query { .. } => params.push(header_param(
            "If-None-Match",
            "Versions the caller has: 304 when one is current",
        )),
        Action::RetryEffect => {
            let key = COMMAND_HEADERS.iter().filter(|(name, _)| *name == "Idempotency-Key");
            params.extend(key.map(|(name, doc)| header_param(name, doc)));
        }
        Action::Live { .. } => params.push(header_param(
            "Last-Event-ID",
            "Goes on after this position, whatever `after` says; each event's id is its position",
        )),
        _ => {}
    }
    out.push_str(&params.join(","));
    out.push(']');
    match route.action {
        Action::TakeSnapshot { .. } => push_body(out, SNAPSHOT_FIELDS, &[]),
        Action::Resume | Action::RetryEffect => push_body(out, &[], &[]),
        Action::Command { .. } => push_body(out, &route.fields(), fields::COMMON),
        Action::Rebuild => push_body(out, REBUILD_FIELDS, &[]),
        Action::Consumers(Of::Register) => push_body(out, REGISTER_FIELDS, fields::COMMON),
        Action::Consumers(Of::Remove | Of::Rotate) => push_body(out, &[], fields::COMMON),
        Action::Publish => topics::push_body(out),
        Action::LogImport => out.push_str(
            r#","requestBody":{"required":false,"content":{"application/x-ndjson":{"schema":{"type":"string"}}}}"#,
        ),
        _ => {}
    }
    out.push_str(",\"responses\":{");
    push_success(out, registry, route);
    push_errors(out, route);
    out.push_str("}}");
}

fn header_param(name: &str, doc: &str) -> String {
    let mut out = format!(
        "{{\"name\":\"{name}\",\"in\":\"header\",\"schema\":{{\"type\":\"string\"}},\"description\":"
    );
    push_string(&mut out, doc);
    out.push('}');
    out
}

fn query_param(param: &Param) -> String {
    let schema = match param.kind {
        ParamKind::Limit => r#"{"type":"integer","minimum":1,"maximum":1000,"default":100}"#,
        ParamKind::Position => r#"{"type":"integer","minimum":0,"maximum":9007199254740991}"#,
        ParamKind::Version => r#"{"type":"integer","minimum":1,"maximum":9007199254740991}"#,
        ParamKind::Key => r#"{"type":"string","minLength":1,"maxLength":512}"#,
        ParamKind::Text => r#"{"type":"string","pattern":"^[ -~]{1,255}$"}"#,
        ParamKind::Order => r#"{"enum":["asc","desc"]}"#,
        ParamKind::Time => r#"{"type":"string","format":"date-time"}"#,
        ParamKind::Id => r#"{"type":"string","pattern":"^[A-Za-z0-9._:-]{1,128}$"}"#,
        ParamKind::Day => r#"{"type":"string","format":"date"}"#,
        ParamKind::OneOf(words) => &format!("{{\"enum\":[\"{}\"]}}", words.join("\",\"")),
    };
    let mut out = format!(
        "{{\"name\":\"{}\",\"in\":\"query\",\"schema\":{schema},\"description\":",
        param.name
    );
    push_string(&mut out, param.doc);
    out.push('}');
    out
}

/// What may leave all fields out may leave out the body too.
fn push_body(out: &mut String, own: &[Field], common: &[Field]) {
    let needed = own.iter().any(|field| !field.optional);
    out.push_str(&format!(
        r#","requestBody":{{"required":{needed},"content":{{"application/json":{{"schema":{{"type":"object","additionalProperties":false,"required":["#
    ));
    let required = own.iter().filter(|field| !field.optional);
    let required: Vec<String> = required.map(|field| format!("\"{}\"", field.name)).collect();
    out.push_str(&required.join(","));
    out.push_str("],\"properties\":{");
    let properties: Vec<String> = own
        .iter()
        .chain(common)
        .map(|field| format!("\"{}\":{}", field.name, fields::schema(field)))
        .collect();
    out.push_str(&properties.join(","));
    out.push_str("}}}}}");
}

/// Media type and schema of a route's success.
fn success(registry: &Registry, route: &Route) -> (&'static str, String) {
    let named = |name: &str| format!("{{\"$ref\":\"#/components/schemas/{name}\"}}");
    let json = "application/json";
    match route.action {
        Action::Command { aggregate, command } => (json, done_by(aggregate, command)),
        Action::Publish => (json, topics::PUBLISHED.into()),
        Action::Topic => (json, named(TOPIC_DEFINITION)),
        Action::TopicEvents => (json, topics::EVENTS.into()),
        Action::Query { aggregate } => (json, named(aggregate.aggregate_type)),
        Action::Snapshot { .. } | Action::TakeSnapshot { .. } => (json, named("Snapshot")),
        Action::EventsOf { .. } | Action::EventStream => (json, named("Events")),
        Action::EventById => (json, named("Event")),
        Action::RetryEffect => (json, named("Effect")),
        Action::Live { .. } => ("text/event-stream", "{\"type\":\"string\"}".into()),
        Action::Effects => (json, format!("{{\"type\":\"array\",\"items\":{}}}", named("Effect"))),
        Action::Consumers(of) => (json, consumers::answer(of)),
        Action::Partitions => (json, r#"{"type":"array","items":{"type":"object","required":["name"],"additionalProperties":false,"properties":{"name":{"type":"string","pattern":"^[a-z0-9][a-z0-9-]{0,62}$"}}}}"#.into()),
        Action::Projections => {
            (json, format!("{{\"type\":\"array\",\"items\":{}}}", named("ProjectionStatus")))
        }
        Action::List { name } => {
            let all = registry.projections.iter().filter(|p| p.spec().name == name);
            let item = all.filter_map(|p| p.path()).map(|own| own.item_schema).next();
            (json, format!("{{\"type\":\"array\",\"items\":{}}}", item.unwrap_or("{}")))
        }
        Action::Projection => {
            let data: Vec<String> =
                registry.projections.iter().map(|p| named(p.spec().name)).collect();
            let data = format!(
                "{{\"type\":\"object\",\"required\":[\"data\"],\"properties\":{{\"data\":{{\"anyOf\":[{}]}}}}}}",
                data.join(",")
            );
            (json, format!("{{\"allOf\":[{},{data}]}}", named("ProjectionStatus")))
        }
        Action::Rebuild => (json, r#"{"type":"object","required":["name","state"],"additionalProperties":false,"properties":{"name":{"type":"string"},"state":{"const":"rebuilding"}}}"#.into()),
        Action::Resume => (json, r##"{"type":"object","required":["ok","incarnation","position","hash"],"additionalProperties":false,"properties":{"ok":{"const":true},"incarnation":{"type":"string","pattern":"^[0-9a-f]{32}$"},"position":{"type":"integer"},"hash":{"$ref":"#/components/schemas/Hash"}}}"##.into()),
        Action::Stats => (json, named("Stats")),
        Action::AggregateStats => (json, named("AggregateStats")),
        Action::Health => (json, named("Health")),
        Action::LogHead => (json, named("LogHead")),
        Action::LogExport => ("application/x-ndjson", "{\"type\":\"string\"}".into()),
        Action::Rejected => (json, REJECTED.into()),
        Action::LogImport => (json, r##"{"type":"object","required":["ok","partition","position","hash","complete"],"additionalProperties":false,"properties":{"ok":{"const":true},"partition":{"type":"string"},"position":{"type":"integer"},"hash":{"$ref":"#/components/schemas/Hash"},"complete":{"type":"boolean"}}}"##.into()),
        Action::OpenApi => (json, "{\"type\":\"object\"}".into()),
        Action::Index => ("text/html; charset=utf-8", "{\"type\":\"string\"}".into()),
    }
}

fn push_success(out: &mut String, registry: &Registry, route: &Route) {
    let (media, schema) = success(registry, route);
    let content = format!("\"content\":{{\"{media}\":{{\"schema\":{schema}}}}}");
    let string = "{\"schema\":{\"type\":\"string\"}}";
    match route.action {
        Action::Command { command, .. } => {
            let headers = format!(
                "\"ETag\":{string},\"Foldlog-Position\":{string},\"Foldlog-Hash\":{string},\"Idempotency-Replayed\":{string}"
            );
            let started = command.kind == CommandKind::Started;
            let done = if started { "The events that it names are there" } else { "Done" };
            out.push_str(&format!(
                "\"200\":{{\"description\":\"{done}\",\"headers\":{{{headers}}},{content}}}"
            ));
            if started {
                out.push_str(&format!(
                    ",\"202\":{{\"description\":\"Begun; it goes on by itself\",\"headers\":{{{headers},\"Location\":{string}}},{content}}}"
                ));
                return;
            }
            if command.creates {
                out.push_str(&format!(
                    ",\"201\":{{\"description\":\"It came into being\",\"headers\":{{{headers},\"Location\":{string}}},{content}}}"
                ));
            }
        }
        Action::Query { .. } => out.push_str(&format!(
            "\"200\":{{\"description\":\"The state\",\"headers\":{{\"ETag\":{string}}},{content}}},\
             \"304\":{{\"description\":\"The caller has this version\",\"headers\":{{\"ETag\":{string}}}}}"
        )),
        Action::Snapshot { .. } => out.push_str(&format!(
            "\"200\":{{\"description\":\"The snapshot\",\"headers\":{{\"ETag\":{string}}},{content}}}"
        )),
        Action::TakeSnapshot { .. } => out.push_str(&format!(
            "\"200\":{{\"description\":\"Nothing came since this one\",\"headers\":{{\"ETag\":{string}}},{content}}},\
             \"201\":{{\"description\":\"Taken\",\"headers\":{{\"ETag\":{string},\"Location\":{string}}},{content}}}"
        )),
        Action::RetryEffect => out.push_str(&format!(
            "\"200\":{{\"description\":\"It is due\",\"headers\":{{\"Idempotency-Replayed\":{string}}},{content}}}"
        )),
        Action::Live { socket: true } => out.push_str(
            "\"101\":{\"description\":\"A WebSocket. The text `ping` is answered by `pong`, else nothing is read. Close code 4008: nothing was taken for 30 s while events waited; on a Durable Object only if it began more than 256 events behind, since of one that may sleep the platform does not tell what is unsent: that one is never cut. Close code 1001: the native host stops\"}",
        ),
        Action::Live { socket: false } => out.push_str(&format!(
            "\"200\":{{\"description\":\"An event stream: `id` is the position, `event` the type, `data` an Event. It starts with the id that it goes on after, has a comment every 15 s, and ends when nothing was taken for 30 s while events waited, or when the host stops: ask again with Last-Event-ID\",{content}}}"
        )),
        Action::EventById | Action::EventStream | Action::EventsOf { .. } => {
            push_events(out, route, &schema)
        }
        Action::Consumers(of) if of != Of::List => consumers::push_success(out, of, &content),
        Action::Publish => out.push_str(&format!(
            "\"201\":{{\"description\":\"Published\",\"headers\":{{\"Foldlog-Position\":{string},\"Foldlog-Hash\":{string},\"Idempotency-Replayed\":{string}}},{content}}}"
        )),
        Action::Rebuild => {
            out.push_str(&format!("\"202\":{{\"description\":\"It is being built\",{content}}}"))
        }
        _ => {
            let pages = route.params.iter().any(|param| param.name == "limit");
            let headers = if pages { format!("\"headers\":{{\"Link\":{string}}},") } else { String::new() };
            out.push_str(&format!("\"200\":{{\"description\":\"OK\",{headers}{content}}}"));
        }
    }
}

/// Events in both of their forms.
fn push_events(out: &mut String, route: &Route, schema: &str) {
    let one = matches!(route.action, Action::EventById);
    let (media, cloud) = match one {
        true => (CLOUD_EVENT, "{\"$ref\":\"#/components/schemas/CloudEvent\"}"),
        false => (
            CLOUD_EVENTS,
            "{\"type\":\"array\",\"items\":{\"$ref\":\"#/components/schemas/CloudEvent\"}}",
        ),
    };
    let link = if one { "" } else { "\"headers\":{\"Link\":{\"schema\":{\"type\":\"string\"}}}," };
    out.push_str(&format!(
        "\"200\":{{\"description\":\"OK\",{link}\"content\":{{\"application/json\":{{\"schema\":{schema}}},\"{media}\":{{\"schema\":{cloud}}}}}}}"
    ));
}

/// Errors by status, each naming its codes.
fn push_errors(out: &mut String, route: &Route) {
    let changes = matches!(
        route.action,
        Action::Command { .. }
            | Action::Rebuild
            | Action::Publish
            | Action::Consumers(Of::Register | Of::Remove | Of::Rotate)
    );
    let general = if changes { COMMAND_ERRORS } else { READ_ERRORS };
    // Whoever wants a stream's state is told of events that this module can not read.
    let of_state: &[Code] = match route.action {
        Action::Command { .. } | Action::Query { .. } | Action::TakeSnapshot { .. } => {
            &[Code::SchemaConflict]
        }
        _ => &[],
    };
    let mut by_status: BTreeMap<u16, Vec<&str>> = BTreeMap::new();
    let all = general.iter().chain(route.errors).chain(of_state);
    for code in all.filter(|code| !matches!(code, Code::DeadlineExceeded)) {
        let names = by_status.entry(code.status()).or_default();
        if !names.contains(&code.name()) {
            names.push(code.name());
        }
    }
    if let Some(names) = by_status.get_mut(&503) {
        names.push(Code::DeadlineExceeded.name());
    }
    for (status, names) in by_status {
        let health = status == 503 && matches!(route.action, Action::Health);
        let also = if health {
            r##","application/json":{"schema":{"$ref":"#/components/schemas/Health"}}"##
        } else {
            ""
        };
        out.push_str(&format!(",\"{status}\":{{\"description\":"));
        push_string(out, &names.iter().map(ToString::to_string).collect::<Vec<_>>().join(", "));
        out.push_str(r##","content":{"application/problem+json":{"schema":{"$ref":"#/components/schemas/Problem"}}"##);
        out.push_str(also);
        out.push_str("}}");
    }
}
