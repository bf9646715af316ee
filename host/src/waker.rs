//! Waking partitions that are not open: the system's own commands, timers and effects happen
//! whether or not anyone asks.
//!
//! Owns one thread: it looks once through all partitions, then opens each when it falls due.
//! Refuses to know what is due.
//!
//! With test stamps nothing happens by itself, and there is no such thread.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use foldlog_core::driver::World;

use crate::log;
use crate::partitions::Partitions;
use crate::stores::Stores;
use crate::world::Machine;

/// When there is no room for a partition that falls due, it is tried again this much later.
const NO_ROOM: Duration = Duration::from_millis(100);

/// The thread.
#[derive(Debug)]
pub struct Waker {
    partitions: Arc<Partitions>,
    thread: JoinHandle<()>,
}

impl Waker {
    /// Begins to look through all that is kept there.
    pub fn start(stores: Arc<dyn Stores>, partitions: &Arc<Partitions>) -> Option<Self> {
        let of = partitions.clone();
        let thread = std::thread::Builder::new().name("waker".into()).spawn(move || {
            look_through(stores.as_ref(), &of);
            while let Some(name) = of.closed().next() {
                if !of.wake(&name) {
                    let soon = Machine::new().clock();
                    of.closed().due(&name, soon.after_ms(NO_ROOM.as_millis() as u64));
                }
            }
        });
        match thread {
            Ok(thread) => Some(Self { partitions: partitions.clone(), thread }),
            Err(error) => {
                log::error("no thread to wake partitions").with("detail", error).write();
                None
            }
        }
    }

    /// Opens nothing any more.
    pub fn stop(self) {
        self.partitions.closed().stop();
        // A panic was already told by the hook.
        let _ = self.thread.join();
    }
}

/// Finds what waits in all of them. Those that a client opens meanwhile look after themselves.
fn look_through(stores: &dyn Stores, partitions: &Partitions) {
    let names = match stores.all() {
        Ok(names) => names,
        Err(error) => {
            log::error("what waits can not be looked for").with("detail", error).write();
            return;
        }
    };
    for name in names {
        if partitions.closed().stopped() {
            return;
        }
        if let Some(due) = stores.due(&name) {
            partitions.closed().due(&name, due);
        }
    }
}
