//! The bank: accounts that are opened, paid into, drawn from and closed.
//!
//! Reading order: `account` (commands, events, decisions), then the three read models.

mod account;
mod balances;
mod daily;
mod history;

#[cfg(test)]
mod tests;

pub use account::{Account, AccountCommand, AccountEvent, AccountState};
pub use balances::AccountBalances;
pub use daily::DailySummary;
pub use history::TransactionHistory;

use crate::registry::Registry;
use crate::{decider, projection};

/// Adds the bank to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Account>());
    registry.projections.push(projection::erase::<AccountBalances>());
    registry.projections.push(projection::erase::<TransactionHistory>());
    registry.projections.push(projection::erase::<DailySummary>());
}
