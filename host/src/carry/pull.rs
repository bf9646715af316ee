//! `foldlog pull`: a host's log into a file, which goes on where it ended the last time.
//!
//! Owns going on after a break, and telling when the host's log is not the file's. The chain is
//! checked line by line as they come, and where the host said that its log ends.
//!
//! Invariant: whatever ends it, the file is a good log as far as it goes, so pulling again is all
//! that there is to do.

use std::process::ExitCode;
use std::time::{Duration, Instant};

use foldlog_core::chain::{Chain, StoredBlock, hex, lines, stored_hash};
use foldlog_core::driver::{Lines, Progress};
use hyper::StatusCode;

use super::output::Output;
use crate::cli::{Pull, print};
use crate::harness::finding::head;
use crate::harness::progress::Progress as Bar;
use crate::json::Object;
use crate::remote::{Remote, RemoteHead, detail, next};

/// How often a connection is made again that brought nothing new, and how much later.
const TRIES: u32 = 6;
const AGAIN: Duration = Duration::from_secs(1);
/// Lines are stored when so many bytes of them have come.
const STORED_BYTES: u64 = 4 << 20;

/// Why it ends early.
enum Stop {
    /// The host's log is not what it should be.
    Found(String),
    /// It can not be told.
    Failed(String),
    /// Asking again may help.
    Broke(String),
}

struct Puller {
    remote: Remote,
    output: Output,
    progress: Progress,
    bar: Option<Bar>,
}

/// Pulls it and prints what came of it; exit code 1 when the host's log does not follow.
pub fn run(pull: &Pull) -> Result<ExitCode, String> {
    let started = Instant::now();
    let remote = Remote::new(&pull.url, pull.partition.as_deref(), &pull.key)?;
    let (output, progress) = Output::resume(&pull.output)?;
    let from = progress.chain.position;
    let mut puller = Puller { remote, output, progress, bar: None };
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    let pulled = runtime.map_err(|e| e.to_string())?.block_on(puller.all());
    puller.bar.iter().for_each(Bar::end);
    let Puller { remote, output, progress, .. } = puller;
    let file = output.path.display().to_string();
    match pulled {
        Ok(()) => output.end()?,
        Err(Stop::Found(why)) => {
            keep(output, &progress)?;
            eprintln!("foldlog: {}: {why}", remote.base);
            return Ok(ExitCode::FAILURE);
        }
        Err(Stop::Failed(why) | Stop::Broke(why)) => {
            keep(output, &progress)?;
            return Err(format!("{}: {why}", remote.base));
        }
    }
    let Chain { hash, position } = progress.chain;
    let position = position.unwrap_or(0);
    let (events, seconds) = (position - from.unwrap_or(0), started.elapsed().as_secs_f64());
    let head = head(position, &hash);
    if pull.json {
        let object = Object::default().token("ok", true).text("file", &file);
        let object = object.token("from", from.unwrap_or(0)).token("position", position);
        let object = object.text("head", &head).token("events", events);
        print(&object.token("seconds", format!("{seconds:.3}")).end());
    } else {
        print(&format!("pulled    {file}: {events} events in {seconds:.3} s, head {head}"));
    }
    Ok(ExitCode::SUCCESS)
}

/// What came is good as far as it goes; a file in which nothing came is none.
fn keep(output: Output, progress: &Progress) -> Result<(), String> {
    if progress.genesis.is_empty() { Ok(()) } else { output.end() }
}

impl Puller {
    async fn all(&mut self) -> Result<(), Stop> {
        let mut tries = 0;
        loop {
            let before = self.progress.chain.position;
            let broke = match self.once().await {
                Err(Stop::Broke(why)) => why,
                ended => return ended,
            };
            tries = if self.progress.chain.position > before { 0 } else { tries + 1 };
            if tries >= TRIES {
                let why = format!("{broke}; what came is stored, pull again to go on");
                return Err(Stop::Broke(why));
            }
            tokio::time::sleep(AGAIN).await;
        }
    }

    /// From the file's head to the host's.
    async fn once(&mut self) -> Result<(), Stop> {
        let head = self.remote.head().await.map_err(Stop::Broke)?;
        if head.position == 0 {
            return Err(Stop::Failed("there is no log to pull".into()));
        }
        if self.at_end(&head)? {
            return Ok(());
        }
        self.bar.get_or_insert_with(|| Bar::new(head.position));
        self.stream().await?;
        match self.at_end(&head)? {
            true => Ok(()),
            false => Err(Stop::Broke("the export ended before the log's head".into())),
        }
    }

    /// Whether the file has all that the host had, and the same.
    fn at_end(&self, head: &RemoteHead) -> Result<bool, Stop> {
        let RemoteHead { position: there, hash, partition } = head;
        let Chain { position, hash: ours } = self.progress.chain;
        match position {
            Some(position) if position == *there && hex(&ours) != *hash => {
                Err(Stop::Found(format!(
                    "its head at position {there} has another hash than {}: it is not the same log",
                    self.output.path.display()
                )))
            }
            Some(position) if position > *there && self.bar.is_none() => Err(Stop::Found(format!(
                "the log of partition {partition} ends at position {there}, before the end of {} \
                 at {position}",
                self.output.path.display()
            ))),
            Some(position) => Ok(position >= *there),
            None => Ok(false),
        }
    }

    async fn stream(&mut self) -> Result<(), Stop> {
        let begun = self.progress.chain.position;
        let after = begun.map_or_else(String::new, |position| format!("?after={position}"));
        let answer = self.remote.open(&format!("/log/export{after}")).await;
        let answer = answer.map_err(Stop::Broke)?;
        let status = answer.status();
        if status != StatusCode::OK {
            let body = http_body_util::BodyExt::collect(answer.into_body()).await;
            let body = body.map(|body| body.to_bytes()).unwrap_or_default();
            let why = detail(status, &body);
            let again = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
            return Err(if again { Stop::Broke(why) } else { Stop::Failed(why) });
        }
        let mut body = answer.into_body();
        let mut lines = Lines::after(self.progress.clone());
        let (mut blocks, mut stored) = (Vec::new(), 0);
        let ended = loop {
            let taken = match next(&mut body).await {
                Ok(Some(bytes)) => lines.take(&bytes, &mut blocks),
                Ok(None) if lines.begun() > 0 => break Err(Stop::Broke("it broke off".into())),
                Ok(None) => break Ok(()),
                Err(why) => break Err(Stop::Broke(why)),
            };
            if let Err(refused) = taken {
                let (position, detail) = (refused.position, refused.detail);
                let file = self.output.path.display();
                let why = match begun {
                    Some(end) if end + 1 == position => format!(
                        "its log does not go on where {file} ends: position {position}: {detail}"
                    ),
                    _ => format!("its log is broken at position {position}: {detail}"),
                };
                break Err(Stop::Found(why));
            }
            if lines.bytes - stored >= STORED_BYTES {
                stored = lines.bytes;
                self.store(&lines.progress.genesis, std::mem::take(&mut blocks))?;
            }
        };
        blocks.extend(lines.rest());
        self.store(&lines.progress.genesis, blocks)?;
        ended
    }

    /// Stores lines; the file goes on behind them from now on.
    fn store(&mut self, genesis: &str, blocks: Vec<StoredBlock>) -> Result<(), Stop> {
        let first = (self.progress.genesis != genesis).then_some(genesis);
        let last = blocks.last().and_then(|block| {
            let hash = lines(&block.body).next_back().and_then(stored_hash)?;
            Some(Chain { hash, position: Some(block.last) })
        });
        let begun = first.and_then(stored_hash).map(|hash| Chain { hash, position: Some(0) });
        let Some(chain) = last.or(begun) else { return Ok(()) };
        self.output.put(first, blocks).map_err(Stop::Failed)?;
        self.progress = Progress { genesis: genesis.into(), chain };
        self.bar.iter().for_each(|bar| bar.at(chain.position.unwrap_or(0)));
        Ok(())
    }
}
