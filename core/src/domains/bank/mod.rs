//! The bank: accounts that are opened, paid into, drawn from and closed.
//!
//! Reading order: `account` (commands, events, decisions, with `contract` and `rules`), `transfer`
//! (money on its way between two of them) and `transfers` (what moves it), then the three read
//! models.

mod account;
mod balances;
mod contract;
mod daily;
mod history;
mod rules;
mod transfer;
mod transfers;

#[cfg(test)]
mod tests;

pub use account::{Account, AccountCommand, AccountEvent, AccountState};
pub use balances::AccountBalances;
pub use daily::DailySummary;
pub use history::TransactionHistory;
pub use transfer::{Status, Transfer, TransferCommand, TransferEvent, TransferState};
pub use transfers::Transfers;

use crate::registry::Registry;
use crate::{decider, process, projection};

/// Adds the bank to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Account>());
    registry.aggregates.push(decider::erase::<Transfer>());
    registry.managers.push(process::erase::<Transfers>());
    registry.projections.push(projection::erase::<AccountBalances>());
    registry.projections.push(projection::erase::<TransactionHistory>());
    registry.projections.push(projection::erase::<DailySummary>());
}
