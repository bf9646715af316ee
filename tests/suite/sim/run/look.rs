//! What is read is what is stored: after each step what it touched, now and then something else.
//!
//! Owns the comparison of answers to reads with the reference. A read that wakes the system sees
//! later things than the reference did: it is not compared, the next one is.

use foldlog_core::driver::{OwnedRequest, Reply};
use serde_json::{Value, json};

use super::super::super::engine::kit::{self, get};
use super::super::guests::{codes, projections};
use super::super::plan::LONG;
use super::super::rows::Checked;
use super::Run;

/// Of what a step touched, so many things are looked at; and of what one of a long run did, whose
/// states take long to show.
const TOUCHED_MAX: usize = 3;
const TOUCHED_MAX_LONG: usize = 1;

impl Run {
    /// The query of a stream's state.
    pub(super) fn query(&self, id: &str) -> OwnedRequest {
        let name = match id.split_once('-') {
            Some(("bell", _)) => "bell",
            Some(("t", _)) => "transfer",
            _ => "account",
        };
        get(&format!("/queries/{name}/{id}"))
    }

    /// A failure is an answer when something failed.
    fn excused(&self, status: u16) -> bool {
        status >= 500 && self.is_disturbed()
    }

    /// Whether an answer shows a stream's state as the reference has it.
    pub(super) fn shows_state(&self, id: &str, reply: &Reply) -> Checked<()> {
        let (status, body) = kit::shown(reply);
        if self.excused(status) {
            return Ok(());
        }
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let version = self.model.streams.get(id).map(|(count, _)| *count);
        let (_, code) = codes(self.world.borrow().release);
        let fits = match (status, version) {
            (404, None) => true,
            (200, Some(version)) if value["version"] == version => {
                let account = self.model.bank.accounts.get(id);
                let bell = self.model.bells.all.get(id);
                account.is_none_or(|account| {
                    value["balance"] == account.balance && value["isActive"] == !account.closed
                }) && bell.is_none_or(|bell| {
                    (&value["code"], &value["wound"], &value["rung"])
                        == (&json!(code), &json!(bell.wound), &json!(bell.rung))
                })
            }
            _ => false,
        };
        if fits { Ok(()) } else { Err(format!("{id} at {version:?} is shown {status} {body}")) }
    }

    /// After a step: the new records, and the rows that they touched.
    pub(super) fn compare(&mut self, before: u64) -> Checked<()> {
        let long = self.plan(|plan| plan.events >= LONG);
        let most = if long { TOUCHED_MAX_LONG } else { TOUCHED_MAX };
        // Any of them, not those with the first names.
        let skipped = self.model.touched.len().saturating_sub(most) as u64;
        let skipped = self.below(skipped + 1) as usize;
        let touched = self.model.touched.iter().skip(skipped);
        let ids: Vec<String> = touched.take(most).cloned().collect();
        let effects: Vec<_> = self.model.outbox.touched.iter().take(1).copied().collect();
        self.model.touched.clear();
        self.model.outbox.touched.clear();
        self.model.bank.touched.clear();
        if ids.is_empty() && effects.is_empty() {
            return Ok(());
        }
        let mut requests = vec![get(&format!("/events/stream?after={before}&limit=20"))];
        requests.extend(ids.iter().map(|id| self.query(id)));
        let book = ids.first().cloned().unwrap_or_default();
        let names = ["AccountBalances", "TransactionHistory", "DailySummary", "Book", "Types"];
        let name = names[self.below(5) as usize];
        requests.push(self.projection(name, before, &book));
        if let Some((position, n)) = effects.first() {
            // All of a page after the one before.
            let after = format!("{position}-{}-x", n.saturating_sub(1));
            let after = if *n == 0 { format!("{}-999-x", position - 1) } else { after };
            requests.push(get(&format!("/effects?after={after}&limit=1")));
        }
        let Some(replies) = self.ask(requests) else { return Ok(()) };
        let woken = !self.new_lines()?.is_empty();
        self.read_log()?;
        self.take_effects()?;
        if woken {
            return Ok(());
        }
        let mut replies = replies.iter();
        let mut next = || replies.next().ok_or("a reply is missing");
        self.shows_records(before, next()?)?;
        for id in &ids {
            self.shows_state(id, next()?)?;
        }
        self.shows_rows(name, before, &book, next()?)?;
        match effects.first() {
            Some(which) => self.shows_effect(*which, next()?),
            None => Ok(()),
        }
    }

    /// The page of a projection that has the row of a stream, or what came after a position.
    fn projection(&self, name: &str, before: u64, id: &str) -> OwnedRequest {
        let accounts = &self.model.bank.accounts;
        let earlier = match name {
            "AccountBalances" => accounts.range(..id.to_string()).next_back().map(|(id, _)| id),
            _ => self.model.streams.range(..id.to_string()).next_back().map(|(id, _)| id),
        };
        let after = earlier.map(|id| format!("&after={id}")).unwrap_or_default();
        get(&match name {
            "TransactionHistory" => format!("/projections/{name}?limit=1000&after={before}"),
            "DailySummary" | "Types" => format!("/projections/{name}?limit=1"),
            _ => format!("/projections/{name}?limit=1{after}"),
        })
    }

    fn shows_records(&self, before: u64, reply: &Reply) -> Checked<()> {
        let (status, body) = kit::shown(reply);
        if self.excused(status) {
            return Ok(());
        }
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let records = value.as_array().ok_or_else(|| format!("{status} {body}"))?;
        let positions = records.iter().map(|record| record["metadata"]["position"].as_u64());
        let expected = (before + 1..=self.model.position).take(20).map(Some);
        match positions.eq(expected) {
            true => Ok(()),
            false => Err(format!("after {before} of {}: {body}", self.model.position)),
        }
    }

    /// Whether a projection shows what the reference has; one that is out of service or is being
    /// built shows that.
    fn shows_rows(&mut self, name: &str, before: u64, id: &str, reply: &Reply) -> Checked<()> {
        let (status, body) = kit::shown(reply);
        let release = self.world.borrow().release;
        let known = projections(release).contains(&name);
        let building = status == 503 && body.contains("is being built");
        if self.excused(status) || building && self.plan(|plan| plan.change) > 0 {
            return if self.world.borrow().calm { Err(body) } else { Ok(()) };
        }
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        if status == 404 && !known {
            return Ok(());
        }
        if status != 200 {
            return Err(format!("{name}: {status} {body}"));
        }
        if value["state"] == "faulted" && self.plan(|plan| plan.trap_names) > 0 {
            if !self.faulted.iter().any(|faulted| faulted == name) {
                self.faulted.push(name.to_string());
            }
            return Ok(());
        }
        // What serves while it is built anew goes on, unless it had stopped.
        if value["state"] == "rebuilding" && value["lag"] != 0 {
            return Ok(());
        }
        let of_rebuild = value["error"].as_str().is_some_and(|e| e.starts_with("rebuilding it"));
        if value["state"] == "live" && !value["error"].is_null() && !of_rebuild {
            return Err(format!("{name} serves, and tells of an error: {body}"));
        }
        let (data, bank) = (&value["data"], &self.model.bank);
        let fits = match name {
            "AccountBalances" => {
                let account = bank.accounts.get(id).map(|account| json!(account.balance));
                account.is_none_or(|balance| data["balances"][id]["balance"] == balance)
            }
            "TransactionHistory" => {
                let moved = bank.movements.iter().rev().take_while(|moved| **moved > before);
                data["transactions"].as_array().map(Vec::len) == Some(moved.count())
            }
            "DailySummary" => {
                let of = |side: &str| data["summary"][side].to_string();
                (of("deposits"), of("withdrawals"))
                    == (bank.sums.0.to_string(), bank.sums.1.to_string())
            }
            "Book" => {
                let row = self.model.streams.get(id);
                row.is_none_or(|(count, last)| data[id] == json!([codes(release).0, count, last]))
            }
            _ => *data == json!(self.model.types),
        };
        let fits = fits && value["lag"] == 0;
        if fits { Ok(()) } else { Err(format!("{name} of {id} is shown {body}")) }
    }

    fn shows_effect(&self, which: (u64, u64), reply: &Reply) -> Checked<()> {
        let (status, body) = kit::shown(reply);
        if self.excused(status) {
            return Ok(());
        }
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let call = self.model.outbox.all.get(&which).ok_or("no such effect")?;
        let expected = self.model.outbox.shown(which, self.is_held());
        let shown = &value[0];
        let fits = (&shown["id"], &shown["attempt"], &shown["status"])
            == (&json!(call.id), &json!(call.attempt), &json!(expected));
        if fits { Ok(()) } else { Err(format!("{call:?} is shown {status} {body}")) }
    }

    /// Something that no step has touched of late, as it is or as it was; or a snapshot of it.
    pub(super) fn look(&mut self) -> Checked<()> {
        let accounts = &self.model.bank.accounts;
        let many = self.below(accounts.len() as u64 + 1) as usize;
        let id = accounts.keys().nth(many).cloned().unwrap_or_else(|| "acc-none".into());
        let version = accounts.get(&id).map_or(0, |account| account.version);
        if self.below(3) == 0 && !self.is_held() {
            return self.take_snapshot(&id, version > 0);
        }
        if version > 1 && self.below(2) == 0 {
            let version = 1 + self.below(version);
            return self.look_back(&id, version);
        }
        let Some(replies) = self.ask(vec![self.query(&id)]) else { return Ok(()) };
        self.read_log()?;
        replies.first().map_or(Ok(()), |reply| self.shows_state(&id, reply))
    }

    /// A snapshot taken on request holds the state of its version.
    fn take_snapshot(&mut self, id: &str, there: bool) -> Checked<()> {
        let target = format!("/snapshots/account/{id}");
        let requests = vec![kit::request("POST", &target, "", &[]), get(&target)];
        let Some(replies) = self.ask(requests) else { return Ok(()) };
        self.read_log()?;
        let mut taken = there;
        for reply in &replies {
            let (status, body) = kit::shown(reply);
            let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
            let history = self.model.bank.accounts.get(id).map(|account| &account.history);
            let version = value["version"].as_u64().unwrap_or_default() as usize;
            let then = history.and_then(|history| history.get(version.wrapping_sub(1)));
            let fits = match status {
                404 => !taken,
                200 | 201 => then.is_some_and(|balance| value["state"]["balance"] == *balance),
                _ => self.excused(status),
            };
            if !fits {
                return Err(format!("a snapshot of {id}: {status} {body}"));
            }
            taken &= status < 300;
            if status == 201 {
                self.model.happened.note("a snapshot is taken on request");
            }
        }
        Ok(())
    }

    /// A state as of then is what it was then.
    fn look_back(&mut self, id: &str, version: u64) -> Checked<()> {
        let target = format!("/queries/account/{id}?atVersion={version}");
        let Some(replies) = self.ask(vec![get(&target)]) else { return Ok(()) };
        self.read_log()?;
        let (status, body) = replies.first().map(kit::shown).unwrap_or_default();
        let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
        let history = self.model.bank.accounts.get(id).map(|account| &account.history);
        let then = history.and_then(|history| history.get(version as usize - 1));
        let fits = then.is_some_and(|balance| value["balance"] == *balance);
        match fits || self.excused(status) {
            true => Ok(()),
            false => Err(format!("{target}: {then:?}, shown {status} {body}")),
        }
    }

    /// Everything that a projection shows, page by page.
    pub(super) fn whole(&mut self, name: &str, member: &str) -> Checked<Value> {
        let (mut all, mut after) = (serde_json::Map::new(), String::new());
        loop {
            let target = format!("/projections/{name}?limit=1000{after}");
            let (status, body) = kit::run(&mut self.bank, get(&target));
            let value: Value = serde_json::from_str(&body).map_err(|e| format!("{e}: {body}"))?;
            let data = &value["data"];
            let shown = if member.is_empty() { data } else { &data[member] };
            let shown = shown.as_object().ok_or_else(|| format!("{status} {body}"))?;
            all.extend(shown.clone());
            match shown.keys().next_back() {
                Some(last) if shown.len() == 1_000 => after = format!("&after={last}"),
                _ => return Ok(Value::Object(all)),
            }
        }
    }
}
