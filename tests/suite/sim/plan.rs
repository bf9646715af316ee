//! What a seed decides before anything happens: how long a run is, how often what goes wrong.
//!
//! Owns the rates. Runs differ, so that no fault hides another: a fifth of them has none, a fifth
//! one kind alone, and one in a hundred is long, since some bugs need a large log.

use super::super::engine::kit::Random;
use super::sabotage::Sabotage;

/// Events of a long run, at least.
pub const LONG: u64 = 100_000;

/// Whether a seed's run is long.
pub const fn is_long(seed: u64) -> bool {
    seed % 100 == 99
}

/// Chances per hundred thousand, and sizes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub seed: u64,
    /// Name of the partition.
    pub partition: &'static str,
    /// Events after which a run ends.
    pub events: u64,
    /// Steps after which it ends at the latest.
    pub steps: u64,
    /// Commands in a batch at most.
    pub batch_max: u64,
    pub accounts: u64,
    /// Commands after which another account takes the place of the first.
    pub account_commands: u64,
    pub row_cache_max: u64,
    pub tail_events_max: u64,
    pub effects_in_flight_max: u32,
    /// A write fails and was not done, or was done all the same.
    pub write_fails: u64,
    pub read_fails: u64,
    pub full: u64,
    /// The process ends at a store's operation, before or after it.
    pub crash: u64,
    /// A row read back is damaged.
    pub corrupt: u64,
    /// The guest traps.
    pub trap: u64,
    /// A projection does, and is named.
    pub trap_names: u64,
    /// An attempt at an effect fails; one in so many results is lost, one told twice.
    pub effect_fails: u64,
    pub effect_lost: u64,
    pub effect_twice: u64,
    /// The clock jumps, either way.
    pub jump: u64,
    /// The process is started again without a fault.
    pub restart: u64,
    /// When it is, another release takes the place of this one.
    pub change: u64,
    /// When it is, the log was moved, and is another host's.
    pub moves: u64,
    /// Prints what happens.
    pub is_told: bool,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.next();
        let mut some = |bound: u64| random.below(2) * random.below(bound);
        let mut plan = Self {
            seed,
            jump: some(20_000),
            effect_fails: some(100_000),
            effect_lost: some(10_000),
            effect_twice: some(20_000),
            change: some(100_000),
            moves: some(40_000),
            ..Self::default()
        };
        let sizes = [64 << 20, 64 << 10, 16 << 10];
        plan.partition = if random.below(4) == 0 { "side" } else { "main" };
        plan.events = 20 + random.below(160);
        plan.steps = 200;
        plan.batch_max = 1 + random.below(6);
        (plan.accounts, plan.account_commands) = (2 + random.below(8), 50);
        plan.row_cache_max = sizes[random.below(3) as usize];
        plan.tail_events_max = [u64::MAX, 50, 10][random.below(3) as usize];
        plan.effects_in_flight_max = [64, 6, 1][random.below(3) as usize];
        plan.restart = random.below(6_000);
        plan.faults(&mut random);
        if is_long(seed) {
            plan.long();
        }
        plan
    }

    fn faults(&mut self, random: &mut Random) {
        // Mostly rare, so that most runs get somewhere between two faults.
        let most = 1 + random.below(80);
        let rate = 100 * (1 + random.below(most));
        let one = (random.below(5) == 1).then(|| random.below(7));
        let clean = random.below(5) == 0;
        let faults = [
            &mut self.write_fails,
            &mut self.read_fails,
            &mut self.full,
            &mut self.crash,
            &mut self.corrupt,
            &mut self.trap,
            &mut self.trap_names,
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            let wanted = one.map_or(random.below(3) > 0, |one| one == index as u64);
            *fault = if wanted && !clean { rate } else { 0 };
        }
        if clean {
            // Restarts and other releases are left: they are no faults.
            (self.jump, self.moves) = (0, 0);
            (self.effect_fails, self.effect_lost, self.effect_twice) = (0, 0, 0);
        }
    }

    fn long(&mut self) {
        // Large batches: what a step looks at costs the more, the longer the log.
        (self.events, self.steps, self.batch_max) = (LONG, 3_000, 1_000);
        (self.accounts, self.account_commands) = (200, 4_000);
        self.row_cache_max = [1 << 20, 16 << 20][(self.seed / 100 % 4).min(1) as usize];
        self.tail_events_max = 15_000;
        // Each costs a fold of up to `tail_events_max` events; a damaged row one of all, and so
        // does another release.
        let most = [&mut self.write_fails, &mut self.crash, &mut self.trap, &mut self.full];
        most.into_iter().for_each(|fault| *fault = (*fault).min(6));
        (self.read_fails, self.trap_names) = (self.read_fails.min(6), self.trap_names.min(2));
        (self.corrupt, self.restart) = (0, self.restart.min(500));
        (self.change, self.moves) = (self.change.min(10_000), self.moves.min(10_000));
    }
}
