//! Events over HTTP: all of them, one stream, one event.
//!
//! Owns how filters narrow a list. Refuses to know what an event looks like. No filter scans the
//! log: each names a list of positions (an index), several are intersected list against list, times
//! are bisected.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::Answer;
use super::request::Parsed;
use super::shown::{self, CLOUD_EVENT, CLOUD_EVENTS, Form};
use crate::decider::AggregateSpec;
use crate::engine::{
    Access, Engine, Term, find_positions, first_position_at, nth_position, position_of_event,
    postings,
};
use crate::errors::{Code, Problem};
use crate::ids;
use crate::limits::{COMMIT_BYTES_MAX, LIST_LIMIT_DEFAULT, PAGE_BYTES_MAX, STAGE_READ_BYTES_MAX};
use crate::read::{Stop, with_each, with_records};
use crate::record::Record;
use crate::time::Time;

/// After so much of the log, one more read, a page and a commit at most, may be more than a list may
/// take; some is left for indexes.
const READ_BYTES_MAX: usize = STAGE_READ_BYTES_MAX - PAGE_BYTES_MAX - COMMIT_BYTES_MAX - (64 << 10);

/// Which positions a list shows: `low <= p <= high`, in one direction.
pub(super) struct Range {
    /// First position that may be shown.
    pub low: u64,
    /// Last one.
    pub high: u64,
    /// From high to low.
    pub descending: bool,
    /// At most so many are shown.
    pub limit: u32,
}

impl Range {
    fn new(parsed: &Parsed, head: u64) -> Self {
        let number =
            |name| parsed.params.get(name).and_then(|value: &String| value.parse::<u64>().ok());
        let descending = parsed.params.get("order").is_some_and(|order| order == "desc");
        let limit =
            number("limit").and_then(|n| u32::try_from(n).ok()).unwrap_or(LIST_LIMIT_DEFAULT);
        let (mut low, mut high) = (1, head);
        match number("after") {
            Some(after) if descending => high = high.min(after.saturating_sub(1)),
            Some(after) => low = after.saturating_add(1),
            None => {}
        }
        Self { low, high, descending, limit }
    }

    fn contains(&self, position: u64) -> bool {
        (self.low..=self.high).contains(&position)
    }
}

/// A list under way.
pub(super) struct List<'a> {
    partition: &'a str,
    form: Form,
    bytes_max: usize,
    /// What is shown so far.
    pub body: String,
    count: u32,
    /// The last position that is shown, or up to which the indexes were looked through.
    pub last: Option<u64>,
    /// There may be more behind it.
    pub more: bool,
}

impl<'a> List<'a> {
    /// An empty one, with room for about so many bytes.
    pub(super) const fn new(partition: &'a str, form: Form, bytes_max: usize) -> Self {
        Self { partition, form, bytes_max, body: String::new(), count: 0, last: None, more: false }
    }

    /// That of an answer.
    fn of(engine: &'a Engine, parsed: &Parsed) -> Self {
        Self::new(engine.partition(), parsed.form, PAGE_BYTES_MAX)
    }

    /// Adds a record while there is room; notes when there is none.
    fn push(&mut self, record: &Record<'_>, limit: u32) {
        if self.more || self.count >= limit || (self.count > 0 && self.body.len() > self.bytes_max)
        {
            self.more = true;
            return;
        }
        if self.form != Form::Live {
            self.body.push(if self.count > 0 { ',' } else { '[' });
        }
        shown::push(&mut self.body, self.partition, record, self.form);
        self.count = self.count.saturating_add(1);
        self.last = Some(record.position);
    }

    fn answer(self, parsed: &Parsed) -> Answer {
        let next = self.last.filter(|_| self.more).map(|last| last.to_string());
        let media = if self.form == Form::Cloud { CLOUD_EVENTS } else { "application/json" };
        self.closed(media).next(parsed, next.as_deref())
    }

    /// The list as it is, at its end.
    pub(super) fn closed(mut self, media: &str) -> Answer {
        self.body.push_str(if self.count > 0 { "]" } else { "[]" });
        Answer::ok(media, self.body)
    }
}

/// `GET /events/stream`.
pub fn stream(engine: &Engine, access: &mut Access<'_>, parsed: &Parsed) -> Result<Answer, Stop> {
    let range = Range::new(parsed, engine.head().position);
    let mut list = List::of(engine, parsed);
    fill(access, parsed, range, &mut list)?;
    Ok(list.answer(parsed))
}

/// Fills a list with what the filters let through.
pub(super) fn fill(
    access: &mut Access<'_>,
    parsed: &Parsed,
    mut range: Range,
    list: &mut List<'_>,
) -> Result<(), Stop> {
    let time = |name| parsed.params.get(name).and_then(|value: &String| Time::parse_iso(value));
    if let Some(from) = time("from") {
        range.low = range.low.max(first_position_at(access, from)?);
    }
    if let Some(to) = time("to") {
        let beyond = first_position_at(access, Time(to.0.saturating_add(1)))?;
        range.high = range.high.min(beyond.saturating_sub(1));
    }
    let param = |name| parsed.params.get(name).map(String::as_str);
    let mut terms: Vec<Term> = Vec::new();
    terms.extend(param("type").map(|t| Term::list(postings::type_term(t))));
    terms.extend(param("category").map(|t| Term::list(postings::category_term(t))));
    if let Some(id) = param("correlationId") {
        terms.push(Term::correlation(access, id)?);
    }
    if terms.is_empty() {
        unfiltered(access, &range, list)
    } else {
        filtered(access, &range, &terms, list)
    }
}

/// `GET /events/<name>/{id}`.
pub fn of_aggregate(
    engine: &Engine,
    access: &mut Access<'_>,
    spec: &AggregateSpec,
    parsed: &Parsed,
) -> Result<Answer, Stop> {
    let term = postings::stream_term(&ids::stream_name(spec.aggregate_type, &parsed.id));
    let mut range = Range::new(parsed, engine.head().position);
    let from_version =
        parsed.params.get("fromVersion").and_then(|v| v.parse::<u64>().ok()).unwrap_or(1);
    let count = postings::count(access, access.postings_view(), &term)?;
    if count == 0 {
        let detail = format!("there is no {} {}", spec.name, parsed.id);
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    }
    match from_version {
        0..=1 => {}
        n if n > count => range.high = 0,
        n => range.low = range.low.max(nth_position(access, &term, n)?),
    }
    let mut list = List::of(engine, parsed);
    filtered(access, &range, &[Term::list(term)], &mut list)?;
    Ok(list.answer(parsed))
}

/// `GET /events/id/{eventId}`.
pub fn by_id(engine: &Engine, access: &mut Access<'_>, parsed: &Parsed) -> Result<Answer, Stop> {
    let position = position_of_event(access, &parsed.id)?;
    let mut body = String::new();
    if let Some(position) = position {
        for line in access.commits(&[position])? {
            with_records(&line, |record| {
                // One that was given another id goes by that alone.
                if record.position == position && record.id() == parsed.id {
                    shown::push(&mut body, engine.partition(), record, parsed.form);
                }
                Ok(())
            })?;
        }
    }
    if body.is_empty() {
        let detail = format!("there is no event {}", parsed.id);
        return Ok(Answer::problem(&Problem::new(Code::NotFound, detail)));
    }
    let media = if parsed.form == Form::Cloud { CLOUD_EVENT } else { "application/json" };
    Ok(Answer::ok(media, body))
}

/// The id of the event at a position.
pub fn id_at(access: &mut Access<'_>, position: u64) -> Result<String, Stop> {
    let mut id = None;
    for line in access.commits(&[position])? {
        with_records(&line, |record| {
            if record.position == position {
                id = Some(record.id().into_owned());
            }
            Ok(())
        })?;
    }
    id.ok_or_else(|| Stop::Fault(format!("there is no event at position {position}")))
}

/// A list without filters: commits one after the other.
fn unfiltered(access: &mut Access<'_>, range: &Range, list: &mut List<'_>) -> Result<(), Stop> {
    if range.low > range.high {
        return Ok(());
    }
    let wanted = range.limit.saturating_add(1);
    if range.descending {
        let lines = access.commits_after(range.high.saturating_add(1), wanted, true)?;
        for line in &lines {
            let mut found = Vec::new();
            with_records(line, |record| {
                if range.contains(record.position) {
                    found.push(record.position);
                }
                Ok(())
            })?;
            for position in found.into_iter().rev() {
                with_records(line, |record| {
                    if record.position == position {
                        list.push(record, range.limit);
                    }
                    Ok(())
                })?;
            }
        }
        list.more |= list.last.is_some_and(|last| last > range.low);
        return Ok(());
    }
    // The commit that holds the first position may start before it; the others start after it.
    let first = access.commits(&[range.low]);
    let rest = access.commits_after(range.low, wanted, false);
    for line in first?.iter().chain(&rest?) {
        with_records(line, |record| {
            if range.contains(record.position) {
                list.push(record, range.limit);
            }
            Ok(())
        })?;
    }
    list.more |= list.last.is_some_and(|last| last < range.high);
    Ok(())
}

/// A list narrowed by indexes.
pub(super) fn filtered(
    access: &mut Access<'_>,
    range: &Range,
    terms: &[Term],
    list: &mut List<'_>,
) -> Result<(), Stop> {
    if range.low > range.high {
        return Ok(());
    }
    let wanted = range.limit.saturating_add(1);
    let found = find_positions(access, terms, range.low, range.high, range.descending, wanted)?;
    let (mut rest, mut bytes) = (found.positions.as_slice(), 0_usize);
    while !rest.is_empty() && !list.more {
        // What a page still may read is not known to be enough: the next one goes on from here.
        if bytes > READ_BYTES_MAX {
            list.more = true;
            break;
        }
        let lines = access.some_commits(rest)?;
        // One that several share counts once.
        let distinct = lines.chunk_by(Rc::ptr_eq).filter_map(|same| same.first());
        bytes = distinct.fold(bytes, |bytes, line| bytes.saturating_add(line.len()));
        with_each(&lines, rest, |record| {
            list.push(record, range.limit);
            Ok(())
        })?;
        rest = rest.get(lines.len()..).unwrap_or_default();
    }
    // The indexes were not looked through to their end: the next page goes on from there.
    if let Some(looked_to) = found.unfinished.filter(|_| !list.more) {
        list.more = true;
        list.last = Some(looked_to);
    }
    Ok(())
}
