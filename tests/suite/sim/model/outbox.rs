//! Effects in the reference: how far each has got, by the lines of the log and by what the host was
//! handed and told.
//!
//! Owns that an effect is handed out after the commit that asks for it, not before its time, not
//! while it is attempted, and never after it ended; and that the log settles what was told, once.

use std::collections::{BTreeMap, BTreeSet};

use foldlog_core::protocol::EffectCall;
use foldlog_core::time::Time;
use serde_json::Value;

use super::super::happened::Happened;
use super::{Checked, text};

const ATTEMPTS_MAX: u64 = 10;
const RETRY_MS: u64 = 1_000;
const RETRY_MS_MAX: u64 = 300_000;

#[derive(Clone, Debug, Default)]
pub struct Call {
    pub id: String,
    pub kind: String,
    pub target: String,
    data: Value,
    /// Attempts that the log tells of.
    pub attempt: u64,
    next: u64,
    deadline: Option<u64>,
    pub status: &'static str,
    /// What the host told and the log does not yet.
    succeeded: u64,
    failed: u64,
}

/// An effect: first position of its commit, and its number there.
pub type Which = (u64, u64);

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Outbox {
    pub all: BTreeMap<Which, Call>,
    pub pending: BTreeSet<Which>,
    /// Those that this process attempts.
    pub running: BTreeSet<Which>,
    /// Changed since they were looked at.
    pub touched: BTreeSet<Which>,
}

fn millis(value: &Value) -> Checked<u64> {
    let time = Time::parse_iso(&text(value)).ok_or_else(|| format!("a time: {value}"))?;
    Ok(time.0)
}

impl Outbox {
    /// Takes in an effect that a commit asks for.
    pub fn open(
        &mut self,
        first: u64,
        reaction: &Value,
        now: u64,
        incarnation: &str,
    ) -> Checked<()> {
        let n = reaction["n"].as_u64().ok_or("a reaction without a number")?;
        let payload = &reaction["payload"];
        let deadline = &payload["deadline"];
        let call = Call {
            id: format!("{first}-{n}-{incarnation}"),
            kind: text(&payload["kind"]),
            target: text(&payload["target"]),
            data: payload["data"].clone(),
            next: now,
            deadline: if deadline.is_null() { None } else { Some(millis(deadline)?) },
            status: "pending",
            ..Call::default()
        };
        self.pending.insert((first, n));
        self.touched.insert((first, n));
        let again = self.all.insert((first, n), call).is_some();
        if again { Err("an effect is asked for twice".into()) } else { Ok(()) }
    }

    /// The host is handed an effect.
    pub fn handed(&mut self, effect: &EffectCall, now: u64) -> Checked<()> {
        let which = (effect.position, u64::from(effect.n));
        let wrong = |what: &str| format!("{effect:?} {what}");
        let call = self.all.get_mut(&which).ok_or_else(|| wrong("is in no commit"))?;
        // What was told of the attempt before was not stored.
        (call.succeeded, call.failed) = (0, 0);
        if call.status != "pending" {
            return Err(wrong("is handed out and has ended"));
        }
        if call.next > now || call.deadline.is_some_and(|deadline| deadline < now) {
            return Err(wrong(&format!("is handed out at {now}: {call:?}")));
        }
        let data: Value = serde_json::from_str(&effect.data).unwrap_or_default();
        let same =
            (&effect.id, &effect.kind, &effect.target) == (&call.id, &call.kind, &call.target);
        if !same || data != call.data || u64::from(effect.attempt) != call.attempt + 1 {
            return Err(wrong(&format!("is handed out, the log has {call:?}")));
        }
        if !self.running.insert(which) {
            return Err(wrong("is handed out while it is attempted"));
        }
        Ok(())
    }

    /// The host tells what an attempt came to.
    pub fn told(&mut self, which: Which, failed: bool) {
        self.running.remove(&which);
        if let Some(call) = self.all.get_mut(&which) {
            *(if failed { &mut call.failed } else { &mut call.succeeded }) += 1;
        }
    }

    /// A process ended: what it attempted is nobody's now, and what it was told is lost.
    pub fn forget(&mut self) {
        self.running.clear();
        self.lose_told();
    }

    /// What the host was told and did not take in is lost.
    pub fn lose_told(&mut self) {
        for which in &self.pending {
            if let Some(call) = self.all.get_mut(which) {
                (call.succeeded, call.failed) = (0, 0);
            }
        }
    }

    /// Takes in what an attempt came to, as a commit of the system tells it.
    pub fn settle(
        &mut self,
        which: Which,
        event: &Value,
        now: u64,
        happened: &mut Happened,
    ) -> Checked<()> {
        let call = self.all.get_mut(&which).ok_or("a cause that is not open")?;
        let data = &event["data"];
        let wrong = |what: &str| Err(format!("{what}: {data}"));
        if call.status != "pending" {
            return wrong("it ends twice");
        }
        call.attempt += 1;
        if data["attempt"] != call.attempt || data["kind"] != *call.kind {
            return wrong("it is another attempt");
        }
        let doublings = (call.attempt - 1).min(16);
        let longest = (RETRY_MS << doublings).min(RETRY_MS_MAX);
        let passed = call.deadline.is_some_and(|deadline| deadline < now);
        let told = match event["type"].as_str().unwrap_or_default() {
            "Effect.Succeeded" => {
                happened.note("an effect is done");
                call.status = "succeeded";
                &mut call.succeeded
            }
            "Effect.Failed" => {
                happened.note("an effect is tried again");
                call.next = millis(&data["retryAt"])?;
                let late = call.deadline.is_some_and(|deadline| deadline < call.next);
                let window = now + longest / 2..=now + longest;
                if late || call.attempt >= ATTEMPTS_MAX || !window.contains(&call.next) {
                    return wrong("it should not be tried again then");
                }
                &mut call.failed
            }
            "Effect.Dropped" => {
                let late = call.deadline.is_some_and(|deadline| deadline < now + longest);
                if !late && call.attempt < ATTEMPTS_MAX {
                    return wrong("it should be tried again");
                }
                happened.note("an effect is given up");
                call.status = "dead";
                &mut call.failed
            }
            _ => return wrong("no end of an effect"),
        };
        if *told > 0 {
            *told -= 1;
        } else if call.status == "dead" && passed {
            happened.note("an effect is given up when its deadline passed");
        } else {
            return wrong("nobody told so");
        }
        if call.status != "pending" {
            if call.kind == "list-partition" && call.status == "succeeded" {
                happened.note("an effect lists the partition");
            }
            self.pending.remove(&which);
        }
        self.touched.insert(which);
        Ok(())
    }

    /// When the last of those that wait falls due.
    pub fn last_due(&self) -> Option<u64> {
        self.pending.iter().filter_map(|which| self.all.get(which)).map(|call| call.next).max()
    }

    /// How far an effect got, as the host tells it: an attempt is over when that is stored.
    pub fn shown(&self, which: Which, held: bool) -> &'static str {
        let Some(call) = self.all.get(&which) else { return "" };
        match (call.status, call.succeeded + call.failed > 0 || self.running.contains(&which)) {
            ("pending", _) if held => "held",
            ("pending", true) => "running",
            (status, _) => status,
        }
    }

    /// What the host was told and did not take in.
    pub fn untaken(&self) -> Option<&Call> {
        let calls = self.pending.iter().filter_map(|which| self.all.get(which));
        calls.into_iter().find(|call| call.succeeded > 0)
    }
}
