//! A golden log of topics. Made once, never edited; `golden` says how.
//!
//! Owns what definitions and publications look like for ever: schemas and their versions, payloads
//! as they were sent, ids that follow from topics.

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::MemoryStore;

use super::golden::{digests, text};
use super::{export, python, store_of};
use crate::engine::kit::{self, Bank, Setup, done, get, request};

fn make_log() -> String {
    let mut bank = Setup::default().open(MemoryStore::default());
    let mut post = |target: &str, body: &str, headers: &[(&str, &str)]| {
        done(&mut bank, request("POST", target, body, headers))
    };
    let orders = r#"{"name":"orders","schemas":[{"type":"order.placed","properties":{"amount":{"minimum":1.0}}},{"type":"note","schema":{"type":"string"}}]}"#;
    post("/topics", orders, &[("idempotency-key", "create")]);
    post("/topics", r#"{"name":"other.topic_1","schemas":[{"type":"any","schema":true}]}"#, &[]);
    let one =
        r#"[{"topic":"orders","type":"order.placed","payload":{"amount":1.10,"s":"\u00e9\/é"}}]"#;
    post("/events", one, &[]);
    let more = r#"[{"topic":"other.topic_1","type":"any","payload":[1E2,-0]},{"topic":"orders","type":"note","payload":"a"},{"topic":"other.topic_1","type":"any","payload":null}]"#;
    let headers = [
        ("idempotency-key", "k"),
        ("x-correlation-id", "c-1"),
        ("x-actor", "ann"),
        ("foldlog-meta-a", "b"),
    ];
    post("/events", more, &headers);
    let next = r#"{"schemas":[{"type":"note","schema":{"maxLength":3}},{"type":"order.paid"}]}"#;
    post("/topics/orders/schemas", next, &[]);
    post("/events", r#"[{"topic":"orders","type":"note","payload":"b"}]"#, &[]);
    String::from_utf8(export(&kit::lines(bank.store()))).expect("a log is UTF-8")
}

fn log() -> Vec<String> {
    text("topics.ndjson", make_log).lines().map(String::from).collect()
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
        .filter(|(view, _)| ["TopicDefinition ", "Topics "].iter().any(|own| view.starts_with(own)))
        .map(|(view, digest)| format!("{view} {digest}\n"))
        .collect();
    assert_eq!(shown.lines().count(), 2, "{shown}");
    let expected = text("topics-rows.txt", || shown.clone());
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
        "/topics",
        "/topics/orders",
        "/queries/topic-definition/orders?atVersion=1",
        "/topics/orders/events",
        "/topics/other.topic_1/events?sinceEventId=other.topic_1-1",
        "/topics/@TopicDefinition/events",
        "/events/stream?category=Topic&limit=2",
        "/events/stream?correlationId=c-1",
        "/events/id/orders-2",
    ] {
        let (status, body) = kit::run(&mut bank, get(target));
        answers.push_str(&format!("GET {target}\n{status} {body}\n"));
    }
    let expected = text("topics-answers.txt", || answers.clone());
    for (expected, found) in expected.lines().zip(answers.lines()) {
        assert_eq!(found, expected, "an answer over the golden log changed");
    }
    assert_eq!(answers.lines().count(), expected.lines().count());
}
