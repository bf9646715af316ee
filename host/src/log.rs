//! The host's own log: one event per line on standard error, as JSON or for people.
//!
//! Owns the two forms and the choice between them. Refuses payloads: callers pass names, numbers
//! and messages of the machinery, never what a client sent; but for address and subject of an email
//! that is logged instead of sent.

use std::io::{IsTerminal, Write};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use foldlog_core::time::Time;

use crate::json::Object;

/// How lines look.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, clap::ValueEnum)]
pub enum Format {
    /// Text on a terminal, JSON elsewhere.
    #[default]
    Auto,
    /// One JSON object a line.
    Json,
    /// One readable line.
    Text,
}

#[derive(Clone, Copy, Debug)]
enum Level {
    Info,
    Warn,
    Error,
}

impl Level {
    const fn name(self) -> &'static str {
        match self {
            Self::Info => "info",
            Self::Warn => "warn",
            Self::Error => "error",
        }
    }
}

static JSON: AtomicBool = AtomicBool::new(false);

/// Chooses the form, for the whole process.
pub fn init(format: Format) {
    let json = match format {
        Format::Auto => !std::io::stderr().is_terminal(),
        Format::Json => true,
        Format::Text => false,
    };
    JSON.store(json, Ordering::Relaxed);
}

/// An event on its way into the log; nothing is written before [`Event::write`].
#[derive(Debug)]
#[must_use]
pub struct Event {
    level: Level,
    what: &'static str,
    fields: Vec<(&'static str, String)>,
}

/// As it should be.
pub const fn info(what: &'static str) -> Event {
    Event { level: Level::Info, what, fields: Vec::new() }
}

/// Handled, and worth a look.
pub const fn warn(what: &'static str) -> Event {
    Event { level: Level::Warn, what, fields: Vec::new() }
}

/// Something did not work.
pub const fn error(what: &'static str) -> Event {
    Event { level: Level::Error, what, fields: Vec::new() }
}

impl Event {
    /// Says more about it.
    pub fn with(mut self, name: &'static str, value: impl std::fmt::Display) -> Self {
        self.fields.push((name, value.to_string()));
        self
    }

    /// Writes it, as one line and with one write, so that lines of several threads never mix.
    pub fn write(self) {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        let time = Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX)).to_iso();
        let line = if JSON.load(Ordering::Relaxed) { self.json(&time) } else { self.text(&time) };
        // A closed stderr is no reason to stop.
        let _ = std::io::stderr().lock().write_all(line.as_bytes());
    }

    fn json(self, time: &str) -> String {
        let object = Object::default().text("time", time).text("level", self.level.name());
        let object = object.text("event", self.what);
        let fields = self.fields.iter();
        fields.fold(object, |object, (name, value)| object.text(name, value)).end() + "\n"
    }

    fn text(self, time: &str) -> String {
        let mut line = format!("{time} {:5} {}", self.level.name(), self.what);
        for (name, value) in self.fields {
            line.push_str(&format!(" {name}={}", value.replace('\n', " | ")));
        }
        line.push('\n');
        line
    }
}
