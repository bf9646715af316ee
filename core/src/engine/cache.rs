//! The row cache: what the guest remembers of the stored rows, and what it has changed.
//!
//! Owns a table of slots, one per known row (proven absences included), each clean or changed
//! since the last checkpoint. Refuses to know what rows mean.
//!
//! Invariants: changed rows are never evicted, and stay below half of the bound because the engine
//! asks for a checkpoint then; clean ones have what is left of it, and are evicted between inputs
//! only, so a slot found while an input is under way stays where it is.

use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use core::cell::{Cell, RefCell};
use core::hash::{BuildHasher, Hasher};
use core::mem;

use foldhash::fast::FixedState;
use hashbrown::HashTable;

use super::gaps::Gaps;
use super::postings::{Appended, List};
use crate::same::{InOrder, same};

/// What is known of a row.
#[derive(Debug)]
pub enum Row {
    /// It is proven not to be there.
    Absent,
    /// Its value.
    Bytes(Vec<u8>),
    /// A growing list of positions, kept open so that an append copies nothing.
    List(Box<List>),
}

impl Row {
    /// The value as it is stored.
    pub fn to_value(&self) -> Option<Vec<u8>> {
        match self {
            Self::Absent => None,
            Self::Bytes(bytes) => Some(bytes.clone()),
            Self::List(list) => Some(list.to_bytes()),
        }
    }

    const fn bytes_held(&self) -> usize {
        match self {
            Self::Absent => 0,
            Self::Bytes(bytes) => bytes.capacity(),
            Self::List(list) => list.bytes_held(),
        }
    }
}

impl From<Option<Vec<u8>>> for Row {
    fn from(value: Option<Vec<u8>>) -> Self {
        value.map_or(Self::Absent, Self::Bytes)
    }
}

/// Index of a view in the engine's table.
pub type ViewId = u16;

/// Place of a row in the cache.
pub type SlotId = u32;

/// Names a row in memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct KeyRef<'a> {
    /// Its view.
    pub view: ViewId,
    /// Its key.
    pub bytes: &'a [u8],
}

/// Keys up to this length lie within their slot: most do, and a comparison touches one line less.
const INLINE_BYTES: usize = 38;

/// A key's bytes.
#[derive(Debug)]
pub enum KeyBytes {
    /// Short.
    Inline(u8, [u8; INLINE_BYTES]),
    /// Long.
    Boxed(Box<[u8]>),
}

impl KeyBytes {
    /// A copy of a key.
    pub fn new(bytes: &[u8]) -> Self {
        let mut inline = [0; INLINE_BYTES];
        match (inline.get_mut(..bytes.len()), u8::try_from(bytes.len())) {
            (Some(place), Ok(len)) => {
                place.copy_from_slice(bytes);
                Self::Inline(len, inline)
            }
            _ => Self::Boxed(bytes.into()),
        }
    }

    /// The bytes.
    pub fn get(&self) -> &[u8] {
        match self {
            Self::Inline(len, bytes) => bytes.get(..usize::from(*len)).unwrap_or_default(),
            Self::Boxed(bytes) => bytes,
        }
    }
}

#[derive(Debug)]
struct Slot {
    key: KeyBytes,
    row: Row,
    view: ViewId,
    /// Changed since the last checkpoint.
    changed: bool,
    /// Asked for since it was stored, or since eviction last passed by.
    used: Cell<bool>,
}

impl Slot {
    fn cost(&self) -> usize {
        let key = if let KeyBytes::Boxed(bytes) = &self.key { bytes.len() } else { 0 };
        key.saturating_add(self.row.bytes_held()).saturating_add(SLOT_BYTES)
    }
}

/// Bytes of bookkeeping per row, about: slot, table entry, allocator.
const SLOT_BYTES: usize = 112;

/// See the module's description.
#[derive(Debug)]
pub struct Cache {
    slots: Vec<Option<Slot>>,
    free: Vec<SlotId>,
    table: HashTable<SlotId>,
    /// Changed rows in order: for range reads and checkpoints.
    order: BTreeMap<InOrder, SlotId>,
    changed_bytes: usize,
    clean_bytes: usize,
    bytes_max: usize,
    /// The place that eviction looks at next.
    hand: usize,
    hasher: FixedState,
    /// Noted by whoever looks, which changes nothing that is told.
    pub(super) gaps: RefCell<Gaps>,
}

fn hash_of(hasher: &FixedState, key: KeyRef<'_>) -> u64 {
    let mut state = hasher.build_hasher();
    state.write(key.bytes);
    // The seed keeps keys apart, whatever view they are of; an odd factor keeps views apart.
    state.finish() ^ u64::from(key.view).wrapping_mul(0x9e37_79b9_7f4a_7c15)
}

impl Cache {
    /// An empty cache. The seed keeps callers from choosing keys that collide.
    pub fn new(bytes_max: usize, seed: u64) -> Self {
        Self {
            slots: Vec::new(),
            free: Vec::new(),
            table: HashTable::new(),
            order: BTreeMap::new(),
            changed_bytes: 0,
            clean_bytes: 0,
            bytes_max,
            hand: 0,
            hasher: FixedState::with_seed(seed),
            gaps: RefCell::default(),
        }
    }

    fn slot(&self, id: SlotId) -> Option<&Slot> {
        self.slots.get(usize::try_from(id).ok()?)?.as_ref()
    }

    fn slot_mut(&mut self, id: SlotId) -> Option<&mut Slot> {
        self.slots.get_mut(usize::try_from(id).ok()?)?.as_mut()
    }

    /// Where a row is, when anything is known of it.
    pub fn find(&self, key: KeyRef<'_>) -> Option<SlotId> {
        let same = |id: &SlotId| {
            self.slot(*id).is_some_and(|s| s.view == key.view && same(s.key.get(), key.bytes))
        };
        let id = self.table.find(hash_of(&self.hasher, key), same).copied()?;
        if let Some(slot) = self.slot(id) {
            slot.used.set(true);
        }
        Some(id)
    }

    /// The row in a slot.
    pub fn row(&self, id: SlotId) -> &Row {
        self.slot(id).map_or(&Row::Absent, |slot| &slot.row)
    }

    fn insert(&mut self, key: KeyRef<'_>, row: Row, changed: bool) -> SlotId {
        let used = Cell::new(false);
        let slot = Slot { key: KeyBytes::new(key.bytes), row, view: key.view, changed, used };
        let cost = slot.cost();
        let bytes = if changed { &mut self.changed_bytes } else { &mut self.clean_bytes };
        *bytes = bytes.saturating_add(cost);
        let id = match self.free.pop() {
            Some(id) => {
                if let Some(place) = usize::try_from(id).ok().and_then(|at| self.slots.get_mut(at))
                {
                    *place = Some(slot);
                }
                id
            }
            None => {
                self.slots.push(Some(slot));
                SlotId::try_from(self.slots.len().saturating_sub(1)).unwrap_or(SlotId::MAX)
            }
        };
        let (slots, hasher) = (&self.slots, &self.hasher);
        let rehash = |id: &SlotId| {
            let slot =
                usize::try_from(*id).ok().and_then(|at| slots.get(at)).and_then(Option::as_ref);
            slot.map_or(0, |slot| {
                hash_of(hasher, KeyRef { view: slot.view, bytes: slot.key.get() })
            })
        };
        self.table.insert_unique(hash_of(hasher, key), id, rehash);
        if changed {
            self.order.insert(InOrder(key.view, key.bytes.into()), id);
        }
        id
    }

    /// Takes a row in as it is stored; what is known already is newer and stays.
    pub fn learn(&mut self, key: KeyRef<'_>, value: Option<Vec<u8>>) {
        if self.find(key).is_none() {
            self.insert(key, value.into(), false);
        }
    }

    /// Takes a changed row in that has no slot yet, or may have none.
    pub fn change(&mut self, key: KeyRef<'_>, value: Option<&[u8]>) {
        match self.find(key) {
            Some(id) => self.change_slot(id, value),
            None => {
                if value.is_some() {
                    self.gaps.get_mut().written(key.view, key.bytes);
                }
                self.insert(key, value.map(<[u8]>::to_vec).into(), true);
            }
        }
    }

    /// Takes a change of the row in a slot in.
    pub fn change_slot(&mut self, id: SlotId, value: Option<&[u8]>) {
        let Some(slot) =
            self.slots.get_mut(usize::try_from(id).unwrap_or(usize::MAX)).and_then(Option::as_mut)
        else {
            return;
        };
        let before = slot.cost();
        if value.is_some() && matches!(slot.row, Row::Absent) {
            self.gaps.get_mut().written(slot.view, slot.key.get());
        }
        match (&mut slot.row, value) {
            // A value mostly keeps its size: its room is used again.
            (Row::Bytes(bytes), Some(value)) => {
                bytes.clear();
                bytes.extend_from_slice(value);
            }
            (row, value) => *row = value.map(<[u8]>::to_vec).into(),
        }
        self.settle_change(id, before);
    }

    /// Accounts for a changed slot that cost `before`.
    fn settle_change(&mut self, id: SlotId, before: usize) {
        let Some(slot) =
            self.slots.get_mut(usize::try_from(id).unwrap_or(usize::MAX)).and_then(Option::as_mut)
        else {
            return;
        };
        let was_changed = mem::replace(&mut slot.changed, true);
        let after = slot.cost();
        if was_changed {
            self.changed_bytes = self.changed_bytes.saturating_add(after).saturating_sub(before);
        } else {
            self.changed_bytes = self.changed_bytes.saturating_add(after);
            self.clean_bytes = self.clean_bytes.saturating_sub(before);
            self.order.insert(InOrder(slot.view, slot.key.get().into()), id);
        }
    }

    /// Appends a position to the list in a slot.
    pub fn append(&mut self, id: SlotId, position: u64) -> (ViewId, Appended) {
        let Some(slot) = self.slot_mut(id) else { return (0, Appended::InPlace) };
        let (view, before) = (slot.view, slot.cost());
        if !matches!(slot.row, Row::List(_)) {
            // Whoever staged the append has read the bytes already.
            let list =
                slot.row.to_value().and_then(|bytes| List::read(&bytes).ok()).unwrap_or_default();
            slot.row = Row::List(Box::new(list));
        }
        let Row::List(list) = &mut slot.row else { return (view, Appended::InPlace) };
        let (appended, frozen) = list.append(position);
        let chunk =
            frozen.map(|(last, bytes)| (super::postings::frozen_key(slot.key.get(), last), bytes));
        self.settle_change(id, before);
        if let Some((key, bytes)) = chunk {
            self.change(KeyRef { view, bytes: &key }, Some(&bytes));
        }
        (view, appended)
    }

    /// Whether rows that are not asked for yet may be taken in.
    pub const fn has_room(&self) -> bool {
        self.clean_bytes <= self.bytes_max / 4
    }

    /// Whether changed rows fill their half.
    pub const fn is_full(&self) -> bool {
        self.changed_bytes > self.bytes_max / 2
    }

    /// Changed rows of a view, in order, from `from` on.
    pub fn changed_from(&self, view: ViewId, from: &[u8]) -> impl Iterator<Item = (&[u8], &Row)> {
        let start = InOrder(view, Box::from(from));
        self.order
            .range(start..)
            .take_while(move |(InOrder(v, _), _)| *v == view)
            .map(|(InOrder(_, key), id)| (key.as_ref(), self.row(*id)))
    }

    /// Takes the first changed rows, in order, up to about so many bytes; they are clean from now
    /// on. `each` gets view, key and value.
    pub fn take_changed(
        &mut self,
        bytes_max: usize,
        mut each: impl FnMut(ViewId, &[u8], Option<Vec<u8>>),
    ) {
        let mut taken = 0_usize;
        while taken < bytes_max {
            let Some((InOrder(view, key), id)) = self.order.pop_first() else { break };
            let Some(slot) = self.slot_mut(id) else { continue };
            let bytes = slot.cost();
            slot.changed = false;
            slot.used.set(false);
            let value = slot.row.to_value();
            taken = taken.saturating_add(bytes);
            self.changed_bytes = self.changed_bytes.saturating_sub(bytes);
            self.clean_bytes = self.clean_bytes.saturating_add(bytes);
            each(view, &key, value);
        }
    }

    /// Whether nothing changed since the last checkpoint.
    pub fn is_clean(&self) -> bool {
        self.order.is_empty()
    }

    /// Forgets all rows of a view, changed ones too.
    pub fn forget(&mut self, view: ViewId) {
        for at in 0..self.slots.len() {
            if self.slots.get(at).and_then(Option::as_ref).is_some_and(|slot| slot.view == view) {
                self.forget_slot(at);
            }
        }
    }

    /// Frees room, between inputs, until clean rows have no more than changed ones leave them: a
    /// hand goes around, passes what was asked for since it last came by, and takes the others.
    pub fn evict(&mut self) {
        let room = self.bytes_max.saturating_sub(self.changed_bytes);
        // The second time around nothing is passed.
        let mut left = self.slots.len().saturating_mul(2);
        while self.clean_bytes > room && left > 0 {
            left = left.saturating_sub(1);
            let at = if self.hand < self.slots.len() { self.hand } else { 0 };
            self.hand = at.saturating_add(1);
            let Some(slot) = self.slots.get(at).and_then(Option::as_ref) else { continue };
            if !slot.changed && !slot.used.replace(false) {
                self.forget_slot(at);
            }
        }
    }

    /// Forgets the row at a place of the slots.
    fn forget_slot(&mut self, at: usize) {
        let Some(place) = self.slots.get_mut(at) else { return };
        let (Some(slot), Ok(id)) = (place.take(), SlotId::try_from(at)) else { return };
        let (cost, key) = (slot.cost(), KeyRef { view: slot.view, bytes: slot.key.get() });
        let found = self.table.find_entry(hash_of(&self.hasher, key), |found| *found == id);
        let _ = found.map(|entry| entry.remove());
        let bytes = if slot.changed {
            self.order.remove(&InOrder(slot.view, Box::from(key.bytes)));
            &mut self.changed_bytes
        } else {
            &mut self.clean_bytes
        };
        *bytes = bytes.saturating_sub(cost);
        self.free.push(id);
    }
}
