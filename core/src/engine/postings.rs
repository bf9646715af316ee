//! Postings: ordered lists of positions, one list per term, kept as rows of chunks.
//!
//! Owns the chunks' bytes and keys. Refuses to know what a term stands for. A list grows at its
//! tail row; a full tail is kept as a chunk under its last position, so "after p" is one range
//! read and "before p" follows each chunk's pointer to the one before.
//!
//! Keys: term, 0, then 8 bytes big-endian: a chunk's last position, or all ones for the tail.
//! Value: count of the whole list so far, last position of the chunk before (0: none), last
//! position, number of positions in here (each little-endian), then the differences as varints.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::access::Access;
use super::cache::ViewId;
use crate::limits::POSTINGS_CHUNK;
use crate::read::Stop;

const TAIL: u64 = u64::MAX;
const HEADER_BYTES: usize = 26;

/// First byte of a stream's term.
pub const STREAM: &[u8] = b"s";
/// First byte of an aggregate type's term.
pub const CATEGORY: &[u8] = b"c";
/// First byte of an event type's term.
pub const EVENT_TYPE: &[u8] = b"t";
/// First byte of a correlation id's term.
pub const CORRELATION: &[u8] = b"r";

/// Term of one stream's records.
pub fn stream_term(stream: &str) -> Vec<u8> {
    term(STREAM, stream)
}

/// Term of one aggregate type's records.
pub fn category_term(aggregate_type: &str) -> Vec<u8> {
    term(CATEGORY, aggregate_type)
}

/// Term of one event type's records.
pub fn type_term(event_type: &str) -> Vec<u8> {
    term(EVENT_TYPE, event_type)
}

/// Term of one correlation id given by callers.
pub fn correlation_term(id: &str) -> Vec<u8> {
    term(CORRELATION, id)
}

fn term(kind: &[u8], text: &str) -> Vec<u8> {
    [kind, text.as_bytes()].concat()
}

/// The chunk of a list that still grows.
#[derive(Clone, Debug, Default)]
pub struct List {
    count: u64,
    previous: u64,
    last: u64,
    length: u16,
    differences: Vec<u8>,
}

/// What an append did to the number of rows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Appended {
    /// The list has as many rows as before.
    InPlace,
    /// It has one more: it is new, or a full chunk was put aside.
    NewRow,
}

impl List {
    /// Reads a chunk's bytes.
    pub fn read(bytes: &[u8]) -> Result<Self, Stop> {
        let broken = || Stop::Fault("an index chunk can not be read".into());
        let (header, differences) = bytes.split_first_chunk::<HEADER_BYTES>().ok_or_else(broken)?;
        let mut words = header.as_chunks::<8>().0.iter().map(|word| u64::from_le_bytes(*word));
        let mut next = || words.next().ok_or_else(broken);
        let (count, previous, last) = (next()?, next()?, next()?);
        let length =
            header.last_chunk::<2>().map(|bytes| u16::from_le_bytes(*bytes)).ok_or_else(broken)?;
        Ok(Self { count, previous, last, length, differences: differences.to_vec() })
    }

    /// The chunk's bytes.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(HEADER_BYTES.saturating_add(self.differences.len()));
        for word in [self.count, self.previous, self.last] {
            out.extend_from_slice(&word.to_le_bytes());
        }
        out.extend_from_slice(&self.length.to_le_bytes());
        out.extend_from_slice(&self.differences);
        out
    }

    /// Bytes it takes in memory, about.
    pub const fn bytes_held(&self) -> usize {
        self.differences.capacity().saturating_add(48)
    }

    /// The last position; 0 for an empty list.
    pub const fn last(&self) -> u64 {
        self.last
    }

    /// Appends a position. A full chunk is given back with its last position, to be kept under that.
    pub fn append(&mut self, position: u64) -> (Appended, Option<(u64, Vec<u8>)>) {
        let full = u32::from(self.length) >= POSTINGS_CHUNK;
        let frozen = full.then(|| (self.last, self.to_bytes()));
        let appended = if full || self.count == 0 { Appended::NewRow } else { Appended::InPlace };
        if full {
            self.previous = self.last;
            self.length = 0;
            self.differences.clear();
        }
        push_varint(&mut self.differences, position.saturating_sub(self.last));
        self.last = position;
        self.length = self.length.saturating_add(1);
        self.count = self.count.saturating_add(1);
        (appended, frozen)
    }

    /// All positions, ascending.
    fn positions(&self) -> Vec<u64> {
        let mut found = Vec::with_capacity(self.length.into());
        let (mut at, mut value, mut shift) = (self.previous, 0_u64, 0_u32);
        for byte in &self.differences {
            value |= u64::from(byte & 0x7f).wrapping_shl(shift);
            shift = shift.saturating_add(7);
            if byte & 0x80 == 0 {
                at = at.saturating_add(value);
                found.push(at);
                (value, shift) = (0, 0);
            }
        }
        found
    }
}

fn push_varint(out: &mut Vec<u8>, mut value: u64) {
    while value >= 0x80 {
        out.push((value as u8 & 0x7f) | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

fn chunk_key(term: &[u8], last: u64) -> Vec<u8> {
    let mut key = Vec::with_capacity(term.len().saturating_add(9));
    key.extend_from_slice(term);
    key.push(0);
    key.extend_from_slice(&last.to_be_bytes());
    key
}

/// The key of a full chunk, by the key of its list's tail.
pub fn frozen_key(tail: &[u8], last: u64) -> Vec<u8> {
    let mut key = tail.to_vec();
    if let Some(place) = key.last_chunk_mut::<8>() {
        *place = last.to_be_bytes();
    }
    key
}

/// Appends a position to the list of a term given in parts. It must be beyond all of the list's.
pub fn append(
    access: &mut Access<'_>,
    view: ViewId,
    term: &[&[u8]],
    position: u64,
) -> Result<(), Stop> {
    access.append(view, position, |key| {
        term.iter().for_each(|part| key.extend_from_slice(part));
        key.push(0);
        key.extend_from_slice(&TAIL.to_be_bytes());
    })
}

/// How many positions a list has.
pub fn count(access: &mut Access<'_>, view: ViewId, term: &[u8]) -> Result<u64, Stop> {
    match access.row(view, &chunk_key(term, TAIL))? {
        Some(bytes) => Ok(List::read(&bytes)?.count),
        None => Ok(0),
    }
}

/// At most `limit` positions beyond `after`, ascending.
pub fn after(
    access: &mut Access<'_>,
    view: ViewId,
    term: &[u8],
    after: u64,
    limit: u32,
) -> Result<Vec<u64>, Stop> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut prefix = term.to_vec();
    prefix.push(0);
    let chunks = limit.div_ceil(POSTINGS_CHUNK as usize).saturating_add(1);
    let chunks = u32::try_from(chunks).unwrap_or(u32::MAX);
    let mut found = Vec::new();
    for (_, bytes) in access.range(view, &prefix, &chunk_key(term, after), chunks)? {
        found.extend(List::read(&bytes)?.positions().into_iter().filter(|&p| p > after));
        if found.len() >= limit {
            break;
        }
    }
    found.truncate(limit);
    Ok(found)
}

/// At most `limit` positions below `before` (from the end without it), descending.
pub fn before(
    access: &mut Access<'_>,
    view: ViewId,
    term: &[u8],
    before: Option<u64>,
    limit: u32,
) -> Result<Vec<u64>, Stop> {
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    let mut chunk = match before {
        None => access.row(view, &chunk_key(term, TAIL))?.map(Cow::into_owned),
        Some(before) => {
            let mut prefix = term.to_vec();
            prefix.push(0);
            let from = chunk_key(term, before.saturating_sub(1));
            access.range(view, &prefix, &from, 1)?.pop().map(|(_, bytes)| bytes)
        }
    };
    let mut found = Vec::new();
    while let Some(bytes) = chunk {
        let this = List::read(&bytes)?;
        let below = |p: &u64| before.is_none_or(|before| *p < before);
        found.extend(this.positions().into_iter().rev().filter(below));
        if found.len() >= limit || this.previous == 0 {
            break;
        }
        chunk = access.row(view, &chunk_key(term, this.previous))?.map(Cow::into_owned);
    }
    found.truncate(limit);
    Ok(found)
}

/// How many positions of a list are at or below `position`.
pub fn count_to(
    access: &mut Access<'_>,
    view: ViewId,
    term: &[u8],
    position: u64,
) -> Result<u64, Stop> {
    let mut prefix = term.to_vec();
    prefix.push(0);
    // The first chunk that reaches `position` or ends beyond it.
    let from = chunk_key(term, position.saturating_sub(1));
    let Some((_, bytes)) = access.range(view, &prefix, &from, 1)?.pop() else { return Ok(0) };
    let chunk = List::read(&bytes)?;
    let beyond = chunk.positions().iter().filter(|&&p| p > position).count();
    Ok(chunk.count.saturating_sub(beyond as u64))
}
