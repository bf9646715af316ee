//! What calls return: a status byte and an encoded message.
//!
//! Owns the encoding and how much room it begins with. Refuses to know what is done in a call.

use alloc::boxed::Box;
use alloc::string::ToString;
use alloc::vec;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::Deserialize;

use crate::encode::onto;
use crate::engine::Engine;
use crate::http::Answer;
use crate::protocol::{Kind, Outcome, Refusal, RefusalReason, StageStep, Status};

/// Bytes of most answers beside a body.
const ANSWER_BYTES_USUAL: usize = 512;

pub(super) type Answered = Result<Vec<u8>, Refusal>;

pub(super) fn refuse<T>(reason: RefusalReason, detail: impl ToString) -> Result<T, Refusal> {
    Err(Refusal { reason, detail: detail.to_string() })
}

pub(super) fn decode<'de, T: Deserialize<'de>>(message: &'de [u8]) -> Result<T, Refusal> {
    postcard::from_bytes(message)
        .map_err(|e| Refusal { reason: RefusalReason::Malformed, detail: e.to_string() })
}

pub(super) fn encode<T: Serialize>(answer: &T) -> Answered {
    encode_in(ANSWER_BYTES_USUAL, answer)
}

/// With room for so many bytes: what grows is copied.
fn encode_in<T: Serialize>(room: usize, answer: &T) -> Answered {
    let mut bytes = Vec::with_capacity(room);
    bytes.push(Status::Ok as u8);
    onto(bytes, answer)
        .map_err(|e| Refusal { reason: RefusalReason::Malformed, detail: e.to_string() })
}

pub(super) fn refused(refusal: &Refusal) -> Vec<u8> {
    onto(vec![Status::Refused as u8], refusal).unwrap_or_default()
}

pub(super) fn done(outcome: Outcome) -> Answered {
    let room = outcome.response.body.len().saturating_add(ANSWER_BYTES_USUAL);
    encode_in(room, &StageStep::Done(Box::new(outcome)))
}

pub(super) fn outcome(
    engine: &Engine,
    answer: Answer,
    kind: Kind,
    proposed: Option<u64>,
    checkpoint_due: bool,
) -> Outcome {
    let Answer { response, holes, export, ownership, listing, import, live, secret } = answer;
    let behind = engine.slices_due(engine.head().position);
    let (wake, wake_at, passed, effects) = (false, None, None, Vec::new());
    Outcome {
        response,
        holes,
        kind,
        proposed,
        checkpoint_due,
        behind,
        wake,
        wake_at,
        passed,
        effects,
        export,
        ownership,
        listing,
        import,
        live,
        secret,
        dispatched: None,
        consumers: false,
        topics: Vec::new(),
    }
}
