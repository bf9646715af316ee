//! Commands of a simulation: chosen by the generator, each with a tag of its own, so that every
//! commit can be told from every other.

use foldlog_core::chain::{hex, sha256};
use foldlog_core::driver::{OwnedBody, OwnedRequest};
use foldlog_core::limits::INTEGER_MAX;

use super::super::engine::kit::{self, Random, with};
use super::plan::{LONG, Plan};

/// What is asked of an account or a bell.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Open(u64),
    Deposit(u64),
    Withdraw(u64),
    Close,
    /// Closes it and pays what is left into the account of this number.
    Sweep(u64),
    /// Has this much moved to the account of this number.
    Transfer(u64, u64),
    /// Has a bell ring after so many milliseconds.
    Wind(u64),
    Stop,
    Loosen,
    /// Has somebody called, within so many milliseconds.
    Call(u64),
}

impl Kind {
    pub const fn is_of_bells(self) -> bool {
        matches!(self, Self::Wind(_) | Self::Stop | Self::Loosen | Self::Call(_))
    }

    fn random(random: &mut Random, plan: &Plan, first: u64) -> Self {
        let amount = match random.below(40) {
            0 => INTEGER_MAX - random.below(3),
            _ => random.below(100) + 1,
        };
        let after = [1, 900, 5_000, 60_000, 7_200_000];
        // Long runs are to become long: they close hardly anything, and most is done by clients.
        let long = plan.events >= LONG;
        let closes = !long || random.below(20) == 0;
        let kinds = if long && random.below(4) > 0 { 12 } else { 22 };
        match random.below(kinds) {
            21 => Self::Wind(after[random.below(5) as usize]),
            20 => Self::Stop,
            19 if closes => Self::Loosen,
            18 => Self::Call(random.below(2) * after[1 + random.below(4) as usize]),
            17 => Self::Wind(after[random.below(3) as usize]),
            13..=16 => Self::Transfer(first + random.below(plan.accounts), amount),
            12 if closes => Self::Sweep(first + random.below(plan.accounts)),
            11 if closes => Self::Close,
            // Of accounts that are used for so long most are open.
            0..=2 if !long || random.below(6) == 0 => Self::Open(amount),
            3..=6 => Self::Withdraw(amount.div_ceil(2)),
            _ => Self::Deposit(amount),
        }
    }
}

/// The id of an account.
pub fn account(number: u64) -> String {
    format!("acc-{number}")
}

/// One command. Sent again, it keeps its tag.
#[derive(Clone, Debug)]
pub struct Command {
    pub tag: u64,
    pub id: String,
    pub kind: Kind,
    pub key: Option<String>,
    pub if_match: Option<u64>,
    pub event_id: Option<String>,
}

impl Command {
    /// The next command of a run.
    pub fn random(random: &mut Random, plan: &Plan, tag: u64) -> Self {
        // Closed accounts stay closed: as commands go by, so do the accounts that they are for.
        let first = tag / plan.account_commands;
        let kind = Kind::random(random, plan, first);
        let id = match kind.is_of_bells() {
            true => format!("bell-{}", random.below(3)),
            false => account(first + random.below(plan.accounts)),
        };
        let many = plan.events;
        Self {
            tag,
            id,
            kind,
            // Few enough keys that they meet, many enough that most commands are new.
            key: (random.below(3) == 0).then(|| format!("key-{}", random.below(many))),
            if_match: (random.below(12) == 0 && many < LONG).then(|| random.below(8)),
            event_id: (random.below(8) == 0).then(|| format!("id-{}", random.below(many))),
        }
    }

    fn body(&self) -> (&'static str, String) {
        let (id, ids) = (&self.id, self.event_ids());
        if let Kind::Transfer(to, amount) = self.kind {
            let (transfer, to) = (self.stream_id(), account(to));
            let body = format!(
                r#"{{"transferId":"{transfer}","fromAccountId":"{id}","toAccountId":"{to}","amount":{amount}{ids}}}"#
            );
            return ("/commands/transfer", body);
        }
        let amount = |name: &str, amount: u64| format!(",\"{name}\":{amount}");
        let (path, more) = match self.kind {
            Kind::Open(first) => ("/commands/open-account", amount("initialBalance", first)),
            Kind::Deposit(more) => ("/commands/deposit", amount("amount", more)),
            Kind::Withdraw(less) => ("/commands/withdraw", amount("amount", less)),
            Kind::Sweep(to) => {
                ("/commands/close-account", format!(",\"sweepTo\":\"{}\"", account(to)))
            }
            Kind::Close | Kind::Transfer(..) => ("/commands/close-account", String::new()),
            Kind::Wind(after) => ("/commands/wind", amount("afterMs", after)),
            Kind::Stop => ("/commands/stop", String::new()),
            Kind::Loosen => ("/commands/loosen", String::new()),
            Kind::Call(0) => ("/commands/call", String::new()),
            Kind::Call(within) => ("/commands/call", amount("withinMs", within)),
        };
        let field = if self.kind.is_of_bells() { "bellId" } else { "accountId" };
        (path, format!("{{\"{field}\":\"{id}\"{more}{ids}}}"))
    }

    fn event_ids(&self) -> String {
        let ids = self.event_id.as_ref().map(|id| format!(",\"eventIds\":[\"{id}\"]"));
        ids.unwrap_or_default()
    }

    /// The id of the stream that it is for. A transfer is sent again under its own name.
    pub fn stream_id(&self) -> String {
        match self.kind {
            Kind::Transfer(..) => format!("t-{}", self.tag),
            _ => self.id.clone(),
        }
    }

    pub fn request(&self) -> OwnedRequest {
        let (path, body) = self.body();
        let mut request = kit::request("POST", path, &body, &[]);
        request = with(request, "foldlog-meta-tag", &self.tag.to_string());
        if let Some(key) = &self.key {
            request = kit::keyed(request, key);
        }
        match self.if_match {
            Some(version) => with(request, "if-match", &format!("\"{version}\"")),
            None => request,
        }
    }

    /// What an idempotency key is bound to, as `docs/format.md` describes it.
    pub fn fingerprint(&self) -> String {
        if self.key.is_none() {
            return String::new();
        }
        let request = self.request();
        let OwnedBody::Whole(body) = &request.body else { return String::new() };
        hex(&sha256(&[b"POST ", request.target.as_bytes(), b"\n", body]))
    }
}
