//! Consumers on both hosts: deliveries over real sockets to receivers in this process.
//!
//! Symptom to look for: an event that is skipped or comes out of order, a place lost by a restart, a
//! signature that a receiver can not check, a bad receiver that holds up a good one.

use std::thread;
use std::time::{Duration, Instant};

use foldlog_core::webhook::sign;
use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::receiver::{Heard, Receiver, Say};
use foldlog_tests::scratch::{Random, seed};
use serde_json::{Value, json};

use super::crash::verify;
use super::emails::no_file_has;

fn accepts() -> Receiver {
    Receiver::start(|_, _| Say::Status(204, String::new()))
}

fn setup(kind: Kind) -> Setup {
    let setup = Setup::new(kind).environment("FOLDLOG_SECRET", "planted-for-consumers");
    setup.environment("ALLOW_PRIVATE_CALLBACKS", "true")
}

fn open(host: &mut Host, id: &str) -> u64 {
    let body = format!(r#"{{"accountId":"{id}","initialBalance":1000}}"#);
    let answer = host.post("/commands/open-account", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    answer.json()["position"].as_u64().expect("a position")
}

fn deposit(host: &mut Host, id: &str) -> u64 {
    let body = format!(r#"{{"accountId":"{id}","amount":1}}"#);
    let answer = host.post("/commands/deposit", &body);
    assert_eq!(answer.status, 200, "{}", answer.text());
    answer.json()["position"].as_u64().expect("a position")
}

/// Registers one; returns its id and its secret, in base64.
fn register(host: &mut Host, url: &str, on_failure: &str) -> (String, String) {
    let topics = json!({"@BankAccount": null});
    let body = json!({"callback": url, "topics": topics, "onFailure": on_failure}).to_string();
    let answer = host.post("/consumers/register", &body);
    assert_eq!(answer.status, 201, "{}", answer.text());
    let told = answer.json();
    let secret = told["secret"].as_str().and_then(|text| text.strip_prefix("whsec_"));
    (told["consumerId"].as_str().expect("an id").into(), secret.expect("a secret").into())
}

/// RFC 4648, as a receiver would have it from a library.
fn base64(text: &str) -> Vec<u8> {
    let digit = |byte: u8| match byte {
        b'A'..=b'Z' => u32::from(byte - b'A'),
        b'a'..=b'z' => u32::from(byte - b'a') + 26,
        b'0'..=b'9' => u32::from(byte - b'0') + 52,
        b'+' => 62,
        _ => 63,
    };
    let mut out = Vec::new();
    for four in text.trim_end_matches('=').as_bytes().chunks(4) {
        let bits = four.iter().fold(0, |bits, byte| bits << 6 | digit(*byte));
        let bits = bits << (6 * (4 - four.len()));
        out.extend_from_slice(&bits.to_be_bytes()[1..four.len()]);
    }
    out
}

/// Positions of the delivered events, in the order in which they came.
fn positions(receiver: &Receiver) -> Vec<u64> {
    let events = |heard: &Heard| heard.json()["events"].as_array().cloned().unwrap_or_default();
    let all = receiver.heard();
    let all = all.iter().flat_map(events);
    all.map(|event| event["metadata"]["position"].as_u64().expect("a position")).collect()
}

fn wait_for(receiver: &Receiver, position: u64, when: &str) {
    receiver.wait_for(when, |heard| {
        let events = heard.json()["events"].as_array().cloned().unwrap_or_default();
        events.iter().any(|event| event["metadata"]["position"] == position)
    });
}

fn listed(host: &mut Host) -> Vec<Value> {
    host.get("/consumers").json().as_array().expect("a list").clone()
}

/// Waits until this holds of the list of consumers.
fn until(host: &mut Host, when: &str, holds: impl Fn(&[Value]) -> bool) {
    let end = Instant::now() + Duration::from_secs(40);
    loop {
        let all = listed(host);
        if holds(&all) {
            return;
        }
        assert!(Instant::now() < end, "{when}: {all:?}\n{}", host.log());
        thread::sleep(Duration::from_millis(20));
    }
}

/// Each event at least once, and in order but for what is delivered again.
fn assert_in_order(found: &[u64], wanted: &[u64], when: &str) {
    let mut next = 0;
    for position in found {
        match wanted.get(next) {
            Some(expected) if position == expected => next += 1,
            _ => assert!(
                wanted[..next].contains(position),
                "{when}: {position} came before {:?}: {found:?}",
                wanted.get(next)
            ),
        }
    }
    assert_eq!(next, wanted.len(), "{when}: some are missing: {found:?}");
}

fn events_are_delivered_signed_and_a_restart_keeps_the_place(kind: Kind) {
    let receiver = accepts();
    let mut host = setup(kind).start();
    let mut wanted = vec![open(&mut host, "a")];
    let (id, secret) = register(&mut host, &format!("{}/hook", receiver.url()), "remove");
    wait_for(&receiver, wanted[0], "from the beginning");
    let mut took = Vec::new();
    for _ in 0..20 {
        let started = Instant::now();
        let position = deposit(&mut host, "a");
        wait_for(&receiver, position, "after a deposit");
        took.push(started.elapsed());
        wanted.push(position);
    }
    took.sort();
    println!("{kind:?}: from request to delivery: median {:?}, longest {:?}", took[10], took[19]);
    assert_eq!(positions(&receiver), wanted, "each once");
    for heard in receiver.heard() {
        assert_eq!(heard.line, "POST /hook");
        assert_eq!(heard.json()["consumerId"], id);
        let [message, at, signature] = &heard.signed;
        let at = at.parse().expect("seconds");
        assert_eq!(*signature, sign(&base64(&secret), message, at, heard.body.as_bytes()));
    }
    let last = wanted.last().map(|position| format!("evt-{position:03}"));
    until(&mut host, "saved", |all| all[0]["topics"]["@BankAccount"] == json!(last));
    host.kill_9();
    host.restart();
    let position = deposit(&mut host, "a");
    wanted.push(position);
    wait_for(&receiver, position, "after a restart");
    assert_eq!(positions(&receiver), wanted, "{kind:?}: the place was lost");
    let answer = host
        .send(&Request { method: "DELETE".into(), ..Request::get(&format!("/consumers/{id}")) });
    assert_eq!(answer.status, 204);
    deposit(&mut host, "a");
    thread::sleep(Duration::from_millis(300));
    assert_eq!(positions(&receiver), wanted, "{kind:?}: it was removed");
    let log = host.whole_log();
    for told in ["consumer registered", "dispatcher started", "delivered", "consumer removed"] {
        assert!(log.contains(told), "{kind:?}, {told}: {log}");
    }
    assert!(!log.contains("/hook") && !log.contains("planted-for"), "{kind:?}: {log}");
    assert!(!log.contains(&secret), "{kind:?}: {log}");
    for target in ["/log/export", "/events/stream", "/consumers", "/stats", "/health"] {
        assert!(!host.get(target).text().contains(&secret), "{kind:?}: {target}");
    }
    host.stop();
    no_file_has(&host.data(), &secret);
}

#[test]
fn native_delivers_signed_and_a_restart_keeps_the_place() {
    events_are_delivered_signed_and_a_restart_keeps_the_place(Kind::Native);
}

#[test]
fn the_worker_delivers_signed_and_a_restart_keeps_the_place() {
    events_are_delivered_signed_and_a_restart_keeps_the_place(Kind::Worker);
}

fn those_that_fail_are_removed_with_the_reason(kind: Kind) {
    let receiver = Receiver::start(|heard, _| match heard.line.as_str() {
        "POST /500" => Say::Status(500, "no\nway".into()),
        "POST /moved" => Say::Redirect("/elsewhere"),
        "POST /nothing" => Say::Nothing,
        "POST /gone" => Say::Status(410, String::new()),
        "POST /429" => Say::Status(429, "later".into()),
        "POST /cut" => Say::Cut,
        "POST /trickle" => Say::Trickle,
        "POST /endless-500" => Say::Endless(500),
        "POST /endless" => Say::Endless(200),
        _ => Say::Status(200, String::new()),
    });
    let mut host = setup(kind).set("--effect-deadline-ms", "EFFECT_DEADLINE_MS", 500).start();
    open(&mut host, "a");
    let cases = [
        ("500", "remove", "topic @BankAccount: answered 500: no way"),
        ("moved", "remove", "topic @BankAccount: answered 302, redirects are not followed"),
        ("nothing", "remove", "topic @BankAccount: no answer in 500 ms"),
        ("gone", "retry", "topic @BankAccount: answered 410"),
        ("429", "remove", "topic @BankAccount: answered 429: later"),
        ("cut", "remove", "topic @BankAccount: "),
        ("trickle", "remove", "topic @BankAccount: no answer in 500 ms"),
        ("endless-500", "remove", "topic @BankAccount: answered 500: xxx"),
    ];
    let resets = Receiver::start(|_, _| Say::Nothing).resetting();
    // An answer's body does not matter, nor whether it ends.
    let fine = ["fine", "endless"]
        .map(|path| register(&mut host, &format!("{}/{path}", receiver.url()), "remove").0);
    let mut ids = Vec::new();
    for (path, mode, _) in cases {
        ids.push(register(&mut host, &format!("{}/{path}", receiver.url()), mode).0);
    }
    register(&mut host, &resets.url(), "remove");
    until(&mut host, "removed", |all| all.len() == fine.len());
    let mut left: Vec<_> = listed(&mut host).iter().map(|one| one["consumerId"].clone()).collect();
    left.sort_by_key(|id| fine.iter().position(|fine| id == fine));
    assert_eq!(left, fine);
    assert!(receiver.endless_bytes() < 64 << 20, "{} bytes", receiver.endless_bytes());
    let removed = host.get("/events/stream?type=Consumer.Removed").json();
    for (id, (path, _, reason)) in ids.iter().zip(cases) {
        let all = removed.as_array().expect("a list");
        let told = all.iter().find(|event| event["aggregateId"] == **id);
        let told = told.and_then(|event| event["data"]["reason"].as_str()).unwrap_or_default();
        assert!(told.starts_with(reason), "{kind:?}, {path}: {told}");
    }
    let log = host.whole_log();
    assert!(log.contains("delivery failed"), "{kind:?}: {log}");
    host.kill_9();
    verify(&host, &format!("{kind:?}, after removals"));
}

#[test]
fn native_removes_those_that_fail() {
    those_that_fail_are_removed_with_the_reason(Kind::Native);
}

#[test]
fn the_worker_removes_those_that_fail() {
    those_that_fail_are_removed_with_the_reason(Kind::Worker);
}

fn one_that_is_tried_again_gets_the_same_batch(kind: Kind) {
    let receiver = Receiver::start(|_, nth| match nth {
        1 | 2 => Say::Status(503, String::new()),
        _ => Say::Status(200, String::new()),
    });
    let mut host = setup(kind).start();
    let first = open(&mut host, "a");
    register(&mut host, &receiver.url(), "retry");
    wait_for(&receiver, first, "the first attempt");
    until(&mut host, "retrying", |all| all[0]["status"] == "retrying");
    let second = deposit(&mut host, "a");
    until(&mut host, "accepted", |all| {
        all[0]["topics"]["@BankAccount"] == format!("evt-{second:03}")
    });
    let heard = receiver.heard();
    assert!(heard.len() >= 4, "{kind:?}: {}", heard.len());
    for again in &heard[1..3] {
        assert_eq!((&again.body, &again.signed[0]), (&heard[0].body, &heard[0].signed[0]));
    }
    assert_in_order(&positions(&receiver), &[first, second], "retried");
}

#[test]
fn native_tries_again() {
    one_that_is_tried_again_gets_the_same_batch(Kind::Native);
}

#[test]
fn the_worker_tries_again() {
    one_that_is_tried_again_gets_the_same_batch(Kind::Worker);
}

/// In turns: killed as soon as a command is answered, while the receiver thinks about a delivery,
/// and right after it has said yes.
fn killed_during_deliveries(kind: Kind, kills: usize) {
    let mut random = Random(seed(&format!("kills during deliveries of {kind:?}")));
    let receiver = accepts();
    let mut host = setup(kind).start();
    let mut wanted = vec![open(&mut host, "a")];
    register(&mut host, &receiver.url(), "retry");
    for kill in 0..kills {
        let when = format!("{kind:?}, kill {kill}");
        receiver.close(kill % 3 == 1);
        for _ in 0..1 + random.below(4) {
            wanted.push(deposit(&mut host, "a"));
        }
        if kill % 3 > 0 && kill % 3 != 1 {
            wait_for(&receiver, wanted[wanted.len() - 1], &when);
        }
        thread::sleep(Duration::from_micros(random.below(3_000) as u64));
        host.kill_9();
        receiver.close(false);
        host.restart();
        if kill % 4 == 0 {
            wait_for(&receiver, wanted[wanted.len() - 1], &when);
        }
    }
    wanted.push(deposit(&mut host, "a"));
    wait_for(&receiver, wanted[wanted.len() - 1], "in the end");
    let found = positions(&receiver);
    assert_in_order(&found, &wanted, &format!("{kind:?}"));
    println!("{kind:?}: {kills} kills, {} events, {} deliveries of one", wanted.len(), found.len());
    assert_eq!(listed(&mut host).len(), 1, "a kill is no failure of the receiver");
    host.kill_9();
    verify(&host, &format!("{kind:?}, in the end"));
}

#[test]
fn no_event_is_lost_or_out_of_order_by_fifty_kills_of_native() {
    killed_during_deliveries(Kind::Native, 50);
}

#[test]
fn no_event_is_lost_or_out_of_order_by_twenty_kills_of_the_worker() {
    killed_during_deliveries(Kind::Worker, 20);
}

/// Bad receivers take a connection and say nothing. Measured and printed: how long a good one waits.
fn bad_receivers_do_not_hold_up_a_good_one(kind: Kind, bad: usize) {
    let (good, hangs) = (accepts(), Receiver::start(|_, _| Say::Nothing));
    let mut host = setup(kind).set("--effect-deadline-ms", "EFFECT_DEADLINE_MS", 4_000).start();
    open(&mut host, "a");
    register(&mut host, &good.url(), "remove");
    let measure = |host: &mut Host| {
        let mut took: Vec<Duration> = (0..20)
            .map(|_| {
                let started = Instant::now();
                let position = deposit(host, "a");
                wait_for(&good, position, "the good one");
                started.elapsed()
            })
            .collect();
        took.sort();
        (took[10], took[19])
    };
    let alone = measure(&mut host);
    for _ in 0..bad {
        register(&mut host, &hangs.url(), "retry");
    }
    hangs.wait_for("a bad one", |_| true);
    let beside = measure(&mut host);
    println!("{kind:?}: median and longest: alone {alone:?}, beside {bad} bad ones {beside:?}");
    let found = positions(&good);
    assert!(found.is_sorted(), "{found:?}");
    assert_eq!(listed(&mut host).len(), bad + 1);
}

#[test]
fn fifty_bad_receivers_do_not_hold_up_a_good_one_of_native() {
    bad_receivers_do_not_hold_up_a_good_one(Kind::Native, 50);
}

#[test]
fn five_bad_receivers_do_not_hold_up_a_good_one_of_the_worker() {
    bad_receivers_do_not_hold_up_a_good_one(Kind::Worker, 5);
}
