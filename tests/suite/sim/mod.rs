//! Simulation: the engine, its driver and a store in memory, one thread, one seed, thousands of
//! histories with everything that can go wrong, and after every step what must hold.
//!
//! Reading order: `plan` (what a seed decides), `world` (chance, time, what happened), its ports
//! `disk` and `guests` (releases of a module), `domain` (bells, beside the bank), `commands`, `model`
//! (the reference), `run` (steps and checks), `rows` (law 2), `sabotage` (bugs on purpose, to prove
//! the checks).
//!
//! `SIM_SEED=n cargo test -p foldlog-tests --test suite -- sim` plays one seed (and prints all that
//! happens, with `SIM_TRACE=1`), `SIM_SEEDS=n` so many.

mod commands;
mod disk;
mod domain;
pub mod guests;
mod happened;
mod model;
mod plan;
mod rows;
mod run;
mod sabotage;
mod world;

use std::sync::atomic::{AtomicUsize, Ordering};

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
    // The long ones first: whoever takes the last of them would keep all others waiting.
    let order = (0..seeds).filter(|seed| plan::is_long(*seed));
    let order: Vec<u64> = order.chain((0..seeds).filter(|seed| !plan::is_long(*seed))).collect();
    let next = AtomicUsize::new(0);
    let threads = std::thread::available_parallelism().map_or(1, usize::from);
    let totals = std::thread::scope(|scope| {
        let work = || {
            let mut total = Told::default();
            loop {
                let Some(&seed) = order.get(next.fetch_add(1, Ordering::Relaxed)) else {
                    return total;
                };
                let told = each(seed).unwrap_or_else(|what| {
                    // The others stop too.
                    next.store(order.len(), Ordering::Relaxed);
                    panic!("{what}\n{}", repeat(seed));
                });
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
        let is_told = std::env::var_os("SIM_TRACE").is_some();
        let plan = Plan { is_told, ..Plan::of(seed) };
        println!("{plan:?}");
        let told = play(&plan).unwrap_or_else(|what| panic!("{what}\n{}", repeat(seed)));
        println!("{} events, trace {:016x}\n{}", told.events, told.trace, told.happened.shown());
        return;
    }
    let seeds = number("SIM_SEEDS").unwrap_or(2_000);
    let total = all(seeds, |seed| play(&Plan::of(seed)));
    println!("{seeds} histories, {} events:\n{}", total.events, total.happened.shown());
    // Runs that never met a fault would prove nothing about it.
    let missed: Vec<_> =
        happened::MUST.iter().filter(|what| total.happened.count(what) == 0).collect();
    assert!(missed.is_empty() || seeds < 2_000, "in {seeds} histories never: {missed:?}");
}

#[test]
fn a_seed_is_a_history() {
    for seed in 0..20 {
        let told = |seed| play(&Plan::of(seed));
        assert_eq!(told(seed), told(seed), "seed {seed}");
    }
}

#[test]
fn every_sabotage_is_found() {
    for sabotage in sabotage::ALL {
        let found = (0..500).filter(|seed| !plan::is_long(*seed)).find_map(|seed| {
            let plan = Plan { sabotage: Some(sabotage), ..Plan::of(seed) };
            let what = play(&plan).err().filter(|what| what.contains(sabotage.proves()));
            what.map(|what| (seed, what))
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
        self.trace ^= other.trace;
        self.happened.add(&other.happened);
    }
}
