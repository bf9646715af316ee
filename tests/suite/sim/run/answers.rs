//! Answers of a run, one by one, against the reference and the log.
//!
//! Owns when an answer is right. Refuses to know what comes next.

use std::iter::Peekable;

use foldlog_core::driver::Reply;
use serde_json::Value;

use super::super::super::engine::kit::{self, header};
use super::super::commands::Command;
use super::super::model::Expected;
use super::{Checked, Run};

impl Run {
    /// One answer against the reference as of then, which then takes the command's line in. What
    /// the system did in between is in the log, and the answer is right after some of it.
    pub(super) fn answer<'l>(
        &mut self,
        command: &Command,
        reply: &Reply,
        clock: u64,
        lines: &mut Peekable<impl Iterator<Item = &'l String>>,
    ) -> Checked<()> {
        if let Some(genesis) = lines.next_if(|line| is_genesis(line)) {
            self.take(genesis)?;
        }
        let fits = |status: u16, expected: &Expected| match expected {
            Expected::Refused(wanted) => status == *wanted,
            Expected::Done | Expected::Before(_) | Expected::Known(_) => status < 300,
        };
        let (status, body) = kit::shown(reply);
        let own = format!("\"meta\":{{\"tag\":\"{}\"}}", command.tag);
        let mut expected = self.model.expect(command, clock, &command.fingerprint());
        while status < 500 || body.contains("unknown-outcome") {
            let done = expected == Expected::Done && status < 300;
            let here = lines.peek().is_some_and(|line| line.contains(&own));
            if here || status < 500 && !done && fits(status, &expected) {
                break;
            }
            let Some(line) = lines.next_if(|line| line.contains(",\"cause\":{")) else { break };
            self.take(line)?;
            expected = self.model.expect(command, clock, &command.fingerprint());
        }
        match (status, expected) {
            (503 | 507 | 500, _) => {
                self.result.unknown += 1;
                if !body.contains("unknown-outcome") {
                    return Ok(());
                }
                if command.key.is_some() || command.event_id.is_some() {
                    self.open.push(command.clone());
                }
                // It may be there, before what the same batch did after it.
                lines.next_if(|line| line.contains(&own)).map_or(Ok(()), |line| self.take(line))
            }
            (200..=202, Expected::Done) => {
                let line = lines.next().ok_or("acknowledged, and not in the log")?;
                self.take(line)?;
                if !self.model.done.contains_key(&command.tag) {
                    return Err(format!("the log has another commit in its place: {line}"));
                }
                self.told.insert(command.tag, (status, body.clone()));
                self.agree(command.tag, status, &body)
            }
            (200..=202, Expected::Before(tag)) => {
                self.result.answered_by_key += 1;
                if header(reply, "Idempotency-Replayed") != Some("true") {
                    return Err("a repetition that does not say so".into());
                }
                if let Some(first) = self.told.get(&tag)
                    && *first != (status, body.clone())
                {
                    return Err(format!("first told {first:?}, now {body}"));
                }
                self.agree(tag, status, &body)
            }
            (200, Expected::Known(tag)) => self.known(tag, reply, &body),
            (status, Expected::Refused(wanted)) if status == wanted => Ok(()),
            (status, expected) => Err(format!("expected {expected:?}, got {status} {body}")),
        }
    }

    /// The event that a command names is there: its commit is told, and nothing came into being.
    fn known(&mut self, tag: u64, reply: &Reply, body: &str) -> Checked<()> {
        self.result.answered_by_key += 1;
        if header(reply, "Idempotency-Replayed") != Some("true") {
            return Err("known events that are not said to be".into());
        }
        let first = self.model.done.get(&tag).map_or(0, |done| done.status);
        self.agree(tag, first, body)
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
