//! Transfers in the reference: what is on its way, and what the system itself must do next.
//!
//! Owns law 4 as a check: what a commit asks for is closed by one commit that names it, and by no
//! other; and that each transfer moves its amount once, or not at all.

use std::collections::BTreeMap;

use foldlog_core::limits::INTEGER_MAX;
use serde_json::Value;

use super::model::Account;

type Checked<T> = Result<T, String>;

#[derive(Clone, Debug, Default)]
struct Transfer {
    version: u64,
    from: String,
    to: String,
    amount: u64,
    debited: bool,
    credited: bool,
    refunded: bool,
    ended: bool,
    /// A trap took its last step: it is asked for again by a timer.
    given_up: bool,
}

/// What was asked for and is not done.
#[derive(Clone, Debug)]
struct Asked {
    command: String,
    account: String,
    transfer: String,
    amount: u64,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    all: BTreeMap<String, Transfer>,
    waiting: BTreeMap<(u64, u64), Asked>,
    /// What is due at a time.
    timers: BTreeMap<(u64, u64), Asked>,
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

impl Transfers {
    pub fn version(&self, id: &str) -> u64 {
        self.all.get(id).map_or(0, |transfer| transfer.version)
    }

    /// Whether something is due.
    pub fn waits(&self) -> bool {
        !self.waiting.is_empty()
    }

    /// How many ended.
    pub fn ended(&self) -> u64 {
        self.all.values().filter(|transfer| transfer.ended).count() as u64
    }

    /// How many were refunded.
    pub fn refunded(&self) -> u64 {
        self.all.values().filter(|transfer| transfer.refunded).count() as u64
    }

    /// What a commit asks for.
    pub fn open(&mut self, first: u64, commit: &Value) -> Checked<()> {
        for reaction in commit["reactions"].as_array().into_iter().flatten() {
            let n = reaction["n"].as_u64().ok_or("a reaction without a number")?;
            let payload = &reaction["payload"];
            let (account, data) = (text(&payload["aggregateId"]), &payload["data"]);
            let transfer = match data["transferId"].as_str() {
                Some(id) => id.to_string(),
                None => account.clone(),
            };
            let amount = data["amount"].as_u64().unwrap_or_default();
            let asked = Asked { command: text(&payload["command"]), account, transfer, amount };
            let all = match reaction["kind"].as_str() {
                Some("timer") => &mut self.timers,
                _ => &mut self.waiting,
            };
            if all.insert((first, n), asked).is_some() {
                return Err("a reaction is opened twice".into());
            }
        }
        Ok(())
    }

    /// What a commit of the system closes, and whether it had to end so.
    pub fn close(&mut self, commit: &Value, accounts: &BTreeMap<String, Account>) -> Checked<()> {
        let cause = &commit["cause"];
        let which = (cause["position"].as_u64(), cause["n"].as_u64());
        let (Some(position), Some(n)) = which else { return Err("an incomplete cause".into()) };
        let oldest = self.waiting.keys().next().copied();
        let timer = self.timers.remove(&(position, n));
        let in_turn = timer.is_some() || oldest == Some((position, n));
        let asked = timer.or_else(|| self.waiting.remove(&(position, n)));
        let asked = asked.ok_or("a cause that is not open")?;
        if !in_turn {
            return Err("it is not the oldest that is due".into());
        }
        let event = &commit["events"][0];
        let done = event["type"] != "Command.Refused";
        if event["data"]["code"] == "internal" {
            let last = matches!(asked.command.as_str(), "RefundTransfer" | "FailTransfer");
            if let Some(transfer) = self.all.get_mut(&asked.transfer).filter(|_| last) {
                transfer.given_up = true;
            }
            return Ok(());
        }
        let account = accounts.get(&asked.account).filter(|account| !account.closed);
        let may = match (asked.command.as_str(), account) {
            ("DebitForTransfer", Some(account)) => account.balance >= asked.amount,
            ("CreditForTransfer", Some(account)) => {
                account.balance + account.held + asked.amount <= INTEGER_MAX
            }
            ("DebitForTransfer" | "CreditForTransfer", None) => false,
            _ => true,
        };
        if may == done { Ok(()) } else { Err(format!("{asked:?} had to end otherwise")) }
    }

    /// A step of a transfer on an account's side.
    pub fn take_step(&mut self, account: &str, event: &Value) -> Checked<()> {
        let kind = event["type"].as_str().unwrap_or_default();
        if !kind.starts_with("Transfer") {
            return Ok(());
        }
        let id = text(&event["data"]["transferId"]);
        let wrong = || format!("{kind} on {account} can not happen to {id}");
        let transfer = self.all.get_mut(&id).ok_or_else(wrong)?;
        if event["data"]["amount"] != transfer.amount {
            return Err(format!("{} moved another amount", wrong()));
        }
        let (side, open) = match kind {
            "TransferMoneyDebited" => (&transfer.from, !transfer.debited),
            "TransferMoneyCredited" => (&transfer.to, transfer.debited && !transfer.credited),
            "TransferMoneyRefunded" => (&transfer.from, transfer.debited && !transfer.credited),
            _ => (&transfer.from, transfer.credited),
        };
        if side != account || !open || transfer.refunded {
            return Err(wrong());
        }
        match kind {
            "TransferMoneyDebited" => transfer.debited = true,
            "TransferMoneyCredited" => transfer.credited = true,
            "TransferMoneyRefunded" => transfer.refunded = true,
            _ => {}
        }
        Ok(())
    }

    /// An event of a transfer's own stream.
    pub fn take_event(&mut self, id: &str, event: &Value) -> Checked<()> {
        let transfer = self.all.entry(id.to_string()).or_default();
        transfer.version += 1;
        if event["version"] != transfer.version {
            return Err(format!("version {} was expected", transfer.version));
        }
        let data = &event["data"];
        match event["type"].as_str().unwrap_or_default() {
            "TransferRequested" if transfer.version == 1 => {
                transfer.from = text(&data["fromAccountId"]);
                transfer.to = text(&data["toAccountId"]);
                transfer.amount = data["amount"].as_u64().ok_or("no amount")?;
            }
            "TransferDebited" if transfer.debited && !transfer.ended => {}
            "TransferCompleted" if transfer.credited && !transfer.ended => transfer.ended = true,
            "TransferFailed" if transfer.debited == transfer.refunded && !transfer.ended => {
                transfer.ended = true;
            }
            other => return Err(format!("{other} can not happen to {transfer:?}")),
        }
        Ok(())
    }

    /// In the end nothing is on its way.
    pub fn settled(&self) -> Checked<()> {
        if let Some(asked) = self.waiting.values().next() {
            return Err(format!("{asked:?} is never done"));
        }
        match self.all.iter().find(|(_, transfer)| !transfer.ended && !transfer.given_up) {
            Some((id, transfer)) => Err(format!("{id} never ends: {transfer:?}")),
            None => Ok(()),
        }
    }
}
