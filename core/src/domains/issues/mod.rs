//! Issues and executions: what is worked on, and each attempt at it, moving from state to state.
//!
//! Reading order: `flow` (what both have in common: a table of edges, and the one rule), `contract`
//! (their fields and what their queries show), then `issue` and `execution`, a table each.

mod contract;
mod execution;
mod flow;
mod issue;

#[cfg(test)]
mod tests;

pub use execution::{Execution, ExecutionCommand, ExecutionEvent};
pub use flow::{Create, FlowState, Transition};
pub use issue::{Issue, IssueCommand, IssueEvent};

use crate::decider;
use crate::registry::Registry;

/// Adds issues and executions to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Issue>());
    registry.aggregates.push(decider::erase::<Execution>());
}
