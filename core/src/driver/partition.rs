//! One partition at work: opening, recovery after traps and failed writes.
//!
//! Owns the live instance and what the driver remembers beside it. How a batch is staged is
//! in `batch`. Invariant: whenever `live` is present, the guest's rows are the fold of
//! exactly what the store holds; any doubt drops the instance.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::bulk::same_target;
use super::call::call;
use super::checkpoint::store_rows_alone;
use super::pages::{self, Start};
use super::{
    Export, Guest, NOBODY, Spawn, Store, StoreError, StoredBlock, Tail, TestStamps, Trap, World,
    test_entropy,
};
use crate::chain::{self, Hash};
use crate::protocol::{
    Answer, Fold, FoldStep, Op, OpenSettings, Process, Quarantine, Quarantined, Query,
};

/// What a host decides about a partition when it opens it.
#[derive(Clone, Debug)]
pub struct Config {
    /// Name of the partition.
    pub partition: String,
    /// Incarnation that this host acts for; [`super::NOBODY`] where it may only read, or where
    /// there is no log yet: that one then gets a fresh one.
    pub incarnation: [u8; 16],
    /// What the guest is opened with.
    pub settings: OpenSettings,
    /// `native` or `worker`.
    pub host: &'static str,
    /// Events after which a checkpoint is taken at the latest: what this host folds in about
    /// 200 ms when it opens again.
    pub tail_events_max: u64,
    /// Of the system's own commands at most so many are done in one batch.
    pub batch_commands_max: usize,
    /// Effects that the host attempts at a time.
    pub effects_in_flight_max: u32,
    /// Bytes of refused commands that are kept; 0: none are.
    pub rejected_bytes_max: u64,
    /// What consumers' keys are made from; where it is not set, the store keeps it.
    pub secret: Option<crate::settings::Secret>,
    /// Stamps that follow from the log, for tests.
    pub test_stamps: Option<TestStamps>,
}

/// Where a log stands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct HeadInfo {
    /// Position of the last stored event; 0 when there is none.
    pub position: u64,
    /// Hash of the last stored line.
    pub hash: Hash,
    /// Hash of the genesis line, zeros when there is none.
    pub genesis: Hash,
    /// Position of the stored checkpoint.
    pub checkpoint: u64,
}

/// A partition: a guest, its store, and the clock they share.
#[derive(Debug)]
pub struct Partition<S: Spawn, T, W> {
    pub(super) spawn: S,
    pub(super) store: T,
    pub(super) world: W,
    pub(super) config: Config,
    pub(super) live: Option<Live<S::Guest>>,
    pub(super) quarantined: Vec<Quarantine>,
    pub(super) started_micros: u64,
    pub(super) process: Process,
    pub(super) timings: super::timings::Timings,
    pub(super) failures: Vec<String>,
    pub(super) slices: super::rebuild::Slices,
    pub(super) wakes: super::wakes::Wakes,
    pub(super) deliveries: super::deliveries::Deliveries,
    pub(super) journal: super::rejected::Journal,
    pub(super) trouble: Option<super::Trouble>,
    /// Something was stored since that.
    pub(super) stored: bool,
    /// Failures that were no trouble to all.
    pub(super) failed: u32,
    /// A stored row is not what was written: all of them are deleted and folded again.
    pub(super) rows_damaged: bool,
    pub(super) imports: super::import::Imports<S::Guest>,
    /// What batches stored since the host took it, if the host does.
    pub(super) blocks: Option<Vec<StoredBlock>>,
    /// Target of the read of which a part was done.
    pub(super) part_of: Option<String>,
}

/// An open instance.
#[derive(Debug)]
pub(super) struct Live<G> {
    pub(super) guest: G,
    pub(super) head: HeadInfo,
    /// Rows changed since the stored checkpoint.
    pub(super) changed: bool,
    /// Slices have something to do.
    pub(super) behind: bool,
    /// The log's newest.
    pub(super) incarnation: [u8; 16],
    /// Something waits for a wake.
    pub(super) waits: bool,
    /// There were consumers when it was opened.
    pub(super) consumers: bool,
}

/// Why an operation of the driver did not finish.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Failure {
    /// The guest trapped.
    Trap(Trap),
    /// The store failed.
    Store(StoreError),
    /// The guest refused a message: damaged data, or a bug of ours.
    Refused(String),
}

impl core::fmt::Display for Failure {
    fn fmt(&self, f: &mut core::fmt::Formatter<'_>) -> core::fmt::Result {
        match self {
            Self::Trap(trap) => write!(f, "the guest trapped: {}", trap.detail),
            Self::Store(error) => error.fmt(f),
            Self::Refused(detail) => f.write_str(detail),
        }
    }
}

impl From<StoreError> for Failure {
    fn from(error: StoreError) -> Self {
        Self::Store(error)
    }
}

impl From<Trap> for Failure {
    fn from(trap: Trap) -> Self {
        Self::Trap(trap)
    }
}

/// Opens are tried again after a quarantine or erased rows, this often.
const OPEN_TRIES_MAX: usize = 20;

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// A partition, not yet opened: the first input does that, or [`Self::open`].
    pub fn new(spawn: S, store: T, mut world: W, config: Config) -> Self {
        let process = Process { host: config.host.to_string(), ..Process::default() };
        let started_micros = world.micros();
        let deliveries = super::deliveries::Deliveries::new(config.effects_in_flight_max);
        Self {
            spawn,
            store,
            world,
            config,
            live: None,
            quarantined: Vec::new(),
            started_micros,
            process,
            timings: super::timings::Timings::default(),
            failures: Vec::new(),
            slices: super::rebuild::Slices::default(),
            wakes: super::wakes::Wakes::default(),
            deliveries,
            journal: super::rejected::Journal::default(),
            trouble: None,
            stored: false,
            failed: 0,
            rows_damaged: false,
            imports: super::import::Imports::default(),
            blocks: None,
            part_of: None,
        }
    }

    /// Makes sure that an instance is live: reads the checkpoint and folds what came after.
    pub fn open(&mut self) -> Result<HeadInfo, Failure> {
        if let Some(live) = &self.live {
            return Ok(live.head);
        }
        for _ in 0..OPEN_TRIES_MAX {
            if self.rows_damaged {
                self.store.erase_rows()?;
                self.rows_damaged = false;
            }
            match self.try_open() {
                Ok(live) => {
                    let head = live.head;
                    self.wakes.opened(live.waits);
                    self.deliveries.opened(live.consumers);
                    self.live = Some(live);
                    self.journal_opened(head.position);
                    return Ok(head);
                }
                Err(Failure::Trap(trap)) if self.quarantine(&trap) => {}
                Err(Failure::Store(StoreError::CorruptRow { .. })) => self.rows_damaged = true,
                Err(failure) => return Err(failure),
            }
        }
        Err(Failure::Refused("opening did not succeed after many tries".into()))
    }

    /// Where the log stands, when an instance is live.
    pub fn head(&self) -> Option<HeadInfo> {
        self.live.as_ref().map(|live| live.head)
    }

    /// The store, for what only one host does.
    pub const fn store(&mut self) -> &mut T {
        &mut self.store
    }

    /// Drops the live instance: the next input opens the partition from what is stored.
    pub fn reset(&mut self) {
        self.drop_live();
    }

    /// Drops the live instance. What waits is for whoever opens the next one to find.
    pub(super) fn drop_live(&mut self) {
        if self.live.take().is_some() {
            self.wakes.opened(true);
        }
    }

    /// Takes in what its supervision tells of it, for `GET /health` and `GET /stats`.
    pub fn supervised(&mut self, supervision: &super::Supervision) {
        self.process.restarts = supervision.restarts();
        self.process.trouble = supervision.reason().map(ToString::to_string);
    }

    /// Counters of an earlier life of this partition in the same process.
    pub fn continues(&mut self, processed: u64, rejected: u64) {
        self.process.commands_processed = processed;
        self.process.commands_rejected = rejected;
    }

    /// The blocks that batches stored since the last call, in order; from now on they are kept for
    /// the next one, or are not. One that was stored although the store failed is not among them.
    pub fn take_blocks(&mut self, keep: bool) -> Vec<StoredBlock> {
        core::mem::replace(&mut self.blocks, keep.then(Vec::new)).unwrap_or_default()
    }

    /// What went wrong since the last call, for the host's log. No payloads, no client data.
    pub fn take_failures(&mut self) -> Vec<String> {
        core::mem::take(&mut self.failures)
    }

    /// What this process would tell of itself now.
    pub fn process(&mut self) -> Process {
        let now = self.world.micros();
        let (dispatchers, retrying) = self.deliveries.told();
        Process { dispatchers, retrying, ..self.process_at(now) }
    }

    pub(super) fn process_at(&self, micros: u64) -> Process {
        let mut process = self.process.clone();
        process.uptime_seconds = micros.saturating_sub(self.started_micros) / 1_000_000;
        process.p50_micros = self.timings.percentile(500);
        process.p99_micros = self.timings.percentile(990);
        process.standing = self.standing();
        process.running = self.wakes.running();
        process.trouble = process.trouble.or_else(|| self.stuck().map(ToString::to_string));
        process.checkpoint = self.live.as_ref().map_or(0, |live| live.head.checkpoint);
        process
    }

    /// Commit lines after `after` up to `to`, at most about 1 MB of them.
    pub fn page(&mut self, export: Export) -> Result<Vec<String>, StoreError> {
        let query = Query::CommitsAfter { after: export.after, limit: 10_000, descending: false };
        let mut lines = match self.store.read(&[query])?.pop() {
            Some(Answer::Commits(lines)) => lines,
            _ => Vec::new(),
        };
        // A damaged line passes: whoever checks the chain has to see it.
        lines.retain(|line| chain::position(line).is_none_or(|position| position <= export.to));
        Ok(lines)
    }

    /// Forgets what trapped on commits which were never stored.
    pub(super) fn settle_quarantines(&mut self) {
        let stored = self.live.as_ref().map_or(0, |live| live.head.position);
        self.quarantined.retain(|quarantine| quarantine.position <= stored);
    }

    /// Leaves out what trapped; false when that can not be left out, or was already.
    pub(super) fn quarantine(&mut self, trap: &Trap) -> bool {
        let Some(quarantine) = super::quarantine_of(trap) else { return false };
        if quarantine.what == Quarantined::Stream {
            // An event that is not stored yet is the fault of the input that makes it.
            let stored = self.store.tail().ok().and_then(|tail| tail.last);
            if stored.is_none_or(|(stored, _)| quarantine.position > stored) {
                return false;
            }
        }
        let known = self.quarantined.iter().any(|known| same_target(known, &quarantine));
        if !known {
            self.quarantined.push(quarantine);
        }
        !known
    }

    fn try_open(&mut self) -> Result<Live<S::Guest>, Failure> {
        let tail = self.read_tail()?;
        let start = Start::of(tail, self.quarantined.clone(), self.draw())?;
        pages::open_live(&mut self.spawn, &mut self.store, &self.config, start)
    }

    /// A random number.
    pub(super) fn draw(&mut self) -> u64 {
        let bytes = self.world.entropy().first_chunk::<8>().copied().unwrap_or_default();
        u64::from_le_bytes(bytes)
    }

    /// The ends of the log. What an unfinished import stored is none; and a log that does not
    /// exist yet gets an incarnation of its own.
    fn read_tail(&mut self) -> Result<Tail, StoreError> {
        let mut tail = self.store.tail()?;
        self.imports.unfinished = tail.import.take();
        if self.imports.unfinished.is_some() {
            tail = Tail::default();
        }
        if tail.genesis.is_none() && self.config.incarnation == NOBODY {
            self.config.incarnation = match &self.config.test_stamps {
                Some(stamps) => test_entropy(&stamps.seed, 0),
                None => self.world.entropy(),
            };
        }
        Ok(tail)
    }
}

/// Has the guest take `fold` in, answering what it needs; returns the position it reached.
pub(super) fn fold_blocks<G: Guest, T: Store>(
    live: &mut Live<G>,
    store: &mut T,
    fold: &Fold<'_>,
) -> Result<u64, Failure> {
    let mut step: FoldStep = call(&mut live.guest, Op::Fold, fold)?;
    loop {
        let answers = match step {
            FoldStep::Need(queries) => store.read(&queries)?,
            FoldStep::CheckpointDue => {
                store_rows_alone(live, store)?;
                Vec::new()
            }
            FoldStep::Done { position, checkpoint_due, incarnation, waits, consumers } => {
                (live.incarnation, live.waits) = (incarnation, waits);
                live.consumers = consumers;
                if checkpoint_due {
                    store_rows_alone(live, store)?;
                }
                return Ok(position);
            }
        };
        step = call(&mut live.guest, Op::Supply, &answers)?;
    }
}
