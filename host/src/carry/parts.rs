//! A source's log, cut into parts as `POST /log/import` takes them.
//!
//! Owns where a part ends. Refuses to know who takes it.

use foldlog_core::chain::{lines, position};

use crate::harness::source::{self, Source};

/// A part ends when it has so many bytes; far below what a host takes, since it is held in memory.
const PART_BYTES: usize = 16 << 20;

/// Some lines, each with its line feed.
#[derive(Debug)]
pub struct Part {
    /// What it is.
    pub bytes: Vec<u8>,
    /// Position of its last event.
    pub last: u64,
    /// Nothing comes after it.
    pub complete: bool,
}

/// Only whole logs are carried on.
pub fn check(source: &Source) -> Result<String, String> {
    let failed = |detail: &str| format!("{}: {detail}", source.path.display());
    if let Some(broken) = &source.broken {
        return Err(failed(&broken.detail));
    }
    if source.import()?.is_some() {
        return Err(failed("an import into it is not complete: there is no log yet"));
    }
    source.genesis()?.ok_or_else(|| failed("the log is empty"))
}

/// The part behind a position; without one, from genesis on.
pub fn part(source: &Source, genesis: &str, after: Option<u64>) -> Result<Part, String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let from = after.unwrap_or(0);
    let sql = "SELECT first_position, last_position, body FROM log \
               WHERE first_position > 0 AND last_position > ?1 \
               AND first_position >= (SELECT ifnull(max(first_position), 0) FROM log \
               WHERE first_position <= ?1 + 1) ORDER BY first_position";
    let mut statement = source.raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([i64::try_from(from).unwrap_or(i64::MAX)]).map_err(failed)?;
    let mut part = Part { bytes: Vec::new(), last: from, complete: true };
    if after.is_none() {
        push(&mut part.bytes, genesis);
    }
    while let Some(row) = rows.next().map_err(failed)? {
        if part.bytes.len() >= PART_BYTES {
            part.complete = false;
            break;
        }
        let block = source::block(row)?;
        // A damaged line is for whoever takes it in to find.
        let behind = |line: &&str| position(line).is_none_or(|position| position > from);
        lines(&block.body).filter(behind).for_each(|line| push(&mut part.bytes, line));
        part.last = block.last;
    }
    Ok(part)
}

fn push(bytes: &mut Vec<u8>, line: &str) {
    bytes.extend_from_slice(line.as_bytes());
    bytes.push(b'\n');
}
