//! `Transfers`: the manager that moves the money of transfers.
//!
//! Owns the order of steps: debit, then credit, then, if the credit is refused, refund. Each step
//! is one commit over the account and the transfer, so neither tells what the other does not.
//!
//! Invariant: between debit and credit the source account *holds* the amount: it can not be closed,
//! and its balance leaves room for the refund. So nothing the bank decides refuses a refund. What
//! can refuse one is a bug, or a module that was put back: it is asked for again, later each time,
//! until it is done. A process that would be cut short for its depth waits a moment instead.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::account::{Account, AccountCommand};
use super::transfer::{Status, Transfer, TransferCommand, TransferState};
use crate::decider::Aggregate;
use crate::json::{members, string, unsigned};
use crate::process::{
    Ordered, ProcessManager, ProcessSpec, Reaction, Refused, Sight, TIMER_COUNTS_ANEW_MS,
};
use crate::read::Stop;
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct Transfers;

/// Debit, credit, refund: as many reactions, each because of the one before.
const STEPS: u32 = 3;
/// The longest wait before what ends a transfer is asked for again.
const RETRY_MS_MAX: u64 = 300_000;

impl ProcessManager for Transfers {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Transfers",
        reacts_to: &[("Transfer", "TransferRequested"), ("Transfer", "TransferDebited")],
    };

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let transfer_id = record.aggregate_id.to_string();
        let Some((_, state)) = sight.state::<Transfer>(&transfer_id)? else {
            return Err(Stop::Fault(format!("transfer {transfer_id} has no state")));
        };
        let amount = state.amount;
        if record.event_type() != "TransferRequested" {
            let command = AccountCommand::CreditForTransfer { transfer_id, amount };
            return Ok(vec![Reaction::Command(Ordered::to::<Account>(&state.to, &command)?)]);
        }
        let key = transfer_id.clone();
        let command = AccountCommand::DebitForTransfer { transfer_id, amount };
        let command = Ordered::to::<Account>(&state.from, &command)?;
        Ok(vec![if sight.room() >= STEPS {
            Reaction::Command(command)
        } else {
            Reaction::Timer { key, due: sight.now().after_ms(TIMER_COUNTS_ANEW_MS), command }
        }])
    }

    /// Whatever was refused, the transfer is found by its id and ended by how far it is.
    fn refused(refused: &Refused, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let Some(transfer_id) = transfer_of(refused) else { return Ok(Vec::new()) };
        let Some((_, state)) = sight.state::<Transfer>(&transfer_id)? else {
            return Ok(Vec::new());
        };
        let again = matches!(refused.command.as_str(), "RefundTransfer" | "FailTransfer");
        if !again {
            let end = end(&transfer_id, &state, refused.code.clone(), 0)?;
            return Ok(end.map(Reaction::Command).into_iter().collect());
        }
        let attempt = payload(refused, "attempt").and_then(unsigned).unwrap_or(0);
        let reason = payload(refused, "reason").and_then(string);
        let reason = reason.map_or_else(|| refused.code.clone(), |reason| reason.into_owned());
        let end = end(&transfer_id, &state, reason, attempt.saturating_add(1))?;
        let wait = TIMER_COUNTS_ANEW_MS.saturating_mul(1 << attempt.min(16)).min(RETRY_MS_MAX);
        let due = sight.now().after_ms(wait);
        let timer = |command| Reaction::Timer { key: transfer_id.clone(), due, command };
        Ok(end.map(timer).into_iter().collect())
    }
}

/// The transfer that a refused command belongs to. The command may be of another version of the
/// module, so it is not read as one.
fn transfer_of(refused: &Refused) -> Option<String> {
    if refused.aggregate_type == Transfer::SPEC.aggregate_type {
        return Some(refused.aggregate_id.clone());
    }
    payload(refused, "transferId").and_then(string).map(|id| id.into_owned())
}

fn payload<'r>(refused: &'r Refused, name: &str) -> Option<&'r str> {
    let members = members(&refused.data)?;
    members.into_iter().find(|(found, _)| found == name).map(|(_, token)| token)
}

/// What ends a transfer that can not go on; nothing when it ended.
fn end(
    transfer_id: &str,
    state: &TransferState,
    reason: String,
    attempt: u64,
) -> Result<Option<Ordered>, Stop> {
    Ok(match state.status {
        Status::Requested => {
            let command = TransferCommand::FailTransfer { reason, attempt };
            Some(Ordered::to::<Transfer>(transfer_id, &command)?)
        }
        Status::Debited => {
            let (transfer_id, amount) = (transfer_id.to_string(), state.amount);
            let command = AccountCommand::RefundTransfer { transfer_id, amount, reason, attempt };
            Some(Ordered::to::<Account>(&state.from, &command)?)
        }
        Status::Completed | Status::Failed => None,
    })
}
