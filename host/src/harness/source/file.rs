//! How a SQLite file is opened without writing to it or beside it.
//!
//! Owns which way: in place where that changes nothing, else as a copy. Refuses to know tables.
//!
//! | found | opened |
//! |---|---|
//! | a host serves the directory | read-only, in one read transaction |
//! | no WAL | read-only and immutable: SQLite makes no files beside it |
//! | a WAL of a host that was killed, or of workerd, which runs or does not | a copy of both files |
//!
//! Invariant of a copy: file and WAL belong together although workerd writes meanwhile. It only
//! appends to a WAL, and what it copies from there into the file is in the WAL too, until it begins
//! the WAL anew. That changes the WAL's first bytes; then the copy is made again.

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rusqlite::{Connection, OpenFlags};
use tempfile::TempDir;

use crate::lock::Lock;

/// A busy writer begins its WAL anew every few thousand commits.
const COPY_TRIES: u32 = 10;
/// Its name in its directory.
pub const COPY: &str = "log.sqlite";
const COPY_PAUSE: Duration = Duration::from_millis(100);
/// A WAL's header: its checkpoint's number and two random numbers are in it.
const WAL_HEADER_BYTES: usize = 32;

/// Opens a file, and begins a read transaction: all that is read belongs together.
pub fn connect(path: &Path) -> Result<(Connection, Option<TempDir>), String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let live = Lock::held(directory.unwrap_or(Path::new(".")));
    let wal = with_suffix(path, "-wal");
    let (raw, copy) = if live {
        (open(&uri(path, "mode=ro"))?, None)
    } else if wal.is_file() {
        let (copied, directory) = copy(path, &wal)?;
        (open(&uri(&copied, "mode=rw"))?, Some(directory))
    } else {
        (open(&uri(path, "mode=ro&immutable=1"))?, None)
    };
    begin(&raw)?;
    Ok((raw, copy))
}

/// One read transaction from here on: what a live host adds meanwhile is not seen.
fn begin(raw: &Connection) -> Result<(), String> {
    raw.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master").map_err(|e| e.to_string())
}

/// Another reader of a copy.
pub fn copied(copy: &TempDir) -> Result<Connection, String> {
    let raw = open(&uri(&copy.path().join(COPY), "mode=rw"))?;
    begin(&raw)?;
    Ok(raw)
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
    let target = directory.path().join(COPY);
    for _ in 0..COPY_TRIES {
        let before = header(wal);
        // The file first: what is copied into it meanwhile is still in the WAL.
        let copied = std::fs::copy(path, &target)
            .and_then(|_| std::fs::copy(wal, with_suffix(&target, "-wal")));
        match (copied, before, header(wal)) {
            (Ok(_), Ok(before), Ok(after)) if before == after => return Ok((target, directory)),
            (Err(error), ..) if error.kind() != io::ErrorKind::NotFound => {
                let target = target.display();
                return Err(format!("it can not be copied to {target}: {error}"));
            }
            _ => std::thread::sleep(COPY_PAUSE),
        }
    }
    Err("it changes all the time: stop its writer, or copy the file and its -wal yourself".into())
}

/// The first bytes of a WAL; fewer when it is shorter.
fn header(wal: &Path) -> io::Result<Vec<u8>> {
    let mut start = Vec::new();
    File::open(wal)?.take(WAL_HEADER_BYTES as u64).read_to_end(&mut start)?;
    Ok(start)
}
