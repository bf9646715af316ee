//! Checkpoints: changed rows and the position they belong to, in one transaction.
//!
//! Owns taking one out of the guest in parts and storing it. Refuses to know when one is due.

use super::call::call;
use super::partition::{Failure, Live};
use super::{Guest, Partition, Spawn, Store, World, Write};
use crate::protocol::{CheckpointPart, Op};

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Whether a checkpoint would save anything.
    pub fn checkpoint_useful(&self) -> bool {
        self.live.as_ref().is_some_and(|live| live.changed)
    }

    /// Stores all changed rows and the position they belong to, in one transaction.
    ///
    /// On an error the instance is dropped; the log is as it was.
    pub fn checkpoint(&mut self) -> Result<(), Failure> {
        let Some(live) = self.live.as_mut().filter(|live| live.changed) else { return Ok(()) };
        let mut write = Write::default();
        let result = take_checkpoint(&mut live.guest, &mut write).and_then(|position| {
            self.store.write(&write)?;
            live.head.checkpoint = position;
            live.changed = false;
            // That they stopped is stored now: a rebuild may try them again.
            self.quarantined.clear();
            Ok(())
        });
        match &result {
            Ok(()) => (self.stored, self.trouble) = (true, None),
            Err(failure) => {
                self.drop_live();
                self.in_trouble(failure);
            }
        }
        result
    }
}

pub(super) fn store_rows_alone<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
) -> Result<(), Failure> {
    let mut write = Write::default();
    let position = take_checkpoint(&mut live.guest, &mut write)?;
    store.write(&write)?;
    live.head.checkpoint = position;
    live.changed = live.head.position > position;
    Ok(())
}

/// The same in one transaction a part, so that never all changed rows are in memory twice. Between
/// them the store's rows are as of no position.
pub(super) fn store_parts<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
) -> Result<(), Failure> {
    loop {
        let CheckpointPart { rows, dropped, checkpoint } =
            call(&mut live.guest, Op::TakeCheckpoint, &())?;
        let position = checkpoint.as_ref().map(|(position, _)| *position);
        let checkpoint = checkpoint.map(|(_, row)| row);
        store.write(&Write { rows, dropped, checkpoint, ..Write::default() })?;
        if let Some(position) = position {
            live.head.checkpoint = position;
            live.changed = live.head.position > position;
            return Ok(());
        }
    }
}

/// Adds all parts of the guest's checkpoint to a write; returns its position.
pub(super) fn take_checkpoint<G: Guest>(guest: &mut G, write: &mut Write) -> Result<u64, Failure> {
    loop {
        let part: CheckpointPart = call(guest, Op::TakeCheckpoint, &())?;
        write.rows.extend(part.rows);
        write.dropped.extend(part.dropped);
        if let Some((position, row)) = part.checkpoint {
            write.checkpoint = Some(row);
            return Ok(position);
        }
    }
}
