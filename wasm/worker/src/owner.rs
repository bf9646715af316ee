//! Whose log it is (law 7): the incarnation that this object may act for, kept beside the log.
//!
//! Owns the comparison. Refuses to know how the owner is stored with the first write (`sql`).

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::{World, test_entropy};

use crate::platform::Storage;
use crate::sql::OWNER_KEY;
use crate::world::Platform;

/// What opening found out.
pub struct Owner {
    /// The incarnation to act for.
    pub incarnation: [u8; 16],
    /// Its text, when it is not stored yet.
    pub unstored: Option<String>,
    /// The log belongs to another: reads work, commands do not, nothing fires.
    pub held: bool,
}

/// Compares the stored owner with the log's genesis line, and makes an owner for an empty log.
pub fn of(storage: &Storage, genesis: Option<&str>, test_seed: Option<&str>) -> Owner {
    let stored = storage.kv().get(OWNER_KEY).ok().and_then(|value| value.as_string());
    let stored = stored.as_deref().and_then(unhex::<16>);
    let named = genesis.map(|line| incarnation_of(line).unwrap_or_default());
    match (named, stored) {
        (Some(named), stored) => {
            Owner { incarnation: named, unstored: None, held: stored != Some(named) }
        }
        (None, Some(stored)) => Owner { incarnation: stored, unstored: None, held: false },
        (None, None) => {
            let fresh =
                test_seed.map_or_else(|| Platform::new().entropy(), |seed| test_entropy(seed, 0));
            Owner { incarnation: fresh, unstored: Some(hex(&fresh)), held: false }
        }
    }
}

/// The incarnation that a genesis line names. A partition's name holds no quotes, so the first
/// member of this name is the one.
fn incarnation_of(line: &str) -> Option<[u8; 16]> {
    let (_, rest) = line.split_once("\"incarnation\":\"")?;
    unhex(rest.get(..32)?)
}
