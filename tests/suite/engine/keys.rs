//! Idempotency keys: what they give back, how long they are kept in recorded time, and that
//! dropping them is bounded per commit and part of the fold.

use foldlog_core::driver::{MemoryStore, Store};
use foldlog_core::limits::EXPIRED_KEYS_PER_COMMIT;

use super::kit::{
    self, Bank, Clock, DAY_MS, NEW_YEAR_MS, Setup, assert_rows_are_the_fold, deposit, done, get,
    header, keyed, open_account, withdraw,
};

fn days_apart() -> (Setup, Clock) {
    (Setup { test_stamps: false, ..Setup::default() }, Clock::at(NEW_YEAR_MS))
}

fn balance<T: Store>(bank: &mut Bank<T>, id: &str) -> u64 {
    let body = done(bank, get(&format!("/queries/account/{id}")));
    let value: serde_json::Value = serde_json::from_str(&body).expect("an answer is JSON");
    value["balance"].as_u64().expect("a balance")
}

#[test]
fn a_key_gives_the_first_answer_again_for_seven_days_of_recorded_time() {
    let (setup, clock) = days_apart();
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 100));
    let first = bank.run(vec![keyed(deposit("a", 5), "k")]).remove(0);
    assert_eq!(first.response.status, 200);
    for (ms, replayed) in [(0, true), (7 * DAY_MS - 1, true), (7 * DAY_MS, false)] {
        clock.now.set(NEW_YEAR_MS + ms);
        let reply = bank.run(vec![keyed(deposit("a", 5), "k")]).remove(0);
        assert_eq!(header(&reply, "Idempotency-Replayed").is_some(), replayed, "after {ms} ms");
        assert_eq!(reply.response.body == first.response.body, replayed, "after {ms} ms");
    }
    assert_eq!(balance(&mut bank, "a"), 110, "decided twice: at first, and after seven days");
    // The key is in use again, from now on: the old entry's end is not its end.
    done(&mut bank, deposit("a", 1));
    let reply = bank.run(vec![keyed(withdraw("a", 5), "k")]).remove(0);
    assert_eq!(reply.response.status, 422, "another request under a key in use");
    clock.now.set(NEW_YEAR_MS + 14 * DAY_MS - 1);
    done(&mut bank, deposit("a", 1));
    assert_eq!(bank.run(vec![keyed(withdraw("a", 5), "k")]).remove(0).response.status, 422);
    clock.now.set(NEW_YEAR_MS + 14 * DAY_MS);
    assert_eq!(bank.run(vec![keyed(withdraw("a", 5), "k")]).remove(0).response.status, 200);
    bank.checkpoint().expect("a checkpoint is stored");
    assert_rows_are_the_fold(bank.store(), &setup, "keys used again");
}

#[test]
fn a_rejected_command_leaves_its_key_free() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 1));
    assert_eq!(kit::run(&mut bank, keyed(withdraw("a", 5), "k")).0, 422);
    done(&mut bank, deposit("a", 9));
    done(&mut bank, keyed(withdraw("a", 5), "k"));
    assert_eq!(balance(&mut bank, "a"), 5);
}

#[test]
fn an_answer_is_replayed_byte_for_byte_within_its_batch_later_and_after_opening_again() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    let commands = || vec![keyed(open_account("a", 7), "k1"), keyed(deposit("a", 5), "k2")];
    let mut twice = commands();
    twice.extend(commands());
    twice.push(deposit("a", 1));
    let replies = bank.run(twice);
    let bodies: Vec<_> = replies.iter().map(kit::shown).collect();
    assert_eq!(bodies[..2], bodies[2..4], "within a batch");
    assert_eq!(bodies[0].0, 201);
    for round in ["later", "after opening again", "from the log alone"] {
        let again: Vec<_> = bank.run(commands()).iter().map(kit::shown).collect();
        assert_eq!(again, bodies[..2], "{round}");
        bank.checkpoint().expect("a checkpoint is stored");
        let mut store = bank.store().clone();
        if round != "later" {
            store.erase_rows().expect("erases");
        }
        bank = setup.open(store);
    }
}

/// Idempotency rows of a store: entries and their queue.
fn key_rows(store: &MemoryStore) -> (usize, usize) {
    let rows = store.rows.iter().filter(|(view, _)| view.name == "idempotency");
    let keys: Vec<u8> = rows.flat_map(|(_, rows)| rows.keys().map(|key| key[0])).collect();
    (keys.iter().filter(|k| **k == b'k').count(), keys.iter().filter(|k| **k == b'q').count())
}

#[test]
fn expired_keys_are_dropped_a_bounded_number_per_commit() {
    let (setup, clock) = days_apart();
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 0));
    for n in 0..200 {
        done(&mut bank, keyed(deposit("a", 1), &format!("key-{n}")));
    }
    clock.now.set(NEW_YEAR_MS + 8 * DAY_MS);
    let mut left = 200_usize;
    for _ in 0..5 {
        done(&mut bank, deposit("a", 1));
        bank.checkpoint().expect("a checkpoint is stored");
        left = left.saturating_sub(EXPIRED_KEYS_PER_COMMIT as usize);
        assert_eq!(key_rows(bank.store()), (left, left));
        assert_rows_are_the_fold(bank.store(), &setup, &format!("{left} keys left"));
    }
}

#[test]
fn keys_dropped_while_folding_with_checkpoints_are_dropped_alike() {
    let (setup, clock) = days_apart();
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 0));
    for n in 0..300 {
        done(&mut bank, keyed(deposit("a", 1), &format!("key-{n}")));
    }
    clock.now.set(NEW_YEAR_MS + 8 * DAY_MS);
    for n in 0..4 {
        done(&mut bank, open_account(&format!("after-{n}"), 0));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    // So small that folding stores rows between any two commits.
    for row_cache_max in [64 << 10, 8 << 10, 1 << 10] {
        let setup = Setup { row_cache_max, ..setup.clone() };
        assert_rows_are_the_fold(bank.store(), &setup, &format!("cache of {row_cache_max} bytes"));
    }
}

/// Symptom: a week after a busy hour every command is refused with 422 `limit-exceeded`. Cause:
/// each commit looked for the oldest keys from the start of their queue, through all that were
/// deleted and still in the store, a page of them in each round. Cure: it starts at the oldest.
#[test]
fn many_expired_keys_do_not_stop_commands() {
    let (setup, clock) = days_apart();
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 0));
    for n in 0..10 {
        let batch = (0..600).map(|k| keyed(deposit("a", 1), &format!("{n}-{k}"))).collect();
        assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    // Another process: what it knows of the keys it reads from the store.
    let mut bank = setup.open_at(bank.store().clone(), clock.clone());
    clock.now.set(NEW_YEAR_MS + 8 * DAY_MS);
    for n in 0..150 {
        let (status, body) = kit::run(&mut bank, deposit("a", 1));
        assert_eq!(status, 200, "command {n}: {body}");
    }
    bank.checkpoint().expect("a checkpoint is stored");
    assert_rows_are_the_fold(bank.store(), &setup, "after thousands of keys expired");
}

/// Event ids that are all known: told, in the order of the log, whatever commits they are in.
#[test]
fn known_events_of_many_commits_are_told_together() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    let named = |path: &str, body: &str, ids: &[String]| {
        let ids = ids.iter().map(|id| format!("{id:?}")).collect::<Vec<_>>().join(",");
        let body = format!("{{{body},\"eventIds\":[{ids}]}}");
        kit::request("POST", &format!("/commands/{path}"), &body, &[])
    };
    done(&mut bank, open_account("a", 100));
    done(&mut bank, open_account("b", 0));
    let ids: Vec<String> = (0..200).map(|n| format!("pay-{n:03}")).collect();
    for id in &ids {
        let account = if id.ends_with('7') { "b" } else { "a" };
        let body = format!(r#""accountId":"{account}","amount":1"#);
        done(&mut bank, named("deposit", &body, std::slice::from_ref(id)));
    }
    let swept: Vec<String> = ["out", "closed", "in"].map(String::from).to_vec();
    done(&mut bank, named("close-account", r#""accountId":"a","sweepTo":"b""#, &swept));
    // As it is, and with nothing in memory.
    for mut bank in [setup.open(bank.store().clone()), bank] {
        let all: Vec<String> = ids.iter().rev().chain(&swept).cloned().collect();
        let again = bank.run(vec![named("deposit", r#""accountId":"b","amount":1"#, &all)]);
        let (status, body) = kit::shown(&again[0]);
        assert_eq!(status, 200, "{body}");
        assert_eq!(header(&again[0], "Idempotency-Replayed"), Some("true"));
        let told: serde_json::Value = serde_json::from_str(&body).expect("JSON");
        let events = told["events"].as_array().expect("a list");
        let found: Vec<&str> = events.iter().filter_map(|event| event["id"].as_str()).collect();
        let expected: Vec<&String> = ids.iter().chain(&swept).collect();
        assert_eq!(found, expected);
        assert_eq!((&told["position"], &told["accountId"]), (&205.into(), &"b".into()));
        // One of them is not known: nothing is done, and nothing told.
        let some = [ids[3].clone(), "new".into()];
        let (status, body) =
            kit::run(&mut bank, named("deposit", r#""accountId":"b","amount":1"#, &some));
        assert!(status == 409 && body.contains("pay-003"), "{status} {body}");
        assert_eq!(balance(&mut bank, "b"), 300);
    }
}
