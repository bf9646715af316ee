//! The rejection journal as it is read: from a source's rows, a file, or a running host.
//!
//! Owns entries, and `foldlog rejected`, which shows them. Refuses to judge what they come to (`gate`).

use std::collections::BTreeMap;
use std::io::Write;
use std::path::Path;
use std::process::ExitCode;

use foldlog_core::chain::unhex;
use foldlog_core::driver::{OwnedBody, OwnedRequest};
use foldlog_core::engine::rejected::{ENTRIES, view};
use foldlog_core::protocol::Stamp;
use foldlog_core::time::Time;
use hyper::StatusCode;
use serde::Deserialize;
use serde_json::value::RawValue;

use super::rows::each;
use super::source::Source;
use crate::cli::{KeyFlag, Rejected, print};
use crate::remote::{Remote, detail};

/// A command that was refused.
#[derive(Clone, Debug, Deserialize)]
pub struct Entry {
    /// Its number in the journal.
    pub n: u64,
    /// The log's position as of which it was decided.
    pub after: u64,
    clock: String,
    entropy: String,
    /// The request's.
    pub method: String,
    /// The request's path and query, within its partition.
    pub target: String,
    headers: BTreeMap<String, String>,
    body: String,
    /// What it was told.
    pub status: u16,
    /// The name of the error.
    pub code: String,
    /// For people.
    pub detail: String,
}

impl Entry {
    /// The request as it came.
    pub fn request(&self) -> OwnedRequest {
        let headers = self.headers.iter();
        OwnedRequest {
            method: self.method.clone(),
            target: self.target.clone(),
            headers: headers.map(|(n, value)| (n.clone(), value.clone().into_bytes())).collect(),
            body: OwnedBody::Whole(self.body.clone().into_bytes()),
        }
    }

    /// Its time and entropy.
    pub fn stamp(&self) -> Result<Stamp, String> {
        let stamp = Time::parse_iso(&self.clock).zip(unhex(&self.entropy));
        let stamp = stamp.map(|(clock, entropy)| Stamp { clock, entropy });
        stamp.ok_or_else(|| format!("refused command {}: its stamp can not be read", self.n))
    }

    fn text(&self) -> String {
        let Self { n, after, clock, method, target, status, code, detail, .. } = self;
        format!("{n:<8} after {after:<8} {clock}  {method} {target}  {status} {code}: {detail}")
    }
}

/// Entries and the texts that they were read from, oldest first.
type Found = Vec<(Entry, Box<RawValue>)>;

/// Prints them.
pub fn run(rejected: &Rejected) -> Result<ExitCode, String> {
    let place = &rejected.place;
    let url =
        place.source.to_str().filter(|s| s.starts_with("http://") || s.starts_with("https://"));
    let found = match url {
        Some(url) => of_host(url, &place.partition, &rejected.key)?,
        None => {
            let source = Source::open(&place.source, &place.partition)?;
            if source.is_lines {
                let path = source.path.display();
                return Err(format!("{path}: NDJSON is the log alone, without what was refused"));
            }
            of_source(&source)?
        }
    };
    if place.json {
        let mut out = std::io::stdout().lock();
        let lines = found.iter().try_for_each(|(_, raw)| writeln!(out, "{}", raw.get()));
        lines.and_then(|()| out.flush()).map_err(|e| format!("standard output: {e}"))?;
    } else {
        found.iter().for_each(|(entry, _)| print(&entry.text()));
        let numbers = found.first().zip(found.last()).map(|((first, _), (last, _))| {
            format!(", entries {} to {} of the journal", first.n, last.n)
        });
        print(&format!("kept      {}{}", found.len(), numbers.unwrap_or_default()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Those of a file, or of a source; in the order in which they came, by position.
pub fn entries(file: Option<&Path>, source: &Source) -> Result<Vec<Entry>, String> {
    let found = match file {
        Some(path) => of_file(path)?,
        None => of_source(source)?,
    };
    let mut entries: Vec<Entry> = found.into_iter().map(|(entry, _)| entry).collect();
    entries.iter().try_for_each(|entry| entry.stamp().map(drop))?;
    entries.sort_by_key(|entry| (entry.after, entry.n));
    Ok(entries)
}

fn of_source(source: &Source) -> Result<Found, String> {
    let view = view();
    let sql = "SELECT view, generation, key, value FROM rows \
               WHERE view = ?1 AND generation = ?2 AND key >= ?3 ORDER BY key";
    let mut found = Found::new();
    each(
        &source.raw,
        sql,
        &[&view.name, &view.generation, &ENTRIES],
        |name, generation, key, sealed| {
            let value = foldlog_core::chain::unseal_row(name, generation, key, sealed);
            let value = value.ok_or("a refused command does not match its checksum")?;
            let text = std::str::from_utf8(value).map_err(|e| e.to_string())?;
            found.push(read(text)?);
            Ok(true)
        },
    )?;
    Ok(found)
}

/// One object a line, as this verb writes them, or arrays of them, as a host gives them.
fn of_file(path: &Path) -> Result<Found, String> {
    let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
    let input = std::fs::read_to_string(path).map_err(|e| failed(&e))?;
    let mut found = Found::new();
    for value in serde_json::Deserializer::from_str(&input).into_iter::<&RawValue>() {
        let value = value.map_err(|e| failed(&e))?;
        match value.get().starts_with('[') {
            true => found.extend(list(value.get()).map_err(|e| failed(&e))?),
            false => found.push(read(value.get()).map_err(|e| failed(&e))?),
        }
    }
    Ok(found)
}

fn of_host(url: &str, partition: &str, key: &KeyFlag) -> Result<Found, String> {
    let remote = Remote::new(url, (partition != "main").then_some(partition), key)?;
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
    runtime.map_err(|e| e.to_string())?.block_on(async {
        let mut found = Found::new();
        loop {
            let after = found.last().map(|(last, _)| format!("&after={}", last.n));
            let target = format!("/log/rejected?limit=1000{}", after.unwrap_or_default());
            let (status, body) = remote.get(&target).await?;
            if status != StatusCode::OK {
                return Err(format!("{}: {}", remote.base, detail(status, &body)));
            }
            let page = list(&String::from_utf8_lossy(&body))?;
            if page.is_empty() {
                return Ok(found);
            }
            found.extend(page);
        }
    })
}

fn list(text: &str) -> Result<Found, String> {
    let all: Vec<Box<RawValue>> = serde_json::from_str(text).map_err(|e| e.to_string())?;
    all.iter().map(|one| read(one.get())).collect()
}

fn read(text: &str) -> Result<(Entry, Box<RawValue>), String> {
    let entry = serde_json::from_str(text);
    let entry = entry.map_err(|e| format!("not an entry of a rejection journal: {e}"))?;
    let raw = RawValue::from_string(text.to_string()).map_err(|e| e.to_string())?;
    Ok((entry, raw))
}
