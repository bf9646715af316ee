//! The secret that the keys of consumers are made from, when none is set (law 7).
//!
//! Owns how an object makes its own, once, and keeps it outside of log and rows. Refuses to know
//! what is made from it.
//!
//! Invariant: a secret that was used is never replaced. One that can not be read is an error, since
//! another would silently make every consumer's key another.

use foldlog_core::chain::hex;
use foldlog_core::driver::{SqlError, World};
use foldlog_core::settings::Secret;

use crate::platform::{Storage, message_of};
use crate::world::Platform;

/// Where it is kept.
const SECRET_KEY: &str = "secret";

/// The secret that is set, else the object's own, made if there is none yet.
pub fn of(storage: &Storage, set: Option<&Secret>) -> Result<Secret, SqlError> {
    if let Some(set) = set {
        return Ok(set.clone());
    }
    let failed = |thrown| SqlError::Failed(message_of(&thrown));
    let lost = || SqlError::Failed("the object's secret can not be read".into());
    let kept = storage.kv().get(SECRET_KEY).map_err(failed)?;
    if !(kept.is_undefined() || kept.is_null()) {
        return kept.as_string().as_deref().and_then(Secret::new).ok_or_else(lost);
    }
    let mut world = Platform::new();
    let made = hex(&[world.entropy(), world.entropy()].concat());
    storage.kv().put(SECRET_KEY, &made).map_err(failed)?;
    Secret::new(&made).ok_or_else(lost)
}
