//! Topics over the engine in process: what a publication is in the log, and that nothing of one that
//! is refused, or could not be stored, stays.
//!
//! Owns what needs a store or a log to be looked at; routes and answers are transcripts.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{MemoryStore, OwnedRequest, Store};
use serde_json::{Value, json};

use super::faults::{FaultStore, Kind, Script, Way};
use super::kit::{self, Bank, Setup, done, get, request};

const TOPIC: &str = r#"{"name":"t","schemas":[{"type":"a","required":["n"]},{"type":"b","schema":{"type":"integer"}}]}"#;

fn post(target: &str, body: &str) -> OwnedRequest {
    request("POST", target, body, &[])
}

fn value<T: Store>(bank: &mut Bank<T>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

fn ids<T: Store>(bank: &mut Bank<T>, topic: &str) -> Vec<String> {
    let all = value(bank, &format!("/topics/{topic}/events?limit=1000"));
    let all = all.as_array().expect("events are a list");
    all.iter().map(|event| event["id"].as_str().expect("an id").to_string()).collect()
}

#[test]
fn the_log_has_each_payload_once_and_as_it_was_sent() {
    for record_commands in [true, false] {
        let mut bank = Setup { record_commands, ..Setup::default() }.open(MemoryStore::default());
        done(&mut bank, post("/topics", TOPIC));
        let body = r#"[{"payload": {"n": 1.50, "s":"\u00e9\/"}, "topic":"t","type":"a"},
                       {"topic":"t","type":"b","payload":1E2}]"#;
        done(&mut bank, request("POST", "/events", body, &[("idempotency-key", "k")]));
        let lines = kit::lines(bank.store());
        let line = lines.last().expect("a commit");
        assert_eq!(line.matches("1.50").count(), 1, "{line}");
        assert!(line.contains(r#""data":{"n":1.50,"s":"\u00e9\/"}}"#), "{line}");
        assert!(line.contains(r#""data":1E2}"#), "{line}");
        let commit: Value = serde_json::from_str(line).expect("JSON");
        assert_eq!(commit["command"]["name"], "Publish");
        assert_eq!(commit["command"]["key"], "k");
        assert_eq!(
            (&commit["command"]["data"], &commit["command"]["sha256"]),
            (&Value::Null, &Value::Null)
        );
        for event in commit["events"].as_array().expect("events") {
            assert_eq!((&event["id"], &event["stream"]), (&Value::Null, &json!("Topic:t")));
        }
    }
}

#[test]
fn numbers_have_no_gaps_whatever_is_refused_or_fails_between() {
    let one = r#"[{"topic":"t","type":"a","payload":{"n":1}}]"#;
    let bad =
        r#"[{"topic":"t","type":"a","payload":{"n":1}},{"topic":"t","type":"b","payload":"x"}]"#;
    let targets = ["/topics/t", "/topics", "/topics/t/events", "/events/stream"];
    let begun = |way, at| {
        let durable = Rc::new(RefCell::new(MemoryStore::default()));
        let script = Rc::new(RefCell::new(Script::new(at, way, u64::MAX)));
        let mut bank = Setup::default().open(FaultStore::new(&durable, &script));
        done(&mut bank, post("/topics", TOPIC));
        done(&mut bank, post("/events", one));
        assert_eq!(kit::run(&mut bank, post("/events", bad)).0, 422);
        let shown = targets.map(|target| value(&mut bank, target));
        (bank, script, shown)
    };
    // The same without a fault tells which operation stores the second publication.
    let (mut bank, script, _) = begun(Way::Fails, u64::MAX);
    let before = script.borrow().log.len();
    done(&mut bank, post("/events", one));
    let write = script.borrow().log.iter().skip(before).position(|kind| *kind == Kind::Write);
    let at = (before + write.expect("it is stored") + 1) as u64;
    for (way, refused) in [(Way::Fails, 503), (Way::Full, 507)] {
        let (mut bank, _, before) = begun(way, at);
        assert_eq!(kit::run(&mut bank, post("/events", one)).0, refused);
        assert_eq!(targets.map(|target| value(&mut bank, target)), before, "{way:?}");
        done(&mut bank, post("/events", one));
        assert_eq!(ids(&mut bank, "t"), ["t-1", "t-2"], "{way:?}");
    }
}

#[test]
fn reading_since_an_event_and_of_a_day_meet_each_other() {
    let mut bank = Setup::default().open(MemoryStore::default());
    done(&mut bank, post("/topics", TOPIC));
    // Stamps give each commit a second: 300 of them are of one day, others of the next.
    for n in 0..300 {
        let body = format!(r#"[{{"topic":"t","type":"b","payload":{n}}}]"#);
        done(&mut bank, post("/events", &body));
    }
    let all = ids(&mut bank, "t");
    assert_eq!(all.len(), 300);
    assert_eq!((all[0].as_str(), all[299].as_str()), ("t-1", "t-300"));
    let read = |bank: &mut Bank<MemoryStore>, query: &str| {
        let found = value(bank, &format!("/topics/t/events?{query}"));
        let found = found.as_array().expect("a list").clone();
        found.iter().map(|event| event["payload"].as_u64().expect("n")).collect::<Vec<_>>()
    };
    assert_eq!(read(&mut bank, "sinceEventId=t-250&limit=1000"), (250..300).collect::<Vec<_>>());
    assert_eq!(read(&mut bank, "date=2026-01-01&sinceEventId=t-298"), [298, 299]);
    assert_eq!(read(&mut bank, "date=2026-01-02"), [0_u64; 0]);
    assert_eq!(read(&mut bank, "date=2025-12-31"), [0_u64; 0]);
    assert_eq!(read(&mut bank, "sinceEventId=t-300"), [0_u64; 0]);
    // Pages by the link's parameter lead through all of them, once.
    let (mut since, mut seen) = (String::new(), Vec::new());
    loop {
        let page = read(&mut bank, &format!("limit=7{since}"));
        let Some(last) = page.last() else { break };
        since = format!("&sinceEventId=t-{}", last + 1);
        seen.extend(page);
    }
    assert_eq!(seen, (0..300).collect::<Vec<_>>());
}

#[test]
fn rows_follow_from_the_log() {
    let mut bank = Setup::default().open(MemoryStore::default());
    done(&mut bank, post("/topics", TOPIC));
    done(&mut bank, post("/topics", r#"{"name":"u","schemas":[{"type":"c"}]}"#));
    for n in 0..50 {
        let body = format!(
            r#"[{{"topic":"u","type":"c","payload":{{}}}},{{"topic":"t","type":"b","payload":{n}}}]"#
        );
        done(&mut bank, post("/events", &body));
    }
    done(
        &mut bank,
        post("/topics/t/schemas", r#"{"schemas":[{"type":"b","schema":{"minimum":9}}]}"#),
    );
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_rows_are_the_fold(bank.store(), &Setup::default(), "after publications");
    let targets = ["/topics", "/topics/t", "/topics/u/events", "/topics/@TopicDefinition/events"];
    let shown = |bank: &mut Bank<MemoryStore>| targets.map(|target| kit::run(bank, get(target)));
    let before = shown(&mut bank);
    let mut again = Setup::default().open(kit::folded_again(bank.store(), &Setup::default()));
    assert_eq!(shown(&mut again), before);
}

/// Each of a thousand events is found through its commit, which has all of them and nearly 1 MB.
#[test]
fn a_commit_of_many_events_is_read_once_for_all_of_them() {
    let mut bank = Setup::default().open(MemoryStore::default());
    done(&mut bank, post("/topics", TOPIC));
    let text = "x".repeat(900);
    for batch in 0..12 {
        let event = |n| {
            let n = batch * 1_000 + n;
            format!(r#"{{"topic":"t","type":"a","payload":{{"n":{n},"s":"{text}"}}}}"#)
        };
        let events: Vec<String> = (0..1_000).map(event).collect();
        done(&mut bank, post("/events", &format!("[{}]", events.join(","))));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let store = bank.store().clone();
    // Nothing of it is in memory now.
    let mut bank = Setup::default().open(store);
    let read = |bank: &mut Bank<MemoryStore>, target: &str| {
        let found = value(bank, target);
        let found = found.as_array().unwrap_or_else(|| panic!("{target}: {found}")).clone();
        let number = |event: &Value| event["payload"]["n"].as_u64().expect("n");
        (found.len(), found.first().map_or(0, number), found.last().map_or(0, number))
    };
    assert_eq!(read(&mut bank, "/topics/t/events"), (100, 0, 99));
    assert_eq!(
        read(&mut bank, "/topics/t/events?sinceEventId=t-2990&limit=20"),
        (20, 2_990, 3_009)
    );
    assert_eq!(
        read(&mut bank, "/topics/t/events?date=2026-01-01&sinceEventId=t-11950"),
        (50, 11_950, 11_999)
    );
    // A page ends at 1 MB.
    let (count, first, last) = read(&mut bank, "/topics/t/events?limit=1000");
    assert!((700..1_000).contains(&count) && first == 0 && last + 1 == count as u64, "{count}");
    let (status, body) = kit::run(&mut bank, get("/events/stream?type=a&order=desc&limit=1000"));
    assert_eq!(status, 200, "{}", &body[..body.len().min(300)]);
}
