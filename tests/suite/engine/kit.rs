//! What the engine's tests share: a bank over any store, a clock that the test sets, requests.
//!
//! Owns no expectation. Everything here is deterministic: the same calls make the same bytes.

use std::cell::Cell;
use std::rc::Rc;

use foldlog_core::chain::{self, Chain, StoredBlock};
pub use foldlog_core::driver::OwnedRequest;
use foldlog_core::driver::{
    Config, Linked, MemoryStore, OwnedBody, Partition, Reply, Spawn, Store, TestStamps, World,
    test_entropy,
};
use foldlog_core::protocol::OpenSettings;
use foldlog_core::registry::Registry;
use foldlog_core::settings::Secret;
use foldlog_core::time::Time;

/// 2026-01-01T00:00:00.000Z.
pub const NEW_YEAR_MS: u64 = 1_767_225_600_000;
/// A day.
pub const DAY_MS: u64 = 86_400_000;

/// A clock that the test sets, and entropy that counts.
#[derive(Clone, Debug)]
pub struct Clock {
    /// What the next reading gives.
    pub now: Rc<Cell<u64>>,
    /// Added after each reading.
    pub step: u64,
    pub drawn: u64,
}

impl Clock {
    pub fn at(now: u64) -> Self {
        Self { now: Rc::new(Cell::new(now)), step: 0, drawn: 0 }
    }
}

impl World for Clock {
    fn clock(&mut self) -> Time {
        Time(self.now.replace(self.now.get() + self.step))
    }
    fn entropy(&mut self) -> [u8; 16] {
        self.drawn += 1;
        test_entropy("world", self.drawn)
    }
    fn micros(&mut self) -> u64 {
        self.now.get() * 1_000
    }
}

/// How a bank is opened. The default is a large cache and stamps that follow from the log.
#[derive(Clone, Debug)]
pub struct Setup {
    pub row_cache_max: u64,
    pub tail_events_max: u64,
    pub idempotency_days: u32,
    pub record_commands: bool,
    pub snapshot_every: Option<u32>,
    pub test_stamps: bool,
    pub registry: fn() -> Registry,
}

impl Default for Setup {
    fn default() -> Self {
        Self {
            row_cache_max: 64 << 20,
            tail_events_max: u64::MAX,
            idempotency_days: 7,
            record_commands: true,
            snapshot_every: None,
            test_stamps: true,
            registry: Registry::standard,
        }
    }
}

impl Setup {
    pub fn config(&self) -> Config {
        Config {
            partition: "main".into(),
            incarnation: test_entropy("seed", 0),
            settings: OpenSettings {
                idempotency_days: self.idempotency_days,
                record_commands: self.record_commands,
                snapshot_every: self.snapshot_every,
                snapshots_kept: 3,
                email_backoff_ms: 1_000,
                allow_private_callbacks: false,
                body_bytes_max: 1 << 18,
                row_cache_max: self.row_cache_max,
                guest_memory_max: 64 << 20,
            },
            host: "native",
            tail_events_max: self.tail_events_max,
            batch_commands_max: 100,
            effects_in_flight_max: 64,
            rejected_bytes_max: 0,
            secret: Secret::new("a-secret-of-tests-alone"),
            test_stamps: self.test_stamps.then(|| TestStamps { seed: "seed".into(), offset_ms: 0 }),
        }
    }

    pub fn open<T: Store>(&self, store: T) -> Bank<T> {
        self.open_at(store, Clock::at(NEW_YEAR_MS))
    }

    pub fn open_at<T: Store>(&self, store: T, clock: Clock) -> Bank<T> {
        Partition::new(Linked(self.registry), store, clock, self.config())
    }
}

/// A partition over a linked guest.
pub type Bank<T> = Partition<Linked, T, Clock>;

pub fn request(method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> OwnedRequest {
    let mut all = vec![];
    if method == "POST" {
        all.push(("content-type".to_string(), b"application/json".to_vec()));
    }
    all.extend(headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())));
    OwnedRequest {
        method: method.into(),
        target: target.into(),
        headers: all,
        body: OwnedBody::Whole(body.as_bytes().to_vec()),
    }
}

pub fn get(target: &str) -> OwnedRequest {
    request("GET", target, "", &[])
}

pub fn open_account(id: &str, balance: u64) -> OwnedRequest {
    let body = format!(r#"{{"accountId":"{id}","initialBalance":{balance}}}"#);
    request("POST", "/commands/open-account", &body, &[])
}

pub fn deposit(id: &str, amount: u64) -> OwnedRequest {
    let body = format!(r#"{{"accountId":"{id}","amount":{amount}}}"#);
    request("POST", "/commands/deposit", &body, &[])
}

pub fn withdraw(id: &str, amount: u64) -> OwnedRequest {
    let body = format!(r#"{{"accountId":"{id}","amount":{amount}}}"#);
    request("POST", "/commands/withdraw", &body, &[])
}

pub fn close(id: &str) -> OwnedRequest {
    request("POST", "/commands/close-account", &format!(r#"{{"accountId":"{id}"}}"#), &[])
}

/// The same request with one more header.
pub fn with(mut request: OwnedRequest, name: &str, value: &str) -> OwnedRequest {
    request.headers.push((name.into(), value.as_bytes().to_vec()));
    request
}

/// The same request under an idempotency key.
pub fn keyed(request: OwnedRequest, key: &str) -> OwnedRequest {
    with(request, "idempotency-key", key)
}

pub fn run<S: Spawn, T: Store, W: World>(
    bank: &mut Partition<S, T, W>,
    request: OwnedRequest,
) -> (u16, String) {
    shown(&bank.run(vec![request]).remove(0))
}

/// Runs a request that must succeed.
pub fn done<S: Spawn, T: Store>(
    bank: &mut Partition<S, T, Clock>,
    request: OwnedRequest,
) -> String {
    let target = request.target.clone();
    let (status, body) = run(bank, request);
    assert!((200..300).contains(&status), "{target} answered {status} {body}");
    body
}

pub fn shown(reply: &Reply) -> (u16, String) {
    (reply.response.status, String::from_utf8_lossy(&reply.response.body).into_owned())
}

pub fn header<'a>(reply: &'a Reply, name: &str) -> Option<&'a str> {
    let found = reply.response.headers.iter().find(|(n, _)| n.eq_ignore_ascii_case(name));
    found.map(|(_, value)| value.as_str())
}

/// All lines of a log, genesis first.
pub fn lines(store: &MemoryStore) -> Vec<String> {
    store.log.values().flat_map(|block| chain::lines(&block.body)).map(String::from).collect()
}

/// Checks chain, positions and blocks of a stored log; returns its last position.
pub fn check_log(store: &MemoryStore) -> u64 {
    let mut chain = Chain::default();
    let mut next = 0;
    for StoredBlock { first, last, body } in store.log.values() {
        assert_eq!(*first, next, "a block starts where the one before ends");
        for line in chain::lines(body) {
            assert_eq!(chain::position(line), Some(next), "no gaps: {line}");
            chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}"));
            next += events_of(line).max(1);
        }
        assert_eq!(*last, next - 1, "the block's last position");
        next = next.max(1);
    }
    next.saturating_sub(1)
}

/// How many events a line has: 0 for genesis.
pub fn events_of(line: &str) -> u64 {
    let value: serde_json::Value = serde_json::from_str(line).expect("a line is JSON");
    value["events"].as_array().map_or(0, |events| events.len() as u64)
}

/// The store as it is when its rows are deleted and folded again, checkpoint at the head.
pub fn folded_again(store: &MemoryStore, setup: &Setup) -> MemoryStore {
    let mut bare = store.clone();
    bare.erase_rows().expect("a store in memory erases");
    let mut bank = setup.open(bare);
    bank.open().unwrap_or_else(|e| panic!("the log folds: {e}"));
    bank.checkpoint().expect("a checkpoint is stored");
    bank.store().clone()
}

/// Law 2: the rows of a store, checkpointed at its head, are the fold of its log.
pub fn assert_rows_are_the_fold(store: &MemoryStore, setup: &Setup, context: &str) {
    let again = folded_again(store, setup);
    assert_same_rows(store, &again, context);
}

pub fn assert_same_rows(left: &MemoryStore, right: &MemoryStore, context: &str) {
    let views = left.rows.keys().chain(right.rows.keys());
    for view in views {
        let (a, b) = (left.rows.get(view), right.rows.get(view));
        let (a, b) = (a.cloned().unwrap_or_default(), b.cloned().unwrap_or_default());
        for key in a.keys().chain(b.keys()) {
            let name = String::from_utf8_lossy(key);
            assert_eq!(a.get(key), b.get(key), "{context}: row {name:?} of {}", view.name);
        }
    }
    assert_eq!(left.checkpoint, right.checkpoint, "{context}: the checkpoint row");
}

/// A small generator for tests: the same seed gives the same numbers, on every machine.
#[derive(Clone, Debug)]
pub struct Random(u64);

impl Random {
    pub fn new(seed: u64) -> Self {
        Self(seed ^ 0x9e37_79b9_7f4a_7c15)
    }

    /// xorshift64*.
    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 >> 12;
        self.0 ^= self.0 << 25;
        self.0 ^= self.0 >> 27;
        self.0.wrapping_mul(0x2545_f491_4f6c_dd1d) >> 11
    }

    pub fn below(&mut self, bound: u64) -> u64 {
        self.next() % bound
    }
}

/// The seed of a randomised test: `SEED=n` in the environment, else the test's own. Printed, so
/// that a failure can be repeated.
pub fn seed(own: u64) -> u64 {
    let seed = std::env::var("SEED").ok().and_then(|s| s.parse().ok()).unwrap_or(own);
    println!("SEED={seed}");
    seed
}
