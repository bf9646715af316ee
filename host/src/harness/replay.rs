//! `foldlog replay`: folds a whole log and tells how fast, and to what.

use std::io::Write;
use std::path::Path;
use std::process::ExitCode;
use std::time::Instant;

use foldlog_core::chain::hex;
use foldlog_core::driver::MemoryStore;

use super::source::Source;
use super::{digest, fold};
use crate::cli::{Replay, print};
use crate::json::Object;
use crate::serve;
use crate::wasm::{Bounds, Module};

/// Folds it and prints the result; exit code 1 when the log is broken.
pub fn run(replay: &Replay) -> Result<ExitCode, String> {
    let mut source = Source::open(&replay.source.source, &replay.source.partition)?;
    let Some(genesis) = source.genesis()? else {
        let why = match source.import()? {
            Some(_) => "an import into it is not complete: there is no log yet",
            None => "the log is empty",
        };
        return Err(format!("{}: {why}", source.path.display()));
    };
    let mut module = module(replay.source.guest.as_deref())?;
    let started = Instant::now();
    let folded = fold::all(&mut source, &mut module, &genesis, &[], &mut |_, _| {})?;
    let seconds = started.elapsed().as_secs_f64();
    let rate = (folded.position as f64 / seconds.max(1e-9)).round();
    let (digest, rows) = digest::of(&folded.store);
    if let Some(path) = &replay.keep_rows {
        keep(&folded.store, path).map_err(|e| format!("{}: {e}", path.display()))?;
    }
    if replay.source.json {
        let mut object = Object::default()
            .token("ok", folded.broken.is_none())
            .token("events", folded.position)
            .token("seconds", format!("{seconds:.6}"))
            .token("eventsPerSecond", rate)
            .token("position", folded.position)
            .text("hash", &hex(&folded.hash))
            .token("rows", rows)
            .text("rowsDigest", &hex(&digest))
            .token("faultedProjections", folded.faulted_json());
        if let Some(broken) = &folded.broken {
            object = object.token("brokenAt", broken.position).text("detail", &broken.detail);
        }
        print(&object.end());
    } else {
        print(&format!("events    {} in {seconds:.3} s: {rate} events/s", folded.position));
        print(&format!("head      {} {}", folded.position, hex(&folded.hash)));
        print(&format!("rows      {rows}, digest {}", hex(&digest)));
        folded.faulted_lines().for_each(|line| print(&line));
        if let Some(broken) = &folded.broken {
            print(&format!("broken    at position {}: {}", broken.position, broken.detail));
        }
    }
    Ok(if folded.broken.is_some() { ExitCode::FAILURE } else { ExitCode::SUCCESS })
}

/// The guest, with the native host's memory and no deadline.
pub fn module(guest: Option<&Path>) -> Result<Module, String> {
    let settings = fold::settings()?;
    let bounds = Bounds { memory_max: settings.guest_memory_max, stage_ms_max: 0 };
    serve::load(guest, bounds)
}

fn keep(store: &MemoryStore, path: &Path) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::new(std::fs::File::create(path)?);
    for (view, key, value) in digest::rows(store) {
        let object = Object::default()
            .text("view", &view.name)
            .token("generation", view.generation)
            .text("key", &hex(key))
            .text("value", &hex(value));
        writeln!(file, "{}", object.end())?;
    }
    file.flush()
}
