//! A book: who may borrow it, and when it is due.
//!
//! Owns the rules of one book. Refuses to know who reads about it.

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::json::push_string;
use foldlog_core::read::{Reader, Stop};
use foldlog_core::time::Time;
use serde::{Deserialize, Serialize};

/// A loan lasts four weeks.
const LOAN_MS: u64 = 28 * 86_400_000;

/// A book as a kind of stream.
#[derive(Debug)]
pub struct Book;

/// What can be asked of a book.
#[derive(Debug, Serialize, Deserialize)]
pub enum BookCommand {
    /// Puts it on the shelf.
    AddBook {
        /// What it is called.
        title: String,
    },
    /// Lends it.
    LendBook {
        /// To whom.
        member: String,
    },
    /// Takes it back.
    ReturnBook {},
    /// The time of its loan is over; given by a process manager, not by clients.
    MarkOverdue {},
}

/// What can happen to a book.
#[derive(Debug, Serialize, Deserialize)]
pub enum BookEvent {
    /// It came to the library.
    BookAdded {
        /// What it is called.
        title: String,
    },
    /// It was lent.
    BookLent {
        /// To whom.
        member: String,
        /// Until when.
        due: String,
    },
    /// It came back.
    BookReturned {},
    /// It did not come back in time.
    BookOverdue {},
}

/// Where a book stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct BookState {
    /// What it is called.
    pub title: String,
    /// Who has it.
    pub lent_to: Option<String>,
    /// Whether it should be back.
    pub overdue: bool,
}

const BOOK_ID: Field =
    Field { name: "bookId", kind: FieldKind::Id, optional: false, doc: "Which book" };
const TITLE: Field = Field {
    name: "title",
    kind: FieldKind::Text { chars_max: 200 },
    optional: false,
    doc: "What it is called",
};
const MEMBER: Field =
    Field { name: "member", kind: FieldKind::Id, optional: false, doc: "Who borrows it" };

const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("AddBook", "add-book", "Put a book on the shelf", &[BOOK_ID, TITLE])
        .creating()
        .refusing(&[Code::AlreadyExists]),
    CommandSpec::new("LendBook", "lend-book", "Lend a book", &[BOOK_ID, MEMBER])
        .refusing(&[Code::NotFound, Code::IllegalTransition]),
    CommandSpec::new("ReturnBook", "return-book", "Take a book back", &[BOOK_ID])
        .refusing(&[Code::NotFound]),
    CommandSpec::internal("MarkOverdue", "Mark a loan as overdue"),
];

impl Aggregate for Book {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Book",
        name: "book",
        id_field: "bookId",
        revision: 1,
        snapshot_every: 100,
        events: &["BookAdded", "BookLent", "BookReturned", "BookOverdue"],
        commands: COMMANDS,
        query_schema: r#"{"type":"object","required":["id","version","title"],"properties":{"id":{"type":"string"},"version":{"type":"integer"},"title":{"type":"string"},"lentTo":{"type":"string"},"overdue":{"const":true}}}"#,
    };
    type State = BookState;
    type Command = BookCommand;
    type Event = BookEvent;

    fn decide(
        state: Option<&BookState>,
        command: &BookCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<BookEvent>, Rejection> {
        let id = decision.id();
        let Some(state) = state else {
            return match command {
                BookCommand::AddBook { title } => {
                    Ok(vec![BookEvent::BookAdded { title: title.clone() }])
                }
                _ => Err(Problem::new(Code::NotFound, format!("there is no book {id}"))),
            };
        };
        match (command, &state.lent_to) {
            (BookCommand::AddBook { .. }, _) => {
                Err(Problem::new(Code::AlreadyExists, format!("book {id} is there already")))
            }
            (BookCommand::LendBook { .. }, Some(who)) => {
                Err(Problem::new(Code::IllegalTransition, format!("{who} has book {id}")))
            }
            (BookCommand::LendBook { member }, None) => {
                let due = Time(decision.now().0.saturating_add(LOAN_MS)).to_iso();
                Ok(vec![BookEvent::BookLent { member: member.clone(), due }])
            }
            (BookCommand::ReturnBook {}, Some(_)) => Ok(vec![BookEvent::BookReturned {}]),
            (BookCommand::MarkOverdue {}, Some(_)) => Ok(vec![BookEvent::BookOverdue {}]),
            // It is here: nothing to do.
            (BookCommand::ReturnBook {} | BookCommand::MarkOverdue {}, None) => Ok(vec![]),
        }
    }

    fn evolve(state: &mut BookState, event: &BookEvent) {
        match event {
            BookEvent::BookAdded { title } => state.title.clone_from(title),
            BookEvent::BookLent { member, .. } => state.lent_to = Some(member.clone()),
            BookEvent::BookReturned {} => {
                state.lent_to = None;
                state.overdue = false;
            }
            BookEvent::BookOverdue {} => state.overdue = true,
        }
    }

    fn show(
        id: &str,
        version: u64,
        state: &BookState,
        _: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        let mut out = String::from("{\"id\":");
        push_string(&mut out, id);
        out.push_str(&format!(",\"version\":{version},\"title\":"));
        push_string(&mut out, &state.title);
        if let Some(member) = &state.lent_to {
            out.push_str(",\"lentTo\":");
            push_string(&mut out, member);
        }
        if state.overdue {
            out.push_str(",\"overdue\":true");
        }
        out.push('}');
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use foldlog_core::errors::Code;
    use foldlog_core::testing::given;

    use super::{Book, BookCommand, BookEvent};

    fn added() -> BookEvent {
        BookEvent::BookAdded { title: "Emma".into() }
    }

    fn lent() -> BookEvent {
        BookEvent::BookLent { member: "ann".into(), due: "2026-01-29T00:00:00.000Z".into() }
    }

    #[test]
    fn a_book_is_lent_to_one_member_at_a_time() {
        let lend = || BookCommand::LendBook { member: "ann".into() };
        given::<Book>([added()]).when(lend()).then([lent()]);
        given::<Book>([added(), lent()]).when(lend()).then_rejected(Code::IllegalTransition);
        given::<Book>([added(), lent(), BookEvent::BookReturned {}]).when(lend()).then([lent()]);
        given::<Book>([]).when(lend()).then_rejected(Code::NotFound);
    }

    #[test]
    fn only_a_lent_book_gets_overdue() {
        let mark = || BookCommand::MarkOverdue {};
        given::<Book>([added(), lent()]).when(mark()).then([BookEvent::BookOverdue {}]);
        given::<Book>([added(), lent(), BookEvent::BookReturned {}]).when(mark()).then_nothing();
    }

    #[test]
    fn returning_twice_changes_nothing() {
        given::<Book>([added()]).when(BookCommand::ReturnBook {}).then_nothing();
    }
}
