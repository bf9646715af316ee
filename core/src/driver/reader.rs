//! A reader: a second instance that answers reads of one partition while its writer goes on.
//!
//! Owns how it follows the log and when what it holds is of no use any more. Refuses to write
//! anything, to decide anything, and to know threads: a host gives it a store of its own over the
//! same log and rows, and [`Told`] from the writer with each read.
//!
//! # Why its answers are the writer's
//!
//! It opens as the writer opens after a crash: the checkpoint's rows, and the fold of the log from
//! there on. Before it answers it folds at least up to the position that the writer had stored when
//! the read was handed over, so a client finds what was acknowledged to it, and it answers as of
//! the position it came to: what the log has beyond that is cut off. Rows it does not hold are read
//! from the store, which is right for as long as those are of the checkpoint it was opened with:
//! whatever changed since, it folded itself and holds. Once the writer stores others, the store
//! refuses to read ([`StoreError::Read`]), and the reader opens anew.
//!
//! What the log does not tell (process, quarantines, the stamp) comes with [`Told`]. Whatever goes
//! wrong, the reader drops its instance and says so: the writer answers then, and recovers.

use alloc::string::String;
use alloc::vec::Vec;

use super::call::stage;
use super::hashes::Hashes;
use super::pages::{self, Pages, Start};
use super::partition::{Failure, Live};
use super::stamps::test_stamp;
use super::{Config, OwnedRequest, Partition, Reply, Spawn, Store, StoreError, Tail, World, Write};
use crate::chain;
use crate::protocol::{Answer, Input, Process, Quarantine, Query, Stamp, What};

/// What the writer tells a reader with a read.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Told {
    /// Position of the last event it stored.
    position: u64,
    stamp: Stamp,
    process: Process,
    quarantined: Vec<Quarantine>,
    /// 8 bytes for the hashing of an instance's row cache.
    hash_seed: [u8; 8],
}

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// What a reader needs to answer a long read, between two batches. Nothing when the writer has
    /// to answer: it is not open or in trouble, or it is building what is asked for.
    pub fn tell(&mut self, request: &OwnedRequest) -> Option<Told> {
        let live = self.live.as_ref().filter(|_| self.trouble.is_none())?;
        let position = live.head.position;
        // How far the building of a projection came is stored with checkpoints only.
        let known = !live.behind || !request.is_of_projections();
        if position == 0 || !known || !request.is_long_read() {
            return None;
        }
        let (clock, entropy) = (self.world.clock(), self.world.entropy());
        let stamp = self.config.test_stamps.as_ref().map_or(Stamp { clock, entropy }, |stamps| {
            test_stamp(stamps, position.saturating_add(1))
        });
        let hash_seed = entropy.first_chunk::<8>().copied().unwrap_or_default();
        let (process, quarantined) = (self.process(), self.quarantined.clone());
        Some(Told { position, stamp, process, quarantined, hash_seed })
    }

    /// How the partition is run.
    pub const fn config(&self) -> &Config {
        &self.config
    }
}

/// See the module's description.
#[derive(Debug)]
pub struct Reader<S: Spawn, T> {
    spawn: S,
    store: ReadOnly<T>,
    config: Config,
    live: Option<Live<S::Guest>>,
    /// Those that the instance was opened with.
    quarantined: Vec<Quarantine>,
}

impl<S: Spawn, T: Store> Reader<S, T> {
    /// A reader, not yet open. Its store must refuse to read rows other than those of the
    /// checkpoint that its last [`Store::tail`] gave.
    pub const fn new(spawn: S, store: T, config: Config) -> Self {
        let store = ReadOnly { store, to: 0 };
        Self { spawn, store, config, live: None, quarantined: Vec::new() }
    }

    /// Answers a read. After an error nothing is known of the answer: the writer has to give it.
    pub fn answer(&mut self, request: &OwnedRequest, told: &Told) -> Result<Reply, Failure> {
        let mut answered = self.try_answer(request, told);
        if matches!(answered, Err(Failure::Store(StoreError::Read(_)))) {
            // The writer stored other rows: those are read anew.
            self.live = None;
            answered = self.try_answer(request, told);
        }
        if answered.is_err() {
            self.live = None;
        }
        answered
    }

    fn try_answer(&mut self, request: &OwnedRequest, told: &Told) -> Result<Reply, Failure> {
        if self.live.is_some() && self.quarantined != told.quarantined {
            self.live = None;
        }
        let mut live = match self.live.take() {
            Some(live) => live,
            None => self.open(told)?,
        };
        self.follow(&mut live, told.position)?;
        let what = What::Request(request.message());
        let input = Input { stamp: told.stamp, what, process: told.process.clone() };
        let mut outcome = stage(&mut live, &mut self.store, &input)?;
        if outcome.proposed.is_some() || outcome.export.is_some() || outcome.import.is_some() {
            return Err(Failure::Refused("this is for the writer to answer".into()));
        }
        let mut hashes = Hashes::default();
        hashes.by_last.insert(0, live.head.genesis);
        hashes.by_last.insert(live.head.position, live.head.hash);
        let reply = Reply::settled(&mut outcome, &hashes, live.head.position, || None);
        self.live = Some(live);
        Ok(reply)
    }

    fn open(&mut self, told: &Told) -> Result<Live<S::Guest>, Failure> {
        self.quarantined.clone_from(&told.quarantined);
        self.store.to = u64::MAX;
        let quarantined = told.quarantined.clone();
        let (spawn, store) = (&mut self.spawn, &mut self.store);
        let seed = u64::from_le_bytes(told.hash_seed);
        let start = Start::of(store.tail()?, quarantined, seed)?;
        let live = pages::open_live(spawn, store, &self.config, start)?;
        self.store.to = live.head.position;
        Ok(live)
    }

    /// Folds what was stored since, at least up to `position`.
    fn follow(&mut self, live: &mut Live<S::Guest>, position: u64) -> Result<(), Failure> {
        if live.head.position >= position {
            return Ok(());
        }
        self.store.to = u64::MAX;
        Pages::after(live, position).rest(live, &mut self.store)?;
        self.store.to = live.head.position;
        Ok(())
    }
}

/// A store that nothing is written to, with its log cut off.
#[derive(Debug)]
struct ReadOnly<T> {
    store: T,
    /// The position up to which the log is seen.
    to: u64,
}

impl<T: Store> Store for ReadOnly<T> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.store.tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let mut answers = self.store.read(queries)?;
        for (query, answer) in queries.iter().zip(&mut answers) {
            // Downwards nobody starts beyond where he stands.
            if let (Query::CommitsAfter { descending: false, .. }, Answer::Commits(lines)) =
                (query, answer)
            {
                // A line that can not be read is for whoever asked to complain of.
                lines.retain(|line| chain::position(line).is_none_or(|first| first <= self.to));
            }
        }
        Ok(answers)
    }

    fn write(&mut self, _: &Write) -> Result<(), StoreError> {
        Err(unwritten())
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        Err(unwritten())
    }
}

fn unwritten() -> StoreError {
    StoreError::Unknown(String::from("a reader would have to write"))
}
