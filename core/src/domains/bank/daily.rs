//! `DailySummary`: deposits and withdrawals in all and by UTC day. An opening balance is a deposit.
//!
//! Rows: `d` + day → the day's sums and those of all days before it, `last` → the latest day. Recorded
//! time never goes back, so a record changes the latest day's row and nothing else. Sums are 128
//! bits wide: many balances may pass 2^64.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::account::{Account, AccountEvent, movement};
use crate::projection::{Page, Projection, ProjectionSpec, Rendered};
use crate::read::{Reader, Rows, Stop};
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct DailySummary;

/// A sum in two words: they are read and written once for every record, and the high one is
/// mostly 0, which takes one byte.
#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sum {
    low: u64,
    high: u64,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Sums {
    deposits: Sum,
    withdrawals: Sum,
}

#[derive(Clone, Copy, Debug, Default, Serialize, Deserialize)]
struct Day {
    own: Sums,
    /// Of all days before.
    before: Sums,
}

impl Sum {
    const fn wide(self) -> u128 {
        (self.high as u128).wrapping_shl(64) | self.low as u128
    }

    const fn plus(self, other: Self) -> Self {
        let (low, carried) = self.low.overflowing_add(other.low);
        let high = self.high.saturating_add(other.high).saturating_add(carried as u64);
        Self { low, high }
    }
}

impl From<u64> for Sum {
    fn from(low: u64) -> Self {
        Self { low, high: 0 }
    }
}

impl Sums {
    const fn plus(self, other: Self) -> Self {
        Self {
            deposits: self.deposits.plus(other.deposits),
            withdrawals: self.withdrawals.plus(other.withdrawals),
        }
    }
}

const LAST: &[u8] = b"last";
const DAYS: &[u8] = b"d";

/// The row of the latest day so far.
fn latest(
    row: Option<Vec<u8>>,
    get: impl FnOnce(&[u8]) -> Result<Option<Day>, Stop>,
) -> Result<Day, Stop> {
    let Some(key) = row else { return Ok(Day::default()) };
    get(&key).map(Option::unwrap_or_default)
}

impl Projection for DailySummary {
    const SPEC: ProjectionSpec = ProjectionSpec {
        name: "DailySummary",
        revision: 2,
        schema: r##"{"type":"object","required":["summary","days"],"properties":{"summary":{"$ref":"#/components/schemas/Sums"},"days":{"type":"object","description":"By UTC day, YYYY-MM-DD","additionalProperties":{"$ref":"#/components/schemas/Sums"}}}}"##,
    };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let (deposit, withdrawal) = match record.event_of::<Account>()? {
            Some(AccountEvent::AccountOpened { initial_balance }) => (*initial_balance, 0),
            Some(event) => match movement(event) {
                Some(("deposit", amount)) => (amount, 0),
                Some((_, amount)) => (0, amount),
                None => return Ok(()),
            },
            None => return Ok(()),
        };
        let mut day = String::with_capacity(12);
        day.push('d');
        record.time.push_day(&mut day);
        let day = day.as_bytes();
        let mut sums = match rows.get::<Day>(day)? {
            Some(sums) => sums,
            None => {
                let last = rows.get(LAST)?;
                let last = latest(last, |key| rows.get(key))?;
                rows.put(LAST, &day)?;
                Day { own: Sums::default(), before: last.before.plus(last.own) }
            }
        };
        sums.own = sums.own.plus(Sums { deposits: deposit.into(), withdrawals: withdrawal.into() });
        rows.put(day, &sums)
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        let last = reader.get(LAST)?;
        let last = latest(last, |key| reader.get(key))?;
        let total = last.before.plus(last.own);
        let mut after: Vec<u8> = Vec::new();
        if let Some(day) = &page.after {
            after.extend_from_slice(DAYS);
            after.extend_from_slice(day.as_bytes());
        }
        let days = reader.range::<Day>(DAYS, &after, page.limit.saturating_add(1))?;
        let mut json = format!("{{\"summary\":{},\"days\":{{", shown(total));
        let mut next = None;
        let mut last = String::new();
        for (index, (key, day)) in days.iter().enumerate() {
            if index as u64 >= u64::from(page.limit) {
                next = Some(last);
                break;
            }
            last = String::from_utf8_lossy(key.get(1..).unwrap_or_default()).into_owned();
            json.push_str(if index > 0 { ",\"" } else { "\"" });
            json.push_str(&last);
            json.push_str("\":");
            json.push_str(&shown(day.own));
        }
        json.push_str("}}");
        Ok(Rendered { json, next })
    }
}

fn shown(sums: Sums) -> String {
    let (deposits, withdrawals) = (sums.deposits.wide(), sums.withdrawals.wide());
    let net = i128::try_from(deposits)
        .unwrap_or(i128::MAX)
        .saturating_sub(i128::try_from(withdrawals).unwrap_or(i128::MAX));
    format!("{{\"deposits\":{deposits},\"withdrawals\":{withdrawals},\"netChange\":{net}}}")
}
