//! The reference: a bank in ordinary maps, fed by the lines of the log, one at a time.
//!
//! Owns what must hold of every line, given all lines before, and what a command must be answered.
//! Knows nothing of rows, blocks and caches; reads lines as any JSON reader would.

use std::collections::BTreeMap;

use foldlog_core::chain::{self, Chain};
use foldlog_core::limits::INTEGER_MAX;
use serde_json::Value;

use super::commands::{Command, Kind};
use super::transfers::Transfers;

/// Milliseconds that an idempotency key lives.
const KEY_MS: u64 = 7 * 86_400_000;

#[derive(Clone, Debug, Default)]
pub struct Account {
    pub balance: u64,
    pub closed: bool,
    pub version: u64,
    /// What transfers took out and may bring back.
    pub held: u64,
    /// The balance at each version.
    pub history: Vec<u64>,
}

/// A commit as the reference remembers it.
#[derive(Clone, Debug)]
pub struct Done {
    pub position: u64,
    pub hash: String,
    /// What its client is told.
    pub status: u16,
}

/// An idempotency key's use.
#[derive(Clone, Debug)]
struct Used {
    what: String,
    tag: u64,
    time: u64,
}

/// What a command must be answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Expected {
    /// Refused with this status.
    Refused(u16),
    /// Done now.
    Done,
    /// Done before, by the command with this tag.
    Before(u64),
    /// The event that it names is there, made by the command with this tag.
    Known(u64),
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Model {
    chain: Chain,
    pub accounts: BTreeMap<String, Account>,
    /// What each command did, by its tag.
    pub done: BTreeMap<u64, Done>,
    keys: BTreeMap<String, Used>,
    /// Tag and account of each event id given by a caller.
    event_ids: BTreeMap<String, (u64, String)>,
    pub transfers: Transfers,
    pub position: u64,
    pub time: u64,
}

type Checked<T> = Result<T, String>;

fn millis(value: &Value) -> Checked<u64> {
    let text = value.as_str().ok_or("a time is no string")?;
    foldlog_core::time::Time::parse_iso(text).map(|t| t.0).ok_or_else(|| format!("time {text}"))
}

impl Model {
    /// Takes the next line in, or says what of it must not be.
    pub fn take_line(&mut self, line: &str) -> Checked<()> {
        self.chain.take(line).map_err(|e| format!("{e}: {line}"))?;
        let value: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        let wrong = |what: &str| format!("{what}: {line}");
        let time = millis(&value["time"])?;
        if value["position"] == 0 {
            self.time = time;
            return Ok(());
        }
        if time < self.time {
            return Err(wrong("time goes back"));
        }
        self.time = time;
        let first = self.position + 1;
        if value["cause"].is_object() {
            self.transfers.close(&value, &self.accounts).map_err(|what| wrong(&what))?;
            for event in value["events"].as_array().ok_or_else(|| wrong("no events"))? {
                self.take_event(event, 0).map_err(|what| wrong(&what))?;
                self.position += 1;
            }
            return self.transfers.open(first, &value).map_err(|what| wrong(&what));
        }
        let tag = value["meta"]["tag"].as_str().and_then(|tag| tag.parse::<u64>().ok());
        let tag = tag.ok_or_else(|| wrong("a commit without the tag of its command"))?;
        let mut status = 200;
        for event in value["events"].as_array().ok_or_else(|| wrong("no events"))? {
            // Only an opening brings a stream into being, and it is alone in its commit.
            if event["version"] == 1 {
                status = if event["type"] == "TransferRequested" { 202 } else { 201 };
            }
            self.take_event(event, tag).map_err(|what| wrong(&what))?;
            self.position += 1;
        }
        // A key protects for seven days: sent again later, a command is another one.
        let mut expired = false;
        let command = &value["command"];
        if let (Some(key), Some(request)) = (command["key"].as_str(), command["request"].as_str()) {
            let used = Used { what: request.into(), tag, time };
            let before = self.keys.insert(key.into(), used);
            expired = before.as_ref().is_some_and(|before| time - before.time >= KEY_MS);
            if before.is_some() && !expired {
                return Err(wrong("a key is used twice"));
            }
        }
        let hash = chain::stored_hash(line).unwrap_or_default();
        let done = Done { position: self.position, hash: chain::hex(&hash), status };
        if self.done.insert(tag, done).is_some() && !expired {
            return Err(wrong("a command is done twice"));
        }
        self.transfers.open(first, &value).map_err(|what| wrong(&what))
    }

    fn take_event(&mut self, event: &Value, tag: u64) -> Checked<()> {
        let stream = event["stream"].as_str().unwrap_or_default();
        if let Some(id) = stream.strip_prefix("Transfer:") {
            self.transfers.take_event(id, event)?;
            return self.note_event_id(event, tag, id);
        }
        if stream.starts_with("~System:") {
            return Ok(());
        }
        let id = stream.strip_prefix("BankAccount:").ok_or("an event of no account")?.to_string();
        let account = self.accounts.entry(id.clone()).or_default();
        account.version += 1;
        if event["version"] != account.version {
            return Err(format!("version {} was expected", account.version));
        }
        let amount = |name: &str| event["data"][name].as_u64().ok_or("no amount");
        match event["type"].as_str().unwrap_or_default() {
            "AccountOpened" if account.version == 1 => account.balance = amount("initialBalance")?,
            "MoneyDeposited" if account.version > 1 && !account.closed => {
                account.balance += amount("amount")?;
            }
            "MoneyWithdrawn" if account.version > 1 && account.balance >= amount("amount")? => {
                account.balance -= amount("amount")?;
            }
            "AccountClosed" if account.balance == 0 && account.held == 0 && !account.closed => {
                account.closed = true;
            }
            "TransferMoneyDebited" if account.balance >= amount("amount")? => {
                account.balance -= amount("amount")?;
                account.held += amount("amount")?;
            }
            "TransferMoneyCredited" if !account.closed => account.balance += amount("amount")?,
            "TransferMoneyRefunded" if account.held >= amount("amount")? => {
                account.balance += amount("amount")?;
                account.held -= amount("amount")?;
            }
            "TransferHoldReleased" if account.held >= amount("amount")? => {
                account.held -= amount("amount")?;
            }
            other => return Err(format!("{other} can not happen to {account:?}")),
        }
        account.history.push(account.balance);
        if account.balance > INTEGER_MAX {
            return Err("the balance is beyond its limit".into());
        }
        self.transfers.take_step(&id, event)?;
        self.note_event_id(event, tag, &id)
    }

    fn note_event_id(&mut self, event: &Value, tag: u64, id: &str) -> Checked<()> {
        if let Some(event_id) = event["id"].as_str()
            && self.event_ids.insert(event_id.into(), (tag, id.into())).is_some()
        {
            return Err("an event id is used twice".into());
        }
        Ok(())
    }

    /// What a command must be answered, staged at this clock.
    pub fn expect(&self, command: &Command, clock: u64, fingerprint: &str) -> Expected {
        let now = self.time.max(clock);
        if let Some(used) = command.key.as_ref().and_then(|key| self.keys.get(key))
            && now - used.time < KEY_MS
        {
            return if used.what == fingerprint {
                Expected::Before(used.tag)
            } else {
                Expected::Refused(422)
            };
        }
        if let Some((tag, _)) = command.event_id.as_ref().and_then(|id| self.event_ids.get(id)) {
            return Expected::Known(*tag);
        }
        let account = self.accounts.get(&command.id);
        let version = match command.kind {
            Kind::Transfer(..) => self.transfers.version(&command.stream_id()),
            _ => account.map_or(0, |account| account.version),
        };
        if command.if_match.is_some_and(|expected| expected != version) {
            return Expected::Refused(412);
        }
        match self.decide(command, account) {
            Err(status) => Expected::Refused(status),
            // A caller that names events names each one.
            Ok(events) if command.event_id.is_some() && events != 1 => Expected::Refused(400),
            Ok(_) => Expected::Done,
        }
    }

    /// How many events a command makes, or the status of its refusal.
    fn decide(&self, command: &Command, account: Option<&Account>) -> Result<u64, u16> {
        if let Kind::Transfer(to, _) = command.kind {
            return match self.transfers.version(&command.stream_id()) {
                0 if super::commands::account(to) == command.id => Err(400),
                0 => Ok(1),
                _ => Err(409),
            };
        }
        let Kind::Sweep(to) = command.kind else {
            return decide(account, command.kind).map(|()| 1);
        };
        let from = account.ok_or(404_u16)?;
        if from.closed || from.held > 0 {
            return Err(409);
        }
        let to = super::commands::account(to);
        if to == command.id {
            return Err(400);
        }
        let receiving = self.accounts.get(&to).ok_or(404_u16)?;
        match from.balance {
            _ if receiving.closed => Err(409),
            0 => Ok(1),
            left if receiving.balance + receiving.held + left > INTEGER_MAX => Err(422),
            _ => Ok(3),
        }
    }

    /// The sum of all balances: nothing is on its way in the end.
    pub fn money(&self) -> u128 {
        self.accounts.values().map(|account| u128::from(account.balance)).sum()
    }
}

fn decide(account: Option<&Account>, kind: Kind) -> Result<(), u16> {
    match (account, kind) {
        (None, Kind::Open(_)) => Ok(()),
        (Some(_), Kind::Open(_)) => Err(409),
        (None, _) => Err(404),
        (Some(account), _) if account.closed => Err(409),
        (Some(account), Kind::Deposit(amount))
            if account.balance + account.held + amount > INTEGER_MAX =>
        {
            Err(422)
        }
        (Some(account), Kind::Withdraw(amount)) if amount > account.balance => Err(422),
        (Some(account), Kind::Close) if account.balance > 0 || account.held > 0 => Err(409),
        (Some(_), Kind::Sweep(_) | Kind::Transfer(..)) => Err(500),
        (Some(_), _) => Ok(()),
    }
}
