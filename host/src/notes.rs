//! What happens to topics and consumers, as lines of the host's log.
//!
//! Owns their words. Refuses payloads, secrets, and of callbacks more than the host.

use foldlog_core::driver::Note;

use crate::log;

/// Writes one line.
pub fn write(partition: &str, note: &Note) {
    let line = match note {
        Note::Topic { topic, created, types } => {
            let what = if *created { "topic created" } else { "schemas registered" };
            log::info(what).with("topic", topic).with("types", types.join(" "))
        }
        Note::Published { topic, first, last } => {
            let line = log::info("events published").with("first", format!("{topic}-{first}"));
            line.with("last", format!("{topic}-{last}"))
        }
        Note::Delivered { consumer, topic, attempt, events } => {
            let line = log::info("delivered").with("consumer", consumer).with("topic", topic);
            line.with("attempt", attempt).with("events", events)
        }
        Note::Registered { consumer, host } => {
            log::info("consumer registered").with("consumer", consumer).with("host", host)
        }
        Note::Removed { consumer, reason } => {
            log::info("consumer removed").with("consumer", consumer).with("reason", reason)
        }
        Note::Failed { consumer, topic, attempt, reason } => {
            let line = log::warn("delivery failed").with("consumer", consumer);
            line.with("topic", topic).with("attempt", attempt).with("reason", reason)
        }
        Note::Started(topic) => log::info("dispatcher started").with("topic", topic),
        Note::Stopped(topic) => log::info("dispatcher stopped").with("topic", topic),
    };
    line.with("partition", partition).write();
}
