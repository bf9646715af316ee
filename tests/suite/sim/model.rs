//! The reference: a bank and bells in ordinary maps, fed by the lines of the log, one at a time.
//!
//! Owns what must hold of every line, given all lines before, and what a command must be answered.
//! Knows nothing of rows, blocks and caches; reads lines as any JSON reader would.
//!
//! Reading order: `bank`, `transfers`, `bells` (what may happen to each), `waiting` (law 4),
//! `outbox` (effects).

mod bank;
mod bells;
mod outbox;
mod transfers;
mod waiting;

use std::collections::{BTreeMap, BTreeSet};

use foldlog_core::chain::Chain;
use serde_json::Value;

use super::commands::{Command, Kind, account};
use super::happened::Happened;
use bank::Bank;
use bells::Bells;
use outbox::Outbox;
use transfers::Transfers;
use waiting::Waiting;

/// Milliseconds that an idempotency key lives.
const KEY_MS: u64 = 7 * 86_400_000;

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
    /// Fine, and there is nothing to do.
    Nothing,
    /// Done now.
    Done,
    /// Done before, by the command with this tag.
    Before(u64),
    /// The event that it names is there, made by the command with this tag.
    Known(u64),
}

/// How things are when a line is written.
#[derive(Clone, Copy, Debug)]
pub struct Moment {
    pub now: u64,
    /// The log is another host's.
    pub held: bool,
    /// The guest may trap: what the system does may be refused for that.
    pub traps: bool,
    /// The partition is to be listed.
    pub listed: bool,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Model {
    chain: Chain,
    pub bank: Bank,
    pub transfers: Transfers,
    pub bells: Bells,
    pub waiting: Waiting,
    pub outbox: Outbox,
    /// What each command did, by its tag.
    pub done: BTreeMap<u64, Done>,
    /// Commands that were certainly not done, by their tags.
    pub refused: BTreeSet<u64>,
    keys: BTreeMap<String, Used>,
    /// The command that made the event of each id given by a caller, by its tag.
    event_ids: BTreeMap<String, u64>,
    /// By id of stream: how many events, and where the last one is.
    pub streams: BTreeMap<String, (u64, u64)>,
    pub types: BTreeMap<String, u64>,
    /// Streams that changed since they were looked at.
    pub touched: BTreeSet<String>,
    /// The newest that the log tells, in hexadecimal.
    pub incarnation: String,
    pub position: u64,
    pub time: u64,
    pub happened: Happened,
}

type Checked<T> = Result<T, String>;

fn millis(value: &Value) -> Checked<u64> {
    let text = value.as_str().ok_or("a time is no string")?;
    foldlog_core::time::Time::parse_iso(text).map(|t| t.0).ok_or_else(|| format!("time {text}"))
}

fn text(value: &Value) -> String {
    value.as_str().unwrap_or_default().to_string()
}

impl Model {
    /// Takes the next line in, or says what of it must not be.
    pub fn take_line(&mut self, line: &str, at: &Moment) -> Checked<()> {
        self.chain.take(line).map_err(|e| format!("{e}: {line}"))?;
        let value: Value = serde_json::from_str(line).map_err(|e| format!("{e}: {line}"))?;
        self.take_value(&value, at).map_err(|what| format!("{what}: {line}"))
    }

    fn take_value(&mut self, value: &Value, at: &Moment) -> Checked<()> {
        self.take_time(value, at.now)?;
        if value["position"] == 0 {
            self.incarnation = text(&value["incarnation"]);
            return Ok(());
        }
        let first = self.position + 1;
        let tag = value["meta"]["tag"].as_str().and_then(|tag| tag.parse::<u64>().ok());
        let mut silent = false;
        match tag {
            Some(_) if at.held => return Err("a command is done while the log is held".into()),
            Some(tag) if self.refused.contains(&tag) => {
                return Err("an event of a command that was refused".into());
            }
            Some(tag) => self.take_events(value, tag)?,
            None if value["cause"].is_object() && at.held => {
                return Err("the system acts while the log is held".into());
            }
            None if value["cause"].is_object() => silent = self.take_caused(value, at)?,
            None => self.take_adoption(value, at)?,
        }
        self.bank.money_is_kept()?;
        self.take_reactions(first, value, silent, at)?;
        match tag {
            Some(tag) => self.take_command(value, tag),
            None => Ok(()),
        }
    }

    /// The recorded time never goes back; beside it is what the clock showed.
    fn take_time(&mut self, value: &Value, now: u64) -> Checked<()> {
        let time = millis(&value["time"])?;
        let clock = if value["clock"].is_null() { time } else { millis(&value["clock"])? };
        if clock != now {
            return Err(format!("the clock showed {now}, recorded is {clock}"));
        }
        if time != self.time.max(clock) {
            return Err(format!("the time should be the greater of {} and {clock}", self.time));
        }
        self.time = time;
        Ok(())
    }

    fn take_events(&mut self, value: &Value, tag: u64) -> Checked<()> {
        for event in value["events"].as_array().ok_or("no events")? {
            self.position += 1;
            self.take_event(event, tag)?;
        }
        Ok(())
    }

    fn take_event(&mut self, event: &Value, tag: u64) -> Checked<()> {
        let stream = event["stream"].as_str().unwrap_or_default();
        let Some((kind, id)) = stream.split_once(':') else { return Err("no stream".into()) };
        *self.types.entry(text(&event["type"])).or_default() += 1;
        match kind {
            "BankAccount" => {
                self.bank.take_event(id, event, self.position)?;
                self.transfers.take_step(id, event, &mut self.happened)?;
            }
            "Transfer" => self.transfers.take_event(id, event, &mut self.happened)?,
            "Bell" => self.bells.take_event(id, event)?,
            "~System" => return Ok(()),
            _ => return Err("an event of no stream that there is".into()),
        }
        let (count, last) = self.streams.entry(id.to_string()).or_default();
        (*count, *last) = (*count + 1, self.position);
        self.touched.insert(id.to_string());
        if let Some(event_id) = event["id"].as_str()
            && self.event_ids.insert(event_id.into(), tag).is_some()
        {
            return Err("an event id is used twice".into());
        }
        Ok(())
    }

    /// A commit of the system: it closes what it names. True when no manager was run for it.
    fn take_caused(&mut self, value: &Value, at: &Moment) -> Checked<bool> {
        let cause = &value["cause"];
        let which = (cause["position"].as_u64(), cause["n"].as_u64());
        let (Some(position), Some(n)) = which else { return Err("an incomplete cause".into()) };
        let (which, event) = ((position, n), &value["events"][0]);
        let internal = event["data"]["code"] == "internal";
        if internal && !at.traps {
            return Err("nothing trapped".into());
        }
        if internal {
            self.happened.note("a command of the system is refused for its traps");
        }
        match self.waiting.close(which, at.now, &mut self.happened)? {
            None => self.outbox.settle(which, event, at.now, &mut self.happened)?,
            Some(asked) if asked.manager == "Bells" && !internal => {
                self.bells.ended(&asked, event, &mut self.happened)?;
            }
            Some(asked) => self.transfers.ended(&asked, value, &self.bank.accounts)?,
        }
        self.take_events(value, 0)?;
        Ok(at.traps && value["events"][1]["type"] == "ProcessManager.Stopped")
    }

    fn take_adoption(&mut self, value: &Value, at: &Moment) -> Checked<()> {
        let event = &value["events"][0];
        if event["type"] != "Partition.Adopted" || !at.held {
            return Err("a commit without the tag of its command".into());
        }
        self.incarnation = text(&event["data"]["incarnation"]);
        self.happened.note("log adopted");
        self.take_events(value, 0)
    }

    /// What a commit asks for: what the bells must have asked for is there, and what the partition
    /// itself asks for, and nothing else of theirs.
    fn take_reactions(
        &mut self,
        first: u64,
        value: &Value,
        silent: bool,
        at: &Moment,
    ) -> Checked<()> {
        let adopted = value["events"][0]["type"] == "Partition.Adopted";
        let mut listings = u64::from(at.listed && (first == 1 || adopted));
        let mut expected = Bells::expected(value, self.time, silent).into_iter();
        let clock = at.now;
        for reaction in value["reactions"].as_array().into_iter().flatten() {
            match reaction["manager"].as_str() {
                Some("Bells") => {
                    let (kind, due) = expected.next().ok_or("the bells ask for too much")?;
                    let told = reaction["dueAt"].as_str().map(|_| millis(&reaction["dueAt"]));
                    if reaction["kind"] != kind || due != told.transpose()? {
                        return Err(format!("{kind} at {due:?} was to be asked for"));
                    }
                }
                Some("partition") => {
                    listings = listings.checked_sub(1).ok_or("the partition is listed twice")?;
                }
                _ => {}
            }
            if reaction["kind"] == "effect" {
                self.outbox.open(first, reaction, clock, &self.incarnation)?;
            } else {
                self.waiting.open(first, reaction, &mut self.happened)?;
            }
        }
        match (expected.next(), listings) {
            (None, 0) => Ok(()),
            left => Err(format!("it should ask for more: {left:?}")),
        }
    }

    /// What a client's commit did, under its key and to its client.
    fn take_command(&mut self, value: &Value, tag: u64) -> Checked<()> {
        // Only a first event brings a stream into being, and it is alone in its commit.
        let event = &value["events"][0];
        let status = match (event["version"] == 1, event["type"] == "TransferRequested") {
            (true, true) => 202,
            (true, false) => 201,
            _ => 200,
        };
        // A key protects for seven days: sent again later, a command is another one.
        let mut expired = false;
        let command = &value["command"];
        if let (Some(key), Some(request)) = (command["key"].as_str(), command["request"].as_str()) {
            let used = Used { what: request.into(), tag, time: self.time };
            let before = self.keys.insert(key.into(), used);
            expired = before.as_ref().is_some_and(|before| self.time - before.time >= KEY_MS);
            if before.is_some() && !expired {
                return Err("a key is used twice".into());
            }
            if expired {
                self.happened.note("a key is sent again when it expired");
            }
        }
        let hash = text(&value["hash"]);
        let done = Done { position: self.position, hash, status };
        if self.done.insert(tag, done).is_some() && !expired {
            return Err("a command is done twice".into());
        }
        Ok(())
    }

    /// What a command must be answered, staged at this clock.
    pub fn expect(&self, command: &Command, at: &Moment, fingerprint: &str) -> Expected {
        if at.held {
            return Expected::Refused(409);
        }
        let now = self.time.max(at.now);
        if let Some(used) = command.key.as_ref().and_then(|key| self.keys.get(key))
            && now - used.time < KEY_MS
        {
            return if used.what == fingerprint {
                Expected::Before(used.tag)
            } else {
                Expected::Refused(422)
            };
        }
        let stream = command.stream_id();
        if let Some(tag) = command.event_id.as_ref().and_then(|id| self.event_ids.get(id)) {
            return Expected::Known(*tag);
        }
        let version = self.streams.get(&stream).map_or(0, |(count, _)| *count);
        if command.if_match.is_some_and(|expected| expected != version) {
            return Expected::Refused(412);
        }
        let decided = match command.kind {
            Kind::Transfer(..) if version > 0 => Err(409),
            Kind::Transfer(to, _) if account(to) == command.id => Err(400),
            Kind::Transfer(..) => Ok(1),
            kind if kind.is_of_bells() => self.bells.decide(&command.id, kind),
            kind => self.bank.decide(&command.id, kind),
        };
        match decided {
            Err(status) => Expected::Refused(status),
            Ok(0) => Expected::Nothing,
            // A caller that names events names each one.
            Ok(events) if command.event_id.is_some() && events != 1 => Expected::Refused(400),
            Ok(_) => Expected::Done,
        }
    }
}
