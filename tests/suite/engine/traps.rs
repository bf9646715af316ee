//! Law 9: a trap costs a fresh instance and nothing else. The guest here is the linked one behind
//! a wrapper that traps by script, with or without a progress word that names a projection.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{
    Guest, Linked, MemoryStore, Partition, Spawn, Store, StoreError, Trap, Write,
};
use foldlog_core::guest;
use foldlog_core::protocol::{Answer, Op, Query};
use foldlog_core::registry::Registry;
use serde_json::Value;

use super::kit::{
    self, Clock, NEW_YEAR_MS, Setup, assert_rows_are_the_fold, deposit, done, get, open_account,
    request,
};

/// When to trap: at a call of one of these operations whose message holds the needle.
#[derive(Debug)]
struct Plan {
    operations: &'static [Op],
    needle: &'static str,
    /// Index of the projection that the progress word names, and the position.
    projection: Option<(u64, u64)>,
    /// How often it still does; a projection that is left out does not trap again.
    left: u32,
    spawned: u32,
}

type Shared = Rc<RefCell<Plan>>;

struct Trapping(Linked, Shared);

struct Instance(guest::Guest, Shared, bool);

impl Spawn for Trapping {
    type Guest = Instance;
    fn spawn(&mut self) -> Result<Instance, Trap> {
        self.1.borrow_mut().spawned += 1;
        Ok(Instance(self.0.spawn()?, self.1.clone(), false))
    }
    fn digest(&self) -> [u8; 32] {
        self.0.digest()
    }
}

impl Guest for Instance {
    fn call(&mut self, op: Op, message: &[u8]) -> Result<Vec<u8>, Trap> {
        assert!(!self.2, "an instance that trapped is called again");
        let mut plan = self.1.borrow_mut();
        let needle = plan.needle.as_bytes();
        let due = plan.left > 0
            && plan.operations.contains(&op)
            && message.windows(needle.len()).any(|window| window == needle);
        if due {
            plan.left -= 1;
            self.2 = true;
            let progress =
                plan.projection.map_or(0, |(index, position)| 1 << 56 | index << 40 | position);
            return Err(Trap { detail: "by script".into(), progress });
        }
        Guest::call(&mut self.0, op, message)
    }
}

type Bank<T> = Partition<Trapping, T, Clock>;

fn bank<T: Store>(setup: &Setup, store: T, clock: Clock, plan: &Shared) -> Bank<T> {
    let spawn = Trapping(Linked(Registry::standard), plan.clone());
    Partition::new(spawn, store, clock, setup.config())
}

fn plan(
    operations: &'static [Op],
    needle: &'static str,
    projection: Option<(u64, u64)>,
    left: u32,
) -> Shared {
    Rc::new(RefCell::new(Plan { operations, needle, projection, left, spawned: 0 }))
}

#[test]
fn batch_mates_of_a_trapping_request_are_answered_with_their_own_stamps() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    for trapping in [vec![0], vec![2], vec![4], vec![1, 2], vec![0, 2, 4], vec![0, 1, 2, 3, 4]] {
        let plan = plan(&[Op::Stage], "boom", None, u32::MAX);
        let clock = Clock { step: 1_000, ..Clock::at(NEW_YEAR_MS) };
        let mut bank = bank(&setup, MemoryStore::default(), clock, &plan);
        let id = |n| if trapping.contains(&n) { format!("boom-{n}") } else { format!("acc-{n}") };
        let replies = bank.run((0..5).map(|n| open_account(&id(n), n as u64)).collect());
        for (n, reply) in replies.iter().enumerate() {
            let expected = if trapping.contains(&n) { 500 } else { 201 };
            assert_eq!(kit::shown(reply).0, expected, "{trapping:?}: request {n}");
        }
        // Readings of the clock follow the inputs: nobody was stamped twice.
        let stored: Vec<(Value, Value)> = kit::lines(bank.store())
            .iter()
            .skip(1)
            .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON"))
            .map(|line| (line["events"][0]["stream"].clone(), line["time"].clone()))
            .collect();
        let expected: Vec<(Value, Value)> = (0..5)
            .filter(|n| !trapping.contains(n))
            .map(|n| {
                let stream = format!("BankAccount:acc-{n}");
                (stream.into(), format!("2026-01-01T00:00:0{n}.000Z").into())
            })
            .collect();
        assert_eq!(stored, expected, "{trapping:?}");
        assert_eq!(bank.take_failures().len(), trapping.len(), "each trap is reported once");
        assert_eq!(plan.borrow().spawned as usize, 1 + trapping.len(), "one instance per trap");
        bank.checkpoint().expect("a checkpoint is stored");
        assert_rows_are_the_fold(bank.store(), &setup, &format!("{trapping:?}"));
    }
}

#[test]
fn a_trap_in_a_read_costs_that_read() {
    let setup = Setup::default();
    let plan = plan(&[Op::Stage, Op::Supply], "boom", None, u32::MAX);
    let mut bank = bank(&setup, MemoryStore::default(), Clock::at(0), &plan);
    let requests = vec![
        open_account("a", 1),
        get("/queries/account/boom"),
        deposit("a", 2),
        get("/queries/account/a"),
    ];
    let statuses: Vec<u16> = bank.run(requests).iter().map(|r| r.response.status).collect();
    assert_eq!(statuses, [201, 500, 200, 200]);
    let (_, body) = kit::run(&mut bank, get("/queries/account/a"));
    assert!(body.contains("\"balance\":3"), "{body}");
}

fn state<T: Store>(bank: &mut Bank<T>, projection: &str) -> (String, u64) {
    let body = kit::run(bank, get(&format!("/projections/{projection}?limit=1"))).1;
    let value: Value = serde_json::from_str(&body).expect("an answer is JSON");
    let position = value["lastProcessedVersion"].as_u64().unwrap_or(u64::MAX);
    (value["state"].as_str().unwrap_or("none").into(), position)
}

#[test]
fn a_projection_that_traps_is_quarantined_and_nobody_gets_500() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    // TransactionHistory traps on the fourth event.
    let operations = &[Op::Stage, Op::Fold];
    let plan = plan(operations, "\"accountId\":\"a\",\"amount\":4", Some((1, 4)), 1);
    let clock = Clock { step: 1_000, ..Clock::at(NEW_YEAR_MS) };
    let mut bank = bank(&setup, MemoryStore::default(), clock, &plan);
    let mut requests = vec![open_account("a", 1)];
    requests.extend((2..7).map(|amount| deposit("a", amount)));
    for reply in bank.run(requests) {
        assert!(reply.response.status < 300, "{:?}", kit::shown(&reply));
    }
    assert_eq!(state(&mut bank, "TransactionHistory"), ("faulted".into(), 3));
    assert_eq!(state(&mut bank, "AccountBalances"), ("live".into(), 6));
    let times: Vec<Value> = kit::lines(bank.store())
        .iter()
        .skip(1)
        .map(|line| serde_json::from_str::<Value>(line).expect("a line is JSON")["time"].clone())
        .collect();
    let expected: Vec<Value> =
        (0..6).map(|n| format!("2026-01-01T00:00:0{n}.000Z").into()).collect();
    assert_eq!(times, expected, "staged again with the same stamps");
    bank.checkpoint().expect("a checkpoint is stored");
    done(&mut bank, deposit("a", 7));
    assert_eq!(state(&mut bank, "TransactionHistory"), ("faulted".into(), 3));

    // Another process: from the checkpoint nothing traps, the reason is in the rows.
    let store = bank.store().clone();
    let mut again = self::bank(&setup, store.clone(), Clock::at(NEW_YEAR_MS), &plan);
    assert_eq!(state(&mut again, "TransactionHistory"), ("faulted".into(), 3));
    let body = kit::run(&mut again, get("/projections/TransactionHistory")).1;
    assert!(body.contains("trapped: by script"), "{body}");

    // From the log alone it traps again, while opening, and is left out again.
    let mut bare = store.clone();
    bare.erase_rows().expect("erases");
    plan.borrow_mut().left = 1;
    let mut again = self::bank(&setup, bare, Clock::at(NEW_YEAR_MS), &plan);
    assert_eq!(state(&mut again, "TransactionHistory"), ("faulted".into(), 3));
    assert_eq!(plan.borrow().left, 0, "it trapped while the log was folded");
    again.checkpoint().expect("a checkpoint is stored");
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_same_rows(bank.store(), again.store(), "quarantined twice");
}

/// A memory store whose nth write finds no room.
struct FullOnce(MemoryStore, u32);

impl Store for FullOnce {
    fn tail(&mut self) -> Result<foldlog_core::driver::Tail, StoreError> {
        self.0.tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.0.read(queries)
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.1 = self.1.wrapping_sub(1);
        if self.1 == 0 { Err(StoreError::Full) } else { self.0.write(write) }
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.0.erase_rows()
    }
}

/// Symptom: a projection stops at an event that it never trapped on. Cause: the event it trapped
/// on was never stored, but the quarantine at its position is remembered.
#[test]
fn a_quarantine_ends_with_the_commit_that_was_never_stored() {
    let setup = Setup::default();
    let plan = plan(&[Op::Stage], "\"amount\":4", Some((1, 2)), 1);
    let mut bank = bank(&setup, FullOnce(MemoryStore::default(), 2), Clock::at(0), &plan);
    done(&mut bank, open_account("a", 1));
    assert_eq!(kit::run(&mut bank, deposit("a", 4)).0, 507);
    done(&mut bank, deposit("a", 5));
    assert_eq!(state(&mut bank, "TransactionHistory"), ("live".into(), 2));
}

/// Symptom: `POST /test/wake` advances the clock twice. Cause: a batch that is staged again after
/// a trap handles it again.
#[test]
fn waking_in_a_batch_that_is_staged_again_advances_once() {
    let setup = Setup::default();
    let plan = plan(&[Op::Stage], "boom", None, u32::MAX);
    let mut bank = bank(&setup, MemoryStore::default(), Clock::at(0), &plan);
    let wake = request("POST", "/test/wake", r#"{"advanceMs":60000}"#, &[]);
    bank.run(vec![wake, open_account("boom", 1), open_account("a", 1)]);
    let line = kit::lines(bank.store()).pop().unwrap_or_default();
    assert!(line.contains("\"time\":\"2026-01-01T00:01:01.000Z\""), "{line}");
}
