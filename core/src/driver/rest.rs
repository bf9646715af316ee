//! What is known of a partition that is not open: when it has something to do.
//!
//! Owns reading that from a store, without a guest: a host with many partitions looks through all of
//! them when it starts. Refuses to fold: where the checkpoint is not at the head, the answer is that
//! it has to be opened.

use alloc::string::ToString;
use alloc::vec::Vec;

use super::connection::Sqlite;
use super::{SqlStore, Store, StoreError};
use crate::engine::{Resting, resting};
use crate::protocol::{Answer, Query, View};
use crate::time::Time;

/// What a stored partition waits for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Rest {
    /// When it has to be opened, by the raw clock; 0 is at once.
    pub due: Time,
    /// The log's newest incarnation, when the checkpoint tells it: a host that may not act for it
    /// has nothing to do there.
    pub incarnation: Option<[u8; 16]>,
}

impl<C: Sqlite> SqlStore<C> {
    /// Whether there is a log.
    pub fn has_begun(&mut self) -> Result<bool, StoreError> {
        Ok(self.genesis()?.is_some())
    }

    /// What is stored here waits for; nothing when it waits for requests alone.
    pub fn rest(&mut self) -> Result<Option<Rest>, StoreError> {
        let tail = self.tail()?;
        if tail.genesis.is_none() {
            return Ok(None);
        }
        let head = tail.last.map_or(0, |(position, _)| position);
        let at_once = Rest { due: Time(0), incarnation: None };
        let Some(resting) = tail.checkpoint.as_deref().and_then(resting) else {
            return Ok(Some(at_once));
        };
        if resting.position != head {
            return Ok(Some(at_once));
        }
        let Resting { now, timers, effects, incarnation, .. } = resting;
        let mut due = now.then_some(Time(0));
        for (view, prefix) in timers.into_iter().chain(effects) {
            let next = self.first(view, prefix)?;
            due = due.into_iter().chain(next).min();
        }
        Ok(due.map(|due| Rest { due, incarnation: Some(incarnation) }))
    }

    /// The time that starts the first key with this prefix.
    fn first(&mut self, view: View, prefix: &[u8]) -> Result<Option<Time>, StoreError> {
        let name = view.name.to_string();
        let (after_key, prefix) = (Vec::new(), prefix.to_vec());
        let start = prefix.len();
        let rows = self.read(&[Query::Rows { view, after_key, prefix, limit: 1 }])?.pop();
        let Some(Answer::Rows(rows)) = rows else { return Ok(None) };
        let Some((key, _)) = rows.first() else { return Ok(None) };
        let time = key.get(start..).and_then(<[u8]>::first_chunk::<8>);
        let time = time.map(|bytes| Time(u64::from_be_bytes(*bytes)));
        time.map(Some)
            .ok_or_else(|| StoreError::CorruptRow { view: name, key: crate::chain::hex(key) })
    }
}
