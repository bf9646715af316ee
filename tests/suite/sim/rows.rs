//! Law 2 as a check that returns what is wrong: stored rows against a fold of the stored log.

use std::collections::BTreeMap;

use foldlog_core::chain;
use foldlog_core::driver::{Bulk, Config, MemoryStore, Partition, Store as _};
use foldlog_core::protocol::{Quarantine, Quarantined, View};
use serde_json::Value;

use super::super::engine::kit::{self, Clock, NEW_YEAR_MS, Setup, get};
use super::guests::{Release, projections};

pub type Checked<T> = Result<T, String>;
type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// The stored rows are the fold of the log up to the stored checkpoint, no further: all that serve,
/// by the release that stored them, those of a projection that stopped up to there.
pub fn cut(stored: &MemoryStore, mut release: Release) -> Checked<()> {
    let mut store = stored.clone();
    let tail = store.tail().map_err(|e| e.to_string())?;
    let (Some(genesis), Some(checkpoint)) = (&tail.genesis, tail.checkpoint) else {
        let none = stored.rows.values().all(BTreeMap::is_empty);
        return if none { Ok(()) } else { Err("rows without a checkpoint".into()) };
    };
    let head = tail.last.map_or(0, |(position, _)| position);
    // Large caches: a small one fills while it folds, and is stored further on.
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let config = setup.config();
    let failed = |what: &str| format!("what is stored does not {what}");
    let bulk = Bulk::open(&mut release, &config, genesis, head, Some(checkpoint), Vec::new());
    let bulk = bulk.map_err(|failure| format!("{}: {failure}", failed("open")))?;
    let (position, serving) = (bulk.opened().fold_after, bulk.opened().serving.clone());
    if !bulk.opened().rows_usable {
        return Err(failed("fit the guest that wrote it"));
    }
    store.log.retain(|first, _| *first <= position);
    shorten(&mut store, position)?;
    let stopped = match stored.rows.iter().any(|(v, rows)| v.name == "~faults" && !rows.is_empty())
    {
        true => stopped(&store, &config, release)?,
        false => Vec::new(),
    };
    let mut folded = MemoryStore::default();
    let lines: Vec<&str> =
        store.log.range(1..).flat_map(|(_, block)| chain::lines(&block.body)).collect();
    let bulk = Bulk::open(&mut release, &config, genesis, position, None, stopped);
    let mut bulk = bulk.map_err(|failure| format!("the log does not open: {failure}"))?;
    for page in lines.chunks(1_000) {
        let reached = bulk.fold(&mut folded, page.to_vec());
        reached.map_err(|failure| format!("the log does not fold: {failure}"))?;
    }
    bulk.finish(&mut folded).map_err(|failure| failure.to_string())?;
    for view in serving {
        let own = view.name.starts_with('~') && !view.name.starts_with("~snapshots:");
        let name = |other: &&View| other.name == view.name;
        let there = folded.rows.keys().find(name).and_then(|view| folded.rows.get(view));
        if !own {
            same(&view, stored.rows.get(&view), there, position)?;
        }
    }
    Ok(())
}

/// Cuts what comes after a position out of the last block.
fn shorten(store: &mut MemoryStore, position: u64) -> Checked<()> {
    let Some(mut entry) = store.log.last_entry() else { return Ok(()) };
    if entry.get().last <= position {
        return Ok(());
    }
    let lines = chain::lines(&entry.get().body);
    let kept = lines.filter(|line| chain::position(line).is_some_and(|first| first <= position));
    let body = format!("[{}]", kept.collect::<Vec<_>>().join(",\n"));
    let block = entry.get_mut();
    (block.last, block.body) = (position, body);
    Ok(())
}

/// Where projections stopped, as the release says that wrote the checkpoint.
fn stopped(store: &MemoryStore, config: &Config, release: Release) -> Checked<Vec<Quarantine>> {
    let clock = Clock::at(NEW_YEAR_MS);
    // Of a log that is not its own nothing is done.
    let config = Config { incarnation: foldlog_core::driver::NOBODY, ..config.clone() };
    let mut bank = Partition::new(release, store.clone(), clock, config);
    let (status, body) = kit::run(&mut bank, get("/projections"));
    let list: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {status} {body}"))?;
    let statuses = list.as_array().into_iter().flatten();
    let stopped = statuses.filter(|status| {
        let lag = status["lag"].as_u64().unwrap_or_default();
        !status["error"].is_null() && lag > 0
    });
    let quarantine = |status: &Value| {
        let own = projections(release.0).iter().position(|name| status["name"] == **name);
        let position = status["lastProcessedVersion"].as_u64().unwrap_or_default() + 1;
        let what = Quarantined::projection(own.unwrap_or_default());
        Quarantine { what, position, reason: String::new() }
    };
    Ok(stopped.map(quarantine).collect())
}

fn same(view: &View, a: Option<&Rows>, b: Option<&Rows>, position: u64) -> Checked<()> {
    let (none, other) = (Rows::new(), Rows::new());
    let (a, b) = (a.unwrap_or(&none), b.unwrap_or(&other));
    if a == b {
        return Ok(());
    }
    let Some(key) = a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key)) else {
        return Ok(());
    };
    let (name, shown) = (&view.name, String::from_utf8_lossy(key));
    Err(format!(
        "row {shown:?} of {name} is {:?}, the fold up to {position} has {:?}",
        a.get(key),
        b.get(key)
    ))
}
