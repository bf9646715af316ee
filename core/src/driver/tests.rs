//! The driver over a linked guest and a store in memory: the bank's routes, end to end.

mod parts;
mod protocol;

use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::println;

use super::{
    Config, Linked, MemoryStore, OwnedBody, OwnedRequest, Partition, Reply, Store, TestStamps,
    World,
};
use crate::chain;
use crate::protocol::OpenSettings;
use crate::registry::Registry;
use crate::time::Time;

struct Fixed;

impl World for Fixed {
    fn clock(&mut self) -> Time {
        Time(0)
    }
    fn entropy(&mut self) -> [u8; 16] {
        [7; 16]
    }
    fn micros(&mut self) -> u64 {
        0
    }
}

type Bank<T = MemoryStore> = Partition<Linked, T, Fixed>;

fn bank<T: Store>(store: T, row_cache_max: u64) -> Bank<T> {
    let settings = OpenSettings {
        idempotency_days: 7,
        record_commands: true,
        snapshot_every: None,
        snapshots_kept: 3,
        email_backoff_ms: 1_000,
        allow_private_callbacks: false,
        body_bytes_max: 1 << 18,
        row_cache_max,
        guest_memory_max: 64 << 20,
    };
    let config = Config {
        partition: "main".into(),
        incarnation: super::test_entropy("seed", 0),
        settings,
        host: "native",
        tail_events_max: 1_000,
        batch_commands_max: 100,
        effects_in_flight_max: 64,
        rejected_bytes_max: 0,
        secret: None,
        test_stamps: Some(TestStamps { seed: "seed".into(), offset_ms: 0 }),
    };
    Partition::new(Linked(Registry::standard), store, Fixed, config)
}

fn request(method: &str, target: &str, body: &str, headers: &[(&str, &str)]) -> OwnedRequest {
    let mut all = vec![("content-type".to_string(), b"application/json".to_vec())];
    all.extend(headers.iter().map(|(name, value)| (name.to_string(), value.as_bytes().to_vec())));
    OwnedRequest {
        method: method.into(),
        target: target.into(),
        headers: all,
        body: OwnedBody::Whole(body.as_bytes().to_vec()),
    }
}

fn post(target: &str, body: &str) -> OwnedRequest {
    request("POST", target, body, &[])
}

fn get(target: &str) -> OwnedRequest {
    request("GET", target, "", &[])
}

fn one<T: Store>(bank: &mut Bank<T>, request: OwnedRequest) -> (u16, String) {
    let reply: Reply = bank.run(vec![request]).remove(0);
    (reply.response.status, String::from_utf8(reply.response.body).expect("text"))
}

#[test]
fn an_account_lives() {
    let mut bank = bank(MemoryStore::default(), 16 << 20);
    for (request, status) in [
        (post("/commands/open-account", r#"{"accountId":"acc-1", "initialBalance": 1000}"#), 201),
        (post("/commands/deposit", r#"{"accountId":"acc-1","amount":500}"#), 200),
        (post("/commands/withdraw", r#"{"accountId":"acc-1","amount":200}"#), 200),
        (post("/commands/withdraw", r#"{"accountId":"acc-1","amount":2000}"#), 422),
        (post("/commands/withdraw", r#"{"accountId":"acc-1","amount":1e3}"#), 400),
        (post("/commands/deposit", r#"{"accountId":"acc-2","amount":5}"#), 404),
        (get("/queries/account/acc-1"), 200),
        (get("/events/account/acc-1"), 200),
        (get("/events/stream?type=MoneyDeposited&category=BankAccount"), 200),
        (get("/events/stream?order=desc&limit=2"), 200),
        (get("/events/stream?correlationId=evt-002"), 200),
        (get("/events/stream?from=2026-01-01T00:00:02Z&to=2026-01-01T00:00:02.000Z"), 200),
        (get("/events/account/acc-1?fromVersion=3"), 200),
        (get("/events/id/evt-003"), 200),
        (get("/projections"), 200),
        (get("/projections/AccountBalances"), 200),
        (get("/projections/TransactionHistory?limit=1"), 200),
        (get("/projections/DailySummary"), 200),
        (get("/stats"), 200),
        (get("/stats/BankAccount/acc-1"), 200),
        (get("/health"), 200),
        (get("/log/head"), 200),
        (get("/nothing"), 404),
        (get("/commands/deposit"), 405),
    ] {
        let shown = request.target.clone();
        let (found, body) = one(&mut bank, request);
        println!("{shown} {found} {body}");
        assert_eq!(found, status, "{shown}: {body}");
    }
}

#[test]
fn rows_are_the_fold_of_the_log_whatever_the_cache() {
    let mut stores = Vec::new();
    for cache in [16 << 20, 64 << 10] {
        let mut bank = bank(MemoryStore::default(), cache);
        for n in 0..3_000_u32 {
            let id = n.wrapping_mul(7919) % 701;
            let commands = vec![
                post("/commands/open-account", &alloc::format!(r#"{{"accountId":"a{id}"}}"#)),
                post(
                    "/commands/deposit",
                    &alloc::format!(r#"{{"accountId":"a{id}","amount":{}}}"#, n + 1),
                ),
            ];
            let replies = bank.run(commands);
            assert!(
                replies.iter().all(|r| [200, 201, 409].contains(&r.response.status)),
                "{replies:?}"
            );
        }
        bank.checkpoint().expect("checkpoint");
        assert!(bank.take_failures().is_empty());
        let store = bank.store().clone();
        let mut again = store.clone();
        again.erase_rows().expect("erases");
        let mut folded = self::bank(again, cache);
        folded.open().expect("folds");
        folded.checkpoint().expect("checkpoint");
        assert_eq!(folded.store().rows, store.rows);
        assert_eq!(folded.store().checkpoint, store.checkpoint);
        let mut chain = chain::Chain::default();
        for line in store.log.values().flat_map(|block| chain::lines(&block.body)) {
            chain.take(line).expect("the chain holds");
        }
        stores.push(store);
    }
    assert_eq!(stores[0].rows, stores[1].rows);
}
