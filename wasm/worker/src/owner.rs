//! Whose log it is (law 7): the incarnation that this object may act for, kept beside the log.
//!
//! Owns how it is read. Refuses to compare it with the log's (the driver does), and to know how it
//! is stored (`sql`).

use foldlog_core::chain::unhex;
use foldlog_core::driver::NOBODY;

use crate::platform::Storage;
use crate::sql::OWNER_KEY;

/// The incarnation that this object may act for: the stored one, or [`NOBODY`].
pub fn of(storage: &Storage) -> [u8; 16] {
    let stored = storage.kv().get(OWNER_KEY).ok().and_then(|value| value.as_string());
    stored.as_deref().and_then(unhex::<16>).unwrap_or(NOBODY)
}
