//! The transfer: money on its way from one account to another.
//!
//! Owns how far a transfer is. What moves the money, step by step, is in `transfers`.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use crate::decider::{Aggregate, AggregateSpec, CommandKind, CommandSpec, Decision};
use crate::errors::{Code, Problem, Rejection};
use crate::fields::{Field, FieldKind};
use crate::json::push_string;
use crate::limits::INTEGER_MAX;
use crate::read::{Reader, Stop};

/// A transfer as a kind of stream.
#[derive(Debug)]
pub struct Transfer;

/// What can be asked of a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum TransferCommand {
    /// Asks for it.
    Transfer {
        /// Who pays.
        from_account_id: String,
        /// Who gets it.
        to_account_id: String,
        /// How much.
        amount: u64,
    },
    /// Gives it up before any money moved.
    FailTransfer {
        /// Why: the name of an error code.
        reason: String,
        /// How often it was asked for in vain.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u64,
    },
}

/// For serde: what is 0 is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes it so")]
pub(super) const fn is_zero(number: &u64) -> bool {
    *number == 0
}

/// What can happen to a transfer.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum TransferEvent {
    /// It was asked for.
    TransferRequested {
        /// Who pays.
        from_account_id: String,
        /// Who gets it.
        to_account_id: String,
        /// How much.
        amount: u64,
    },
    /// The money left its source.
    TransferDebited {},
    /// The money arrived.
    TransferCompleted {},
    /// It came to nothing; what was debited is back.
    TransferFailed {
        /// Why: the name of an error code.
        reason: String,
    },
}

/// How far a transfer is.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub enum Status {
    /// Nothing moved yet.
    #[default]
    Requested,
    /// The source holds the money.
    Debited,
    /// The money arrived.
    Completed,
    /// The source has what it had.
    Failed,
}

impl Status {
    const fn name(self) -> &'static str {
        match self {
            Self::Requested => "requested",
            Self::Debited => "debited",
            Self::Completed => "completed",
            Self::Failed => "failed",
        }
    }
}

/// Where a transfer stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct TransferState {
    /// How far it is.
    pub status: Status,
    /// Why it failed.
    pub reason: Option<String>,
    /// Who pays.
    pub from: String,
    /// Who gets it.
    pub to: String,
    /// How much.
    pub amount: u64,
}

const fn id(name: &'static str, doc: &'static str) -> Field {
    Field { name, kind: FieldKind::Id, optional: false, doc }
}

const COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "Transfer",
        path: "transfer",
        version: 1,
        summary: "Move money from one account to another; ends completed or failed",
        fields: &[
            id("transferId", "Names the transfer"),
            id("fromAccountId", "Who pays"),
            id("toAccountId", "Who gets it; another account than the one that pays"),
            Field {
                name: "amount",
                kind: FieldKind::Integer { min: 1 },
                optional: false,
                doc: "How much, in minor units",
            },
        ],
        rejections: &[Code::AlreadyExists],
        creates: true,
        kind: CommandKind::Started,
    },
    CommandSpec {
        name: "FailTransfer",
        path: "",
        version: 1,
        summary: "Give a transfer up before any money moved",
        fields: &[],
        rejections: &[],
        creates: false,
        kind: CommandKind::Internal,
    },
];

const QUERY_SCHEMA: &str = r#"{"type":"object","required":["id","status","reason","fromAccountId","toAccountId","amount","version"],"properties":{"id":{"type":"string"},"status":{"enum":["requested","debited","completed","failed"]},"reason":{"type":["string","null"],"description":"Why it failed: the name of an error code"},"fromAccountId":{"type":"string"},"toAccountId":{"type":"string"},"amount":{"type":"integer","minimum":1},"version":{"type":"integer"}}}"#;

impl Aggregate for Transfer {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Transfer",
        name: "transfer",
        id_field: "transferId",
        revision: 1,
        snapshot_every: 100,
        events: &["TransferRequested", "TransferDebited", "TransferCompleted", "TransferFailed"],
        commands: COMMANDS,
        query_schema: QUERY_SCHEMA,
    };

    type State = TransferState;
    type Command = TransferCommand;
    type Event = TransferEvent;

    fn decide(
        state: Option<&TransferState>,
        command: &TransferCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<TransferEvent>, Rejection> {
        let id = decision.id();
        match command {
            TransferCommand::Transfer { .. } if state.is_some() => {
                Err(Problem::new(Code::AlreadyExists, format!("transfer {id} exists already")))
            }
            TransferCommand::Transfer { from_account_id, to_account_id, amount } => {
                if from_account_id == to_account_id {
                    let detail =
                        "field `toAccountId` must name another account than `fromAccountId`";
                    return Err(
                        Problem::new(Code::InvalidField, detail).text("field", "toAccountId")
                    );
                }
                Ok(vec![TransferEvent::TransferRequested {
                    from_account_id: from_account_id.clone(),
                    to_account_id: to_account_id.clone(),
                    amount: (*amount).min(INTEGER_MAX),
                }])
            }
            TransferCommand::FailTransfer { reason, .. } => match state.map(|state| state.status) {
                Some(Status::Requested) => {
                    Ok(vec![TransferEvent::TransferFailed { reason: reason.clone() }])
                }
                // Money moved, or it ended already: there is nothing to give up.
                _ => Ok(Vec::new()),
            },
        }
    }

    fn evolve(state: &mut TransferState, event: &TransferEvent) {
        match event {
            TransferEvent::TransferRequested { from_account_id, to_account_id, amount } => {
                *state = TransferState {
                    status: Status::Requested,
                    reason: None,
                    from: from_account_id.clone(),
                    to: to_account_id.clone(),
                    amount: *amount,
                };
            }
            TransferEvent::TransferDebited {} => state.status = Status::Debited,
            TransferEvent::TransferCompleted {} => state.status = Status::Completed,
            TransferEvent::TransferFailed { reason } => {
                state.status = Status::Failed;
                state.reason = Some(reason.clone());
            }
        }
    }

    fn show(
        id: &str,
        version: u64,
        state: &TransferState,
        _: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let mut out = String::from("{\"id\":");
        push_string(&mut out, id);
        out.push_str(&format!(",\"status\":\"{}\",\"reason\":", state.status.name()));
        match &state.reason {
            Some(reason) => push_string(&mut out, reason),
            None => out.push_str("null"),
        }
        for (name, account) in [("fromAccountId", &state.from), ("toAccountId", &state.to)] {
            out.push_str(&format!(",\"{name}\":"));
            push_string(&mut out, account);
        }
        out.push_str(&format!(",\"amount\":{},\"version\":{version}}}", state.amount));
        Ok(out)
    }
}
