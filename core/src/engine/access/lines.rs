//! Reading the log while an input is staged: commits by position, commits in order, times.
//!
//! Owns how what is not stored yet and what the store gave become one list. Refuses to know what
//! lines say, but for their times.
//!
//! Invariant: a commit that holds several of the positions in a row is one line, shared: whoever
//! goes through a list of them reads it once (`read::with_each`).

use alloc::rc::Rc;
use alloc::vec::Vec;

use super::{Access, Unstored};
use crate::chain;
use crate::protocol::{Answer, Query};
use crate::read::Stop;
use crate::time::Time;

fn too_few() -> Stop {
    Stop::Fault("the store gave fewer commits than were asked for".into())
}

impl<'e> Access<'e> {
    fn in_memory(&self, position: u64) -> Option<&Unstored> {
        let index = self.unstored.partition_point(|commit| commit.last < position);
        self.unstored.get(index).filter(|commit| commit.first <= position)
    }

    fn stored(&self, positions: &[u64]) -> Vec<u64> {
        positions.iter().copied().filter(|&p| self.in_memory(p).is_none()).collect()
    }

    /// What the host supplied for a query; noted as missing otherwise.
    fn given(&mut self, query: Query) -> Result<&'e Answer, Stop> {
        let supplied = self.supplied;
        supplied.others.get(&query).ok_or_else(|| {
            self.misses.insert(query);
            Stop::Miss
        })
    }

    /// The lines of the commits that hold these positions. For a few of them, or small ones.
    pub fn commits(&mut self, positions: &[u64]) -> Result<Vec<Rc<str>>, Stop> {
        let mut lines = Vec::with_capacity(positions.len());
        while let Some(rest) = positions.get(lines.len()..).filter(|rest| !rest.is_empty()) {
            lines.extend(self.some_commits(rest)?);
        }
        Ok(lines)
    }

    /// The same of as many of the positions, from the first on, as a page holds: at least one.
    pub fn some_commits(&mut self, positions: &[u64]) -> Result<Vec<Rc<str>>, Stop> {
        let stored = self.stored(positions);
        let mut given = [].as_slice().iter();
        if !stored.is_empty()
            && let Answer::Commits(lines) = self.given(Query::Commits { positions: stored })?
        {
            given = lines.iter();
        }
        let mut found: Vec<Rc<str>> = Vec::with_capacity(positions.len());
        let mut before: Option<Rc<str>> = None;
        for &position in positions {
            if let Some(commit) = self.in_memory(position) {
                found.push(commit.line.clone());
                continue;
            }
            match given.next() {
                None => break,
                Some(line) if line.is_empty() => found.push(before.clone().ok_or_else(too_few)?),
                Some(line) => found.push(before.insert(Rc::from(line.as_str())).clone()),
            }
        }
        if found.is_empty() && !positions.is_empty() { Err(too_few()) } else { Ok(found) }
    }

    /// When the commits that hold these positions were recorded.
    pub fn times(&mut self, positions: &[u64]) -> Result<Vec<Time>, Stop> {
        let stored = self.stored(positions);
        let mut given = [].as_slice().iter();
        if !stored.is_empty()
            && let Answer::Times(times) = self.given(Query::Times { positions: stored })?
        {
            given = times.iter();
        }
        let time = |position: &u64| match self.in_memory(*position) {
            Some(commit) => chain::time(&commit.line).ok_or_else(too_few),
            None => given.next().copied().ok_or_else(too_few),
        };
        positions.iter().map(time).collect()
    }

    /// At most `limit` commits with a first position beyond (descending: below) `after`.
    pub fn commits_after(
        &mut self,
        after: u64,
        limit: u32,
        descending: bool,
    ) -> Result<Vec<Rc<str>>, Stop> {
        let stored_head =
            self.unstored.first().map_or(self.head, |commit| commit.first.saturating_sub(1));
        let limit_lines = usize::try_from(limit).unwrap_or(usize::MAX);
        let wanted = |commit: &&Unstored| {
            if descending { commit.first < after } else { commit.first > after }
        };
        let mut memory: Vec<Rc<str>> =
            self.unstored.iter().filter(wanted).map(|commit| commit.line.clone()).collect();
        if descending {
            memory.reverse();
            if memory.len() >= limit_lines {
                memory.truncate(limit_lines);
                return Ok(memory);
            }
        }
        let nothing_stored =
            if descending { after <= 1 || stored_head == 0 } else { after >= stored_head };
        let mut stored: Vec<Rc<str>> = Vec::new();
        let mut complete = true;
        if !nothing_stored {
            let query = Query::CommitsAfter { after, limit, descending };
            match self.supplied.others.get(&query) {
                Some(Answer::Commits(lines)) => {
                    stored = lines.iter().map(|line| Rc::from(line.as_str())).collect()
                }
                _ => {
                    self.misses.insert(query);
                    return Err(Stop::Miss);
                }
            }
            // The store may stop at a page of bytes: what is in memory follows only its last commit.
            let last = stored.last().and_then(|line| {
                crate::commit::Commit::parse(line).ok().map(|c| c.last_position())
            });
            complete = descending || last.is_some_and(|last| last >= stored_head);
        }
        let (mut first, second) = if descending { (memory, stored) } else { (stored, memory) };
        if complete {
            first.extend(second);
        }
        first.truncate(limit_lines);
        Ok(first)
    }
}
