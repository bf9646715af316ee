//! What is remembered of partitions that are not open: when each must be opened again, its
//! supervision, its counters.
//!
//! Owns that memory, and waiting for the first of them to fall due. Refuses to open anything. An
//! entry is kept for partitions that have something to do or that were open in this process.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use foldlog_core::driver::World;
use foldlog_core::time::Time;

use crate::metrics::GAUGES;
use crate::supervise::Supervisor;
use crate::world::Machine;

/// The raw clock may be set: it is read again after this time.
const ASK_AGAIN: Duration = Duration::from_secs(60);

/// What an actor leaves behind.
#[derive(Debug, Default)]
pub struct Kept {
    /// Its failures, and when it is tried again.
    pub supervisor: Supervisor,
    /// Commands done and refused.
    pub processed: u64,
    /// See `processed`.
    pub rejected: u64,
    /// As last told.
    pub gauges: [u64; GAUGES],
}

/// All of it.
#[derive(Debug, Default)]
pub struct Closed {
    table: Mutex<Table>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Table {
    kept: HashMap<String, Kept>,
    due: HashMap<String, Time>,
    order: BTreeSet<(Time, String)>,
    stopped: bool,
}

impl Table {
    fn set(&mut self, name: &str, due: Option<Time>) {
        if let Some(before) = self.due.remove(name) {
            self.order.remove(&(before, name.to_string()));
        }
        if let Some(due) = due {
            self.due.insert(name.to_string(), due);
            self.order.insert((due, name.to_string()));
        }
    }
}

impl Closed {
    /// A partition is opened: what its last actor left.
    pub fn opens(&self, name: &str) -> Kept {
        let mut table = self.table();
        table.set(name, None);
        table.kept.remove(name).unwrap_or_default()
    }

    /// A partition was closed.
    pub fn closes(&self, name: &str, kept: Kept, due: Option<Time>) {
        let mut table = self.table();
        table.kept.insert(name.to_string(), kept);
        table.set(name, due);
        self.changed.notify_all();
    }

    /// A partition that is not open must be opened then.
    pub fn due(&self, name: &str, due: Time) {
        self.table().set(name, Some(due));
        self.changed.notify_all();
    }

    /// Waits until a partition has to be opened, and takes its name out; `None` at the stop.
    pub fn next(&self) -> Option<String> {
        let mut table = self.table();
        loop {
            if table.stopped {
                return None;
            }
            let now = Machine::new().clock();
            let wait = match table.order.first() {
                Some((due, name)) if *due <= now => {
                    let name = name.clone();
                    table.set(&name, None);
                    return Some(name);
                }
                Some((due, _)) => Duration::from_millis(due.0 - now.0).min(ASK_AGAIN),
                None => ASK_AGAIN,
            };
            let waited = self.changed.wait_timeout(table, wait);
            table = waited.unwrap_or_else(PoisonError::into_inner).0;
        }
    }

    /// Nothing is opened any more.
    pub fn stop(&self) {
        self.table().stopped = true;
        self.changed.notify_all();
    }

    /// Whether that was said.
    pub fn stopped(&self) -> bool {
        self.table().stopped
    }

    /// Name and gauges of those that failed.
    pub fn failed(&self) -> Vec<(String, [u64; GAUGES])> {
        let table = self.table();
        let failed = table.kept.iter().filter(|(_, kept)| kept.supervisor.restarts() > 0);
        failed.map(|(name, kept)| (name.clone(), kept.gauges)).collect()
    }

    fn table(&self) -> MutexGuard<'_, Table> {
        // The table holds at every step: a panic elsewhere does not make it wrong.
        self.table.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_falls_due_is_told_once_and_in_order() {
        let closed = Closed::default();
        for (name, due) in [("b", 2), ("a", 1), ("later", u64::MAX), ("c", 3)] {
            closed.due(name, Time(due));
        }
        closed.due("c", Time(0));
        closed.opens("b");
        assert_eq!(closed.next().as_deref(), Some("c"));
        assert_eq!(closed.next().as_deref(), Some("a"));
        std::thread::scope(|scope| {
            let waiting = scope.spawn(|| closed.next());
            std::thread::sleep(Duration::from_millis(20));
            closed.closes("d", Kept { processed: 7, ..Kept::default() }, Some(Time(5)));
            assert_eq!(waiting.join().ok().flatten().as_deref(), Some("d"));
        });
        assert_eq!(closed.opens("d").processed, 7);
        closed.stop();
        assert_eq!(closed.next(), None);
    }
}
