//! The log that is written: a file in the store's own format, NDJSON, or standard output.
//!
//! Owns what a name stands for, and what is left of a file that could not be completed. Refuses to
//! overwrite, and to write where a host may write, too.
//!
//! Invariant: what is there after each `put` is a good log as far as it goes.

use std::fs::{File, OpenOptions};
use std::io::{BufWriter, Read, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use foldlog_core::chain::{self, Chain, StoredBlock};
use foldlog_core::commit::Commit;
use foldlog_core::driver::{Lines, Progress, SqlStore, Store, Write};

use crate::harness::source::is_ndjson;
use crate::lock::Lock;
use crate::metrics::Metrics;
use crate::owner;
use crate::sqlite::Connection;

/// So much of a file is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// Where lines go.
#[derive(Debug)]
pub struct Output {
    /// Its name, for people.
    pub path: PathBuf,
    form: Form,
    /// Removed again unless it is completed.
    unfinished: bool,
}

#[derive(Debug)]
enum Form {
    Log(Box<SqlStore<Connection>>),
    Lines(BufWriter<File>),
    Standard(BufWriter<std::io::Stdout>),
}

impl Output {
    /// A file that must not be there yet; without a name, standard output.
    pub fn create(path: Option<&Path>) -> Result<Self, String> {
        let Some(path) = path else {
            let form = Form::Standard(BufWriter::new(std::io::stdout()));
            return Ok(Self { path: "standard output".into(), form, unfinished: false });
        };
        if path.exists() {
            return Err(format!("{}: it is there already; name another file", path.display()));
        }
        let mut output = Self::open(path)?;
        output.unfinished = true;
        Ok(output)
    }

    /// A file, continued if it is there: what has to come next, and where to write it.
    pub fn resume(path: &Path) -> Result<(Self, Progress), String> {
        if !path.exists() {
            return Ok((Self::create(Some(path))?, Progress::default()));
        }
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", path.display());
        if owner::of(path) != foldlog_core::driver::NOBODY {
            let detail = "it has an owner: a host acts for that log, which goes on by itself there";
            return Err(failed(&detail));
        }
        if is_lines(path) {
            let progress = continued(path).map_err(|e| failed(&e))?;
            return Ok((Self::open(path)?, progress));
        }
        let mut output = Self::open(path)?;
        let Form::Log(store) = &mut output.form else { return Err(failed(&"it is no log file")) };
        let tail = store.tail().map_err(|e| failed(&e))?;
        if tail.import.is_some() {
            return Err(failed(&"an import into it is not complete"));
        }
        let Some(genesis) = tail.genesis else {
            return match tables(path).map_err(|e| failed(&e))? {
                0 => Ok((output, Progress::default())),
                _ => Err(failed(&"it is another database, not a log")),
            };
        };
        let mut chain = Chain::default();
        chain.take(&genesis).map_err(|e| failed(&e))?;
        if let Some((position, line)) = tail.last {
            let ends = Commit::parse(&line).is_ok_and(|commit| commit.last_position() == position);
            let hash = chain::stored_hash(&line).filter(|_| ends);
            let hash = hash.ok_or_else(|| failed(&"its last line is damaged"))?;
            chain = Chain { hash, position: Some(position) };
        }
        Ok((output, Progress { genesis, chain }))
    }

    fn open(path: &Path) -> Result<Self, String> {
        let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
        if Lock::held(directory.unwrap_or(Path::new("."))) {
            let detail = "a host serves the directory; name a file elsewhere";
            return Err(format!("{}: {detail}", path.display()));
        }
        let form = if is_lines(path) {
            let file = OpenOptions::new().create(true).append(true).open(path);
            Form::Lines(BufWriter::new(file.map_err(|e| format!("{}: {e}", path.display()))?))
        } else {
            let connection = Connection::new(path.to_path_buf(), Arc::new(Metrics::new()));
            Form::Log(Box::new(SqlStore::new(connection)))
        };
        Ok(Self { path: path.to_path_buf(), form, unfinished: false })
    }

    /// Adds lines, with genesis before the first ones.
    pub fn put(&mut self, genesis: Option<&str>, blocks: Vec<StoredBlock>) -> Result<(), String> {
        let failed = |e: &dyn std::fmt::Display| format!("{}: {e}", self.path.display());
        let genesis = genesis.map(|line| (0, 0, line.to_string()));
        let mut all = chain::pack(genesis);
        all.extend(blocks);
        let written = match &mut self.form {
            Form::Log(store) => {
                return store
                    .write(&Write { blocks: all, ..Write::default() })
                    .map_err(|e| failed(&e));
            }
            Form::Lines(file) => write_lines(file, &all),
            Form::Standard(out) => write_lines(out, &all),
        };
        written.map_err(|e| failed(&e))
    }

    /// It is complete: durable, and kept.
    pub fn end(mut self) -> Result<(), String> {
        let ended = match &mut self.form {
            // Each transaction was durable.
            Form::Log(_) => Ok(()),
            Form::Lines(file) => file.flush().and_then(|()| file.get_ref().sync_all()),
            Form::Standard(out) => out.flush(),
        };
        ended.map_err(|e| format!("{}: {e}", self.path.display()))?;
        self.unfinished = false;
        Ok(())
    }
}

impl Drop for Output {
    fn drop(&mut self) {
        if self.unfinished {
            for suffix in ["", "-wal", "-shm"] {
                let mut name = self.path.as_os_str().to_owned();
                name.push(suffix);
                // What is not there needs no removing.
                let _ = std::fs::remove_file(PathBuf::from(name));
            }
        }
    }
}

fn write_lines(out: &mut impl std::io::Write, blocks: &[StoredBlock]) -> std::io::Result<()> {
    for line in blocks.iter().flat_map(|block| chain::lines(&block.body)) {
        out.write_all(line.as_bytes())?;
        out.write_all(b"\n")?;
    }
    Ok(())
}

/// Tables and views of a file, whatever they are.
fn tables(path: &Path) -> rusqlite::Result<u32> {
    let raw = rusqlite::Connection::open(path)?;
    let sql = "SELECT count(*) FROM sqlite_schema WHERE name NOT IN ('log', 'rows', 'lss')";
    raw.query_row(sql, [], |row| row.get(0))
}

/// By its name; one that is there, also by what it holds.
fn is_lines(path: &Path) -> bool {
    is_ndjson(path)
}

/// How far a file of lines goes. A last line without an end is what a break left: it is cut off,
/// and comes again.
fn continued(path: &Path) -> Result<Progress, String> {
    let mut file = File::open(path).map_err(|e| e.to_string())?;
    let mut lines = Lines::after(Progress::default());
    let mut piece = vec![0; PIECE_BYTES];
    loop {
        let bytes = file.read(&mut piece).map_err(|e| e.to_string())?;
        if bytes == 0 {
            break;
        }
        let mut blocks = Vec::new();
        let piece = piece.get(..bytes).unwrap_or_default();
        lines.take(piece, &mut blocks).map_err(|refused| {
            format!("line {}, position {}: {}", refused.line, refused.position, refused.detail)
        })?;
    }
    if lines.begun() > 0 {
        let whole = lines.bytes - lines.begun() as u64;
        let file = OpenOptions::new().write(true).open(path);
        file.and_then(|file| file.set_len(whole)).map_err(|e| e.to_string())?;
    }
    Ok(lines.progress)
}
