//! The verbs that show what is in a log, against golden logs and one that the native host wrote.
//!
//! Owns the logs: golden ones as files in the store's own format. Reading order: `counts` (head,
//! stats), `shown` (log), `traces`, `then` (at, diff), `modules` (guest,
//! selftest, completions, man), `files` (export).

mod counts;
mod files;
mod modules;
mod shown;
mod then;
mod traces;

use std::path::{Path, PathBuf};

use foldlog_core::driver::MemoryStore;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};
use foldlog_tests::scratch::Scratch;
use rusqlite::{Connection, params};
use serde_json::Value;

use crate::format::store_of;

/// Runs a verb; exit code, standard output, standard error.
fn run(arguments: &[&str]) -> (Option<i32>, String, String) {
    let ended = foldlog(arguments);
    let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
    (ended.status.code(), text(&ended.stdout), text(&ended.stderr))
}

/// Runs a verb that succeeds; its standard output.
fn said(arguments: &[&str]) -> String {
    let (code, said, errors) = run(arguments);
    assert_eq!((code, errors.as_str()), (Some(0), ""), "{arguments:?}: {said}");
    said
}

/// The same, as JSON.
fn told(arguments: &[&str]) -> Value {
    let said = said(arguments);
    serde_json::from_str(&said).unwrap_or_else(|e| panic!("{arguments:?}: {e}: {said}"))
}

/// The lines of a golden log.
fn golden(name: &str) -> Vec<String> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("golden/v1").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    text.lines().map(String::from).collect()
}

/// A golden log as a file in the store's own format.
fn file_of(name: &str, dir: &Scratch) -> String {
    let path = dir.path().join("golden.sqlite");
    write(&store_of(&golden(name)), &path);
    path.display().to_string()
}

fn write(store: &MemoryStore, path: &Path) {
    let raw = Connection::open(path).expect("a file is made");
    raw.execute_batch(
        "CREATE TABLE log (first_position INTEGER PRIMARY KEY, last_position INTEGER NOT NULL, \
         body TEXT NOT NULL); \
         CREATE TABLE rows (view TEXT NOT NULL, generation INTEGER NOT NULL, key BLOB NOT NULL, \
         value BLOB NOT NULL, PRIMARY KEY (view, generation, key)) WITHOUT ROWID;",
    )
    .expect("tables are made");
    for block in store.log.values() {
        let row = params![block.first as i64, block.last as i64, block.body];
        raw.execute("INSERT INTO log VALUES (?1, ?2, ?3)", row).expect("a block is stored");
    }
}

/// A native host with a few commits of several domains: two transfers, of which the second is
/// refunded, a subscription with its email, an issue, events of a topic.
fn lived() -> Host {
    let mut host = Setup::new(Kind::Native).start();
    for (path, body) in [
        ("/commands/open-account", r#"{"accountId":"a","initialBalance":50}"#),
        ("/commands/open-account", r#"{"accountId":"b"}"#),
        ("/commands/deposit", r#"{"accountId":"a","amount":7}"#),
        (
            "/commands/transfer",
            r#"{"transferId":"t","fromAccountId":"a","toAccountId":"b","amount":9}"#,
        ),
        (
            "/commands/transfer",
            r#"{"transferId":"u","fromAccountId":"a","toAccountId":"nobody","amount":9}"#,
        ),
        ("/create-subscription", r#"{"plan":"gold","createdBy":"admin@site.com"}"#),
        ("/issues", r#"{"id":"i-1","title":"One"}"#),
        ("/topics", r#"{"name":"news","schemas":[{"type":"news.told"}]}"#),
        ("/events", r#"[{"topic":"news","type":"news.told","payload":{"n":1.0}}]"#),
    ] {
        let answer = host.post(path, body);
        assert!(answer.status < 300, "{path}: {}", answer.text());
    }
    // The email's result is a commit of its own, a moment later.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while !host.get("/events/stream?type=Effect.Succeeded").text().contains("Succeeded") {
        assert!(std::time::Instant::now() < until, "the email is settled");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    host
}
