//! The bank in the reference: accounts in an ordinary map, and sums that follow from events alone.
//!
//! Owns what may happen to an account and that money is neither made nor lost: what was paid in
//! less what was paid out is what accounts hold and what is on its way.

use std::collections::{BTreeMap, BTreeSet};

use foldlog_core::limits::INTEGER_MAX;
use serde_json::Value;

use super::super::commands::{Kind, account};
use super::Checked;

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

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Bank {
    pub accounts: BTreeMap<String, Account>,
    /// Paid in and out, by clients.
    put_in: u128,
    taken_out: u128,
    /// In all accounts, and on its way.
    pub balances: u128,
    pub held: u128,
    /// Deposits and withdrawals, transfers among them.
    pub sums: (u128, u128),
    /// Positions of both.
    pub movements: Vec<u64>,
    /// Changed since they were looked at.
    pub touched: BTreeSet<String>,
}

impl Bank {
    pub fn take_event(&mut self, id: &str, event: &Value, position: u64) -> Checked<()> {
        let account = self.accounts.entry(id.to_string()).or_default();
        account.version += 1;
        if event["version"] != account.version {
            return Err(format!("version {} was expected", account.version));
        }
        let data = &event["data"];
        let amount = data["amount"].as_u64().or(data["initialBalance"].as_u64());
        let amount = amount.unwrap_or_default();
        let (balance, held) = (account.balance, account.held);
        let wide = u128::from(amount);
        // Change of the balance, of what is held, and on which side it is a movement.
        let mut movement = None;
        match event["type"].as_str().unwrap_or_default() {
            "AccountOpened" if account.version == 1 => {
                (account.balance, self.put_in) = (amount, self.put_in + wide);
                self.sums.0 += wide;
            }
            "MoneyDeposited" if account.version > 1 && !account.closed => {
                (account.balance, self.put_in) = (balance + amount, self.put_in + wide);
                movement = Some(true);
            }
            "MoneyWithdrawn" if account.version > 1 && balance >= amount => {
                (account.balance, self.taken_out) = (balance - amount, self.taken_out + wide);
                movement = Some(false);
            }
            "AccountClosed" if balance == 0 && held == 0 && !account.closed => {
                account.closed = true;
            }
            "TransferMoneyDebited" if balance >= amount => {
                (account.balance, account.held) = (balance - amount, held + amount);
                movement = Some(false);
            }
            "TransferMoneyCredited" if !account.closed => {
                account.balance = balance + amount;
                movement = Some(true);
            }
            "TransferMoneyRefunded" if held >= amount => {
                (account.balance, account.held) = (balance + amount, held - amount);
                movement = Some(true);
            }
            "TransferHoldReleased" if held >= amount => account.held = held - amount,
            other => return Err(format!("{other} can not happen to {account:?}")),
        }
        account.history.push(account.balance);
        self.balances = self.balances + u128::from(account.balance) - u128::from(balance);
        self.held = self.held + u128::from(account.held) - u128::from(held);
        if account.balance > INTEGER_MAX {
            return Err("the balance is beyond its limit".into());
        }
        match movement {
            Some(true) => self.sums.0 += wide,
            Some(false) => self.sums.1 += wide,
            None => {}
        }
        if movement.is_some() {
            self.movements.push(position);
        }
        self.touched.insert(id.to_string());
        Ok(())
    }

    /// After each commit: what went in less what went out is there, or on its way.
    pub fn money_is_kept(&self) -> Checked<()> {
        let there = self.balances + self.held;
        match self.put_in.checked_sub(self.taken_out) == Some(there) {
            true => Ok(()),
            false => Err(format!(
                "{} was paid in and {} out, but {} is there and {} on its way",
                self.put_in, self.taken_out, self.balances, self.held
            )),
        }
    }

    /// How many events a command makes, or the status of its refusal.
    pub fn decide(&self, id: &str, kind: Kind) -> Result<u64, u16> {
        let own = self.accounts.get(id);
        let Kind::Sweep(to) = kind else { return decide(own, kind).map(|()| 1) };
        let from = own.ok_or(404_u16)?;
        if from.closed || from.held > 0 {
            return Err(409);
        }
        let to = account(to);
        if to == *id {
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
        (Some(_), _) => Ok(()),
    }
}
