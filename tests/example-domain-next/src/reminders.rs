//! `Reminders`: marks a loan as overdue when its time is over and the book is not back.
//!
//! Owns when that is, and what it costs. Refuses to know the clock: the timer is data, and a host's
//! to keep.

use foldlog_core::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::read::Stop;
use foldlog_core::record::Record;
use foldlog_core::time::Time;

use crate::book::{Book, BookCommand, BookEvent};

/// What an overdue book costs, in cents.
const FEE: u64 = 50;

/// See the module's description.
#[derive(Debug)]
pub struct Reminders;

impl ProcessManager for Reminders {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Reminders",
        reacts_to: &[("Book", "BookLent"), ("Book", "BookRenewed"), ("Book", "BookReturned")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let id = record.aggregate_id;
        // One timer per book: lent again, the new one takes the old one's place.
        let key = id.to_string();
        match record.event_of::<Book>()? {
            Some(BookEvent::BookLent { due, .. } | BookEvent::BookRenewed { due }) => {
                let due = Time::parse_iso(due).ok_or_else(|| Stop::Fault(format!("due {due}")))?;
                let command = Ordered::to::<Book>(id, &BookCommand::MarkOverdue { fee: FEE })?;
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

    use super::{FEE, Reminders};
    use crate::book::{Book, BookCommand, BookEvent};

    #[test]
    fn a_renewed_loan_has_its_timer_later() {
        let due = "2026-01-29T00:00:00.000Z";
        let command = Ordered::to::<Book>("emma", &BookCommand::MarkOverdue { fee: FEE }).unwrap();
        assert_eq!(command.version, 2);
        let (key, time) = ("emma".to_string(), Time::parse_iso(due).unwrap());
        reacting::<Reminders>()
            .when::<Book>("emma", BookEvent::BookRenewed { due: due.into() })
            .then([Reaction::Timer { key, due: time, command }]);
    }
}
