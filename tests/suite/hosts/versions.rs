//! Another guest over the same data, then the first one again, then the other: each serves rows of
//! its own making only, reads what it can, and names what it can not. The same on both hosts.
//!
//! Owns the story of two editions of the lending library. Their rules are tested in their crates.

use std::path::PathBuf;

use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};
use foldlog_tests::scratch::{built, root};

/// A request and its answer: target, body (empty for a read), status, what the answer says.
type Step = (&'static str, &'static str, u16, &'static str);

/// The first edition. The snapshot stores a checkpoint; what comes after is folded at opening.
const FIRST: &[Step] = &[
    ("/commands/add-book", r#"{"bookId":"emma","title":"Emma"}"#, 201, ""),
    ("/commands/add-book", r#"{"bookId":"ulysses","title":"Ulysses"}"#, 201, ""),
    ("/commands/add-book", r#"{"bookId":"dune","title":"Dune"}"#, 201, ""),
    ("/commands/lend-book", r#"{"bookId":"emma","member":"ann"}"#, 200, ""),
    ("/commands/lend-book", r#"{"bookId":"ulysses","member":"bob"}"#, 200, ""),
    ("/snapshots/book/emma", "{}", 201, r#""schemaVersion":"1.0.0""#),
    ("/commands/add-book", r#"{"bookId":"late","title":"Late"}"#, 201, ""),
    ("/projections/Loans", "", 200, r#""ulysses":{"member":"bob","due""#),
];

/// The second one, over what the first one left.
const SECOND: &[Step] = &[
    ("/queries/book/emma", "", 200, r#""lentTo":"ann","branch":"main","fees":0}"#),
    ("/projections/Loans", "", 503, "projection Loans is being built"),
    ("/snapshots/book/emma", "", 503, "Book is being built"),
    ("/stats", "", 503, "Book is being built"),
    // Clients send commands of the current version.
    ("/commands/lend-book", r#"{"bookId":"dune","member":"cy"}"#, 400, r#""field":"branch""#),
    ("/commands/lend-book", r#"{"bookId":"dune","member":"cy","branch":"n"}"#, 200, ""),
    ("/commands/renew-book", r#"{"bookId":"ulysses"}"#, 200, r#""version":3"#),
    ("/queries/book/dune", "", 200, r#""lentTo":"cy","branch":"n""#),
    ("/queries/book/dune?atVersion=1", "", 200, r#""title":"Dune","fees":0}"#),
    ("/test/wake", r#"{"advanceMs":0}"#, 200, ""),
    ("/projections/Loans", "", 200, r#""emma":{"member":"ann","branch":"main","due""#),
    ("/stats", "", 200, r#""totalEvents":8"#),
    // Four weeks later: the timer that the first edition set, and one of the second's own.
    ("/test/wake", r#"{"advanceMs":2419200000}"#, 200, ""),
    ("/queries/book/emma", "", 200, r#""overdue":true,"fees":0}"#),
    ("/queries/book/dune", "", 200, r#""overdue":true,"fees":50}"#),
    ("/events/book/dune", "", 200, r#""schemaVersion":"2.0.0""#),
];

/// The first one again: what the second made is kept, and named where it matters.
const BACK: &[Step] = &[
    ("/projections/Loans", "", 503, "projection Loans is being built"),
    ("/queries/book/dune", "", 409, r#""eventType":"BookLent","schemaVersion":"2.0.0""#),
    ("/queries/book/ulysses", "", 409, "event evt-008 (BookRenewed 1.0.0) is of a type"),
    ("/commands/return-book", r#"{"bookId":"dune"}"#, 409, "urn:foldlog:schema-conflict"),
    ("/snapshots/book/dune", "{}", 409, "schema-conflict"),
    ("/queries/book/emma?atVersion=2", "", 200, r#""title":"Emma","lentTo":"ann"}"#),
    ("/queries/book/emma?atVersion=3", "", 409, "event evt-009 (BookOverdue 2.0.0) is of a newer"),
    ("/commands/lend-book", r#"{"bookId":"late","member":"eve"}"#, 200, ""),
    ("/test/wake", r#"{"advanceMs":0}"#, 200, ""),
    ("/projections/Loans", "", 200, r#"{"loans":{"emma":{"member":"ann","due""#),
    ("/queries/book/dune", "", 409, "schema-conflict"),
    ("/queries/book/late", "", 200, r#""lentTo":"eve"}"#),
    ("/commands/return-book", r#"{"bookId":"ulysses"}"#, 409, "schema-conflict"),
    ("/events/book/dune", "", 200, r#""data":{"fee":50}"#),
    ("/stats/Book/dune", "", 200, r#""eventCount":3"#),
    ("/stats", "", 200, r#""BookRenewed":1"#),
    ("/health", "", 200, "healthy"),
];

/// And the second one again.
const AGAIN: &[Step] = &[
    ("/queries/book/late", "", 200, r#""lentTo":"eve","branch":"main""#),
    ("/queries/book/dune", "", 200, r#""overdue":true,"fees":50}"#),
    ("/projections/Loans", "", 503, "being built"),
    ("/commands/return-book", r#"{"bookId":"dune"}"#, 200, ""),
    ("/test/wake", r#"{"advanceMs":0}"#, 200, ""),
    ("/projections/Loans", "", 200, r#""late":{"member":"eve","branch":"main""#),
    ("/stats", "", 200, r#""totalEvents":12"#),
];

fn edition(name: &str) -> PathBuf {
    built(root().join("build").join(name).join("guest.wasm"), "test")
}

/// Takes the steps; answers as text, the export last.
fn taken(host: &mut Host, steps: &[Step], context: &str) -> (Vec<String>, String) {
    let mut answers = Vec::new();
    for (target, body, status, says) in steps {
        let answer = if body.is_empty() { host.get(target) } else { host.post(target, body) };
        let text = answer.text();
        assert_eq!(answer.status, *status, "{context}: {target}: {text}");
        assert!(text.contains(says), "{context}: {target}: {text}\nand not {says}");
        // What the process counts is its own.
        if !target.starts_with("/stats") && *target != "/health" {
            answers.push(text);
        }
    }
    (answers, host.get("/log/export").text())
}

/// The whole story on one host.
fn told(kind: Kind) -> Vec<(Vec<String>, String)> {
    let (first, second) = (edition("lending"), edition("lending-next"));
    let mut setup = Setup::stamped(kind);
    setup.guest = Some(first.clone());
    let mut host = setup.start();
    let mut parts: Vec<(Vec<String>, String)> = Vec::new();
    let story = [(&first, FIRST), (&second, SECOND), (&first, BACK), (&second, AGAIN)];
    for (number, (guest, steps)) in story.into_iter().enumerate() {
        let context = format!("{kind:?}, part {number}");
        host.restart_with(guest.clone());
        let part = taken(&mut host, steps, &context);
        if let Some((_, before)) = parts.last() {
            assert!(part.1.starts_with(before), "{context}: the log was rewritten:\n{}", part.1);
        }
        parts.push(part);
        host.stop();
        let (source, guest) = (host.sqlite().display().to_string(), guest.display().to_string());
        for verb in ["replay", "verify"] {
            let ended = foldlog(&[verb, &source, "--guest", &guest]);
            let said = [ended.stdout, ended.stderr].concat();
            let said = String::from_utf8_lossy(&said);
            assert!(ended.status.success(), "{context}: {verb}: {said}");
        }
    }
    parts
}

#[test]
fn a_guest_is_changed_on_a_live_partition_and_back() {
    let (native, worker) = (told(Kind::Native), told(Kind::Worker));
    for (part, (native, worker)) in native.iter().zip(&worker).enumerate() {
        assert_eq!(native, worker, "part {part}");
    }
    // What each edition recorded, in the last export.
    let export = native.last().map(|(_, export)| export.clone()).unwrap_or_default();
    for recorded in [
        r#""command":"MarkOverdue","data":{}},"dueAt""#,
        r#""command":"MarkOverdue","version":2,"data":{"fee":50}},"dueAt""#,
        r#""command":{"name":"LendBook","version":2,"data""#,
        r#""type":"BookLent","schemaVersion":"2.0.0","stream":"Book:dune""#,
        r#""type":"BookOverdue","schemaVersion":"2.0.0","stream":"Book:emma","version":3,"data":{"fee":0}"#,
        r#""command":{"name":"LendBook","data":{"bookId":"late","member":"eve"}}"#,
    ] {
        assert!(export.contains(recorded), "{recorded} is not in\n{export}");
    }
}
