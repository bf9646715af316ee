//! What happened in runs: counts by name, to see that runs do what they are for.

use std::collections::BTreeMap;

/// How often what happened.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Happened(BTreeMap<&'static str, u64>);

/// Over all histories of a test each of these happens, or they would prove nothing about it.
pub const MUST: [&str; 46] = [
    "a command of the system is refused for its traps",
    "a key is sent again",
    "a key is sent again when it expired",
    "a projection is rebuilt",
    "a projection is rebuilt after its quarantine",
    "a snapshot is taken on request",
    "a timer comes",
    "a timer comes and finds nothing to do",
    "a timer is cancelled",
    "a timer is replaced",
    "a transfer ends",
    "a transfer is refunded",
    "a write fails and is not there",
    "a write fails and is there",
    "an effect ends in a command",
    "an effect is done",
    "an effect is given up",
    "an effect is given up when its deadline passed",
    "an effect is tried again",
    "an effect lists the partition",
    "an effect's result is lost",
    "an effect's result is told twice",
    "clock ahead",
    "clock back over a timer",
    "clock back over an effect",
    "command refused",
    "command refused while the log is held",
    "command without events",
    "crash after a block was stored",
    "crash after a checkpoint was stored",
    "crash before a write",
    "crash in a slice",
    "crash while adopting",
    "crash while opening",
    "crash while reading",
    "damaged row",
    "full disk",
    "guest changed",
    "guest changed with something pending",
    "log adopted",
    "log moved with something pending",
    "quarantine",
    "read fails",
    "trap",
    "trap of what is built",
    "unknown outcome",
];

impl Happened {
    pub fn note(&mut self, what: &'static str) {
        *self.0.entry(what).or_default() += 1;
    }

    pub fn count(&self, what: &str) -> u64 {
        self.0.get(what).copied().unwrap_or_default()
    }

    pub fn add(&mut self, other: &Self) {
        for (what, count) in &other.0 {
            *self.0.entry(what).or_default() += count;
        }
    }

    pub fn shown(&self) -> String {
        self.0.iter().map(|(what, count)| format!("{count:>9} {what}\n")).collect()
    }
}
