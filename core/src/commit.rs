//! A commit: what one command did, why, and the one line it is stored as.
//!
//! Owns the members of a line, their order and spelling (`docs/format.md` says the same in words).
//! Refuses to know hashes (64 zeros stand for one) and what events mean: data are JSON tokens that
//! pass through unchanged.
//!
//! Invariant: reading a line and writing what was read gives the same line, so what a decision
//! proposes and what a fold reads go through the same code.

mod marks;
mod read;

pub use marks::{mark_of_category, mark_of_correlation, mark_of_type};
pub use read::Unreadable;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::chain::{HASH_HOLE, hex};
use crate::json::{push_string, push_unsigned};
use crate::protocol::OpenSettings;
use crate::registry::Registry;

/// Schema version of an event that states none.
pub const SCHEMA_VERSION: &str = "1.0.0";

/// One line of a log after genesis.
#[derive(Clone, Debug, Default)]
pub struct Commit<'a> {
    /// Position of the first event.
    pub position: u64,
    /// When, ISO 8601; never before the commit before.
    pub time: Cow<'a, str>,
    /// The raw clock, only when it differed.
    pub clock: Option<Cow<'a, str>>,
    /// Who.
    pub actor: Option<Cow<'a, str>>,
    /// Given by the caller; the first event's id otherwise, and then not stored.
    pub correlation_id: Option<Cow<'a, str>>,
    /// Given by the caller.
    pub causation_id: Option<Cow<'a, str>>,
    /// W3C trace context.
    pub traceparent: Option<Cow<'a, str>>,
    /// How many deliveries to consumers led here, one after the other; 0 is not stored.
    pub hops: u32,
    /// `Foldlog-Meta-*` pairs: one JSON object, names sorted.
    pub meta: Option<&'a str>,
    /// 32 hex digits, only when the decision drew from it.
    pub entropy: Option<Cow<'a, str>>,
    /// Settings that reach decisions, in the first commit decided under them.
    pub settings: Option<&'a str>,
    /// SHA-256 of the guest, in the first commit decided by it.
    pub guest: Option<Cow<'a, str>>,
    /// The command that caused it, when a client sent one.
    pub command: Option<Command<'a>>,
    /// The reaction that caused it, when the system did.
    pub cause: Option<Cause<'a>>,
    /// At least one.
    pub events: Vec<Event<'a>>,
    /// What process managers asked for: a JSON array.
    pub reactions: Option<&'a str>,
    /// SHA-256 of the previous hash and this line without its hash.
    pub hash: Option<Cow<'a, str>>,
}

/// A client's command as it is recorded.
#[derive(Clone, Debug, Default)]
pub struct Command<'a> {
    /// Its name.
    pub name: Cow<'a, str>,
    /// Its version; 1 is not stored.
    pub version: u32,
    /// Its payload, without insignificant white space.
    pub data: Option<&'a str>,
    /// SHA-256 of the payload, where payloads are not recorded.
    pub sha256: Option<Cow<'a, str>>,
    /// Idempotency key.
    pub key: Option<Cow<'a, str>>,
    /// SHA-256 of method, path and body, with a key.
    pub request: Option<Cow<'a, str>>,
}

/// A process manager's reaction that led to a commit.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Cause<'a> {
    /// Name of the process manager.
    pub manager: Cow<'a, str>,
    /// First position of the commit that holds the reaction.
    pub position: u64,
    /// Its number in that commit.
    pub n: u32,
}

/// One event of a commit.
#[derive(Clone, Debug, Default)]
pub struct Event<'a> {
    /// Its id, when it does not follow from its position.
    pub id: Option<Cow<'a, str>>,
    /// Its type.
    pub event_type: Cow<'a, str>,
    /// Version of its data's schema; [`SCHEMA_VERSION`] is not stored.
    pub schema_version: Option<Cow<'a, str>>,
    /// `Type:id`.
    pub stream: Cow<'a, str>,
    /// Its place in its stream, from 1.
    pub version: u64,
    /// Its data: a JSON value.
    pub data: &'a str,
}

/// The genesis line.
#[derive(Clone, Debug, Default)]
pub struct Genesis<'a> {
    /// 0.
    pub position: u64,
    /// Version of the stored format.
    pub format: u32,
    /// Name of the partition.
    pub partition: Cow<'a, str>,
    /// 32 hex digits.
    pub incarnation: Cow<'a, str>,
    /// When it came into being.
    pub time: Cow<'a, str>,
    /// Settings that reach decisions.
    pub settings: &'a str,
    /// SHA-256 of the guest.
    pub guest: Cow<'a, str>,
}

impl<'a> Commit<'a> {
    /// Position of the last event.
    pub fn last_position(&self) -> u64 {
        self.position.saturating_add(self.events.len() as u64).saturating_sub(1)
    }

    /// The line, with zeros where its hash belongs.
    pub fn line(&self) -> String {
        let mut out = Line::start(self.position, self.events.iter().map(|e| e.data.len()).sum());
        out.text("time", Some(&self.time));
        out.text("clock", self.clock.as_deref());
        out.text("actor", self.actor.as_deref());
        out.text("correlationId", self.correlation_id.as_deref());
        out.text("causationId", self.causation_id.as_deref());
        out.text("traceparent", self.traceparent.as_deref());
        out.number("hops", (self.hops > 0).then_some(self.hops.into()));
        out.raw("meta", self.meta);
        out.text("entropy", self.entropy.as_deref());
        out.raw("settings", self.settings);
        out.text("guest", self.guest.as_deref());
        if let Some(command) = &self.command {
            out.open("command");
            out.text("name", Some(&command.name));
            out.number("version", (command.version != 1).then_some(command.version.into()));
            out.raw("data", command.data);
            out.text("sha256", command.sha256.as_deref());
            out.text("key", command.key.as_deref());
            out.text("request", command.request.as_deref());
            out.0.push('}');
        }
        if let Some(cause) = &self.cause {
            out.open("cause");
            out.text("manager", Some(&cause.manager));
            out.number("position", Some(cause.position));
            out.number("n", Some(cause.n.into()));
            out.0.push('}');
        }
        out.0.push_str(",\"events\":[");
        for event in &self.events {
            out.event(event);
        }
        out.0.push(']');
        out.raw("reactions", self.reactions);
        out.end()
    }
}

impl Genesis<'_> {
    /// The line, with zeros where its hash belongs.
    pub fn line(&self) -> String {
        let mut out = Line::start(0, self.settings.len());
        out.number("format", Some(self.format.into()));
        out.text("partition", Some(&self.partition));
        out.text("incarnation", Some(&self.incarnation));
        out.text("time", Some(&self.time));
        out.raw("settings", Some(self.settings));
        out.text("guest", Some(&self.guest));
        out.end()
    }
}

/// A line being written: members in order, commas by looking back.
struct Line(String);

impl Line {
    fn start(position: u64, payload_bytes: usize) -> Self {
        let mut out = String::with_capacity(payload_bytes.saturating_mul(2).saturating_add(400));
        out.push_str("{\"position\":");
        push_unsigned(&mut out, position);
        Self(out)
    }

    fn name(&mut self, name: &str) {
        if !self.0.ends_with(['{', '[']) {
            self.0.push(',');
        }
        self.0.push('"');
        self.0.push_str(name);
        self.0.push_str("\":");
    }

    fn open(&mut self, name: &str) {
        self.name(name);
        self.0.push('{');
    }

    fn text(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            push_string(&mut self.0, value);
        }
    }

    fn raw(&mut self, name: &str, value: Option<&str>) {
        if let Some(value) = value {
            self.name(name);
            self.0.push_str(value);
        }
    }

    fn number(&mut self, name: &str, value: Option<u64>) {
        if let Some(value) = value {
            self.name(name);
            push_unsigned(&mut self.0, value);
        }
    }

    fn event(&mut self, event: &Event<'_>) {
        self.0.push_str(if self.0.ends_with('[') { "{" } else { ",{" });
        self.text("id", event.id.as_deref());
        self.text("type", Some(&event.event_type));
        self.text(
            "schemaVersion",
            event.schema_version.as_deref().filter(|v| *v != SCHEMA_VERSION),
        );
        self.text("stream", Some(&event.stream));
        self.number("version", Some(event.version));
        self.raw("data", Some(event.data));
        self.0.push('}');
    }

    fn end(mut self) -> String {
        self.text("hash", Some(HASH_HOLE));
        self.0.push('}');
        self.0
    }
}

/// The text of a settings member: what reaches decisions and the fold, in one fixed order.
pub fn settings_text(settings: &OpenSettings, registry: &Registry) -> String {
    let mut out = String::from("{\"idempotencyDays\":");
    push_unsigned(&mut out, settings.idempotency_days.into());
    out.push_str(if settings.record_commands {
        ",\"recordCommands\":true"
    } else {
        ",\"recordCommands\":false"
    });
    out.push_str(",\"snapshotEvery\":{");
    for (index, spec) in registry.aggregates.iter().map(|a| a.spec()).enumerate() {
        if index > 0 {
            out.push(',');
        }
        push_string(&mut out, spec.aggregate_type);
        out.push(':');
        push_unsigned(&mut out, settings.snapshot_every.unwrap_or(spec.snapshot_every).into());
    }
    out.push_str("},\"snapshotsKept\":");
    push_unsigned(&mut out, settings.snapshots_kept.into());
    out.push_str(",\"emailBackoffMs\":");
    push_unsigned(&mut out, settings.email_backoff_ms.into());
    // Only where it is not as ever: of logs without it the settings have not changed.
    if settings.allow_private_callbacks {
        out.push_str(",\"allowPrivateCallbacks\":true");
    }
    out.push('}');
    out
}

/// 32 hex digits.
pub fn hex16(bytes: &[u8; 16]) -> String {
    hex(bytes)
}
