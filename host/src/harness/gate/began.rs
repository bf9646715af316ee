//! Where rows of two guests began to differ.
//!
//! Owns the search: both fold the log once more, and what they change is compared page by page; then
//! again, and within those pages commit by commit. Only done where rows differ in the end.

use std::collections::{BTreeMap, BTreeSet};

use foldlog_core::chain::{lines, position};
use foldlog_core::driver::{Bulk, Failure, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query, RowKey, View};

use crate::harness::fold::{self, refusal};
use crate::harness::scratch::Scratch;
use crate::harness::source::Source;
use crate::wasm::{Instance, Module};

/// First position of a commit or page, by view.
type Places = BTreeMap<String, u64>;

/// The commits at which these views began to differ. `open` gives the log, again and again.
pub fn began(
    open: &dyn Fn() -> Result<Source, String>,
    genesis: &str,
    modules: [&Module; 2],
    views: &BTreeSet<String>,
) -> Result<Places, String> {
    let pages = walk(open, genesis, modules, views, &BTreeSet::new())?;
    let fine: BTreeSet<u64> = pages.values().copied().collect();
    walk(open, genesis, modules, views, &fine)
}

/// Folds with both, and notes for each view the first step after which its rows differ. Steps are
/// pages, and commits in the pages that start at `fine`.
fn walk(
    open: &dyn Fn() -> Result<Source, String>,
    genesis: &str,
    modules: [&Module; 2],
    views: &BTreeSet<String>,
    fine: &BTreeSet<u64>,
) -> Result<Places, String> {
    let mut source = open()?;
    let head = source.head()?;
    let [old, new] = modules;
    let mut old = Folding::new(old, open()?, genesis, head)?;
    let mut new = Folding::new(new, open()?, genesis, head)?;
    let mut places = Places::new();
    let (_, result) = fold::pages(&mut source, genesis, |texts, _| {
        let first = texts.first().and_then(|text| position(text)).unwrap_or_default();
        let steps: Vec<Vec<&str>> = if fine.contains(&first) {
            texts.iter().flat_map(|text| lines(text)).map(|line| vec![line]).collect()
        } else {
            vec![texts]
        };
        for step in steps {
            let first = step.first().and_then(|text| position(text)).unwrap_or_default();
            let failed = |failure: Failure| refusal(&failure, first);
            old.step(step.clone()).map_err(failed)?;
            new.step(step).map_err(failed)?;
            let wanted = |view: &&String| !places.contains_key(*view);
            let differ: Vec<String> = views.iter().filter(wanted).cloned().collect();
            for view in differ {
                if differs(&view, &mut old, &mut new).map_err(failed)? {
                    places.insert(view, first);
                }
            }
            old.store.changed.clear();
            new.store.changed.clear();
        }
        Ok(())
    })?;
    result.map(|()| places).map_err(|broken| broken.detail)
}

/// A guest that folds, and what it changed last.
struct Folding {
    bulk: Bulk<Instance>,
    store: Watched,
}

impl Folding {
    fn new(module: &Module, source: Source, genesis: &str, head: u64) -> Result<Self, String> {
        let config = fold::config(genesis)?;
        let bulk = Bulk::open(&mut module.clone(), &config, genesis, head, None, Vec::new());
        let store = Watched { scratch: Scratch::new(source)?, changed: BTreeMap::new() };
        Ok(Self { bulk: bulk.map_err(|failure| failure.to_string())?, store })
    }

    fn step(&mut self, texts: Vec<&str>) -> Result<(), Failure> {
        self.bulk.fold(&mut self.store, texts)?;
        self.bulk.finish(&mut self.store).map(drop)
    }

    /// What a row of a view is now.
    fn row(&mut self, view: &View, key: &[u8]) -> Result<Option<Vec<u8>>, Failure> {
        if let Some(value) = self.store.changed.get(view).and_then(|rows| rows.get(key)) {
            return Ok(value.clone());
        }
        let query = Query::Row(RowKey { view: view.clone(), key: key.to_vec() });
        match self.store.read(&[query])?.pop() {
            Some(Answer::Row(value)) => Ok(value),
            _ => Ok(None),
        }
    }

    fn views(&self, name: &str) -> impl Iterator<Item = &View> {
        self.store.changed.keys().filter(move |view| view.name == name)
    }
}

/// Whether a row that either changed last is another one now.
fn differs(name: &str, old: &mut Folding, new: &mut Folding) -> Result<bool, Failure> {
    let both = [&*old, &*new].map(|side| side.views(name).next().cloned());
    let (was, is) = match both {
        [None, None] => return Ok(false),
        // One that has no rows yet has the other's generation or none at all.
        [was, is] => (was.clone().or(is.clone()), is.or(was)),
    };
    let (Some(was), Some(is)) = (was, is) else { return Ok(false) };
    let changed = |side: &Folding, view: &View| -> Vec<Vec<u8>> {
        side.store.changed.get(view).map(|rows| rows.keys().cloned().collect()).unwrap_or_default()
    };
    let keys: BTreeSet<Vec<u8>> = changed(old, &was).into_iter().chain(changed(new, &is)).collect();
    for key in keys {
        if old.row(&was, &key)? != new.row(&is, &key)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A store that remembers what was written.
struct Watched {
    scratch: Scratch,
    changed: BTreeMap<View, BTreeMap<Vec<u8>, Option<Vec<u8>>>>,
}

impl Store for Watched {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.scratch.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.scratch.read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        for (view, rows) in &write.rows {
            self.changed.entry(view.clone()).or_default().extend(rows.iter().cloned());
        }
        self.scratch.write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.scratch.erase_rows()
    }
}
