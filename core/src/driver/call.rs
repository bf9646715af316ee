//! Round trips to the guest: one call, and the calls that stage one input.

use alloc::format;

use serde::{Deserialize, Serialize};

use super::partition::{Failure, Live};
use super::sqlite::empty_answer;
use super::{Guest, Store, StoreError};
use crate::chain::NO_HASH;
use crate::protocol::{Input, Op, Outcome, Refusal, StageStep, Status};

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

/// Stages an input and answers what the guest asks for.
pub(super) fn stage<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    input: &Input<'_>,
) -> Result<Outcome, Failure> {
    let mut step: StageStep = call(&mut live.guest, Op::Stage, input)?;
    loop {
        match step {
            StageStep::Need(queries) => {
                // Without a log there is nothing to read: what an unfinished import stored is none.
                let answers = match live.head.genesis {
                    NO_HASH => queries.iter().map(empty_answer).collect(),
                    _ => store.read(&queries)?,
                };
                step = call(&mut live.guest, Op::Supply, &answers)?;
            }
            StageStep::Done(outcome) => return Ok(*outcome),
        }
    }
}

/// Stages an input, and takes in what it proposes.
pub(super) fn stage_one<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    input: &Input<'_>,
) -> Result<Outcome, Failure> {
    let outcome = stage(live, store, input)?;
    if let Some(position) = outcome.proposed {
        let () = call(&mut live.guest, Op::Commit, &())?;
        live.head.position = position;
    }
    live.behind |= outcome.behind;
    Ok(outcome)
}

/// The same for an input of a batch. Nothing when its reading was stopped, which is for those that
/// are read in parts: it has to be staged again.
pub(super) fn stage_input<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    input: &Input<'_>,
    in_parts: bool,
) -> Result<Option<Outcome>, Failure> {
    store.stop_reads(in_parts);
    let staged = stage_one(live, store, input);
    store.stop_reads(false);
    match staged {
        Err(Failure::Store(StoreError::Stopped)) => {
            let () = call(&mut live.guest, Op::Rollback, &())?;
            Ok(None)
        }
        staged => staged.map(Some),
    }
}
