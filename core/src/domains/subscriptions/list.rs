//! `Subscription.List`: all subscriptions, in the order in which they were created.
//!
//! Rows: number of the subscription, big-endian → what is shown of it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::subscription::{PREFIX, Subscription, SubscriptionEvent};
use crate::json::{push_string, push_unsigned};
use crate::limits::PAGE_BYTES_MAX;
use crate::projection::{List, Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;
use crate::time::Time;

/// See the module's description.
#[derive(Debug)]
pub struct SubscriptionList;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    plan: String,
    created_by: String,
    members: Vec<String>,
    created_at: Time,
    version: u64,
}

/// What is shown of a subscription.
pub(super) struct Shown<'a> {
    pub id: &'a str,
    pub plan: &'a str,
    pub created_by: &'a str,
    pub members: &'a [String],
    pub created_at: Time,
    pub version: u64,
}

/// The schema of what is shown.
pub(super) const ITEM_SCHEMA: &str = r#"{"type":"object","required":["id","plan","createdBy","members","createdAt","version"],"additionalProperties":false,"properties":{"id":{"type":"string"},"plan":{"type":"string"},"createdBy":{"type":"string","format":"email"},"members":{"type":"array","maxItems":1000,"items":{"type":"string","format":"email"}},"createdAt":{"type":"string","format":"date-time"},"version":{"type":"integer","minimum":1}}}"#;

impl Projection for SubscriptionList {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "Subscription.List",
        revision: 1,
        schema: r##"{"type":"object","required":["subscriptions"],"properties":{"subscriptions":{"type":"array","items":{"$ref":"#/components/schemas/Subscription"}}}}"##,
    };

    const LIST: Option<List> = Some(List {
        path: "/subscriptions",
        summary: "All subscriptions, oldest first",
        statuses: &[],
        item_schema: ITEM_SCHEMA,
    });

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let Some(event) = record.event_of::<Subscription>()? else { return Ok(()) };
        let Some(key) = key(record.aggregate_id) else { return Ok(()) };
        let version = record.event.version;
        let row = match event {
            SubscriptionEvent::Created { plan, created_by } => Row {
                plan: plan.clone(),
                created_by: created_by.clone(),
                members: Vec::new(),
                created_at: record.time,
                version,
            },
            SubscriptionEvent::MembersAssigned { members } => {
                let Some(mut row) = rows.get::<Row>(&key)? else { return Ok(()) };
                row.members.extend(members.iter().cloned());
                Row { version, ..row }
            }
        };
        rows.put(&key, &row)
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let Rendered { json, next } = Self::list(reader, page)?;
        Ok(Rendered { json: format!("{{\"subscriptions\":{json}}}"), next })
    }

    fn list(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        // A subscription that is not one comes before all of them.
        let after = page.after.as_deref().and_then(key).map_or_else(Vec::new, Vec::from);
        let rows = reader.range::<Row>(b"", &after, page.limit.saturating_add(1))?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut json = String::from("[");
        let (mut last, mut next) = (None, None);
        for (index, (key, row)) in rows.iter().enumerate() {
            if index >= limit || json.len() > PAGE_BYTES_MAX {
                next = last;
                break;
            }
            if index > 0 {
                json.push(',');
            }
            let number = key.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
            let id = format!("{PREFIX}{number}");
            let Row { plan, created_by, members, created_at, version } = row;
            let (created_at, version) = (*created_at, *version);
            push(&mut json, &Shown { id: &id, plan, created_by, members, created_at, version });
            last = Some(id);
        }
        json.push(']');
        Ok(Rendered { json, next })
    }
}

fn key(id: &str) -> Option<[u8; 8]> {
    let number: u64 = id.strip_prefix(PREFIX)?.parse().ok()?;
    (number.to_string() == id.get(PREFIX.len()..)?).then(|| number.to_be_bytes())
}

/// Writes what is shown of a subscription.
pub(super) fn push(out: &mut String, shown: &Shown<'_>) {
    for (name, text) in [("id", shown.id), ("plan", shown.plan), ("createdBy", shown.created_by)] {
        out.push_str(if name == "id" { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        push_string(out, text);
    }
    out.push_str(",\"members\":[");
    for (index, member) in shown.members.iter().enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(out, member);
    }
    out.push_str("],\"createdAt\":\"");
    shown.created_at.push_iso(out);
    out.push_str("\",\"version\":");
    push_unsigned(out, shown.version);
    out.push('}');
}
