//! Modules that come and go by chance, crashes and slices in between: whatever was done, what serves
//! in the end is the fold of the log by the module that serves it, and no line ever changed.

use foldlog_core::driver::MemoryStore;

use super::super::kit::{self, Clock, NEW_YEAR_MS, Random, Setup, seed};
use super::tills;
use super::*;

const MODULES: [fn() -> Registry; 3] = [tills::first, tills::second, tills::three::registry];

/// One history: how often a module was changed.
fn play(number: u64) -> u64 {
    let mut random = Random::new(number);
    let clock = Clock { step: 1, ..Clock::at(NEW_YEAR_MS) };
    let row_cache_max = [64 << 20, 16 << 10][random.below(2) as usize];
    let tail_events_max = [u64::MAX, 7][random.below(2) as usize];
    // The settings change too: when snapshots are taken is told by the log.
    let setup = |module: usize, snapshot_every: u64| Setup {
        registry: MODULES[module],
        test_stamps: false,
        row_cache_max,
        tail_events_max,
        snapshot_every: [None, Some(3), Some(0)][snapshot_every as usize],
        ..Setup::default()
    };
    let (mut module, mut changes) = (0, 0);
    let mut bank = setup(module, 0).open_at(MemoryStore::default(), clock.clone());
    let mut log: Vec<String> = Vec::new();
    for step in 0..60 {
        let id = ["a", "b", "c", "d"][random.below(4) as usize];
        let amount = [1, 2, 3, 666][random.below(4) as usize];
        match random.below(12) {
            0 => drop(bank.checkpoint()),
            1 | 2 => bank.work(),
            3 => clock.now.set(clock.now.get() + HOUR_MS),
            4 => {
                let setup = setup(module, random.below(3));
                bank = setup.open_at(bank.store().clone(), clock.clone());
            }
            5 => {
                module = random.below(3) as usize;
                changes += 1;
                let setup = setup(module, random.below(3));
                bank = setup.open_at(bank.store().clone(), clock.clone());
            }
            6 if module > 0 => {
                // Two events of one stream, or one each of two.
                let from = ["a", "b", "c", "d"][random.below(4) as usize];
                let body = format!(r#"{{"tillId":"{id}","amount":{amount},"from":"{from}"}}"#);
                drop(kit::run(&mut bank, request("POST", "/commands/refund", &body, &[])));
            }
            7 => drop(kit::run(&mut bank, get(&format!("/queries/till/{id}")))),
            8 => drop(kit::run(
                &mut bank,
                request("POST", &format!("/snapshots/till/{id}"), "{}", &[]),
            )),
            _ => {
                let name = if module == 0 { "sum" } else { "amount" };
                let batch = (0..=random.below(3)).map(|n| ring(id, name, amount + n)).collect();
                for reply in bank.run(batch) {
                    let (status, body) = kit::shown(&reply);
                    assert!(matches!(status, 200 | 201 | 409), "seed {number}: {body}");
                }
            }
        }
        assert_eq!(bank.take_failures(), Vec::<String>::new(), "seed {number}, step {step}");
        let now = kit::lines(bank.store());
        assert_eq!(now.get(..log.len()), Some(log.as_slice()), "seed {number}, step {step}");
        log = now;
    }
    let context = format!("seed {number}, module {module}, {changes} changes");
    ended(bank, &setup(module, 0), &clock, &context);
    changes
}

/// What serves is the fold, and answers as one that never saw another module.
fn ended(mut bank: Bank<MemoryStore>, setup: &Setup, clock: &Clock, context: &str) {
    build(&mut bank);
    assert_folded(&mut bank, setup.registry, context);
    let bare = kit::folded_again(bank.store(), setup);
    let mut fresh = setup.open_at(bare, clock.clone());
    for id in ["a", "b", "c", "d"] {
        for target in [format!("/queries/till/{id}"), format!("/queries/till/{id}?atVersion=3")] {
            assert_eq!(told(&mut bank, &target), told(&mut fresh, &target), "{context}: {target}");
        }
    }
    assert_eq!(takings(&mut bank), takings(&mut fresh), "{context}");
}

#[test]
fn whatever_modules_come_and_go() {
    let first = seed(11);
    let changes: u64 = (first..first + 400).map(play).sum();
    assert!(changes > 1_000, "{changes} changes");
}
