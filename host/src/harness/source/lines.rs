//! NDJSON as a source: its lines are stored in a temporary log file as they are, and read from there.
//!
//! Owns telling NDJSON from other files, and where it breaks. Refuses to repair: lines are taken up
//! to the first one that does not follow, and that one is told by its number and position.
//!
//! Invariant: memory stays flat, however long the file is; blocks are stored as they fill.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

use foldlog_core::chain;
use foldlog_core::driver::{Lines, Progress, Refused, SqlStore, Store, Write};
use rusqlite::Connection;
use tempfile::TempDir;

use super::super::fold::Broken;
use crate::plain::Temporary;

/// So much is read at a time.
const PIECE_BYTES: usize = 1 << 20;

/// What is read of it.
#[derive(Debug)]
pub struct Stored {
    /// The temporary log file.
    pub raw: Connection,
    /// Where it is.
    pub directory: TempDir,
    /// The line at which it ended, if it was not the last one.
    pub broken: Option<Broken>,
}

/// Whether a file is NDJSON: by its first byte, or by its name when that byte is damaged.
pub fn is_ndjson(path: &Path) -> bool {
    let mut start = [0];
    let read = File::open(path).and_then(|mut file| file.read(&mut start));
    let named = path.extension().is_some_and(|suffix| suffix == "ndjson" || suffix == "jsonl");
    read.is_ok_and(|bytes| bytes == 1 && start == *b"{") || named
}

/// Stores all lines that follow one another.
pub fn store(mut input: impl Read) -> Result<Stored, String> {
    let directory = tempfile::tempdir().map_err(|e| format!("no temporary directory: {e}"))?;
    let path = directory.path().join(super::file::COPY);
    let failed = |e: String| format!("its copy in {}: {e}", path.display());
    let scratch = create(&path).map_err(|e| failed(e.to_string()))?;
    let mut store = SqlStore::new(scratch);
    let mut lines = Lines::after(Progress::default());
    let mut piece = vec![0; PIECE_BYTES];
    let mut begun = false;
    let broken = loop {
        let bytes = read(&mut input, &mut piece).map_err(|e| e.to_string())?;
        let mut blocks = Vec::new();
        let taken = match bytes {
            0 => lines.end().map(|last| blocks.extend(last)).map_err(without_end),
            _ => lines.take(piece.get(..bytes).unwrap_or_default(), &mut blocks),
        };
        if taken.is_err() {
            blocks.extend(lines.rest());
        }
        if !begun && !lines.progress.genesis.is_empty() {
            begun = true;
            blocks.splice(0..0, chain::pack([(0, 0, lines.progress.genesis.clone())]));
        }
        store.write(&Write { blocks, ..Write::default() }).map_err(|e| failed(e.to_string()))?;
        if bytes == 0 || taken.is_err() {
            break taken.err().map(|refused| told(&refused));
        }
    };
    let raw = store.into_connection().0;
    raw.execute_batch("BEGIN; SELECT count(*) FROM sqlite_master").map_err(|e| e.to_string())?;
    Ok(Stored { raw, directory, broken })
}

/// The last line of a file, not of a body.
fn without_end(mut refused: Refused) -> Refused {
    refused.detail = "it ends without a line feed: the file was cut".into();
    refused
}

/// Where and why it ends.
fn told(Refused { line, position, detail, .. }: &Refused) -> Broken {
    Broken { position: *position, detail: format!("line {line}: {detail}") }
}

/// As much as there is room for, or all that is left.
fn read(input: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while let Some(room) = piece.get_mut(filled..).filter(|room| !room.is_empty()) {
        match input.read(room) {
            Ok(0) => break,
            Ok(bytes) => filled += bytes,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(filled)
}

/// A file that is gone with the process: nothing of it has to be durable.
fn create(path: &Path) -> rusqlite::Result<Temporary> {
    let raw = Connection::open(path)?;
    raw.pragma_update_and_check(None, "journal_mode", "OFF", |_| Ok(()))?;
    raw.pragma_update(None, "synchronous", "OFF")?;
    raw.pragma_update(None, "trusted_schema", false)?;
    Ok(Temporary(raw))
}
