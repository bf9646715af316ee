//! A log that is only read: a data directory's partition, or any SQLite file with the two tables.
//!
//! Owns how a file is opened without writing to it or beside it. Refuses to take the lock: readers
//! work while a host serves.
//!
//! | found | opened |
//! |---|---|
//! | a host serves the directory | read-only, in one read transaction |
//! | no WAL | read-only and immutable: SQLite makes no files beside it |
//! | a WAL that nobody holds, or a Durable Object's | a copy of both files in a temporary directory |

use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime};

use foldlog_core::chain;
use foldlog_core::driver::{Progress, SqlValue, StoredBlock};
use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::lock::Lock;
use crate::sqlite;

/// A copy is good when the files did not change meanwhile; a busy writer leaves such moments.
const COPY_TRIES: u32 = 10;
const COPY_PAUSE: Duration = Duration::from_millis(200);

/// An open source.
#[derive(Debug)]
pub struct Source {
    /// The connection, within a read transaction: all that is read belongs together.
    pub raw: Connection,
    /// The file's path, for people.
    pub path: PathBuf,
    /// Removed with the source.
    _copy: Option<TempDir>,
}

impl Source {
    /// Opens the partition of a directory, or a file.
    pub fn open(source: &Path, partition: &str) -> Result<Self, String> {
        let path = if source.is_dir() { file_in(source, partition)? } else { source.to_path_buf() };
        if !path.is_file() {
            return Err(format!("{}: there is no such file", path.display()));
        }
        let (raw, copy) = connect(&path).map_err(|e| format!("{}: {e}", path.display()))?;
        let source = Self { raw, path, _copy: copy };
        let tables = source.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('log','rows')",
        )?;
        if tables.len() < 2 {
            return Err(source.failed("it has no tables `log` and `rows`: it is no log of Foldlog"));
        }
        Ok(source)
    }

    /// The genesis line; `None` when the log is empty.
    pub fn genesis(&self) -> Result<Option<String>, String> {
        let rows = self.query("SELECT body FROM log WHERE first_position = 0")?;
        match rows.first().map(Vec::as_slice) {
            None => Ok(None),
            Some([SqlValue::Text(body)]) => Ok(Some(chain::inner(body).to_string())),
            Some(_) => Err(self.failed("the genesis row is not text")),
        }
    }

    /// How far an import has come that is not complete: nothing in the file is a log then.
    pub fn import(&self) -> Result<Option<Progress>, String> {
        if self.genesis()?.is_some() {
            return Ok(None);
        }
        let rows = self.query("SELECT key, value FROM rows WHERE view = '~import'")?;
        Ok(rows.first().map(|row| match row.as_slice() {
            [SqlValue::Blob(key), SqlValue::Blob(sealed)] => {
                Progress::of_row(chain::unseal_row("~import", 0, key, sealed))
            }
            _ => Progress::default(),
        }))
    }

    /// What the file says is the last position; 0 when there is none.
    pub fn head(&self) -> Result<u64, String> {
        let rows = self.query(
            "SELECT last_position FROM log WHERE first_position > 0 \
             ORDER BY first_position DESC LIMIT 1",
        )?;
        match rows.first().map(Vec::as_slice) {
            Some([SqlValue::Integer(head)]) => Ok(u64::try_from(*head).unwrap_or_default()),
            _ => Ok(0),
        }
    }

    fn query(&self, sql: &str) -> Result<Vec<Vec<SqlValue>>, String> {
        sqlite::query(&self.raw, sql, &[]).map_err(|e| self.failed(&format!("{e:?}")))
    }

    fn failed(&self, detail: &str) -> String {
        format!("{}: {detail}", self.path.display())
    }
}

/// One row of the table `log`, or the position and reason it can not be one.
pub fn block(row: &rusqlite::Row<'_>) -> Result<StoredBlock, String> {
    let number = |index| {
        let number = row.get::<_, i64>(index).map_err(|e| e.to_string())?;
        u64::try_from(number).map_err(|_| format!("a position is {number}"))
    };
    let body = row.get::<_, String>(2).map_err(|e| e.to_string())?;
    Ok(StoredBlock { first: number(0)?, last: number(1)?, body })
}

fn file_in(directory: &Path, partition: &str) -> Result<PathBuf, String> {
    let path = directory.join(format!("{partition}.sqlite"));
    if path.is_file() {
        return Ok(path);
    }
    let entries = std::fs::read_dir(directory).map_err(|e| e.to_string())?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sqlite").map(String::from))
        .collect();
    names.sort_unstable();
    let there = if names.is_empty() { "no partition at all".into() } else { names.join(", ") };
    Err(format!("{} has no partition `{partition}`; it has {there}", directory.display()))
}

fn connect(path: &Path) -> Result<(Connection, Option<TempDir>), String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let live = Lock::held(directory.unwrap_or(Path::new(".")));
    let wal = with_suffix(path, "-wal");
    let has_wal = std::fs::metadata(&wal).is_ok_and(|wal| wal.len() > 0);
    let (raw, copy) = if live {
        (open(&uri(path, "mode=ro"))?, None)
    } else if has_wal {
        let (copied, directory) = copy(path, &wal)?;
        (open(&uri(&copied, "mode=rw"))?, Some(directory))
    } else {
        (open(&uri(path, "mode=ro&immutable=1"))?, None)
    };
    // One read transaction from here on: what a live host adds meanwhile is not seen.
    raw.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master").map_err(|e| e.to_string())?;
    Ok((raw, copy))
}

/// A partition's file that no host has open, read-only, without making files beside it; `None` when
/// there is a WAL: it was not closed, or is open.
pub fn closed(path: &Path) -> Result<Option<Connection>, String> {
    let wal = std::fs::metadata(with_suffix(path, "-wal"));
    if wal.is_ok_and(|wal| wal.len() > 0) {
        return Ok(None);
    }
    open(&uri(path, "mode=ro&immutable=1")).map(Some)
}

fn open(uri: &str) -> Result<Connection, String> {
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE
        | OpenFlags::SQLITE_OPEN_URI
        | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let raw = Connection::open_with_flags(uri, flags).map_err(|e| e.to_string())?;
    raw.busy_timeout(Duration::from_secs(5)).map_err(|e| e.to_string())?;
    raw.pragma_update(None, "trusted_schema", false).map_err(|e| e.to_string())?;
    Ok(raw)
}

/// SQLite's form of a path: `?`, `#` and `%` mean something there.
fn uri(path: &Path, parameters: &str) -> String {
    let path = std::path::absolute(path).unwrap_or_else(|_| path.to_path_buf());
    let path = path.to_string_lossy();
    let path = path.replace('%', "%25").replace('?', "%3f").replace('#', "%23");
    format!("file:{path}?{parameters}")
}

fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Copies file and WAL; both of the same moment.
fn copy(path: &Path, wal: &Path) -> Result<(PathBuf, TempDir), String> {
    let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let target = directory.path().join("log.sqlite");
    for _ in 0..COPY_TRIES {
        let before = (state(path), state(wal));
        let copied = std::fs::copy(path, &target)
            .and_then(|_| std::fs::copy(wal, with_suffix(&target, "-wal")));
        if copied.is_ok() && before == (state(path), state(wal)) {
            return Ok((target, directory));
        }
        std::thread::sleep(COPY_PAUSE);
    }
    Err("it changes all the time: stop its writer, or copy the file and its -wal yourself".into())
}

fn state(path: &Path) -> Option<(u64, SystemTime)> {
    let metadata = std::fs::metadata(path).ok()?;
    Some((metadata.len(), metadata.modified().ok()?))
}
