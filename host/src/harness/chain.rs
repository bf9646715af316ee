//! The chain alone: is each line what was hashed, and where does it break first?
//!
//! Owns checking many blocks at the same time. Refuses to fold, and to look at rows.
//!
//! Invariant: what follows from a page of blocks rests on where it says to begin. That is what the
//! page before says of its own end, and that page is checked for it: so when all pages hold, the
//! chain holds, and when some do not, the first of them has the first bad position.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::sync::{Mutex, PoisonError};
use std::time::Instant;

use foldlog_core::chain::{Chain, NO_HASH, StoredBlock, hex, inner, line_and_next, stored_hash};
use foldlog_core::commit::Commit;

use super::finding::{Finding, Head, head};
use super::fold::{self, Broken, End};
use super::progress::Progress;
use super::source::{self, Source};
use super::verify::NOT_CLEAN;
use crate::json::{Object, array};

/// Bytes of blocks that are checked in one go.
const PAGE_BYTES: usize = 512 << 10;
/// More threads than this wait for the one that reads.
const THREADS_MAX: usize = 8;

/// What a check came to.
#[derive(Debug)]
pub struct Checked {
    /// Where it began, if not before genesis.
    pub from: Option<u64>,
    /// Position and hash of the last line whose chain holds.
    pub position: u64,
    /// See above.
    pub hash: [u8; 32],
    /// Where it breaks.
    pub broken: Option<Broken>,
    /// How long it took.
    pub seconds: f64,
}

/// Some blocks, one after the other.
struct Page {
    number: usize,
    /// Where they must begin.
    start: Chain,
    blocks: Vec<StoredBlock>,
}

/// The first page that does not hold: its number, where its chain ends, and why.
type First = Mutex<Option<(usize, End, Broken)>>;

/// Checks a source from its beginning, or from a place that was checked before.
pub fn check(source: &Source, from: Option<Head>) -> Result<Checked, String> {
    let started = Instant::now();
    if source.broken_at(0) {
        return Ok(Checked::at(None, Chain::default(), source.broken.clone()));
    }
    let Some(genesis) = source.genesis()? else { return without_log(source, from) };
    let mut chain = Chain::default();
    let (position, rest) = match from {
        None => {
            if let Err(e) = chain.take(&genesis) {
                let broken = Broken { position: 0, detail: e.to_string() };
                return Ok(Checked::at(None, chain, Some(broken)));
            }
            (None, None)
        }
        Some(from) => {
            let position =
                from.position.ok_or("--from needs POSITION:HASH, as verify prints it")?;
            match begin(source, &genesis, position, &from)? {
                Ok(rest) => {
                    chain = Chain { hash: from.hash, position: Some(position) };
                    (Some(position), rest)
                }
                Err(broken) => return Ok(Checked::at(Some(position), chain, Some(broken))),
            }
        }
    };
    let (end, broken) = pages(source, chain, rest)?;
    let broken = broken.or_else(|| source.broken.clone());
    let chain = Chain { hash: end.hash, position: Some(end.position) };
    let seconds = started.elapsed().as_secs_f64();
    Ok(Checked { seconds, ..Checked::at(position, chain, broken) })
}

/// A log that never began is whole, unless it is known to have been longer.
fn without_log(source: &Source, from: Option<Head>) -> Result<Checked, String> {
    if source.import()?.is_some() {
        let detail = "an import into it is not complete: there is no log yet";
        return Err(format!("{}: {detail}", source.path.display()));
    }
    let detail = match from {
        _ if source.head()? > 0 => Some("there is no genesis line"),
        Some(_) => Some("the log is empty: it was truncated"),
        None => None,
    };
    let broken = detail.map(|detail| Broken { position: 0, detail: detail.into() });
    Ok(Checked::at(None, Chain { hash: NO_HASH, position: None }, broken))
}

/// Whether the log has this place; what its block has beyond it.
fn begin(
    source: &Source,
    genesis: &str,
    position: u64,
    from: &Head,
) -> Result<Result<Option<StoredBlock>, Broken>, String> {
    let broken = |detail: String| Ok(Err(Broken { position, detail }));
    let last = source.head()?;
    if position > last {
        return broken(format!("the log ends at position {last}: it was truncated"));
    }
    let block = if position == 0 { None } else { source.block_of(position)? };
    let found = match &block {
        None => Some((genesis, None)),
        Some(block) => line_and_next(&block.body, position),
    };
    let ends = |line: &str| match position {
        0 => true,
        _ => Commit::parse(line).is_ok_and(|commit| commit.last_position() == position),
    };
    let Some((line, next)) = found.filter(|(line, _)| ends(line)) else {
        return broken(format!("no commit ends at position {position}"));
    };
    if stored_hash(line) != Some(from.hash) {
        return broken("another line is there than when the log was verified before".into());
    }
    let rest = block.as_ref().zip(next).and_then(|(block, first)| {
        // The place lies within the text that it was found in.
        let behind = line.as_ptr() as usize - block.body.as_ptr() as usize + line.len();
        let rest = block.body.get(behind..)?.trim_start_matches([',', '\n']);
        Some(StoredBlock { first, last: block.last, body: format!("[{rest}") })
    });
    Ok(Ok(rest))
}

/// Has all blocks behind a place checked; where that ends, and what is wrong.
fn pages(
    source: &Source,
    start: Chain,
    rest: Option<StoredBlock>,
) -> Result<(End, Option<Broken>), String> {
    let threads = std::thread::available_parallelism().map_or(2, usize::from).min(THREADS_MAX);
    let (send, receive) = sync_channel(threads);
    let (receive, first, stop) = (Mutex::new(receive), First::default(), AtomicBool::new(false));
    let claimed = std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| work(&receive, &first, &stop));
        }
        // Dropped at its end: that ends the threads.
        read(source, start, rest, send, &stop)
    });
    let first = first.into_inner().unwrap_or_else(PoisonError::into_inner);
    let claimed = claimed?;
    Ok(match first {
        Some((_, end, broken)) => (end, Some(broken)),
        None => claimed,
    })
}

fn work(pages: &Mutex<Receiver<Page>>, first: &First, stop: &AtomicBool) {
    loop {
        let page = pages.lock().unwrap_or_else(PoisonError::into_inner).recv();
        let Ok(Page { number, start, blocks }) = page else { return };
        let mut chain = start;
        let mut end = End { position: start.position.unwrap_or(0), hash: start.hash };
        let result = blocks.iter().try_for_each(|block| fold::check(block, &mut chain, &mut end));
        let Err(broken) = result else { continue };
        stop.store(true, Ordering::Relaxed);
        let mut first = first.lock().unwrap_or_else(PoisonError::into_inner);
        if first.as_ref().is_none_or(|(known, ..)| number < *known) {
            *first = Some((number, end, broken));
        }
    }
}

/// Hands all blocks out in pages; returns where the last one says that it ends, and why there is
/// no other.
fn read(
    source: &Source,
    start: Chain,
    rest: Option<StoredBlock>,
    pages: SyncSender<Page>,
    stop: &AtomicBool,
) -> Result<(End, Option<Broken>), String> {
    let progress = Progress::new(source.head()?);
    let after = rest.as_ref().map_or(start.position.unwrap_or(0), |rest| rest.last);
    let mut handing = Handing { pages, page: Vec::new(), bytes: 0, number: 0, start, end: start };
    rest.into_iter().for_each(|rest| handing.add(rest));
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let sql = "SELECT first_position, last_position, body FROM log \
               WHERE first_position > ?1 AND first_position > 0 ORDER BY first_position";
    let mut statement = source.raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([i64::try_from(after).unwrap_or(i64::MAX)]).map_err(failed)?;
    let mut broken = None;
    while !stop.load(Ordering::Relaxed) {
        let next = handing.end.position.unwrap_or(0) + 1;
        let told = |detail: String| Some(Broken { position: next, detail });
        match rows.next() {
            Ok(Some(row)) => match source::block(row) {
                Ok(block) => handing.add(block),
                Err(detail) => broken = told(detail),
            },
            Ok(None) => break,
            Err(e) => broken = told(format!("the file can not be read: {e}")),
        }
        if broken.is_some() {
            break;
        }
        progress.at(next);
    }
    handing.hand_out();
    progress.end();
    let Chain { hash, position } = handing.end;
    Ok((End { position: position.unwrap_or(0), hash }, broken))
}

struct Handing {
    pages: SyncSender<Page>,
    page: Vec<StoredBlock>,
    bytes: usize,
    number: usize,
    start: Chain,
    /// Where the last block says that it ends.
    end: Chain,
}

impl Handing {
    fn add(&mut self, block: StoredBlock) {
        let text = inner(&block.body);
        let line = text.rfind('\n').map_or(text, |feed| text.get(feed + 1..).unwrap_or_default());
        // One that has none is found to be broken.
        let hash = stored_hash(line).unwrap_or(NO_HASH);
        self.end = Chain { hash, position: Some(block.last) };
        self.bytes += block.body.len();
        self.page.push(block);
        if self.bytes >= PAGE_BYTES {
            self.hand_out();
        }
    }

    fn hand_out(&mut self) {
        let page = Page {
            number: self.number,
            start: std::mem::replace(&mut self.start, self.end),
            blocks: std::mem::take(&mut self.page),
        };
        (self.number, self.bytes) = (self.number + 1, 0);
        // The threads go on for as long as there is something to take.
        let _ = self.pages.send(page);
    }
}

impl Checked {
    fn at(from: Option<u64>, chain: Chain, broken: Option<Broken>) -> Self {
        let Chain { hash, position } = chain;
        Self { from, position: position.unwrap_or(0), hash, broken, seconds: 0.0 }
    }

    fn rate(&self) -> f64 {
        let events = self.position - self.from.unwrap_or(0).min(self.position);
        (events as f64 / self.seconds.max(1e-9)).round()
    }

    /// For tools.
    pub fn json(&self, findings: &[Finding]) -> String {
        let told: Vec<String> = findings.iter().map(Finding::json).collect();
        Object::default()
            .token("ok", findings.is_empty())
            .token("position", self.position)
            .text("hash", &hex(&self.hash))
            .text("head", &head(self.position, &self.hash))
            .text("checked", "chain")
            .token("from", self.from.unwrap_or(0))
            .token("seconds", format!("{:.6}", self.seconds))
            .token("eventsPerSecond", self.rate())
            .token("findings", array(&told))
            .end()
    }

    /// For people.
    pub fn text(&self, findings: &[Finding]) -> String {
        let mut lines: Vec<String> = findings.iter().map(Finding::text).collect();
        lines.push(format!("head      {} {}", self.position, hex(&self.hash)));
        let from = self.from.map_or_else(|| "genesis".into(), |from| format!("position {from}"));
        let (seconds, rate) = (self.seconds, self.rate());
        lines.push(format!(
            "checked   the chain alone, from {from} on, in {seconds:.3} s: {rate} events/s"
        ));
        if findings.is_empty() {
            lines.push("clean     the chain holds; rows and fold were not looked at".into());
            lines.push(format!("next      --from {}", head(self.position, &self.hash)));
        } else {
            lines.push(NOT_CLEAN.into());
        }
        lines.join("\n")
    }
}
