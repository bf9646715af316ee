//! A golden log of topics. Made once, never edited; `golden` says how.
//!
//! Owns what definitions and publications look like for ever: schemas and their versions, payloads
//! as they were sent, ids that follow from topics.

use foldlog_core::driver::MemoryStore;

use super::golden::text;
use super::{domain, export};
use crate::engine::kit::{self, Setup, done, request};

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

#[test]
fn it_verifies_and_is_written_the_same() {
    domain::verifies_and_is_written_the_same(&log());
}

#[test]
fn it_folds_to_the_same_states() {
    domain::folds_to_the_same_states(&log(), &["TopicDefinition", "Topics"], "topics-rows.txt");
}

#[test]
fn it_gives_the_same_answers() {
    let targets = [
        "/topics",
        "/topics/orders",
        "/queries/topic-definition/orders?atVersion=1",
        "/topics/orders/events",
        "/topics/other.topic_1/events?sinceEventId=other.topic_1-1",
        "/topics/@TopicDefinition/events",
        "/events/stream?category=Topic&limit=2",
        "/events/stream?correlationId=c-1",
        "/events/id/orders-2",
    ];
    domain::gives_the_same_answers(&log(), &targets, "topics-answers.txt");
}
