//! Sources: one log, wherever it lies, is read alike, and reading it changes nothing.
//!
//! Symptom to look for: a verb that takes one form and not another, or leaves a file beside its
//! source. Owns the forms, and what is told of broken ones.

use std::collections::BTreeMap;
use std::fs;
use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Stdio;

use foldlog_core::chain::sha256;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog, native_command};
use foldlog_tests::scratch::Scratch;

/// Exit code and all that was printed.
pub fn run(arguments: &[&str]) -> (Option<i32>, String) {
    let output = foldlog(arguments);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

fn piped(arguments: &[&str], input: &[u8]) -> (Option<i32>, String) {
    let mut command = native_command();
    command.args(arguments).stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = command.spawn().expect("foldlog starts");
    // Who finds something wrong reads no further.
    let _ = child.stdin.take().expect("a pipe").write_all(input);
    let output = child.wait_with_output().expect("foldlog ends");
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

pub fn text(path: &Path) -> &str {
    path.to_str().expect("UTF-8")
}

/// All files below a directory, and digests of what they hold.
pub fn contents(directory: &Path) -> BTreeMap<String, [u8; 32]> {
    let mut found = BTreeMap::new();
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            found.extend(contents(&path));
        } else {
            let bytes = fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
            found.insert(path.display().to_string(), sha256(&[&bytes]));
        }
    }
    found
}

/// Takes the right to write away from all directories and files, or gives it back.
fn writable(directory: &Path, yes: bool) {
    for entry in fs::read_dir(directory).expect("a directory").flatten() {
        let path = entry.path();
        if path.is_dir() {
            writable(&path, yes);
        }
        let mode = match (path.is_dir(), yes) {
            (true, true) => 0o755,
            (true, false) => 0o555,
            (false, true) => 0o644,
            (false, false) => 0o444,
        };
        fs::set_permissions(&path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
}

/// A host with something in two partitions.
fn filled(kind: Kind) -> Host {
    let mut host = Setup::new(kind).start();
    for partition in ["", "/p/other"] {
        let open = format!("{partition}/commands/open-account");
        assert_eq!(host.post(&open, r#"{"accountId":"a"}"#).status, 201);
        for _ in 0..30 {
            let deposit = format!("{partition}/commands/deposit");
            assert_eq!(host.post(&deposit, r#"{"accountId":"a","amount":7}"#).status, 200);
        }
    }
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    host
}

/// What `replay` tells of a log, without how long it took.
pub fn replayed(arguments: &[&str]) -> (String, String) {
    let (code, said) = run(&[&["replay"], arguments, &["--json"]].concat());
    assert_eq!(code, Some(0), "{arguments:?}: {said}");
    of(&said)
}

fn of(said: &str) -> (String, String) {
    let told: serde_json::Value = serde_json::from_str(said).expect("JSON");
    (told["hash"].to_string(), told["rowsDigest"].to_string())
}

#[test]
fn one_log_is_read_alike_wherever_it_lies() {
    for kind in Kind::PROCESSES {
        let mut host = filled(kind);
        let here = Scratch::new("sources");
        let data = host.data();
        let of_partition = |partition| match kind {
            Kind::Worker => vec!["--wrangler", text(&data), "--partition", partition],
            _ => vec![text(&data), "--partition", partition],
        };
        for (partition, target) in [("main", "/log/export"), ("other", "/p/other/log/export")] {
            let ndjson = here.path().join(format!("{partition}.ndjson"));
            fs::write(&ndjson, host.get(target).body).expect("written");
            let expected = replayed(&[text(&ndjson)]);
            let head = host.get(&target.replace("export", "head")).json();
            assert_eq!(expected.0, head["hash"].to_string(), "{kind:?} {partition}");
            // While the host runs, and with nothing of it but a directory.
            assert_eq!(replayed(&of_partition(partition)), expected, "{kind:?} {partition}");
            let (code, said) = piped(&["replay", "-", "--json"], &fs::read(&ndjson).expect("read"));
            assert_eq!((code, of(&said)), (Some(0), expected), "{kind:?} {partition}");
            let (code, said) = piped(&["redecide", "-"], &fs::read(&ndjson).expect("read"));
            assert_eq!(code, Some(0), "{kind:?} {partition}: {said}");
            let (code, said) = run(&[&["redecide"], &of_partition(partition)[..]].concat());
            assert_eq!(code, Some(0), "{kind:?} {partition}: {said}");
        }
        let (code, said) = run(&[&["verify"], &of_partition("third")[..]].concat());
        assert!(code == Some(2) && said.contains("main, other"), "{kind:?}: {said}");
    }
}

#[test]
fn a_source_is_never_written_to() {
    for (kind, killed) in [(Kind::Native, false), (Kind::Native, true), (Kind::Worker, true)] {
        let mut host = filled(kind);
        let here = Scratch::new("read-only");
        let export = host.get("/log/export").body;
        if killed {
            host.kill_9();
        } else {
            host.stop();
        }
        fs::write(host.data().join("export.ndjson"), export).expect("written");
        let data = host.data();
        let ndjson = data.join("export.ndjson");
        writable(&data, false);
        let before = contents(&data);
        for source in [vec![text(&data)], vec![text(&ndjson)]] {
            let at = vec!["at", "--position", "5"];
            for verb in [vec!["verify"], vec!["replay"], at, vec!["redecide"], vec!["stats"]] {
                let (code, said) = run(&[&verb[..], &source[..]].concat());
                assert_eq!(code, Some(0), "{kind:?}, {verb:?} {source:?}: {said}");
            }
        }
        assert_eq!(contents(&data), before, "{kind:?}, killed: {killed}");
        writable(&data, true);
        drop(here);
    }
}

#[test]
fn broken_lines_are_told_by_file_line_and_position() {
    let mut host = filled(Kind::Native);
    let here = Scratch::new("broken");
    let good = host.get("/log/export").text();
    let lines: Vec<&str> = good.lines().collect();
    let changed = |index: usize, with: &str| {
        let mut lines = lines.clone();
        lines[index] = with;
        lines.join("\n") + "\n"
    };
    let long = format!("{{\"position\":7,{}", " ".repeat(1_800_000));
    let path = here.path().join("log.ndjson");
    for (ndjson, position, expected) in [
        (changed(7, lines[8]), 7, "line 8: it must state position 7"),
        (changed(7, "nonsense"), 7, "line 8: it is no commit"),
        (changed(7, &lines[7].replace("\"amount\":7", "\"amount\":8")), 7, "line 8: its hash"),
        (changed(7, &long), 7, "line 8: it has more than 1800000 bytes"),
        (changed(0, "{}"), 0, "line 1: the log has format 0"),
        (good[..good.len() - 1].into(), 32, "line 33: it ends without a line feed"),
    ] {
        fs::write(&path, ndjson).expect("written");
        let (code, said) = run(&["verify", text(&path)]);
        assert_eq!(code, Some(1), "{said}");
        let expected = format!("position {position}: {expected}");
        assert!(said.contains(&expected), "{expected}: {said}");
        assert!(!said.contains("there is no genesis"), "{said}");
    }
    // Whole, and yet not all of it.
    let head = host.get("/log/head").json();
    let head = format!("{}:{}", head["position"], head["hash"].as_str().expect("a hash"));
    for (lines, told) in [(32, "1 events before"), (0, "32 events before")] {
        let short: String = good.lines().take(lines).map(|line| format!("{line}\n")).collect();
        fs::write(&path, short).expect("written");
        for chain in [&[][..], &["--chain"]] {
            let (code, said) =
                run(&[&["verify", text(&path), "--expect-head", &head], chain].concat());
            assert!(code == Some(1) && said.contains(told), "{lines} lines, {chain:?}: {said}");
        }
    }
    let (code, said) = run(&["replay", text(&here.path().join("none.ndjson"))]);
    assert!(code == Some(2) && said.contains("there is no such file"), "{said}");
    fs::write(&path, "SQLite format 4").expect("written");
    assert_eq!(run(&["verify", text(&path)]).0, Some(1), "by its name it is NDJSON");
}
