//! The official tests of JSON Schema, through the front door: each group's schema is a topic's, each
//! payload is published to it, on every host.
//!
//! Owns asking. Which tests have no answer here, and why, `schema` tells.

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Kind, Setup};
use foldlog_tests::schema_cases::{Case, cases};

use crate::schema::exception;

fn post(target: &str, body: String) -> Request {
    Request::post(target, &body)
}

/// The same schema serves several payloads.
fn ask(kind: Kind) {
    let mut host = Setup::stamped(kind).start();
    let all: Vec<Case> = cases().into_iter().filter(|case| exception(case).is_none()).collect();
    let (mut topics, mut events, mut wrong) = (0, 0, Vec::new());
    let mut current: Option<&Case> = None;
    for case in &all {
        if current.is_none_or(|one| (&one.group, &one.schema) != (&case.group, &case.schema)) {
            topics += 1;
            let schemas = format!(r#"[{{"type":"t","schema":{}}}]"#, case.schema);
            let body = format!(r#"{{"name":"topic-{topics}","schemas":{schemas}}}"#);
            let answer = host.send(&post("/topics", body));
            assert_eq!(answer.status, 201, "{}: {}: {answer:?}", case.file, case.group);
            current = Some(case);
        }
        let payload = &case.payload;
        let body = format!(r#"[{{"topic":"topic-{topics}","type":"t","payload":{payload}}}]"#);
        let answer = host.send(&post("/events", body));
        let expected = if case.valid { (201, "") } else { (422, "schema-violation") };
        if (answer.status, answer.code().as_str()) != expected {
            wrong.push(format!("{}: {}: {}: {answer:?}", case.file, case.group, case.test));
        }
        events += 1;
    }
    assert!(wrong.is_empty(), "{} of {events}: {wrong:#?}", wrong.len());
    assert!(topics > 300 && events > 1_000, "{topics} topics, {events} events");
}

#[test]
fn in_process_answers_them() {
    ask(Kind::InProcess);
}

#[test]
fn the_native_host_answers_them() {
    ask(Kind::Native);
}

#[test]
fn the_worker_answers_them() {
    ask(Kind::Worker);
}
