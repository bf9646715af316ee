//! The disk of a simulated partition: a store in memory that fails, fills up and is damaged by
//! chance, and at which a process may end, before an operation or after it.
//!
//! Owns the driver's store port. Refuses to know what is stored.
//!
//! Invariant: `durable` changes by whole writes only, but where a sabotage says otherwise.

use foldlog_core::driver::{Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query, RowKey};

use super::sabotage::{self, Sabotage};
use super::world::{Shared, World0};

/// The store of a simulated process.
#[derive(Debug)]
pub struct Disk(pub World0);

impl Shared {
    fn apply(&mut self, write: &Write) {
        let mut write = write.clone();
        if self.broken(Sabotage::AckEarly) {
            let last = self.held.replace(write);
            write = last.unwrap_or_default();
        }
        if self.broken(Sabotage::SkipSync) && self.random.below(10) == 0 {
            return;
        }
        if let Some(bug) = self.plan.sabotage {
            sabotage::spoil(bug, self, &mut write);
        }
        if self.broken(Sabotage::StaleRow) {
            for (view, rows) in &write.rows {
                for (key, _) in rows {
                    let old = self.durable.rows.get(view).and_then(|rows| rows.get(key));
                    if let Some(old) = old {
                        self.before.insert((view.clone(), key.clone()), old.clone());
                    }
                }
            }
        }
        if write.checkpoint.is_some() {
            self.checkpoint_of = self.release;
        }
        // A store in memory never refuses.
        let _ = self.durable.write(&write);
    }
}

impl Disk {
    fn gone<T>(&self, when: &'static str) -> Option<Result<T, StoreError>> {
        let mut world = self.0.borrow_mut();
        let rate = world.plan.crash;
        if !world.crashed && world.chance(rate) {
            world.crash(when);
        }
        world.crashed.then(|| Err(StoreError::Unknown("the process ended".into())))
    }

    fn writing(
        &self,
        after: &'static str,
        write: impl FnOnce(&mut Shared),
    ) -> Result<(), StoreError> {
        if let Some(gone) = self.gone("crash before a write") {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        let (full, fails, crash) = (world.plan.full, world.plan.write_fails, world.plan.crash);
        if world.chance(full) {
            world.fault("full disk");
            if world.broken(Sabotage::RefusedAndDone) {
                write(&mut world);
            }
            return Err(StoreError::Full);
        }
        if world.chance(fails) {
            let tail = world.durable.tail().ok();
            if world.random.below(2) == 0 {
                world.fault("a write fails and is there");
                write(&mut world);
            } else {
                world.fault("a write fails and is not there");
            }
            if world.broken(Sabotage::StaleHeadAfterError) {
                world.stale_tail = tail;
            }
            return Err(StoreError::Unknown("by chance".into()));
        }
        write(&mut world);
        if world.chance(crash) {
            world.crash(after);
            return Err(StoreError::Unknown("the process ended".into()));
        }
        Ok(())
    }
}

const fn after(write: &Write) -> &'static str {
    if write.blocks.is_empty() {
        "crash after a checkpoint was stored"
    } else {
        "crash after a block was stored"
    }
}

/// Timers are kept by `d`, when they are due, and which they are.
fn an_hour_earlier(key: &mut [u8]) {
    if let Some((b'd', rest)) = key.split_first_mut()
        && let Some((due, _)) = rest.split_first_chunk_mut::<8>()
    {
        *due = u64::from_be_bytes(*due).saturating_sub(3_600_000).to_be_bytes();
    }
}

impl Store for Disk {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.0.borrow_mut().opening = true;
        if let Some(gone) = self.gone("crash while opening") {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        match world.stale_tail.take() {
            Some(stale) => Ok(stale),
            None => world.durable.tail(),
        }
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        if let Some(gone) = self.gone("crash while reading") {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        let (fails, corrupt) = (world.plan.read_fails, world.plan.corrupt);
        if world.chance(fails) {
            world.fault("read fails");
            return Err(StoreError::Read("by chance".into()));
        }
        let rows = queries.iter().any(|query| matches!(query, Query::Row(_)));
        if rows && world.chance(corrupt) {
            world.fault("damaged row");
            return Err(StoreError::CorruptRow { view: "BankAccount".into(), key: "00".into() });
        }
        let mut answers = world.durable.read(queries)?;
        let (stale, early) = (world.broken(Sabotage::StaleRow), world.broken(Sabotage::EarlyTimer));
        for (query, answer) in queries.iter().zip(&mut answers) {
            match (query, answer) {
                (Query::Row(RowKey { view, key }), Answer::Row(Some(value))) if stale => {
                    if let Some(old) = world.before.get(&(view.clone(), key.clone())) {
                        value.clone_from(old);
                    }
                }
                (Query::Rows { view, .. }, Answer::Rows(rows))
                    if early && view.name == "pending" =>
                {
                    rows.iter_mut().for_each(|(key, _)| an_hour_earlier(key));
                }
                _ => {}
            }
        }
        Ok(answers)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let outside = self.0.borrow().broken(Sabotage::RowsOutsideTheTransaction);
        if outside && !write.rows.is_empty() {
            // Half of it at a time: what comes between sees the first half alone.
            let rows = Write { blocks: write.blocks.clone(), ..Write::default() };
            let mut first = rows.clone();
            first.rows = write.rows.iter().take(write.rows.len() / 2).cloned().collect();
            self.writing(after(write), |world| world.apply(&first))?;
            let rest = Write { blocks: Vec::new(), ..write.clone() };
            return self.writing(after(write), |world| world.apply(&rest));
        }
        self.writing(after(write), |world| world.apply(write))
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.writing("crash after rows were erased", |world| {
            let _ = world.durable.erase_rows();
        })
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        let incarnation = *incarnation;
        if let Some(gone) = self.gone("crash while adopting") {
            return gone;
        }
        self.writing("crash while adopting", |world| world.owner = incarnation)
    }
}
