//! The world of a simulated partition: all that its ports share, and what outlives a process. By
//! one generator, so that a seed is a whole history.
//!
//! Owns chance, time, the receiver of effects and what happened. The ports themselves are in `disk`
//! and `guests`.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use foldlog_core::driver::{MemoryStore, Tail, World, Write, test_entropy};
use foldlog_core::protocol::{EffectCall, RowChange, View};
use foldlog_core::time::Time;

use super::super::engine::kit::{NEW_YEAR_MS, Random};
use super::happened::Happened;
use super::plan::Plan;
use super::sabotage::Sabotage;

/// What all ports of one run share.
#[derive(Debug)]
pub struct Shared {
    pub plan: Plan,
    pub random: Random,
    pub durable: MemoryStore,
    /// The incarnation that the host may act for.
    pub owner: [u8; 16],
    /// The release that wrote the stored checkpoint, and the one that runs.
    pub checkpoint_of: u8,
    pub release: u8,
    /// The process is gone: nothing works until it is started again.
    pub crashed: bool,
    /// A guest was made and has staged nothing yet.
    pub opening: bool,
    /// The system's command that is due first, until something is taken in.
    pub first_due: Option<(u64, u64)>,
    /// A slice may run, and no client.
    pub working: bool,
    pub now: u64,
    /// A clock that never goes back.
    pub micros: u64,
    pub happened: Happened,
    /// Faults so far.
    pub faults: u64,
    /// Faults are over: the end of a run.
    pub calm: bool,
    /// What a receiver of effects must not have seen.
    pub violation: Option<String>,
    /// A write that was acknowledged and not done yet.
    pub held: Option<Write>,
    /// Rows kept back.
    pub late: Vec<(View, Vec<RowChange>)>,
    pub stale_tail: Option<Tail>,
    pub before: BTreeMap<(View, Vec<u8>), Vec<u8>>,
}

pub type World0 = Rc<RefCell<Shared>>;

impl Shared {
    pub fn new(plan: Plan) -> World0 {
        let random = Random::new(plan.seed.wrapping_add(1).wrapping_mul(0x2545_f491_4f6c_dd1d));
        Rc::new(RefCell::new(Self {
            plan,
            random,
            durable: MemoryStore::default(),
            owner: test_entropy("seed", 0),
            checkpoint_of: 0,
            release: 0,
            crashed: false,
            opening: false,
            first_due: None,
            working: false,
            now: NEW_YEAR_MS,
            micros: 0,
            happened: Happened::default(),
            faults: 0,
            calm: false,
            violation: None,
            held: None,
            late: Vec::new(),
            stale_tail: None,
            before: BTreeMap::new(),
        }))
    }

    /// Whether something of this rate happens now.
    pub fn chance(&mut self, rate: u64) -> bool {
        rate > 0 && !self.calm && self.random.below(100_000) < rate
    }

    pub fn broken(&self, sabotage: Sabotage) -> bool {
        self.plan.sabotage == Some(sabotage)
    }

    /// Something that clients may be told of.
    pub fn fault(&mut self, what: &'static str) {
        self.faults += 1;
        self.happened.note(what);
    }

    /// What a process leaves behind when it ends.
    pub fn crash(&mut self, when: &'static str) {
        self.crashed = true;
        self.fault(match (self.opening, self.working) {
            (true, _) => "crash while opening",
            (_, true) if when == "crash while reading" => "crash in a slice",
            _ => when,
        });
        self.held = None;
        self.late.clear();
    }

    /// The receiver of effects is called: all that led to that must be stored.
    pub fn attempt(&mut self, effect: &EffectCall) {
        let stored = self.durable.log.values().next_back().map_or(0, |block| block.last);
        if effect.position > stored {
            let id = &effect.id;
            self.violation = Some(format!("effect {id} is attempted, the log ends at {stored}"));
        }
    }
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
        test_entropy("simulation", self.drawn)
    }

    fn micros(&mut self) -> u64 {
        self.world.borrow().micros
    }
}
