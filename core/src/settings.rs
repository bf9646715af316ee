//! Every setting of both hosts, in one table: where it is read from, its defaults, its range.
//!
//! Owns names, defaults and bounds, and turns text into [`Settings`]. Refuses to know how a host
//! reads flags, environment or variables: it passes a closure that does.
//!
//! A value out of range refuses to start; no setting is ever silently clamped.

mod secret;
mod table;

use alloc::format;
use alloc::string::{String, ToString};

use crate::limits::REJECTED_UNSTORED_BYTES_MAX;
use crate::protocol::OpenSettings;

/// Which host asks: defaults differ.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum HostKind {
    /// The binary `foldlog`.
    Native,
    /// The Cloudflare Worker.
    Worker,
}

/// What a number counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Unit {
    /// Bytes; `KiB` and `MiB` may follow the number.
    Bytes,
    /// Milliseconds.
    Milliseconds,
    /// Days.
    Days,
    /// Things.
    Count,
    /// `true` or `false`.
    Switch,
    /// Any text.
    Text,
    /// A text that is never shown. It has no flag: other users of a machine see those.
    Secret,
}

/// One line of the table. Empty text means "not there".
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Setting {
    /// Its name in this repository.
    pub name: &'static str,
    /// Flag of `foldlog serve`, without the dashes.
    pub flag: &'static str,
    /// Environment variable of the native host.
    pub environment: &'static str,
    /// Variable of the Worker.
    pub variable: &'static str,
    /// Default of the native host.
    pub native: &'static str,
    /// Default of the Worker.
    pub worker: &'static str,
    /// Smallest number allowed.
    pub min: u64,
    /// Largest number allowed.
    pub max: u64,
    /// What it counts.
    pub unit: Unit,
    /// What it is for, in one line.
    pub doc: &'static str,
}

impl Setting {
    /// The default for a host.
    pub const fn default(&self, host: HostKind) -> &'static str {
        match host {
            HostKind::Native => self.native,
            HostKind::Worker => self.worker,
        }
    }

    /// What a person would set: the flag natively, the variable on the Worker.
    const fn told(&self, host: HostKind) -> &'static str {
        match host {
            HostKind::Native => self.flag,
            HostKind::Worker => self.variable,
        }
    }
}

/// What a row of the table starts from.
const TEXT: Setting = Setting {
    name: "",
    flag: "",
    environment: "",
    variable: "",
    native: "",
    worker: "",
    min: 0,
    max: u64::MAX,
    unit: Unit::Text,
    doc: "",
};

const KIB: u64 = 1 << 10;
const MIB: u64 = 1 << 20;

pub use secret::Secret;
pub use table::TABLE;

/// How emails are sent.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Mail {
    /// The sender's address.
    pub from: String,
    /// Where SendGrid is, without a `/` at the end.
    pub url: String,
    /// SendGrid's key. Without one, emails are logged and not sent.
    pub key: Option<Secret>,
}

/// All settings, read and checked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Settings {
    /// Directory of the logs.
    pub data: String,
    /// Where logs are kept, when that is not the directory: `memory`, or a database's URL.
    pub store: String,
    /// Address and port to serve on.
    pub listen: String,
    /// Longest request body.
    pub body_bytes_max: u64,
    /// How long a request may wait for its answer.
    pub deadline_ms: u64,
    /// Requests that share one transaction.
    pub batch_commands_max: u32,
    /// Outside calls that a partition makes at a time.
    pub effects_in_flight_max: u32,
    /// How long an outside call may take, from connecting to the end of the answer.
    pub effect_deadline_ms: u64,
    /// How emails are sent.
    pub mail: Mail,
    /// What the keys of consumers are made from; `None`: the host makes and keeps its own.
    pub secret: Option<Secret>,
    /// See [`OpenSettings::allow_private_callbacks`].
    pub allow_private_callbacks: bool,
    /// Bytes of rows a partition keeps in memory.
    pub row_cache_max: u64,
    /// Bytes of one guest instance.
    pub guest_memory_max: u64,
    /// How long the guest may take over one input.
    pub stage_ms_max: u64,
    /// Idleness after which a partition stores its rows.
    pub checkpoint_idle_ms: u64,
    /// Events after which rows are stored at the latest.
    pub tail_events_max: u64,
    /// Whether payloads of commands are kept in the log.
    pub record_commands: bool,
    /// Bytes of refused commands that a partition keeps.
    pub rejected_bytes_max: u64,
    /// Days an idempotency key is remembered.
    pub idempotency_days: u32,
    /// Events between two snapshots of a stream; `None`: as each aggregate says.
    pub snapshot_every: Option<u32>,
    /// Snapshots of a stream that are kept.
    pub snapshots_kept: u32,
    /// See [`OpenSettings::email_backoff_ms`].
    pub email_backoff_ms: u32,
    /// How often a live reader is told that it is not forgotten.
    pub live_heartbeat_ms: u64,
    /// How long a live reader may take nothing while events wait.
    pub live_stall_ms: u64,
    /// Partitions kept open at a time.
    pub partitions_open_max: u32,
    /// Seed of clock and entropy, for tests.
    pub test_stamps: Option<String>,
}

/// A setting that can not be what it was set to.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{setting} is `{value}`: it must be {allowed}")]
pub struct InvalidSetting {
    /// Flag or variable.
    pub setting: String,
    /// What it was set to.
    pub value: String,
    /// What it may be.
    pub allowed: String,
}

impl Settings {
    /// Reads all settings. `lookup` gives what was set, by flag, environment or variable; an empty
    /// text counts as not set.
    pub fn read(
        host: HostKind,
        lookup: &mut dyn FnMut(&Setting) -> Option<String>,
    ) -> Result<Self, InvalidSetting> {
        let mut reader = Reader { host, lookup };
        let port = reader.number("port")?;
        let listen = reader.text("listen");
        Ok(Self {
            data: reader.text("data"),
            store: reader.text("store"),
            listen: if listen.is_empty() { format!("127.0.0.1:{port}") } else { listen },
            body_bytes_max: reader.number("body_bytes_max")?,
            deadline_ms: reader.number("deadline_ms")?,
            batch_commands_max: reader.small("batch_commands_max")?,
            effects_in_flight_max: reader.small("effects_in_flight_max")?,
            effect_deadline_ms: reader.number("effect_deadline_ms")?,
            mail: reader.mail()?,
            secret: reader.secret("secret")?,
            allow_private_callbacks: reader.switch("allow_private_callbacks")?,
            row_cache_max: reader.number("row_cache_max")?,
            guest_memory_max: reader.number("guest_memory_max")?,
            stage_ms_max: reader.number("stage_ms_max")?,
            checkpoint_idle_ms: reader.number("checkpoint_idle_ms")?,
            tail_events_max: reader.number("tail_events_max")?,
            record_commands: reader.switch("record_commands")?,
            rejected_bytes_max: reader.rejected()?,
            idempotency_days: reader.small("idempotency_days")?,
            snapshot_every: reader.optional("snapshot_every")?,
            snapshots_kept: reader.small("snapshots_kept")?,
            email_backoff_ms: reader.small("email_backoff_ms")?,
            live_heartbeat_ms: reader.number("live_heartbeat_ms")?,
            live_stall_ms: reader.number("live_stall_ms")?,
            partitions_open_max: reader.small("partitions_open_max")?,
            test_stamps: Some(reader.text("test_stamps")).filter(|seed| !seed.is_empty()),
        })
    }

    /// Those that a guest is opened with.
    pub const fn open(&self) -> OpenSettings {
        OpenSettings {
            idempotency_days: self.idempotency_days,
            record_commands: self.record_commands,
            snapshot_every: self.snapshot_every,
            snapshots_kept: self.snapshots_kept,
            email_backoff_ms: self.email_backoff_ms,
            allow_private_callbacks: self.allow_private_callbacks,
            body_bytes_max: self.body_bytes_max,
            row_cache_max: self.row_cache_max,
            guest_memory_max: self.guest_memory_max,
        }
    }
}

struct Reader<'a> {
    host: HostKind,
    lookup: &'a mut dyn FnMut(&Setting) -> Option<String>,
}

impl Reader<'_> {
    fn setting(name: &str) -> Setting {
        // The tests hold that every name asked for is in the table.
        TABLE.iter().find(|setting| setting.name == name).copied().unwrap_or(TEXT)
    }

    fn text(&mut self, name: &str) -> String {
        let setting = Self::setting(name);
        let set = (self.lookup)(&setting).filter(|value| !value.is_empty());
        set.unwrap_or_else(|| setting.default(self.host).to_string())
    }

    fn number(&mut self, name: &str) -> Result<u64, InvalidSetting> {
        let setting = Self::setting(name);
        let value = self.text(name);
        // A setting that this host does not have: any number will do.
        if value.is_empty() {
            return Ok(setting.min);
        }
        let number = match setting.unit {
            Unit::Bytes => bytes(&value),
            _ => value.parse().ok(),
        };
        number.filter(|n| (setting.min..=setting.max).contains(n)).ok_or_else(|| {
            let unit = match setting.unit {
                Unit::Bytes => " bytes (KiB and MiB are understood)",
                Unit::Milliseconds => " milliseconds",
                Unit::Days => " days",
                _ => "",
            };
            let allowed = format!("a whole number from {} to {}{unit}", setting.min, setting.max);
            self.invalid(&setting, value, allowed)
        })
    }

    /// Nothing, or room for more than a few.
    fn rejected(&mut self) -> Result<u64, InvalidSetting> {
        let name = "rejected_bytes_max";
        let (bytes, setting) = (self.number(name)?, Self::setting(name));
        if bytes == 0 || bytes >= REJECTED_UNSTORED_BYTES_MAX as u64 {
            return Ok(bytes);
        }
        let (min, max, value) = (REJECTED_UNSTORED_BYTES_MAX, setting.max, self.text(name));
        let allowed = format!("0, or a whole number from {min} to {max} bytes");
        Err(self.invalid(&setting, value, allowed))
    }

    fn small(&mut self, name: &str) -> Result<u32, InvalidSetting> {
        // The table's ranges fit; the tests hold that too.
        self.number(name).map(|number| u32::try_from(number).unwrap_or(u32::MAX))
    }

    fn optional(&mut self, name: &str) -> Result<Option<u32>, InvalidSetting> {
        if self.text(name).is_empty() { Ok(None) } else { self.small(name).map(Some) }
    }

    fn switch(&mut self, name: &str) -> Result<bool, InvalidSetting> {
        let setting = Self::setting(name);
        let value = self.text(name);
        match value.as_str() {
            "true" => Ok(true),
            "false" => Ok(false),
            _ => Err(self.invalid(&setting, value, "true or false".to_string())),
        }
    }

    fn mail(&mut self) -> Result<Mail, InvalidSetting> {
        let from =
            self.checked("email_from", "an address such as `log@example.com`", is_address)?;
        let url = "`https://` or `http://`, a host, and no more than a path";
        let url = self.checked("sendgrid_url", url, is_base_url)?;
        let key = self.secret("sendgrid_api_key")?;
        if key.is_some() && from.is_empty() {
            let allowed = "set when SENDGRID_API_KEY is: SendGrid takes no email without a sender";
            return Err(self.invalid(&Self::setting("email_from"), from, allowed.to_string()));
        }
        Ok(Mail { from, url: url.trim_end_matches('/').to_string(), key })
    }

    /// A text of a form, or none.
    fn checked(
        &mut self,
        name: &str,
        allowed: &str,
        fits: impl FnOnce(&str) -> bool,
    ) -> Result<String, InvalidSetting> {
        let value = self.text(name);
        if value.is_empty() || fits(&value) {
            return Ok(value);
        }
        Err(self.invalid(&Self::setting(name), value, allowed.to_string()))
    }

    fn secret(&mut self, name: &str) -> Result<Option<Secret>, InvalidSetting> {
        let value = self.text(name);
        if value.is_empty() {
            return Ok(None);
        }
        let setting = Self::setting(name);
        let Setting { min, max, .. } = setting;
        let fits = (min..=max).contains(&(value.len() as u64));
        let secret = Secret::new(&value).filter(|_| fits);
        secret.map(Some).ok_or_else(|| {
            let allowed = format!("{min} to {max} visible ASCII characters, no spaces");
            self.invalid(&setting, "[hidden]".to_string(), allowed)
        })
    }

    fn invalid(&self, setting: &Setting, value: String, allowed: String) -> InvalidSetting {
        let told = setting.told(self.host);
        let setting = match self.host {
            HostKind::Native if told.is_empty() => setting.environment.to_string(),
            HostKind::Native => format!("--{told} (or {})", setting.environment),
            HostKind::Worker => told.to_string(),
        };
        InvalidSetting { setting, value, allowed }
    }
}

/// Whether it can be a sender's address; whether there is such a mailbox only sending shows.
fn is_address(text: &str) -> bool {
    let plain = text.chars().all(|c| !c.is_whitespace() && !c.is_control() && !"<>,\"".contains(c));
    let parts = text.rsplit_once('@');
    plain
        && text.len() <= 254
        && parts.is_some_and(|(name, host)| !(name.is_empty() || host.is_empty()))
}

/// Whether paths can be put behind it. Names and passwords in it would be shown.
fn is_base_url(text: &str) -> bool {
    let rest = text.strip_prefix("https://").or_else(|| text.strip_prefix("http://"));
    rest.is_some_and(|rest| {
        let host = rest.split('/').next().unwrap_or_default();
        let plain = rest.bytes().all(|byte| byte.is_ascii_graphic() && !b"?#@\\".contains(&byte));
        plain && !host.is_empty()
    })
}

fn bytes(text: &str) -> Option<u64> {
    let (digits, factor) = match (text.strip_suffix("KiB"), text.strip_suffix("MiB")) {
        (Some(digits), _) => (digits, KIB),
        (_, Some(digits)) => (digits, MIB),
        _ => (text, 1),
    };
    digits.trim_end().parse::<u64>().ok()?.checked_mul(factor)
}

#[cfg(test)]
mod tests;
