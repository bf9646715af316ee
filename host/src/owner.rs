//! Whose log it is (law 7): the incarnation that this host may act for, kept beside the log.
//!
//! Owns the file `<partition>.owner` and its durability. The log says which incarnation it has;
//! when both differ the log is `held`: it was copied, imported or restored from elsewhere.

use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};

use foldlog_core::chain::{hex, unhex};
use foldlog_core::driver::test_entropy;

use crate::world::entropy;

/// What opening found out.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Owner {
    /// The incarnation to act for.
    pub incarnation: [u8; 16],
    /// The log belongs to another: reads work, commands do not, nothing fires.
    pub held: bool,
}

/// Compares the stored owner with the log's genesis line, and makes an owner for an empty log.
pub fn of(log: &Path, genesis: Option<&str>, test_seed: Option<&str>) -> Owner {
    let stored = std::fs::read_to_string(path(log)).ok();
    let stored = stored.as_deref().and_then(|text| unhex::<16>(text.trim()));
    match (genesis, stored) {
        (Some(line), stored) => {
            let named = incarnation_of(line);
            Owner {
                incarnation: named.unwrap_or_default(),
                held: named.is_none() || stored != named,
            }
        }
        (None, Some(stored)) => Owner { incarnation: stored, held: false },
        (None, None) => {
            let incarnation = test_seed.map_or_else(entropy, |seed| test_entropy(seed, 0));
            Owner { incarnation, held: false }
        }
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

/// The incarnation that a genesis line names. A partition's name holds no quotes, so the first
/// member of this name is the one.
fn incarnation_of(line: &str) -> Option<[u8; 16]> {
    let (_, rest) = line.split_once("\"incarnation\":\"")?;
    unhex(rest.get(..32)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_owner_is_kept_and_compared() {
        let directory = tempfile::tempdir().unwrap();
        let log = directory.path().join("main.sqlite");
        let made = of(&log, None, Some("seed"));
        assert_eq!(made, Owner { incarnation: test_entropy("seed", 0), held: false });
        let genesis = format!(r#"{{"position":0,"incarnation":"{}"}}"#, hex(&made.incarnation));
        assert!(of(&log, Some(&genesis), None).held);
        store(&log, &made.incarnation).unwrap();
        assert_eq!(of(&log, Some(&genesis), None), made);
        assert_eq!(of(&log, None, None), made);
        let other = genesis.replace(&hex(&made.incarnation), &"ab".repeat(16));
        assert_eq!(of(&log, Some(&other), None), Owner { incarnation: [0xab; 16], held: true });
    }
}
