//! `foldlog verify --discard`: puts the fold's snapshots where others are stored.
//!
//! Owns the only writing that verifying ever does, in one transaction, under the lock. Refuses to
//! touch anything but snapshots, and a log that changed since it was verified.

use std::path::Path;

use foldlog_core::chain::{seal_row, unseal_row};
use foldlog_core::engine::snapshots::{Snapshot, taken_on_request, taken_row};
use foldlog_core::protocol::View;
use rusqlite::{Connection, params};

use super::rows::{Rows, each};
use super::snapshots::Taken;
use crate::lock::Lock;

/// What is to be put in place of what is stored.
#[derive(Debug)]
pub struct Right<'a> {
    /// The checkpoint's value that it is right for.
    pub checkpoint: &'a [u8],
    /// The views of automatic snapshots, and their rows.
    pub automatic: Vec<(View, Rows)>,
    /// Those taken on request.
    pub taken: &'a Taken,
}

/// Row by row: what to store, or nothing.
type Change = (String, u32, Vec<u8>, Option<Vec<u8>>);

/// Does so; returns how many rows changed.
pub fn run(path: &Path, right: &Right<'_>) -> Result<usize, String> {
    let directory = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let _lock = Lock::take(directory.unwrap_or(Path::new(".")))?;
    let failed = |e: rusqlite::Error| format!("{}: {e}", path.display());
    let mut raw = Connection::open(path).map_err(failed)?;
    let mut changes = Vec::new();
    let mut same = false;
    let sql = "SELECT view, generation, key, value FROM rows \
               WHERE view = 'checkpoint' OR view GLOB '~snapshots*'";
    let mut automatic = right.automatic.clone();
    each(&raw, sql, &[], |view, generation, key, sealed| {
        let value = unseal_row(view, generation, key, sealed).unwrap_or_default();
        let mut change = |value| changes.push((view.to_string(), generation, key.to_vec(), value));
        match view {
            "checkpoint" => same = value == right.checkpoint,
            "~snapshots-taken" => {
                if let Some(row) = mended(key, value, right.taken) {
                    change(row);
                }
            }
            _ => {
                let mut all = automatic.iter_mut();
                let own = all.find(|(own, _)| (&*own.name, own.generation) == (view, generation));
                if let Some((_, rows)) = own {
                    match rows.remove(key) {
                        Some(row) if row == value => {}
                        row => change(row),
                    }
                }
            }
        }
        Ok(true)
    })?;
    if !same {
        return Err(format!("{}: it changed meanwhile: verify it again", path.display()));
    }
    for (View { name, generation }, rows) in automatic {
        let missing = rows.into_iter();
        changes.extend(missing.map(|(key, row)| (name.clone(), generation, key, Some(row))));
    }
    store(&mut raw, &changes).map_err(failed)?;
    Ok(changes.len())
}

/// The row without what is wrong in it; nothing when all is right.
fn mended(stream: &[u8], row: &[u8], taken: &Taken) -> Option<Option<Vec<u8>>> {
    let Some(snapshots) = taken_on_request(row) else { return Some(None) };
    let wrong = |one: &Snapshot| taken.mended.get(&(stream.to_vec(), one.version));
    if !snapshots.iter().any(|one| wrong(one).is_some()) {
        return None;
    }
    let right = snapshots.into_iter().filter_map(|one| match wrong(&one) {
        Some(state) => state.clone().map(|state| Snapshot { state, ..one }),
        None => Some(one),
    });
    let right: Vec<Snapshot> = right.collect();
    Some((!right.is_empty()).then(|| taken_row(&right)).flatten())
}

fn store(raw: &mut Connection, changes: &[Change]) -> rusqlite::Result<()> {
    raw.pragma_update(None, "synchronous", "FULL")?;
    let transaction = raw.transaction()?;
    for (view, generation, key, value) in changes {
        match value {
            Some(value) => transaction.execute(
                "INSERT OR REPLACE INTO rows (view, generation, key, value) VALUES (?1, ?2, ?3, ?4)",
                params![view, generation, key, seal_row(view, *generation, key, value)],
            )?,
            None => transaction.execute(
                "DELETE FROM rows WHERE view = ?1 AND generation = ?2 AND key = ?3",
                params![view, generation, key],
            )?,
        };
    }
    transaction.commit()
}
