//! Marks: texts without which a line holds no event of some kind.
//!
//! Owns which bytes a line must have for a filter to let an event of it through. Refuses to tell
//! that it does: payloads may have the same bytes, so only what is missing means anything.
//!
//! Invariant: they are spelled as [`Commit::line`](super::Commit::line) spells them, so they hold
//! for lines that were written here. An imported line may spell the same otherwise.

use alloc::string::String;

use crate::ids;
use crate::json::push_string;

/// What a line with an event of this type has.
pub fn mark_of_type(event_type: &str) -> String {
    member("type", event_type)
}

/// What a line with an event of such a stream has.
pub fn mark_of_category(aggregate_type: &str) -> String {
    let mut mark = member("stream", aggregate_type);
    // The stream's id follows.
    mark.pop();
    mark
}

/// What a line of this correlation id has; `None` when it may be the id that a commit goes by
/// which was given none: that follows from its position.
pub fn mark_of_correlation(id: &str) -> Option<String> {
    let given = ids::position_of_event_id(id).is_none();
    given.then(|| {
        // As the commit's own, or as the id of its first event.
        let mut mark = String::new();
        push_string(&mut mark, id);
        mark
    })
}

fn member(name: &str, value: &str) -> String {
    let mut mark = String::from("\"");
    mark.push_str(name);
    mark.push_str("\":");
    push_string(&mut mark, value);
    mark
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::super::{Commit, Event};
    use super::*;

    #[test]
    fn a_line_has_the_marks_of_all_that_is_in_it() {
        for text in ["Paid", "a b", "q\"uote", "back\\slash", "line\nfeed", "\u{1}", "ä", ""] {
            let event = |id: Option<&'static str>| Event {
                id: id.map(Into::into),
                event_type: text.into(),
                stream: ids::stream_name(text, "x").into(),
                version: 1,
                data: "{}",
                ..Event::default()
            };
            let mut commit = Commit { events: vec![event(None)], ..Commit::default() };
            commit.correlation_id = Some(text.into());
            let line = commit.line();
            assert!(line.contains(&mark_of_type(text)), "{line}");
            assert!(line.contains(&mark_of_category(text)), "{line}");
            assert!(mark_of_correlation(text).is_some_and(|mark| line.contains(&mark)), "{line}");
        }
        let first = Event { id: Some("mine".into()), data: "{}", ..Event::default() };
        let line = Commit { events: vec![first], ..Commit::default() }.line();
        assert!(mark_of_correlation("mine").is_some_and(|mark| line.contains(&mark)), "{line}");
    }

    #[test]
    fn a_line_without_it_lacks_the_mark() {
        let event = Event {
            event_type: "Paid".into(),
            stream: "Account:a".into(),
            data: "{}",
            ..Event::default()
        };
        let correlation_id = Some("one".into());
        let line = Commit { correlation_id, events: vec![event], ..Commit::default() }.line();
        for mark in [mark_of_type("Pai"), mark_of_type("Account"), mark_of_category("Paid")] {
            assert!(!line.contains(&mark), "{mark} in {line}");
        }
        assert!(mark_of_correlation("on").is_some_and(|mark| !line.contains(&mark)), "{line}");
    }

    #[test]
    fn an_id_that_follows_from_a_position_has_no_mark() {
        assert_eq!(mark_of_correlation("evt-007"), None);
        assert!(mark_of_correlation("evt-7").is_some());
    }
}
