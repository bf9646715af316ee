//! The replay harness: verbs that read a log and touch nothing.
//!
//! ```text
//!   replay   verify   at        verbs: what is asked, and how it is told
//!       ╲      │      ╱
//!         ╲  fold   ╱           the pipeline: chain on one thread, guest on another
//!           source              a log that is only read
//! ```
//!
//! Refuses to know sockets, and to write to a log; `discard` alone writes, to rows, and
//! only when asked.

pub mod at;
mod digest;
mod discard;
pub mod fold;
mod progress;
pub mod replay;
mod rows;
mod snapshots;
pub mod source;
pub mod verify;
