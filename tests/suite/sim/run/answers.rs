//! Answers of a run, one by one, against the reference and the log.
//!
//! Owns when an answer is right. Refuses to know what comes next.

use std::iter::Peekable;

use foldlog_core::driver::Reply;
use serde_json::Value;

use super::super::super::engine::kit::{self, header};
use super::super::commands::Command;
use super::super::model::Expected;
use super::super::rows::Checked;
use super::Run;

impl Run {
    /// One answer against the reference as of then, which then takes the command's line in. What
    /// the system did in between is in the log, and the answer is right after some of it.
    pub(super) fn answer<'l>(
        &mut self,
        command: &Command,
        reply: &Reply,
        lines: &mut Peekable<impl Iterator<Item = &'l String>>,
    ) -> Checked<()> {
        if let Some(genesis) = lines.next_if(|line| is_genesis(line)) {
            self.take(genesis)?;
        }
        let fits = |status: u16, expected: &Expected| match expected {
            Expected::Refused(wanted) => status == *wanted,
            Expected::Nothing => status == 200,
            Expected::Done | Expected::Before(_) | Expected::Known(_) => status < 300,
        };
        let (status, body) = kit::shown(reply);
        let own = format!("\"meta\":{{\"tag\":\"{}\"}}", command.tag);
        let mut expected = self.expect(command);
        while status < 500 || body.contains("unknown-outcome") {
            let done = expected == Expected::Done && status < 300;
            let here = lines.peek().is_some_and(|line| line.contains(&own));
            if here || status < 500 && !done && fits(status, &expected) {
                break;
            }
            let Some(line) = lines.next_if(|line| is_of_system(line)) else { break };
            self.take(line)?;
            expected = self.expect(command);
        }
        match (status, expected) {
            (500.., _) => self.failed(command, status, &body, lines, &own),
            (200..=202, Expected::Done) => {
                let line = lines.next().ok_or("acknowledged, and not in the log")?;
                self.take(line)?;
                if !self.model.done.contains_key(&command.tag) {
                    return Err(format!("the log has another commit in its place: {line}"));
                }
                self.told.insert(command.tag, (status, body.clone()));
                self.agree(command.tag, status, &body)
            }
            (200..=202, Expected::Before(tag)) => self.repeated(tag, reply),
            (200, Expected::Known(tag)) => {
                if header(reply, "Idempotency-Replayed") != Some("true") {
                    return Err("known events that are not said to be".into());
                }
                // Its commit is told, and nothing came into being.
                let first = self.model.done.get(&tag).map_or(0, |done| done.status);
                self.agree(tag, first, &body)
            }
            (200, Expected::Nothing) if body.contains("\"events\":[]") => {
                self.model.happened.note("command without events");
                self.model.refused.insert(command.tag);
                Ok(())
            }
            (_, Expected::Refused(wanted)) if status == wanted => self.refused(command, &body),
            (status, expected) => Err(format!("expected {expected:?}, got {status} {body}")),
        }
    }

    fn expect(&self, command: &Command) -> Expected {
        self.model.expect(command, &self.moment(), &command.fingerprint())
    }

    /// What a key was used for is answered again, byte by byte.
    fn repeated(&mut self, tag: u64, reply: &Reply) -> Checked<()> {
        self.model.happened.note("a key is sent again");
        let (status, body) = kit::shown(reply);
        if header(reply, "Idempotency-Replayed") != Some("true") {
            return Err("a repetition that does not say so".into());
        }
        match self.told.get(&tag) {
            Some(first) if *first != (status, body.clone()) => {
                Err(format!("first told {first:?}, now {body}"))
            }
            _ => self.agree(tag, status, &body),
        }
    }

    fn refused(&mut self, command: &Command, body: &str) -> Checked<()> {
        let held = body.contains("urn:foldlog:held");
        if held != self.is_held() {
            return Err(format!("held or not, it is refused so: {body}"));
        }
        self.model.happened.note(match held {
            true => "command refused while the log is held",
            false => "command refused",
        });
        self.model.refused.insert(command.tag);
        Ok(())
    }

    /// An answer of a server that failed: only when something did, and only with an unknown outcome
    /// may it be done.
    fn failed<'l>(
        &mut self,
        command: &Command,
        status: u16,
        body: &str,
        lines: &mut Peekable<impl Iterator<Item = &'l String>>,
        own: &str,
    ) -> Checked<()> {
        if !self.is_disturbed() {
            return Err(format!("nothing failed, and it is answered {status} {body}"));
        }
        if !matches!(status, 500 | 503 | 507) {
            return Err(format!("no status of a failure: {status} {body}"));
        }
        if !body.contains("unknown-outcome") {
            self.model.refused.insert(command.tag);
            return Ok(());
        }
        self.model.happened.note("unknown outcome");
        if command.key.is_some() || command.event_id.is_some() {
            self.open.push(command.clone());
        }
        // It may be there, before what the same batch did after it.
        lines.next_if(|line| line.contains(own)).map_or(Ok(()), |line| self.take(line))
    }

    /// A read within a batch shows what the commands before it did, and not what comes after.
    pub(super) fn seen_between<'l>(
        &mut self,
        id: &str,
        reply: &Reply,
        lines: &mut Peekable<impl Iterator<Item = &'l String>>,
    ) -> Checked<()> {
        if let Some(genesis) = lines.next_if(|line| is_genesis(line)) {
            self.take(genesis)?;
        }
        loop {
            let Err(what) = self.shows_state(id, reply) else { return Ok(()) };
            let Some(line) = lines.next_if(|line| is_of_system(line)) else { return Err(what) };
            self.take(line)?;
        }
    }

    /// What an answer tells of a commit is what the log says.
    fn agree(&self, tag: u64, status: u16, body: &str) -> Checked<()> {
        let done = self.model.done.get(&tag).ok_or("told to be done, and not in the log")?;
        let value: Value = serde_json::from_str(body).map_err(|e| format!("{e}: {body}"))?;
        if value["position"] != done.position
            || value["hash"] != *done.hash
            || status != done.status
        {
            return Err(format!("told {status} {body}, the log has {done:?}"));
        }
        Ok(())
    }
}

fn is_genesis(line: &str) -> bool {
    line.starts_with("{\"position\":0,")
}

fn is_of_system(line: &str) -> bool {
    line.contains(",\"cause\":{")
}
