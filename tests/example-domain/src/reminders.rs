//! `Reminders`: marks a loan as overdue when its time is over and the book is not back.
//!
//! Owns when that is. Refuses to know the clock: the timer is data, and a host's to keep.

use foldlog_core::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::read::Stop;
use foldlog_core::record::Record;
use foldlog_core::time::Time;

use crate::book::{Book, BookCommand, BookEvent};

/// See the module's description.
#[derive(Debug)]
pub struct Reminders;

impl ProcessManager for Reminders {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Reminders",
        reacts_to: &[("Book", "BookLent"), ("Book", "BookReturned")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let id = record.aggregate_id;
        // One timer per book: lent again, the new one takes the old one's place.
        let key = id.to_string();
        match record.event_of::<Book>()? {
            Some(BookEvent::BookLent { due, .. }) => {
                let due = Time::parse_iso(due).ok_or_else(|| Stop::Fault(format!("due {due}")))?;
                let command = Ordered::to::<Book>(id, &BookCommand::MarkOverdue {})?;
                Ok(vec![Reaction::Timer { key, due, command }])
            }
            Some(BookEvent::BookReturned {}) => Ok(vec![Reaction::Cancel { key }]),
            _ => Ok(vec![]),
        }
    }
}

#[cfg(test)]
mod tests {
    use foldlog_core::process::{Ordered, Reaction};
    use foldlog_core::testing::reacting;
    use foldlog_core::time::Time;

    use super::Reminders;
    use crate::book::{Book, BookCommand, BookEvent};

    #[test]
    fn a_loan_has_a_timer_until_the_book_is_back() {
        let due = "2026-01-29T00:00:00.000Z";
        let lent = BookEvent::BookLent { member: "ann".into(), due: due.into() };
        let command = Ordered::to::<Book>("emma", &BookCommand::MarkOverdue {}).unwrap();
        let (key, due) = ("emma".to_string(), Time::parse_iso(due).unwrap());
        reacting::<Reminders>().when::<Book>("emma", lent).then([Reaction::Timer {
            key: key.clone(),
            due,
            command,
        }]);
        reacting::<Reminders>()
            .when::<Book>("emma", BookEvent::BookReturned {})
            .then([Reaction::Cancel { key }]);
    }
}
