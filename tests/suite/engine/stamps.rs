//! Law 6: same inputs, same bytes; and recorded time never goes back, whatever the clock does.

use foldlog_core::driver::MemoryStore;
use foldlog_core::protocol::Response;
use foldlog_core::time::Time;

use super::kit::{
    self, Clock, DAY_MS, NEW_YEAR_MS, Random, Setup, assert_rows_are_the_fold, close, deposit, get,
    keyed, open_account, seed, withdraw,
};

type Transcript = Vec<Response>;

/// Random commands and reads in random batches; every byte that leaves or is stored.
fn play(setup: &Setup, seed: u64) -> (Transcript, MemoryStore) {
    let mut random = Random::new(seed);
    let clock = Clock { step: 17, ..Clock::at(NEW_YEAR_MS) };
    let mut bank = setup.open_at(MemoryStore::default(), clock);
    let mut transcript = Transcript::new();
    for batch in 0..150 {
        let requests = (0..random.below(5) + 1).map(|n| {
            let id = format!("acc-{}", random.below(40));
            match random.below(9) {
                0..=1 => open_account(&id, random.below(100)),
                2..=3 => deposit(&id, random.below(100) + 1),
                4 => keyed(withdraw(&id, random.below(100) + 1), &format!("key-{batch}-{n}")),
                5 => close(&id),
                6 => get(&format!("/queries/account/{id}")),
                7 => get("/stats"),
                _ => get("/projections/AccountBalances?limit=5"),
            }
        });
        transcript.extend(bank.run(requests.collect()).into_iter().map(|reply| reply.response));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    (transcript, bank.store().clone())
}

#[test]
fn the_same_inputs_give_the_same_bytes() {
    let seed = seed(6);
    for test_stamps in [true, false] {
        let setup = Setup { test_stamps, ..Setup::default() };
        let (first, second) = (play(&setup, seed), play(&setup, seed));
        assert_eq!(first.0, second.0, "answers");
        assert_eq!(first.1, second.1, "log, rows and checkpoint");
        let small = Setup { row_cache_max: 32 << 10, tail_events_max: 9, ..setup };
        let third = play(&small, seed);
        let apart = |transcript: &Transcript| -> Vec<_> {
            transcript.iter().map(|answer| (answer.status, answer.body.clone())).collect()
        };
        assert_eq!(apart(&first.0), apart(&third.0), "answers with a small cache");
        assert_eq!(kit::lines(&first.1), kit::lines(&third.1), "the log with a small cache");
    }
}

#[test]
fn recorded_time_never_goes_back() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    let years_ms = |years: u64| years * 365 * DAY_MS;
    let mut highest = 0;
    let mut expected = Vec::new();
    let seconds = [0, 1_000, 500, 0, 2_000, 1_999];
    let years = [years_ms(1), 0, years_ms(10), 1, years_ms(10) + 1];
    for (n, ms) in seconds.into_iter().chain(years).enumerate() {
        // From ten years before to as much after.
        let now = NEW_YEAR_MS - years_ms(5) + ms;
        clock.now.set(now);
        kit::done(&mut bank, open_account(&format!("acc-{n}"), 1));
        highest = highest.max(now);
        expected.push((Time(highest).to_iso(), (now < highest).then(|| Time(now).to_iso())));
    }
    let lines = kit::lines(bank.store());
    for (line, (time, clock)) in lines[1..].iter().zip(&expected) {
        let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
        assert_eq!(value["time"].as_str(), Some(time.as_str()), "{line}");
        assert_eq!(value["clock"].as_str(), clock.as_deref(), "the raw clock, when it differs");
    }
    bank.checkpoint().expect("a checkpoint is stored");
    assert_rows_are_the_fold(bank.store(), &setup, "with a clock going back");
}
