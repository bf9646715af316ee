//! Ids: which forms they have, and which follow from a position.
//!
//! Owns the character sets and lengths of HTTP's ids, partition names and stream names, and the
//! spelling of generated event ids. Refuses to know what any of them names.
//!
//! Invariant: the id of a published event follows from its topic and its number there, so it is not
//! stored; that of any other event follows from its position, unless its caller gave it one.

use alloc::format;
use alloc::string::String;

use crate::json::push_unsigned;
use crate::limits::{
    EMAIL_CHARS_MAX, HEADER_ID_CHARS_MAX, ID_CHARS_MAX, INTEGER_MAX, PARTITION_CHARS_MAX,
    TOPIC_CHARS_MAX,
};

/// `[A-Za-z0-9._:-]{1,128}`, and not a path's `.` or `..`.
pub fn is_id(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || matches!(b, b'.' | b'_' | b':' | b'-');
    (1..=ID_CHARS_MAX).contains(&text.len()) && text.bytes().all(allowed)
}

/// `[a-z0-9][a-z0-9-]{0,62}`.
pub fn is_partition(text: &str) -> bool {
    let allowed = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
    (1..=PARTITION_CHARS_MAX).contains(&text.len())
        && text.bytes().all(allowed)
        && !text.starts_with('-')
}

/// The partition of paths that name none.
pub const DEFAULT_PARTITION: &str = "main";

/// Correlation ids, causation ids and actors: visible ASCII and space, 1 to 255, no leading `~`.
pub fn is_header_id(text: &str) -> bool {
    (1..=HEADER_ID_CHARS_MAX).contains(&text.len())
        && text.bytes().all(|b| (b' '..=b'~').contains(&b))
        && !text.starts_with('~')
}

/// `Type:id`. A type holds no colon, so the first one separates.
pub fn stream_name(aggregate_type: &str, aggregate_id: &str) -> String {
    [aggregate_type, ":", aggregate_id].concat()
}

/// Type and id of a stream's name.
pub fn split_stream(name: &str) -> Option<(&str, &str)> {
    // A name is short: looking byte by byte is quicker than starting a search.
    let at = name.bytes().position(|byte| byte == b':')?;
    Some((name.get(..at)?, name.get(at.saturating_add(1)..)?))
}

/// The id of an event that was given none: `evt-` and the position, at least three digits.
pub fn event_id(position: u64) -> String {
    let mut id = String::from("evt-");
    for padded in [100, 10] {
        if position < padded {
            id.push('0');
        }
    }
    push_unsigned(&mut id, position);
    id
}

/// The position that a generated event id names; `None` for any other id.
pub fn position_of_event_id(id: &str) -> Option<u64> {
    let digits = id.strip_prefix("evt-")?;
    let padded = digits.len() == 3 || (digits.len() > 3 && !digits.starts_with('0'));
    let plain = digits.bytes().all(|b| b.is_ascii_digit());
    digits.parse().ok().filter(|n| padded && plain && (1..=INTEGER_MAX).contains(n))
}

/// Type of the streams that events are published to. Their id is the topic's name.
pub const TOPIC: &str = "Topic";

/// Type of the streams that say what may be published to a topic. Their id is its name too.
pub const TOPIC_DEFINITION: &str = "TopicDefinition";

/// `[a-z][a-z0-9._-]{0,63}`, and not `evt`: event ids of that form name positions.
pub fn is_topic(text: &str) -> bool {
    let allowed =
        |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || matches!(b, b'.' | b'_' | b'-');
    (1..=TOPIC_CHARS_MAX).contains(&text.len())
        && text.bytes().all(allowed)
        && text.starts_with(|c: char| c.is_ascii_lowercase())
        && text != "evt"
}

/// The id of an event that was given none.
pub fn made_event_id(stream: &str, version: u64, position: u64) -> String {
    match split_stream(stream) {
        Some((TOPIC, topic)) => format!("{topic}-{version}"),
        _ => event_id(position),
    }
}

/// Topic and number of an event's id that has the form of a published one's.
pub fn published(id: &str) -> Option<(&str, u64)> {
    let (topic, digits) = id.rsplit_once('-')?;
    let plain = digits.bytes().all(|b| b.is_ascii_digit()) && !digits.starts_with('0');
    let number = digits.parse().ok().filter(|n| plain && (1..=INTEGER_MAX).contains(n))?;
    is_topic(topic).then_some((topic, number))
}

/// An id for what its creator gave none: a UUID of version 4, made of these 16 bytes.
pub fn uuid(entropy: [u8; 16]) -> String {
    let mut out = String::with_capacity(36);
    for (index, byte) in entropy.into_iter().enumerate() {
        if matches!(index, 4 | 6 | 8 | 10) {
            out.push('-');
        }
        // Version and variant: RFC 9562, sections 4.1, 4.2 and 5.4.
        let byte = match index {
            6 => (byte & 0x0f) | 0x40,
            8 => (byte & 0x3f) | 0x80,
            _ => byte,
        };
        out.push_str(&format!("{byte:02x}"));
    }
    out
}

/// Whether a text is an email address as HTML defines it for forms, within the lengths of mail:
/// <https://html.spec.whatwg.org/multipage/input.html#valid-e-mail-address>, RFC 5321, 4.5.3.1.
pub fn is_email(text: &str) -> bool {
    let Some((local, domain)) = text.split_once('@') else { return false };
    let of_local = |b: u8| b.is_ascii_alphanumeric() || b".!#$%&'*+/=?^_`{|}~-".contains(&b);
    let label = |label: &str| {
        let plain = label.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-');
        (1..=63).contains(&label.len()) && plain && !label.starts_with('-') && !label.ends_with('-')
    };
    text.len() <= EMAIL_CHARS_MAX
        && (1..=64).contains(&local.len())
        && local.bytes().all(of_local)
        && domain.split('.').all(label)
}

/// Whether an id has the form of generated ones, so that callers may not choose it.
pub fn is_reserved_event_id(id: &str) -> bool {
    id.strip_prefix("evt-")
        .is_some_and(|rest| !rest.is_empty() && rest.bytes().all(|b| b.is_ascii_digit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn event_ids_have_one_spelling() {
        assert_eq!(event_id(7), "evt-007");
        assert_eq!(event_id(12_345), "evt-12345");
        for (id, position) in [
            ("evt-007", Some(7)),
            ("evt-7", None),
            ("evt-0007", None),
            ("evt-1000", Some(1000)),
            ("evt-000", None),
            ("evt-+07", None),
            ("evt-", None),
            ("evt-99999999999999999999", None),
        ] {
            assert_eq!(position_of_event_id(id), position, "{id}");
        }
    }

    #[test]
    fn made_ids_are_uuids_and_ids() {
        assert_eq!(uuid([0; 16]), "00000000-0000-4000-8000-000000000000");
        assert_eq!(uuid([0xff; 16]), "ffffffff-ffff-4fff-bfff-ffffffffffff");
        let counted = core::array::from_fn(|n| u8::try_from(n).expect("below 16"));
        assert_eq!(uuid(counted), "00010203-0405-4607-8809-0a0b0c0d0e0f");
        assert!(is_id(&uuid(counted)));
    }

    #[test]
    fn published_events_go_by_topic_and_number() {
        assert_eq!(made_event_id("Topic:user-events", 3, 70), "user-events-3");
        assert_eq!(made_event_id("Topics:user-events", 3, 70), "evt-070");
        for (id, found) in [
            ("user-events-3", Some(("user-events", 3))),
            ("a-1", Some(("a", 1))),
            ("a.b_c-d-120", Some(("a.b_c-d", 120))),
            ("a-0", None),
            ("a-01", None),
            ("a--1", Some(("a-", 1))),
            ("a-", None),
            ("a", None),
            ("evt-7", None),
            ("A-7", None),
            ("1a-7", None),
            ("a-99999999999999999999", None),
        ] {
            assert_eq!(published(id), found, "{id}");
        }
        assert!(is_topic(&"a".repeat(64)) && !is_topic(&"a".repeat(65)) && !is_topic(""));
    }

    #[test]
    fn ids_are_bounded() {
        assert!(is_id(&"a".repeat(128)) && !is_id(&"a".repeat(129)) && !is_id(""));
        assert!(is_id("a.B_c:d-9") && !is_id("a/b") && !is_id("ä") && !is_id("a b"));
        assert!(
            is_partition("0-a")
                && !is_partition("-a")
                && !is_partition("A")
                && !is_partition(&"a".repeat(64))
        );
    }
}
