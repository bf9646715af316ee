//! Folding a source's whole log: one thread reads and checks the chain, another runs the guest.
//!
//! Owns the pipeline, and what of a log a host can tell without the guest: hashes, first and last
//! positions of blocks. Refuses to know what the fold is for.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};

use foldlog_core::chain::{Chain, NO_HASH, inner, lines, position};
use foldlog_core::commit::Genesis;
use foldlog_core::driver::{
    Bulk, Config, Failure, MemoryStore, StoredBlock, Trap, describe, quarantine_of, same_target,
};
use foldlog_core::protocol::{Quarantine, Quarantined};
use foldlog_core::settings::{HostKind, Settings};
use rusqlite::Connection;

use super::progress::Progress;
use super::source::{self, Source};
use crate::json::{Object, array};
use crate::wasm::{Instance, Module};

/// Bytes of blocks that cross into the guest at a time.
const PAGE_BYTES: usize = 1 << 20;
/// Pages read ahead: enough for both threads to be busy, little enough to stay in the caches.
const PAGES_AHEAD: usize = 3;

/// What is wrong with a log, and from where on it can not be trusted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Broken {
    /// First position that is bad.
    pub position: u64,
    /// Why.
    pub detail: String,
}

/// How a fold ended.
#[derive(Debug)]
pub struct Folded {
    /// Position and hash of the last line whose chain holds.
    pub position: u64,
    /// See above.
    pub hash: [u8; 32],
    /// The rows.
    pub store: MemoryStore,
    /// Names of the projections that trapped, and where: they stopped there.
    pub faulted: Vec<(String, u64)>,
    /// Where chain or fold broke; the rows are then of no use.
    pub broken: Option<Broken>,
}

/// The settings that a fold runs with: the native host's defaults.
pub fn settings() -> Result<Settings, String> {
    Settings::read(HostKind::Native, &mut |_| None).map_err(|e| e.to_string())
}

/// How a guest is opened over a log with this genesis line.
pub fn config(genesis: &str) -> Result<Config, String> {
    let parsed = Genesis::parse(genesis).map_err(|e| format!("genesis can not be read: {e}"))?;
    let incarnation = foldlog_core::chain::unhex(&parsed.incarnation).unwrap_or_default();
    Ok(Config {
        partition: parsed.partition.to_string(),
        incarnation,
        settings: settings()?.open(),
        host: "native",
        tail_events_max: u64::MAX,
        batch_commands_max: 1,
        effects_in_flight_max: 1,
        rejected_bytes_max: 0,
        secret: None,
        test_stamps: None,
    })
}

/// Folds all of it. `pauses` are positions, ascending, at which `at_pause` sees the rows as of then.
pub fn all(
    source: &mut Source,
    module: &mut Module,
    genesis: &str,
    pauses: &[u64],
    at_pause: &mut dyn FnMut(u64, &MemoryStore),
) -> Result<Folded, String> {
    let config = config(genesis)?;
    let mut quarantined: Vec<Quarantine> = Vec::new();
    loop {
        let head = source.head()?;
        let bulk = Bulk::open(module, &config, genesis, head, None, quarantined.clone());
        let bulk = bulk.map_err(|failure| failure.to_string())?;
        let mut fold =
            Fold { bulk, store: MemoryStore::default(), pauses, at_pause: &mut *at_pause };
        let progress = Progress::new(head);
        let (read, folded) = std::thread::scope(|scope| {
            let (send, pages) = sync_channel(PAGES_AHEAD);
            let raw = &mut source.raw;
            let reader = scope.spawn(move || read(raw, genesis, &send));
            let folded = fold.run(&pages, &progress);
            // Dropped before joining: a reader that still sends would wait for ever.
            drop(pages);
            (reader.join(), folded)
        });
        progress.end();
        let Ok((end, read)) = read else { return Err("the reader panicked".into()) };
        match folded {
            Err(Failure::Trap(trap)) => {
                quarantined.push(new_quarantine(&trap, &quarantined)?);
                continue;
            }
            folded => {
                // Both may have found something: the chain's word counts, it names the bytes.
                let refused = folded.err().map(|failure| refusal(&failure, end.position));
                let beyond = source.broken.iter().cloned();
                let first = refused.into_iter().chain(beyond).min_by_key(|b| b.position);
                let broken = read.err().or(first);
                let (position, hash) = (end.position, end.hash);
                let faulted = named(module, &quarantined)?;
                return Ok(Folded { position, hash, store: fold.store, faulted, broken });
            }
        }
    }
}

/// Reads and checks a source's log on a thread of its own, and gives it to `each` in pages, with the
/// position at which each one ends. Tells where reading got to, and what is wrong.
pub fn pages(
    source: &mut Source,
    genesis: &str,
    mut each: impl FnMut(Vec<&str>, u64) -> Result<(), Broken>,
) -> Result<(End, Result<(), Broken>), String> {
    let (read, taken) = std::thread::scope(|scope| {
        let (send, pages) = sync_channel::<Vec<StoredBlock>>(PAGES_AHEAD);
        let raw = &mut source.raw;
        let reader = scope.spawn(move || read(raw, genesis, &send));
        let mut taken = Ok(());
        for page in &pages {
            let last = page.last().map_or(0, |block| block.last);
            taken = each(page.iter().map(|block| inner(&block.body)).collect(), last);
            if taken.is_err() {
                break;
            }
        }
        // Dropped before joining: a reader that still sends would wait for ever.
        drop(pages);
        (reader.join(), taken)
    });
    let Ok((end, read)) = read else { return Err("the reader panicked".into()) };
    // Both may have found something: the chain's word counts, it names the bytes.
    Ok((end, read.and(taken)))
}

fn new_quarantine(trap: &Trap, known: &[Quarantine]) -> Result<Quarantine, String> {
    quarantine_of(trap)
        .filter(|new| known.iter().all(|old| !same_target(old, new)))
        .ok_or_else(|| format!("the guest trapped: {}", trap.detail))
}

fn named(module: &mut Module, quarantined: &[Quarantine]) -> Result<Vec<(String, u64)>, String> {
    if quarantined.is_empty() {
        return Ok(Vec::new());
    }
    let described = describe(module).map_err(|failure| failure.to_string())?;
    let name = |quarantine: &Quarantine| {
        let (Quarantined::Projection(index) | Quarantined::Building(index)) = quarantine.what
        else {
            return None;
        };
        let named = usize::try_from(index).ok().and_then(|at| described.projections.get(at));
        let name = named.map_or_else(|| index.to_string(), |(name, _)| name.clone());
        Some((name, quarantine.position))
    };
    Ok(quarantined.iter().filter_map(name).collect())
}

/// A refusal of the guest's, as something wrong with the log.
pub fn refusal(failure: &Failure, head: u64) -> Broken {
    let detail = failure.to_string();
    // The guest names the position in its text; without one nothing before the head is certain.
    let named = detail
        .split("position ")
        .nth(1)
        .map(|rest| rest.chars().take_while(char::is_ascii_digit).collect::<String>());
    let position = named.and_then(|digits| digits.parse().ok()).unwrap_or(head);
    Broken { position, detail }
}

struct Fold<'a> {
    bulk: Bulk<Instance>,
    store: MemoryStore,
    /// Those still to come.
    pauses: &'a [u64],
    at_pause: &'a mut dyn FnMut(u64, &MemoryStore),
}

impl Fold<'_> {
    fn run(
        &mut self,
        pages: &Receiver<Vec<StoredBlock>>,
        progress: &Progress,
    ) -> Result<(), Failure> {
        self.pause_at(0)?;
        for page in pages {
            let last = page.last().map_or(0, |block| block.last);
            let mut lines: Vec<&str> = page.iter().map(|block| inner(&block.body)).collect();
            while let Some(pause) = self.pauses.first().copied().filter(|pause| *pause <= last) {
                let (before, after) = split(&lines, pause);
                self.fold(before)?;
                self.pause_at(pause)?;
                lines = after;
            }
            self.fold(lines)?;
            progress.at(last);
        }
        self.bulk.finish(&mut self.store).map(drop)
    }

    fn fold(&mut self, lines: Vec<&str>) -> Result<(), Failure> {
        if lines.is_empty() {
            return Ok(());
        }
        self.bulk.fold(&mut self.store, lines).map(drop)
    }

    fn pause_at(&mut self, position: u64) -> Result<(), Failure> {
        if let Some((_, rest)) = self.pauses.split_first().filter(|(next, _)| **next == position) {
            self.pauses = rest;
            self.bulk.finish(&mut self.store)?;
            (self.at_pause)(position, &self.store);
        }
        Ok(())
    }
}

/// The lines up to a position, and those beyond it. Only the text in which they part is taken
/// apart.
pub fn split<'a>(texts: &[&'a str], pause: u64) -> (Vec<&'a str>, Vec<&'a str>) {
    let beyond = |line: &str| position(line).is_some_and(|position| position > pause);
    let whole = texts.partition_point(|text| !beyond(text));
    let (before, after) = texts.split_at(whole);
    let (mut before, mut after) = (before.to_vec(), after.to_vec());
    if let Some(text) = before.pop() {
        let lines: Vec<&str> = text.split(",\n").collect();
        let whole = lines.partition_point(|line| !beyond(line));
        if whole < lines.len() {
            before.extend(lines.iter().take(whole));
            after.splice(0..0, lines.into_iter().skip(whole));
        } else {
            before.push(text);
        }
    }
    (before, after)
}

/// Where reading got to.
#[derive(Clone, Copy, Debug)]
pub struct End {
    /// Position of the last line whose chain holds.
    pub position: u64,
    /// Its hash.
    pub hash: [u8; 32],
}

/// Reads and checks all blocks, and sends them in pages. A receiver that went away ends it.
fn read(
    raw: &mut Connection,
    genesis: &str,
    pages: &SyncSender<Vec<StoredBlock>>,
) -> (End, Result<(), Broken>) {
    let mut end = End { position: 0, hash: NO_HASH };
    let result = read_blocks(raw, genesis, pages, &mut end);
    (end, result)
}

fn read_blocks(
    raw: &mut Connection,
    genesis: &str,
    pages: &SyncSender<Vec<StoredBlock>>,
    end: &mut End,
) -> Result<(), Broken> {
    let mut chain = Chain::default();
    let broken = |position, detail: String| Broken { position, detail };
    chain.take(genesis).map_err(|e| broken(e.position(), e.to_string()))?;
    end.hash = chain.hash;
    let failed = |e: rusqlite::Error| broken(0, e.to_string());
    let mut statement = raw
        .prepare(
            "SELECT first_position, last_position, body FROM log \
             WHERE first_position > 0 ORDER BY first_position",
        )
        .map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let (mut page, mut bytes) = (Vec::new(), 0);
    loop {
        let next = end.position + 1;
        let row =
            rows.next().map_err(|e| broken(next, format!("the file can not be read: {e}")))?;
        let Some(row) = row else { break };
        let block = source::block(row).map_err(|e| broken(next, e))?;
        check(&block, &mut chain, end)?;
        bytes += block.body.len();
        page.push(block);
        if bytes >= PAGE_BYTES {
            bytes = 0;
            if pages.send(std::mem::take(&mut page)).is_err() {
                return Ok(());
            }
        }
    }
    // The receiver may be gone, after a refusal that it tells of itself.
    let _ = pages.send(page);
    Ok(())
}

/// A block follows the one before: its bounds are its lines', and their chain holds.
pub fn check(block: &StoredBlock, chain: &mut Chain, end: &mut End) -> Result<(), Broken> {
    let next = end.position + 1;
    let broken = |position, detail: String| Err(Broken { position, detail });
    if block.first != next {
        let detail = format!("a block starts at position {}, not at {next}", block.first);
        return broken(next.min(block.first), detail);
    }
    if !(block.body.starts_with('[') && block.body.ends_with(']')) {
        return broken(next, "a block is no JSON array".into());
    }
    let mut last_line = 0;
    for line in lines(&block.body) {
        chain.take(line).map_err(|e| Broken { position: e.position(), detail: e.to_string() })?;
        let first = position(line).unwrap_or_default();
        if last_line == 0 && first != block.first {
            return broken(next, format!("its block says that it has position {}", block.first));
        }
        last_line = first;
        *end = End { position: first, hash: chain.hash };
    }
    if chain.position != Some(block.last) {
        // Whichever ends first: from there on block and lines disagree.
        let next = chain.position.unwrap_or(last_line).min(block.last) + 1;
        let detail = format!("the block before says that it ends at position {}", block.last);
        return broken(next, detail);
    }
    end.position = block.last;
    Ok(())
}

impl Folded {
    /// The faulted projections as JSON.
    pub fn faulted_json(&self) -> String {
        let one = |(name, position): &(String, u64)| {
            Object::default().text("projection", name).token("position", position).end()
        };
        array(&self.faulted.iter().map(one).collect::<Vec<_>>())
    }

    /// The faulted projections for people, a line each.
    pub fn faulted_lines(&self) -> impl Iterator<Item = String> {
        let line =
            |(name, at): &(String, u64)| format!("faulted   {name} stopped at position {at}");
        self.faulted.iter().map(line)
    }
}
