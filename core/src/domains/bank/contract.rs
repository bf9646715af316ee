//! The account as the contract tells it: its commands' fields, and what its query shows.

use crate::decider::{CommandKind, CommandSpec};
use crate::errors::Code;
use crate::fields::{Field, FieldKind};

const ACCOUNT_ID: Field =
    Field { name: "accountId", kind: FieldKind::Id, optional: false, doc: "Which account" };
const AMOUNT: Field = Field {
    name: "amount",
    kind: FieldKind::Integer { min: 1 },
    optional: false,
    doc: "How much, in minor units",
};
const INITIAL_BALANCE: Field = Field {
    name: "initialBalance",
    kind: FieldKind::Integer { min: 0 },
    optional: true,
    doc: "What it starts with, in minor units; 0 when left out",
};

const SWEEP_TO: Field = Field {
    name: "sweepTo",
    kind: FieldKind::Id,
    optional: true,
    doc: "The open account that gets what is left, in the same commit",
};

/// What can be asked of an account.
pub(super) const ACCOUNT_COMMANDS: &[CommandSpec] = &[
    CommandSpec {
        name: "OpenAccount",
        path: "open-account",
        version: 1,
        summary: "Open an account",
        fields: &[ACCOUNT_ID, INITIAL_BALANCE],
        rejections: &[Code::AlreadyExists],
        creates: true,
        kind: CommandKind::Whole,
    },
    CommandSpec {
        name: "Deposit",
        path: "deposit",
        version: 1,
        summary: "Pay money into an account",
        fields: &[ACCOUNT_ID, AMOUNT],
        rejections: &[Code::NotFound, Code::Closed, Code::LimitExceeded],
        creates: false,
        kind: CommandKind::Whole,
    },
    CommandSpec {
        name: "Withdraw",
        path: "withdraw",
        version: 1,
        summary: "Draw money out of an account",
        fields: &[ACCOUNT_ID, AMOUNT],
        rejections: &[Code::NotFound, Code::Closed, Code::InsufficientFunds],
        creates: false,
        kind: CommandKind::Whole,
    },
    CommandSpec {
        name: "CloseAccount",
        path: "close-account",
        version: 1,
        summary: "Close an account; its balance must be 0, or is moved to another one",
        fields: &[ACCOUNT_ID, SWEEP_TO],
        rejections: &[
            Code::NotFound,
            Code::Closed,
            Code::NotEmpty,
            Code::InProgress,
            Code::LimitExceeded,
        ],
        creates: false,
        kind: CommandKind::Whole,
    },
    CommandSpec {
        name: "DebitForTransfer",
        path: "",
        version: 1,
        summary: "Take out what a transfer moves",
        fields: &[],
        rejections: &[],
        creates: false,
        kind: CommandKind::Internal,
    },
    CommandSpec {
        name: "CreditForTransfer",
        path: "",
        version: 1,
        summary: "Take in what a transfer moves",
        fields: &[],
        rejections: &[],
        creates: false,
        kind: CommandKind::Internal,
    },
    CommandSpec {
        name: "RefundTransfer",
        path: "",
        version: 1,
        summary: "Take back what a transfer could not move",
        fields: &[],
        rejections: &[],
        creates: false,
        kind: CommandKind::Internal,
    },
];

/// What `GET /queries/account/{id}` shows.
pub(super) const ACCOUNT_SCHEMA: &str = r#"{"type":"object","required":["id","version","balance","isActive","transactionCount","transactions"],"properties":{"id":{"type":"string"},"version":{"type":"integer"},"balance":{"type":"integer","minimum":0},"isActive":{"type":"boolean"},"transactionCount":{"type":"integer","description":"All deposits and withdrawals"},"transactions":{"type":"array","description":"The latest 100, newest first","items":{"type":"object","required":["type","amount","timestamp"],"properties":{"type":{"enum":["deposit","withdrawal"]},"amount":{"type":"integer"},"timestamp":{"type":"string","format":"date-time"},"eventId":{"type":"string"}}}}}}"#;
