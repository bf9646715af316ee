//! `foldlog gate` and `foldlog redecide`: a change that was planted in a guest is named, with its
//! position; what did not change is not.
//!
//! Symptom to look for: a gate that lets a change pass, or that cries at none. Owns the log of a
//! library that two editions wrote, and the guests that differ from the second one by a byte each.

use std::fs;
use std::path::{Path, PathBuf};

use foldlog_core::chain;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};
use foldlog_tests::scratch::{built, root};
use rusqlite::{Connection, params};
use serde_json::Value;

/// Where the switches are, and what each does; see `tests/planted`.
const MARK: &[u8] = b"foldlog-plants:";
const RULE: usize = 0;
const REFUSAL: usize = 1;
const PROJECTION: usize = 2;
const UPCASTER: usize = 3;
const MANAGER: usize = 4;
const TRAP: usize = 5;
const PROJECTION_TRAP: usize = 6;
const LEAVE: usize = 7;

fn guest(name: &str) -> PathBuf {
    built(root().join("build").join(name).join("guest.wasm"), "test")
}

/// The planted guest with these switches on.
fn planted(host: &Host, switches: &[usize]) -> PathBuf {
    let mut bytes = fs::read(guest("planted")).expect("the module is read");
    let found: Vec<usize> = (0..bytes.len()).filter(|at| bytes[*at..].starts_with(MARK)).collect();
    assert_eq!(found.len(), 1, "the switches are in the module once");
    for switch in switches {
        assert_eq!(bytes[found[0] + MARK.len() + switch], b'.', "it is off as it is built");
        bytes[found[0] + MARK.len() + switch] = b'x';
    }
    let name = format!("planted{switches:?}.wasm");
    let path = host.data().parent().expect("its directory").join(name);
    fs::write(&path, bytes).expect("the module is written");
    path
}

/// The first edition's part of the log, and the second one's: what is sent, and the position.
const FIRST: [(&str, &str); 3] = [
    ("add-book", r#"{"bookId":"emma","title":"Emma"}"#),
    ("add-book", r#"{"bookId":"dune","title":"Dune"}"#),
    ("lend-book", r#"{"bookId":"emma","member":"ann"}"#),
];
const LENT_BY_THE_FIRST: u64 = 3;
const SECOND: [(&str, &str); 4] = [
    ("lend-book", r#"{"bookId":"dune","member":"bob","branch":"n"}"#),
    ("renew-book", r#"{"bookId":"dune"}"#),
    ("return-book", r#"{"bookId":"emma"}"#),
    ("add-book", r#"{"bookId":"late","title":"Late"}"#),
];
const LENT: u64 = 4;
const RENEWED: u64 = 5;
const RETURNED: u64 = 6;

/// A library that two editions kept; stopped.
fn library() -> Host {
    let mut setup = Setup::stamped(Kind::Native);
    setup.guest = Some(guest("lending"));
    let mut host = setup.start();
    let send = |host: &mut Host, all: &[(&str, &str)]| {
        for (command, body) in all {
            let answer = host.post(&format!("/commands/{command}"), body);
            assert!(answer.status < 300, "{command} {body}: {}", answer.text());
        }
    };
    send(&mut host, &FIRST);
    host.stop();
    host.restart_with(guest("lending-next"));
    send(&mut host, &SECOND);
    // Seventy days later the loan that was renewed is overdue.
    assert_eq!(host.post("/test/wake", r#"{"advanceMs":6048000000}"#).status, 200);
    host.stop();
    host
}

fn run(arguments: &[&str]) -> (Option<i32>, Value) {
    let output = foldlog(arguments);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let failed = String::from_utf8_lossy(&output.stderr).into_owned();
    let told = serde_json::from_str(&said);
    (output.status.code(), told.unwrap_or_else(|e| panic!("{e}: {arguments:?}: {said}{failed}")))
}

/// What the gate says of this guest beside the second edition: kind, name and first position.
fn gate(file: &Path, new: &Path, more: &[&str]) -> (Option<i32>, Vec<(String, Option<u64>)>) {
    let (file, new) = (file.display().to_string(), new.display().to_string());
    let old = guest("lending-next").display().to_string();
    let own = ["gate", &file, "--guest", &new, "--guest-old", &old, "--json"];
    let (code, told) = run(&own.into_iter().chain(more.iter().copied()).collect::<Vec<_>>());
    let text = |value: &Value| value.as_str().unwrap_or_default().to_string();
    let differences = told["differences"].as_array().expect("a list").iter();
    let named = differences.map(|one| {
        let name = format!("{}:{}", text(&one["kind"]), text(&one["name"]));
        (name, one["examples"][0]["position"].as_u64())
    });
    (code, named.collect())
}

#[test]
fn planted_changes_are_named_with_their_position() {
    let host = library();
    let file = host.sqlite();
    let before = fs::read(&file).expect("the file");
    for (switch, expected) in [
        (RULE, vec![("decision:RenewBook", RENEWED)]),
        (REFUSAL, vec![("refused:LendBook", LENT)]),
        (PROJECTION, vec![("revision:Loans", RETURNED)]),
        (
            UPCASTER,
            vec![
                // The first edition's command too is read as one of another branch.
                ("decision:LendBook", LENT_BY_THE_FIRST),
                ("upcaster:BookLent", LENT_BY_THE_FIRST),
                ("upcaster:LendBook", LENT_BY_THE_FIRST),
            ],
        ),
        (MANAGER, vec![("reactions:Reminders", LENT_BY_THE_FIRST)]),
        (TRAP, vec![("trap:ReturnBook", RETURNED)]),
        (PROJECTION_TRAP, vec![("trap:Loans", RENEWED)]),
    ] {
        let new = planted(&host, &[switch]);
        let expected: Vec<(String, Option<u64>)> =
            expected.into_iter().map(|(name, at)| (name.to_string(), Some(at))).collect();
        assert_eq!(gate(&file, &new, &[]), (Some(1), expected.clone()), "switch {switch}");
        // What is meant is allowed: by kind and name, all of it.
        let allow = expected.iter().flat_map(|(name, _)| ["--allow", name.as_str()]);
        let allow: Vec<&str> = allow.collect();
        assert_eq!(gate(&file, &new, &allow), (Some(0), expected.clone()), "switch {switch}");
        let (kind, _) = expected[0].0.split_once(':').expect("a kind");
        let (code, _) = gate(&file, &new, &["--allow", &format!("{kind}:Other")]);
        assert_eq!(code, Some(1), "switch {switch}: another name is not meant");
    }
    assert_eq!(fs::read(&file).expect("the file"), before, "the source is only read");
    assert_eq!(fs::read_dir(host.data()).expect("its directory").count(), files_of(&host));
}

/// The files that a stopped host leaves: nothing is made beside them.
fn files_of(host: &Host) -> usize {
    let names = fs::read_dir(host.data()).expect("its directory").flatten();
    names.filter(|entry| !entry.file_name().to_string_lossy().ends_with("-journal")).count()
}

#[test]
fn an_unchanged_guest_passes() {
    let host = library();
    let file = host.sqlite();
    // The same module, and another build of the same source.
    for new in [guest("lending-next"), planted(&host, &[])] {
        assert_eq!(gate(&file, &new, &[]), (Some(0), vec![]), "{}", new.display());
    }
    // For people: what differs is shown by its path.
    let (file, new) = (file.display().to_string(), planted(&host, &[RULE, PROJECTION]));
    let (new, old) = (new.display().to_string(), guest("lending-next").display().to_string());
    let output = foldlog(&["gate", &file, "--guest", &new, "--guest-old", &old]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "decision:RenewBook  1",
        "  position 5: RenewBook on Book:dune",
        "+ events[0].data.due \"2099-",
        "revision:Loans  1",
        "+ loans.emma.member \"ann\"",
        "NOT PASSED 2 differences are not allowed",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    let output = foldlog(&["gate", &file, "--guest", &new, "--allow", "nonsense"]);
    assert_eq!(output.status.code(), Some(2), "an unknown kind is refused");
}

/// A library that keeps what it refuses, and a file of what it refused.
fn refusing() -> (Host, PathBuf) {
    let mut setup =
        Setup::stamped(Kind::Native).set("--rejected-bytes-max", "REJECTED_BYTES_MAX", "1MiB");
    setup.guest = Some(guest("lending-next"));
    let mut host = setup.start();
    // There is no log yet, and so nothing to keep it beside.
    assert_eq!(host.post("/commands/renew-book", r#"{"bookId":"emma"}"#).status, 404);
    for (command, body, status) in [
        ("add-book", r#"{"bookId":"emma","title":"Emma"}"#, 201),
        ("renew-book", r#"{"bookId":"emma"}"#, 409),
        ("lend-book", r#"{"bookId":"emma","member":"ann","branch":"n"}"#, 200),
        ("lend-book", r#"{"bookId":"emma","member":"bob","branch":"n"}"#, 409),
        ("return-book", r#"{"bookId":"emma"}"#, 200),
        ("lend-book", r#"{"bookId":"emma","member":"bob","branch":"n"}"#, 200),
        ("lend-book", r#"{"bookId":"none","member":"bob","branch":"n"}"#, 404),
        ("lend-book", r#"{"bookId":"emma","member":"cid","branch":"n"}"#, 409),
    ] {
        let answer = host.post(&format!("/commands/{command}"), body);
        assert_eq!(answer.status, status, "{command} {body}: {}", answer.text());
    }
    let address = format!("http://{}", host.address());
    let output = foldlog(&["rejected", &address, "--json"]);
    let file = host.data().parent().expect("its directory").join("rejected.ndjson");
    fs::write(&file, &output.stdout).expect("it is written");
    host.stop();
    (host, file)
}

#[test]
fn refused_commands_that_would_be_taken_now_are_named() {
    let (host, asked) = refusing();
    let file = host.sqlite();
    // What a running host gave is what the file has.
    let output = foldlog(&["rejected", &file.display().to_string(), "--json"]);
    let kept = String::from_utf8(output.stdout).expect("text");
    assert_eq!(kept, fs::read_to_string(&asked).expect("the file"));
    let entries: Vec<Value> =
        kept.lines().map(|line| serde_json::from_str(line).expect("an entry")).collect();
    let told = entries.iter().map(|one| (one["after"].as_u64(), one["code"].as_str()));
    let expected = [
        (Some(1), Some("illegal-transition")),
        (Some(2), Some("illegal-transition")),
        (Some(4), Some("not-found")),
        (Some(4), Some("illegal-transition")),
    ];
    assert_eq!(told.collect::<Vec<_>>(), expected);
    // Nothing that was refused is decided otherwise by the same module, or a build of the same.
    for same in [guest("lending-next"), planted(&host, &[])] {
        assert_eq!(gate(&file, &same, &[]), (Some(0), vec![]), "{}", same.display());
    }
    let new = planted(&host, &[LEAVE]);
    let name = "allowed:POST /commands/lend-book";
    // Two of them, the first after position 2; the one of a book that is not there stays refused.
    let expected = (Some(1), vec![(name.to_string(), Some(2))]);
    assert_eq!(gate(&file, &new, &[]), expected);
    assert_eq!(gate(&file, &new, &["--allow", name]).0, Some(0), "it is meant");
    // Of a log without a journal, one may be given.
    let bare = asked.with_file_name("bare.ndjson");
    let path = bare.display().to_string();
    let exported = foldlog(&["export", &file.display().to_string(), "-o", &path]);
    assert!(exported.status.success());
    assert_eq!(gate(&bare, &new, &[]), (Some(0), vec![]), "nothing tells of what was refused");
    let rejected = asked.display().to_string();
    assert_eq!(gate(&bare, &new, &["--rejected", &rejected]), expected);
    let output = foldlog(&[
        "gate",
        &path,
        "--guest",
        &new.display().to_string(),
        "--guest-old",
        &guest("lending-next").display().to_string(),
        "--rejected",
        &rejected,
    ]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "allowed:POST /commands/lend-book  2",
        "  position 2: POST /commands/lend-book, refused as entry 2 of the journal",
        "- refused: illegal-transition: ann has book emma",
        "refused   tried once more: 4; after the log's end: 0",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
    // A guest that traps on one is told, and the others are tried all the same.
    let (code, told) = gate(&file, &planted(&host, &[TRAP]), &[]);
    assert_eq!((code, told), (Some(1), vec![("trap:ReturnBook".into(), Some(3))]));
}

#[test]
fn the_log_of_other_settings_passes() {
    let mut setup = Setup::stamped(Kind::Native)
        .set("--idempotency-days", "IDEMPOTENCY_DAYS", 9)
        .set("--snapshot-every", "SNAPSHOT_EVERY", 3);
    setup.guest = Some(built(root().join("build/guest.wasm"), "guest"));
    let mut host = setup.start();
    for id in ["a", "b"] {
        let body = format!(r#"{{"accountId":"{id}","initialBalance":100}}"#);
        assert_eq!(host.post("/commands/open-account", &body).status, 201);
    }
    for n in 0..20 {
        let body = format!(
            r#"{{"transferId":"t-{n}","fromAccountId":"a","toAccountId":"b","amount":{}}}"#,
            n * 3 + 1
        );
        assert_eq!(host.post("/commands/transfer", &body).status, 202);
    }
    host.stop();
    let (file, new) = (host.sqlite(), built(root().join("build/guest.wasm"), "guest"));
    let (file, new) = (file.display().to_string(), new.display().to_string());
    let (code, told) = run(&["gate", &file, "--guest", &new, "--json"]);
    assert_eq!((code, &told["differences"]), (Some(0), &Value::Array(vec![])), "{told}");
    let (code, told) = run(&["redecide", &file, "--json"]);
    assert_eq!((code, &told["divergences"]), (Some(0), &0.into()), "{told}");
    assert_eq!(told["undecidable"], serde_json::json!({}), "{told}");
}

/// A log whose chain holds and that lies: nothing but deciding it again shows that.
#[test]
fn a_log_that_was_rewritten_is_found_at_its_position() {
    let mut host = Setup::stamped(Kind::Native).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    for amount in 1..=9 {
        let body = format!(r#"{{"accountId":"a","amount":{amount}}}"#);
        assert_eq!(host.post("/commands/deposit", &body).status, 200);
    }
    host.stop();
    let file = host.sqlite();
    rewrite(&file, |line| line.replace(r#""data":{"amount":5}}"#, r#""data":{"amount":500}}"#));
    let path = file.display().to_string();
    let verified = foldlog(&["verify", &path, "--json"]);
    let said = String::from_utf8_lossy(&verified.stdout).into_owned();
    assert!(!said.contains(r#""check":"log""#), "its chain holds: {said}");
    let (code, told) = run(&["redecide", &path, "--json"]);
    assert_eq!((code, &told["divergences"]), (Some(1), &1.into()), "{told}");
    let first = &told["first"][0];
    assert_eq!(first["position"], 6, "{told}");
    assert_eq!(first["expected"]["events"][0]["data"]["amount"], 500, "{told}");
    assert_eq!(first["got"]["events"][0]["data"]["amount"], 5, "{told}");
    let output = foldlog(&["redecide", &path]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    for line in [
        "diverges  position 6: Deposit on BankAccount:a",
        "  - events[0].data.amount 500",
        "  + events[0].data.amount 5",
        "NOT CLEAN 1 divergences",
    ] {
        assert!(said.contains(line), "{line} is not in\n{said}");
    }
}

/// Changes lines, and makes the chain anew over them.
fn rewrite(file: &Path, change: impl Fn(&str) -> String) {
    let raw = Connection::open(file).expect("the file opens");
    let mut select = raw.prepare("SELECT first_position, body FROM log ORDER BY 1").expect("log");
    let rows = select.query_map([], |row| Ok((row.get::<_, i64>(0)?, row.get::<_, String>(1)?)));
    let rows: Vec<(i64, String)> = rows.expect("rows").map(|row| row.expect("a block")).collect();
    let mut before = chain::NO_HASH;
    let mut changed = 0;
    for (first, body) in rows {
        let lines = chain::lines(&body).map(|line| {
            let new = change(line);
            changed += usize::from(new != line);
            let end = new.len() - chain::HASH_MEMBER_BYTES;
            before = chain::sha256(&[&before, &new.as_bytes()[..end]]);
            format!("{},\"hash\":\"{}\"}}", &new[..end], chain::hex(&before))
        });
        let body = format!("[{}]", lines.collect::<Vec<_>>().join(",\n"));
        let sql = "UPDATE log SET body = ?1 WHERE first_position = ?2";
        assert_eq!(raw.execute(sql, params![body, first]).expect("it is changed"), 1);
    }
    assert_eq!(changed, 1, "one line lies");
}
