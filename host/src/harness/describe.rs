//! `foldlog guest`: what a module is made of, by its own words and by its bytes.
//!
//! Owns how that is told. Refuses to know what aggregates and projections do.

use std::io::Write;
use std::process::ExitCode;

use flate2::Compression;
use flate2::write::GzEncoder;
use foldlog_core::chain::hex;
use foldlog_core::driver::{Spawn, describe};
use foldlog_core::json::push_string;
use foldlog_core::protocol::Description;

use super::fold;
use crate::cli::{Guest, print};
use crate::json::{Object, array};
use crate::wasm::{BUILT_IN, Bounds, Module};

/// Loads it and prints what it says.
pub fn run(guest: &Guest) -> Result<ExitCode, String> {
    let (name, bytes) = match &guest.file {
        None => ("the module built in".to_string(), BUILT_IN.to_vec()),
        Some(path) => {
            let bytes = std::fs::read(path).map_err(|e| format!("{}: {e}", path.display()))?;
            (path.display().to_string(), bytes)
        }
    };
    let none = |why: String| {
        // An engine's own words, which may take many lines.
        let why: Vec<&str> = why.split_whitespace().collect();
        format!("{name} is no guest of Foldlog: {}", why.join(" "))
    };
    if !bytes.starts_with(b"\0asm") {
        return Err(none("it is no WebAssembly module".into()));
    }
    let bounds = Bounds { memory_max: fold::settings()?.guest_memory_max, stage_ms_max: 0 };
    let mut module = Module::load(&bytes, bounds).map_err(none)?;
    let said = describe(&mut module).map_err(|failure| none(failure.to_string()))?;
    let sha256 = hex(&module.digest());
    let gzipped = gzipped(&bytes).map_err(|e| format!("{name}: {e}"))?;
    if guest.json {
        print(&json(&said, &sha256, (bytes.len(), gzipped)));
    } else {
        lines(&said, &sha256, (bytes.len(), gzipped)).iter().for_each(|line| print(line));
    }
    Ok(ExitCode::SUCCESS)
}

/// What it weighs where it is deployed.
fn gzipped(bytes: &[u8]) -> std::io::Result<usize> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::best());
    encoder.write_all(bytes)?;
    encoder.finish().map(|packed| packed.len())
}

fn json(said: &Description, sha256: &str, (raw, gzipped): (usize, usize)) -> String {
    let texts = |texts: &[String]| {
        let tokens = texts.iter().map(|text| {
            let mut token = String::new();
            push_string(&mut token, text);
            token
        });
        array(&tokens.collect::<Vec<_>>())
    };
    let revised = |(name, revision): &(String, u32)| {
        Object::default().text("name", name).token("revision", revision).end()
    };
    let all = |all: &[(String, u32)]| array(&all.iter().map(revised).collect::<Vec<_>>());
    Object::default()
        .text("sha256", sha256)
        .text("version", &said.version)
        .token("abi", said.abi)
        .token("format", said.format)
        .token("aggregates", all(&said.aggregates))
        .token("projections", all(&said.projections))
        .token("events", texts(&said.events))
        .token("routes", texts(&said.routes))
        // It would not have been loaded otherwise.
        .token("imports", "[]")
        .token("bytes", raw)
        .token("bytesGzipped", gzipped)
        .end()
}

fn lines(said: &Description, sha256: &str, (raw, gzipped): (usize, usize)) -> Vec<String> {
    let mut lines = vec![
        format!("sha256      {sha256}"),
        format!("version     {}, ABI {}, format {}", said.version, said.abi, said.format),
        format!("size        {raw} bytes, {gzipped} gzipped"),
        "imports     none".to_string(),
    ];
    for (what, all) in [("aggregates", &said.aggregates), ("projections", &said.projections)] {
        lines.push(format!("{what:11} {}", all.len()));
        let revised = |(name, revision): &(String, u32)| format!("  {name}, revision {revision}");
        lines.extend(all.iter().map(revised));
    }
    lines.push(format!("events      {}", said.events.len()));
    lines.extend(said.events.iter().map(|event| format!("  {event}")));
    lines.push(format!("routes      {}", said.routes.len()));
    lines
}
