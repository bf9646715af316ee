//! What happens to consumers, as lines of the host's log.
//!
//! Owns their words. Refuses payloads, secrets, and of callbacks more than the host.

use foldlog_core::driver::Note;

use crate::log;

/// Writes one line.
pub fn write(partition: &str, note: &Note) {
    let line = match note {
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
