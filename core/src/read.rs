//! What domains see of rows and records: reading, and for projections writing their own rows.
//!
//! Owns [`Rows`] and [`Reader`], thin typed faces of the engine's one access path, and [`Stop`],
//! the two ways a pure function ends early. Refuses to know where anything is kept.

use alloc::format;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;

use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::commit::Commit;
use crate::engine::{Access, ViewId, postings};
use crate::ids;
use crate::record::{Decoded, Record};
use crate::time::Time;

/// Why a function ended before its answer. Pass it on with `?`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Stop {
    /// A row or record is not in memory; the host is asked, and the function called again.
    Miss,
    /// Something is wrong for good.
    Fault(String),
}

/// A key and its value.
pub type KeyValue = (Vec<u8>, Vec<u8>);

fn decode<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Stop> {
    postcard::from_bytes(bytes)
        .map_err(|e| Stop::Fault(format!("a stored row can not be read: {e}")))
}

/// A projection's own rows. Keys are 1 to 512 bytes, ordered bytewise.
#[derive(Debug)]
pub struct Rows<'a, 'e> {
    access: &'a mut Access<'e>,
    view: ViewId,
}

/// Longest key of a row, in bytes.
const KEY_BYTES_MAX: usize = 512;

impl<'a, 'e> Rows<'a, 'e> {
    pub(crate) const fn new(access: &'a mut Access<'e>, view: ViewId) -> Self {
        Self { access, view }
    }

    /// A row.
    pub fn get<T: DeserializeOwned>(&mut self, key: &[u8]) -> Result<Option<T>, Stop> {
        self.access.row(self.view, key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Writes a row.
    pub fn put<T: Serialize>(&mut self, key: &[u8], value: &T) -> Result<(), Stop> {
        if key.is_empty() || key.len() > KEY_BYTES_MAX {
            return Err(Stop::Fault(format!(
                "a key has {} bytes; allowed are 1 to {KEY_BYTES_MAX}",
                key.len()
            )));
        }
        self.access.count_row(self.view, key, true)?;
        self.access.put(self.view, key, value)
    }

    /// Deletes a row, if it is there.
    pub fn delete(&mut self, key: &[u8]) -> Result<(), Stop> {
        self.access.count_row(self.view, key, false)?;
        self.access.delete(self.view, key);
        Ok(())
    }

    /// Appends a record's position to a list of this projection. Positions must increase.
    pub fn append_position(&mut self, list: &[u8], position: u64) -> Result<(), Stop> {
        postings::append(self.access, self.view, &[list], position)
    }
}

/// Reads for an answer: rows of one view, records of the log.
#[derive(Debug)]
pub struct Reader<'a, 'e> {
    access: &'a mut Access<'e>,
    view: ViewId,
    /// Records beyond this position have not happened yet.
    until: u64,
}

impl<'a, 'e> Reader<'a, 'e> {
    pub(crate) const fn new(access: &'a mut Access<'e>, view: ViewId) -> Self {
        Self { access, view, until: u64::MAX }
    }

    /// Reads as of a position. Rows are as of now.
    pub(crate) const fn until(access: &'a mut Access<'e>, view: ViewId, until: u64) -> Self {
        Self { access, view, until }
    }

    /// A row of the view.
    pub fn get<T: DeserializeOwned>(&mut self, key: &[u8]) -> Result<Option<T>, Stop> {
        self.access.row(self.view, key)?.map(|bytes| decode(&bytes)).transpose()
    }

    /// Rows whose keys start with `prefix`, after `after`; fewer than `limit` means no more.
    pub fn range<T: DeserializeOwned>(
        &mut self,
        prefix: &[u8],
        after: &[u8],
        limit: u32,
    ) -> Result<Vec<(Vec<u8>, T)>, Stop> {
        let rows = self.access.range(self.view, prefix, after, limit)?;
        rows.into_iter().map(|(key, bytes)| Ok((key, decode(&bytes)?))).collect()
    }

    /// Positions of a list of this projection after `after`, ascending.
    pub fn positions_after(
        &mut self,
        list: &[u8],
        after: u64,
        limit: u32,
    ) -> Result<Vec<u64>, Stop> {
        postings::after(self.access, self.view, list, after, limit)
    }

    /// The stream's latest positions of the listed event types are found by reading back from its
    /// end: at most `limit` positions below `before`, descending.
    pub fn stream_positions_before(
        &mut self,
        aggregate_type: &str,
        id: &str,
        before: Option<u64>,
        limit: u32,
    ) -> Result<Vec<u64>, Stop> {
        let term = postings::stream_term(&ids::stream_name(aggregate_type, id));
        let as_of = (self.until < u64::MAX).then(|| self.until.saturating_add(1));
        let before = match (before, as_of) {
            (Some(before), Some(as_of)) => Some(before.min(as_of)),
            (before, as_of) => before.or(as_of),
        };
        postings::before(self.access, self.access.postings_view(), &term, before, limit)
    }

    /// How many events a stream has.
    pub fn stream_count(&mut self, aggregate_type: &str, id: &str) -> Result<u64, Stop> {
        let term = postings::stream_term(&ids::stream_name(aggregate_type, id));
        postings::count(self.access, self.access.postings_view(), &term)
    }

    /// Calls `each` with the record at each position.
    pub fn records(
        &mut self,
        positions: &[u64],
        mut each: impl FnMut(&Record<'_>) -> Result<(), Stop>,
    ) -> Result<(), Stop> {
        with_each(&self.access.commits(positions)?, positions, &mut each)
    }
}

/// Calls `each` with the record at each of these positions, in their order, given the line of each:
/// one that several in a row share is read once.
pub(crate) fn with_each(
    lines: &[Rc<str>],
    positions: &[u64],
    mut each: impl FnMut(&Record<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let pairs: Vec<(&Rc<str>, u64)> = lines.iter().zip(positions.iter().copied()).collect();
    for run in pairs.chunk_by(|(one, _), (other, _)| Rc::ptr_eq(one, other)) {
        let Some((line, _)) = run.first() else { continue };
        let mut wanted = run.iter().map(|(_, position)| *position);
        with_commit(line, |records| {
            let first = records.first().map_or(0, |record| record.position);
            wanted.try_for_each(|position| {
                let at = position.checked_sub(first).and_then(|at| usize::try_from(at).ok());
                at.and_then(|at| records.get(at)).map_or(Ok(()), &mut each)
            })
        })?;
    }
    Ok(())
}

/// Calls `each` with all records of a stored commit.
pub(crate) fn with_records(
    line: &str,
    each: impl FnMut(&Record<'_>) -> Result<(), Stop>,
) -> Result<(), Stop> {
    with_commit(line, |records| records.iter().try_for_each(each))
}

/// Calls `with` with the records of a stored commit, in order.
fn with_commit(
    line: &str,
    with: impl FnOnce(&[Record<'_>]) -> Result<(), Stop>,
) -> Result<(), Stop> {
    let broken = |what: &str| Stop::Fault(format!("a stored commit can not be read: {what}"));
    let commit = Commit::parse(line).map_err(|e| broken(&format!("{e}")))?;
    let time = Time::parse_iso(&commit.time).ok_or_else(|| broken("its time"))?;
    let room = Decoded::room(&commit);
    let records: Vec<Record<'_>> = Record::all(&commit, time, &room).collect();
    with(&records)
}
