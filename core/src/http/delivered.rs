//! Events as consumers are sent them: a page of a topic.
//!
//! Owns how much one page has. Refuses to know who is sent them.

use alloc::string::String;

use super::shown::{self, Form};
use super::topics::term;
use crate::commit::Commit;
use crate::engine::{Access, Engine, Term, find_positions};
use crate::limits::PAGE_BYTES_MAX;
use crate::protocol::consumers::{Page, Place};
use crate::read::{Stop, with_records};

/// Events of a topic beyond a position. Of one that is no more there are none.
pub fn page(
    engine: &Engine,
    access: &mut Access<'_>,
    topic: &str,
    after: u64,
    limit: u32,
) -> Result<Page, Stop> {
    let head = engine.head().position;
    let mut page = Page { events: "[".into(), looked: head, ..Page::default() };
    let term = if after < head { term(engine, access, topic)? } else { None };
    if let Some(term) = term {
        let (low, wanted) = (after.saturating_add(1), limit.saturating_add(1));
        let found = find_positions(access, &[Term::list(term)], low, head, false, wanted)?;
        if let Some(looked) = found.unfinished {
            page.looked = looked;
        }
        fill(engine.partition(), access, &found.positions, limit, &mut page)?;
    }
    page.events.push(']');
    Ok(page)
}

/// Fills a page with the events at these positions while there is room. A commit may have many of
/// them and be long: its line is read once, and others by how long the lines before were.
fn fill(
    partition: &str,
    access: &mut Access<'_>,
    positions: &[u64],
    limit: u32,
    page: &mut Page,
) -> Result<(), Stop> {
    let (mut rest, mut bytes, mut lines) = (positions, 0_usize, 0_usize);
    while let Some(first) = rest.first() {
        if full(page, limit) {
            // What comes before the next one is done with.
            page.looked = first.saturating_sub(1);
            break;
        }
        let line = bytes.checked_div(lines).unwrap_or(PAGE_BYTES_MAX).max(1);
        let asked = PAGE_BYTES_MAX.checked_div(line).unwrap_or(1).clamp(1, rest.len());
        let asked = rest.get(..asked).unwrap_or_default();
        let mut to = 0;
        for line in access.commits(asked)? {
            (bytes, lines) = (bytes.saturating_add(line.len()), lines.saturating_add(1));
            let commit = Commit::parse(&line).map_err(|e| Stop::Fault(alloc::format!("{e}")))?;
            if commit.position <= to || full(page, limit) {
                continue;
            }
            to = push(partition, &line, positions, limit, page)?;
        }
        rest = rest.get(rest.partition_point(|position| *position <= to)..).unwrap_or_default();
    }
    Ok(())
}

/// An event that is longer than a page is one of its own.
const fn full(page: &Page, limit: u32) -> bool {
    page.count >= limit || (page.count > 0 && page.events.len() > PAGE_BYTES_MAX)
}

/// Adds the events of a commit that are at these positions; tells up to where that was done.
fn push(
    partition: &str,
    line: &str,
    positions: &[u64],
    limit: u32,
    page: &mut Page,
) -> Result<u64, Stop> {
    let (mut to, mut open) = (0, true);
    with_records(line, |record| {
        let wanted = positions.binary_search(&record.position).is_ok();
        open &= !(wanted && full(page, limit));
        if !open {
            return Ok(());
        }
        to = record.position;
        if wanted {
            if page.count > 0 {
                page.events.push(',');
            }
            shown::push(&mut page.events, partition, record, Form::Topic);
            page.count = page.count.saturating_add(1);
            page.hops = page.hops.max(record.commit.hops);
            let id = Some(String::from(record.id()));
            page.last = Place { position: record.position, id };
        }
        Ok(())
    })?;
    Ok(to)
}
