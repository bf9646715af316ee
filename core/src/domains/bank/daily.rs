//! `DailySummary`: deposits and withdrawals in all and by UTC day. An opening balance is a deposit.
//!
//! Rows: `total`, and `d` + day → sums. Sums are 128 bits wide: many balances may pass 2^64.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::account::{AccountEvent, event_of};
use crate::projection::{Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct DailySummary;

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    deposits: u128,
    withdrawals: u128,
}

const TOTAL: &[u8] = b"total";
const DAYS: &[u8] = b"d";

impl Projection for DailySummary {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "DailySummary",
        revision: 1,
        schema: r##"{"type":"object","required":["summary","days"],"properties":{"summary":{"$ref":"#/components/schemas/Sums"},"days":{"type":"object","description":"By UTC day, YYYY-MM-DD","additionalProperties":{"$ref":"#/components/schemas/Sums"}}}}"##,
    };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let (deposit, withdrawal) = match event_of(record)? {
            Some(AccountEvent::AccountOpened { initial_balance }) => (*initial_balance, 0),
            Some(AccountEvent::MoneyDeposited { amount }) => (*amount, 0),
            Some(AccountEvent::MoneyWithdrawn { amount }) => (0, *amount),
            Some(AccountEvent::AccountClosed {}) | None => return Ok(()),
        };
        let mut day = String::with_capacity(12);
        day.push('d');
        record.time.push_day(&mut day);
        for key in [TOTAL, day.as_bytes()] {
            let sums = rows.get::<Sums>(key)?.unwrap_or_default();
            let sums = Sums {
                deposits: sums.deposits.saturating_add(deposit.into()),
                withdrawals: sums.withdrawals.saturating_add(withdrawal.into()),
            };
            rows.put(key, &sums)?;
        }
        Ok(())
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let total = reader.get::<Sums>(TOTAL)?.unwrap_or_default();
        let mut after: Vec<u8> = Vec::new();
        if let Some(day) = &page.after {
            after.extend_from_slice(DAYS);
            after.extend_from_slice(day.as_bytes());
        }
        let days = reader.range::<Sums>(DAYS, &after, page.limit.saturating_add(1))?;
        let mut json = format!("{{\"summary\":{},\"days\":{{", shown(total));
        let mut next = None;
        let mut last = String::new();
        for (index, (key, sums)) in days.iter().enumerate() {
            if index as u64 >= u64::from(page.limit) {
                next = Some(last);
                break;
            }
            last = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            json.push_str(if index > 0 { ",\"" } else { "\"" });
            json.push_str(&last);
            json.push_str("\":");
            json.push_str(&shown(*sums));
        }
        json.push_str("}}");
        Ok(Rendered { json, next })
    }
}

fn shown(sums: Sums) -> String {
    let Sums { deposits, withdrawals } = sums;
    let net = i128::try_from(deposits)
        .unwrap_or(i128::MAX)
        .saturating_sub(i128::try_from(withdrawals).unwrap_or(i128::MAX));
    format!("{{\"deposits\":{deposits},\"withdrawals\":{withdrawals},\"netChange\":{net}}}")
}
