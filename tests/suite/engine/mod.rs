//! The engine in process: driver, linked guest, stores in memory. No socket, no wasm.
//!
//! Reading order: `kit` (a bank and how to talk to it), `parts` (and how to give it a log),
//! `faults` (a store that fails by script), `counting` (one that counts what it is asked for), then
//! one file per law.

mod crash;
mod archives;
mod consumers;
mod blocks;
mod counting;
mod effects;
mod faults;
mod import;
mod keys;
pub mod kit;
mod letters;
mod quarantine;
mod queues;
mod reader;
mod reads;
mod rebuild;
mod rejected;
mod memory;
mod model;
mod parts;
mod postings;
mod process;
mod process_ends;
mod rows;
mod stamps;
mod stores;
mod subscriptions;
mod supervise;
mod topics;
mod traps;
mod travel;
pub mod versions;
