//! How much one schema can ask of one value, known before any value is there.
//!
//! Owns the count of the ways through `$ref`, `allOf` and their like. Thirty definitions, each of
//! which refers to the next twice, are a billion evaluations; a schema that refers to itself
//! without stepping into the value never ends. Both are refused here.
//!
//! Invariant: each node is visited once, and the machine's stack does not grow.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::node::{Id, Node, Rule};
use crate::limits::{SCHEMA_CHAIN_MAX, SCHEMA_WAYS_MAX};

/// What is known of a node.
#[derive(Clone, Copy, PartialEq, Eq)]
enum State {
    New,
    /// It is being counted: whoever meets it again has gone in a circle.
    Open,
    /// Evaluations, and how many of them lie inside each other.
    Done(u64, u64),
}

/// Checks all nodes; what is wrong, and with which one, otherwise.
pub(super) fn check(
    nodes: &[Node],
    candidates: impl Fn(&str) -> Vec<Id>,
) -> Result<(), (Id, String)> {
    let below = |id: Id| -> Vec<Id> {
        let rules = nodes.get(id as usize).map(|node| &*node.rules).unwrap_or_default();
        let of = |rule: &Rule| match rule {
            Rule::DynamicRef(dynamic) => candidates(&dynamic.anchor),
            other => other.in_place(),
        };
        rules.iter().flat_map(of).collect()
    };
    let mut states = alloc::vec![State::New; nodes.len()];
    for root in (0_u32..).take(nodes.len()) {
        let mut stack = Vec::from([root]);
        while let Some(&id) = stack.last() {
            match states.get(id as usize) {
                Some(State::New) => {
                    set(&mut states, id, State::Open);
                    for next in below(id) {
                        match states.get(next as usize) {
                            Some(State::New) => stack.push(next),
                            Some(State::Open) => return Err((id, String::from(CIRCLE))),
                            _ => {}
                        }
                    }
                }
                Some(State::Open) => {
                    stack.pop();
                    let done = count(&states, below(id), id)?;
                    set(&mut states, id, done);
                }
                _ => {
                    stack.pop();
                }
            }
        }
    }
    Ok(())
}

const CIRCLE: &str = "refers to itself without stepping into the value, which would never end";

fn set(states: &mut [State], id: Id, state: State) {
    if let Some(found) = states.get_mut(id as usize) {
        *found = state;
    }
}

/// Adds up what the nodes below one cost.
fn count(states: &[State], below: Vec<Id>, id: Id) -> Result<State, (Id, String)> {
    let (mut ways, mut chain) = (1_u64, 0_u64);
    for next in below {
        match states.get(next as usize) {
            Some(State::Done(more, inside)) => {
                ways = ways.saturating_add(*more);
                chain = chain.max(*inside);
            }
            _ => return Err((id, String::from(CIRCLE))),
        }
    }
    let chain = chain.saturating_add(1);
    if ways > SCHEMA_WAYS_MAX {
        let message = "applies more than {} schemas to one value, counting each way to them";
        return Err((id, message.replace("{}", &format!("{SCHEMA_WAYS_MAX}"))));
    }
    if chain > SCHEMA_CHAIN_MAX {
        let message = "leads through more than {} schemas for one value";
        return Err((id, message.replace("{}", &format!("{SCHEMA_CHAIN_MAX}"))));
    }
    Ok(State::Done(ways, chain))
}
