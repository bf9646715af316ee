//! `head` and `stats`: they agree with the host that serves the log.

use foldlog_tests::scratch::Scratch;
use rusqlite::Connection;

use super::{file_of, golden, lived, run, said, told};

#[test]
fn head_and_stats_say_what_the_host_says() {
    let mut host = lived();
    let data = host.data().display().to_string();
    for live in [true, false] {
        let (head, stats) = (host.get("/log/head").json(), host.get("/stats").json());
        if !live {
            host.stop();
        }
        let found = told(&["head", &data, "--json"]);
        for member in ["partition", "position", "hash"] {
            assert_eq!(found[member], head[member], "{member}");
        }
        let counted = told(&["stats", &data, "--json"]);
        assert_eq!((&counted["position"], &counted["hash"]), (&head["position"], &head["hash"]));
        for member in ["totalEvents", "totalAggregates", "eventsByType", "aggregates"] {
            assert_eq!(counted[member], stats[member], "{member}");
        }
        assert_eq!(counted["guests"][0]["sha256"], stats["guest"]["sha256"]);
        let by_type = counted["aggregatesByType"].as_object().expect("an object");
        let sum: u64 = by_type.values().filter_map(serde_json::Value::as_u64).sum();
        assert_eq!(Some(sum), stats["totalAggregates"].as_u64());
        let all = stats["aggregates"].as_array().expect("a list");
        // The same pages, whatever their size.
        let mut paged = Vec::new();
        let mut after = String::new();
        while paged.len() < all.len() {
            let flags = ["stats", &data, "--json", "--limit", "2", "--after", &after];
            let page = told(&flags)["aggregates"].as_array().cloned().expect("a list");
            assert!((1..=2).contains(&page.len()), "after {after}: {page:?}");
            paged.extend(page);
            let last = paged.last().expect("one");
            after = last["aggregate"].as_str().expect("a stream").to_string();
        }
        assert_eq!(&paged, all);
    }
}

#[test]
fn a_golden_log_is_counted() {
    let dir = Scratch::new("counts");
    let file = file_of("log.ndjson", &dir);
    let lines = golden("log.ndjson");
    let counted = told(&["stats", &file, "--json"]);
    assert_eq!(counted["commits"], lines.len() - 1);
    assert_eq!(counted["bytes"], lines.iter().map(|line| line.len() + 1).sum::<usize>());
    assert_eq!(counted["firstTime"], "2026-01-01T00:00:00.000Z");
    assert_eq!(counted["lastTime"], "2026-01-03T00:01:01.000Z");
    assert_eq!(counted["guests"].as_array().map(Vec::len), Some(2), "{counted}");
    let text = said(&["stats", &file]);
    let (position, hash) = (&counted["position"], counted["hash"].as_str().expect("a hash"));
    assert!(text.starts_with(&format!("head      {position} {hash}\n")), "{text}");
    assert!(text.contains("          2 Order.Placed\n"), "{text}");
    assert!(text.contains("          1 Unknown\n"), "{text}");
    assert_eq!(said(&["head", &file]).lines().next(), text.lines().next());
    let genesis = told(&["stats", &file, "--json", "--limit", "0"]);
    assert_eq!(genesis["aggregates"], serde_json::json!([]));
}

#[test]
fn what_can_not_be_counted_is_not() {
    let dir = Scratch::new("counts");
    let file = file_of("log.ndjson", &dir);
    let raw = Connection::open(&file).expect("opens");
    let sql = "UPDATE log SET body = replace(body, '\"amount\":500', '\"amount\":501')";
    assert!(raw.execute(sql, []).expect("is changed") > 0);
    drop(raw);
    let (code, text, errors) = run(&["stats", &file]);
    assert_eq!((code, text.as_str()), (Some(2), ""));
    assert!(errors.contains("position 2: the hash does not match"), "{errors}");
    Connection::open(&file).expect("opens").execute("DELETE FROM log", []).expect("is emptied");
    for verb in ["head", "stats", "log"] {
        let (code, _, errors) = run(&[verb, &file]);
        assert!(code == Some(2) && errors.contains("the log is empty"), "{verb}: {errors}");
    }
}
