//! Logs carried from one place to another, byte for byte: verbs that read one log and write another.
//!
//! ```text
//!   pull ─ remote          export   truncate         import   push ─ remote
//!      ╲  lines             ╱  good   ╱                 ╲      ╱
//!       ╲                  ╱        ╱                    parts
//!        output: a log file, or NDJSON, by its name
//! ```
//!
//! Refuses to change a line, and to write to what it reads. What it writes follows line by line: the
//! chain is checked on the way.

mod export;
mod good;
mod import;
mod output;
mod parts;
mod pull;
mod push;
mod truncate;

pub use export::run as export;
pub use import::run as import;
pub use pull::run as pull;
pub use push::run as push;
pub use truncate::run as truncate;
