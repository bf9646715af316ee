//! Whose log it is (law 7): the incarnation that this object may act for, kept beside the log.
//!
//! Owns how it is read. Refuses to compare it with the log's (the driver does), and to know how it
//! is stored with the first write (`sql`).

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::{NOBODY, World, test_entropy};

use crate::platform::Storage;
use crate::sql::OWNER_KEY;
use crate::world::Platform;

/// The incarnation that this object may act for: the stored one; without one a fresh one where
/// there is no log yet, and [`NOBODY`] where there is.
pub struct Owner {
    /// See above.
    pub incarnation: [u8; 16],
    /// Its text, when it is not stored yet.
    pub unstored: Option<String>,
}

/// Reads the stored owner, and makes one for an empty log.
pub fn of(storage: &Storage, empty: bool, test_seed: Option<&str>) -> Owner {
    let stored = storage.kv().get(OWNER_KEY).ok().and_then(|value| value.as_string());
    let stored = stored.as_deref().and_then(unhex::<16>);
    match stored.filter(|stored| *stored != NOBODY) {
        Some(stored) => Owner { incarnation: stored, unstored: None },
        None if empty => {
            let fresh =
                test_seed.map_or_else(|| Platform::new().entropy(), |seed| test_entropy(seed, 0));
            Owner { incarnation: fresh, unstored: Some(hex(&fresh)) }
        }
        None => Owner { incarnation: NOBODY, unstored: None },
    }
}
