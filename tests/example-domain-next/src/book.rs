//! A book: who may borrow it where, when it is due, and how what the first module recorded is read.
//!
//! Owns the rules of one book. Refuses to know who reads about it.

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::json::{Json, push_string};
use foldlog_core::read::{Reader, Stop};
use foldlog_core::time::Time;
use foldlog_core::upcast::Upcast;
use serde::{Deserialize, Serialize};

/// A loan lasts four weeks, and as long again when it is renewed.
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
        /// Where.
        branch: String,
    },
    /// Lends it for longer.
    RenewBook {},
    /// Takes it back.
    ReturnBook {},
    /// The time of its loan is over; given by a process manager, not by clients.
    MarkOverdue {
        /// What that costs.
        fee: u64,
    },
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
        /// Where.
        branch: String,
    },
    /// It may be kept for longer.
    BookRenewed {
        /// Until when.
        due: String,
    },
    /// It came back.
    BookReturned {},
    /// It did not come back in time.
    BookOverdue {
        /// What that costs.
        fee: u64,
    },
}

/// Where a book stands.
#[derive(Debug, Default, Serialize, Deserialize)]
pub struct BookState {
    /// What it is called.
    pub title: String,
    /// Who has it, where it was lent and until when.
    pub loan: Option<(String, String, String)>,
    /// Whether it should be back.
    pub overdue: bool,
    /// What its loans have cost.
    pub fees: u64,
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
const BRANCH: Field = Field { name: "branch", kind: FieldKind::Id, optional: false, doc: "Where" };

const COMMANDS: &[CommandSpec] = &[
    CommandSpec::new("AddBook", "add-book", "Put a book on the shelf", &[BOOK_ID, TITLE])
        .creating()
        .refusing(&[Code::AlreadyExists]),
    CommandSpec::new("LendBook", "lend-book", "Lend a book", &[BOOK_ID, MEMBER, BRANCH])
        .version(2)
        .refusing(&[Code::NotFound, Code::IllegalTransition]),
    CommandSpec::new("RenewBook", "renew-book", "Lend a book for longer", &[BOOK_ID])
        .refusing(&[Code::NotFound, Code::IllegalTransition]),
    CommandSpec::new("ReturnBook", "return-book", "Take a book back", &[BOOK_ID])
        .refusing(&[Code::NotFound]),
    CommandSpec::internal("MarkOverdue", "Mark a loan as overdue").version(2),
];

/// Before there were branches, everything was lent at the main one.
fn at_the_main_branch(mut data: Json) -> Result<Json, String> {
    data.set("branch", Json::text("main"));
    Ok(data)
}

/// Being late cost nothing in the first year.
fn free_of_charge(mut data: Json) -> Result<Json, String> {
    data.set("fee", Json::number(0));
    Ok(data)
}

impl Aggregate for Book {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Book",
        name: "book",
        id_field: "bookId",
        revision: 2,
        snapshot_every: 100,
        events: &["BookAdded", "BookLent", "BookRenewed", "BookReturned", "BookOverdue"],
        commands: COMMANDS,
        query_schema: r#"{"type":"object","required":["id","version","title","fees"],"properties":{"id":{"type":"string"},"version":{"type":"integer"},"title":{"type":"string"},"lentTo":{"type":"string"},"branch":{"type":"string"},"overdue":{"const":true},"fees":{"type":"integer"}}}"#,
    };
    const UPCASTS: &'static [Upcast] = &[
        Upcast::event("BookLent", 1, at_the_main_branch),
        Upcast::event("BookOverdue", 1, free_of_charge),
        Upcast::command("LendBook", 1, at_the_main_branch),
        Upcast::command("MarkOverdue", 1, free_of_charge),
    ];
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
        let after = |start: u64| Time(start.saturating_add(LOAN_MS)).to_iso();
        match (command, &state.loan) {
            (BookCommand::AddBook { .. }, _) => {
                Err(Problem::new(Code::AlreadyExists, format!("book {id} is there already")))
            }
            (BookCommand::LendBook { .. }, Some((who, ..))) => {
                Err(Problem::new(Code::IllegalTransition, format!("{who} has book {id}")))
            }
            (BookCommand::LendBook { member, branch }, None) => {
                let (member, branch) = (member.clone(), branch.clone());
                Ok(vec![BookEvent::BookLent { member, due: after(decision.now().0), branch }])
            }
            (BookCommand::RenewBook {}, Some((_, _, due))) => {
                let due = Time::parse_iso(due).map_or(decision.now().0, |due| due.0);
                Ok(vec![BookEvent::BookRenewed { due: after(due) }])
            }
            (BookCommand::RenewBook {}, None) => {
                Err(Problem::new(Code::IllegalTransition, format!("nobody has book {id}")))
            }
            (BookCommand::ReturnBook {}, Some(_)) => Ok(vec![BookEvent::BookReturned {}]),
            (BookCommand::MarkOverdue { fee }, Some(_)) => {
                Ok(vec![BookEvent::BookOverdue { fee: *fee }])
            }
            // It is here: nothing to do.
            (BookCommand::ReturnBook {} | BookCommand::MarkOverdue { .. }, None) => Ok(vec![]),
        }
    }

    fn evolve(state: &mut BookState, event: &BookEvent) {
        match event {
            BookEvent::BookAdded { title } => state.title.clone_from(title),
            BookEvent::BookLent { member, due, branch } => {
                state.loan = Some((member.clone(), branch.clone(), due.clone()));
            }
            BookEvent::BookRenewed { due } => {
                if let Some((_, _, until)) = &mut state.loan {
                    until.clone_from(due);
                }
            }
            BookEvent::BookReturned {} => {
                state.loan = None;
                state.overdue = false;
            }
            BookEvent::BookOverdue { fee } => {
                state.overdue = true;
                state.fees = state.fees.saturating_add(*fee);
            }
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
        if let Some((member, branch, _)) = &state.loan {
            out.push_str(",\"lentTo\":");
            push_string(&mut out, member);
            out.push_str(",\"branch\":");
            push_string(&mut out, branch);
        }
        if state.overdue {
            out.push_str(",\"overdue\":true");
        }
        out.push_str(&format!(",\"fees\":{}}}", state.fees));
        Ok(out)
    }
}

#[cfg(test)]
mod tests {
    use foldlog_core::testing::{given, upcast, upcast_command};

    use super::{Book, BookCommand, BookEvent};

    #[test]
    fn what_the_first_module_recorded_is_read() {
        let lent = r#"{"member":"ann","due":"2026-01-29T00:00:00.000Z"}"#;
        upcast::<Book>("BookLent", 1, lent)
            .to(2, r#"{"member":"ann","due":"2026-01-29T00:00:00.000Z","branch":"main"}"#);
        upcast::<Book>("BookOverdue", 1, "{}").to(2, r#"{"fee":0}"#);
        upcast_command::<Book>("LendBook", 1, r#"{"bookId":"emma","member":"ann"}"#)
            .to(2, r#"{"bookId":"emma","member":"ann","branch":"main"}"#);
        upcast_command::<Book>("MarkOverdue", 1, "{}").to(2, r#"{"fee":0}"#);
    }

    #[test]
    fn a_renewed_loan_lasts_as_long_again() {
        let day = |day: u32| format!("2026-{:02}-01T00:00:00.000Z", day);
        let lent = || BookEvent::BookLent { member: "ann".into(), due: day(2), branch: "n".into() };
        let added = || BookEvent::BookAdded { title: "Emma".into() };
        given::<Book>([added(), lent()])
            .when(BookCommand::RenewBook {})
            .then([BookEvent::BookRenewed { due: day(3) }]);
        given::<Book>([added(), lent()])
            .when(BookCommand::MarkOverdue { fee: 50 })
            .then([BookEvent::BookOverdue { fee: 50 }]);
    }
}
