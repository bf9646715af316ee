//! Finding positions: by index lists, by several at once, by time, by number.
//!
//! Owns bounded searches. Each takes a few rounds of reading, whatever the length of the log;
//! what would take more stops and says how far it looked.

use alloc::vec::Vec;

use super::access::Access;
use super::postings;
use super::repeats::position_of;
use super::views::POSTINGS;
use crate::commit::Commit;
use crate::ids;
use crate::limits::FILTER_SCAN_MAX;
use crate::read::Stop;
use crate::record::first_event_id;
use crate::time::Time;

/// A sorted list of positions: one of the index, and some beside it.
#[derive(Clone, Debug)]
pub struct Term {
    list: Vec<u8>,
    beside: Vec<u64>,
}

/// What a search found.
#[derive(Clone, Debug, Default)]
pub struct Found {
    /// In the direction asked for.
    pub positions: Vec<u64>,
    /// The search ended here, with more to look at beyond.
    pub unfinished: Option<u64>,
}

impl Term {
    /// A list of the index.
    pub const fn list(list: Vec<u8>) -> Self {
        Self { list, beside: Vec::new() }
    }

    /// The records of a correlation id. Default ids (the first event's own) are not indexed: such
    /// an id names its commit itself.
    pub fn correlation(access: &mut Access<'_>, id: &str) -> Result<Self, Stop> {
        let mut term = Self::list(postings::correlation_term(id));
        let named = position_of_event(access, id)?;
        if let Some(position) = named {
            for line in access.commits(&[position])? {
                let commit = Commit::parse(&line)
                    .map_err(|_| Stop::Fault("a stored commit can not be read".into()))?;
                if commit.correlation_id.is_none() && first_event_id(&commit) == id {
                    term.beside = (commit.position..=commit.last_position()).collect();
                }
            }
        }
        Ok(term)
    }

    fn page(
        &self,
        access: &mut Access<'_>,
        from: u64,
        descending: bool,
        limit: u32,
    ) -> Result<Vec<u64>, Stop> {
        let mut found = if descending {
            postings::before(access, POSTINGS, &self.list, Some(from.saturating_add(1)), limit)?
        } else {
            postings::after(access, POSTINGS, &self.list, from.saturating_sub(1), limit)?
        };
        if !self.beside.is_empty() {
            let full = found.len() as u64 >= u64::from(limit);
            let end = found.last().copied().filter(|_| full);
            let within = |p: &u64| match (descending, end) {
                (true, end) => *p <= from && end.is_none_or(|end| *p >= end),
                (false, end) => *p >= from && end.is_none_or(|end| *p <= end),
            };
            found.extend(self.beside.iter().filter(|p| within(p)));
            found.sort_unstable();
            found.dedup();
            if descending {
                found.reverse();
            }
        }
        Ok(found)
    }
}

/// Where an event is, by its id: one that was made, or one that its caller gave. Of an id that is
/// made of a position, whoever reads that finds out whether the event goes by it.
pub fn position_of_event(access: &mut Access<'_>, id: &str) -> Result<Option<u64>, Stop> {
    if let Some(position) = ids::position_of_event_id(id) {
        return Ok(Some(position).filter(|&position| position <= access.head()));
    }
    if let Some((topic, number)) = ids::published(id) {
        let term = postings::stream_term(&ids::stream_name(ids::TOPIC, topic));
        // A topic whose name such an id has can not come into being.
        if postings::count(access, POSTINGS, &term)? >= number {
            return nth_position(access, &term, number).map(Some);
        }
    }
    position_of(access, id)
}

/// Positions that are in all lists, within `low..=high`, at most `limit`.
pub fn find_positions(
    access: &mut Access<'_>,
    terms: &[Term],
    low: u64,
    high: u64,
    descending: bool,
    limit: u32,
) -> Result<Found, Stop> {
    let mut from = if descending { high } else { low };
    let mut found = Found::default();
    let limit_rows = usize::try_from(limit).unwrap_or(usize::MAX);
    let page = if terms.len() == 1 { limit } else { 1_024 };
    let mut looked = 0_usize;
    loop {
        // All lists are tried before a miss is told, so that one round supplies them all.
        let pages: Vec<Result<Vec<u64>, Stop>> =
            terms.iter().map(|term| term.page(access, from, descending, page)).collect();
        let pages = pages.into_iter().collect::<Result<Vec<_>, _>>()?;
        // Beyond the nearest end of a full page nothing is known yet.
        let full = |p: &&Vec<u64>| p.len() as u64 >= u64::from(page);
        let ends = pages.iter().filter(full).filter_map(|p| p.last().copied());
        let end = if descending { ends.max() } else { ends.min() };
        let within = |p: &u64| {
            (low..=high).contains(p)
                && end.is_none_or(|end| if descending { *p >= end } else { *p <= end })
        };
        let (first, others) =
            pages.split_first().ok_or_else(|| Stop::Fault("no list to search".into()))?;
        let has = |list: &Vec<u64>, p: &u64| match descending {
            true => list.binary_search_by(|probe| p.cmp(probe)).is_ok(),
            false => list.binary_search(p).is_ok(),
        };
        found
            .positions
            .extend(first.iter().filter(|p| within(p) && others.iter().all(|list| has(list, p))));
        looked = looked.saturating_add(pages.iter().map(Vec::len).sum());
        let Some(end) = end else { break };
        let beyond = if descending { end <= low } else { end >= high };
        if beyond || found.positions.len() >= limit_rows {
            break;
        }
        if looked > FILTER_SCAN_MAX {
            found.unfinished = Some(end);
            break;
        }
        from = if descending { end.saturating_sub(1) } else { end.saturating_add(1) };
    }
    found.positions.truncate(limit_rows);
    Ok(found)
}

/// Probes per round: five rounds cover a million positions.
const PROBES: u64 = 15;

/// The first position in `1..=head` that is not `before`; `head + 1` when all are. `before` is
/// asked of many positions at once and must be true up to some point and false from there.
fn bisect(
    access: &mut Access<'_>,
    mut before: impl FnMut(&mut Access<'_>, &[u64]) -> Result<Vec<bool>, Stop>,
) -> Result<u64, Stop> {
    let (mut low, mut high) = (1_u64, access.head().saturating_add(1));
    while low < high {
        let span = high.saturating_sub(low);
        let step = span.div_ceil(PROBES.saturating_add(1)).max(1);
        let probes: Vec<u64> = (1..=PROBES)
            .map(|n| low.saturating_add(step.saturating_mul(n)).saturating_sub(1))
            .take_while(|probe| *probe < high)
            .collect();
        let answers = before(access, &probes)?;
        for (probe, is_before) in probes.iter().zip(answers) {
            if is_before {
                low = probe.saturating_add(1);
            } else {
                high = *probe;
                break;
            }
        }
    }
    Ok(low)
}

/// The first position recorded at `time` or later; one beyond the head when there is none.
pub fn first_position_at(access: &mut Access<'_>, time: Time) -> Result<u64, Stop> {
    bisect(access, |access, probes| {
        let recorded = access.times(probes)?;
        Ok(recorded.into_iter().map(|recorded| recorded < time).collect())
    })
}

/// The `n`th position of a list, from 1; the list must have as many.
pub fn nth_position(access: &mut Access<'_>, list: &[u8], n: u64) -> Result<u64, Stop> {
    // Up to which position fewer than `n` entries lie.
    bisect(access, |access, probes| {
        let counts: Vec<Result<u64, Stop>> =
            probes.iter().map(|probe| postings::count_to(access, POSTINGS, list, *probe)).collect();
        counts.into_iter().map(|count| count.map(|count| count < n)).collect()
    })
}
