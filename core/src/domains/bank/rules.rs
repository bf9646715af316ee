//! The rules of an account: what may move its money, and by how much.
//!
//! Invariant: a balance, with what transfers hold of it, stays within 0 and 2^53−1.

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::account::{Account, AccountEvent, AccountState};
use super::transfer::{Transfer, TransferEvent};
use crate::decider::Decision;
use crate::errors::{Code, Problem, Rejection};
use crate::limits::INTEGER_MAX;

/// The state of an account that takes commands.
pub(super) fn open<'s>(
    id: &str,
    state: Option<&'s AccountState>,
) -> Result<&'s AccountState, Rejection> {
    match state {
        None => Err(Problem::new(Code::NotFound, format!("there is no account {id}"))),
        Some(state) if !state.active => {
            Err(Problem::new(Code::Closed, format!("account {id} is closed")))
        }
        Some(state) => Ok(state),
    }
}

/// Closes an account and pays what is left into another one: one decision over two streams.
pub(super) fn close_into(
    id: &str,
    state: &AccountState,
    target: &str,
    decision: &mut Decision<'_>,
) -> Result<Vec<AccountEvent>, Rejection> {
    if target == id {
        let detail = format!("field `sweepTo` must name another account than {id}");
        return Err(Problem::new(Code::InvalidField, detail).text("field", "sweepTo"));
    }
    let found = decision.state::<Account>(target)?.map(|(_, state)| state);
    let named = |problem: Problem| problem.text("field", "sweepTo");
    let receiving = open(target, found.as_ref()).map_err(named)?;
    if state.balance == 0 {
        return Ok(vec![AccountEvent::AccountClosed {}]);
    }
    for event in deposit(target, receiving, state.balance, "sweepTo")? {
        decision.append::<Account>(target, &event);
    }
    let withdrawn = AccountEvent::MoneyWithdrawn { amount: state.balance };
    Ok(vec![withdrawn, AccountEvent::AccountClosed {}])
}

/// Takes money in.
pub(super) fn deposit(
    id: &str,
    state: &AccountState,
    amount: u64,
    field: &'static str,
) -> Result<Vec<AccountEvent>, Rejection> {
    // What transfers hold may come back: there must be room for it.
    match state.balance.checked_add(state.held).and_then(|sum| sum.checked_add(amount)) {
        Some(balance) if balance <= INTEGER_MAX => {
            Ok(vec![AccountEvent::MoneyDeposited { amount }])
        }
        _ => {
            let detail = format!("the balance of account {id} would exceed {INTEGER_MAX}");
            let problem = Problem::new(Code::LimitExceeded, detail).text("field", field);
            Err(problem.number("limit", INTEGER_MAX).number("balance", state.balance))
        }
    }
}

/// Pays money out.
pub(super) fn withdraw(
    id: &str,
    state: &AccountState,
    amount: u64,
) -> Result<Vec<AccountEvent>, Rejection> {
    if amount > state.balance {
        let detail = format!("account {id} holds {}, which does not cover {amount}", state.balance);
        return Err(Problem::new(Code::InsufficientFunds, detail).number("balance", state.balance));
    }
    Ok(vec![AccountEvent::MoneyWithdrawn { amount }])
}

/// Takes money out for a transfer, and marks the transfer in the same commit.
pub(super) fn debit(
    id: &str,
    state: &AccountState,
    transfer_id: &str,
    amount: u64,
    decision: &mut Decision<'_>,
) -> Result<Vec<AccountEvent>, Rejection> {
    withdraw(id, state, amount)?;
    decision.append::<Transfer>(transfer_id, &TransferEvent::TransferDebited {});
    Ok(vec![AccountEvent::TransferMoneyDebited { transfer_id: transfer_id.into(), amount }])
}

/// Takes a transfer's money in, completes the transfer and frees its source, in one commit.
pub(super) fn credit(
    id: &str,
    state: &AccountState,
    transfer_id: &str,
    amount: u64,
    decision: &mut Decision<'_>,
) -> Result<Vec<AccountEvent>, Rejection> {
    deposit(id, state, amount, "amount")?;
    let Some((_, transfer)) = decision.state::<Transfer>(transfer_id)? else {
        return Err(Problem::new(Code::NotFound, format!("there is no transfer {transfer_id}")));
    };
    decision.append::<Transfer>(transfer_id, &TransferEvent::TransferCompleted {});
    let transfer_id = String::from(transfer_id);
    let released = AccountEvent::TransferHoldReleased { transfer_id: transfer_id.clone(), amount };
    decision.append::<Account>(&transfer.from, &released);
    Ok(vec![AccountEvent::TransferMoneyCredited { transfer_id, amount }])
}
