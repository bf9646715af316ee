//! The account: its commands, its events, and the rules between them.
//!
//! Owns what may happen to one account; the decisions that move money are in `rules`. Amounts are whole minor units (cents). A balance stays
//! within 0 and 2^53−1.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::contract::{ACCOUNT_COMMANDS, ACCOUNT_SCHEMA};
use super::rules::{close_into, credit, debit, deposit, open, withdraw};
use super::transfer::{Transfer, TransferEvent, is_zero};
use crate::decider::{Aggregate, AggregateSpec, Decision};
use crate::errors::{Code, Problem, Rejection};
use crate::json::{push_string, push_unsigned};
use crate::limits::TRANSACTIONS_SHOWN;
use crate::read::{Reader, Stop};
use crate::record::Record;

/// An account as a kind of stream.
#[derive(Debug)]
pub struct Account;

/// Pages in which an account's latest transactions are looked for, some 1,500 records in all. Each
/// release of a hold follows a debit, so two pages mostly do.
const PAGES_MAX: u32 = 4;

/// What can be asked of an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum AccountCommand {
    /// Opens it.
    OpenAccount {
        /// What it starts with.
        #[serde(default)]
        initial_balance: u64,
    },
    /// Pays in.
    Deposit {
        /// How much.
        amount: u64,
    },
    /// Draws out.
    Withdraw {
        /// How much.
        amount: u64,
    },
    /// Closes it for ever.
    CloseAccount {
        /// The account that gets what is left.
        #[serde(default)]
        sweep_to: Option<String>,
    },
    /// Takes out what a transfer moves, and holds it until it arrived.
    DebitForTransfer {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
    /// Takes in what a transfer moves.
    CreditForTransfer {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
    /// Takes back what a transfer could not move.
    RefundTransfer {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
        /// Why it could not.
        reason: String,
        /// How often it was asked for in vain.
        #[serde(default, skip_serializing_if = "is_zero")]
        attempt: u64,
    },
}

/// What can happen to an account.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum AccountEvent {
    /// It was opened.
    AccountOpened {
        /// With this much.
        initial_balance: u64,
    },
    /// Money came in.
    MoneyDeposited {
        /// How much.
        amount: u64,
    },
    /// Money went out.
    MoneyWithdrawn {
        /// How much.
        amount: u64,
    },
    /// It was closed.
    AccountClosed {},
    /// A transfer took money out; it is held until the transfer ends.
    TransferMoneyDebited {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
    /// A transfer brought money in.
    TransferMoneyCredited {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
    /// A transfer brought back what it took out.
    TransferMoneyRefunded {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
    /// What a transfer took out arrived, and is held no longer.
    TransferHoldReleased {
        /// Which transfer.
        transfer_id: String,
        /// How much.
        amount: u64,
    },
}

/// Where an account stands.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct AccountState {
    /// What is in it.
    pub balance: u64,
    /// Whether it takes commands.
    pub active: bool,
    /// Deposits and withdrawals so far.
    pub transactions: u64,
    /// Debited by transfers that did not end yet: may come back.
    pub held: u64,
}

impl Aggregate for Account {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "BankAccount",
        name: "account",
        id_field: "accountId",
        revision: 2,
        snapshot_every: 10,
        events: &[
            "AccountOpened",
            "MoneyDeposited",
            "MoneyWithdrawn",
            "AccountClosed",
            "TransferMoneyDebited",
            "TransferMoneyCredited",
            "TransferMoneyRefunded",
            "TransferHoldReleased",
        ],
        commands: ACCOUNT_COMMANDS,
        query_schema: ACCOUNT_SCHEMA,
    };

    type State = AccountState;
    type Command = AccountCommand;
    type Event = AccountEvent;

    fn decide(
        state: Option<&AccountState>,
        command: &AccountCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<AccountEvent>, Rejection> {
        let id = decision.id();
        if let AccountCommand::OpenAccount { initial_balance } = *command {
            return match state {
                Some(_) => {
                    Err(Problem::new(Code::AlreadyExists, format!("account {id} exists already")))
                }
                None => Ok(vec![AccountEvent::AccountOpened { initial_balance }]),
            };
        }
        let state = open(id, state)?;
        match command {
            AccountCommand::DebitForTransfer { transfer_id, amount } => {
                debit(id, state, transfer_id, *amount, decision)
            }
            AccountCommand::CreditForTransfer { transfer_id, amount } => {
                credit(id, state, transfer_id, *amount, decision)
            }
            AccountCommand::RefundTransfer { transfer_id, amount, reason, .. } => {
                let (transfer_id, amount) = (transfer_id.clone(), *amount);
                let failed = TransferEvent::TransferFailed { reason: reason.clone() };
                decision.append::<Transfer>(&transfer_id, &failed);
                Ok(vec![AccountEvent::TransferMoneyRefunded { transfer_id, amount }])
            }
            AccountCommand::CloseAccount { .. } if state.held > 0 => {
                let detail = format!("account {id} waits for transfers of {}", state.held);
                Err(Problem::new(Code::InProgress, detail).number("held", state.held))
            }
            AccountCommand::Deposit { amount } => deposit(id, state, *amount, "amount"),
            AccountCommand::Withdraw { amount } => withdraw(id, state, *amount),
            AccountCommand::CloseAccount { sweep_to: None } if state.balance > 0 => {
                let detail = format!(
                    "account {id} still holds {}; withdraw it first, or name another account in sweepTo",
                    state.balance
                );
                Err(Problem::new(Code::NotEmpty, detail).number("balance", state.balance))
            }
            AccountCommand::CloseAccount { sweep_to: None } => {
                Ok(vec![AccountEvent::AccountClosed {}])
            }
            AccountCommand::CloseAccount { sweep_to: Some(target) } => {
                close_into(id, state, target, decision)
            }
            AccountCommand::OpenAccount { .. } => Ok(Vec::new()),
        }
    }

    fn evolve(state: &mut AccountState, event: &AccountEvent) {
        match *event {
            AccountEvent::AccountOpened { initial_balance } => {
                *state = AccountState {
                    balance: initial_balance,
                    active: true,
                    ..AccountState::default()
                };
            }
            AccountEvent::MoneyDeposited { amount }
            | AccountEvent::TransferMoneyCredited { amount, .. } => {
                state.balance = state.balance.saturating_add(amount);
                state.transactions = state.transactions.saturating_add(1);
            }
            AccountEvent::MoneyWithdrawn { amount } => {
                state.balance = state.balance.saturating_sub(amount);
                state.transactions = state.transactions.saturating_add(1);
            }
            AccountEvent::AccountClosed {} => state.active = false,
            AccountEvent::TransferMoneyDebited { amount, .. } => {
                state.balance = state.balance.saturating_sub(amount);
                state.transactions = state.transactions.saturating_add(1);
                state.held = state.held.saturating_add(amount);
            }
            AccountEvent::TransferMoneyRefunded { amount, .. } => {
                state.balance = state.balance.saturating_add(amount);
                state.transactions = state.transactions.saturating_add(1);
                state.held = state.held.saturating_sub(amount);
            }
            AccountEvent::TransferHoldReleased { amount, .. } => {
                state.held = state.held.saturating_sub(amount);
            }
        }
    }

    fn show(
        id: &str,
        version: u64,
        state: &AccountState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let mut out = String::with_capacity(256);
        out.push_str("{\"id\":");
        push_string(&mut out, id);
        for (name, number) in [("version", version), ("balance", state.balance)] {
            out.push_str(&format!(",\"{name}\":{number}"));
        }
        out.push_str(if state.active { ",\"isActive\":true" } else { ",\"isActive\":false" });
        out.push_str(",\"transactionCount\":");
        push_unsigned(&mut out, state.transactions);
        out.push_str(",\"transactions\":[");
        push_transactions(&mut out, id, state.transactions, reader)?;
        out.push_str("]}");
        Ok(out)
    }
}

/// The direction and amount of an event that moves money; an opening balance does not count here.
pub(super) fn movement(event: &AccountEvent) -> Option<(&'static str, u64)> {
    match *event {
        AccountEvent::MoneyDeposited { amount }
        | AccountEvent::TransferMoneyCredited { amount, .. }
        | AccountEvent::TransferMoneyRefunded { amount, .. } => Some(("deposit", amount)),
        AccountEvent::MoneyWithdrawn { amount }
        | AccountEvent::TransferMoneyDebited { amount, .. } => Some(("withdrawal", amount)),
        AccountEvent::AccountOpened { .. }
        | AccountEvent::AccountClosed {}
        | AccountEvent::TransferHoldReleased { .. } => None,
    }
}

/// Read back from the account's end. Opening, closing and what a transfer frees are no
/// transactions: each page is twice as long as the one before, and there are few pages.
fn push_transactions(
    out: &mut String,
    id: &str,
    all: u64,
    reader: &mut Reader<'_, '_>,
) -> Result<(), Stop> {
    let wanted = all.min(TRANSACTIONS_SHOWN.into());
    let mut page = TRANSACTIONS_SHOWN.saturating_add(2);
    let (mut shown, mut before) = (0_u64, None);
    for _ in 0..PAGES_MAX {
        if shown >= wanted {
            break;
        }
        let aggregate = Account::SPEC.aggregate_type;
        let positions = reader.stream_positions_before(aggregate, id, before, page)?;
        reader.records(&positions, |record| {
            let Some((kind, amount)) = record.event_of::<Account>()?.and_then(movement) else {
                return Ok(());
            };
            if shown < wanted {
                push_transaction(out, record, (kind, amount), shown == 0);
                shown = shown.saturating_add(1);
            }
            Ok(())
        })?;
        let Some(oldest) = positions.last() else { break };
        before = Some(*oldest);
        page = page.saturating_mul(2);
    }
    Ok(())
}

fn push_transaction(out: &mut String, record: &Record<'_>, moved: (&str, u64), first: bool) {
    let (kind, amount) = moved;
    out.push_str(if first { "{\"type\":\"" } else { ",{\"type\":\"" });
    out.push_str(kind);
    out.push_str("\",\"amount\":");
    push_unsigned(out, amount);
    out.push_str(",\"timestamp\":\"");
    record.time.push_iso(out);
    out.push_str("\",\"eventId\":");
    push_string(out, &record.id());
    out.push('}');
}
