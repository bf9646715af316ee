//! How an event is shown: as JSON, as a CloudEvent, as an item of a live answer.
//!
//! Owns these three forms, and which of the first two a request accepts. Refuses to know which
//! events are shown.
//!
//! Invariant: an item of a live answer has three lines and an empty one, whatever a log from
//! elsewhere calls its events.

use alloc::format;
use alloc::string::String;

use super::request::Headers;
use crate::errors::Problem;
use crate::ids;
use crate::json::push_string;
use crate::record::Record;

/// The media type of one CloudEvent.
pub const CLOUD_EVENT: &str = "application/cloudevents+json";
/// The media type of a list of them.
pub const CLOUD_EVENTS: &str = "application/cloudevents-batch+json";

/// Digits of a CloudEvent's sequence: as many as the largest position has, so that texts sort as
/// the numbers do.
const SEQUENCE_DIGITS: usize = 16;

/// What an event looks like.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Form {
    /// The JSON of this contract.
    #[default]
    Json,
    /// CloudEvents 1.0, its JSON format.
    Cloud,
    /// `text/event-stream`.
    Live,
    /// An event of a topic, as consumers get it too.
    Topic,
}

/// The JSON form that a request wants, of the two that an answer with this media type for
/// CloudEvents has. What `Accept` says that is no media range is passed over: nothing is refused
/// for it, since plain JSON is always an answer.
pub fn accepted(headers: &Headers<'_>, cloud: &str) -> Result<Form, Problem> {
    let Some(accept) = headers.one("accept")? else { return Ok(Form::Json) };
    let (mut for_cloud, mut for_json) = (None, (0_u8, 0_u16));
    for range in accept.split(',') {
        let mut parts = range.split(';').map(str::trim);
        let media = parts.next().unwrap_or_default().to_ascii_lowercase();
        let Some(weight) = weight(parts) else { continue };
        // Of several ranges that fit, the closest one counts.
        let closeness = match media.as_str() {
            "*/*" => 1,
            "application/*" => 2,
            "application/json" => 3,
            other if other == cloud => {
                for_cloud = for_cloud.max(Some(weight));
                continue;
            }
            _ => continue,
        };
        if closeness >= for_json.0 {
            for_json = (closeness, weight);
        }
    }
    // A wildcard is plain JSON's. Whoever names the other form, and weighs it no less, wants it.
    let wanted = for_cloud.is_some_and(|weight| weight > 0 && weight >= for_json.1);
    Ok(if wanted { Form::Cloud } else { Form::Json })
}

/// The weight of a media range in thousandths; nothing when it states one that is none.
fn weight<'a>(parameters: impl Iterator<Item = &'a str>) -> Option<u16> {
    let stated = parameters
        .filter_map(|parameter| parameter.split_once('='))
        .find(|(name, _)| name.trim().eq_ignore_ascii_case("q"));
    let Some((_, value)) = stated else { return Some(1_000) };
    let (whole, fraction) = value.trim().split_once('.').unwrap_or((value.trim(), ""));
    if fraction.len() > 3 || !fraction.bytes().all(|byte| byte.is_ascii_digit()) {
        return None;
    }
    let thousandths: u16 = format!("{fraction:0<3}").parse().ok()?;
    match (whole, thousandths) {
        ("0", thousandths) => Some(thousandths),
        ("1", 0) => Some(1_000),
        _ => None,
    }
}

/// Writes a record of this partition in this form.
pub fn push(out: &mut String, partition: &str, record: &Record<'_>, form: Form) {
    match form {
        Form::Json => push_event(out, record),
        Form::Cloud => push_cloud(out, partition, record),
        Form::Live => push_item(out, record),
        Form::Topic => push_of_topic(out, record),
    }
}

fn text(out: &mut String, name: &str, value: Option<&str>) {
    out.push_str(name);
    match value {
        Some(value) => push_string(out, value),
        None => out.push_str("null"),
    }
}

/// The JSON of an event.
fn push_event(out: &mut String, record: &Record<'_>) {
    text(out, "{\"id\":", Some(&record.id()));
    text(out, ",\"aggregateId\":", Some(record.aggregate_id));
    text(out, ",\"aggregateType\":", Some(record.aggregate_type));
    text(out, ",\"eventType\":", Some(record.event_type()));
    out.push_str(",\"data\":");
    out.push_str(record.data());
    push_metadata(out, record);
}

/// The JSON of an event as its topic shows it.
fn push_of_topic(out: &mut String, record: &Record<'_>) {
    text(out, "{\"id\":", Some(&record.id()));
    out.push_str(",\"timestamp\":\"");
    record.time.push_iso(out);
    text(out, "\",\"type\":", Some(record.event_type()));
    out.push_str(",\"payload\":");
    out.push_str(record.data());
    push_metadata(out, record);
}

/// An event's last member, and its end.
fn push_metadata(out: &mut String, record: &Record<'_>) {
    let time = record.time.to_iso();
    let version = record.event.version;
    out.push_str(&format!(
        ",\"metadata\":{{\"timestamp\":\"{time}\",\"persistedAt\":\"{time}\",\"version\":{version},\
         \"sequenceNumber\":{version},\"position\":{},\"schemaVersion\":",
        record.position
    ));
    push_string(out, record.schema_version());
    text(out, ",\"correlationId\":", Some(&record.correlation_id()));
    text(out, ",\"causationId\":", record.commit.causation_id.as_deref());
    text(out, ",\"actor\":", record.commit.actor.as_deref());
    out.push_str(",\"meta\":");
    out.push_str(record.commit.meta.unwrap_or("{}"));
    out.push_str("}}");
}

/// The event as <https://github.com/cloudevents/spec/blob/v1.0.2/cloudevents/spec.md> has it: what
/// is not there is left out, and names of extensions are lower-case letters alone.
fn push_cloud(out: &mut String, partition: &str, record: &Record<'_>) {
    let text = |out: &mut String, name: &str, value: &str| {
        out.push_str(name);
        push_string(out, value);
    };
    text(out, "{\"specversion\":\"1.0\",\"id\":", &record.id());
    text(out, ",\"source\":", &format!("/p/{partition}"));
    text(out, ",\"type\":", record.event_type());
    let stream = ids::stream_name(record.aggregate_type, record.aggregate_id);
    text(out, ",\"subject\":", &stream);
    text(out, ",\"time\":", &record.time.to_iso());
    out.push_str(&format!(",\"sequence\":\"{:0SEQUENCE_DIGITS$}\"", record.position));
    text(out, ",\"correlationid\":", &record.correlation_id());
    if let Some(id) = record.commit.causation_id.as_deref() {
        text(out, ",\"causationid\":", id);
    }
    if let Some(context) = record.commit.traceparent.as_deref() {
        text(out, ",\"traceparent\":", context);
    }
    out.push_str(",\"data\":");
    out.push_str(record.data());
    out.push('}');
}

/// One item of an event stream.
fn push_item(out: &mut String, record: &Record<'_>) {
    out.push_str(&format!("id: {}\nevent: ", record.position));
    out.extend(record.event_type().chars().map(|c| if c.is_control() { ' ' } else { c }));
    out.push_str("\ndata: ");
    let start = out.len();
    push_event(out, record);
    // In JSON a line's end is white space between tokens, never part of one.
    if out.get(start..).is_some_and(|json| json.contains(['\r', '\n'])) {
        let flat = out.split_off(start).replace(['\r', '\n'], " ");
        out.push_str(&flat);
    }
    out.push_str("\n\n");
}

#[cfg(test)]
mod tests {
    use super::*;

    fn form(accept: &str) -> Form {
        let headers = [("accept", accept.as_bytes())];
        accepted(&Headers(&headers), CLOUD_EVENT).unwrap_or_default()
    }

    #[test]
    fn cloud_events_are_for_those_who_name_them() {
        for wanted in [
            "application/cloudevents+json",
            "Application/CloudEvents+JSON; charset=utf-8",
            "text/html, application/cloudevents+json;q=0.3",
            "application/json;q=0.9, application/cloudevents+json",
            "application/json, application/cloudevents+json",
            "*/*, application/cloudevents+json",
            "application/cloudevents+json;q=0.5, */*;q=0.1",
            "application/json;q=0, */*, application/cloudevents+json;q=0.1",
            "application/cloudevents+json; q = 1.000",
        ] {
            assert_eq!(form(wanted), Form::Cloud, "{wanted}");
        }
        for plain in [
            "",
            "*/*",
            "application/*",
            "application/json",
            "application/*+json",
            "application/cloudevents-batch+json",
            "application/cloudevents+json;q=0",
            "application/cloudevents+json;q=0.000",
            "application/cloudevents+json;q=2",
            "application/cloudevents+json;q=1.001",
            "application/cloudevents+json;q=0.1234",
            "application/cloudevents+json;q=-1",
            "application/cloudevents+json;q=0.5, application/json",
            "application/cloudevents+json;q=0.5, application/json;q=0.1, application/*, application/json;q=0.501",
            "application/cloudevents+json;q=0.5, */*",
            ",;,=;q,/",
        ] {
            assert_eq!(form(plain), Form::Json, "{plain}");
        }
    }
}
