//! Simulation: the engine, its driver and a store in memory, one thread, one seed, thousands of
//! histories with everything that can go wrong, and after every step what must hold.
//!
//! Reading order: `plan` (what a seed decides), `world` (the ports: disk, guest, clock),
//! `commands`, `model` (the reference), `transfers` (law 4 in it), `run` (steps and checks), `rows`
//! (law 2), `sabotage` (bugs on purpose, to prove the checks).
//!
//! `SIM_SEED=n cargo test -p foldlog-tests --test suite -- sim` plays one seed, `SIM_SEEDS=n` so
//! many.

mod commands;
mod model;
mod plan;
mod rows;
mod run;
mod sabotage;
mod transfers;
mod world;

use std::sync::atomic::{AtomicU64, Ordering};

use plan::Plan;
use run::{Told, play};

fn number(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

fn repeat(seed: u64) -> String {
    format!("SIM_SEED={seed} cargo test -p foldlog-tests --test suite -- sim::histories")
}

/// Seeds are taken in turns by as many threads as there are processors.
fn all(seeds: u64, each: impl Fn(u64) -> Result<Told, String> + Sync) -> Told {
    let next = AtomicU64::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let totals = std::thread::scope(|scope| {
        let work = || {
            let mut total = Told::default();
            loop {
                let seed = next.fetch_add(1, Ordering::Relaxed);
                if seed >= seeds {
                    return total;
                }
                let told = each(seed).unwrap_or_else(|what| panic!("{what}\n{}", repeat(seed)));
                total.add(&told);
            }
        };
        let handles: Vec<_> = (0..threads).map(|_| scope.spawn(work)).collect();
        handles
            .into_iter()
            .map(|handle| handle.join().expect("no history fails"))
            .collect::<Vec<_>>()
    });
    let mut total = Told::default();
    totals.iter().for_each(|told| total.add(told));
    total
}

#[test]
fn histories_keep_every_promise() {
    if let Some(seed) = number("SIM_SEED") {
        let plan = Plan::of(seed);
        println!("{plan:?}");
        println!("{:?}", play(&plan).unwrap_or_else(|what| panic!("{what}\n{}", repeat(seed))));
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(2_000);
    let total = all(seeds, |seed| play(&Plan::of(seed)));
    println!("{seeds} histories: {total:?}");
    // Runs that never met a fault would prove nothing about it.
    let happened = total.happened;
    for (count, what) in [
        (happened.crashes, "crashes"),
        (happened.failed_writes_present, "failed writes that are there"),
        (happened.failed_writes_absent, "failed writes that are not"),
        (happened.full, "full disks"),
        (happened.failed_reads, "failed reads"),
        (happened.damaged_rows, "damaged rows"),
        (happened.traps, "traps"),
        (total.answered_by_key, "repetitions"),
        (total.unknown, "unknown outcomes"),
        (total.transfers, "transfers"),
        (total.refunds, "refunds"),
    ] {
        assert!(count > 0, "no {what} in {seeds} histories");
    }
}

#[test]
fn a_seed_is_a_history() {
    for seed in [3, 17, 42] {
        let told = |seed| format!("{:?}", play(&Plan::of(seed)));
        assert_eq!(told(seed), told(seed));
    }
}

#[test]
fn every_sabotage_is_found() {
    for sabotage in sabotage::ALL {
        let found = (0..500).filter(|seed| seed % 100 != 99).find_map(|seed| {
            let plan = Plan { sabotage: Some(sabotage), ..Plan::of(seed) };
            play(&plan).err().map(|what| (seed, what))
        });
        match found {
            Some((seed, what)) => {
                let what: String = what.chars().take(160).collect();
                println!("{sabotage:?}: found by seed {seed}: {what}");
            }
            None => panic!("{sabotage:?} is not found in 500 histories"),
        }
    }
}

impl Told {
    fn add(&mut self, other: &Self) {
        self.events += other.events;
        self.answered_by_key += other.answered_by_key;
        self.unknown += other.unknown;
        self.transfers += other.transfers;
        self.refunds += other.refunds;
        self.happened.add(&other.happened);
    }
}
