//! `at --aggregate` and `diff`: what was, and what changed since.

use foldlog_tests::scratch::Scratch;
use serde_json::{Value, json};

use super::{file_of, lived, run, said, told};

#[test]
fn a_state_as_of_then_is_what_was_answered_then() {
    let mut host = lived();
    let mut then: Vec<(&str, String, u64, String)> = Vec::new();
    for (stream, route, command, body) in [
        (
            "BankAccount:a",
            "/queries/account/a",
            "/commands/deposit",
            r#"{"accountId":"a","amount":3}"#,
        ),
        (
            "BankAccount:a",
            "/queries/account/a",
            "/commands/deposit",
            r#"{"accountId":"a","amount":4}"#,
        ),
        (
            "Transfer:t",
            "/queries/transfer/t",
            "/commands/deposit",
            r#"{"accountId":"a","amount":5}"#,
        ),
        (
            "Issue:i-1",
            "/issues/i-1",
            "/issues/i-1/transitions",
            "{\"fromState\":\"TODO\",\"toState\":\"IN_PROGRESS\",\"event\":\"start_work\"}",
        ),
        ("Issue:i-1", "/issues/i-1", "/issues", r#"{"id":"a"}"#),
        // The same id as an account's.
        ("Issue:a", "/issues/a", "/commands/deposit", r#"{"accountId":"a","amount":6}"#),
        (
            "BankAccount:a",
            "/queries/account/a",
            "/commands/deposit",
            r#"{"accountId":"a","amount":1}"#,
        ),
    ] {
        let head = host.get("/log/head").json()["position"].as_u64().expect("a position");
        then.push((stream, host.get(route).text(), head, command.to_string()));
        assert!(host.post(command, body).status < 300, "{command}");
    }
    let data = host.data().display().to_string();
    for (stream, answer, head, _) in &then {
        let flags = ["at", &data, "--position", &head.to_string(), "--aggregate", stream, "--json"];
        let shown = said(&flags);
        assert!(shown.ends_with(&format!(",\"aggregate\":{answer}}}\n")), "{stream}: {shown}");
    }
    for (stream, position) in [
        ("Issue:a", "3"),
        ("BankAccount:nobody", "30"),
        ("Unknown:a", "30"),
        ("BankAccount", "30"),
        ("BankAccount:../a?x=1", "30"),
    ] {
        let (code, shown, errors) =
            run(&["at", &data, "--position", position, "--aggregate", stream]);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{stream}");
        assert!(errors.contains(stream), "{errors}");
    }
}

#[test]
fn a_diff_says_what_changed() {
    let mut host = lived();
    let data = host.data().display().to_string();
    let ends = |from: &str, to: &str| {
        let (code, shown, errors) = run(&["diff", &data, from, to, "--json"]);
        assert_eq!(errors, "");
        let told: Value = serde_json::from_str(&shown).expect("JSON");
        assert_eq!(told["equal"].as_bool(), Some(code == Some(0)), "{shown}");
        (code, told)
    };
    let (code, found) = ends("2", "3");
    assert_eq!(code, Some(1));
    assert_eq!((&found["events"], &found["commits"]), (&1.into(), &1.into()));
    let stream = &found["streams"][0];
    assert_eq!(stream["stream"], "BankAccount:a");
    assert_eq!((&stream["fromVersion"], &stream["toVersion"]), (&2.into(), &2.into()));
    assert_eq!(stream["eventsByType"], json!({"MoneyDeposited": 1}));
    let changes = &found["projections"];
    let balance = json!({"change": "changed", "pointer": "/balances/a/balance", "before": 50,
        "after": 57});
    assert_eq!(changes["AccountBalances"][0], balance, "{changes}");
    let history = &changes["TransactionHistory"];
    assert_eq!(
        (history.as_array().map(Vec::len), &history[0]["change"]),
        (Some(1), &"added".into())
    );
    assert_eq!(history[0]["after"]["eventId"], "evt-003");
    // From the beginning to the end, it is what the projections answer now.
    let (_, found) = ends("0", "head");
    let now = host.get("/projections/AccountBalances").json();
    let added = found["projections"]["AccountBalances"].as_array().cloned().expect("a list");
    for change in &added {
        let now = now["data"].pointer(change["pointer"].as_str().expect("a pointer"));
        assert_eq!(Some(&change["after"]), now, "{change}");
    }
    assert_eq!(added.len(), 2);
    assert_eq!(found["to"]["hash"], host.get("/log/head").json()["hash"]);
    // The same by time: the last commit of that millisecond. Then nothing changed, and the wrong
    // way around.
    let head = host.get("/log/head").json()["position"].as_u64().expect("a position");
    let time = |position: u64| {
        let position = position.to_string();
        ends(&position, &position).1["to"]["time"].as_str().expect("a time").to_string()
    };
    let (from, to) = (time(2), time(3));
    let last = (3..=head).rfind(|position| time(*position) == to).expect("3 at least").to_string();
    assert_eq!(ends(&from, &to).1["to"], ends("2", &last).1["to"]);
    assert_eq!(ends("3", "3").0, Some(0));
    // Not over by then: a commit of two events.
    assert_eq!(ends("4", "5").0, Some(0));
    for wrong in [["3", "2"], ["x", "2"], ["2", ""]] {
        assert_eq!(run(&["diff", &data, wrong[0], wrong[1]]).0, Some(2), "{wrong:?}");
    }
    let (code, text, _) = run(&["diff", &data, "2", "3"]);
    assert_eq!(code, Some(1));
    assert!(text.contains("\n  BankAccount:a  v2 to v2: 1 MoneyDeposited\n"), "{text}");
    assert!(text.contains("\nAccountBalances: 0 added, 2 changed, 0 removed\n"), "{text}");
    assert!(text.contains("\n  ~ /balances/a/balance 50 -> 57\n"), "{text}");
}

#[test]
fn projections_of_many_pages_are_compared_whole() {
    let dir = Scratch::new("diff");
    let data = dir.path().display().to_string();
    said(&["bench", "--data", &data, "--commands", "1100", "--accounts", "1050"]);
    let (code, shown, errors) = run(&["diff", &data, "0", "head", "--json"]);
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    let found: Value = serde_json::from_str(&shown).expect("JSON");
    let counted = told(&["stats", &data, "--json"]);
    assert_eq!(
        (&found["events"], &found["commits"]),
        (&counted["totalEvents"], &counted["commits"])
    );
    let added = |name: &str| {
        let changes = found["projections"][name].as_array().expect("a list");
        changes.iter().filter(|change| change["change"] == "added").count()
    };
    assert_eq!((added("TransactionHistory"), added("AccountBalances")), (1_100, 1_050));
    let (_, text, _) = run(&["diff", &data, "0", "head", "--limit", "2"]);
    assert!(text.contains("  … and 1048 more streams; --limit shows more\n"), "{text}");
    assert!(text.contains("  … and 1098 more changes; --limit shows more\n"), "{text}");
}

#[test]
fn a_log_from_elsewhere_is_compared_too() {
    let dir = Scratch::new("diff");
    let file = file_of("log.ndjson", &dir);
    let (code, text, errors) = run(&["diff", &file, "2026-01-02T00:00:00.000Z", "head"]);
    assert_eq!((code, errors.as_str()), (Some(1), ""), "{text}");
    assert!(text.contains("  Topic:order  v1 to v2: 2 Order.Placed\n"), "{text}");
}
