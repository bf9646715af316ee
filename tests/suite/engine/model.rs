//! A model test: random commands against a reference bank of a hundred lines, answers and balances
//! equal. The reference knows nothing of logs, rows or caches.

use std::collections::BTreeMap;

use foldlog_core::driver::{MemoryStore, OwnedRequest};
use foldlog_core::limits::INTEGER_MAX;
use serde_json::Value;

use super::kit::{
    self, Random, Setup, assert_rows_are_the_fold, close, deposit, get, keyed, open_account, seed,
    with, withdraw,
};

#[derive(Clone, Debug, Default)]
struct Account {
    balance: u64,
    closed: bool,
    version: u64,
    /// Deposits and withdrawals, oldest first.
    moves: Vec<(&'static str, u64)>,
}

#[derive(Clone, Copy, Debug)]
enum Command {
    Open(u64),
    Deposit(u64),
    Withdraw(u64),
    Close,
}

/// Status and, where it succeeds, the stream's version.
type Expected = (u16, Option<u64>);

/// The reference.
#[derive(Debug, Default)]
struct Bank {
    accounts: BTreeMap<String, Account>,
    /// What each key was used for, and the answer.
    keys: BTreeMap<String, (String, Expected)>,
    position: u64,
}

impl Bank {
    fn run(&mut self, id: &str, command: Command, if_match: Option<u64>) -> Expected {
        let known = self.accounts.get(id).cloned();
        let version = known.as_ref().map_or(0, |account| account.version);
        if if_match.is_some_and(|expected| expected != version) {
            return (412, None);
        }
        let mut account = match (known, command) {
            (Some(_), Command::Open(_)) => return (409, None),
            (None, Command::Open(_)) => Account::default(),
            (None, _) => return (404, None),
            (Some(account), _) if account.closed => return (409, None),
            (Some(account), _) => account,
        };
        match command {
            Command::Open(balance) => account.balance = balance,
            Command::Deposit(amount) if account.balance + amount > INTEGER_MAX => {
                return (422, None);
            }
            Command::Deposit(amount) => {
                account.balance += amount;
                account.moves.push(("deposit", amount));
            }
            Command::Withdraw(amount) if amount > account.balance => return (422, None),
            Command::Withdraw(amount) => {
                account.balance -= amount;
                account.moves.push(("withdrawal", amount));
            }
            Command::Close if account.balance > 0 => return (409, None),
            Command::Close => account.closed = true,
        }
        account.version += 1;
        self.position += 1;
        let version = account.version;
        self.accounts.insert(id.into(), account);
        (if version == 1 { 201 } else { 200 }, Some(version))
    }

    fn keyed(&mut self, key: &str, what: &str, id: &str, command: Command) -> Expected {
        match self.keys.get(key) {
            Some((used_for, answer)) if used_for == what => return *answer,
            Some(_) => return (422, None),
            None => {}
        }
        let answer = self.run(id, command, None);
        if answer.0 < 300 {
            self.keys.insert(key.into(), (what.into(), answer));
        }
        answer
    }
}

fn request(id: &str, command: Command) -> OwnedRequest {
    match command {
        Command::Open(balance) => open_account(id, balance),
        Command::Deposit(amount) => deposit(id, amount),
        Command::Withdraw(amount) => withdraw(id, amount),
        Command::Close => close(id),
    }
}

fn random_command(random: &mut Random) -> Command {
    let amount = match random.below(12) {
        0 => INTEGER_MAX - random.below(3),
        _ => random.below(100) + 1,
    };
    match random.below(10) {
        0..=2 => Command::Open(amount),
        3..=5 => Command::Deposit(amount),
        6..=8 => Command::Withdraw(amount),
        _ => Command::Close,
    }
}

fn check_account(reference: &Bank, id: &str, (status, body): (u16, String)) {
    let Some(account) = reference.accounts.get(id) else {
        return assert_eq!(status, 404, "{id}: {body}");
    };
    let value: Value = serde_json::from_str(&body).expect("an answer is JSON");
    assert_eq!(value["balance"], account.balance, "{id}: {body}");
    assert_eq!(value["isActive"], !account.closed, "{id}: {body}");
    assert_eq!(value["version"], account.version, "{id}: {body}");
    assert_eq!(value["transactionCount"], account.moves.len(), "{id}: {body}");
    let shown: Vec<(String, u64)> = value["transactions"]
        .as_array()
        .expect("transactions")
        .iter()
        .map(|t| (t["type"].as_str().unwrap_or("").into(), t["amount"].as_u64().unwrap_or(0)))
        .collect();
    let latest = account.moves.iter().rev().take(100);
    let expected: Vec<(String, u64)> = latest.map(|(t, a)| (t.to_string(), *a)).collect();
    assert_eq!(shown, expected, "{id}");
}

/// One random request, and what the reference expects of it.
fn step(random: &mut Random, reference: &mut Bank) -> (OwnedRequest, Expected) {
    let id = format!("acc-{}", random.below(12));
    let command = random_command(random);
    let request = request(&id, command);
    match random.below(5) {
        0 => {
            let key = format!("key-{}", random.below(40));
            let what = format!("{id} {command:?}");
            let expected = reference.keyed(&key, &what, &id, command);
            (keyed(request, &key), expected)
        }
        1 => {
            let version = random.below(12);
            let expected = reference.run(&id, command, Some(version));
            (with(request, "if-match", &format!("\"{version}\"")), expected)
        }
        _ => (request, reference.run(&id, command, None)),
    }
}

#[test]
fn random_commands_do_what_a_reference_bank_does() {
    let own = seed(14);
    for (round, row_cache_max) in [64 << 20, 16 << 10, 64 << 10].into_iter().enumerate() {
        let mut random = Random::new(own + round as u64);
        let setup = Setup { row_cache_max, tail_events_max: 60, ..Setup::default() };
        let (mut bank, mut reference) = (setup.open(MemoryStore::default()), Bank::default());
        for _ in 0..250 {
            let steps: Vec<_> =
                (0..random.below(4) + 1).map(|_| step(&mut random, &mut reference)).collect();
            let replies = bank.run(steps.iter().map(|(request, _)| request.clone()).collect());
            for ((request, (status, version)), reply) in steps.iter().zip(&replies) {
                let (found, body) = kit::shown(reply);
                assert_eq!(found, *status, "{request:?}: {body}");
                let told = serde_json::from_str::<Value>(&body).expect("an answer is JSON");
                assert_eq!(told["version"].as_u64(), *version, "{request:?}: {body}");
            }
            match random.below(12) {
                0 => bank.checkpoint().expect("a checkpoint is stored"),
                1 => bank = setup.open(bank.store().clone()),
                _ => {}
            }
            let id = format!("acc-{}", random.below(12));
            check_account(
                &reference,
                &id,
                kit::run(&mut bank, get(&format!("/queries/account/{id}"))),
            );
        }
        assert_eq!(bank.open().expect("opens").position, reference.position);
        for n in 0..12 {
            let id = format!("acc-{n}");
            check_account(
                &reference,
                &id,
                kit::run(&mut bank, get(&format!("/queries/account/{id}"))),
            );
        }
        bank.checkpoint().expect("a checkpoint is stored");
        assert_rows_are_the_fold(bank.store(), &setup, "after random commands");
    }
}
