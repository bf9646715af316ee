//! Bells in the reference: what each is at, and what its events must have the system do.

use std::collections::BTreeMap;

use serde_json::Value;

use super::super::commands::Kind;
use super::super::happened::Happened;
use super::waiting::Asked;
use super::{Checked, text};

#[derive(Clone, Copy, Debug, Default)]
pub struct Bell {
    pub version: u64,
    pub wound: bool,
    pub rung: u64,
}

/// See the module's description.
#[derive(Clone, Debug, Default)]
pub struct Bells {
    pub all: BTreeMap<String, Bell>,
}

impl Bells {
    pub fn take_event(&mut self, id: &str, event: &Value) -> Checked<()> {
        let bell = self.all.entry(id.to_string()).or_default();
        bell.version += 1;
        if event["version"] != bell.version {
            return Err(format!("version {} was expected", bell.version));
        }
        match event["type"].as_str().unwrap_or_default() {
            "Wound" => bell.wound = true,
            "Stopped" | "Loosened" if bell.wound => bell.wound = false,
            "Rung" if bell.wound => (bell.wound, bell.rung) = (false, bell.rung + 1),
            "Called" | "Answered" | "GaveUp" => {}
            other => return Err(format!("{other} can not happen to {bell:?}")),
        }
        Ok(())
    }

    /// How many events a command makes, or the status of its refusal.
    pub fn decide(&self, id: &str, kind: Kind) -> Result<u64, u16> {
        let bell = self.all.get(id);
        match kind {
            Kind::Wind(_) | Kind::Call(_) => Ok(1),
            _ => bell.map(|bell| u64::from(bell.wound)).ok_or(404),
        }
    }

    /// Whether a command of the bells had to end so.
    pub fn ended(&self, asked: &Asked, event: &Value, told: &mut Happened) -> Checked<()> {
        let wound = self.all.get(&asked.id).is_some_and(|bell| bell.wound);
        let expected = match asked.command.as_str() {
            "Ring" if wound => "Rung",
            "Ring" => "Command.Settled",
            "Answer" => "Answered",
            _ => "GaveUp",
        };
        told.note(match expected {
            "Rung" => return same(event, expected),
            "Command.Settled" => "a timer comes and finds nothing to do",
            _ => "an effect ends in a command",
        });
        same(event, expected)
    }

    /// What the bells' manager must have asked for because of a commit's events: the kinds of its
    /// reactions, and when timers come.
    pub fn expected(commit: &Value, time: u64, silent: bool) -> Vec<(&'static str, Option<u64>)> {
        let mut expected = Vec::new();
        for event in commit["events"].as_array().into_iter().flatten() {
            let of_bells = event["stream"] == "~System:Bells" && event["data"]["kind"] == "call";
            let after = event["data"]["afterMs"].as_u64().unwrap_or_default();
            expected.push(match event["type"].as_str().unwrap_or_default() {
                "Wound" => ("timer", Some(time + after)),
                "Stopped" => ("cancel", None),
                "Called" | "Rung" => ("effect", None),
                "Effect.Succeeded" | "Effect.Dropped" if of_bells && !silent => ("command", None),
                _ => continue,
            });
        }
        expected
    }
}

fn same(event: &Value, expected: &str) -> Checked<()> {
    match text(&event["type"]) == expected {
        true => Ok(()),
        false => Err(format!("{expected} was expected: {event}")),
    }
}
