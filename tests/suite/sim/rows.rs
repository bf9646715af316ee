//! Law 2 as a check that returns what is wrong: stored rows against a fold of the stored log.

use std::collections::BTreeMap;

use foldlog_core::chain;
use foldlog_core::driver::{MemoryStore, Store};

use super::super::engine::kit::{self, Setup};
use super::run::Checked;

/// The stored rows are the fold of the log up to the stored checkpoint, no further.
pub fn cut(stored: &MemoryStore, setup: &Setup) -> Checked<()> {
    let Some(position) = checkpoint(stored, setup)? else {
        let none = stored.rows.values().all(BTreeMap::is_empty);
        return if none { Ok(()) } else { Err("rows without a checkpoint".into()) };
    };
    let mut log = MemoryStore::default();
    for line in kit::lines(stored) {
        let first = chain::position(&line).ok_or("a line without a position")?;
        if first <= position {
            let last = first + kit::events_of(&line).saturating_sub(1);
            log.log.extend(chain::pack([(first, last, line)]).into_iter().map(|b| (b.first, b)));
        }
    }
    let mut bank = setup.open(log);
    bank.open().map_err(|failure| format!("the log does not fold: {failure}"))?;
    bank.checkpoint().map_err(|failure| failure.to_string())?;
    let folded = bank.store();
    let digested = |store: &MemoryStore| -> BTreeMap<_, _> {
        let views = store.rows.iter().filter(|(v, rows)| {
            (v.name.starts_with("~snapshots:") || !v.name.starts_with('~')) && !rows.is_empty()
        });
        views.map(|(view, rows)| (view.clone(), rows.clone())).collect()
    };
    let (a, b) = (digested(stored), digested(folded));
    for view in a.keys().chain(b.keys()) {
        let (a, b) = (a.get(view).cloned(), b.get(view).cloned());
        let (a, b) = (a.unwrap_or_default(), b.unwrap_or_default());
        if let Some(key) = a.keys().chain(b.keys()).find(|key| a.get(*key) != b.get(*key)) {
            let (name, key_shown) = (&view.name, String::from_utf8_lossy(key));
            return Err(format!(
                "row {key_shown:?} of {name} is {:?}, the fold up to {position} has {:?}",
                a.get(key),
                b.get(key)
            ));
        }
    }
    Ok(())
}

fn checkpoint(stored: &MemoryStore, setup: &Setup) -> Checked<Option<u64>> {
    let mut stored = stored.clone();
    if stored.tail().map_err(|e| e.to_string())?.checkpoint.is_none() {
        return Ok(None);
    }
    // In a large cache: a small one fills while it opens, and is stored further on.
    let roomy = Setup { row_cache_max: 64 << 20, ..setup.clone() };
    let mut bank = roomy.open(stored);
    let head = bank.open().map_err(|failure| format!("what is stored does not open: {failure}"))?;
    Ok(Some(head.checkpoint))
}
