//! Transfers in the reference: what is on its way.
//!
//! Owns that each transfer moves its amount once, or not at all, and that each of its steps had to
//! end as it did.

use std::collections::BTreeMap;

use foldlog_core::limits::INTEGER_MAX;
use serde_json::Value;

use super::super::happened::Happened;
use super::bank::Account;
use super::waiting::Asked;
use super::{Checked, text};

type Accounts = BTreeMap<String, Account>;

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
    /// The log says that its manager was not told of a refusal: only a person can end it.
    given_up: bool,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Transfers {
    all: BTreeMap<String, Transfer>,
}

impl Transfers {
    /// Whether a step of a transfer had to end so.
    pub fn ended(&mut self, asked: &Asked, commit: &Value, accounts: &Accounts) -> Checked<()> {
        let (event, data) = (&commit["events"][0], &asked.data);
        let done = event["type"] != "Command.Refused";
        let transfer = data["transferId"].as_str().unwrap_or(&asked.id);
        let amount = data["amount"].as_u64().unwrap_or_default();
        if event["data"]["code"] == "internal" {
            let unheard = commit["events"][1]["type"] == "ProcessManager.Stopped";
            if let Some(transfer) = self.all.get_mut(transfer).filter(|_| unheard) {
                transfer.given_up = true;
            }
            return Ok(());
        }
        let account = accounts.get(&asked.id).filter(|account| !account.closed);
        let may = match (asked.command.as_str(), account) {
            ("DebitForTransfer", Some(account)) => account.balance >= amount,
            ("CreditForTransfer", Some(account)) => {
                account.balance + account.held + amount <= INTEGER_MAX
            }
            ("DebitForTransfer" | "CreditForTransfer", None) => false,
            _ => true,
        };
        if may == done { Ok(()) } else { Err(format!("{asked:?} had to end otherwise")) }
    }

    /// A step of a transfer on an account's side.
    pub fn take_step(&mut self, account: &str, event: &Value, told: &mut Happened) -> Checked<()> {
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
            "TransferMoneyRefunded" => {
                transfer.refunded = true;
                told.note("a transfer is refunded");
            }
            _ => {}
        }
        Ok(())
    }

    /// An event of a transfer's own stream.
    pub fn take_event(&mut self, id: &str, event: &Value, told: &mut Happened) -> Checked<()> {
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
        if transfer.ended {
            told.note("a transfer ends");
        }
        Ok(())
    }

    /// In the end nothing is on its way. Returns what is all the same, because the manager of
    /// transfers trapped over and over, which the log says.
    pub fn settled(&self) -> Checked<u128> {
        let open = self.all.iter().filter(|(_, transfer)| !transfer.ended);
        let mut lost = 0;
        for (id, transfer) in open {
            if !transfer.given_up {
                return Err(format!("{id} never ends: {transfer:?}"));
            }
            lost += u128::from(transfer.amount) * u128::from(transfer.debited);
        }
        Ok(lost)
    }
}
