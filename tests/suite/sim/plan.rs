//! What a seed decides before anything happens: how long a run is, how often what goes wrong.
//!
//! Owns the rates. Runs differ, so that no fault hides another: a fifth of them has none, a fifth
//! one kind alone, and one in a hundred is long, since some bugs need a large log.

use super::super::engine::kit::Random;
use super::sabotage::Sabotage;

/// Chances per hundred thousand, and sizes.
#[derive(Clone, Debug, Default)]
pub struct Plan {
    pub seed: u64,
    /// Events after which a run ends.
    pub events: u64,
    /// Steps after which it ends at the latest.
    pub steps: u64,
    /// Commands in a batch at most.
    pub batch_max: u64,
    pub accounts: u64,
    pub row_cache_max: u64,
    pub tail_events_max: u64,
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
    /// The clock jumps, either way.
    pub jump: u64,
    /// The process is started again without a fault.
    pub restart: u64,
    /// What is broken on purpose.
    pub sabotage: Option<Sabotage>,
}

impl Plan {
    /// The plan of a seed.
    pub fn of(seed: u64) -> Self {
        let mut random = Random::new(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15));
        random.next();
        let long = seed % 100 == 99;
        let mut plan = Self {
            seed,
            events: if long { 100_000 } else { 20 + random.below(160) },
            steps: if long { 3_000 } else { 400 },
            batch_max: if long { 500 } else { 1 + random.below(6) },
            accounts: if long { 200 } else { 2 + random.below(8) },
            row_cache_max: [64 << 20, 64 << 10, 16 << 10][random.below(3) as usize],
            tail_events_max: [u64::MAX, 50, 10][random.below(3) as usize],
            jump: random.below(2) * random.below(20_000),
            restart: random.below(6_000),
            ..Self::default()
        };
        if long {
            (plan.row_cache_max, plan.tail_events_max) = (1 << 20, 30_000);
        }
        let rate = 100 * (1 + random.below(80));
        let one = (random.below(5) == 1).then(|| random.below(6));
        let clean = random.below(5) == 0;
        let faults = [
            &mut plan.write_fails,
            &mut plan.read_fails,
            &mut plan.full,
            &mut plan.crash,
            &mut plan.corrupt,
            &mut plan.trap,
        ];
        for (index, fault) in faults.into_iter().enumerate() {
            let wanted = one.map_or(random.below(3) > 0, |one| one == index as u64);
            *fault = if wanted && !clean { rate } else { 0 };
        }
        if long {
            // Each costs a fold of up to `tail_events_max` events; a damaged row one of all.
            for fault in [&mut plan.write_fails, &mut plan.crash, &mut plan.trap] {
                *fault = (*fault).min(20);
            }
            (plan.read_fails, plan.full) = (plan.read_fails.min(20), plan.full.min(20));
            (plan.corrupt, plan.restart) = (0, plan.restart.min(500));
        }
        plan
    }
}
