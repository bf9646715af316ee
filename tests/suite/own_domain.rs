//! A domain of a user's own (`tests/example-domain`), as its own module on both hosts, and the
//! document that leads there.
//!
//! Owns what the example must answer. Its rules are tested in its own crate.

use std::fs;
use std::path::{Path, PathBuf};

use foldlog_tests::hosts::{Kind, Setup, foldlog};
use foldlog_tests::scratch::{built, root};

fn module() -> PathBuf {
    built(root().join("build/lending/guest.wasm"), "test")
}

/// Method, target and body; status; what the answer says.
const STORY: [(&str, &str, u16, &str); 14] = [
    ("/commands/add-book", r#"{"bookId":"emma","title":"Emma"}"#, 201, r#""bookId":"emma""#),
    ("/commands/add-book", r#"{"bookId":"emma","title":"Emma"}"#, 409, "already-exists"),
    ("/commands/lend-book", r#"{"bookId":"emma"}"#, 400, r#""field":"member""#),
    ("/commands/lend-book", r#"{"bookId":"emma","member":"ann"}"#, 200, r#""version":2"#),
    ("/commands/lend-book", r#"{"bookId":"emma","member":"bob"}"#, 409, "ann has book emma"),
    ("/queries/book/emma", "", 200, r#""title":"Emma","lentTo":"ann"}"#),
    (
        "/projections/Loans",
        "",
        200,
        r#"{"loans":{"emma":{"member":"ann","due":"2026-01-29T00:00:02.000Z"}}}"#,
    ),
    ("/events/book/emma", "", 200, r#""eventType":"BookLent""#),
    ("/openapi.json", "", 200, r#""/commands/lend-book""#),
    // The timer of the process manager, four weeks later; returned books have none.
    ("/test/wake", r#"{"advanceMs":2419200000}"#, 200, ""),
    ("/queries/book/emma", "", 200, r#""lentTo":"ann","overdue":true}"#),
    ("/commands/return-book", r#"{"bookId":"emma"}"#, 200, r#""version":4"#),
    ("/queries/book/emma", "", 200, r#""title":"Emma"}"#),
    // The bank is not part of this module.
    ("/commands/open-account", r#"{"accountId":"a"}"#, 404, "no-such-route"),
];

/// Tells the story to a host; answers as text, the document of the contract and the export last.
fn told(kind: Kind) -> (Vec<String>, String) {
    let mut setup = Setup::stamped(kind);
    setup.guest = Some(module());
    let mut host = setup.start();
    let mut answers = Vec::new();
    for (target, body, status, says) in STORY {
        let answer = if body.is_empty() { host.get(target) } else { host.post(target, body) };
        assert_eq!(answer.status, status, "{kind:?} {target}: {}", answer.text());
        assert!(answer.text().contains(says), "{kind:?} {target}: {}", answer.text());
        answers.push(answer.text().to_string());
    }
    let export = host.get("/log/export").text().to_string();
    host.stop();
    let source = host.sqlite().display().to_string();
    let guest = module().display().to_string();
    for verb in ["replay", "verify"] {
        let ended = foldlog(&[verb, &source, "--guest", &guest]);
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{kind:?} {verb}: {errors}");
    }
    (answers, export)
}

#[test]
fn a_domain_of_ones_own_answers_alike_on_both_hosts() {
    let (native, exported) = told(Kind::Native);
    let (worker, pulled) = told(Kind::Worker);
    assert_eq!(native, worker);
    assert_eq!(exported, pulled, "the logs");
    assert!(exported.lines().count() == 5, "{exported}");
}

/// Fenced blocks of a text in this language.
fn blocks(text: &str, language: &str) -> Vec<String> {
    let fence = format!("```{language}\n");
    let parts = text.split(fence.as_str()).skip(1);
    parts.filter_map(|part| part.split("```").next()).map(String::from).collect()
}

#[test]
fn the_document_shows_the_code_that_is_tested() {
    let crate_dir = root().join("tests/example-domain");
    let read = |path: &Path| fs::read_to_string(path).unwrap_or_else(|e| panic!("{path:?}: {e}"));
    let text = read(&root().join("docs/your-domain.md"));
    let sources = |crate_dir: &Path| -> String {
        ["src/lib.rs", "src/book.rs", "src/loans.rs", "src/reminders.rs"]
            .map(|name| read(&crate_dir.join(name)))
            .join("\n")
    };
    let (start, change) = text.split_once("\n## Change it\n").expect("a section on changes");
    let next = root().join("tests/example-domain-next");
    for (text, crate_dir, least) in [(start, &crate_dir, 7), (change, &next, 4)] {
        let (sources, rust) = (sources(crate_dir), blocks(text, "rust"));
        assert!(rust.len() >= least, "{} blocks of Rust", rust.len());
        for block in rust {
            assert!(sources.contains(block.trim_end()), "not in the crate:\n{block}");
        }
    }
    let manifest = read(&crate_dir.join("Cargo.toml")).replace("../../", "../foldlog/");
    let manifests = blocks(&text, "toml");
    let line = manifests.first().map(|block| block.trim_end()).unwrap_or_default();
    assert!(manifest.contains(line) && line.contains("foldlog-guest"), "not its manifest:\n{line}");
}
