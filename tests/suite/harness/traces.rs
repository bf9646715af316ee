//! `trace`: what led to what, whichever way the correlation is named.

use super::{file_of, lived, run, said, told};
use foldlog_tests::scratch::Scratch;

#[test]
fn a_transfer_is_a_tree() {
    let mut host = lived();
    let data = host.data().display().to_string();
    let events = host.get("/events/stream?correlationId=evt-004").json();
    let events = events.as_array().expect("a list");
    let found = told(&["trace", &data, "--correlation", "evt-004", "--json"]);
    let commits = found["commits"].as_array().expect("a list");
    let ids: Vec<_> = commits
        .iter()
        .flat_map(|commit| commit["events"].as_array().cloned().unwrap_or_default())
        .map(|event| event["id"].clone())
        .collect();
    assert_eq!(ids, events.iter().map(|event| event["id"].clone()).collect::<Vec<_>>());
    assert_eq!((&commits[0]["position"], &commits[0]["by"]), (&4.into(), &"Transfer".into()));
    assert_eq!(commits[0]["below"], serde_json::Value::Null);
    // Each that the system commanded stands below the one that asked for it.
    for commit in &commits[1..] {
        let below = commit["below"].as_u64().expect("one above");
        assert!(below < commit["position"].as_u64().expect("a position"), "{commit}");
    }
    assert!(commits.iter().all(|commit| commit["open"] == serde_json::json!([])), "{found}");
    for flags in [["--event", "evt-005"], ["--position", "5"], ["--position", "4"]] {
        let same = told(&["trace", &data, flags[0], flags[1], "--json"]);
        assert_eq!(same, found, "{flags:?}");
    }
    let text = said(&["trace", &data, "--event", "evt-004"]);
    let count = events.len();
    assert!(
        text.starts_with(&format!(
            "correlation evt-004: {} commits, {count} events",
            commits.len()
        ))
    );
    assert!(text.contains("\n4 +0.000 s Transfer: TransferRequested Transfer:t\n"), "{text}");
    assert!(text.contains("\n└─ "), "{text}");
    // An email: the effect and what came of it.
    let created = host.get("/events/stream?type=Subscription.Created").json();
    let created = created[0]["id"].as_str().expect("an id").to_string();
    let text = said(&["trace", &data, "--event", &created]);
    assert!(text.contains("Effect.Succeeded ~System:"), "{text}");
    assert!(!text.contains("nothing yet"), "{text}");
    // An id that does not follow from a position.
    let news = told(&["trace", &data, "--event", "news-1", "--json"]);
    assert_eq!(news["commits"][0]["events"][0]["id"], "news-1");
}

#[test]
fn a_correlation_of_a_caller_is_found_and_no_other() {
    let dir = Scratch::new("trace");
    let file = file_of("log.ndjson", &dir);
    let found = told(&["trace", &file, "--correlation", "flow-1", "--json"]);
    assert_eq!(found["commits"].as_array().map(Vec::len), Some(2), "{found}");
    // Asked for, and not settled within this log.
    let open = told(&["trace", &file, "--event", "order-1", "--json"]);
    let asked = &open["commits"][0]["open"];
    assert_eq!(asked.as_array().map(Vec::len), Some(2), "{open}");
    for flags in [
        ["--correlation", "none"],
        ["--event", "evt-999999"],
        ["--event", "x"],
        ["--position", "0"],
    ] {
        let (code, shown, errors) = run(&["trace", &file, flags[0], flags[1]]);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{flags:?}");
        assert!(errors.contains("no event"), "{flags:?}: {errors}");
    }
    assert_eq!(run(&["trace", &file]).0, Some(2));
}
