//! The rejection journal: a bounded ring of commands that were refused, beside the log.
//!
//! Symptom to look for: a refused command in the log or in the digest, a ring that grows, an entry of
//! a payload that was not to be kept, a refusal that costs a transaction of its own.

use foldlog_core::driver::{
    Config, Linked, MemoryStore, Partition, Store, StoreError, Tail, Write,
};
use foldlog_core::engine::rejected::{RING, view};
use foldlog_core::protocol::{Answer, Query, RowKey};
use serde_json::Value;

use super::kit::{
    Bank, Clock, NEW_YEAR_MS, OwnedRequest, Setup, deposit, get, open_account, request,
};

const ROOM: u64 = 16 << 10;

fn bank(store: MemoryStore, setup: &Setup, rejected_bytes_max: u64) -> Bank<MemoryStore> {
    bank_at(store, setup, rejected_bytes_max, Clock::at(NEW_YEAR_MS))
}

fn bank_at(store: MemoryStore, setup: &Setup, room: u64, clock: Clock) -> Bank<MemoryStore> {
    let config = Config { rejected_bytes_max: room, ..setup.config() };
    Partition::new(Linked(setup.registry), store, clock, config)
}

fn status<T: Store>(bank: &mut Bank<T>, request: OwnedRequest) -> u16 {
    bank.run(vec![request]).remove(0).response.status
}

fn kept(bank: &mut Bank<MemoryStore>) -> Vec<Value> {
    let mut all = Vec::new();
    loop {
        let after = all.last().map(|last: &Value| format!("&after={}", last["n"]));
        let target = format!("/log/rejected?limit=1000{}", after.unwrap_or_default());
        let reply = bank.run(vec![get(&target)]).remove(0);
        assert_eq!(reply.response.status, 200);
        let page: Vec<Value> = serde_json::from_slice(&reply.response.body).expect("a list");
        if page.is_empty() {
            return all;
        }
        all.extend(page);
    }
}

/// A withdrawal that the balance does not cover, with a body of about so many bytes.
fn too_much(n: u64, padding: usize) -> OwnedRequest {
    let id = "x".repeat(100);
    let padding = " ".repeat(padding);
    let body =
        format!(r#"{{"accountId":"a","amount":{},{padding}"withdrawalId":"{id}"}}"#, 1_000 + n);
    // The withdrawal's id is no field: refused for that as well as for the amount.
    request("POST", "/commands/withdraw", &body, &[])
}

#[test]
fn nothing_is_kept_unless_it_is_given_room() {
    let mut bank = bank(MemoryStore::default(), &Setup::default(), 0);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    assert_eq!(status(&mut bank, too_much(0, 0)), 400);
    assert_eq!(kept(&mut bank), Vec::<Value>::new());
    assert!(!bank.store().rows.contains_key(&view()), "no row of it");
    // Nor where the log is not to keep payloads.
    let setup = Setup { record_commands: false, ..Setup::default() };
    let mut bank = self::bank(MemoryStore::default(), &setup, ROOM);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    assert_eq!(status(&mut bank, too_much(0, 0)), 400);
    assert_eq!(kept(&mut bank), Vec::<Value>::new());
}

#[test]
fn the_ring_keeps_the_newest_in_its_room_and_goes_on_after_a_restart() {
    let setup = Setup::default();
    let mut bank = bank(MemoryStore::default(), &setup, ROOM);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    for n in 0..200 {
        assert_eq!(status(&mut bank, too_much(n, 0)), 400);
        let rows = &bank.store().rows[&view()];
        let bytes: usize = rows.values().map(Vec::len).sum();
        assert!(bytes as u64 <= ROOM + 64, "{bytes} bytes after {n}");
    }
    let entries = kept(&mut bank);
    let numbers: Vec<u64> = entries.iter().filter_map(|one| one["n"].as_u64()).collect();
    let first = numbers[0];
    assert!(first > 100 && numbers.len() > 20, "{numbers:?}");
    assert_eq!(numbers, (first..=200).collect::<Vec<_>>(), "the newest, in order");
    let body = entries.last().expect("one")["body"].as_str().expect("a text");
    assert!(body.contains("\"amount\":1199"), "{body}");
    // A checkpoint leaves them alone, and so does the next process.
    bank.checkpoint().expect("stores");
    let mut again = self::bank(bank.store().clone(), &setup, ROOM);
    assert_eq!(status(&mut again, too_much(200, 0)), 400);
    let numbers: Vec<u64> = kept(&mut again).iter().filter_map(|one| one["n"].as_u64()).collect();
    assert_eq!(numbers.last(), Some(&201));
    // With less room the oldest go, without any being refused.
    let mut less = self::bank(again.store().clone(), &setup, ROOM / 4);
    assert_eq!(status(&mut less, get("/health")), 200);
    assert_eq!(less.work_due(), None, "with test stamps it is done with the first answer");
    let fewer: Vec<u64> = kept(&mut less).iter().filter_map(|one| one["n"].as_u64()).collect();
    assert!(fewer.len() < numbers.len() / 2 && fewer.last() == Some(&201), "{fewer:?}");
    // Without any room all of it goes; so it does where payloads are not kept any more.
    for (setup, room) in
        [(setup.clone(), 0), (Setup { record_commands: false, ..setup.clone() }, ROOM)]
    {
        let mut none = self::bank(less.store().clone(), &setup, room);
        assert_eq!(status(&mut none, get("/health")), 200);
        assert_eq!(kept(&mut none), Vec::<Value>::new());
        assert!(none.store().rows.get(&view()).is_none_or(|rows| rows.is_empty()));
        assert_eq!(none.work_due(), None);
    }
    // Their loss costs nothing.
    less.store().erase_rows().expect("erases");
    less.reset();
    assert_eq!(status(&mut less, deposit("a", 1)), 200);
    assert_eq!(status(&mut less, too_much(202, 0)), 400);
    assert_eq!(kept(&mut less).len(), 1);
}

#[test]
fn what_is_too_long_is_not_kept() {
    let mut bank = bank(MemoryStore::default(), &Setup::default(), 1 << 20);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    assert_eq!(status(&mut bank, too_much(0, 40 << 10)), 400);
    assert_eq!(status(&mut bank, too_much(1, 20 << 10)), 400);
    let bodies: Vec<usize> =
        kept(&mut bank).iter().filter_map(|one| Some(one["body"].as_str()?.len())).collect();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
    // A page ends before it grows too long, and a link leads on.
    for n in 0..60 {
        assert_eq!(status(&mut bank, too_much(n, 30 << 10)), 400);
    }
    assert!(kept(&mut bank).len() > 20);
}

/// Refusals of a burst share a transaction, at most a second later.
#[test]
fn a_refusal_costs_no_transaction_of_its_own() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let clock = Clock::at(NEW_YEAR_MS);
    let now = clock.now.clone();
    let mut bank = bank_at(MemoryStore::default(), &setup, ROOM, clock);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    for n in 0..10 {
        assert_eq!(status(&mut bank, too_much(n, 0)), 400);
    }
    assert!(!bank.store().rows.contains_key(&view()), "not yet");
    assert_eq!(bank.work_due(), Some(1_000_000));
    now.set(now.get() + 1_000);
    assert_eq!(bank.work_due(), Some(0));
    bank.work();
    assert_eq!(kept(&mut bank).len(), 10);
    assert_eq!(bank.work_due(), None);
    // What an earlier host left is dropped without waiting, and in no more than it takes.
    let less = Config { rejected_bytes_max: 0, ..setup.config() };
    let mut less =
        Partition::new(Linked(setup.registry), bank.store().clone(), Clock::at(NEW_YEAR_MS), less);
    assert_eq!(status(&mut less, get("/health")), 200);
    assert_eq!(less.work_due(), Some(0));
    less.work();
    assert_eq!((less.work_due(), kept(&mut less).len()), (None, 0));
    // A host that stops does not wait.
    assert_eq!(status(&mut bank, too_much(10, 0)), 400);
    bank.save_rejected();
    assert_eq!(kept(&mut bank).len(), 11);
    // Another owner's journal is not written to.
    let held = Config { incarnation: [7; 16], rejected_bytes_max: ROOM, ..setup.config() };
    let mut held =
        Partition::new(Linked(setup.registry), bank.store().clone(), Clock::at(NEW_YEAR_MS), held);
    assert_eq!(status(&mut held, deposit("a", 1)), 409);
    assert_eq!(status(&mut held, too_much(11, 0)), 400);
    held.save_rejected();
    assert_eq!(kept(&mut held).len(), 11);
}

/// What waits to be stored is bounded too; of a burst the newest are kept, and numbers tell of the gap.
#[test]
fn of_a_burst_the_newest_are_kept() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let mut bank = bank(MemoryStore::default(), &setup, ROOM);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    let replies = bank.run((0..100).map(|n| too_much(n, 0)).collect());
    assert!(replies.iter().all(|reply| reply.response.status == 400));
    assert_eq!(bank.work_due(), Some(0), "there is no room to wait");
    bank.work();
    let entries = kept(&mut bank);
    let numbers: Vec<u64> = entries.iter().filter_map(|one| one["n"].as_u64()).collect();
    assert!(numbers.len() > 20 && numbers.len() < 80, "{numbers:?}");
    assert_eq!(numbers, (101 - numbers.len() as u64..=100).collect::<Vec<_>>());
    let body = entries.last().expect("one")["body"].as_str().expect("a text");
    assert!(body.contains("\"amount\":1099"), "{body}");
}

/// Neither what a log that is held refuses, nor what is no decider's.
#[test]
fn only_refused_commands_are_kept() {
    let mut bank = bank(MemoryStore::default(), &Setup::default(), ROOM);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    for (target, body) in [
        ("/consumers/register", r#"{"callback":"http://a.example/?token=SECRET","secret":"x"}"#),
        ("/x/../consumers/register", r#"{"callback":"ftp://SECRET"}"#),
        ("/effects/9-0-00000000000000000000000000000000/retry", "{}"),
        ("/projections/rebuild", r#"{"name":"none"}"#),
        ("/snapshots/account/none", "{}"),
        ("/commands/none", "{}"),
        ("/commands/deposit", r#"{"accountId":"#),
    ] {
        let refused = status(&mut bank, request("POST", target, body, &[]));
        assert!((400..500).contains(&refused), "{target}: {refused}");
    }
    assert_eq!(status(&mut bank, request("DELETE", "/consumers/none", "", &[])), 404);
    assert_eq!(kept(&mut bank), Vec::<Value>::new());
    // What may be known to a decider alone is.
    let unknown = r#"[{"topic":"none","type":"t","payload":{}}]"#;
    assert_eq!(status(&mut bank, request("POST", "/events", unknown, &[])), 404);
    assert_eq!(kept(&mut bank).len(), 1);
}

/// A row of the ring that lost its bytes is no reason to fold the others anew.
#[test]
fn a_damaged_ring_is_begun_anew() {
    let setup = Setup::default();
    let mut bank = bank(MemoryStore::default(), &setup, ROOM);
    assert_eq!(status(&mut bank, open_account("a", 100)), 201);
    assert_eq!(status(&mut bank, too_much(0, 0)), 400);
    bank.checkpoint().expect("stores");
    let store = Damaged { store: bank.store().clone(), erased: 0 };
    let config = Config { rejected_bytes_max: ROOM, ..setup.config() };
    let mut bank = Partition::new(Linked(setup.registry), store, Clock::at(NEW_YEAR_MS), config);
    assert_eq!(status(&mut bank, too_much(1, 0)), 400);
    assert_eq!(status(&mut bank, too_much(2, 0)), 400);
    assert_eq!(bank.take_failures(), Vec::<String>::new());
    assert_eq!(bank.store().erased, 1, "the ring's rows, once");
    assert!(bank.store().store.rows[&view()].len() > 2, "it goes on");
}

/// A store in which the row that tells where the ring stands can not be read until it is deleted.
struct Damaged {
    store: MemoryStore,
    erased: u32,
}

impl Store for Damaged {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.store.tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let key = RowKey { view: view(), key: RING.to_vec() };
        if self.erased == 0 && queries.contains(&Query::Row(key.clone())) {
            return Err(StoreError::CorruptRow { view: key.view.name, key: "00".into() });
        }
        self.store.read(queries)
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.erased += u32::from(write.dropped.contains(&view()));
        self.store.write(write)
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        panic!("all rows are folded anew")
    }
}

/// Deleting the view changes no row that counts, and no answer.
#[test]
fn it_is_no_part_of_what_the_log_says() {
    let setup = Setup::default();
    let (mut with, mut without) =
        (bank(MemoryStore::default(), &setup, ROOM), bank(MemoryStore::default(), &setup, 0));
    for bank in [&mut with, &mut without] {
        assert_eq!(status(bank, open_account("a", 100)), 201);
        assert_eq!(status(bank, too_much(0, 0)), 400);
        assert_eq!(status(bank, deposit("a", 5)), 200);
        bank.checkpoint().expect("stores");
    }
    let (mut with, without) = (with.store().clone(), without.store().clone());
    assert_eq!(with.log, without.log);
    assert!(with.rows.remove(&view()).is_some_and(|rows| rows.len() == 2));
    let (mut rows, mut others) = (with.rows.clone(), without.rows.clone());
    for all in [&mut rows, &mut others] {
        all.retain(|_, rows| !rows.is_empty());
    }
    assert_eq!(rows, others);
}
