//! A golden log of issues and executions. Made once, never edited; `golden` says how.
//!
//! Owns what their commits and rows look like for ever: names that were made, metadata that came
//! with bodies, ids given to events, states, and the histories told of them.

use foldlog_core::driver::MemoryStore;

use super::golden::text;
use super::{domain, export};
use crate::engine::kit::{self, Setup, done, request};

fn make_log() -> String {
    let mut bank = Setup::default().open(MemoryStore::default());
    let mut post = |target: &str, body: &str| done(&mut bank, request("POST", target, body, &[]));
    post("/commands/create-issue", r#"{"title":"nämeless \"one\""}"#);
    post("/commands/create-issue", r#"{"id":"i-1","title":"Event sourcing"}"#);
    post("/commands/create-issue", r#"{"id":"i-2"}"#);
    post("/commands/create-execution", r#"{"id":"e-1","title":"First attempt"}"#);
    let of = |id: &str, [from, event, to]: [&str; 3], more: &str| {
        format!(r#"{{"id":"{id}","fromState":"{from}","toState":"{to}","event":"{event}"{more}}}"#)
    };
    let started = r#","actor":"user-123","reason":"Starting implementation","correlationId":"c-1","eventId":"started""#;
    let body = of("i-1", ["TODO", "start_work", "IN_PROGRESS"], started);
    post("/commands/transition-issue", &body);
    let caused = r#","correlationId":"c-1","causationId":"started""#;
    let body = of("e-1", ["PENDING", "execute", "RUNNING"], caused);
    post("/commands/transition-execution", &body);
    for step in [
        ["IN_PROGRESS", "submit_review", "IN_REVIEW"],
        ["IN_REVIEW", "request_changes", "IN_PROGRESS"],
        ["IN_PROGRESS", "submit_review", "IN_REVIEW"],
        ["IN_REVIEW", "complete", "DONE"],
        ["DONE", "reopen", "TODO"],
        ["TODO", "cancel", "CANCELLED"],
    ] {
        post("/commands/transition-issue", &of("i-1", step, ""));
    }
    for step in [
        ["RUNNING", "fail", "FAILED"],
        ["FAILED", "retry", "PENDING"],
        ["PENDING", "execute", "RUNNING"],
        ["RUNNING", "succeed", "SUCCEEDED"],
    ] {
        post("/commands/transition-execution", &of("e-1", step, ""));
    }
    String::from_utf8(export(&kit::lines(bank.store()))).expect("a log is UTF-8")
}

fn log() -> Vec<String> {
    text("issues.ndjson", make_log).lines().map(String::from).collect()
}

#[test]
fn it_verifies_and_is_written_the_same() {
    domain::verifies_and_is_written_the_same(&log());
}

#[test]
fn it_folds_to_the_same_states() {
    domain::folds_to_the_same_states(&log(), &["Issue", "Execution"], "issues-rows.txt");
}

#[test]
fn it_gives_the_same_answers() {
    let targets = [
        "/queries/issue/i-1",
        "/queries/issue/i-1?atVersion=4",
        "/queries/issue/i-2",
        "/queries/execution/e-1",
        "/events/issue/i-1?limit=2",
        "/events/stream?category=Issue&limit=1",
        "/events/stream?correlationId=c-1",
        "/events/id/started",
    ];
    domain::gives_the_same_answers(&log(), &targets, "issues-answers.txt");
}
