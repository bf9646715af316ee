//! One round trip to the guest.

use alloc::format;

use serde::{Deserialize, Serialize};

use super::Guest;
use super::partition::Failure;
use crate::protocol::{Op, Refusal, Status};

/// One round trip: encodes, calls, checks the status, decodes.
pub(super) fn call<G, M, R>(guest: &mut G, op: Op, message: &M) -> Result<R, Failure>
where
    G: Guest,
    M: Serialize + ?Sized,
    R: for<'de> Deserialize<'de>,
{
    let bytes = postcard::to_allocvec(message)
        .map_err(|e| Failure::Refused(format!("encoding {op:?}: {e}")))?;
    let result = guest.call(op, &bytes)?;
    let malformed = |what: &dyn core::fmt::Display| {
        Failure::Refused(format!("the guest's answer to {op:?}: {what}"))
    };
    match result.split_first() {
        Some((&status, answer)) if status == Status::Ok as u8 => {
            postcard::from_bytes(answer).map_err(|e| malformed(&e))
        }
        Some((_, refusal)) => {
            let refusal: Refusal = postcard::from_bytes(refusal).map_err(|e| malformed(&e))?;
            Err(Failure::Refused(format!(
                "{op:?} was refused ({:?}): {}",
                refusal.reason, refusal.detail
            )))
        }
        None => Err(malformed(&"it is empty")),
    }
}
