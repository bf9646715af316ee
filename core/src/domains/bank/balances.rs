//! `AccountBalances`: what each account holds, and since when.
//!
//! Rows: account id → balance and time of the last change.

use alloc::format;
use alloc::string::String;

use serde::{Deserialize, Serialize};

use super::account::{Account, AccountEvent, movement};
use crate::json::push_string;
use crate::projection::{Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;
use crate::time::Time;

/// See the module's description.
#[derive(Debug)]
pub struct AccountBalances;

#[derive(Debug, Serialize, Deserialize)]
struct Balance {
    balance: u64,
    last_updated: Time,
}

impl Projection for AccountBalances {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "AccountBalances",
        revision: 1,
        schema: r#"{"type":"object","required":["balances"],"properties":{"balances":{"type":"object","additionalProperties":{"type":"object","required":["balance","lastUpdated"],"properties":{"balance":{"type":"integer","minimum":0},"lastUpdated":{"type":"string","format":"date-time"}}}}}}"#,
    };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let Some(event) = record.event_of::<Account>()? else { return Ok(()) };
        let key = record.aggregate_id.as_bytes();
        let before = rows.get::<Balance>(key)?.map_or(0, |row| row.balance);
        let balance = match *event {
            AccountEvent::AccountOpened { initial_balance } => initial_balance,
            AccountEvent::AccountClosed {} => before,
            AccountEvent::TransferHoldReleased { .. } => return Ok(()),
            _ => match movement(event) {
                Some(("deposit", amount)) => before.saturating_add(amount),
                Some((_, amount)) => before.saturating_sub(amount),
                None => before,
            },
        };
        rows.put(key, &Balance { balance, last_updated: record.time })
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let after = page.after.as_deref().unwrap_or_default();
        let rows = reader.range::<Balance>(b"", after.as_bytes(), page.limit.saturating_add(1))?;
        let mut json = String::from("{\"balances\":{");
        let mut next = None;
        let mut last = String::new();
        for (index, (key, row)) in rows.iter().enumerate() {
            if index as u64 >= u64::from(page.limit) {
                next = Some(last);
                break;
            }
            last = String::from_utf8_lossy(key).into_owned();
            if index > 0 {
                json.push(',');
            }
            push_string(&mut json, &last);
            json.push_str(&format!(":{{\"balance\":{},\"lastUpdated\":\"", row.balance));
            row.last_updated.push_iso(&mut json);
            json.push_str("\"}");
        }
        json.push_str("}}");
        Ok(Rendered { json, next })
    }
}
