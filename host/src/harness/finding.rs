//! What a check finds wrong, and how it is told.
//!
//! Owns the form of a finding, for people and for their tools, and the exit code. Refuses to know
//! what is checked.

use std::process::ExitCode;

use foldlog_core::chain::{Hash, hex, unhex};

use super::fold::Broken;
use super::rows::Wrong;
use crate::json::Object;

/// Something that is wrong.
#[derive(Debug)]
pub struct Finding {
    check: &'static str,
    position: Option<u64>,
    row: Option<(String, Vec<u8>)>,
    detail: String,
}

impl Finding {
    /// By which check, and what.
    pub fn new(check: &'static str, detail: impl Into<String>) -> Self {
        Self { check, position: None, row: None, detail: detail.into() }
    }

    /// From which position on.
    pub fn at(self, position: u64) -> Self {
        // Most details start with it themselves.
        let detail = self.detail.strip_prefix(&format!("position {position}: "));
        let detail = detail.map_or_else(|| self.detail.clone(), String::from);
        Self { position: Some(position), detail, ..self }
    }

    /// In which row.
    pub fn row(check: &'static str, wrong: Wrong) -> Self {
        Self { row: Some((wrong.view, wrong.key)), ..Self::new(check, wrong.detail) }
    }
}

impl Finding {
    /// For tools.
    pub fn json(&self) -> String {
        let mut object = Object::default().text("check", self.check);
        if let Some(position) = self.position {
            object = object.token("position", position);
        }
        if let Some((view, key)) = &self.row {
            object = object.text("view", view).text("key", &hex(key));
        }
        object.text("detail", &self.detail).end()
    }

    /// For people.
    pub fn text(&self) -> String {
        let mut text = format!("{:9} ", self.check);
        if let Some(position) = self.position {
            text.push_str(&format!("position {position}: "));
        }
        if let Some((view, key)) = &self.row {
            text.push_str(&format!("view {view}, key {}", hex(key)));
            // Most keys are text: easier to recognise.
            let plain = std::str::from_utf8(key).ok().filter(|key| !key.contains(char::is_control));
            text.push_str(&plain.map_or(String::new(), |key| format!(" `{key}`")));
            text.push_str(": ");
        }
        text.push_str(&self.detail);
        text
    }
}

/// 0 when nothing is wrong, else 1.
pub fn exit_code(findings: &[Finding]) -> ExitCode {
    if findings.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// A place in a log, as one run of `verify` prints it and the next one takes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Head {
    /// Position of the last event; nothing when only the hash was given.
    pub position: Option<u64>,
    /// Hash of the line that ends there.
    pub hash: Hash,
}

impl std::str::FromStr for Head {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (position, hash) = match text.split_once(':') {
            Some((position, hash)) => (Some(position.parse().ok()), hash),
            None => (None, text),
        };
        match (position, unhex(hash)) {
            (Some(None), _) | (_, None) => {
                Err("it must be POSITION:HASH, a number and 64 lower-case \
                hexadecimal digits, as verify prints it"
                    .into())
            }
            (position, Some(hash)) => Ok(Self { position: position.flatten(), hash }),
        }
    }
}

/// A place as it is printed.
pub fn head(position: u64, hash: &Hash) -> String {
    format!("{position}:{}", hex(hash))
}

impl Head {
    /// What is wrong with a log that ends at this place, if it had to end here.
    pub fn expected(&self, position: u64, hash: &Hash) -> Option<Finding> {
        if self.hash == *hash && self.position.is_none_or(|expected| expected == position) {
            return None;
        }
        let found = head(position, hash);
        let detail = match self.position {
            Some(expected) if expected > position => format!(
                "the log ends at {found}, {} events before the expected head: it was truncated",
                expected - position
            ),
            Some(expected) if expected < position => {
                format!("the log goes on behind the expected head at {expected}, up to {found}")
            }
            _ => format!(
                "the head is {found}, not the expected one: the log was truncated, goes on, or is \
                 another one"
            ),
        };
        Some(Finding::new("head", detail))
    }
}

impl From<&Broken> for Finding {
    fn from(broken: &Broken) -> Self {
        Self::new("log", broken.detail.clone()).at(broken.position)
    }
}
