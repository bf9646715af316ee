//! Idempotency keys: their rows, the queue in which they expire, and dropping what expired; and the
//! rows of event ids given by callers, which stay.
//!
//! Owns the bytes and keys of both kinds of row. Refuses to know what an answer to a repeated key
//! looks like. Recorded time alone decides, so a fold drops what the first run dropped.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::views::IDEMPOTENCY;
use crate::limits::EXPIRED_KEYS_PER_COMMIT;
use crate::read::Stop;
use crate::time::Time;

/// An idempotency entry.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct KeyEntry {
    /// First position of the commit.
    pub position: u64,
    /// Time of the commit.
    pub time: Time,
    /// Fingerprint of the request.
    pub request: [u8; 32],
}

/// An entry of the queue in which keys expire.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Expiry {
    /// Time of the commit.
    pub time: Time,
    /// The key.
    pub key: String,
}

/// Milliseconds of a day.
const DAY_MS: u64 = 86_400_000;

/// Key of an idempotency entry's row.
pub fn key_row(key: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(key.len().saturating_add(1));
    row.push(b'k');
    row.extend_from_slice(key.as_bytes());
    row
}

/// Key of the row that tells where the event with an id given by its caller is. It never expires.
pub fn event_row(id: &str) -> Vec<u8> {
    let mut row = Vec::with_capacity(id.len().saturating_add(1));
    row.push(b'e');
    row.extend_from_slice(id.as_bytes());
    row
}

/// Key of an expiry's row.
pub fn expiry_row(position: u64) -> Vec<u8> {
    let mut row = Vec::with_capacity(9);
    row.push(b'q');
    row.extend_from_slice(&position.to_be_bytes());
    row
}

/// Whether an entry made at `made` is no longer valid at `now`.
pub fn expired(made: Time, now: Time, days: u32) -> bool {
    now.0.saturating_sub(made.0) >= u64::from(days).saturating_mul(DAY_MS)
}

/// Drops the oldest expired keys, a bounded number; returns the oldest that stays. `oldest` is the
/// position of the oldest there is: what was before it is deleted, though maybe not yet in the
/// store, and is not read through again.
pub fn drop_expired(
    access: &mut Access<'_>,
    oldest: u64,
    now: Time,
    days: u32,
) -> Result<Option<(u64, Time)>, Stop> {
    let after = expiry_row(oldest.saturating_sub(1));
    let limit = EXPIRED_KEYS_PER_COMMIT.saturating_add(1);
    let queue = access.range(IDEMPOTENCY, b"q", &after, limit)?;
    let mut missed = false;
    let last = queue.len().saturating_sub(1);
    for (index, (row, bytes)) in queue.iter().enumerate() {
        let expiry: Expiry = postcard::from_bytes(bytes).map_err(|e| Stop::Fault(e.to_string()))?;
        let position = row.last_chunk::<8>().map_or(0, |bytes| u64::from_be_bytes(*bytes));
        let stays = !expired(expiry.time, now, days);
        if stays || (index == last && last >= EXPIRED_KEYS_PER_COMMIT as usize) {
            return if missed { Err(Stop::Miss) } else { Ok(Some((position, expiry.time))) };
        }
        access.delete(IDEMPOTENCY, row);
        // The key may have been used again since: then the entry is a later one and stays.
        match access.row(IDEMPOTENCY, &key_row(&expiry.key)) {
            Ok(Some(bytes)) => {
                let entry: KeyEntry =
                    postcard::from_bytes(&bytes).map_err(|e| Stop::Fault(e.to_string()))?;
                if entry.position == position {
                    access.delete(IDEMPOTENCY, &key_row(&expiry.key));
                }
            }
            Ok(None) => {}
            Err(Stop::Miss) => missed = true,
            Err(fault) => return Err(fault),
        }
    }
    if missed { Err(Stop::Miss) } else { Ok(None) }
}

/// The days that a settings member states.
pub fn idempotency_days(settings: &str) -> u32 {
    #[derive(Deserialize)]
    #[serde(rename_all = "camelCase")]
    struct Known {
        idempotency_days: u32,
    }
    serde_json::from_str::<Known>(settings).map_or(7, |known| known.idempotency_days)
}
