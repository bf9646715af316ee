//! Whose log it is (law 7): the incarnation that this host may act for, kept beside the log.
//!
//! Owns the file `<partition>.owner` and its durability. The driver compares it with the log's newest
//! incarnation: when both differ the log is held, since it was copied, imported or restored from
//! elsewhere.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::{NOBODY, test_entropy};

use crate::world::entropy;

/// The incarnation that this host may act for: the stored one; without one a fresh one where there
/// is no log yet, and [`NOBODY`] where there is.
pub fn of(log: &Path, empty: bool, test_seed: Option<&str>) -> [u8; 16] {
    let stored = std::fs::read_to_string(path(log)).ok();
    let stored = stored.as_deref().and_then(|text| unhex::<16>(text.trim()));
    match stored.filter(|stored| *stored != NOBODY) {
        Some(stored) => stored,
        None if empty => test_seed.map_or_else(entropy, |seed| test_entropy(seed, 0)),
        None => NOBODY,
    }
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
    fn an_owner_is_kept_and_compared() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("main.sqlite");
        let made = of(&log, true, Some("seed"));
        assert_eq!(made, test_entropy("seed", 0));
        assert_eq!(of(&log, false, Some("seed")), NOBODY);
        store(&log, &made).unwrap();
        assert_eq!(of(&log, false, None), made);
        assert_eq!(of(&log, true, None), made);
        store(&log, &NOBODY).unwrap();
        assert_eq!(of(&log, false, None), NOBODY);
        assert_eq!(of(&log, true, Some("seed")), made);
    }
}
