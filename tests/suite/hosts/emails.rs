//! Emails on their way out: attempts, waits, ends, and what of them is seen where.
//!
//! Symptom to look for: an email that is lost, one under another id, a call that holds others up,
//! and a key where it does not belong. SendGrid is a server in this process. Time is a test's: it
//! moves when a test says so, and a call is given half a second.

use std::fs;
use std::path::Path;

use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::receiver::{Heard, Receiver, Say};
use foldlog_tests::scratch::{built, root};
use rusqlite::Connection;
use serde_json::Value;

/// Planted: it may be found in requests, and nowhere else.
pub const KEY: &str = "SG.planted-in-a-test.Zm9sZGxvZw";
const FROM: &str = "log@example.com";
/// Longer than any wait between two attempts.
const LATER: &str = r#"{"advanceMs":300000}"#;
const ATTEMPTS_MAX: usize = 10;

/// A host whose guest sends an email when it is told to.
pub fn with_emails(kind: Kind, receiver: &Receiver) -> Setup {
    with_emails_to(kind, receiver.url())
}

/// The same, sent to this URL.
pub fn with_emails_to(kind: Kind, url: String) -> Setup {
    let mut setup = Setup::new(kind).environment("SENDGRID_URL", url);
    setup.guest = Some(built(root().join("build/guest-faults.wasm"), "test"));
    setup.environment("SENDGRID_API_KEY", KEY).environment("EMAIL_FROM", FROM)
}

fn stamped(kind: Kind, receiver: &Receiver) -> Setup {
    let mut setup = with_emails(kind, receiver);
    setup.stamps = Some("seed".into());
    setup.set("--effect-deadline-ms", "EFFECT_DEADLINE_MS", 500)
}

/// Asks for an email to this name at example.com.
pub fn order(host: &mut Host, name: &str) {
    let answer = host.post("/commands/order-email", &format!(r#"{{"chaosId":"{name}"}}"#));
    assert!(answer.status < 300, "{name}: {}", answer.text());
}

/// The effects that are emails, as `GET /effects` has them.
pub fn effects(host: &mut Host, query: &str) -> Vec<Value> {
    let listed = host.get(&format!("/effects?limit=1000{query}")).json();
    listed.as_array().expect("a list").clone()
}

fn effect(host: &mut Host, name: &str) -> Value {
    let target = format!("{name}@example.com");
    let found = effects(host, "").into_iter().find(|effect| effect["target"] == target);
    found.unwrap_or_else(|| panic!("no effect to {target}"))
}

fn wake(host: &mut Host, body: &str) {
    let answer = host.post("/test/wake", body);
    assert_eq!(answer.status, 200, "{}", answer.text());
}

/// By what is before the `@`.
fn script(heard: &Heard, nth: usize) -> Say {
    let to = heard.to();
    match to.split('@').next().unwrap_or_default() {
        "bad" => Say::Status(400, "{\"errors\":[{\"message\":\"no\n such address\"}]}".into()),
        // As a proxy would that shows what it got.
        "shown" => Say::Status(401, format!("you sent {}", heard.authorization)),
        "broken" => Say::Status(503, String::new()),
        "third" if nth < 3 => Say::Status(500, "try again".into()),
        "hangs" => Say::Nothing,
        "cut" => Say::Cut,
        "endless" => Say::Endless(500),
        "endless-yes" => Say::Endless(202),
        "moved" => Say::Redirect("/elsewhere"),
        _ => Say::Status(202, String::new()),
    }
}

/// What an email comes to by each kind of answer: first error, attempts, end.
const CASES: [(&str, &str, usize, &str); 10] = [
    ("fine", "", 1, "succeeded"),
    ("endless-yes", "", 1, "succeeded"),
    ("third", "answered 500: try again", 3, "succeeded"),
    ("bad", "answered 400: {\"errors\":[{\"message\":\"no such address\"}]}", 10, "dead"),
    ("shown", "answered 401: you sent Bearer [hidden]", 10, "dead"),
    ("broken", "answered 503", 10, "dead"),
    ("hangs", "no answer in 500 ms", 10, "dead"),
    ("cut", "no answer: ", 10, "dead"),
    ("endless", "answered 500: xxxxxxxx", 10, "dead"),
    ("moved", "answered 302, redirects are not followed", 10, "dead"),
];

fn every_answer_has_its_end(kind: Kind) {
    let receiver = Receiver::start(script);
    let mut host = stamped(kind, &receiver).set("", "EFFECTS_IN_FLIGHT_MAX", 16).start();
    for (name, ..) in CASES {
        order(&mut host, name);
    }
    assert_eq!(receiver.connections(), 0, "{kind:?}: nothing is due before the test says so");
    assert!(effects(&mut host, "").iter().all(|effect| effect["status"] == "pending"));
    wake(&mut host, r#"{"advanceMs":0}"#);
    for (name, error, ..) in CASES {
        let effect = effect(&mut host, name);
        let told = effect["lastError"].as_str().unwrap_or_default();
        assert!(told.starts_with(error) && told.is_empty() == error.is_empty(), "{name}: {effect}");
        assert_eq!(effect["attempt"], 1, "{kind:?}: {effect}");
    }
    for _ in 1..ATTEMPTS_MAX + 2 {
        wake(&mut host, LATER);
    }
    let heard = receiver.heard();
    for (name, _, attempts, end) in CASES {
        let effect = effect(&mut host, name);
        let found = (effect["attempt"].as_u64(), effect["status"].as_str());
        assert_eq!(found, (Some(attempts as u64), Some(end)), "{kind:?}: {effect}");
        let to = format!("{name}@example.com");
        let calls: Vec<&Heard> = heard.iter().filter(|heard| heard.to() == to).collect();
        // What broke off before an answer the platform may have sent once more by itself.
        let again = matches!(name, "cut") && calls.len() >= attempts;
        assert!(calls.len() == attempts || again, "{kind:?}: {name} was called {}", calls.len());
        assert!(calls.iter().all(|call| *call == calls[0]), "{kind:?}: {name}: {calls:?}");
        assert_eq!(calls[0].effect_id(), effect["id"], "{kind:?}");
        assert_eq!(calls[0].line, "POST /v3/mail/send");
        assert_eq!(calls[0].authorization, format!("Bearer {KEY}"));
        let body = calls[0].json();
        assert_eq!(body["from"]["email"], FROM);
        assert_eq!(body["content"][0]["type"], "text/plain");
    }
    assert!(heard.iter().all(|heard| heard.line == "POST /v3/mail/send"), "a redirect: followed");
    // Eleven endless bodies: what is taken of each is the bound and what sockets hold.
    assert!(receiver.endless_bytes() < 11 << 23, "{kind:?}: {} taken", receiver.endless_bytes());
    ended_in_the_log(&mut host);
    nothing_shows_the_key(&mut host);
}

/// Each attempt is an event of its own; an effect ends once.
fn ended_in_the_log(host: &mut Host) {
    for (event_type, wanted) in [
        ("Effect.Succeeded", 3),
        ("Effect.Failed", 2 + 7 * (ATTEMPTS_MAX - 1)),
        ("Effect.Dropped", 7),
    ] {
        let found = host.get(&format!("/events/stream?limit=1000&type={event_type}")).json();
        let emails = found.as_array().expect("events").iter();
        let emails = emails.filter(|event| event["data"]["kind"] == "email").count();
        assert_eq!(emails, wanted, "{:?}: {event_type}", host.kind());
    }
}

/// Law 11, for each place where something is told: answers, the log, the file, the process's log.
fn nothing_shows_the_key(host: &mut Host) {
    let (kind, file) = (host.kind(), host.sqlite());
    for target in [
        "/log/export",
        "/effects?limit=1000",
        "/events/stream?limit=1000",
        "/stats",
        "/health",
        "/openapi.json",
        "/projections",
        "/partitions",
        "/",
    ] {
        assert!(!host.get(target).text().contains(KEY), "{kind:?}: {target} shows the key");
    }
    assert!(host.stop() || kind == Kind::Worker);
    let rows = Connection::open(file).expect("the file");
    let mut select = rows.prepare("SELECT * FROM lss").expect("the view");
    let columns = select.column_count();
    let mut found = select.query([]).expect("rows");
    let mut count = 0;
    while let Some(row) = found.next().expect("a row") {
        for column in 0..columns {
            assert!(!format!("{:?}", row.get_ref(column)).contains(KEY), "{kind:?}: lss");
        }
        count += 1;
    }
    assert!(count > 50, "{kind:?}: lss has {count} rows");
    assert!(!host.whole_log().contains(KEY), "{kind:?}: the process's log");
    no_file_has(&host.data(), KEY);
}

pub fn no_file_has(dir: &Path, secret: &str) {
    for entry in fs::read_dir(dir).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            no_file_has(&path, secret);
        } else {
            let bytes = fs::read(&path).expect("a file");
            let found = bytes.windows(secret.len()).any(|window| window == secret.as_bytes());
            assert!(!found, "{} has the key", path.display());
        }
    }
}

#[test]
fn every_answer_has_its_end_on_native() {
    every_answer_has_its_end(Kind::Native);
}

#[test]
fn every_answer_has_its_end_on_the_worker() {
    every_answer_has_its_end(Kind::Worker);
}

/// A connection that is reset, and one that no one accepts.
fn no_connection_is_a_failure(kind: Kind) {
    let receiver = Receiver::start(script).resetting();
    let mut host = stamped(kind, &receiver).start();
    order(&mut host, "a");
    wake(&mut host, r#"{"advanceMs":0}"#);
    let told = effect(&mut host, "a");
    assert_eq!(told["attempt"], 1, "{kind:?}: {told}");
    assert!(told["lastError"].as_str().is_some_and(|error| error.starts_with("no answer: ")));
    drop(receiver);
    wake(&mut host, LATER);
    let told = effect(&mut host, "a");
    assert_eq!((told["attempt"].as_u64(), told["status"].as_str()), (Some(2), Some("pending")));
    assert!(told["lastError"].as_str().is_some_and(|error| error.starts_with("no answer: ")));
}

#[test]
fn no_connection_is_a_failure_on_native() {
    no_connection_is_a_failure(Kind::Native);
}

#[test]
fn no_connection_is_a_failure_on_the_worker() {
    no_connection_is_a_failure(Kind::Worker);
}

/// Without a key the host's own log has them.
fn without_a_key_emails_are_logged(kind: Kind) {
    let receiver = Receiver::start(script);
    let setup = stamped(kind, &receiver).environment("SENDGRID_API_KEY", "");
    let mut host = setup.start();
    order(&mut host, "ada");
    wake(&mut host, r#"{"advanceMs":0}"#);
    assert_eq!(effect(&mut host, "ada")["status"], "succeeded", "{kind:?}");
    assert_eq!(receiver.connections(), 0);
    host.kill_9();
    let log = host.whole_log();
    let line = log.lines().find(|line| line.contains("ada@example.com"));
    let line = line.unwrap_or_else(|| panic!("{kind:?}: nothing logged: {log}"));
    assert!(line.contains(r#""event":"email""#) && line.contains("Ordered"), "{line}");
}

#[test]
fn without_a_key_emails_are_logged_natively() {
    without_a_key_emails_are_logged(Kind::Native);
}

#[test]
fn without_a_key_emails_are_logged_on_the_worker() {
    without_a_key_emails_are_logged(Kind::Worker);
}

/// While calls hang, as many as may be in flight at a time, clients are answered as ever.
fn calls_hold_nobody_up(kind: Kind, in_flight_max: usize) {
    let receiver = Receiver::start(script);
    receiver.close(true);
    let mut host = with_emails(kind, &receiver).start();
    let orders = in_flight_max + 10;
    for n in 0..orders {
        order(&mut host, &format!("n-{n}"));
    }
    receiver.wait_for("the last of those in flight", |heard| {
        heard.to() == format!("n-{}@example.com", in_flight_max - 1)
    });
    let started = std::time::Instant::now();
    assert!(host.post("/commands/tick", r#"{"chaosId":"x"}"#).status < 300);
    assert!(started.elapsed().as_millis() < 2_000, "{kind:?}: {:?}", started.elapsed());
    assert_eq!(effects(&mut host, "&status=running").len(), in_flight_max, "{kind:?}");
    assert_eq!(receiver.heard().len(), in_flight_max, "{kind:?}: in flight");
    receiver.close(false);
    super::sent::settled(&mut host, orders, "after the receiver answers");
    assert_eq!(receiver.heard().len(), orders, "{kind:?}: each was called once");
}

#[test]
fn calls_hold_nobody_up_on_native() {
    calls_hold_nobody_up(Kind::Native, 64);
}

#[test]
fn calls_hold_nobody_up_on_the_worker() {
    calls_hold_nobody_up(Kind::Worker, 6);
}

/// From the command that document 000 begins with to the answer of SendGrid, and what is shown of
/// it: sent, tried again, given up.
fn members_are_sent_emails(kind: Kind) {
    let receiver = Receiver::start(script);
    let mut host = stamped(kind, &receiver).start();
    let body = r#"{"plan":"gold","createdBy":"third@example.com"}"#;
    assert_eq!(host.post("/create-subscription", body).status, 201);
    let body = r#"{"subscriptionId":"sub-1","members":["fine@example.com","bad@example.com"]}"#;
    assert_eq!(host.post("/assign-members", body).status, 200);
    wake(&mut host, r#"{"advanceMs":0}"#);
    let emails = |host: &mut Host, status: &str| -> Vec<(String, u64, String)> {
        let shown = host.get(&format!("/emails?status={status}")).json();
        let all = shown.as_array().expect("emails").iter();
        let text = |email: &Value, name: &str| email[name].as_str().unwrap_or_default().to_string();
        let one = |email: &Value| {
            let attempt = email["attempt"].as_u64().unwrap_or_default();
            (text(email, "to"), attempt, text(email, "lastError"))
        };
        let mut all: Vec<_> = all.map(one).collect();
        all.sort();
        all
    };
    let bad = "answered 400: {\"errors\":[{\"message\":\"no such address\"}]}";
    let told = |to: &str, attempt: u64, error: &str| (to.to_string(), attempt, error.to_string());
    assert_eq!(
        emails(&mut host, "pending"),
        [told("bad@example.com", 1, bad), told("third@example.com", 1, "answered 500: try again")]
    );
    assert_eq!(emails(&mut host, "succeeded").len(), 1, "{kind:?}");
    for _ in 0..ATTEMPTS_MAX {
        wake(&mut host, LATER);
    }
    assert_eq!(emails(&mut host, "pending"), []);
    assert_eq!(emails(&mut host, "dropped"), [told("bad@example.com", 10, bad)], "{kind:?}");
    let sent: Vec<String> = emails(&mut host, "succeeded").into_iter().map(|(to, ..)| to).collect();
    assert_eq!(sent, ["fine@example.com", "third@example.com"], "{kind:?}");
    let story = host.get("/events/stream?limit=1000&type=Email.Succeeded").json();
    let ways: Vec<&str> = story.as_array().map_or(vec![], |story| {
        story.iter().filter_map(|event| event["data"]["delivery"].as_str()).collect()
    });
    assert_eq!(ways, ["sendgrid", "sendgrid"], "{kind:?}: {story}");
    let mut calls: Vec<Value> = receiver.heard().iter().map(Heard::json).collect();
    assert_eq!(calls.len(), 1 + 3 + 10, "{kind:?}");
    calls.retain(|call| call["subject"].as_str().is_none_or(str::is_empty));
    assert_eq!(calls, Vec::<Value>::new(), "{kind:?}: emails without a subject");
}

#[test]
fn members_are_sent_emails_by_native() {
    members_are_sent_emails(Kind::Native);
}

#[test]
fn members_are_sent_emails_by_the_worker() {
    members_are_sent_emails(Kind::Worker);
}
