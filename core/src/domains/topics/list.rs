//! `Topics`: all topics by name, with their event types.
//!
//! Rows: name → event types and when the topic came into being. How many events it has is counted
//! where they are indexed, so that publishing changes no row here.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::definition::{Definition, DefinitionEvent};
use crate::ids;
use crate::json::{push_string, push_unsigned};
use crate::limits::PAGE_BYTES_MAX;
use crate::projection::{List, Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;
use crate::time::Time;

/// See the module's description.
#[derive(Debug)]
pub struct TopicList;

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    types: Vec<String>,
    created_at: Time,
}

impl Projection for TopicList {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "Topics",
        revision: 1,
        schema: r#"{"type":"object","required":["topics"],"properties":{"topics":{"type":"array","items":{"type":"object"}}}}"#,
    };

    const LIST: Option<List> = Some(List {
        path: "/topics",
        summary: "All topics, by name",
        statuses: &[],
        item_schema: r#"{"type":"object","required":["name","types","events","createdAt"],"additionalProperties":false,"properties":{"name":{"type":"string"},"types":{"type":"array","items":{"type":"string"}},"events":{"type":"integer","minimum":0},"createdAt":{"type":"string","format":"date-time"}}}"#,
    });

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let Some(event) = record.event_of::<Definition>()? else { return Ok(()) };
        let key = record.aggregate_id.as_bytes();
        let mut row = match event {
            DefinitionEvent::Created { .. } => Row { types: Vec::new(), created_at: record.time },
            DefinitionEvent::SchemasAdded { .. } => match rows.get::<Row>(key)? {
                Some(row) => row,
                None => return Ok(()),
            },
        };
        let (DefinitionEvent::Created { schemas, .. } | DefinitionEvent::SchemasAdded { schemas }) =
            event;
        for one in schemas.iter().filter(|one| one.version == 1) {
            row.types.push(one.name.clone());
        }
        rows.put(key, &row)
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let Rendered { json, next } = Self::list(reader, page)?;
        Ok(Rendered { json: format!("{{\"topics\":{json}}}"), next })
    }

    fn list(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let after = page.after.as_deref().unwrap_or_default().as_bytes();
        let rows = reader.range::<Row>(b"", after, page.limit.saturating_add(1))?;
        let rows =
            rows.into_iter().map(|(key, row)| (String::from_utf8_lossy(&key).into_owned(), row));
        let rows: Vec<(String, Row)> = rows.collect();
        // All are counted before a miss is told, so that one round supplies them all.
        let counts: Vec<_> =
            rows.iter().map(|(name, _)| reader.stream_count(ids::TOPIC, name)).collect();
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut json = String::from("[");
        let (mut last, mut next) = (None, None);
        for (index, ((name, row), count)) in rows.into_iter().zip(counts).enumerate() {
            if index >= limit || json.len() > PAGE_BYTES_MAX {
                next = last;
                break;
            }
            json.push_str(if index > 0 { ",{\"name\":" } else { "{\"name\":" });
            push_string(&mut json, &name);
            json.push_str(",\"types\":[");
            for (index, name) in row.types.iter().enumerate() {
                if index > 0 {
                    json.push(',');
                }
                push_string(&mut json, name);
            }
            json.push_str("],\"events\":");
            push_unsigned(&mut json, count?);
            json.push_str(",\"createdAt\":\"");
            row.created_at.push_iso(&mut json);
            json.push_str("\"}");
            last = Some(name);
        }
        json.push(']');
        Ok(Rendered { json, next })
    }
}
