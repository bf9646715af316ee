//! Commands of a simulation: chosen by the generator, each with a tag of its own, so that every
//! commit can be told from every other.

use foldlog_core::chain::{hex, sha256};
use foldlog_core::driver::{OwnedBody, OwnedRequest};
use foldlog_core::limits::INTEGER_MAX;

use super::super::engine::kit::{self, Random, with};
use super::plan::Plan;

/// What is asked of an account.
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
        let amount = match random.below(40) {
            0 => INTEGER_MAX - random.below(3),
            _ => random.below(100) + 1,
        };
        // Closed accounts stay closed: as commands go by, so do the accounts that they are for.
        let first = tag / 50;
        let kind = match random.below(16) {
            13.. => Kind::Transfer(first + random.below(plan.accounts), amount),
            12 => Kind::Sweep(first + random.below(plan.accounts)),
            0..=2 => Kind::Open(amount),
            3..=6 => Kind::Deposit(amount),
            7..=10 => Kind::Withdraw(amount),
            _ => Kind::Close,
        };
        let id = account(first + random.below(plan.accounts));
        let many = plan.events;
        Self {
            tag,
            id,
            kind,
            // Few enough keys that they meet, many enough that most commands are new.
            key: (random.below(3) == 0).then(|| format!("key-{}", random.below(many))),
            if_match: (random.below(8) == 0).then(|| random.below(8)),
            event_id: (random.below(6) == 0).then(|| format!("id-{}", random.below(many))),
        }
    }

    fn body(&self) -> (&'static str, String) {
        if let Kind::Transfer(to, amount) = self.kind {
            let (from, to, ids) = (&self.id, account(to), self.event_ids());
            let body = format!(
                "{{\"transferId\":\"{}\",\"fromAccountId\":\"{from}\",\"toAccountId\":\"{to}\",\"amount\":{amount}{ids}}}",
                self.stream_id()
            );
            return ("/commands/transfer", body);
        }
        let (path, amount) = match self.kind {
            Kind::Open(amount) => {
                ("/commands/open-account", format!(",\"initialBalance\":{amount}"))
            }
            Kind::Deposit(amount) => ("/commands/deposit", format!(",\"amount\":{amount}")),
            Kind::Withdraw(amount) => ("/commands/withdraw", format!(",\"amount\":{amount}")),
            Kind::Close => ("/commands/close-account", String::new()),
            Kind::Sweep(to) => {
                ("/commands/close-account", format!(",\"sweepTo\":\"{}\"", account(to)))
            }
            Kind::Transfer(..) => ("", String::new()),
        };
        let ids = self.event_ids();
        (path, format!("{{\"accountId\":\"{}\"{amount}{ids}}}", self.id))
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
        let request = self.request();
        let OwnedBody::Whole(body) = &request.body else { return String::new() };
        hex(&sha256(&[b"POST ", request.target.as_bytes(), b"\n", body]))
    }
}
