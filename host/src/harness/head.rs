//! `foldlog head`: where a log stands, by its last line.
//!
//! Refuses to check anything before it: that takes reading all of it, which is `verify`'s.

use std::process::ExitCode;

use foldlog_core::chain::{self, hex};
use foldlog_core::commit::{Commit, Genesis};

use super::commits;
use super::source::{self, Source};
use crate::cli::{Head, print};
use crate::json::Object;

/// Prints it.
pub fn run(head: &Head) -> Result<ExitCode, String> {
    let source = Source::open(&head.source.source, &head.source.partition)?;
    let genesis = commits::genesis(&source)?;
    source.whole()?;
    let line = last_line(&source)?.unwrap_or_else(|| genesis.clone());
    let unreadable = || format!("{}: the last line can not be read", source.path.display());
    let hash = chain::stored_hash(&line).ok_or_else(unreadable)?;
    let parsed = Genesis::parse(&genesis).map_err(|e| format!("genesis: {e}"))?;
    let (position, time) = match Commit::parse(&line) {
        Ok(commit) if commit.position > 0 => (commit.last_position(), commit.time.into_owned()),
        _ if line == genesis => (0, parsed.time.to_string()),
        _ => return Err(unreadable()),
    };
    let partition = parsed.partition.as_ref();
    if head.source.json {
        let object = Object::default()
            .text("partition", partition)
            .token("position", position)
            .text("hash", &hex(&hash))
            .text("time", &time)
            .token("format", parsed.format);
        print(&object.end());
    } else {
        print(&format!("head      {position} {}", hex(&hash)));
        print(&format!("recorded  {time}"));
        print(&format!("partition {partition}, format {}", parsed.format));
    }
    Ok(ExitCode::SUCCESS)
}

/// The last commit's line; none when there is none.
fn last_line(source: &Source) -> Result<Option<String>, String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let sql = "SELECT first_position, last_position, body FROM log WHERE first_position > 0 \
               ORDER BY first_position DESC LIMIT 1";
    let mut statement = source.raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([]).map_err(failed)?;
    let Some(row) = rows.next().map_err(failed)? else { return Ok(None) };
    let block = source::block(row)?;
    Ok(chain::lines(&block.body).next_back().map(String::from))
}
