//! Whose log it is (law 7): the incarnation that this host may act for, kept beside the log.
//!
//! Owns the file `<partition>.owner` and its durability. The driver compares it with the log's newest
//! incarnation: when both differ the log is held, since it was copied, imported or restored from
//! elsewhere.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::NOBODY;

/// The incarnation that this host may act for: the stored one, or [`NOBODY`].
pub fn of(log: &Path) -> [u8; 16] {
    let stored = std::fs::read_to_string(path(log)).ok();
    stored.as_deref().and_then(|text| unhex::<16>(text.trim())).unwrap_or(NOBODY)
}

/// Stores the owner durably: after this the log may be made.
pub fn store(log: &Path, incarnation: &[u8; 16]) -> Result<(), String> {
    let path = path(log);
    let failed = |e: std::io::Error| format!("{}: {e}", path.display());
    let new = path.with_extension("owner.new");
    let mut file = File::create(&new).map_err(failed)?;
    writeln!(file, "{}", hex(incarnation)).and_then(|()| file.sync_all()).map_err(failed)?;
    std::fs::rename(&new, &path).map_err(failed)?;
    sync_directory(&path)
}

/// Makes the names in a file's directory durable.
pub fn sync_directory(file: &Path) -> Result<(), String> {
    let directory = match file.parent() {
        Some(directory) if !directory.as_os_str().is_empty() => directory,
        _ => Path::new("."),
    };
    // Windows opens no directories, and keeps names durable by itself.
    if cfg!(unix) {
        let synced = File::open(directory).and_then(|directory| directory.sync_all());
        synced.map_err(|e| format!("{}: {e}", directory.display()))?;
    }
    Ok(())
}

fn path(log: &Path) -> PathBuf {
    log.with_extension("owner")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_kept() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("main.sqlite");
        assert_eq!(of(&log), NOBODY);
        for made in [[7; 16], [9; 16], NOBODY] {
            store(&log, &made).unwrap();
            assert_eq!(of(&log), made);
        }
    }
}
