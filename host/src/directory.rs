//! The names of all partitions of a data directory: `GET /partitions`.
//!
//! Owns which files count: those of logs that have begun. Refuses to open partitions.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use foldlog_core::ids::is_partition;
use rusqlite::{Connection, OpenFlags};

/// The directory of a data directory.
#[derive(Debug)]
pub struct Directory {
    data: PathBuf,
    /// Partitions that have begun: they never cease to exist while a host serves them.
    begun: Mutex<BTreeSet<String>>,
}

impl Directory {
    /// Nothing is read yet.
    pub const fn new(data: PathBuf) -> Self {
        Self { data, begun: Mutex::new(BTreeSet::new()) }
    }

    /// At most `limit` names after `after`, in order.
    pub fn names(&self, after: &str, limit: usize) -> Result<Vec<String>, String> {
        let failed = |e: std::io::Error| format!("{}: {e}", self.data.display());
        let mut files = BTreeSet::new();
        for entry in std::fs::read_dir(&self.data).map_err(failed)? {
            let file = entry.map_err(failed)?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(".sqlite"));
            files.extend(name.filter(|name| is_partition(name)).map(ToString::to_string));
        }
        let later = files.into_iter().filter(|name| name.as_str() > after);
        Ok(later.filter(|name| self.has_begun(name)).take(limit).collect())
    }

    /// A file alone does not make a partition: its log has to begin.
    fn has_begun(&self, name: &str) -> bool {
        let mut begun = self.begun.lock().unwrap_or_else(PoisonError::into_inner);
        if begun.contains(name) {
            return true;
        }
        let path = self.data.join(format!("{name}.sqlite"));
        // What can not be read now may be asked for again.
        let found = has_genesis(&path).unwrap_or(false);
        if found {
            begun.insert(name.to_string());
        }
        found
    }
}

fn has_genesis(path: &Path) -> rusqlite::Result<bool> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connection = Connection::open_with_flags(path, flags)?;
    let mut query = connection.prepare("SELECT 1 FROM log WHERE first_position = 0")?;
    query.exists([])
}
