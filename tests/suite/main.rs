//! Everything that must hold, as one binary: `cargo test -p foldlog-tests`.
//!
//! Reading order: `tidy` (the tree), then the engine in process, then both hosts over HTTP.

mod tidy;
mod readme;

mod guest;

mod format;

mod schema;

mod engine;

mod sim;

mod http;

mod targets;

mod webhooks;

mod hosts;

mod harness;

mod own_domain;
