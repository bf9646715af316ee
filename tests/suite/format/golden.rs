//! Golden logs: made once by the release that wrote a format version, and never edited.
//!
//! `UPDATE_GOLDEN=1` writes what is missing and refuses to write over what is there. A view whose
//! bytes differ needs a raised revision, and then a line of its own beside the old one.

use std::collections::BTreeMap;
use std::path::PathBuf;

use foldlog_core::chain::{self, sha256};
use foldlog_core::commit::{Cause, Command, Commit, Event};
use foldlog_core::driver::MemoryStore;
use foldlog_core::registry::Registry;

use super::{export, python, store_of, tests_path};
use crate::engine::kit::{
    self, Clock, NEW_YEAR_MS, Setup, close, deposit, done, get, keyed, open_account, request, with,
    withdraw,
};

fn golden(name: &str) -> PathBuf {
    tests_path("golden/v1").join(name)
}

/// A golden file's text, made by `make` when it is not there yet and that was asked for.
pub(super) fn text(name: &str, make: impl FnOnce() -> String) -> String {
    let path = golden(name);
    if let Ok(text) = std::fs::read_to_string(&path) {
        return text;
    }
    let asked = std::env::var_os("UPDATE_GOLDEN").is_some();
    assert!(asked, "{} is missing; UPDATE_GOLDEN=1 makes it, once per version", path.display());
    let text = make();
    let folder = path.parent().expect("a golden file lies in a folder");
    std::fs::create_dir_all(folder).expect("the folder is made");
    std::fs::write(&path, &text).expect("the file is written");
    text
}

/// Answers are those of a golden file.
pub(super) fn same_answers(file: &str, answers: &str) {
    let expected = text(file, || answers.to_string());
    for (expected, found) in expected.lines().zip(answers.lines()) {
        assert_eq!(found, expected, "an answer over the golden log changed");
    }
    assert_eq!(answers.lines().count(), expected.lines().count());
}

/// What the bank and its driver write: every member they know.
fn written_by_the_driver() -> Vec<String> {
    let clock = Clock::at(NEW_YEAR_MS);
    let at = |seconds: u64| clock.now.set(NEW_YEAR_MS + seconds * 1_000);
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("acc-1", 1_000));
    at(5);
    bank.run(vec![deposit("acc-1", 500), open_account("acc:2.b_C", 0), withdraw("acc-1", 200)]);
    // The clock goes back: recorded time does not.
    at(2);
    done(&mut bank, keyed(deposit("acc-1", 7), "key \\\"1\\\""));
    at(9);
    let full = [
        ("x-actor", "jo \"the\" actor\\"),
        ("x-correlation-id", "flow-1"),
        ("x-causation-id", "evt-001"),
        ("traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"),
        ("foldlog-meta-b", "second"),
        ("foldlog-meta-a", "first \"quoted\""),
        ("idempotency-key", "key-2"),
    ];
    let spaced = "{ \"accountId\" : \"acc-1\" ,\t\"amount\":9007199254739000 }";
    done(&mut bank, request("POST", "/commands/deposit", spaced, &full));
    done(&mut bank, close("acc:2.b_C"));
    let store = bank.store().clone();
    // Another setting: payloads are not recorded, keys live shorter.
    let setup = Setup { record_commands: false, idempotency_days: 1, ..setup };
    let mut bank = setup.open_at(store, clock.clone());
    at(60);
    done(&mut bank, keyed(withdraw("acc-1", 1), "key-3"));
    at(60 + 2 * 86_400);
    done(&mut bank, with(open_account("acc-3", 3), "x-correlation-id", "flow-1"));
    (0..300).for_each(|n| drop(done(&mut bank, deposit("acc-3", n + 1))));
    done(&mut bank, keyed(deposit("acc-3", 1), "key-4"));
    kit::lines(bank.store())
}

fn event<'a>(event_type: &'a str, stream: &'a str, version: u64, data: &'a str) -> Event<'a> {
    let (event_type, stream) = (event_type.into(), stream.into());
    Event { event_type, stream, version, data, ..Event::default() }
}

/// What later releases write, and version 1 reads already.
fn written_later(position: u64) -> Vec<String> {
    // A second later than the last command: its key is still kept.
    let time = "2026-01-03T00:01:01.000Z";
    let odd = r#"{"n":[1.0,1e0,-0,1.50],"t":"\u0041\/","deep":{"a":{"b":[null,true]}}}"#;
    let first = Commit {
        position,
        time: time.into(),
        entropy: Some("000102030405060708090a0b0c0d0e0f".into()),
        guest: Some("ab".repeat(32).into()),
        command: Some(Command { name: "Publish".into(), version: 2, ..Command::default() }),
        events: vec![
            Event {
                id: Some("order-1".into()),
                schema_version: Some("2.0.0".into()),
                ..event("Order.Placed", "Topic:order", 1, odd)
            },
            event("Order.Placed", "Topic:order", 2, "[]"),
            event("SomethingNew", "Unknown:x:y", 1, "null"),
        ],
        reactions: Some(
            r#"[{"manager":"Tracker","n":0,"depth":1,"kind":"command","payload":{"name":"Settle"},"dueAt":"2026-01-03T00:01:01.000Z"},{"manager":"Tracker","n":1,"depth":1,"kind":"timer","payload":{},"dueAt":"2026-03-01T00:00:00.000Z"}]"#,
        ),
        ..Commit::default()
    };
    let cause = |n| Some(Cause { manager: "Tracker".into(), position, n });
    let refused = Commit {
        position: position + 3,
        time: time.into(),
        cause: cause(0),
        events: vec![event("Command.Refused", "~System:Tracker", 1, r#"{"code":"not-found"}"#)],
        ..Commit::default()
    };
    let fired = Commit {
        position: position + 4,
        time: time.into(),
        cause: cause(1),
        events: vec![event("ProcessManager.Stopped", "~System:Tracker", 2, "{}")],
        reactions: Some("[]"),
        ..Commit::default()
    };
    let adopted = Commit {
        position: position + 5,
        time: time.into(),
        events: vec![event(
            "Partition.Adopted",
            "~System:partition",
            1,
            r#"{"incarnation":"00000000000000000000000000000001"}"#,
        )],
        ..Commit::default()
    };
    let unknown_members = r#","enc":{"k":["v"]},"later":1,"hash""#;
    let mut lines: Vec<String> =
        [first, refused, fired, adopted].iter().map(Commit::line).collect();
    if let Some(last) = lines.last_mut() {
        *last = last.replace(",\"hash\"", unknown_members);
    }
    lines
}

fn make_log() -> String {
    let mut lines = written_by_the_driver();
    let mut hash = lines.last().and_then(|line| chain::stored_hash(line)).expect("a hash");
    let next = lines.last().and_then(|line| chain::position(line)).expect("a position") + 1;
    for line in written_later(next) {
        let (line, sealed) = chain::seal(&hash, &line).expect("a line");
        hash = sealed;
        lines.push(line);
    }
    String::from_utf8(export(&lines)).expect("a log is UTF-8")
}

fn log() -> Vec<String> {
    text("log.ndjson", make_log).lines().map(String::from).collect()
}

/// The golden log, opened and folded as a host does.
fn folded() -> kit::Bank<MemoryStore> {
    let mut bank = Setup::default().open(store_of(&log()));
    bank.open().unwrap_or_else(|e| panic!("the golden log folds: {e}"));
    bank.checkpoint().expect("a checkpoint is stored");
    bank
}

/// `view revision` → number and digest of its rows. The engine's own views share one revision.
pub(super) fn digests(store: &MemoryStore) -> BTreeMap<String, String> {
    let registry = Registry::standard();
    let aggregates =
        registry.aggregates.iter().map(|a| (a.spec().aggregate_type, a.spec().revision));
    let projections = registry.projections.iter().map(|p| (p.spec().name, p.spec().revision));
    let revisions: BTreeMap<&str, u32> = aggregates.chain(projections).collect();
    let own = store.checkpoint.as_ref().and_then(|row| row.first()).copied().unwrap_or_default();
    let mut digests = BTreeMap::new();
    for (view, rows) in store.rows.iter().filter(|(view, _)| !view.name.starts_with('~')) {
        let mut bytes = Vec::new();
        for part in rows.iter().flat_map(|(key, value)| [key, value]) {
            bytes.extend_from_slice(&(part.len() as u32).to_le_bytes());
            bytes.extend_from_slice(part);
        }
        let revision = revisions.get(view.name.as_str()).copied().unwrap_or(own.into());
        let digest = format!("{} {}", rows.len(), chain::hex(&sha256(&[&bytes])));
        digests.insert(format!("{} {revision}", view.name), digest);
    }
    digests
}

#[test]
fn a_golden_log_still_verifies() {
    let lines = log();
    let mut chain = chain::Chain::default();
    lines.iter().for_each(|line| chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let head = kit::check_log(&store_of(&lines));
    let (code, said) = python(Ok(&export(&lines)));
    assert_eq!(
        (code, said),
        (Some(0), format!("position {head} hash {}", chain::hex(&chain.hash)))
    );
}

#[test]
fn a_golden_log_reads_and_writes_the_same_bytes() {
    for line in log().iter().skip(1).filter(|line| !line.contains("\"later\":1")) {
        let commit = Commit::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let (written, _) = line.rsplit_once(",\"hash\"").expect("a hash");
        assert_eq!(commit.line().rsplit_once(",\"hash\"").expect("a hash").0, written);
    }
}

#[test]
fn a_golden_log_folds_to_the_same_rows() {
    let found = digests(folded().store());
    let shown = |digests: &BTreeMap<String, String>| -> String {
        digests.iter().map(|(view, digest)| format!("{view} {digest}\n")).collect()
    };
    let expected = text("rows.txt", || shown(&found));
    for line in expected.lines() {
        let mut words = line.split(' ');
        let view = format!("{} {}", words.next().unwrap_or(""), words.next().unwrap_or(""));
        let digest = line.strip_prefix(&format!("{view} ")).expect("view, revision, digest");
        // A view of a raised revision has a line of its own; its old one is history.
        if let Some(found) = found.get(&view) {
            assert_eq!(found, digest, "rows of {view} changed: raise its revision");
        }
    }
    for view in found.keys() {
        let there = expected.lines().any(|line| line.starts_with(&format!("{view} ")));
        assert!(there, "add the new view or revision to rows.txt: {view} {}", found[view]);
    }
}

#[test]
fn a_golden_log_gives_the_same_answers() {
    let mut bank = folded();
    let mut answers = String::new();
    for target in [
        "/queries/account/acc-1",
        "/queries/account/acc:2.b_C",
        "/events/account/acc-1",
        "/events/stream?category=Topic",
        "/events/stream?category=~System&order=desc",
        "/events/stream?correlationId=flow-1",
        "/events/stream?from=2026-01-01T00:00:05Z&to=2026-01-01T00:00:09Z",
        "/events/id/evt-006",
        "/projections/AccountBalances",
        "/projections/DailySummary",
        "/projections/TransactionHistory?limit=4",
    ] {
        let (status, body) = kit::run(&mut bank, get(target));
        answers.push_str(&format!("GET {target}\n{status} {body}\n"));
    }
    // A key's answer is rendered from the stored commit, the same for ever. This one is the last.
    let replayed = {
        let lines = log();
        let line = lines.iter().find(|line| line.contains("\"key\":\"key-3\"")).expect("key-3");
        let commit = Commit::parse(line).expect("reads");
        format!("{:?}", foldlog_core::engine::answered(&commit).expect("is answered"))
    };
    answers.push_str(&format!("answered {replayed}\n"));
    same_answers("answers.txt", &answers);
}
