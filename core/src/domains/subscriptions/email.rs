//! The email: what became of each attempt to send one.
//!
//! Owns its events. Its one command comes from the results of effects, and is never refused: what
//! happened outside has happened. What it says is in the effect, which the log has as well.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use crate::errors::Rejection;
use crate::json::{push_string, push_unsigned};
use crate::read::{Reader, Stop};

/// An email as a kind of stream.
#[derive(Debug)]
pub struct Email;

/// What can be told of an email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum EmailCommand {
    /// What came of an attempt.
    #[serde(rename = "Email.Record")]
    Record(EmailEvent),
}

/// What can happen to an email.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum EmailEvent {
    /// It was sent.
    #[serde(rename = "Email.Succeeded")]
    Succeeded {
        /// Attempts made.
        attempt: u32,
        /// By what: `sendgrid`, or `log` where nothing sends.
        delivery: String,
    },
    /// An attempt failed, and another will be made.
    #[serde(rename = "Email.Failed")]
    Failed {
        /// Attempts made.
        attempt: u32,
        /// Why.
        error: String,
        /// When the next one is made.
        retry_at: String,
    },
    /// The last attempt failed.
    #[serde(rename = "Email.Dropped")]
    Dropped {
        /// Attempts made.
        attempt: u32,
        /// Why.
        error: String,
    },
    /// A client wants it to be sent after all: attempts are counted anew.
    #[serde(rename = "Email.Retried")]
    Retried {
        /// When the next attempt is made.
        retry_at: String,
    },
}

/// How far an email has got.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct EmailState {
    /// `pending`, `succeeded` or `dropped`.
    pub status: String,
    /// Attempts made.
    pub attempt: u32,
    /// Why the last one failed.
    pub last_error: Option<String>,
}

impl Aggregate for Email {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Email",
        name: "email",
        id_field: "emailId",
        revision: 1,
        snapshot_every: 100,
        events: &["Email.Succeeded", "Email.Failed", "Email.Dropped", "Email.Retried"],
        commands: &[CommandSpec::internal("Email.Record", "What came of an attempt").creating()],
        query_schema: r#"{"type":"object","required":["id","status","attempt","lastError","version"],"additionalProperties":false,"properties":{"id":{"type":"string"},"status":{"enum":["pending","succeeded","dropped"]},"attempt":{"type":"integer","minimum":0},"lastError":{"type":["string","null"]},"version":{"type":"integer","minimum":1}}}"#,
    };

    type State = EmailState;
    type Command = EmailCommand;
    type Event = EmailEvent;

    fn decide(
        _: Option<&EmailState>,
        EmailCommand::Record(event): &EmailCommand,
        _: &mut Decision<'_>,
    ) -> Result<Vec<EmailEvent>, Rejection> {
        Ok(vec![event.clone()])
    }

    fn evolve(state: &mut EmailState, event: &EmailEvent) {
        let (status, attempt, error) = match event {
            EmailEvent::Succeeded { attempt, .. } => ("succeeded", *attempt, None),
            EmailEvent::Failed { attempt, error, .. } => ("pending", *attempt, Some(error)),
            EmailEvent::Dropped { attempt, error } => ("dropped", *attempt, Some(error)),
            EmailEvent::Retried { .. } => ("pending", 0, None),
        };
        (state.status, state.attempt) = (status.into(), attempt);
        state.last_error = error.cloned();
    }

    fn show(
        id: &str,
        version: u64,
        state: &EmailState,
        _: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let mut out = String::from("{\"id\":");
        push_string(&mut out, id);
        out.push_str(",\"status\":");
        push_string(&mut out, &state.status);
        out.push_str(&format!(",\"attempt\":{},\"lastError\":", state.attempt));
        match &state.last_error {
            Some(error) => push_string(&mut out, error),
            None => out.push_str("null"),
        }
        out.push_str(",\"version\":");
        push_unsigned(&mut out, version);
        out.push('}');
        Ok(out)
    }
}
