//! Waking partitions that are not open: the system's own commands, timers and effects happen
//! whether or not anyone asks.
//!
//! Owns one thread: it looks once through all files of the data directory, then opens each
//! partition when it falls due. Refuses to know what is due. Of each file it reads the checkpoint
//! and a row or two, without a guest; a file with a WAL is one that was not closed, and is opened.
//!
//! With test stamps nothing happens by itself, and there is no such thread.

use std::path::Path;
use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use foldlog_core::driver::{NOBODY, SqlStore, World};
use foldlog_core::ids::is_partition;
use foldlog_core::time::Time;

use crate::harness::source;
use crate::partitions::Partitions;
use crate::plain::ReadOnly;
use crate::world::Machine;
use crate::{log, owner};

/// When there is no room for a partition that falls due, it is tried again this much later.
const NO_ROOM: Duration = Duration::from_millis(100);

/// The thread.
#[derive(Debug)]
pub struct Waker {
    partitions: Arc<Partitions>,
    thread: JoinHandle<()>,
}

impl Waker {
    /// Begins to look through the files of `data`.
    pub fn start(data: &Path, partitions: &Arc<Partitions>) -> Option<Self> {
        let (data, of) = (data.to_path_buf(), partitions.clone());
        let thread = std::thread::Builder::new().name("waker".into()).spawn(move || {
            look_through(&data, &of);
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

/// Finds what waits in all files. Those that a client opens meanwhile look after themselves.
fn look_through(data: &Path, partitions: &Partitions) {
    let entries = match std::fs::read_dir(data) {
        Ok(entries) => entries,
        Err(error) => {
            log::error("the data directory can not be read").with("detail", error).write();
            return;
        }
    };
    for entry in entries.flatten() {
        if partitions.closed().stopped() {
            return;
        }
        let file = entry.file_name();
        let name = file.to_str().and_then(|file| file.strip_suffix(".sqlite"));
        let Some(name) = name.filter(|name| is_partition(name)) else { continue };
        if let Some(due) = due(&entry.path()) {
            partitions.closed().due(name, due);
        }
    }
}

/// When a partition has to be opened. What can not be read is told to whoever asks for it.
fn due(path: &Path) -> Option<Time> {
    let raw = match source::closed(path) {
        Ok(Some(raw)) => raw,
        Ok(None) => return Some(Time(0)),
        Err(_) => return None,
    };
    let rest = SqlStore::new(ReadOnly(raw)).rest().ok()??;
    let own = owner::of(path);
    let held = rest.incarnation.is_some_and(|newest| own == NOBODY || own != newest);
    (!held).then_some(rest.due)
}
