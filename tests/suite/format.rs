//! The stored format: what `docs/format.md` promises, held against golden logs and damaged ones.
//!
//! Reading order: `golden` (logs of every version still verify, fold and answer the same),
//! `changed` (so do those that several modules wrote), `domain` (what holds of the log of one
//! domain), `issues` and `topics` (such logs),
//! `redecide` (their decisions come out the same),
//! `damage` (any changed byte is found, and the first bad position named right).

mod changed;
mod damage;
mod domain;
mod golden;
mod issues;
mod redecide;
mod topics;

use std::io::Write as _;
use std::path::PathBuf;
use std::process::{Command, Stdio};

use foldlog_core::chain;
use foldlog_core::driver::MemoryStore;

use crate::engine::kit;

/// A path in this repository's `tests` folder.
fn tests_path(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name)
}

/// A log as an export gives it.
fn export(lines: &[String]) -> Vec<u8> {
    lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect()
}

/// A store that holds these lines.
pub fn store_of(lines: &[String]) -> MemoryStore {
    let mut store = MemoryStore::default();
    let sized = lines.iter().map(|line| {
        let first = chain::position(line).unwrap_or_default();
        (first, first + kit::events_of(line).saturating_sub(1), line.clone())
    });
    let sized: Vec<_> = sized.collect();
    let (genesis, commits) = sized.split_at(1);
    for block in chain::pack(genesis.to_vec()).into_iter().chain(chain::pack(commits.to_vec())) {
        store.log.insert(block.first, block);
    }
    store
}

/// What `tests/check_chain.py` says of a file or of its standard input.
fn python(input: Result<&[u8], &std::path::Path>) -> (Option<i32>, String) {
    let mut command = Command::new("python3");
    command.arg(tests_path("check_chain.py")).stdout(Stdio::piped()).stderr(Stdio::piped());
    if let Err(path) = input {
        command.arg(path);
    }
    let mut child =
        command.stdin(Stdio::piped()).spawn().unwrap_or_else(|e| panic!("python3 starts: {e}"));
    if let (Ok(bytes), Some(mut stdin)) = (input, child.stdin.take()) {
        // It may stop reading at the first bad line.
        let _ = stdin.write_all(bytes);
    }
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("python3 ends: {e}"));
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(errors, "", "check_chain.py ends without a trace");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).trim().to_string())
}

#[test]
fn the_checker_is_short_and_needs_nothing() {
    let text = std::fs::read_to_string(tests_path("check_chain.py")).expect("the checker is there");
    assert!(text.lines().count() <= 40, "{} lines", text.lines().count());
    let allowed = ["hashlib", "json", "re", "sqlite3", "sys"];
    for line in text.lines().filter(|line| line.starts_with("import ") || line.starts_with("from "))
    {
        let names = line.trim_start_matches("import ").split(", ");
        names.for_each(|name| assert!(allowed.contains(&name), "{line}"));
    }
}

#[test]
fn the_example_in_the_document_is_a_good_log() {
    let text = std::fs::read_to_string(tests_path("../docs/format.md")).expect("docs/format.md");
    let lines: Vec<String> =
        text.lines().filter(|line| line.starts_with("{\"position\":")).map(String::from).collect();
    assert_eq!(lines.len(), 3, "the worked example has three lines");
    let mut chain = chain::Chain::default();
    lines.iter().for_each(|line| chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let (code, said) = python(Ok(&export(&lines)));
    assert_eq!(code, Some(0));
    assert_eq!(said, format!("position 2 hash {}", chain::hex(&chain.hash)));
    // The rest of the example: a fingerprint, and a row with its checksum.
    let request = b"POST /commands/deposit\n{\"accountId\":\"acc-1\", \"amount\":500}";
    assert!(lines[2].contains(&chain::hex(&chain::sha256(&[request]))), "the fingerprint");
    let row = chain::seal_row("BankAccount", 1, b"acc-1", &[2, 0xdc, 0x0b, 1, 1]);
    let (value, sum) = row.split_at(5);
    let shown = format!("`{}` `{}`", chain::hex(value), chain::hex(sum));
    assert!(text.contains(&shown), "{shown}");
}
