//! `foldlog bench`: how many commands a second this machine decides and stores, without HTTP.
//!
//! Owns a workload, deposits to accounts in random order (`publish` has another one), and its
//! measurement. What is measured is
//! what `serve` runs: the driver over the guest and a real file.

mod publish;

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::{Duration, Instant};

use crate::cli::Bench;
use crate::json::Object;
use crate::metrics::Metrics;
use crate::sqlite::Connection;
use crate::wasm::{BUILT_IN, Bounds, Module};
use crate::world::Machine;
use foldlog_core::driver::{
    Bulk, Config, Guest, Linked, MemoryStore, NOBODY, OwnedBody, OwnedRequest, Partition, Spawn,
    SqlStore, Store,
};
use foldlog_core::protocol::Query;
use foldlog_core::registry::Registry;
use foldlog_core::settings::{HostKind, Settings};

/// Accounts are opened in batches of this size.
const OPEN_GROUP: u64 = 500;

type Running<S> = Partition<S, SqlStore<Connection>, Machine>;

/// Runs the workload and prints one JSON object.
pub fn run(flags: &Bench) -> Result<(), String> {
    check_empty(&flags.data)?;
    if flags.commands == 0 || flags.accounts == 0 || flags.group == 0 {
        return Err("--commands, --accounts and --group must be at least 1".into());
    }
    std::fs::create_dir_all(&flags.data).map_err(|e| format!("{}: {e}", flags.data.display()))?;
    let settings = Settings::read(HostKind::Native, &mut |_| None).map_err(|e| e.to_string())?;
    let found = if flags.linked {
        let linked = Linked(Registry::standard);
        measure(flags, &settings, linked, linked)?
    } else {
        let bounds =
            Bounds { memory_max: settings.guest_memory_max, stage_ms_max: settings.stage_ms_max };
        let replayer = Module::load(BUILT_IN, Bounds { stage_ms_max: 0, ..bounds })?;
        measure(flags, &settings, Module::load(BUILT_IN, bounds)?, replayer)?
    };
    println!("{found}");
    Ok(())
}

fn measure<S: Spawn, R: Spawn>(
    flags: &Bench,
    settings: &Settings,
    spawn: S,
    replayer: R,
) -> Result<String, String> {
    let metrics = Arc::new(Metrics::new());
    let file = flags.data.join("main.sqlite");
    let connection = Connection::new(file.clone(), metrics.clone());
    let config = Config {
        partition: "main".into(),
        incarnation: NOBODY,
        settings: settings.open(),
        host: "native",
        tail_events_max: settings.tail_events_max,
        batch_commands_max: usize::try_from(settings.batch_commands_max).unwrap_or(1),
        effects_in_flight_max: settings.effects_in_flight_max,
        rejected_bytes_max: settings.rejected_bytes_max,
        secret: None,
        test_stamps: None,
    };
    let mut partition =
        Partition::new(spawn, SqlStore::new(connection), Machine::new(), config.clone());
    if flags.publish > 0 {
        return publish::run(&mut partition, flags);
    }
    open_accounts(&mut partition, flags.accounts)?;
    let (fsyncs, rows) = counts(&metrics);
    let elapsed = deposits(&mut partition, flags)?;
    let (fsyncs_after, rows_after) = counts(&metrics);
    let head = partition.head().map_or(0, |head| head.position);
    let replay =
        if flags.replay { Some(replay(partition.store(), &config, replayer, head)?) } else { None };
    let bytes = std::fs::metadata(&file).map_or(0, |found| found.len());
    let per = |n: u64| n as f64 / flags.commands as f64;
    let found = Object::default()
        .token("commands", flags.commands)
        .token("accounts", flags.accounts)
        .token("group", flags.group)
        .token("microsPerCommand", elapsed.as_secs_f64() * 1e6 / flags.commands as f64)
        .token("fsyncsPerCommand", per(fsyncs_after - fsyncs))
        .token("rowWritesPerCommand", per(rows_after - rows))
        .token("fileBytesPerEvent", bytes as f64 / head as f64)
        .token("replayEventsPerSecond", replay.map_or("null".into(), |found| found.to_string()));
    Ok(found.end())
}

fn counts(metrics: &Metrics) -> (u64, u64) {
    (metrics.transactions.load(Relaxed), metrics.rows_written.load(Relaxed))
}

fn request(path: &str, body: String, key: Option<u64>) -> OwnedRequest {
    let mut headers = vec![("content-type".to_string(), b"application/json".to_vec())];
    headers
        .extend(key.map(|key| ("idempotency-key".to_string(), format!("key-{key}").into_bytes())));
    OwnedRequest {
        method: "POST".into(),
        target: path.into(),
        headers,
        body: OwnedBody::Whole(body.into_bytes()),
    }
}

fn run_batch<S: Spawn>(partition: &mut Running<S>, batch: Vec<OwnedRequest>) -> Result<(), String> {
    let replies = partition.run(batch);
    match replies.iter().find(|reply| reply.response.status >= 300) {
        None => Ok(()),
        Some(reply) => Err(format!("refused: {}", String::from_utf8_lossy(&reply.response.body))),
    }
}

fn open_accounts<S: Spawn>(partition: &mut Running<S>, accounts: u64) -> Result<(), String> {
    let mut next = 0;
    while next < accounts {
        let end = (next + OPEN_GROUP).min(accounts);
        let open = |n| {
            request("/commands/open-account", format!("{{\"accountId\":\"acc-{n:08}\"}}"), None)
        };
        run_batch(partition, (next..end).map(open).collect())?;
        next = end;
    }
    partition.checkpoint().map_err(|failure| failure.to_string())
}

/// Deposits in random order, the final checkpoint included; making the requests is not.
fn deposits<S: Spawn>(partition: &mut Running<S>, flags: &Bench) -> Result<Duration, String> {
    let (mut elapsed, mut random, mut done) = (Duration::ZERO, 88_172_645_463_325_252_u64, 0);
    while done < flags.commands {
        let group = flags.group.min(flags.commands - done);
        let batch = (done..done + group).map(|n| {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let (account, amount) = (random % flags.accounts, 1 + random % 1_000);
            let body = format!("{{\"accountId\":\"acc-{account:08}\",\"amount\":{amount}}}");
            request("/commands/deposit", body, flags.keys.then_some(n))
        });
        let batch = batch.collect();
        let started = Instant::now();
        run_batch(partition, batch)?;
        elapsed += started.elapsed();
        done += group;
    }
    let started = Instant::now();
    partition.checkpoint().map_err(|failure| failure.to_string())?;
    Ok(elapsed + started.elapsed())
}

/// Blocks handed to the guest in one call: about 1 MB.
const BLOCKS_PER_CALL: usize = 16;

/// Events per second of folding the whole log, blocks in memory, rows thrown away.
fn replay<S: Spawn>(
    store: &mut SqlStore<Connection>,
    config: &Config,
    mut spawn: S,
    head: u64,
) -> Result<f64, String> {
    let genesis = store.tail().map_err(|e| e.to_string())?.genesis.unwrap_or_default();
    let mut blocks: Vec<String> = Vec::new();
    let mut after = 0;
    while after < head {
        let query = Query::CommitsAfter { after, limit: 4_096, descending: false };
        let Some(foldlog_core::protocol::Answer::Commits(lines)) =
            store.read(&[query]).map_err(|e| e.to_string())?.pop()
        else {
            break;
        };
        let Some(last) = lines.last().and_then(|line| foldlog_core::chain::position(line)) else {
            break;
        };
        after = last;
        blocks.extend(lines.chunks(180).map(|lines| lines.join(",\n")));
    }
    let mut rows = MemoryStore::default();
    let started = Instant::now();
    let mut bulk = Bulk::open(&mut spawn, config, &genesis, head, None, Vec::new())
        .map_err(|f| f.to_string())?;
    fold(&mut bulk, &blocks, &mut rows)?;
    Ok(head as f64 / started.elapsed().as_secs_f64())
}

fn fold<G: Guest>(
    bulk: &mut Bulk<G>,
    blocks: &[String],
    rows: &mut MemoryStore,
) -> Result<(), String> {
    for chunk in blocks.chunks(BLOCKS_PER_CALL) {
        let texts: Vec<&str> = chunk.iter().map(String::as_str).collect();
        bulk.fold(rows, texts).map_err(|failure| failure.to_string())?;
    }
    Ok(())
}

/// Where the workload's file goes: it must not be a log in use.
fn check_empty(data: &Path) -> Result<(), String> {
    if data.join("main.sqlite").exists() {
        return Err(format!(
            "{} holds a log already; give bench a directory of its own",
            data.display()
        ));
    }
    Ok(())
}
