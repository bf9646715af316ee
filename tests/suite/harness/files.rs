//! `export --layout files`: document 003's tree, an event a file.

use std::fs;
use std::path::{Path, PathBuf};

use foldlog_tests::hosts::{Kind, Setup};
use foldlog_tests::scratch::Scratch;
use rusqlite::Connection;
use serde_json::Value;

use super::{file_of, lived, run, told};

/// All files below a directory, and what they say.
fn files(dir: &Path) -> Vec<(PathBuf, String)> {
    let mut found = Vec::new();
    for entry in fs::read_dir(dir).expect("a folder").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.append(&mut files(&path));
        } else {
            let text = fs::read_to_string(&path).expect("a file");
            found.push((path, text));
        }
    }
    found.sort_unstable();
    found
}

fn export(source: &str, dir: &Path, flags: &[&str]) -> Value {
    let to = dir.display().to_string();
    let all = ["export", source, "--layout", "files", "-o", &to, "--json"];
    told(&[&all[..], flags].concat())
}

#[test]
fn events_of_topics_lie_where_document_003_says() {
    let mut host = Setup::stamped(Kind::Native).start();
    let topics = r#"{"name":"user-events","schemas":[{"type":"user.created"}]}"#;
    assert_eq!(host.post("/topics", topics).status, 201);
    let one = r#"{"topic":"user-events","type":"user.created","payload":{"n":1.0}}"#;
    for count in [1_000, 1] {
        let batch = format!("[{}]", vec![one; count].join(","));
        assert_eq!(host.post("/events", &batch).status, 201);
    }
    let (data, dir) = (host.data().display().to_string(), Scratch::new("files"));
    assert_eq!(export(&data, dir.path(), &[])["written"], 1_001);
    let found = files(dir.path());
    let of = |number: u64| {
        let group = (number - 1) / 1_000;
        let name = format!("data/user-events/2026-01-01/000{group}/user-events-{number}.json");
        let path = dir.path().join(name);
        fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
    };
    assert_eq!(found.len(), 1_001);
    for number in [1, 2, 1_000, 1_001] {
        let since = (number > 1).then(|| format!("&sinceEventId=user-events-{}", number - 1));
        let target = format!("/topics/user-events/events?limit=1{}", since.unwrap_or_default());
        assert_eq!(format!("[{}]", of(number).trim_end()), host.get(&target).text());
    }
    // Again, nothing is written; what was cut off is.
    let path = dir.path().join("data/user-events/2026-01-01/0000/user-events-7.json");
    let seventh = of(7);
    fs::write(&path, &seventh[..20]).expect("is cut");
    let told = export(&data, dir.path(), &[]);
    assert_eq!((&told["written"], &told["there"]), (&1.into(), &1_000.into()));
    assert_eq!((of(7), files(dir.path())), (seventh, found));
    // What another log left is not written over.
    fs::write(&path, "{}\n").expect("is changed");
    let to = dir.path().display().to_string();
    let (code, _, errors) = run(&["export", &data, "--layout", "files", "-o", &to]);
    assert!(code == Some(2) && errors.contains("says something else"), "{errors}");
    assert_eq!(of(7), "{}\n");
}

#[test]
fn all_topics_are_all_events() {
    let mut host = lived();
    let (data, dir) = (host.data().display().to_string(), Scratch::new("files"));
    assert_eq!(export(&data, dir.path(), &[])["written"], 1);
    let told = export(&data, dir.path(), &["--all-topics"]);
    let head = host.get("/log/head").json()["position"].clone();
    assert_eq!(
        (told["written"].as_u64().map(|n| n + 1), &told["there"]),
        (head.as_u64(), &1.into())
    );
    let days = fs::read_dir(dir.path().join("data/@BankAccount")).expect("a folder");
    let day = days.flatten().next().expect("a day").path();
    let first = fs::read_to_string(day.join("0000/evt-001.json")).expect("the first event");
    let events = host.get("/topics/@BankAccount/events?limit=1").text();
    assert_eq!(format!("[{}]", first.trim_end()), events);
}

#[test]
fn no_name_of_a_log_leads_out_of_the_tree_and_a_broken_one_ends_it() {
    let (dir, to) = (Scratch::new("files"), Scratch::new("files-to"));
    let file = file_of("log.ndjson", &dir);
    // Its topic has events with ids of their own, and a stream has a colon in its name.
    let told = export(&file, to.path(), &["--all-topics"]);
    let written = files(to.path());
    assert_eq!(told["written"], written.len());
    let names: Vec<String> = written.iter().map(|(path, _)| path.display().to_string()).collect();
    assert!(names.iter().any(|name| name.ends_with("data/order/2026-01-03/0000/order-1.json")));
    assert!(names.iter().any(|name| name.contains("data/@%7ESystem/")));
    let raw = Connection::open(&file).expect("opens");
    let sql = "UPDATE log SET body = replace(body, '\"Topic:order\"', '\"Topic:../x\"')";
    assert!(raw.execute(sql, []).expect("is changed") > 0);
    drop(raw);
    let (code, _, errors) =
        run(&["export", &file, "--layout", "files", "-o", &to.path().display().to_string()]);
    assert!(code == Some(2) && errors.contains("the log is broken"), "{errors}");
    assert_eq!(files(to.path()), written);
}
