//! Golden logs decided again: what each module recorded comes out the same, for ever.
//!
//! Symptom to look for: a log whose decisions can not be made again, because something that reached
//! them is not recorded, or because this module decides otherwise than the one that wrote it.

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::{Bulk, Config, Linked, MemoryStore};
use foldlog_core::protocol::{OpenSettings, Origin, Report, Verdict, Why};
use foldlog_core::registry::Registry;

use super::{store_of, tests_path};
use crate::engine::kit;
use crate::engine::versions::tills;

fn lines_of(name: &str) -> Vec<String> {
    let path = tests_path("golden/v1").join(name);
    let text = std::fs::read_to_string(&path).unwrap_or_else(|e| panic!("{name}: {e}"));
    text.lines().map(String::from).collect()
}

/// Opened under other settings than any golden log was written under: the log's own count.
fn config() -> Config {
    let settings = OpenSettings {
        idempotency_days: 3,
        record_commands: false,
        snapshot_every: Some(5),
        email_backoff_ms: 77,
        allow_private_callbacks: true,
        ..OpenSettings::default()
    };
    Config { settings, ..kit::Setup::default().config() }
}

/// Decides a log again, a few commits at a time.
pub fn decided(lines: &[String], registry: fn() -> Registry, cache: u64) -> Report {
    let mut store = store_of(lines);
    let mut config = config();
    config.settings.row_cache_max = cache;
    let head = kit::check_log(&store);
    let mut bulk = Bulk::open(&mut Linked(registry), &config, &lines[0], head, None, Vec::new())
        .unwrap_or_else(|e| panic!("opens: {e}"));
    let mut whole = Report::default();
    for page in lines[1..].chunks(7) {
        let page = page.iter().map(String::as_str).collect();
        bulk.decide(&mut store, page, &[], &mut |part| {
            whole.position = part.position;
            whole.same.iter_mut().zip(part.same).for_each(|(sum, more)| *sum += more);
            whole.lifted += part.lifted;
            whole.others.extend(part.others);
            whole.upcasts.extend(part.upcasts);
        })
        .unwrap_or_else(|e| panic!("decides: {e}"));
    }
    assert_eq!(whole.position, head);
    // What was taken in is the fold, whether it was decided or folded.
    bulk.finish(&mut store).unwrap_or_else(|e| panic!("finishes: {e}"));
    assert_eq!(rows(&store), folded(lines, registry), "rows after deciding");
    whole
}

type Rows = Vec<(String, Vec<u8>, Vec<u8>)>;

fn rows(store: &MemoryStore) -> Rows {
    let views = store.rows.iter();
    let all = views.flat_map(|(view, rows)| {
        rows.iter().map(|(key, value)| (view.name.clone(), key.clone(), value.clone()))
    });
    all.collect()
}

fn folded(lines: &[String], registry: fn() -> Registry) -> Rows {
    let mut store = store_of(lines);
    let head = kit::check_log(&store);
    let mut bulk = Bulk::open(&mut Linked(registry), &config(), &lines[0], head, None, Vec::new())
        .unwrap_or_else(|e| panic!("opens: {e}"));
    bulk.fold(&mut store, lines[1..].iter().map(String::as_str).collect())
        .and_then(|_| bulk.finish(&mut store))
        .unwrap_or_else(|e| panic!("folds: {e}"));
    rows(&store)
}

fn count(report: &Report, origin: Origin) -> u64 {
    report.same[origin as usize]
}

/// The end of `log.ndjson` was written by hand: what no module decided.
const BY_HAND: u64 = 311;

/// What of a report is not said to be undecidable, but for what was written by hand.
fn divergences(report: &Report) -> Vec<&(u64, Verdict)> {
    let others = report.others.iter();
    let known = Verdict::Undecidable(Why::PayloadNotRecorded);
    others.filter(|(at, verdict)| *at < BY_HAND && *verdict != known).collect()
}

#[test]
fn golden_logs_come_out_as_they_are_recorded() {
    for (name, undecided) in [("log.ndjson", 303), ("issues.ndjson", 0), ("topics.ndjson", 0)] {
        let lines = lines_of(name);
        for cache in [64 << 20, 64 << 10] {
            let report = decided(&lines, Registry::standard, cache);
            assert_eq!(divergences(&report), Vec::<&(u64, Verdict)>::new(), "{name}, {cache}");
            let told = report.same.iter().sum::<u64>() as usize + report.others.len();
            assert_eq!(told, lines.len() - 1, "{name}: each commit is told of");
            let others = report.others.iter();
            let by_hand = others.filter(|(at, _)| name == "log.ndjson" && *at >= BY_HAND);
            let by_hand = by_hand.count();
            assert_eq!(report.others.len() - by_hand, undecided, "{name}");
            assert_eq!((report.lifted, by_hand), (0, if undecided > 0 { 4 } else { 0 }), "{name}");
        }
    }
    let report = decided(&lines_of("topics.ndjson"), Registry::standard, 64 << 20);
    assert!(count(&report, Origin::Publication) > 0 && count(&report, Origin::Command) > 0);
}

/// First positions of what does not come out as recorded.
fn otherwise(report: &Report) -> Vec<u64> {
    report.others.iter().map(|(at, _)| *at).collect()
}

#[test]
fn a_log_of_two_modules_is_decided_by_each_as_it_decided() {
    let lines = lines_of("changed.ndjson");
    let second = otherwise(&decided(&lines, tills::second, 64 << 20));
    assert_eq!(second, [1, 2, 3, 10, 11, 12], "what the first module decided, and no other");
    let first = otherwise(&decided(&lines, tills::first, 64 << 20));
    assert!(first.iter().all(|at| !second.contains(at)), "each commit is one's own: {first:?}");
}

/// Without the manager, that words its reactions otherwise.
fn third() -> Registry {
    let registry = Registry::new("3.0.0");
    registry.aggregate::<tills::three::Till>().projection::<tills::three::Takings>()
}

#[test]
fn a_newer_version_that_says_the_same_is_no_divergence() {
    let lines = lines_of("changed.ndjson");
    let bare = lines[1..3].iter().map(|line| {
        let commit = Commit::parse(line).expect("a commit");
        Commit { reactions: None, ..commit }.line()
    });
    let bare: Vec<String> = std::iter::once(lines[0].clone()).chain(bare).collect();
    let report = decided(&chained(&bare), third, 64 << 20);
    assert_eq!((otherwise(&report), report.lifted), (vec![], 2), "{report:?}");
    let upcasts = report.upcasts.iter().map(|one| (one.position, one.name.as_str(), one.to));
    let expected = [(1, "Ring", 2), (1, "Rung", 3), (2, "Ring", 2), (2, "Rung", 3)];
    assert_eq!(upcasts.collect::<Vec<_>>(), expected);
    assert!(report.upcasts.iter().all(|one| one.result.is_ok()), "{report:?}");
}

#[test]
fn what_is_not_recorded_is_not_decided_and_what_differs_is_named() {
    let lines = lines_of("issues.ndjson");
    let at = lines.len() / 2;
    let position = chain::position(&lines[at]).expect("a position");
    // A member more, and the chain made anew over it: a log that verifies, and lies.
    let mut changed = lines.clone();
    changed[at] = lines[at].replacen(",\"events\":", ",\"enc\":1,\"events\":", 1);
    let report = decided(&chained(&changed), Registry::standard, 64 << 20);
    let others = report.others.as_slice();
    assert!(matches!(others, [(p, Verdict::Differs(_))] if *p == position), "{report:?}");
    // Without commands there is nothing to decide again.
    let bare = lines.iter().map(|line| {
        let commit = Commit::parse(line).expect("a commit");
        match line.contains("\"command\":{") && commit.cause.is_none() && commit.position > 0 {
            true => Commit { command: None, ..commit }.line(),
            false => line.clone(),
        }
    });
    let report = decided(&chained(&bare.collect::<Vec<_>>()), Registry::standard, 64 << 20);
    let why = Verdict::Undecidable(Why::NoInput);
    assert!(!report.others.is_empty());
    assert!(report.others.iter().all(|(_, verdict)| *verdict == why), "{report:?}");
}

/// The same lines with the hashes that belong to them.
pub fn chained(lines: &[String]) -> Vec<String> {
    let mut before = chain::NO_HASH;
    let sealed = lines.iter().map(|line| {
        let end = line.len() - chain::HASH_MEMBER_BYTES;
        before = chain::sha256(&[&before, &line.as_bytes()[..end]]);
        format!("{},\"hash\":\"{}\"}}", &line[..end], chain::hex(&before))
    });
    sealed.collect()
}
