//! The world of a simulated partition: a disk that fails, a process that ends, a guest that traps,
//! a clock that jumps. All by one generator, so that a seed is a whole history.
//!
//! Owns the ports of the driver and where sabotage sits. Refuses to know what commands mean.
//!
//! Invariant: `durable` changes by whole writes only, but where a sabotage says otherwise.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{
    Guest, Linked, MemoryStore, Spawn, Store, StoreError, StoredBlock, Tail, Trap, World, Write,
};
use foldlog_core::protocol::{Answer, Op, Query, RowChange, RowKey, View};
use foldlog_core::time::Time;
use foldlog_core::{chain, guest};

use super::super::engine::kit::Random;
use super::plan::Plan;
use super::sabotage::Sabotage;

/// What all ports of one run share, and what outlives a process.
#[derive(Debug)]
pub struct Shared {
    pub plan: Plan,
    pub random: Random,
    pub durable: MemoryStore,
    /// The process is gone: nothing works until it is started again.
    pub crashed: bool,
    pub now: u64,
    pub happened: Happened,
    /// Faults are over: the end of a run.
    pub calm: bool,
    /// A write that was acknowledged and not done yet.
    held: Option<Write>,
    /// Rows kept back.
    late: Vec<(View, Vec<RowChange>)>,
    stale_tail: Option<Tail>,
    before: std::collections::BTreeMap<(View, Vec<u8>), Vec<u8>>,
}

/// How often what happened, to see that runs do what they are for.
#[derive(Clone, Copy, Debug, Default)]
pub struct Happened {
    pub crashes: u64,
    pub failed_writes_present: u64,
    pub failed_writes_absent: u64,
    pub full: u64,
    pub failed_reads: u64,
    pub damaged_rows: u64,
    pub traps: u64,
}

impl Happened {
    /// Anything that the system waits for before it tries again.
    pub fn failed(&self) -> bool {
        let writes = self.failed_writes_present + self.failed_writes_absent + self.full;
        self.traps + self.failed_reads + self.damaged_rows + writes > 0
    }

    pub fn add(&mut self, other: &Self) {
        self.crashes += other.crashes;
        self.failed_writes_present += other.failed_writes_present;
        self.failed_writes_absent += other.failed_writes_absent;
        self.full += other.full;
        self.failed_reads += other.failed_reads;
        self.damaged_rows += other.damaged_rows;
        self.traps += other.traps;
    }
}

pub type World0 = Rc<RefCell<Shared>>;

impl Shared {
    pub fn new(plan: Plan) -> World0 {
        let random = Random::new(plan.seed.wrapping_add(1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        Rc::new(RefCell::new(Self {
            plan,
            random,
            durable: MemoryStore::default(),
            crashed: false,
            now: 1_767_225_600_000,
            happened: Happened::default(),
            calm: false,
            held: None,
            late: Vec::new(),
            stale_tail: None,
            before: Default::default(),
        }))
    }

    /// Whether something of this rate happens now.
    pub fn chance(&mut self, rate: u64) -> bool {
        rate > 0 && !self.calm && self.random.below(100_000) < rate
    }

    pub fn broken(&self, sabotage: Sabotage) -> bool {
        self.plan.sabotage == Some(sabotage)
    }

    /// What a process leaves behind when it ends.
    pub fn crash(&mut self) {
        self.crashed = true;
        self.happened.crashes += 1;
        self.held = None;
        self.late.clear();
    }

    fn apply(&mut self, write: &Write) {
        let mut write = write.clone();
        if self.broken(Sabotage::AckEarly) {
            let last = self.held.replace(write);
            write = last.unwrap_or_default();
        }
        if self.broken(Sabotage::SkipSync) && self.random.below(10) == 0 {
            return;
        }
        self.spoil(&mut write);
        for (view, rows) in &write.rows {
            for (key, _) in rows {
                let old = self.durable.rows.get(view).and_then(|rows| rows.get(key));
                if let Some(old) = old {
                    self.before.insert((view.clone(), key.clone()), old.clone());
                }
            }
        }
        // A store in memory never refuses.
        let _ = self.durable.write(&write);
    }

    fn spoil(&mut self, write: &mut Write) {
        if self.broken(Sabotage::KeyAfterCommit) && write.checkpoint.is_some() {
            let (late, rows) = write.rows.drain(..).partition(|(v, _)| v.name == "idempotency");
            write.rows = rows;
            let earlier = std::mem::replace(&mut self.late, late);
            write.rows.extend(earlier);
        }
        if self.broken(Sabotage::LoseARow) {
            let view = write.rows.iter_mut().find(|(v, _)| !v.name.starts_with('~'));
            if let Some((_, rows)) = view {
                rows.pop();
            }
        }
        if self.broken(Sabotage::OffByOneSnapshot) {
            for (_, rows) in
                write.rows.iter_mut().filter(|(v, _)| v.name.starts_with("~snapshots:"))
            {
                for value in rows.iter_mut().filter_map(|(_, value)| value.as_mut()) {
                    // The last byte of a state is a count of transactions.
                    if let Some(last) = value.last_mut() {
                        *last = last.wrapping_sub(1);
                    }
                }
            }
        }
        if self.broken(Sabotage::LosePending) {
            write.rows.retain(|(view, _)| view.name != "pending");
        }
        if self.broken(Sabotage::KeepDeleted) {
            for (_, rows) in &mut write.rows {
                rows.retain(|(_, value)| value.is_some());
            }
        }
        if self.broken(Sabotage::CheckpointAhead) && self.random.below(3) == 0 {
            // The rows of the transaction before, the checkpoint of this one.
            if write.checkpoint.is_some() {
                write.rows.clear();
            }
        }
        if self.broken(Sabotage::TornBlock) {
            for block in &mut write.blocks {
                let lines: Vec<&str> = chain::lines(&block.body).collect();
                if let [kept @ .., last] = lines.as_slice()
                    && !kept.is_empty()
                {
                    let end = chain::position(last).unwrap_or_default().saturating_sub(1);
                    let body = format!("[{}]", kept.join(",\n"));
                    *block = StoredBlock { first: block.first, last: end, body };
                }
            }
        }
    }
}

/// The store of a simulated process.
#[derive(Debug)]
pub struct Disk(pub World0);

impl Disk {
    fn gone<T>(&self) -> Option<Result<T, StoreError>> {
        let mut world = self.0.borrow_mut();
        let rate = world.plan.crash;
        if !world.crashed && world.chance(rate) {
            world.crash();
        }
        world.crashed.then(|| Err(StoreError::Unknown("the process ended".into())))
    }

    fn writing(&self, write: impl FnOnce(&mut Shared)) -> Result<(), StoreError> {
        if let Some(gone) = self.gone() {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        let (full, fails, crash) = (world.plan.full, world.plan.write_fails, world.plan.crash);
        if world.chance(full) {
            world.happened.full += 1;
            return Err(StoreError::Full);
        }
        if world.chance(fails) {
            let tail = world.durable.tail().ok();
            if world.random.below(2) == 0 {
                world.happened.failed_writes_present += 1;
                write(&mut world);
            } else {
                world.happened.failed_writes_absent += 1;
            }
            if world.broken(Sabotage::StaleHeadAfterError) {
                world.stale_tail = tail;
            }
            return Err(StoreError::Unknown("by chance".into()));
        }
        write(&mut world);
        if world.chance(crash) {
            world.crash();
            return Err(StoreError::Unknown("the process ended".into()));
        }
        Ok(())
    }
}

impl Store for Disk {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        if let Some(gone) = self.gone() {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        match world.stale_tail.take() {
            Some(stale) => Ok(stale),
            None => world.durable.tail(),
        }
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        if let Some(gone) = self.gone() {
            return gone;
        }
        let mut world = self.0.borrow_mut();
        let (fails, corrupt) = (world.plan.read_fails, world.plan.corrupt);
        if world.chance(fails) {
            world.happened.failed_reads += 1;
            return Err(StoreError::Read("by chance".into()));
        }
        let rows = queries.iter().any(|query| matches!(query, Query::Row(_)));
        if rows && world.chance(corrupt) {
            world.happened.damaged_rows += 1;
            return Err(StoreError::CorruptRow { view: "BankAccount".into(), key: "00".into() });
        }
        let mut answers = world.durable.read(queries)?;
        if world.broken(Sabotage::StaleRow) {
            for (query, answer) in queries.iter().zip(&mut answers) {
                if let (Query::Row(RowKey { view, key }), Answer::Row(Some(value))) =
                    (query, answer)
                    && let Some(old) = world.before.get(&(view.clone(), key.clone()))
                {
                    value.clone_from(old);
                }
            }
        }
        Ok(answers)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let outside = self.0.borrow().broken(Sabotage::RowsOutsideTheTransaction);
        if outside && !write.rows.is_empty() {
            // Half of it at a time: what comes between sees the first half alone.
            let rows = Write { blocks: write.blocks.clone(), ..Write::default() };
            let mut first = rows.clone();
            first.rows = write.rows.iter().take(write.rows.len() / 2).cloned().collect();
            self.writing(|world| world.apply(&first))?;
            let rest = Write { blocks: Vec::new(), ..write.clone() };
            return self.writing(|world| world.apply(&rest));
        }
        self.writing(|world| world.apply(write))
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.writing(|world| {
            let _ = world.durable.erase_rows();
        })
    }
}

/// Makes guests that trap by chance, and that a sabotage may mislead.
#[derive(Clone, Debug)]
pub struct Spawner {
    pub linked: Linked,
    pub world: World0,
    pub digest: u8,
}

/// One of them.
#[derive(Debug)]
pub struct Instance {
    guest: guest::Guest,
    world: World0,
}

impl Spawn for Spawner {
    type Guest = Instance;

    fn spawn(&mut self) -> Result<Instance, Trap> {
        Ok(Instance { guest: self.linked.spawn()?, world: self.world.clone() })
    }

    fn digest(&self) -> [u8; 32] {
        [self.digest; 32]
    }
}

impl Guest for Instance {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        let mut world = self.world.borrow_mut();
        let rate = world.plan.trap;
        let may = matches!(op, Op::Stage | Op::Supply | Op::Commit | Op::TakeBlock | Op::Fold);
        if may && world.chance(rate) {
            world.happened.traps += 1;
            return Err(Trap { detail: "by chance".into(), progress: 0 });
        }
        let hidden: &[(Sabotage, &[u8], &[u8])] = &[
            (Sabotage::IgnoreExpectedVersion, b"if-match", b"x-ignore"),
            (Sabotage::IgnoreKey, b"idempotency-key", b"x-idempotency-k"),
        ];
        let found = hidden.iter().find(|(sabotage, ..)| world.broken(*sabotage));
        let event_ids = world.broken(Sabotage::IgnoreEventIds);
        drop(world);
        let misled = match (op, found) {
            (Op::Stage, Some((_, from, to))) => Some(replace(message, from, to)),
            (Op::Stage, None) if event_ids => Some(renamed_ids(message)),
            _ => None,
        };
        Guest::call(&mut self.guest, op, misled.as_deref().unwrap_or(message))
    }
}

/// The same bytes with one text instead of another of the same length.
fn replace(bytes: &[u8], from: &[u8], to: &[u8]) -> Vec<u8> {
    let mut out = bytes.to_vec();
    let places: Vec<usize> =
        bytes.windows(from.len()).enumerate().filter(|(_, w)| *w == from).map(|(i, _)| i).collect();
    for place in places {
        out[place..place + from.len()].copy_from_slice(to);
    }
    out
}

/// Event ids of a simulation end in a digit before their quote: another one makes them new.
fn renamed_ids(bytes: &[u8]) -> Vec<u8> {
    replace(bytes, b"\"eventIds\":[\"id-", b"\"eventIds\":[\"xd-")
}

/// The clock of a simulation; entropy counts.
#[derive(Debug)]
pub struct Clock {
    pub world: World0,
    pub drawn: u64,
}

impl World for Clock {
    fn clock(&mut self) -> Time {
        Time(self.world.borrow().now)
    }

    fn entropy(&mut self) -> [u8; 16] {
        self.drawn += 1;
        foldlog_core::driver::test_entropy("simulation", self.drawn)
    }

    fn micros(&mut self) -> u64 {
        self.world.borrow().now.saturating_mul(1_000)
    }
}
