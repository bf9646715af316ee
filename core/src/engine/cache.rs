//! The row cache: what the guest remembers of the stored rows, and what it has changed.
//!
//! Owns three maps. `dirty` holds rows changed since the last checkpoint and is never evicted;
//! `young` and `old` hold clean rows (and proven absences) and are thrown away by turns. Refuses
//! to know what rows mean.
//!
//! Invariants: a row in `dirty` is newer than the same row elsewhere, one in `young` not older
//! than in `old`; dirty bytes stay below half of the bound because the engine asks for a
//! checkpoint then, clean bytes below the other half.

use alloc::collections::BTreeSet;
use alloc::rc::Rc;
use core::hash::{Hash, Hasher};
use core::mem;

use foldhash::fast::FixedState;
use hashbrown::{Equivalent, HashMap};

/// A row's value; absent rows are `None`.
pub type Value = Option<Rc<[u8]>>;

/// Index of a view in the engine's table.
pub type ViewId = u16;

/// Names a row in memory.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// Its view.
    pub view: ViewId,
    /// Its key.
    pub bytes: Rc<[u8]>,
}

/// The same, borrowed.
#[derive(Clone, Copy, Debug)]
pub struct KeyRef<'a> {
    /// Its view.
    pub view: ViewId,
    /// Its key.
    pub bytes: &'a [u8],
}

impl Hash for Key {
    fn hash<H: Hasher>(&self, state: &mut H) {
        KeyRef { view: self.view, bytes: &self.bytes }.hash(state);
    }
}

impl Hash for KeyRef<'_> {
    fn hash<H: Hasher>(&self, state: &mut H) {
        state.write_u16(self.view);
        state.write(self.bytes);
    }
}

impl Equivalent<Key> for KeyRef<'_> {
    fn equivalent(&self, key: &Key) -> bool {
        self.view == key.view && *self.bytes == *key.bytes
    }
}

/// A map of rows. Its iteration order reaches no output.
pub type Rows = HashMap<Key, Value, FixedState>;

/// Bytes of bookkeeping per entry, about: two map slots, two counted pointers.
const ENTRY_BYTES: usize = 112;

/// See the module's description.
#[derive(Debug)]
pub struct Cache {
    dirty: Rows,
    /// The keys of `dirty` in order: for range reads and checkpoints.
    order: BTreeSet<Key>,
    dirty_bytes: usize,
    young: Rows,
    young_bytes: usize,
    old: Rows,
    bytes_max: usize,
    seed: u64,
}

fn cost(key: &Key, value: &Value) -> usize {
    let value = value.as_ref().map_or(0, |value| value.len());
    key.bytes.len().saturating_add(value).saturating_add(ENTRY_BYTES)
}

impl Cache {
    /// An empty cache. The seed keeps callers from choosing keys that collide.
    pub fn new(bytes_max: usize, seed: u64) -> Self {
        let rows = || Rows::with_hasher(FixedState::with_seed(seed));
        Self {
            dirty: rows(),
            order: BTreeSet::new(),
            dirty_bytes: 0,
            young: rows(),
            young_bytes: 0,
            old: rows(),
            bytes_max,
            seed,
        }
    }

    /// An empty map with this cache's hashing.
    pub fn rows(&self) -> Rows {
        Rows::with_hasher(FixedState::with_seed(self.seed))
    }

    /// What is known of a row; `None` when nothing is.
    pub fn get(&self, key: KeyRef<'_>) -> Option<&Value> {
        self.dirty.get(&key).or_else(|| self.young.get(&key)).or_else(|| self.old.get(&key))
    }

    /// A changed row's value; `None` when it did not change since the last checkpoint.
    pub fn changed(&self, key: KeyRef<'_>) -> Option<&Value> {
        self.dirty.get(&key)
    }

    /// Takes changed rows in.
    pub fn change(&mut self, rows: &mut Rows) {
        for (key, value) in rows.drain() {
            self.dirty_bytes = self.dirty_bytes.saturating_add(cost(&key, &value));
            match self.dirty.get_mut(&key) {
                Some(slot) => {
                    let before = mem::replace(slot, value);
                    self.dirty_bytes = self.dirty_bytes.saturating_sub(cost(&key, &before));
                }
                None => {
                    self.order.insert(key.clone());
                    self.dirty.insert(key, value);
                }
            }
        }
    }

    /// Takes rows in as they are stored.
    pub fn learn(&mut self, rows: &mut Rows) {
        for (key, value) in rows.drain() {
            self.keep(key, value);
        }
    }

    fn keep(&mut self, key: Key, value: Value) {
        self.young_bytes = self.young_bytes.saturating_add(cost(&key, &value));
        self.young.insert(key, value);
        if self.young_bytes > self.bytes_max / 4 {
            // Dropping a whole generation costs nothing per row and needs no order of use: rows in
            // use come back through `dirty` or are read again.
            self.old = mem::replace(&mut self.young, Rows::with_hasher(FixedState::with_seed(self.seed)));
            self.young_bytes = 0;
        }
    }

    /// Whether changed rows fill their half.
    pub const fn is_full(&self) -> bool {
        self.dirty_bytes > self.bytes_max / 2
    }

    /// Changed keys of a view, in order, beyond `after`.
    pub fn changed_after(&self, view: ViewId, after: &[u8]) -> impl Iterator<Item = (&Key, &Value)> {
        let start = Key { view, bytes: after.into() };
        self.order
            .range(start..)
            .take_while(move |key| key.view == view)
            .filter_map(|key| self.dirty.get(key).map(|value| (key, value)))
    }

    /// Takes the first changed rows out, in order, up to about so many bytes; they are clean from
    /// now on.
    pub fn take_changed(&mut self, bytes_max: usize, mut each: impl FnMut(&Key, &Value)) {
        let mut taken = 0_usize;
        while taken < bytes_max {
            let Some(key) = self.order.pop_first() else { break };
            let Some((key, value)) = self.dirty.remove_entry(&key) else { continue };
            each(&key, &value);
            let bytes = cost(&key, &value);
            taken = taken.saturating_add(bytes);
            self.dirty_bytes = self.dirty_bytes.saturating_sub(bytes);
            self.keep(key, value);
        }
    }

    /// Whether nothing changed since the last checkpoint.
    pub fn is_clean(&self) -> bool {
        self.order.is_empty()
    }
}
