//! The transcripts against all hosts: each answer as recorded, and all hosts alike.
//!
//! `UPDATE_GOLDEN=1` records what the host in process answers; statuses and codes are never
//! recorded, they stand in the transcripts as someone wrote them. Each transcript has a host of
//! its own, with test stamps. Owns running and comparing; what is asked is in `transcripts/`.

use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, OnceLock};

use foldlog_core::chain::Chain;
use foldlog_core::registry::Registry;
use foldlog_tests::client::{Answer, Request};
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};
use foldlog_tests::scratch::{built, root};

use super::masks::{Hashes, comparable};
use super::transcript::{Step, parse, print};

/// One request and its answer.
#[derive(Clone, Debug)]
pub struct Exchange {
    /// `file:request`, for messages.
    pub place: String,
    /// What was asked.
    pub request: Request,
    /// What came back.
    pub answer: Answer,
}

fn directory() -> PathBuf {
    root().join("tests/suite/http/transcripts")
}

/// Name and text of each transcript, by name.
fn files() -> Vec<(String, String)> {
    let files = files_in(&directory());
    assert!(files.len() >= 10, "transcripts are missing: {}", files.len());
    files
}

fn files_in(directory: &Path) -> Vec<(String, String)> {
    let mut files = Vec::new();
    for entry in fs::read_dir(directory).into_iter().flatten().flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let text = fs::read_to_string(entry.path()).unwrap_or_else(|e| panic!("{name}: {e}"));
        files.push((name, text));
    }
    files.sort();
    files
}

/// All exchanges of all transcripts with one kind of host; asked once, however many tests want it.
pub fn exchanges(kind: Kind) -> &'static [Exchange] {
    static RUNS: [OnceLock<Vec<Exchange>>; 3] = [OnceLock::new(), OnceLock::new(), OnceLock::new()];
    static ONE_AT_A_TIME: Mutex<()> = Mutex::new(());
    let run = &RUNS[Kind::ALL.iter().position(|k| *k == kind).unwrap_or(0)];
    run.get_or_init(|| {
        let _guard = ONE_AT_A_TIME.lock();
        let setup = |name: &str| match name.contains("rejected") {
            true => Setup::stamped(kind).set("--rejected-bytes-max", "REJECTED_BYTES_MAX", "1MiB"),
            false => Setup::stamped(kind),
        };
        files().iter().flat_map(|(name, text)| ask(setup(name), name, text)).collect()
    })
}

fn ask(setup: Setup, name: &str, text: &str) -> Vec<Exchange> {
    ask_of(&mut setup.start(), name, text)
}

fn ask_of(host: &mut Host, name: &str, text: &str) -> Vec<Exchange> {
    let mut exchanges = Vec::new();
    for step in parse(name, text).iter().filter(|step| !step.lines.is_empty()) {
        let (first, last) = step.repeat.unwrap_or((0, 0));
        for n in first..=last {
            let request = with_body(host, step, step.request(n));
            let place = format!("{name}: {}", step.lines[0]);
            let answer = host.send(&request);
            exchanges.push(Exchange { place, request, answer });
        }
    }
    exchanges
}

/// A request whose body is what the host answered to another.
fn with_body(host: &mut Host, step: &Step, mut request: Request) -> Request {
    let mut body = Vec::new();
    for (target, first, last) in step.sources() {
        let text = host.get(target).body;
        let lines = text.split_inclusive(|byte| *byte == b'\n');
        body.extend(lines.take(last).skip(first - 1).flatten());
    }
    if step.sources().next().is_some() {
        let own = request.body.strip_prefix(b"\n").map(|own| [own, b"\n"].concat());
        request.body = [body, own.unwrap_or_default()].concat();
    }
    request
}

/// Compares a host's answers with the recordings; returns what differs.
fn differences(kind: Kind) -> Vec<String> {
    compared(&directory(), files(), exchanges(kind), kind == Kind::InProcess)
}

/// The same for the transcripts of a directory; `records` when the answers are the ones to record.
fn compared(
    directory: &Path,
    files: Vec<(String, String)>,
    exchanges: &[Exchange],
    records: bool,
) -> Vec<String> {
    let mut answers = exchanges.iter();
    let mut wrong = Vec::new();
    for (name, text) in files {
        let mut hashes = Hashes::default();
        let mut steps = parse(&name, &text);
        for step in steps.iter_mut().filter(|step| !step.lines.is_empty()) {
            check(step, &mut answers, &mut hashes, &mut wrong);
        }
        if records && std::env::var_os("UPDATE_GOLDEN").is_some() {
            let path = directory.join(&name);
            fs::write(&path, print(&steps)).unwrap_or_else(|e| panic!("{name}: {e}"));
        }
    }
    wrong
}

fn check<'a>(
    step: &mut Step,
    answers: &mut impl Iterator<Item = &'a Exchange>,
    hashes: &mut Hashes,
    wrong: &mut Vec<String>,
) {
    let (first, last) = step.repeat.unwrap_or((0, 0));
    for n in first..=last {
        let Some(Exchange { place, answer, .. }) = answers.next() else {
            return wrong.push(format!("no answer to {:?}", step.lines));
        };
        let found = (answer.status, answer.code());
        if found != step.status {
            wrong.push(format!(
                "{place} ({n})\n  expected {:?}\n  found {found:?} {}",
                step.status,
                answer.text()
            ));
        }
        let lines = hashes.recording(&comparable(answer));
        if step.repeat.is_none() && step.recorded != lines {
            if std::env::var_os("UPDATE_GOLDEN").is_none() {
                wrong.push(format!("{place}\n{}", changes(&step.recorded, &lines)));
            }
            step.recorded = lines;
        }
    }
}

/// The lines that only one side has.
fn changes(recorded: &[String], found: &[String]) -> String {
    let only = |mark: &str, these: &[String], others: &[String]| -> String {
        let lines = these.iter().filter(|line| !others.contains(line));
        lines.map(|line| format!("  {mark} {}\n", line.get(..600).unwrap_or(line))).collect()
    };
    only("recorded", recorded, found) + &only("found", found, recorded)
}

fn as_recorded(kind: Kind) {
    let wrong = differences(kind);
    assert!(wrong.is_empty(), "{kind:?}: {} answers differ\n{}", wrong.len(), wrong.join("\n"));
}

#[test]
fn in_process_answers_as_recorded() {
    as_recorded(Kind::InProcess);
}

#[test]
fn native_answers_as_recorded() {
    as_recorded(Kind::Native);
}

#[test]
fn worker_answers_as_recorded() {
    as_recorded(Kind::Worker);
}

/// What a module without faults does not show: a process that is stopped, a view that is not live.
#[test]
fn a_module_with_faults_answers_as_recorded() {
    let directory = root().join("tests/suite/http/transcripts-faults");
    let files = files_in(&directory);
    assert!(!files.is_empty(), "transcripts are missing");
    for kind in Kind::PROCESSES {
        let guest = built(root().join("build/guest-faults.wasm"), "test");
        let setup = Setup { guest: Some(guest), ..Setup::stamped(kind) };
        let asked = files.iter().flat_map(|(name, text)| ask(setup.clone(), name, text));
        let exchanges: Vec<Exchange> = asked.collect();
        let wrong = compared(&directory, files.clone(), &exchanges, kind == Kind::Native);
        assert!(wrong.is_empty(), "{kind:?}: {} differ\n{}", wrong.len(), wrong.join("\n"));
    }
}

/// What all of this records is decided again, by the binary that is shipped: nothing comes out
/// otherwise, and nothing is left undecided, but for who comes and goes as a consumer.
#[test]
fn what_the_native_host_recorded_is_decided_again() {
    let mut commits = 0;
    for (name, text) in files() {
        let mut host = Setup::stamped(Kind::Native).start();
        ask_of(&mut host, &name, &text);
        host.stop();
        for entry in fs::read_dir(host.data()).expect("a data directory").flatten() {
            let path = entry.path();
            if path.extension().is_none_or(|extension| extension != "sqlite") {
                continue;
            }
            let output = foldlog(&["redecide".as_ref(), path.as_os_str(), "--json".as_ref()]);
            let said = String::from_utf8_lossy(&output.stdout).into_owned();
            let failed = String::from_utf8_lossy(&output.stderr).into_owned();
            // An import that is not complete is no log.
            if output.status.code() == Some(2) && failed.contains("no log yet") {
                continue;
            }
            let told: serde_json::Value = serde_json::from_str(&said)
                .unwrap_or_else(|e| panic!("{name}, {}: {e}: {said}{failed}", path.display()));
            assert_eq!(output.status.code(), Some(0), "{name}, {}: {said}", path.display());
            let undecided = told["undecidable"].as_object().expect("an object");
            let known = if name == "27-consumers.http" { "no-input-recorded" } else { "" };
            assert!(undecided.keys().all(|why| why == known), "{name}: {said}");
            commits += told["commits"].as_u64().unwrap_or_default();
        }
    }
    assert!(commits > 500, "{commits} commits in all");
}

/// Every code that a built route answers with, but for those that need a host in trouble: these
/// are in `hosts` (`internal`) and in core's tests of the driver.
#[test]
fn every_code_is_shown() {
    let shown: Vec<String> = exchanges(Kind::InProcess).iter().map(|e| e.answer.code()).collect();
    for code in [
        "malformed-json",
        "invalid-field",
        "unknown-field",
        "invalid-id",
        "invalid-parameter",
        "invalid-header",
        "no-such-route",
        "not-found",
        "method-not-allowed",
        "already-exists",
        "closed",
        "not-empty",
        "in-progress",
        "held",
        "precondition-failed",
        "too-large",
        "unsupported-media-type",
        "insufficient-funds",
        "limit-exceeded",
        "idempotency-mismatch",
        "illegal-transition",
        "reserved-id",
    ] {
        assert!(shown.iter().any(|found| found == code), "no transcript shows {code}");
    }
}

/// Every route of the table that hosts answer by it, each method of it, is asked for.
#[test]
fn every_route_is_shown() {
    let shown = exchanges(Kind::InProcess);
    let wanted = foldlog_core::http::table(&Registry::standard());
    let missing: Vec<String> = wanted
        .iter()
        .filter(|route| !shown.iter().any(|exchange| is_of(exchange, route.method, &route.path)))
        .map(|route| format!("{} {}", route.method, route.path))
        .collect();
    assert!(missing.is_empty(), "no transcript shows {missing:?}");
}

/// Whether an exchange went to a route and was not refused for its path or method.
fn is_of(exchange: &Exchange, method: &str, path: &str) -> bool {
    let target = exchange.request.target.split('?').next().unwrap_or_default();
    let (asked, route): (Vec<&str>, Vec<&str>) =
        (target.split('/').collect(), path.split('/').collect());
    let same = |(asked, route): (&&str, &&str)| asked == route || route.starts_with('{');
    exchange.request.method == method
        && asked.len() == route.len()
        && asked.iter().zip(&route).all(same)
        && !matches!(exchange.answer.code().as_str(), "no-such-route" | "method-not-allowed")
}

/// Byte for byte, hashes and exports included.
fn alike(one: Kind, other: Kind) {
    let pairs = exchanges(one).iter().zip(exchanges(other));
    let wrong: Vec<String> = pairs
        .map(|(a, b)| (a, comparable(&a.answer), comparable(&b.answer)))
        .filter(|(_, a, b)| a != b)
        .map(|(exchange, a, b)| {
            let lines = |text: &str| text.lines().map(str::to_string).collect::<Vec<_>>();
            format!("{}\n{}", exchange.place, changes(&lines(&a), &lines(&b)))
        })
        .collect();
    let shown: Vec<&str> = wrong.iter().take(5).map(String::as_str).collect();
    let shown = shown.join("\n");
    assert!(
        wrong.is_empty(),
        "{one:?} is `recorded`, {other:?} `found`: {} differ\n{shown}",
        wrong.len()
    );
}

#[test]
fn native_and_worker_answer_byte_for_byte_alike() {
    alike(Kind::Native, Kind::Worker);
}

#[test]
fn native_and_in_process_answer_byte_for_byte_alike() {
    alike(Kind::Native, Kind::InProcess);
}

/// Every export from genesis in the transcripts is one unbroken chain.
#[test]
fn exports_are_unbroken_chains() {
    for kind in Kind::ALL {
        let exports = exchanges(kind).iter().filter(|exchange| {
            exchange.answer.status == 200
                && exchange.request.method == "GET"
                && exchange.request.target.ends_with("/log/export")
                && !exchange.answer.body.is_empty()
        });
        let mut lines = 0;
        for exchange in exports {
            let text = exchange.answer.text();
            assert!(text.ends_with('\n'), "{}: no line feed at the end", exchange.place);
            let mut chain = Chain::default();
            for line in text.lines() {
                chain.take(line).unwrap_or_else(|e| panic!("{kind:?}: {}: {e}", exchange.place));
                lines += 1;
            }
        }
        assert!(lines > 20, "{kind:?}: the transcripts export too little: {lines} lines");
    }
}
