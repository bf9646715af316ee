//! The rejection journal: commands that were refused, for whoever asks later which of them another
//! module would take. It is off unless a setting gives it room.
//!
//! Owns what waits to be stored, and when it is. How it is stored is in `ring`, what is kept of a
//! command in `entry`. Refuses to know who reads it.
//!
//! Invariant: it is in nobody's way. Entries are gathered in memory and stored beside the log within a
//! second, in a view outside the digest; those that can not be stored are dropped, and so are all of
//! them with a crash in that second.

mod entry;
mod ring;

use alloc::collections::VecDeque;
use alloc::string::String;

use super::partition::Failure;
use super::{OwnedRequest, Partition, Spawn, Store, StoreError, World};
use crate::limits::{REJECTED_ENTRY_BYTES_MAX, REJECTED_UNSTORED_BYTES_MAX};
use crate::protocol::{Response, Stamp};
use entry::entry;

/// Entries wait at most so long.
const STORE_MICROS: u64 = 1_000_000;

/// What the driver remembers of the journal.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Entries that are not stored yet, without their numbers.
    unstored: VecDeque<String>,
    bytes: usize,
    /// Entries before those that there was no room for.
    lost: u64,
    /// By when they are stored.
    store_at_micros: u64,
    /// More is stored than there is room for, or what can not be read.
    excess: bool,
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Bytes that are to be kept. Payloads that the log is not to keep are not kept beside it either.
    const fn journal_room(&self) -> u64 {
        if self.config.settings.record_commands { self.config.rejected_bytes_max } else { 0 }
    }

    /// An instance was opened: whether what an earlier host left fits into the room of now.
    pub(super) fn journal_opened(&mut self, head: u64) {
        self.journal.excess = head > 0
            && match ring::read(&mut self.store) {
                Ok(ring) => ring.bytes > self.journal_room(),
                Err(error) => matches!(error, StoreError::CorruptRow { .. }),
            };
    }

    /// Notes a request that was refused as of the log's position `after`.
    pub(super) fn note_rejected(
        &mut self,
        request: &OwnedRequest,
        (after, stamp): (u64, &Stamp),
        response: &Response,
    ) {
        let room = usize::try_from(self.journal_room()).unwrap_or(usize::MAX);
        // Without a log there is nothing to keep it beside.
        if room == 0 || after == 0 || self.held() {
            return;
        }
        let Some(entry) = entry(request, (after, stamp), response) else { return };
        if entry.len() > REJECTED_ENTRY_BYTES_MAX {
            return;
        }
        let journal = &mut self.journal;
        if journal.unstored.is_empty() {
            // With a test's clock nothing is waited for.
            let wait = if self.config.test_stamps.is_some() { 0 } else { STORE_MICROS };
            journal.store_at_micros = self.world.micros().saturating_add(wait);
        }
        journal.bytes = journal.bytes.saturating_add(entry.len());
        journal.unstored.push_back(entry);
        let room = room.min(REJECTED_UNSTORED_BYTES_MAX);
        if journal.bytes > room / 2 {
            journal.store_at_micros = self.world.micros();
        }
        while journal.bytes > room {
            let Some(oldest) = journal.unstored.pop_front() else { break };
            journal.bytes = journal.bytes.saturating_sub(oldest.len());
            journal.lost = journal.lost.saturating_add(1);
        }
    }

    /// In how many microseconds entries are to be stored or dropped, if there are any.
    pub(super) fn journal_due(&mut self) -> Option<u64> {
        if self.held() {
            return None;
        }
        let waits = !self.journal.unstored.is_empty();
        let at = waits.then(|| self.journal.store_at_micros.saturating_sub(self.world.micros()));
        if self.journal.excess { Some(0) } else { at }
    }

    /// Stores the entries that wait. A host that stops calls it.
    pub fn save_rejected(&mut self) {
        let Journal { unstored, lost, excess, .. } = core::mem::take(&mut self.journal);
        if self.held() || (unstored.is_empty() && !excess) {
            return;
        }
        let room = self.journal_room();
        let added = match ring::add(&mut self.store, &unstored, lost, room) {
            // No reason to fold all rows anew.
            Err(StoreError::CorruptRow { .. }) => ring::erase(&mut self.store)
                .and_then(|()| ring::add(&mut self.store, &unstored, 0, room)),
            added => added,
        };
        match added {
            Ok(more) => self.journal.excess = more,
            Err(error) => {
                let failure = Failure::Store(error);
                self.report(&failure);
                if !matches!(failure, Failure::Store(StoreError::Full)) {
                    self.drop_live();
                    self.in_trouble(&failure);
                }
            }
        }
    }
}
