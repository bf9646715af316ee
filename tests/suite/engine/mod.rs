//! The engine in process: driver, linked guest, stores in memory. No socket, no wasm.
//!
//! Reading order: `kit` (a bank and how to talk to it), `faults` (a store that fails by script),
//! then one file per law.

mod crash;
mod effects;
mod faults;
mod keys;
pub mod kit;
mod letters;
mod quarantine;
mod queues;
mod reader;
mod reads;
mod rebuild;
mod memory;
mod model;
mod postings;
mod process;
mod process_ends;
mod rows;
mod stamps;
mod stores;
mod supervise;
mod traps;
mod travel;
pub mod versions;
