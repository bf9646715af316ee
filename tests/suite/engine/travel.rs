//! Time travel and snapshots: a state as of any version or time is the fold of the records up to
//! it, with snapshots and without, from memory and from the store; and the right ones are kept.

use foldlog_core::driver::{MemoryStore, Store};
use serde_json::Value;

use super::counting::Counting;
use super::kit::{self, Bank, Random, Setup, deposit, done, get, open_account, seed, withdraw};

fn json(body: &str) -> Value {
    serde_json::from_str(body).unwrap_or_else(|e| panic!("{e}: {body}"))
}

/// Fills a bank with random moves; returns what each account showed at each of its versions.
fn history<T: Store>(bank: &mut Bank<T>, random: &mut Random, moves: u64) -> Vec<Vec<Value>> {
    let mut shown: Vec<Vec<Value>> = vec![Vec::new(); 3];
    for n in 0..moves {
        let account = random.below(3) as usize;
        let id = format!("acc-{account}");
        let request = match (shown[account].is_empty(), random.below(2)) {
            (true, _) => open_account(&id, 1_000_000),
            (false, 0) => deposit(&id, n + 1),
            (false, _) => withdraw(&id, 1),
        };
        done(bank, request);
        shown[account].push(json(&done(bank, get(&format!("/queries/account/{id}")))));
        if random.below(40) == 0 {
            bank.checkpoint().expect("a checkpoint is stored");
        }
    }
    shown
}

#[test]
fn a_state_as_of_any_version_is_what_was_shown_then() {
    let mut random = Random::new(seed(21));
    for every in [None, Some(0), Some(1), Some(7), Some(64)] {
        let setup = Setup { snapshot_every: every, row_cache_max: 64 << 10, ..Setup::default() };
        let mut bank = setup.open(MemoryStore::default());
        let shown = history(&mut bank, &mut random, 500);
        // As it is, with nothing in memory, and with rows deleted and folded again.
        let reopened = setup.open(bank.store().clone());
        let refolded = setup.open(kit::folded_again(bank.store(), &setup));
        for (name, mut bank) in [("live", bank), ("reopened", reopened), ("refolded", refolded)] {
            for (account, states) in shown.iter().enumerate() {
                for (state, version) in states.iter().zip(1..) {
                    let target = format!("/queries/account/acc-{account}?atVersion={version}");
                    let found = json(&done(&mut bank, get(&target)));
                    assert_eq!(found, *state, "{name}, {every:?}: {target}");
                }
                let target =
                    format!("/queries/account/acc-{account}?atVersion={}", states.len() + 1);
                assert_eq!(kit::run(&mut bank, get(&target)).0, 404, "{target}");
            }
        }
    }
}

#[test]
fn a_state_as_of_any_time_is_that_of_the_last_version_by_then() {
    let mut random = Random::new(seed(22));
    let mut bank = Setup::default().open(MemoryStore::default());
    let shown = history(&mut bank, &mut random, 120);
    let events = json(&done(&mut bank, get("/events/stream?limit=1000")));
    for (n, event) in events.as_array().expect("a list").iter().enumerate() {
        let time = event["metadata"]["timestamp"].as_str().expect("a time");
        for (account, states) in shown.iter().enumerate() {
            let id = format!("acc-{account}");
            let by_then = events.as_array().expect("a list").iter().take(n + 1);
            let version = by_then.filter(|event| event["aggregateId"] == *id).count();
            let target = format!("/queries/account/{id}?atTime={time}");
            let (status, body) = kit::run(&mut bank, get(&target));
            match version {
                0 => assert_eq!(status, 404, "{target}"),
                _ => assert_eq!(json(&body), states[version - 1], "{target}"),
            }
        }
    }
}

/// A stream longer than one page, one stage's bytes and the row cache, without any snapshot.
#[test]
fn a_long_stream_without_snapshots_is_folded_page_by_page() {
    let setup = Setup { snapshot_every: Some(0), row_cache_max: 16 << 10, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 0));
    for _ in 0..200 {
        let batch = (0..100).map(|_| deposit("a", 1)).collect();
        assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
    }
    let mut bank = setup.open(bank.store().clone());
    for version in [1, 2, 128, 129, 10_000, 20_000] {
        let body = done(&mut bank, get(&format!("/queries/account/a?atVersion={version}")));
        let state = json(&body);
        assert_eq!(state["balance"], version - 1, "{version}");
        assert_eq!(
            state["transactions"].as_array().map_or(0, Vec::len) as u64,
            (version - 1).min(100)
        );
    }
}

/// However long the stream: what leads from the nearest snapshot to the version, and what is shown.
#[test]
fn no_more_is_read_than_leads_to_a_version() {
    let setup = Setup::default();
    let mut bank = setup.open(Counting::default());
    done(&mut bank, open_account("a", 0));
    for _ in 0..100 {
        let batch = (0..100).map(|_| deposit("a", 1)).collect();
        assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let stored = bank.store().store.clone();
    for (version, lines_max) in [(1, 2), (2, 4), (5_000, 110), (9_999, 230)] {
        let mut bank = setup.open(Counting { store: stored.clone(), ..Counting::default() });
        done(&mut bank, get("/log/head"));
        let (rounds, lines) = (bank.store().rounds, bank.store().lines);
        done(&mut bank, get(&format!("/queries/account/a?atVersion={version}")));
        let (rounds, lines) = (bank.store().rounds - rounds, bank.store().lines - lines);
        assert!(rounds <= 8, "version {version}: {rounds} rounds");
        assert!(lines <= lines_max, "version {version}: {lines} lines");
    }
}

#[test]
fn the_newest_three_snapshots_and_each_of_500_events_are_kept() {
    let mut bank = Setup::default().open(MemoryStore::default());
    done(&mut bank, open_account("a", 0));
    let total =
        |bank: &mut Bank<MemoryStore>| json(&done(bank, get("/stats")))["totalSnapshots"].clone();
    for version in 2..=1_100_u64 {
        done(&mut bank, deposit("a", 1));
        if version.is_multiple_of(10) {
            let shown = json(&done(&mut bank, get("/snapshots/account/a")));
            assert_eq!(shown["version"], version);
            assert_eq!(shown["state"]["balance"], version - 1);
        }
        if version.is_multiple_of(250) {
            // Of every 500 one stays; it is among the newest three for a while.
            let newest = (version / 10).min(3);
            let stay = (1..=version / 500).filter(|n| n * 500 + 20 < version).count() as u64;
            assert_eq!(total(&mut bank), newest + stay, "at version {version}");
        }
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let rows: Vec<_> =
        bank.store().rows.iter().filter(|(view, _)| view.name.starts_with("~snapshots:")).collect();
    assert_eq!(rows.len(), 1);
    assert_eq!(rows[0].1.len(), 1 + 2, "one row of the newest, and versions 500 and 1,000");
}

/// Whatever the interval: the first one taken in each block of 500 versions stays, also when the
/// interval changes half-way.
#[test]
fn of_each_500_events_one_snapshot_stays_whatever_the_interval() {
    let kept = |store: &MemoryStore| -> Vec<u64> {
        let all = store.rows.iter().filter(|(view, _)| view.name.starts_with("~snapshots:"));
        let keys = all.flat_map(|(_, rows)| rows.keys()).filter(|key| key.starts_with(b"k"));
        let version = |key: &Vec<u8>| {
            let last = key.last_chunk::<8>().expect("a version");
            !u64::from_be_bytes(*last)
        };
        keys.map(version).collect()
    };
    let fill = |bank: &mut Bank<MemoryStore>, count: u64| {
        for _ in 0..count / 100 {
            let batch = (0..100).map(|_| deposit("a", 1)).collect();
            assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
        }
    };
    for (every, stay) in [(30, vec![1_500, 1_020, 510]), (7, vec![1_505, 1_001, 504])] {
        let setup = Setup { snapshot_every: Some(every), ..Setup::default() };
        let mut bank = setup.open(MemoryStore::default());
        done(&mut bank, open_account("a", 0));
        fill(&mut bank, 1_600);
        bank.checkpoint().expect("a checkpoint is stored");
        assert_eq!(kept(bank.store()), stay, "every {every}");
        let total = json(&done(&mut bank, get("/stats")))["totalSnapshots"].clone();
        assert_eq!(total, 3 + 3, "every {every}");
        kit::assert_rows_are_the_fold(bank.store(), &setup, "after 1,601 events");
    }
    let mut bank =
        Setup { snapshot_every: Some(400), ..Setup::default() }.open(MemoryStore::default());
    done(&mut bank, open_account("a", 0));
    fill(&mut bank, 600);
    let setup = Setup { snapshot_every: Some(30), ..Setup::default() };
    let mut bank = setup.open(bank.store().clone());
    fill(&mut bank, 1_000);
    bank.checkpoint().expect("a checkpoint is stored");
    assert_eq!(kept(bank.store()), [1_500, 1_020, 630]);
    kit::assert_rows_are_the_fold(bank.store(), &setup, "after another interval");
}

/// Each transfer out leaves a release of its hold: no transaction, and in the way of those.
#[test]
fn the_latest_100_transactions_are_shown_whatever_lies_between() {
    let mut bank = Setup::default().open(MemoryStore::default());
    done(&mut bank, open_account("a", 1_000_000));
    done(&mut bank, open_account("b", 0));
    let mut shown = Vec::new();
    for n in 1..=220_u64 {
        let body = format!(
            r#"{{"transferId":"t-{n}","fromAccountId":"a","toAccountId":"b","amount":{n}}}"#
        );
        done(&mut bank, kit::request("POST", "/commands/transfer", &body, &[]));
        let state = json(&done(&mut bank, get("/queries/account/a")));
        let items = state["transactions"].as_array().expect("a list");
        let amounts: Vec<u64> = items.iter().filter_map(|item| item["amount"].as_u64()).collect();
        let latest: Vec<u64> = (1..=n).rev().take(100).collect();
        assert_eq!((amounts, &state["transactionCount"]), (latest, &n.into()));
        shown.push(state);
    }
    let mut bank = Setup { row_cache_max: 16 << 10, ..Setup::default() }.open(bank.store().clone());
    for state in shown.iter().skip(90).step_by(13) {
        let target = format!("/queries/account/a?atVersion={}", state["version"]);
        assert_eq!(json(&done(&mut bank, get(&target))), *state, "{target}");
    }
}

/// Snapshots that lie are found by `verify`; those that can not be read, or were folded by another
/// revision, are not used.
#[test]
fn a_snapshot_that_can_not_be_read_is_not_used() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 5));
    for _ in 0..40 {
        done(&mut bank, deposit("a", 1));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let mut store = bank.store().clone();
    for (_, rows) in store.rows.iter_mut().filter(|(view, _)| view.name.starts_with("~snapshots:"))
    {
        rows.values_mut().for_each(|value| *value = vec![0xff; 9]);
    }
    let mut bank = setup.open(store);
    for version in 1..=41 {
        let body = done(&mut bank, get(&format!("/queries/account/a?atVersion={version}")));
        assert_eq!(json(&body)["balance"], 4 + version);
    }
    assert_eq!(kit::run(&mut bank, get("/snapshots/account/a")).0, 404);
}

/// A store in which a snapshot's balance is another one; `taken` is one taken on request.
fn lying(store: &MemoryStore, version: u64, taken: bool) -> MemoryStore {
    let mut store = store.clone();
    let name = if taken { "~snapshots-taken" } else { "~snapshots:" };
    // Balance, then what follows, as a state is written: 4 more than its version, in one byte.
    let right = [u8::try_from(version + 4).expect("a small balance"), 1];
    let mut lies = 0;
    for (_, rows) in store.rows.iter_mut().filter(|(view, _)| view.name.starts_with(name)) {
        for value in rows.values_mut() {
            let found = value.windows(2).position(|bytes| bytes == right);
            if let Some(at) = found {
                value[at] ^= 8;
                lies += 1;
            }
        }
    }
    assert_eq!(lies, 1, "version {version}");
    store
}

/// A lie whose checksum is right: what is shown is the fold all the same, the snapshot is taken
/// anew, and that is told.
#[test]
fn a_snapshot_that_lies_is_found_out_and_taken_anew() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 5));
    (0..34).for_each(|_| drop(done(&mut bank, deposit("a", 1))));
    assert_eq!(kit::run(&mut bank, kit::request("POST", "/snapshots/account/a", "{}", &[])).0, 201);
    (0..2).for_each(|_| drop(done(&mut bank, deposit("a", 1))));
    bank.checkpoint().expect("a checkpoint is stored");
    let honest = bank.store().clone();
    let rows = |store: &MemoryStore| -> Vec<_> {
        let views = store.rows.iter().filter(|(view, _)| view.name.starts_with("~snap"));
        views.map(|(view, rows)| (view.clone(), rows.clone())).collect()
    };
    for (version, taken) in [(10, false), (20, false), (30, false), (35, true)] {
        let lie = lying(&honest, version, taken);
        for asked in [version, version + 1] {
            let mut bank = setup.open(lie.clone());
            let body = done(&mut bank, get(&format!("/queries/account/a?atVersion={asked}")));
            assert_eq!(json(&body)["balance"], 4 + asked, "{version} at {asked}");
            let health = json(&done(&mut bank, get("/health")));
            assert_eq!(health["snapshotsDiscarded"], 1, "{version} at {asked}: {health}");
            assert_eq!(rows(bank.store()), rows(&honest), "{version} at {asked}");
            let mut again = setup.open(bank.store().clone());
            let health = json(&done(&mut again, get("/health")));
            assert_eq!(health["snapshotsDiscarded"], 1, "it is told until rows are gone");
        }
    }
    // The latest one, shown itself, and asked for again.
    let mut bank = setup.open(lying(&honest, 35, true));
    let shown = json(&done(&mut bank, get("/snapshots/account/a")));
    assert_eq!((&shown["version"], &shown["state"]["balance"]), (&35.into(), &39.into()));
    // Where all is well nothing is told.
    let mut bank = setup.open(honest.clone());
    let body = done(&mut bank, get("/queries/account/a?atVersion=21"));
    assert_eq!(json(&body)["balance"], 25);
    assert!(json(&done(&mut bank, get("/health")))["snapshotsDiscarded"].is_null());
}

/// Stored before they are answered; at most three a stream; gone with the rows, and nothing else is.
#[test]
fn snapshots_on_demand_outlive_the_process_and_not_the_rows() {
    let setup = Setup { snapshot_every: Some(0), ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 5));
    let take = || kit::request("POST", "/snapshots/account/a", "{}", &[]);
    for version in 2..=6 {
        done(&mut bank, deposit("a", 1));
        assert_eq!(kit::run(&mut bank, take()).0, 201);
        assert_eq!(kit::run(&mut bank, take()).0, 200, "there is one of version {version}");
    }
    // The process ends without a checkpoint of its own.
    let mut bank = setup.open(bank.store().clone());
    let shown = json(&done(&mut bank, get("/snapshots/account/a")));
    assert_eq!((&shown["version"], &shown["state"]["balance"]), (&6.into(), &10.into()));
    assert_eq!(json(&done(&mut bank, get("/stats")))["totalSnapshots"], 3);
    let rows = bank.store().rows.iter().filter(|(view, _)| view.name == "~snapshots-taken");
    assert_eq!(rows.map(|(_, rows)| rows.len()).sum::<usize>(), 1);
    let mut bank = setup.open(kit::folded_again(bank.store(), &setup));
    assert_eq!(kit::run(&mut bank, get("/snapshots/account/a")).0, 404);
    assert_eq!(json(&done(&mut bank, get("/stats")))["totalSnapshots"], 0);
    assert_eq!(json(&done(&mut bank, get("/queries/account/a?atVersion=3")))["balance"], 7);
}
