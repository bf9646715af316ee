//! `Loans`: which books are lent, to whom, where, until when.
//!
//! Rows: book id → member, due time and branch. Refuses to know the rules of lending.

use foldlog_core::json::push_string;
use foldlog_core::projection::{Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use serde::{Deserialize, Serialize};

use crate::book::{Book, BookEvent};

/// See the module's description.
#[derive(Debug)]
pub struct Loans;

#[derive(Debug, Serialize, Deserialize)]
struct Loan {
    member: String,
    due: String,
    branch: String,
}

impl Projection for Loans {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "Loans",
        revision: 2,
        schema: r#"{"type":"object","required":["loans"],"properties":{"loans":{"type":"object","additionalProperties":{"type":"object","required":["member","branch","due"],"properties":{"member":{"type":"string"},"branch":{"type":"string"},"due":{"type":"string","format":"date-time"}}}}}}"#,
    };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let key = record.aggregate_id.as_bytes();
        match record.event_of::<Book>()? {
            Some(BookEvent::BookLent { member, due, branch }) => {
                let (member, due, branch) = (member.clone(), due.clone(), branch.clone());
                rows.put(key, &Loan { member, due, branch })
            }
            Some(BookEvent::BookRenewed { due }) => match rows.get::<Loan>(key)? {
                Some(loan) => rows.put(key, &Loan { due: due.clone(), ..loan }),
                None => Ok(()),
            },
            Some(BookEvent::BookReturned {}) => rows.delete(key),
            _ => Ok(()),
        }
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let after = page.after.as_deref().unwrap_or_default();
        // One more than is shown tells whether there is a next page.
        let mut rows = reader.range::<Loan>(b"", after.as_bytes(), page.limit.saturating_add(1))?;
        let more = rows.len() as u64 > u64::from(page.limit);
        if more {
            rows.pop();
        }
        let mut json = String::from("{\"loans\":{");
        let mut last = None;
        for (key, loan) in rows {
            let id = String::from_utf8_lossy(&key).into_owned();
            if last.is_some() {
                json.push(',');
            }
            push_string(&mut json, &id);
            json.push_str(":{\"member\":");
            push_string(&mut json, &loan.member);
            json.push_str(",\"branch\":");
            push_string(&mut json, &loan.branch);
            json.push_str(",\"due\":");
            push_string(&mut json, &loan.due);
            json.push('}');
            last = Some(id);
        }
        json.push_str("}}");
        Ok(Rendered { json, next: last.filter(|_| more) })
    }
}

#[cfg(test)]
mod tests {
    use foldlog_core::testing::projected;

    use super::Loans;
    use crate::book::{Book, BookEvent};

    #[test]
    fn loans_of_the_first_module_are_shown_too() {
        let recorded = r#"{"member":"ann","due":"2026-01-29T00:00:00.000Z"}"#;
        let due = || "2026-02-26T00:00:00.000Z".to_string();
        projected::<Loans>()
            .given_recorded::<Book>("emma", ("BookLent", 1), recorded)
            .given::<Book>("emma", [BookEvent::BookRenewed { due: due() }])
            .given::<Book>("ulysses", [BookEvent::BookRenewed { due: due() }])
            .then(
                r#"{"loans":{"emma":{"member":"ann","branch":"main","due":"2026-02-26T00:00:00.000Z"}}}"#,
            );
    }
}
