//! What the suites and the bench share: starting hosts, talking to them, finding what was built.
//!
//! Owns processes and sockets of tests. Refuses to know what is expected of an answer.

pub mod client;
pub mod contract;
pub mod hosts;
pub mod live;
pub mod postgres;
pub mod python;
pub mod receiver;
pub mod schema_cases;
pub mod scratch;
pub mod tls;
