//! HTTP: the contract on all hosts.
//!
//! Reading order: `transcript` (a form), `masks` (what may differ), `transcripts` (requests with
//! their answers), `openapi` (the published contract against all of them), `cloud_events` (as others
//! read them), `corpus` and `bad_input`, `model`, `histories`.

mod transcript;

mod masks;
mod transcripts;

mod openapi;
mod schema_cases;
mod cloud_events;

mod corpus;

mod bad_input;

mod model;

mod histories;
