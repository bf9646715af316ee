//! Issues with long histories: what is shown of them, and the snapshots along the way.
//!
//! Owns what a transcript can not write down: over a hundred requests that alternate.

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use serde_json::Value;

const EVENTS: usize = 130;
const SHOWN: usize = 100;
const SNAPSHOT_EVERY: usize = 50;

/// The event of version `n`, from 2 on, and the states that it lies between.
fn step(n: usize) -> [&'static str; 3] {
    if n.is_multiple_of(2) {
        ["TODO", "cancel", "CANCELLED"]
    } else {
        ["CANCELLED", "reopen", "TODO"]
    }
}

fn go(host: &mut Host, n: usize) {
    let [from, event, to] = step(n);
    let body = format!(
        r#"{{"fromState":"{from}","toState":"{to}","event":"{event}","reason":"{n}","eventId":"step-{n}"}}"#
    );
    let answer = host.post("/issues/long/transitions", &body);
    assert_eq!(answer.status, 200, "{n}: {}", answer.text());
    assert_eq!(answer.json()["version"], n, "{n}");
}

fn snapshot_version(host: &mut Host) -> Option<Value> {
    let answer = host.get("/issues/long/snapshots/latest");
    (answer.status == 200).then(|| answer.json()["version"].clone())
}

/// The history as of a version: the changes up to it, the newest hundred, oldest first.
fn check(host: &mut Host, version: usize) {
    let state = host.get(&format!("/issues/long?toSequence={version}")).json();
    let history = state["stateHistory"].as_array().cloned().unwrap_or_default();
    let expected: Vec<usize> = (2..=version).skip((version - 1).saturating_sub(SHOWN)).collect();
    let found: Vec<&Value> = history.iter().map(|change| &change["sequenceNumber"]).collect();
    assert_eq!(found, expected, "as of {version}");
    for (change, n) in history.iter().zip(expected) {
        let [from, event, to] = step(n);
        let told = [&change["from"], &change["event"], &change["to"], &change["reason"]];
        assert_eq!(told, [from, event, to, &n.to_string()], "{n}");
        assert_eq!(change["eventId"], format!("step-{n}"));
    }
    assert_eq!(state["transitionCount"], version - 1);
    assert_eq!(state["version"], version);
    assert_eq!(state["status"], if version == 1 { "TODO" } else { step(version)[2] });
}

fn a_long_history(kind: Kind) {
    let mut host = Setup::new(kind).start();
    let answer = host.send(&Request::post("/issues", r#"{"id":"long","title":"Undecided"}"#));
    assert_eq!(answer.status, 201, "{kind:?}: {}", answer.text());
    for n in 2..=EVENTS {
        go(&mut host, n);
        if n % SNAPSHOT_EVERY <= 1 {
            let latest = n / SNAPSHOT_EVERY * SNAPSHOT_EVERY;
            let wanted = (latest > 0).then(|| Value::from(latest));
            assert_eq!(snapshot_version(&mut host), wanted, "{kind:?}: after {n}");
        }
    }
    for version in [1, 2, 49, 50, 51, SHOWN, SHOWN + 1, SHOWN + 2, EVENTS] {
        check(&mut host, version);
    }
    // Sent again, each returns the event that is there.
    for n in [2, 77, EVENTS] {
        let [from, event, to] = step(n);
        let body = format!(
            r#"{{"fromState":"{from}","toState":"{to}","event":"{event}","eventId":"step-{n}"}}"#
        );
        let answer = host.post("/issues/long/transitions", &body);
        assert_eq!((answer.status, answer.json()["version"].clone()), (200, n.into()), "{n}");
        assert_eq!(answer.header("idempotency-replayed").as_deref(), Some("true"));
    }
    check(&mut host, EVENTS);
}

#[test]
fn long_histories_are_told_from_their_end() {
    for kind in Kind::ALL {
        a_long_history(kind);
    }
}
