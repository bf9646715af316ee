//! Logs in a data directory: one SQLite file a partition, with its owner beside it.
//!
//! Owns which file is whose. What is in the directory beside logs is `lock`'s and `secret`'s.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use foldlog_core::driver::{NOBODY, SqlStore};
use foldlog_core::ids::is_partition;
use foldlog_core::settings::Secret;
use foldlog_core::time::Time;

use super::{AnyStore, Stores};
use crate::directory::Directory;
use crate::harness::source;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::plain::ReadOnly;
use crate::sqlite::{Connection, ReadConnection};
use crate::{owner, secret};

/// A data directory that is locked.
#[derive(Debug)]
pub struct Files {
    data: PathBuf,
    directory: Directory,
    lock: Mutex<Option<Lock>>,
}

impl Files {
    /// Makes the directory if need be, and locks it.
    pub fn take(data: &Path) -> Result<Self, String> {
        // A directory of that name is hardly meant, and it may have a password.
        if data.to_str().is_some_and(source::is_url) {
            return Err("--data is a directory; a database's URL goes to --store".into());
        }
        make_directory(data)?;
        let lock = Mutex::new(Some(Lock::take(data)?));
        Ok(Self { data: data.to_path_buf(), directory: Directory::new(data.to_path_buf()), lock })
    }

    fn file(&self, name: &str) -> PathBuf {
        self.data.join(format!("{name}.sqlite"))
    }
}

impl Stores for Files {
    fn shown(&self) -> String {
        self.data.display().to_string()
    }

    fn writer(&self, name: &str, metrics: &Arc<Metrics>) -> Result<AnyStore, String> {
        let mut store = SqlStore::new(Connection::new(self.file(name), metrics.clone()));
        // A file that can not be read is told apart from a guest that fails.
        store.has_begun().map_err(|e| e.to_string())?;
        Ok(AnyStore::new(store))
    }

    fn reader(&self, name: &str) -> AnyStore {
        AnyStore::new(SqlStore::new(ReadConnection::new(self.file(name))))
    }

    fn owner(&self, name: &str) -> [u8; 16] {
        owner::of(&self.file(name))
    }

    fn is_blank(&self, name: &str) -> bool {
        !self.file(name).exists()
    }

    fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, String> {
        self.directory.names(after, limit)
    }

    fn all(&self) -> Result<Vec<String>, String> {
        let entries = std::fs::read_dir(&self.data);
        let entries = entries.map_err(|e| format!("{}: {e}", self.data.display()))?;
        let name = |entry: std::fs::DirEntry| {
            let file = entry.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".sqlite"));
            name.filter(|name| is_partition(name)).map(ToString::to_string)
        };
        Ok(entries.flatten().filter_map(name).collect())
    }

    /// Reads the checkpoint and a row or two, without a guest. A file with a WAL is one that was not
    /// closed, and is opened. What can not be read is told to whoever asks for it.
    fn due(&self, name: &str) -> Option<Time> {
        let raw = match source::closed(&self.file(name)) {
            Ok(Some(raw)) => raw,
            Ok(None) => return Some(Time(0)),
            Err(_) => return None,
        };
        let rest = SqlStore::new(ReadOnly(raw)).rest().ok()??;
        let own = self.owner(name);
        let held = rest.incarnation.is_some_and(|newest| own == NOBODY || own != newest);
        (!held).then_some(rest.due)
    }

    fn secret(&self) -> Result<Secret, String> {
        secret::of(&self.data)
    }

    fn release(&self) {
        drop(self.lock.lock().unwrap_or_else(PoisonError::into_inner).take());
    }
}

pub fn make_directory(data: &Path) -> Result<(), String> {
    let failed = |e: std::io::Error| format!("data directory {}: {e}", data.display());
    if !data.is_dir() {
        std::fs::create_dir_all(data).map_err(failed)?;
        owner::sync_directory(data)?;
    }
    Ok(())
}
