//! Long reads in parts: a store that stops a read after some of it, and remembers that much.
//!
//! Owns what was read for a read that was stopped, and how long that stays true. Refuses to know who
//! asks. A host with one thread lets others go on between the parts: the read is then staged again
//! from its beginning, and finds here what it asked for before.
//!
//! Invariant: what is remembered is what the store would answer now, and has a bound. A commit never
//! changes, and neither does a page of those after a position, once it is full; rows do when rows are
//! written. What ends at the head of the log, or begins there, is read in one piece.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::{Store, StoreError, Tail, Write};
use crate::chain;
use crate::limits::PAGE_BYTES_MAX;
use crate::protocol::{Answer, Query};
use crate::settings::Secret;

/// What has more than this is a part of its own.
const PART: usize = 250;
/// A read is stopped so often at most: whatever is written meanwhile, it comes to its end.
const STOPS_MAX: u32 = 8;
/// What is remembered has no more bytes than two pages.
const BYTES_MAX: usize = 2 * PAGE_BYTES_MAX;

/// See the module's description.
#[derive(Debug)]
pub struct InParts<T> {
    store: T,
    /// What reads now may be stopped.
    may: bool,
    /// So often yet.
    stops: u32,
    /// Lines by the first position of each, and of which of them a position is.
    lines: BTreeMap<u64, String>,
    line_of: BTreeMap<u64, u64>,
    others: BTreeMap<Query, Answer>,
    /// Of lines and other answers.
    bytes: usize,
    /// Positions that it stopped before.
    left: Vec<u64>,
}

impl<T: Store> InParts<T> {
    /// The same store, whose reads may be stopped.
    pub const fn new(store: T) -> Self {
        Self {
            store,
            may: false,
            stops: STOPS_MAX,
            lines: BTreeMap::new(),
            line_of: BTreeMap::new(),
            others: BTreeMap::new(),
            bytes: 0,
            left: Vec::new(),
        }
    }

    /// The store itself.
    pub const fn store(&mut self) -> &mut T {
        &mut self.store
    }

    /// A part was read: others go on, if they may.
    fn stop(&mut self) -> Result<(), StoreError> {
        let Some(left) = self.stops.checked_sub(1) else { return Ok(()) };
        self.stops = left;
        Err(StoreError::Stopped)
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, StoreError> {
        if let Query::Commits { positions } = query
            && positions.len() > PART
        {
            return self.commits(positions);
        }
        if let Some(known) = self.others.get(query) {
            return Ok(known.clone());
        }
        let answer = self.one(query)?;
        if is_part(query, &answer) && self.remember(answer.bytes()) {
            self.others.insert(query.clone(), answer.clone());
            self.stop()?;
        }
        Ok(answer)
    }

    fn one(&mut self, query: &Query) -> Result<Answer, StoreError> {
        let answer = self.store.read(core::slice::from_ref(query))?.pop();
        answer.ok_or_else(|| StoreError::Read("the store gave no answer".into()))
    }

    /// Whether there is room for more.
    fn remember(&mut self, bytes: usize) -> bool {
        let all = self.bytes.saturating_add(bytes);
        let room = all <= BYTES_MAX;
        if room {
            self.bytes = all;
        }
        room
    }

    /// Commits by positions, as the store would answer.
    fn commits(&mut self, positions: &[u64]) -> Result<Answer, StoreError> {
        loop {
            let known = match self.known(positions) {
                Ok(lines) => return Ok(Answer::Commits(lines)),
                Err(known) => known,
            };
            let missing = positions.get(known..).unwrap_or_default().iter();
            self.left = missing.filter(|at| !self.line_of.contains_key(at)).copied().collect();
            let more = self.left.len() > PART;
            if !self.part()? {
                // Asked for whole: what is damaged is told, and what is too much is not kept.
                self.forget();
                return self.one(&Query::Commits { positions: positions.to_vec() });
            }
            if more {
                self.stop()?;
            }
        }
    }

    /// Reads some of what is left; false when that can not be kept.
    fn part(&mut self) -> Result<bool, StoreError> {
        let left = mem::take(&mut self.left);
        let (part, rest) = left.split_at(left.len().min(PART));
        let Answer::Commits(lines) = self.one(&Query::Commits { positions: part.to_vec() })? else {
            return Err(StoreError::Read("the store gave another answer".into()));
        };
        if lines.is_empty() {
            return Ok(false);
        }
        // What fills a page ends it.
        let mut full = lines.len() < part.len();
        let mut first = 0;
        for (position, line) in part.iter().zip(lines) {
            if !line.is_empty() {
                let stated = chain::position(&line).filter(|_| self.remember(line.len()));
                let Some(stated) = stated else { return Ok(false) };
                first = stated;
                if self.lines.insert(first, line.clone()).is_some_and(|other| other != line) {
                    return Ok(false);
                }
            }
            self.line_of.insert(*position, first);
        }
        full |= self.bytes >= PAGE_BYTES_MAX;
        self.left = if full { Vec::new() } else { rest.to_vec() };
        Ok(true)
    }

    /// Lines of these positions, each once, up to a page of them; or how many are known.
    fn known(&self, positions: &[u64]) -> Result<Vec<String>, usize> {
        let (mut found, mut last, mut bytes) = (Vec::with_capacity(positions.len()), None, 0_usize);
        for (index, position) in positions.iter().enumerate() {
            let first = self.line_of.get(position).copied();
            let Some(line) = first.and_then(|first| self.lines.get(&first)) else {
                // A page ends before what does not begin in it.
                return if bytes >= PAGE_BYTES_MAX { Ok(found) } else { Err(index) };
            };
            if mem::replace(&mut last, first) == first {
                found.push(String::new());
                continue;
            }
            if bytes >= PAGE_BYTES_MAX {
                break;
            }
            bytes = bytes.saturating_add(line.len());
            found.push(line.clone());
        }
        Ok(found)
    }

    fn forget(&mut self) {
        self.lines.clear();
        self.line_of.clear();
        self.others.clear();
        self.left.clear();
        self.bytes = 0;
    }

    /// Forgets what a write makes untrue.
    fn forget_changed(&mut self, write: &Write) {
        let Write { cut, blocks: _, rows, dropped, checkpoint, import } = write;
        if cut.is_some() || import.is_some() {
            return self.forget();
        }
        if !rows.is_empty() || !dropped.is_empty() || checkpoint.is_some() {
            self.others.retain(|query, _| !matches!(query, Query::Rows { .. }));
        }
    }
}

/// Whether an answer is worth a stop: it is long, and no block makes it another.
fn is_part(query: &Query, answer: &Answer) -> bool {
    match (query, answer) {
        (Query::Rows { .. }, Answer::Rows(rows)) => rows.len() > PART,
        (Query::Times { .. }, Answer::Times(times)) => times.len() > PART,
        (Query::CommitsAfter { limit, descending: false, .. }, Answer::Commits(lines)) => {
            let full = usize::try_from(*limit).is_ok_and(|limit| lines.len() >= limit);
            lines.len() > PART && (full || answer.bytes() >= PAGE_BYTES_MAX)
        }
        _ => false,
    }
}

impl<T: Store> Store for InParts<T> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.forget();
        self.store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        if !self.may {
            return self.store.read(queries);
        }
        queries.iter().map(|query| self.answer(query)).collect()
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.forget_changed(write);
        self.store.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.forget();
        self.store.erase_rows()
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        self.store.own(incarnation)
    }

    fn secret(&mut self) -> Option<Secret> {
        self.store.secret()
    }

    fn stop_reads(&mut self, may: bool) {
        self.may = may;
    }

    fn read_on(&mut self) -> Result<bool, StoreError> {
        if self.left.is_empty() {
            return Ok(false);
        }
        let Some(left) = self.stops.checked_sub(1) else { return Ok(false) };
        self.stops = left;
        if !self.part()? {
            self.forget();
        }
        Ok(!self.left.is_empty())
    }

    fn forget_read(&mut self) {
        self.forget();
        self.stops = STOPS_MAX;
    }
}
