//! A log that is only read, whatever it lies in.
//!
//! Owns what a source may be. Refuses to take the lock, and to write: readers work while a host
//! serves.
//!
//! | given | read |
//! |---|---|
//! | a data directory | the partition's file (`file`) |
//! | a state directory of wrangler or workerd | the file of the partition's object (`objects`) |
//! | a SQLite file, of any host | itself (`file`) |
//! | NDJSON, by its first byte `{`, or standard input, named `-` | its lines (`lines`) |

mod file;
mod lines;
mod objects;

use std::borrow::Borrow;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldlog_core::chain;
use foldlog_core::driver::{Progress, SqlValue, StoredBlock};
use foldlog_core::ids::is_partition;
use rusqlite::Connection;
use tempfile::TempDir;

pub use file::closed;
pub use lines::is_ndjson;

use super::fold::Broken;
use crate::sqlite;

/// The name of standard input.
pub const STANDARD_INPUT: &str = "-";

/// An open source.
#[derive(Debug)]
pub struct Source {
    /// The connection, within a read transaction: all that is read belongs together.
    pub raw: Connection,
    /// The file's path, for people.
    pub path: PathBuf,
    /// Where NDJSON can not be read on: what comes before that is in the log.
    pub broken: Option<Broken>,
    /// It was NDJSON: all there is is the log.
    pub is_lines: bool,
    /// Removed with the source.
    copy: Option<Arc<TempDir>>,
}

impl Borrow<Connection> for Source {
    fn borrow(&self) -> &Connection {
        &self.raw
    }
}

impl Source {
    /// Opens the partition of a directory, or a file.
    pub fn open(source: &Path, partition: &str) -> Result<Self, String> {
        if source == Path::new(STANDARD_INPUT) {
            return Self::of_lines(Path::new("standard input"), std::io::stdin().lock());
        }
        // Shown whole, it would show a password.
        if source.to_str().is_some_and(is_url) {
            let what = "a log is read from a file or a directory, not from a URL";
            return Err(format!("{what}: `foldlog pull` fetches one from its host"));
        }
        let path = path_of(source, partition)?;
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        // A pipe gives its first byte only once.
        if !path.is_file() || lines::is_ndjson(&path) {
            return Self::of_lines(&path, std::fs::File::open(&path).map_err(|e| failed(&e))?);
        }
        let (raw, copy) = file::connect(&path).map_err(|e| failed(&e))?;
        let source = Self { raw, path, broken: None, is_lines: false, copy: copy.map(Arc::new) };
        let tables = source.query(
            "SELECT name FROM sqlite_master WHERE type = 'table' AND name IN ('log','rows')",
        )?;
        if tables.len() < 2 {
            return Err(source.failed("it has no tables `log` and `rows`: it is no log of Foldlog"));
        }
        Ok(source)
    }

    /// Another reader of the same: standard input can not be read twice, and a copy need not be made
    /// twice.
    pub fn again(&self) -> Result<Self, String> {
        let failed = |e: String| self.failed(&e);
        let (raw, copy) = match &self.copy {
            Some(copy) => (file::copied(copy).map_err(failed)?, Some(copy.clone())),
            None => {
                let (raw, copy) = file::connect(&self.path).map_err(failed)?;
                (raw, copy.map(Arc::new))
            }
        };
        let (path, broken) = (self.path.clone(), self.broken.clone());
        Ok(Self { raw, path, broken, is_lines: self.is_lines, copy })
    }

    /// What a table `log` with these rows is to the verbs; bodies need not be text.
    #[cfg(test)]
    pub fn of_blocks(blocks: &[(i64, i64, Vec<u8>)]) -> Self {
        let raw = Connection::open_in_memory().expect("memory");
        let create = "CREATE TABLE log (first_position INTEGER PRIMARY KEY, \
                      last_position INTEGER NOT NULL, body TEXT NOT NULL); \
                      CREATE TABLE rows (view TEXT, generation INTEGER, key BLOB, value BLOB)";
        raw.execute_batch(create).expect("tables");
        for (first, last, body) in blocks {
            let body =
                rusqlite::types::ToSqlOutput::Borrowed(rusqlite::types::ValueRef::Text(body));
            let row: [&dyn rusqlite::ToSql; 3] = [first, last, &body];
            // One that has the place of another is one less.
            raw.execute("INSERT OR REPLACE INTO log VALUES (?1, ?2, ?3)", row).expect("a row");
        }
        Self { raw, path: "memory".into(), broken: None, is_lines: false, copy: None }
    }

    /// What a file of these lines is to the verbs.
    #[cfg(test)]
    pub fn of_ndjson(lines: &[u8]) -> Self {
        Self::of_lines(Path::new("lines"), lines).expect("a source")
    }

    fn of_lines(path: &Path, input: impl std::io::Read) -> Result<Self, String> {
        let stored = lines::store(input).map_err(|e| format!("{}: {e}", path.display()))?;
        let lines::Stored { raw, directory, broken } = stored;
        let (path, copy) = (path.to_path_buf(), Some(Arc::new(directory)));
        Ok(Self { raw, path, broken, is_lines: true, copy })
    }

    /// The genesis line; `None` when the log is empty. An error when the first line of NDJSON is no
    /// genesis line.
    pub fn genesis(&self) -> Result<Option<String>, String> {
        let rows = self.query("SELECT body FROM log WHERE first_position = 0")?;
        match rows.first().map(Vec::as_slice) {
            None => self.whole().map(|()| None),
            Some([SqlValue::Text(body)]) => Ok(Some(chain::inner(body).to_string())),
            Some(_) => Err(self.failed("the genesis row is not text")),
        }
    }

    /// An error when it is NDJSON that breaks off.
    pub fn whole(&self) -> Result<(), String> {
        match &self.broken {
            Some(broken) => Err(self.failed(&broken.detail)),
            None => Ok(()),
        }
    }

    /// Whether NDJSON breaks right there.
    pub fn broken_at(&self, position: u64) -> bool {
        self.broken.as_ref().is_some_and(|broken| broken.position == position)
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

    /// The block that a position lies in, if any does.
    pub fn block_of(&self, position: u64) -> Result<Option<StoredBlock>, String> {
        let sql = "SELECT first_position, last_position, body FROM log \
                   WHERE first_position <= ?1 AND first_position > 0 \
                   ORDER BY first_position DESC LIMIT 1";
        let at = i64::try_from(position).unwrap_or(i64::MAX);
        let failed = |e: rusqlite::Error| self.failed(&e.to_string());
        let mut statement = self.raw.prepare(sql).map_err(failed)?;
        let mut rows = statement.query([at]).map_err(failed)?;
        let row = rows.next().map_err(failed)?;
        row.map(block).transpose().map_err(|detail| self.failed(&detail))
    }

    fn query(&self, sql: &str) -> Result<Vec<Vec<SqlValue>>, String> {
        sqlite::query(&self.raw, sql, &[]).map_err(|e| self.failed(&format!("{e:?}")))
    }

    fn failed(&self, detail: &str) -> String {
        format!("{}: {detail}", self.path.display())
    }
}

/// Whether it is no path, but the address of a host or a database.
pub fn is_url(text: &str) -> bool {
    text.split_once("://").is_some_and(|(scheme, _)| {
        scheme.len() > 1 && scheme.bytes().all(|byte| byte.is_ascii_alphanumeric())
    })
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

/// The file that is meant.
fn path_of(source: &Path, partition: &str) -> Result<PathBuf, String> {
    if !source.is_dir() {
        let path = source.to_path_buf();
        let missing = || format!("{}: there is no such file", path.display());
        return if path.exists() { Ok(path) } else { Err(missing()) };
    }
    let path = source.join(format!("{partition}.sqlite"));
    if path.is_file() {
        return Ok(path);
    }
    let entries = std::fs::read_dir(source).map_err(|e| format!("{}: {e}", source.display()))?;
    let mut names: Vec<String> = entries
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.strip_suffix(".sqlite").map(String::from))
        .filter(|name| is_partition(name))
        .collect();
    if names.is_empty()
        && let Some(path) = objects::find(source, partition)?
    {
        return Ok(path);
    }
    names.sort_unstable();
    let there = if names.is_empty() { "no partition at all".into() } else { names.join(", ") };
    Err(format!("{} has no partition `{partition}`; it has {there}", source.display()))
}
