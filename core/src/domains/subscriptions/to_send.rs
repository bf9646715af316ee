//! `Emails.To.Send`: every email that was asked for, and how far each has got.
//!
//! Rows: `e` + position + n → the email; `s` + status + position + n → nothing, for lists by status.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::email::{Email, EmailEvent};
use super::sender::{TEMPLATE, email_id, subject};
use super::subscription::{Subscription, SubscriptionEvent};
use crate::json::push_string;
use crate::limits::PAGE_BYTES_MAX;
use crate::projection::{List, Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;
use crate::time::Time;

/// See the module's description.
#[derive(Debug)]
pub struct EmailsToSend;

#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
enum Status {
    Pending,
    Succeeded,
    Dropped,
}

const STATUSES: [(&str, Status, u8); 3] = [
    ("pending", Status::Pending, b'p'),
    ("succeeded", Status::Succeeded, b's'),
    ("dropped", Status::Dropped, b'd'),
];

impl Status {
    fn name(self) -> &'static str {
        STATUSES.iter().find(|(_, one, _)| *one == self).map_or("", |(name, ..)| name)
    }

    fn prefix(self) -> [u8; 2] {
        [b's', STATUSES.iter().find(|(_, one, _)| *one == self).map_or(0, |(.., letter)| *letter)]
    }
}

#[derive(Debug, Serialize, Deserialize)]
struct Row {
    to: String,
    subject: String,
    attempt: u32,
    next: Option<Time>,
    last_error: Option<String>,
    status: Status,
}

impl Projection for EmailsToSend {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "Emails.To.Send",
        revision: 1,
        schema: r#"{"type":"object","required":["emails"],"properties":{"emails":{"type":"array"}}}"#,
    };

    const LIST: Option<List> = Some(List {
        path: "/emails",
        summary: "All emails, oldest first, and how far each has got",
        statuses: &["pending", "succeeded", "dropped"],
        item_schema: r#"{"type":"object","required":["id","to","template","subject","attempt","nextAttemptAt","lastError","status"],"additionalProperties":false,"properties":{"id":{"type":"string"},"to":{"type":"string","format":"email"},"template":{"type":"string"},"subject":{"type":"string"},"attempt":{"type":"integer","minimum":0,"description":"Attempts made"},"nextAttemptAt":{"type":["string","null"],"format":"date-time"},"lastError":{"type":["string","null"]},"status":{"enum":["pending","succeeded","dropped"]}}}"#,
    });

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        if let Some(SubscriptionEvent::MembersAssigned { members }) =
            record.event_of::<Subscription>()?
        {
            for (index, to) in members.iter().enumerate() {
                let Some(place) = place(&email_id(record.position, index)) else { continue };
                let row = Row {
                    to: to.clone(),
                    subject: subject(record.aggregate_id),
                    attempt: 0,
                    next: Some(record.time),
                    last_error: None,
                    status: Status::Pending,
                };
                rows.put(&key(&row.status.prefix(), &place), &())?;
                rows.put(&key(b"e", &place), &row)?;
            }
        }
        let Some(event) = record.event_of::<Email>()? else { return Ok(()) };
        let Some(place) = place(record.aggregate_id) else { return Ok(()) };
        let Some(before) = rows.get::<Row>(&key(b"e", &place))? else { return Ok(()) };
        let old = before.status;
        let row = after(before, event);
        if row.status != old {
            rows.delete(&key(&old.prefix(), &place))?;
            rows.put(&key(&row.status.prefix(), &place), &())?;
        }
        rows.put(&key(b"e", &place), &row)
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let Rendered { json, next } = Self::list(reader, page)?;
        Ok(Rendered { json: format!("{{\"emails\":{json}}}"), next })
    }

    fn list(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let status = page.status.as_deref();
        let status = STATUSES.iter().find(|(name, ..)| Some(*name) == status).map(|found| found.1);
        let prefix = status.map_or_else(|| b"e".to_vec(), |status| status.prefix().to_vec());
        let after = page.after.as_deref().and_then(place);
        let after = after.map_or_else(|| prefix.clone(), |place| key(&prefix, &place));
        let limit = page.limit.saturating_add(1);
        let found: Vec<(Vec<u8>, Option<Row>)> = match status {
            None => {
                let rows = reader.range::<Row>(&prefix, &after, limit)?;
                rows.into_iter().map(|(key, row)| (key, Some(row))).collect()
            }
            Some(_) => {
                let rows = reader.range::<()>(&prefix, &after, limit)?;
                rows.into_iter().map(|(key, ())| (key, None)).collect()
            }
        };
        render(reader, found, prefix.len(), page)
    }
}

fn after(before: Row, event: &EmailEvent) -> Row {
    let at = |text: &str| Time::parse_iso(text);
    let (status, attempt, next, error) = match event {
        EmailEvent::Succeeded { attempt, .. } => (Status::Succeeded, *attempt, None, None),
        EmailEvent::Failed { attempt, error, retry_at } => {
            (Status::Pending, *attempt, at(retry_at), Some(error))
        }
        EmailEvent::Dropped { attempt, error } => (Status::Dropped, *attempt, None, Some(error)),
        EmailEvent::Retried { retry_at } => (Status::Pending, 0, at(retry_at), None),
    };
    Row { status, attempt, next, last_error: error.cloned(), ..before }
}

fn render(
    reader: &mut Reader<'_, '_>,
    found: Vec<(Vec<u8>, Option<Row>)>,
    prefix: usize,
    page: &Page,
) -> Result<Rendered, Stop> {
    let limit = usize::try_from(page.limit).unwrap_or(usize::MAX);
    let more = found.len() > limit;
    let (mut rows, mut missed) = (Vec::new(), false);
    for (found, row) in found.into_iter().take(limit) {
        let place = found.get(prefix..).unwrap_or_default().to_vec();
        let row = row.map_or_else(|| reader.get::<Row>(&key(b"e", &place)), |row| Ok(Some(row)));
        match row {
            Ok(row) => rows.extend(row.map(|row| (place, row))),
            // All are tried before a miss is told, so that one round supplies them all.
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed {
        return Err(Stop::Miss);
    }
    let mut json = String::from("[");
    let (mut last, mut cut) = (None, false);
    for (place, row) in &rows {
        if json.len() > PAGE_BYTES_MAX {
            cut = true;
            break;
        }
        if last.is_some() {
            json.push(',');
        }
        let id = id_of(place);
        push(&mut json, &id, row);
        last = Some(id);
    }
    json.push(']');
    Ok(Rendered { json, next: last.filter(|_| more || cut) })
}

fn push(out: &mut String, id: &str, row: &Row) {
    for (name, text) in
        [("id", id), ("to", &row.to), ("template", TEMPLATE), ("subject", &row.subject)]
    {
        out.push_str(if name == "id" { "{\"" } else { ",\"" });
        out.push_str(name);
        out.push_str("\":");
        push_string(out, text);
    }
    out.push_str(&format!(",\"attempt\":{},\"nextAttemptAt\":", row.attempt));
    match row.next {
        Some(time) => push_string(out, &time.to_iso()),
        None => out.push_str("null"),
    }
    out.push_str(",\"lastError\":");
    match &row.last_error {
        Some(error) => push_string(out, error),
        None => out.push_str("null"),
    }
    out.push_str(&format!(",\"status\":\"{}\"}}", row.status.name()));
}

fn key(prefix: &[u8], place: &[u8]) -> Vec<u8> {
    [prefix, place].concat()
}

/// The place of an email among all, by its id.
fn place(id: &str) -> Option<Vec<u8>> {
    let (position, n) = id.strip_prefix("email-")?.split_once('-')?;
    let (position, n): (u64, u32) = (position.parse().ok()?, n.parse().ok()?);
    let place = [&position.to_be_bytes()[..], &n.to_be_bytes()[..]].concat();
    (id_of(&place) == id).then_some(place)
}

fn id_of(place: &[u8]) -> String {
    let position = place.first_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
    let n = place.last_chunk::<4>().map_or(0, |bytes| u32::from_be_bytes(*bytes));
    let index = usize::try_from(n).unwrap_or(usize::MAX);
    email_id(position, index.saturating_sub(1)).to_string()
}
