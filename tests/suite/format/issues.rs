//! A golden log of issues and executions. Made once, never edited; `golden` says how.
//!
//! Owns what their commits and rows look like for ever: names that were made, metadata that came
//! with bodies, ids given to events, states, and the histories told of them.

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::MemoryStore;

use super::golden::{digests, text};
use super::{export, python, store_of};
use crate::engine::kit::{self, Bank, Setup, done, get, request};

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

fn folded() -> Bank<MemoryStore> {
    let mut bank = Setup::default().open(store_of(&log()));
    bank.open().unwrap_or_else(|e| panic!("the golden log folds: {e}"));
    bank.checkpoint().expect("a checkpoint is stored");
    bank
}

#[test]
fn it_verifies_and_is_written_the_same() {
    let lines = log();
    let head = kit::check_log(&store_of(&lines));
    let mut chain = chain::Chain::default();
    lines.iter().for_each(|line| chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let (code, said) = python(Ok(&export(&lines)));
    let expected = format!("position {head} hash {}", chain::hex(&chain.hash));
    assert_eq!((code, said), (Some(0), expected));
    for line in lines.iter().skip(1) {
        let commit = Commit::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let (written, _) = line.rsplit_once(",\"hash\"").expect("a hash");
        assert_eq!(commit.line().rsplit_once(",\"hash\"").expect("a hash").0, written);
    }
}

#[test]
fn it_folds_to_the_same_states() {
    let found = digests(folded().store());
    let shown: String = found
        .iter()
        .filter(|(view, _)| ["Issue ", "Execution "].iter().any(|own| view.starts_with(own)))
        .map(|(view, digest)| format!("{view} {digest}\n"))
        .collect();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let expected = text("issues-rows.txt", || shown.clone());
    for line in shown.lines() {
        // A raised revision has a line of its own; the old one is history.
        let there = expected.lines().any(|old| old == line);
        assert!(there, "states changed: raise the revision, and add {line}");
    }
}

#[test]
fn it_gives_the_same_answers() {
    let mut bank = folded();
    let mut answers = String::new();
    for target in [
        "/queries/issue/i-1",
        "/queries/issue/i-1?atVersion=4",
        "/queries/issue/i-2",
        "/queries/execution/e-1",
        "/events/issue/i-1?limit=2",
        "/events/stream?category=Issue&limit=1",
        "/events/stream?correlationId=c-1",
        "/events/id/started",
    ] {
        let (status, body) = kit::run(&mut bank, get(target));
        answers.push_str(&format!("GET {target}\n{status} {body}\n"));
    }
    let expected = text("issues-answers.txt", || answers.clone());
    for (expected, found) in expected.lines().zip(answers.lines()) {
        assert_eq!(found, expected, "an answer over the golden log changed");
    }
    assert_eq!(answers.lines().count(), expected.lines().count());
}
