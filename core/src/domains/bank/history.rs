//! `TransactionHistory`: all deposits and withdrawals, oldest first.
//!
//! Rows: one list of positions; what happened there is read from the log, so it is stored once.

use alloc::format;
use alloc::string::{String, ToString};

use super::account::{Account, movement};
use crate::json::push_string;
use crate::limits::PAGE_BYTES_MAX;
use crate::projection::{Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct TransactionHistory;

const LIST: &[u8] = b"all";

impl Projection for TransactionHistory {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "TransactionHistory",
        revision: 1,
        schema: r#"{"type":"object","required":["transactions"],"properties":{"transactions":{"type":"array","items":{"type":"object","required":["accountId","type","amount","timestamp","eventId"],"properties":{"accountId":{"type":"string"},"type":{"enum":["deposit","withdrawal"]},"amount":{"type":"integer","minimum":1},"timestamp":{"type":"string","format":"date-time"},"eventId":{"type":"string"}}}}}}"#,
    };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        match record.event_of::<Account>()?.and_then(movement) {
            Some(_) => rows.append_position(LIST, record.position),
            None => Ok(()),
        }
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let after = page.after.as_deref().and_then(|after| after.parse().ok()).unwrap_or(0);
        let mut positions = reader.positions_after(LIST, after, page.limit.saturating_add(1))?;
        let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
        let mut more = positions.len() > limit;
        positions.truncate(limit);
        let mut json = String::from("{\"transactions\":[");
        let (mut last, mut empty) = (after, true);
        reader.records(&positions, |record| {
            let Some((kind, amount)) = record.event_of::<Account>()?.and_then(movement) else {
                return Ok(());
            };
            if json.len() > PAGE_BYTES_MAX {
                more = true;
                return Ok(());
            }
            last = record.position;
            json.push_str(if empty { "{\"accountId\":" } else { ",{\"accountId\":" });
            empty = false;
            push_string(&mut json, record.aggregate_id);
            json.push_str(&format!(",\"type\":\"{kind}\",\"amount\":{amount},\"timestamp\":\""));
            record.time.push_iso(&mut json);
            json.push_str("\",\"eventId\":");
            push_string(&mut json, &record.id());
            json.push('}');
            Ok(())
        })?;
        json.push_str("]}");
        Ok(Rendered { json, next: more.then(|| last.to_string()) })
    }
}
