//! The pure core of Foldlog: an event-sourcing system in which everything is a fold over one log.
//!
//! ```text
//!   request ─┐                                       ┌─ answer
//!            ▼                                       │
//!   http ─ parse ─ decide ─ build ─ apply ─ propose ─┴─ commit ─ block ─▶ host stores ─▶ host answers
//!                    │                │
//!                 domains          postings, projections, states: rows
//! ```
//!
//! What is absent: clocks, randomness, input and output, threads, unsafe code. Time and entropy
//! arrive as one stamp per input; what is not in memory is asked for and supplied.
//!
//! # Where to start
//!
//! 1. Nouns: [`ids`], [`limits`], [`errors`], [`targets`], [`commit`], [`record`].
//! 2. Pure functions: [`decider`], [`projection`], [`process`], [`upcast`], [`chain`], [`schema`].
//! 3. [`engine`]: propose, commit, fold, checkpoint. Its first lines are the law of use.
//! 4. [`domains`]: the bank; issues and executions; subscriptions; topics.
//! 5. [`http`]: the route table, requests to inputs, outcomes to answers.
//! 6. [`protocol`] and [`guest`]: the messages, and the object that answers them.
//! 7. [`driver`]: what both hosts do with a guest and a store; [`webhook`]: how they sign.
//! 8. [`testing`]: given, when, then, for domains.
#![no_std]
#![cfg_attr(
    not(test),
    deny(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::indexing_slicing,
        clippy::panic,
        clippy::arithmetic_side_effects
    )
)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod same;
mod sorted;
pub mod ids;
pub mod limits;
pub mod time;
mod encode;
pub mod json;
pub mod schema;
pub mod fields;
pub mod errors;
pub mod settings;
pub mod targets;
pub mod commit;
pub mod record;
pub mod tagged;
pub mod chain;
pub mod read;
pub mod fold;
pub mod decider;
pub mod projection;
pub mod process;
pub mod upcast;
pub mod registry;
pub mod engine;
pub mod domains;
pub mod http;
pub mod protocol;
pub mod guest;
pub mod driver;
pub mod webhook;
pub mod testing;
