//! `foldlog stats`: what is in a log, counted in one pass.
//!
//! Owns the counts. What `GET /stats` has too is the same there; what a log does not say (how long
//! a process runs, what it refused, which snapshots it kept) is left out.
//!
//! Invariant: memory does not grow with the log. The number of streams is that of events of version
//! 1, and of the streams themselves only those that are listed are kept: one that gave way to
//! smaller names can not come back.

use std::collections::BTreeMap;
use std::process::ExitCode;

use foldlog_core::chain::{Chain, hex};
use foldlog_core::commit::Genesis;
use foldlog_core::driver::describe;
use foldlog_core::ids;

use super::commits::{self, Line};
use super::progress::Progress;
use super::replay::module;
use super::source::Source;
use crate::cli::{Stats, print};
use crate::json::{Object, array};

/// A stream's place in the list: those of types that the guest does not know come last.
type Place = (bool, String, String);

#[derive(Debug, Default)]
struct Counts {
    commits: u64,
    bytes: u64,
    events: BTreeMap<String, u64>,
    streams: BTreeMap<String, u64>,
    /// Versions of the streams that are listed.
    listed: BTreeMap<Place, u64>,
    /// Modules that decided, and from which position on.
    guests: Vec<(String, u64)>,
    first: Option<String>,
    last: Option<String>,
}

/// Which streams are listed.
struct Page {
    known: Vec<String>,
    after: Option<Place>,
    limit: usize,
}

/// Counts and prints.
pub fn run(stats: &Stats) -> Result<ExitCode, String> {
    let source = Source::open(&stats.source.source, &stats.source.partition)?;
    let genesis = commits::genesis(&source)?;
    let mut module = module(stats.source.guest.as_deref())?;
    let described = describe(&mut module).map_err(|failure| failure.to_string())?;
    let known = described.aggregates.into_iter().map(|(kind, _)| kind).collect();
    let limit = usize::try_from(stats.limit).unwrap_or(usize::MAX);
    let mut page = Page { known, after: None, limit };
    let after = stats.after.as_deref().filter(|after| !after.is_empty());
    page.after = after.map(|after| page.place(after));
    let parsed = Genesis::parse(&genesis).map_err(|e| format!("genesis: {e}"))?;
    let mut counts = Counts { bytes: genesis.len() as u64 + 1, ..Counts::default() };
    counts.guests.push((parsed.guest.to_string(), 0));
    let progress = Progress::new(source.head()?);
    let chain = commits::checked(&source, &genesis, &mut |line| {
        counts.take(&line, &page);
        progress.at(line.commit.last_position());
        Ok(())
    });
    progress.end();
    let chain = chain?;
    if stats.source.json {
        print(&counts.json(&parsed, &chain));
    } else {
        counts.lines(&chain).iter().for_each(|line| print(line));
    }
    Ok(ExitCode::SUCCESS)
}

impl Page {
    fn place(&self, stream: &str) -> Place {
        let (kind, id) = ids::split_stream(stream).unwrap_or((stream, ""));
        (!self.known.iter().any(|known| known == kind), kind.to_string(), id.to_string())
    }
}

impl Counts {
    fn take(&mut self, line: &Line<'_>, page: &Page) {
        self.commits += 1;
        // With the line feed that it has in an export.
        self.bytes += line.text.len() as u64 + 1;
        let commit = line.commit;
        if let Some(guest) = &commit.guest {
            self.guests.push((guest.to_string(), commit.position));
        }
        for event in &commit.events {
            count(&mut self.events, &event.event_type);
            let (kind, _) = ids::split_stream(&event.stream).unwrap_or((&event.stream, ""));
            if event.version == 1 {
                count(&mut self.streams, kind);
            }
            self.list(page.place(&event.stream), event.version, page);
        }
        let time = line.time.to_iso();
        self.first.get_or_insert_with(|| time.clone());
        self.last = Some(time);
    }

    fn list(&mut self, place: Place, version: u64, page: &Page) {
        let beyond = |last: &Place| self.listed.len() >= page.limit && place > *last;
        let last = self.listed.last_key_value().map(|(last, _)| last);
        let full = last.is_some_and(beyond) || page.limit == 0;
        if full || page.after.as_ref().is_some_and(|after| place <= *after) {
            return;
        }
        self.listed.insert(place, version);
        if self.listed.len() > page.limit {
            self.listed.pop_last();
        }
    }

    fn json(&self, genesis: &Genesis<'_>, chain: &Chain) -> String {
        let table = |counts: &BTreeMap<String, u64>| {
            let object = Object::default();
            counts.iter().fold(object, |object, (name, count)| object.token(name, count)).end()
        };
        let stream = |((_, kind, id), version): (&Place, &u64)| {
            let object = Object::default().text("aggregate", &ids::stream_name(kind, id));
            object.token("eventCount", version).token("latestVersion", version).end()
        };
        let guest = |(sha256, position): &(String, u64)| {
            Object::default()
                .text("sha256", sha256)
                .token("after", position.saturating_sub(1))
                .end()
        };
        let time = |time: &Option<String>| {
            time.as_ref().map_or_else(|| "null".to_string(), |time| format!("\"{time}\""))
        };
        Object::default()
            .text("partition", &genesis.partition)
            .token("position", chain.position.unwrap_or_default())
            .text("hash", &hex(&chain.hash))
            .token("totalEvents", self.events.values().sum::<u64>())
            .token("totalAggregates", self.streams.values().sum::<u64>())
            .token("eventsByType", table(&self.events))
            .token("aggregatesByType", table(&self.streams))
            .token("aggregates", array(&self.listed.iter().map(stream).collect::<Vec<_>>()))
            .token("commits", self.commits)
            .token("bytes", self.bytes)
            .token("firstTime", time(&self.first))
            .token("lastTime", time(&self.last))
            .token("guests", array(&self.guests.iter().map(guest).collect::<Vec<_>>()))
            .end()
    }

    fn lines(&self, chain: &Chain) -> Vec<String> {
        let position = chain.position.unwrap_or_default();
        let mut lines = vec![
            format!("head      {position} {}", hex(&chain.hash)),
            format!("events    {position} in {} commits, {} bytes", self.commits, self.bytes),
        ];
        if let (Some(first), Some(last)) = (&self.first, &self.last) {
            lines.push(format!("recorded  {first} to {last}"));
        }
        for (guest, position) in &self.guests {
            lines.push(format!("guest     {guest} from position {}", position.max(&1)));
        }
        lines.push(format!("streams   {}", self.streams.values().sum::<u64>()));
        lines.extend(self.streams.iter().map(|(kind, count)| format!("{count:>11} {kind}")));
        lines.push(format!("types     {}", self.events.len()));
        lines.extend(self.events.iter().map(|(kind, count)| format!("{count:>11} {kind}")));
        lines
    }
}

fn count(counts: &mut BTreeMap<String, u64>, name: &str) {
    match counts.get_mut(name) {
        Some(count) => *count += 1,
        None => drop(counts.insert(name.to_string(), 1)),
    }
}
