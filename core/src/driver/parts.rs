//! Long reads in parts: a store that stops a read after some of it, and remembers that much.
//!
//! Owns what was read for a read that was stopped, and how long that stays true. Refuses to know who
//! asks. A host with one thread lets others go on between the parts: the read is then staged again
//! from its beginning, and finds here what it asked for before.
//!
//! Invariant: what is remembered is what the store would answer now. A commit never changes; a row
//! does when rows are written; and a list of what comes after a position, when blocks are.

use alloc::collections::BTreeMap;
use alloc::string::String;
use alloc::vec::Vec;
use core::mem;

use super::{Store, StoreError, Tail, Write};
use crate::chain;
use crate::limits::PAGE_BYTES_MAX;
use crate::protocol::{Answer, Query};
use crate::settings::Secret;

/// What asks for more than this is a part of its own.
const PART: usize = 250;
/// A read is stopped so often at most: whatever is written meanwhile, it comes to its end.
const STOPS_MAX: u32 = 8;

/// See the module's description.
#[derive(Debug)]
pub struct InParts<T> {
    store: T,
    /// What reads now may be stopped.
    may: bool,
    /// So often yet.
    stops: u32,
    /// It was stopped, and will be asked for again.
    stopped: bool,
    /// Lines by the first position of each, and of which of them a position is.
    lines: BTreeMap<u64, String>,
    line_of: BTreeMap<u64, u64>,
    others: BTreeMap<Query, Answer>,
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
            stopped: false,
            lines: BTreeMap::new(),
            line_of: BTreeMap::new(),
            others: BTreeMap::new(),
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
        (self.stops, self.stopped) = (left, true);
        Err(StoreError::Stopped)
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, StoreError> {
        if let Some(known) = self.others.get(query) {
            return Ok(known.clone());
        }
        let asked = match query {
            Query::Commits { positions } => return self.commits(positions),
            Query::Times { positions } => positions.len(),
            Query::CommitsAfter { limit, .. } | Query::Rows { limit, .. } => {
                usize::try_from(*limit).unwrap_or(usize::MAX)
            }
            Query::Row(_) => 1,
        };
        let answer = self.one(query)?;
        if asked > PART {
            self.others.insert(query.clone(), answer.clone());
            self.stop()?;
        }
        Ok(answer)
    }

    fn one(&mut self, query: &Query) -> Result<Answer, StoreError> {
        let answer = self.store.read(core::slice::from_ref(query))?.pop();
        answer.ok_or_else(|| StoreError::Read("the store gave no answer".into()))
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
            let whole = self.left.len() < PART;
            if !self.part()? {
                // What is damaged is told by whoever asks for it whole.
                return self.one(&Query::Commits { positions: positions.to_vec() });
            }
            if !whole {
                self.stop()?;
            }
        }
    }

    /// Reads some of what is left; false when that can not be told apart.
    fn part(&mut self) -> Result<bool, StoreError> {
        let left = mem::take(&mut self.left);
        let (part, rest) = left.split_at(left.len().min(PART));
        let Answer::Commits(lines) = self.one(&Query::Commits { positions: part.to_vec() })? else {
            return Err(StoreError::Read("the store gave another answer".into()));
        };
        let mut first = 0;
        for (position, line) in part.iter().zip(lines) {
            if !line.is_empty() {
                let Some(stated) = chain::position(&line) else { return Ok(false) };
                first = stated;
                self.lines.insert(first, line);
            }
            self.line_of.insert(*position, first);
        }
        self.left = rest.to_vec();
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
    }

    /// Forgets what a write makes untrue.
    fn forget_changed(&mut self, write: &Write) {
        let Write { cut, blocks, rows, dropped, checkpoint, import } = write;
        if cut.is_some() || import.is_some() {
            return self.forget();
        }
        let rows = !rows.is_empty() || !dropped.is_empty() || checkpoint.is_some();
        let blocks = !blocks.is_empty();
        self.others.retain(|query, answer| match (query, answer) {
            (Query::Times { .. }, _) => true,
            (Query::Row(_) | Query::Rows { .. }, _) => !rows,
            // What is full stays what it is.
            (Query::CommitsAfter { limit, descending: false, .. }, Answer::Commits(lines)) => {
                !blocks || usize::try_from(*limit).is_ok_and(|limit| lines.len() >= limit)
            }
            _ => !blocks,
        });
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

    fn read_on(&mut self) -> Result<bool, StoreError> {
        if self.left.is_empty() || self.stops == 0 {
            return Ok(false);
        }
        self.stops = self.stops.saturating_sub(1);
        self.part().map(|_| !self.left.is_empty())
    }

    fn stop_reads(&mut self, may: bool) {
        self.may = may;
        if may {
            self.stopped = false;
        } else if !self.stopped {
            self.stops = STOPS_MAX;
            self.forget();
        }
    }
}
