//! The engine: one partition's state, as the fold of its log.
//!
//! # The law of use
//!
//! `access` → `propose` → [`Engine::commit`] → take block (→ take checkpoint) → the host stores →
//! only then anyone is answered. Proposing changes nothing: it works on an overlay and returns an
//! owned proposal, so dropping that is the rollback. Committing consumes it and can not fail.
//! Folding a stored commit runs the same code as proposing one.
//!
//! Owns rows, views, the head and the commits not yet stored. Refuses to know HTTP, messages,
//! hashes and where anything is stored.

mod access;
pub mod adopt;
pub mod again;
mod apply;
mod build;
mod cache;
mod checkpoint;
pub mod consumers;
mod gaps;
mod generations;
mod keys;
mod open;
pub mod outbox;
mod overlay;
mod pending;
pub mod postings;
mod proposal;
mod propose;
mod publish;
mod react;
mod refold;
mod rebuild;
pub mod rejected;
mod repeats;
mod retry;
mod schemas;
mod search;
mod settle;
pub mod snapshots;
mod streams;
mod supplied;
mod views;
mod wake;
mod warm;

use alloc::collections::BTreeMap;
use alloc::rc::Rc;
use alloc::string::String;
use alloc::vec::Vec;
use core::cell::RefCell;
use core::sync::atomic::{AtomicU64, Ordering};

use serde::{Deserialize, Serialize};

pub use access::{Access, Unstored};
pub use apply::FoldStop;
pub use cache::ViewId;
pub use open::{OpenError, Resting, resting};
pub use proposal::Proposal;
pub use propose::{
    Answered, AnsweredEvent, CommandInput, Decided, Metadata, Preconditions, answered,
};
pub use publish::Published;
pub use react::LIST_PARTITION;
pub use rebuild::{Slice, SliceStop};
pub use refold::{Missing, Refold, Wanted};
pub use repeats::{given_ids, reserved};
pub use retry::Retry;
pub use schemas::TopicSchemas;
pub use search::{Found, Term, find_positions, first_position_at, nth_position, position_of_event};
pub use streams::{Blocked, StreamRow, typed_state};
pub use supplied::Supplied;
pub use views::ViewState;
pub use wake::{Wake, Woken};
pub use warm::Warming;

use crate::commit::Commit;
use crate::protocol::{Answer, Quarantine, Quarantined, Query};
use crate::registry::Registry;
use crate::time::Time;
use cache::Cache;
use overlay::Overlay;
use views::Views;

/// What the guest is doing, for the host to read after a trap: kind in the top byte, then the
/// index of a projection, or the number of a reaction, in 16 bits, then a position in 40.
pub static PROGRESS: AtomicU64 = AtomicU64::new(0);

const KIND_PROJECTION: u64 = 1;
const KIND_BUILDING: u64 = 2;
const KIND_STREAM: u64 = 3;
const KIND_SYSTEM: u64 = 4;
const KIND_AGAIN: u64 = 5;

/// What a trap would be told of.
#[derive(Clone, Copy, Debug)]
pub enum Doing {
    /// The projection with this index applies the record at a position: the generation that serves.
    Projection(usize, u64),
    /// The same for the generation of it that does not serve yet.
    Building(usize, u64),
    /// The state of a stream takes in the stored record at a position.
    Stream(u64),
    /// A command of the system is decided, or an effect settled.
    System(pending::Which),
    /// The recorded commit with this first position is decided again.
    Again(u64),
}

/// Says what is being done; returns what was said before, for [`done`].
pub fn doing(what: Doing) -> u64 {
    let (kind, index, position) = match what {
        Doing::Projection(index, position) => (KIND_PROJECTION, index as u64, position),
        Doing::Building(index, position) => (KIND_BUILDING, index as u64, position),
        Doing::Stream(position) => (KIND_STREAM, 0, position),
        Doing::System((position, n)) => (KIND_SYSTEM, n.into(), position),
        Doing::Again(position) => (KIND_AGAIN, 0, position),
    };
    let word = (kind << 56) | ((index & 0xffff) << 40) | (position & 0xff_ffff_ffff);
    PROGRESS.swap(word, Ordering::Relaxed)
}

/// Says that it is over.
pub fn done(before: u64) {
    PROGRESS.store(before, Ordering::Relaxed);
}

/// The reaction that was being done, by a progress word. Its number is told up to 65,535: a commit
/// has no room for more.
pub fn trapped_reaction(word: u64) -> Option<pending::Which> {
    let n = u32::try_from((word >> 40) & 0xffff).ok()?;
    (word >> 56 == KIND_SYSTEM).then_some((word & 0xff_ffff_ffff, n))
}

/// The commit that was being decided again, by a progress word.
pub const fn trapped_again(word: u64) -> Option<u64> {
    if word >> 56 == KIND_AGAIN { Some(word & 0xff_ffff_ffff) } else { None }
}

/// What trapped on which record, by a progress word; nothing that could be left out otherwise.
pub fn trapped(word: u64) -> Option<(Quarantined, u64)> {
    let index = u32::try_from((word >> 40) & 0xffff).ok()?;
    let what = match word >> 56 {
        KIND_PROJECTION => Quarantined::Projection(index),
        KIND_BUILDING => Quarantined::Building(index),
        KIND_STREAM => Quarantined::Stream,
        _ => return None,
    };
    Some((what, word & 0xff_ffff_ffff))
}

/// Where the log stands, and counters that follow from it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// Position of the last event.
    pub position: u64,
    /// Time of the last commit.
    pub time: Time,
    /// Settings of the last commit.
    pub settings: String,
    /// Hexadecimal SHA-256 of the guest that made the last commit.
    pub guest: String,
    /// Days an idempotency key is remembered, by those settings.
    pub idempotency_days: u32,
    /// Position and time of the oldest idempotency key still kept.
    pub oldest_key: Option<(u64, Time)>,
    /// Streams by aggregate type.
    pub streams: BTreeMap<String, u64>,
    /// Events by event type.
    pub events: BTreeMap<String, u64>,
    /// Snapshots that were taken on request and are kept.
    pub snapshots: u64,
    /// Snapshots that were not the fold, and were taken anew, since the rows came into being.
    pub discarded: u64,
    /// The newest one: of genesis, or of the last adoption.
    pub incarnation: [u8; 16],
    /// System commands that are due at once.
    pub due_now: u64,
    /// System commands that wait for their time.
    pub timers: u64,
    /// Effects that did not come to an end yet.
    pub effects: u64,
    /// Consumers that are registered.
    pub consumers: u64,
}

impl Head {
    /// Whether a wake would find anything.
    pub const fn waits(&self) -> bool {
        self.due_now > 0 || self.timers > 0 || self.effects > 0
    }
}

/// A projection out of service.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fault {
    /// Position of the event it failed on.
    pub position: u64,
    /// Why.
    pub reason: String,
    /// Of the projection that failed.
    pub revision: u32,
}

/// See the module's description.
#[derive(Debug)]
pub struct Engine {
    registry: Rc<Registry>,
    cache: Cache,
    views: Views,
    head: Head,
    /// What the guest is opened with now; goes into the next commit when the log says otherwise.
    settings: String,
    guest: String,
    record_commands: bool,
    /// Nobody is answered: commits are decided again.
    unanswered: bool,
    /// By the settings that hold in the log.
    policy: snapshots::Policy,
    partition: String,
    /// The genesis line to store with the first commit.
    genesis: Option<Genesis>,
    unstored: Vec<Unstored>,
    /// Room for what the next attempt changes.
    scratch: RefCell<Overlay>,
    /// Something was taken in since the last checkpoint.
    changed: bool,
    /// What trapped under this host.
    quarantined: Vec<Quarantine>,
    /// Reasons of faults found since the instance was opened.
    faults: BTreeMap<ViewId, Fault>,
    /// Rows of generations of no use, to be deleted by the next checkpoint.
    trimmed: rebuild::Trimmed,
    /// Schemas of topics that were compiled.
    compiled: schemas::Compiled,
}

/// A genesis that is not stored yet.
#[derive(Clone, Debug)]
struct Genesis {
    incarnation: [u8; 16],
    /// Set by the first commit.
    line: Option<String>,
}

impl Engine {
    /// Where the log stands.
    pub const fn head(&self) -> &Head {
        &self.head
    }

    /// The domains.
    pub fn registry(&self) -> &Registry {
        &self.registry
    }

    /// Name of the partition.
    pub fn partition(&self) -> &str {
        &self.partition
    }

    /// Hexadecimal SHA-256 of the module.
    pub fn guest(&self) -> &str {
        &self.guest
    }

    /// The state of a projection's view.
    pub fn projection(&self, index: usize) -> Option<(ViewId, &ViewState)> {
        let view = self.views.projection(index);
        self.views.state(view).map(|state| (view, state))
    }

    /// Why a projection is out of service, when that happened to this instance.
    pub fn fault(&self, view: ViewId) -> Option<&Fault> {
        self.faults.get(&view)
    }

    /// The view of an aggregate's states.
    pub fn aggregate_view(&self, index: usize) -> ViewId {
        self.views.aggregate(index)
    }

    /// The view of an aggregate's snapshots.
    pub fn snapshots_view(&self, index: usize) -> ViewId {
        self.views.snapshots(index)
    }

    /// Whether a view's rows are as of the head: one that is being built is not.
    pub fn serves(&self, view: ViewId) -> bool {
        self.views.serves(view, self.head.position)
    }

    /// How many snapshots are kept.
    pub fn snapshots_kept(&self) -> u64 {
        self.head.snapshots.saturating_add(self.views.snapshots_kept())
    }

    /// Why something is left out at a position, if it is.
    fn trapped(&self, what: Quarantined, position: u64) -> Option<&str> {
        let mut all = self.quarantined.iter();
        let found =
            all.find(|quarantine| (quarantine.what, quarantine.position) == (what, position));
        found.map(|quarantine| quarantine.reason.as_str())
    }

    /// The view of streams whose type the registry does not know.
    pub const fn streams_view(&self) -> ViewId {
        views::STREAMS
    }

    /// The view of reasons why projections are out of service.
    pub const fn faults_view(&self) -> ViewId {
        views::FAULTS
    }

    /// Reads and stages on what the engine holds and the host supplied.
    pub fn access<'e>(&'e self, supplied: &'e Supplied) -> Access<'e> {
        Access::new(
            &self.cache,
            &self.views,
            &self.unstored,
            supplied,
            self.head.position,
            self.scratch.take(),
        )
    }

    /// Whether these are answers to these queries.
    pub fn answers_fit(&self, queries: &[Query], answers: &[Answer]) -> bool {
        Supplied::fits(&self.views, queries, answers)
    }

    /// Takes answers in that fit their queries.
    pub fn supply(&mut self, supplied: &mut Supplied, queries: Vec<Query>, answers: Vec<Answer>) {
        supplied.take(&mut self.cache, &self.views, queries, answers);
    }

    /// Frees room, when an input is settled and nothing refers to rows.
    pub fn evict(&mut self) {
        self.cache.evict();
    }

    /// Keeps a state that was folded for an input.
    pub fn refolded(&self, supplied: &mut Supplied, refold: Refold) {
        let (wanted, state, wrong) = refold.finish();
        supplied.refolded.insert(wanted, state);
        supplied.wrong.extend(wrong);
    }

    /// Takes a proposal in.
    pub fn commit(&mut self, proposal: Proposal) {
        let Proposal { first, last, line, mut taken } = proposal;
        if line.is_empty() {
            return self.take_in(taken);
        }
        if let Some(genesis) = self.genesis.as_mut().filter(|genesis| genesis.line.is_none()) {
            genesis.line = taken.genesis.take();
            self.head.settings.clone_from(&self.settings);
            self.head.guest.clone_from(&self.guest);
            self.head.idempotency_days = keys::idempotency_days(&self.settings);
        }
        self.take_in(taken);
        self.unstored.push(Unstored { first, last, line: line.into() });
    }

    /// Whether changed rows fill their share of the cache.
    pub const fn checkpoint_due(&self) -> bool {
        self.cache.is_full()
    }

    /// Folds one stored commit.
    pub fn fold(&mut self, line: &str, supplied: &Supplied) -> Result<(), FoldStop> {
        let commit = Commit::parse(line)
            .map_err(|e| FoldStop::Corrupt(alloc::format!("not a readable commit: {e}")))?;
        let mut access = self.access(supplied);
        let result = apply::apply_stored(self, &mut access, &commit);
        let misses = access.take_misses();
        let taken = match result {
            Ok(folded) if misses.is_empty() => apply::Taken::new(access, folded),
            Ok(_) | Err(FoldStop::Need(_)) if misses.is_empty() => {
                return Err(FoldStop::Corrupt("a view asked for nothing and missed it".into()));
            }
            Ok(_) | Err(FoldStop::Need(_)) => {
                return Err(FoldStop::Need(misses));
            }
            Err(stop) => return Err(stop),
        };
        self.take_in(taken);
        Ok(())
    }
}
