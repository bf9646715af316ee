//! CloudEvents as the SDKs of npm and PyPI read them.
//!
//! Owns a log, its answers in both forms, and running the decoders in tests/cloudevents (the one of
//! PyPI is installed into target at a pinned version). What the forms look like byte for byte is in
//! the transcripts.

use std::fs;
use std::path::Path;
use std::process::Command;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Scratch, built, root};
use serde_json::{Value, json};

const PYTHON_SDK: &str = "cloudevents==2.2.0";
const ONE: &str = "application/cloudevents+json";
const LIST: &str = "application/cloudevents-batch+json";

/// Events of several streams with all that metadata can hold.
fn log(host: &mut Host) {
    let command = |path: &str, body: &str| Request::post(&format!("/commands/{path}"), body);
    let mut send = |request: Request| {
        let answer = host.send(&request);
        assert!(answer.status < 300, "{}", answer.text());
    };
    for id in ["a", "b:1._-"] {
        let opened = command("open-account", &format!(r#"{{"accountId":"{id}"}}"#));
        send(opened.header("X-Correlation-Id", "\"order\" \\7").header("X-Causation-Id", "click"));
    }
    let deposit = r#"{"accountId":"a","amount":9007199254740991,"eventIds":["paid"]}"#;
    let trace = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
    send(command("deposit", deposit).header("traceparent", trace));
    send(command("withdraw", r#"{"accountId":"a","amount":1}"#));
    let transfer = r#"{"transferId":"t","fromAccountId":"a","toAccountId":"b:1._-","amount":2}"#;
    send(command("transfer", transfer));
}

fn events(host: &mut Host, target: &str) -> Vec<Value> {
    host.get(target).json().as_array().cloned().unwrap_or_default()
}

/// Asks for all events, and for each one, as CloudEvents; returns the answers as the decoders want
/// them and the events as they have to find them.
fn answers(host: &mut Host) -> (String, Vec<Value>) {
    let all = events(host, "/events/stream");
    assert!(all.len() >= 8, "{all:?}");
    let mut lines = String::new();
    let mut wanted = Vec::new();
    let mut ask = |target: &str, media: &str| {
        let answer = host.send(&Request::get(target).header("Accept", media));
        assert_eq!(answer.header("content-type").as_deref(), Some(media), "{}", answer.text());
        lines += &format!("{}\n", json!({"contentType": media, "body": answer.text()}));
    };
    ask("/events/stream", LIST);
    wanted.extend(all.iter().cloned());
    ask("/events/account/a", LIST);
    wanted.extend(all.iter().filter(|event| event["aggregateId"] == "a").cloned());
    for event in &all {
        ask(&format!("/events/id/{}", event["id"].as_str().unwrap_or_default()), ONE);
        wanted.push(event.clone());
    }
    (lines, wanted)
}

/// What a decoder has to find in an event's stead.
fn as_cloud(event: &Value) -> Value {
    let metadata = &event["metadata"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let position = metadata["position"].as_u64().unwrap_or_default();
    let subject = format!("{}:{}", text(&event["aggregateType"]), text(&event["aggregateId"]));
    json!({
        "specversion": "1.0",
        "id": event["id"],
        "source": "/p/main",
        "type": event["eventType"],
        "subject": subject,
        "time": metadata["timestamp"],
        "sequence": format!("{position:016}"),
        "correlationid": metadata["correlationId"],
        "causationid": metadata["causationId"],
        "data": event["data"],
    })
}

fn decode(command: &mut Command, lines: &Path) -> Vec<Value> {
    let output = command.arg(lines).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let (said, wrong) = (output.stdout, String::from_utf8_lossy(&output.stderr).into_owned());
    assert!(output.status.success(), "{command:?}\n{wrong}");
    let said = String::from_utf8_lossy(&said).into_owned();
    said.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}"))).collect()
}

fn compare(found: Vec<Value>, wanted: &[Value]) {
    assert_eq!(found.len(), wanted.len());
    let mut traced = 0;
    for (mut found, wanted) in found.into_iter().zip(wanted) {
        // Python prints UTC its own way.
        let time = found["time"].as_str().unwrap_or_default().replace("+00:00", "Z");
        found["time"] = time.into();
        traced +=
            usize::from(found["traceparent"].as_str().is_some_and(|t| t.starts_with("00-0af")));
        let object = found.as_object_mut().unwrap_or_else(|| panic!("no object"));
        object.remove("traceparent");
        // What was left out.
        object.entry("causationid").or_insert(Value::Null);
        assert_eq!(found, as_cloud(wanted));
    }
    assert_eq!(traced, 3, "one event, asked for in three ways");
}

fn python() -> Command {
    let mut python = foldlog_tests::python::with(PYTHON_SDK);
    python.arg(root().join("tests/cloudevents/decode.py"));
    python
}

fn npm() -> Command {
    built(root().join("node_modules/cloudevents"), "setup");
    let mut node = Command::new(root().join("wasm/node"));
    node.arg(root().join("tests/cloudevents/decode.mjs"));
    node
}

#[test]
fn the_sdks_of_npm_and_pypi_decode_what_all_hosts_answer() {
    let dir = Scratch::new("cloudevents");
    for kind in Kind::ALL {
        let mut host = Setup::stamped(kind).start();
        log(&mut host);
        let (lines, wanted) = answers(&mut host);
        let path = dir.path().join("answers.jsonl");
        fs::write(&path, lines).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        compare(decode(&mut npm(), &path), &wanted);
        compare(decode(&mut python(), &path), &wanted);
    }
}
