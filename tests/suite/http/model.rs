//! The bank against a reference: random commands, the same answers and the same balances.
//!
//! Owns a bank of a hundred lines that knows no events. It was written from the contract, not
//! from the code. The seed is printed.

use std::collections::BTreeMap;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Random, seed};

const COMMANDS: usize = 2_000;
const ACCOUNTS: usize = 12;
const MOST: u64 = (1 << 53) - 1;

#[derive(Clone, Debug, Default)]
struct Account {
    balance: u64,
    closed: bool,
    version: u64,
    transactions: u64,
}

/// The reference.
#[derive(Debug, Default)]
struct Bank {
    accounts: BTreeMap<String, Account>,
    events: u64,
}

impl Bank {
    /// The status of a command, and the code when it is refused.
    fn run(&mut self, command: &str, id: &str, amount: u64) -> (u16, &'static str) {
        if command == "open-account" {
            if amount > MOST {
                return (400, "invalid-field");
            }
            if self.accounts.contains_key(id) {
                return (409, "already-exists");
            }
            let account = Account { balance: amount, version: 1, ..Account::default() };
            self.accounts.insert(id.into(), account);
            self.events += 1;
            return (201, "");
        }
        if command != "close-account" && !(1..=MOST).contains(&amount) {
            return (400, "invalid-field");
        }
        let Some(account) = self.accounts.get_mut(id) else { return (404, "not-found") };
        if account.closed {
            return (409, "closed");
        }
        match command {
            "deposit" if amount > MOST - account.balance => return (422, "limit-exceeded"),
            "deposit" => account.balance += amount,
            "withdraw" if amount > account.balance => return (422, "insufficient-funds"),
            "withdraw" => account.balance -= amount,
            _ if account.balance > 0 => return (409, "not-empty"),
            _ => account.closed = true,
        }
        account.transactions += u64::from(command != "close-account");
        account.version += 1;
        self.events += 1;
        (200, "")
    }
}

/// Small amounts mostly; now and then what limits are about.
fn amount(random: &mut Random, balance: u64) -> u64 {
    match random.below(10) {
        0 => balance,
        1 => balance + 1,
        2 => *random.one_of(&[0, 1, MOST, MOST + 1, MOST - balance]),
        _ => random.next() % 100,
    }
}

fn body(command: &str, id: &str, amount: u64) -> String {
    match command {
        "close-account" => format!(r#"{{"accountId":"{id}"}}"#),
        "open-account" => format!(r#"{{"accountId":"{id}","initialBalance":{amount}}}"#),
        _ => format!(r#"{{"accountId":"{id}","amount":{amount}}}"#),
    }
}

fn compare(host: &mut Host, bank: &Bank, when: &str) {
    for (id, account) in &bank.accounts {
        let shown = host.get(&format!("/queries/account/{id}")).json();
        assert_eq!(shown["balance"], account.balance, "{when}: {id}");
        assert_eq!(shown["isActive"], !account.closed, "{when}: {id}");
        assert_eq!(shown["version"], account.version, "{when}: {id}");
        assert_eq!(shown["transactionCount"], account.transactions, "{when}: {id}");
    }
    let projected = host.get("/projections/AccountBalances?limit=1000").json();
    let balances = projected["data"]["balances"].as_object().cloned().unwrap_or_default();
    assert_eq!(balances.len(), bank.accounts.len(), "{when}");
    for (id, shown) in balances {
        assert_eq!(shown["balance"], bank.accounts[&id].balance, "{when}: {id} in the projection");
    }
    assert_eq!(host.get("/log/head").json()["position"], bank.events, "{when}");
    assert_eq!(host.get("/stats").json()["totalEvents"], bank.events, "{when}");
}

fn like_the_reference(kind: Kind) {
    let seed = seed(&format!("model on {kind:?}"));
    let mut random = Random(seed);
    let mut host = Setup::new(kind).start();
    let mut bank = Bank::default();
    for n in 0..COMMANDS {
        let id = format!("acc-{}", random.below(ACCOUNTS));
        let balance = bank.accounts.get(&id).map_or(0, |account| account.balance);
        let command = match random.below(20) {
            0..3 => "open-account",
            3..11 => "deposit",
            11..19 => "withdraw",
            _ => "close-account",
        };
        let amount = amount(&mut random, balance);
        let before = (bank.accounts.get(&id).cloned(), bank.events);
        let expected = bank.run(command, &id, amount);
        let path = format!("/commands/{command}");
        let answer = host.send(&Request::post(&path, &body(command, &id, amount)));
        let found = (answer.status, answer.code());
        assert_eq!(
            (found.0, found.1.as_str()),
            expected,
            "{kind:?}, seed {seed}, command {n}: {path} {id} {amount} before {before:?}: {}",
            answer.text()
        );
        if expected.0 < 300 {
            assert_eq!(
                answer.json()["version"],
                bank.accounts[&id].version,
                "seed {seed}, command {n}"
            );
        }
        if n % 500 == 499 {
            compare(&mut host, &bank, &format!("{kind:?}, seed {seed}, command {n}"));
        }
    }
    if kind != Kind::InProcess {
        host.kill_9();
        host.restart();
        compare(&mut host, &bank, &format!("{kind:?}, seed {seed}, after a kill"));
    }
}

#[test]
fn in_process_is_like_the_reference() {
    like_the_reference(Kind::InProcess);
}

#[test]
fn native_is_like_the_reference() {
    like_the_reference(Kind::Native);
}

#[test]
fn the_worker_is_like_the_reference() {
    like_the_reference(Kind::Worker);
}
