//! `log`: the same events as over HTTP, byte for byte; filters; a table; and what comes later.

use std::io::{BufRead, BufReader};
use std::process::{Command, Stdio};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::native_command;
use foldlog_tests::scratch::Scratch;

use super::{file_of, lived, run, said};

/// A list, with one object a line.
fn list(text: &str) -> String {
    format!("[{}]", text.lines().collect::<Vec<_>>().join(","))
}

#[test]
fn events_are_shown_as_over_http() {
    let mut host = lived();
    let data = host.data().display().to_string();
    let from = host.get("/events/id/evt-003").json();
    let from = from["metadata"]["timestamp"].as_str().expect("a time").to_string();
    let timed = format!("/events/stream?from={from}");
    for (target, flags) in [
        ("/events/stream?limit=1000", vec![]),
        ("/events/stream?type=MoneyDeposited", vec!["--type", "MoneyDeposited"]),
        ("/events/stream?category=Transfer", vec!["--aggregate", "Transfer"]),
        ("/events/account/a", vec!["--aggregate", "BankAccount:a"]),
        ("/events/stream?correlationId=evt-004", vec!["--correlation", "evt-004"]),
        ("/events/stream?after=2&limit=3", vec!["--positions", "3..5"]),
        (&timed, vec!["--from", &from]),
        ("/events/stream?category=Nothing", vec!["--aggregate", "Nothing"]),
    ] {
        let expected = host.get(target).text();
        let flagged = |form: &[&'static str]| {
            let all = [&["log", &data], form, &flags].concat();
            said(&all)
        };
        assert_eq!(list(&flagged(&["--output", "ndjson"])), expected, "{target}");
        let json = flagged(&["--json"]);
        assert_eq!(json.trim_end().replace(",\n{", ",{"), expected, "{target}");
        let request = Request::get(target).header("accept", "application/cloudevents-batch+json");
        let clouds = host.send(&request).text();
        let shown = flagged(&["--output", "cloudevents"]);
        assert_eq!(shown.trim_end().replace(",\n{", ",{"), clouds, "{target}");
    }
    let to = ["log", &data, "--output", "ndjson", "--to", &from];
    let all = said(&["log", &data, "--output", "ndjson"]);
    assert!(all.starts_with(&said(&to)), "the beginning, up to a time");
    let last = said(&["log", &data, "--output", "ndjson", "--last", "2"]);
    assert!(last.lines().count() == 2 && all.ends_with(&last), "the last two");
    let none = ["log", &data, "--type", "a", "--type", "b", "--output", "cloudevents"];
    assert_eq!(said(&none), "[]\n");
}

#[test]
fn a_table_is_for_people() {
    let dir = Scratch::new("table");
    let file = file_of("log.ndjson", &dir);
    let plain = said(&["log", &file, "--positions", "..2"]);
    let expected = "     1  2026-01-01T00:00:00.000Z  AccountOpened                   \
                    BankAccount:acc-1           v1    {\"initialBalance\":1000}\n";
    assert!(plain.starts_with(expected), "{plain}");
    assert!(!plain.contains('\x1b'), "no colours in a file: {plain}");
    let coloured = said(&["log", &file, "--positions", "2", "--color", "always"]);
    assert!(coloured.contains("\x1b[36mMoneyDeposited"), "{coloured}");
    // On a terminal there are colours, unless the environment forbids them.
    let binary = native_command().get_program().to_string_lossy().into_owned();
    for (no_color, colours) in [(None, true), (Some(""), true), (Some("1"), false)] {
        let mut command = Command::new("script");
        command.args(["-qec", &format!("{binary} log {file} --positions 2"), "/dev/null"]);
        command.env_remove("NO_COLOR").stdin(Stdio::null());
        command.envs(no_color.map(|value| ("NO_COLOR", value)));
        let output = command.output().expect("script (util-linux) runs");
        let shown = String::from_utf8_lossy(&output.stdout);
        assert_eq!(shown.contains("\x1b[36mMoneyDeposited"), colours, "{no_color:?}: {shown}");
    }
}

#[test]
fn wrong_flags_are_named() {
    let dir = Scratch::new("flags");
    let file = file_of("topics.ndjson", &dir);
    for (flags, named) in [
        (["--positions", "x"], "--positions must be"),
        (["--from", "now"], "--from must be a UTC time"),
        (["--to", "1"], "--to must be a UTC time"),
        (["--follow", "--json"], "nothing to follow"),
    ] {
        let (code, shown, errors) = run(&[&["log", &file][..], &flags].concat());
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{flags:?}");
        assert!(errors.contains(named), "{flags:?}: {errors}");
    }
}

#[test]
fn what_comes_is_shown_as_it_comes() {
    let mut host = lived();
    let head = host.get("/log/head").json()["position"].as_u64().expect("a position");
    let mut command = native_command();
    command.args(["log", &host.data().display().to_string(), "--follow", "--last", "1"]);
    command.args(["--output", "cloudevents", "--positions", &format!("..{}", head + 2)]);
    let mut child = command.stdout(Stdio::piped()).spawn().expect("starts");
    let mut lines = BufReader::new(child.stdout.take().expect("a pipe")).lines();
    let mut next = || lines.next().map(|line| line.expect("text"));
    let sequence = |position: u64| format!("\"sequence\":\"{position:016}\"");
    let first = next().expect("the last one");
    assert!(first.starts_with('{') && first.contains(&sequence(head)), "{first}");
    for position in [head + 1, head + 2] {
        let deposit = r#"{"accountId":"a","amount":1}"#;
        assert_eq!(host.post("/commands/deposit", deposit).status, 200);
        let shown = next().expect("the one that came");
        assert!(shown.ends_with('}') && shown.contains(&sequence(position)), "{shown}");
        // Nothing is held meanwhile: the host can still shorten its WAL, and be started anew.
        host.stop();
        host.restart();
    }
    // No further one can be within those positions.
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    assert_eq!(next(), None);
    assert_eq!(child.wait().expect("ends").code(), Some(0));
}
