//! Making effects: the outside calls that commits ask for.
//!
//! Owns how each kind of effect is made natively. Refuses to know when one is due and what its end
//! leads to: the driver and the guest do.

use foldlog_core::engine::LIST_PARTITION;
use foldlog_core::protocol::EffectCall;

/// Makes an effect. `Err` says why it failed, for `GET /effects`.
pub fn make(effect: &EffectCall) -> Result<(), String> {
    match effect.kind.as_str() {
        // The data directory is the directory: a partition is listed by its file.
        LIST_PARTITION => Ok(()),
        kind => Err(format!("this host makes no effects of kind {kind}")),
    }
}
