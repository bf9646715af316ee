//! Topics on running hosts: publications as large as they may be, read back, and followed in a
//! terminal by `foldlog listen`.
//!
//! Owns what needs a process: its bounds on time and memory, and who listens to it. Routes and
//! answers are transcripts.

use std::io::{BufRead, BufReader};
use std::process::{Child, Stdio};

use foldlog_tests::hosts::{Host, Kind, Setup, foldlog, native_command};
use foldlog_tests::receiver::{Receiver, Say};
use serde_json::Value;

const TOPIC: &str = r#"{"name":"t","schemas":[{"type":"a","required":["n"]}]}"#;
const BATCHES: usize = 3;

fn batch(number: usize) -> String {
    let text = "x".repeat(880);
    let event = |n| {
        let n = number * 1_000 + n;
        format!(r#"{{"topic":"t","type":"a","payload":{{"n":{n},"s":"{text}"}}}}"#)
    };
    format!("[{}]", (0..1_000).map(event).collect::<Vec<_>>().join(","))
}

fn started(kind: Kind) -> Host {
    let mut host = Setup::new(kind).start();
    assert_eq!(host.post("/topics", TOPIC).status, 201);
    host
}

fn numbers(host: &mut Host, target: &str) -> Vec<u64> {
    let answer = host.get(target);
    assert_eq!(answer.status, 200, "{target}: {answer:?}");
    let all = answer.json();
    let all = all.as_array().unwrap_or_else(|| panic!("{target}: no list"));
    all.iter().map(|event| event["payload"]["n"].as_u64().unwrap_or_default()).collect()
}

fn large(kind: Kind) {
    let mut host = started(kind);
    for number in 0..BATCHES {
        assert_eq!(host.post("/events", &batch(number)).status, 201);
    }
    let too_large = format!("{}{}", batch(0), " ".repeat(1 << 20));
    assert_eq!(host.post("/events", &too_large).status, 413);
    let mut seen = Vec::new();
    loop {
        let since = seen.len();
        let since = if since > 0 { format!("&sinceEventId=t-{since}") } else { String::new() };
        let page = numbers(&mut host, &format!("/topics/t/events?limit=1000{since}"));
        if page.is_empty() {
            break;
        }
        seen.extend(page);
    }
    assert_eq!(seen, (0..1_000 * BATCHES as u64).collect::<Vec<_>>());
    let today = host.get("/events/id/t-1").json()["metadata"]["timestamp"].clone();
    let today = today.as_str().unwrap_or_default().get(..10).unwrap_or_default().to_string();
    assert_eq!(numbers(&mut host, &format!("/topics/t/events?date={today}")).len(), 100);
    let log = host.whole_log();
    for told in ["topic created", "events published", "t-1\"", "t-3000\""] {
        assert!(log.contains(told), "{kind:?}, {told}: {log}");
    }
    assert!(!log.contains("trap") && !log.contains("xxx"), "{log}");
}

#[test]
fn large_publications_are_read_back_on_native() {
    large(Kind::Native);
}

#[test]
fn large_publications_are_read_back_on_the_worker() {
    large(Kind::Worker);
}

struct Listening(Child);

impl Listening {
    fn start(host: &Host, more: &[&str]) -> Self {
        let mut command = native_command();
        command.args(["listen", &format!("http://{}", host.address()), "--topic", "t"]).args(more);
        let child = command.stdout(Stdio::piped()).stderr(Stdio::null()).spawn();
        Self(child.unwrap_or_else(|e| panic!("listen: {e}")))
    }
}

impl Drop for Listening {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn publish(host: &mut Host, n: u64) {
    let body = format!(r#"[{{"topic":"t","type":"a","payload":{{"n":{n}}}}}]"#);
    assert_eq!(host.post("/events", &body).status, 201);
}

fn listened(kind: Kind) {
    let mut host = started(kind);
    publish(&mut host, 0);
    let mut shown = Listening::start(&host, &["--from-beginning", "--json"]);
    let out = shown.0.stdout.take().unwrap_or_else(|| panic!("no output"));
    let mut lines = BufReader::new(out).lines().map_while(Result::ok);
    for n in 0..3 {
        let line = lines.next().unwrap_or_default();
        let event: Value = serde_json::from_str(&line).unwrap_or_else(|e| panic!("{e}: {line}"));
        assert_eq!((&event["payload"]["n"], event["type"].as_str()), (&n.into(), Some("a")));
        publish(&mut host, n + 1);
    }
    let receiver = Receiver::start(|_, _| Say::Status(204, String::new()));
    let _forwarding = Listening::start(&host, &["--since", "t-1", "--forward", &receiver.url()]);
    receiver.wait_for("the last event", |heard| heard.body.contains("\"id\":\"t-4\""));
    let heard = receiver.heard();
    let ids: Vec<Value> = heard.iter().map(|one| one.json()["events"][0]["id"].clone()).collect();
    assert_eq!(ids, ["t-2", "t-3", "t-4"]);
    assert!(heard.iter().all(|one| one.json()["consumerId"] == "listen"));
}

#[test]
fn a_topic_is_followed_in_a_terminal_from_native() {
    listened(Kind::Native);
}

#[test]
fn a_topic_is_followed_in_a_terminal_from_the_worker() {
    listened(Kind::Worker);
}

#[test]
fn what_can_not_be_followed_is_said() {
    let host = started(Kind::Native);
    let url = format!("http://{}", host.address());
    for (arguments, said) in [
        (vec!["listen", &url, "--topic", "nope"], "there is no topic nope"),
        (vec!["listen", &url, "--topic", "t", "--since", "t-9"], "there is no event t-9"),
        (vec!["listen", "ftp://host", "--topic", "t"], "must start with http"),
        (vec!["listen", &url, "--topic", "t", "--forward", "host:1"], "must start with http"),
    ] {
        let output = foldlog(&arguments);
        let told = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{told}");
        assert!(told.contains(said), "{told}");
    }
}
