//! `make bench`: measures both hosts against the floor and the peer, prints a table, writes JSON.
//!
//! Owns the list of measurements. Each comparison runs both sides in turns within one run; nothing
//! here passes or fails. Arguments name the sections to run, all of them when there are none:
//! `core`, `http`, `replay`, `open`, `travel`, `reads`, `rebuild`, `live`, `partitions`,
//! `effects`, `deliver`, `schemas`, `sizes`.
//! `BENCH_COMMANDS` (default 1,000,000) shortens it.

mod beside;
mod deliver;
mod effects;
mod floor;
mod http;
mod live;
mod load;
mod open;
mod partitions;
mod peer;
mod report;
mod schemas;
mod travel;

use std::path::Path;
use std::process::Command;

use foldlog_tests::hosts::native_binary;
use foldlog_tests::scratch::{Scratch, root, target};
use report::{Pair, Report};
use serde_json::Value;

/// What a measurement ends with when it can not be made.
type Failure = Box<dyn std::error::Error>;

/// One group of measurements.
type Section = fn(&mut Report) -> Result<(), Failure>;

/// Accounts of the warm runs.
const ACCOUNTS: u64 = 10_000;

fn main() -> Result<(), Failure> {
    let wanted: Vec<String> =
        std::env::args().skip(1).filter(|arg| !arg.starts_with('-')).collect();
    let runs = |section: &str| wanted.is_empty() || wanted.iter().any(|name| name == section);
    let scratch = Scratch::new("bench");
    let mut report = Report::new(scratch.path())?;
    println!("{report}");
    let sections: [(&str, Section); 13] = [
        ("sizes", sizes),
        ("core", core),
        ("replay", replay),
        ("http", http::run),
        ("open", open::run),
        ("travel", travel::run),
        ("reads", beside::reads),
        ("rebuild", beside::rebuild),
        ("live", live::run),
        ("partitions", partitions::run),
        ("effects", effects::run),
        ("deliver", deliver::run),
        ("schemas", schemas::run),
    ];
    for (name, section) in sections {
        if runs(name) {
            eprintln!("bench: {name}");
            section(&mut report)?;
        }
    }
    println!("{report}");
    let file = target().join("bench").join("report.json");
    report.write(&file)?;
    println!("written to target/bench/report.json");
    Ok(())
}

/// Commands of a long run.
fn commands() -> u64 {
    std::env::var("BENCH_COMMANDS").ok().and_then(|text| text.parse().ok()).unwrap_or(1_000_000)
}

/// Runs `foldlog bench` in a fresh directory and returns what it printed.
fn in_process(arguments: &[(&str, u64)], flags: &[&str]) -> Result<Value, Failure> {
    let dir = Scratch::new("core");
    let mut command = Command::new(native_binary());
    command.arg("bench").arg("--data").arg(dir.path());
    for (name, value) in arguments {
        command.arg(name).arg(value.to_string());
    }
    let output = command.args(flags).output()?;
    if !output.status.success() {
        return Err(String::from_utf8_lossy(&output.stderr).into_owned().into());
    }
    Ok(serde_json::from_slice(&output.stdout)?)
}

fn number(found: &Value, name: &str) -> f64 {
    found.get(name).and_then(Value::as_f64).unwrap_or(f64::NAN)
}

fn floor_per_s(commands: u64, accounts: u64, group: u64) -> Result<f64, Failure> {
    let dir = Scratch::new("floor");
    Ok(1e6 / floor::floor(dir.path(), commands, accounts, group)?)
}

fn ours_per_s(commands: u64, accounts: u64, group: u64, flags: &[&str]) -> Result<f64, Failure> {
    let arguments = [("--commands", commands), ("--accounts", accounts), ("--group", group)];
    Ok(1e6 / number(&in_process(&arguments, flags)?, "microsPerCommand"))
}

/// Deciding and storing through wasmtime, against plain rows in SQLite.
fn core(report: &mut Report) -> Result<(), Failure> {
    let long = commands();
    // One at a time takes as long for a tenth; the final checkpoint is paid by all of them.
    let short = (long / 10).max(1);
    for (name, commands, accounts, group) in [
        ("100 waiting, 10,000 accounts: ours / floor", long, ACCOUNTS, 100),
        ("one at a time, 10,000 accounts: ours / floor", short, ACCOUNTS, 1),
    ] {
        let pair = Pair::measure(
            || ours_per_s(commands, accounts, group, &[]),
            || floor_per_s(commands, accounts, group),
        )?;
        report.pair(name, "commands/s", &pair);
    }
    let cold = ours_per_s(long, long, 100, &[])?;
    report.single("100 waiting, as many cold accounts as commands", "commands/s", &[cold]);
    let keyed = ours_per_s(long, ACCOUNTS, 100, &["--keys"])?;
    report.single("100 waiting, a fresh Idempotency-Key each", "commands/s", &[keyed]);
    let found =
        in_process(&[("--commands", long), ("--accounts", ACCOUNTS), ("--group", 100)], &[])?;
    report.single("fsyncs, 100 waiting", "per command", &[number(&found, "fsyncsPerCommand")]);
    report.single(
        "row writes, 100 waiting",
        "per command",
        &[number(&found, "rowWritesPerCommand")],
    );
    report.single("file", "bytes per event", &[number(&found, "fileBytesPerEvent")]);
    Ok(())
}

/// Folding a whole log: in wasmtime, and by the same core linked natively.
fn replay(report: &mut Report) -> Result<(), Failure> {
    let arguments = [("--commands", commands()), ("--accounts", ACCOUNTS), ("--group", 100)];
    let measured = |flags: &[&str]| -> Result<f64, Failure> {
        Ok(number(&in_process(&arguments, flags)?, "replayEventsPerSecond"))
    };
    let pair = Pair::measure(|| measured(&["--replay"]), || measured(&["--replay", "--linked"]))?;
    report.pair("replay, rows thrown away: wasmtime / linked natively", "events/s", &pair);
    Ok(())
}

/// What a deployment weighs.
fn sizes(report: &mut Report) -> Result<(), Failure> {
    let gzipped = |path: &Path| -> Result<f64, Failure> {
        let output = Command::new("gzip").args(["-9", "-c"]).arg(path).output()?;
        Ok(output.stdout.len() as f64 / 1024.0)
    };
    let build = root().join("build").join("worker");
    let guest = gzipped(&build.join("guest.wasm"))?;
    let others = ["index_bg.wasm", "index.js", "entry.mjs"];
    let others =
        others.iter().map(|name| gzipped(&build.join(name))).sum::<Result<f64, Failure>>()?;
    report.single("guest, gzipped", "KiB", &[guest]);
    report.single("whole Worker, gzipped", "KiB", &[guest + others]);
    Ok(())
}
