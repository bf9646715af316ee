//! The replay harness: verbs that read a log and touch nothing.
//!
//! ```text
//!   replay   verify   redecide, gate      at   diff      head   stats   log   trace   files
//!       ╲      │         ╱                ╲   ╱            ╲     │     │    ╱     ╱
//!         ╲    │     again ─ scratch      past                 commits
//!          ╲   │     ╱                     │                 ╱
//!             fold                         │         ╱
//!                         source: a log that is only read
//!
//!   fold: chain on one thread, guest on another. again: one guest that decides recorded commits
//!   once more, rows on disk. past: a log up to a cut, and what was answered then. commits: one
//!   after the other, no guest.
//! ```
//!
//! Refuses to know sockets, and to write to a log; `discard` alone writes, to rows, and
//! only when asked.

mod again;
pub mod at;
pub mod chain;
mod commits;
#[cfg(test)]
mod damage;
pub mod describe;
pub mod diff;
mod digest;
mod discard;
pub mod events;
pub mod files;
mod filter;
pub mod finding;
pub mod fold;
pub mod gate;
pub mod head;
pub mod pages;
mod past;
pub mod progress;
pub mod redecide;
pub mod rejected;
pub mod replay;
mod rows;
mod scratch;
pub mod selftest;
mod snapshots;
pub mod source;
pub mod stats;
mod texts;
pub mod trace;
pub mod verify;
