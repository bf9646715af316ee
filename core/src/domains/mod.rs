//! The domains this repository ships: one folder each, one line each in the registry.
//!
//! A domain knows the decider and projection traits and nothing of the engine, HTTP or a host.

pub mod bank;
#[cfg(feature = "faults")]
pub mod faults;
pub mod issues;
pub mod subscriptions;
pub mod topics;
