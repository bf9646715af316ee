//! The library of `tests/example-domain-next`, with faults: each is switched on by a byte of the
//! module, so that one build is all of them. As it is built it does what that library does.
//!
//! Owns the faults. The domain itself is that library's own source.

#[path = "../../example-domain-next/src/book.rs"]
pub mod book;
#[path = "../../example-domain-next/src/loans.rs"]
pub mod loans;
#[path = "../../example-domain-next/src/reminders.rs"]
pub mod reminders;

use std::hint::black_box;
use std::sync::atomic::{AtomicU8, Ordering};

use book::{Book, BookCommand, BookEvent, BookState};
use foldlog_core::decider::{Aggregate, AggregateSpec, Decision};
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::json::Json;
use foldlog_core::process::{ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::projection::{Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use foldlog_core::upcast::Upcast;
use loans::Loans;
use reminders::Reminders;

/// A mark to find the switches by in the module's bytes, then a switch each: `.` is off.
static SWITCHES: [AtomicU8; 23] = {
    let mark = *b"foldlog-plants:........";
    let mut bytes = [const { AtomicU8::new(0) }; 23];
    let mut at = 0;
    while at < mark.len() {
        bytes[at] = AtomicU8::new(mark[at]);
        at += 1;
    }
    bytes
};

/// The faults, by the place of their switch.
#[derive(Clone, Copy)]
enum Plant {
    /// A loan that is renewed ends later.
    Rule = 15,
    /// Bob may not borrow books.
    Refusal = 16,
    /// A book that came back is still shown as lent.
    Projection = 17,
    /// What was lent before there were branches was lent at another one.
    Upcaster = 18,
    /// It is reminded of a day later.
    Manager = 19,
    /// Returning a book traps.
    Trap = 20,
    /// Showing a renewed loan traps.
    ProjectionTrap = 21,
    /// Who asks for a book that is lent gets it.
    Leave = 22,
}

fn planted(plant: Plant) -> bool {
    // The compiler is not to know what is never written.
    black_box(&SWITCHES)[plant as usize].load(Ordering::Relaxed) != b'.'
}

/// All of the module.
pub fn registry() -> Registry {
    Registry::new(env!("CARGO_PKG_VERSION"))
        .aggregate::<PlantedBook>()
        .projection::<PlantedLoans>()
        .manager::<PlantedReminders>()
}

foldlog_guest::export!(registry);

/// See [`Book`].
#[derive(Debug)]
pub struct PlantedBook;

fn at_some_branch(mut data: Json) -> Result<Json, String> {
    let branch = if planted(Plant::Upcaster) { "elsewhere" } else { "main" };
    data.set("branch", Json::text(branch));
    Ok(data)
}

fn free_of_charge(mut data: Json) -> Result<Json, String> {
    data.set("fee", Json::number(0));
    Ok(data)
}

impl Aggregate for PlantedBook {
    const SPEC: AggregateSpec = Book::SPEC;
    const UPCASTS: &'static [Upcast] = &[
        Upcast::event("BookLent", 1, at_some_branch),
        Upcast::event("BookOverdue", 1, free_of_charge),
        Upcast::command("LendBook", 1, at_some_branch),
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
        match command {
            BookCommand::ReturnBook {} if planted(Plant::Trap) => panic!("planted"),
            BookCommand::LendBook { member, .. } if member == "bob" && planted(Plant::Refusal) => {
                return Err(Problem::new(Code::IllegalTransition, "bob may not borrow books"));
            }
            _ => {}
        }
        let mut events = match (Book::decide(state, command, decision), command) {
            (Err(why), BookCommand::LendBook { member, branch })
                if why.code == Code::IllegalTransition && planted(Plant::Leave) =>
            {
                let (member, branch) = (member.clone(), branch.clone());
                vec![BookEvent::BookLent { member, due: decision.now().to_iso(), branch }]
            }
            (decided, _) => decided?,
        };
        for event in &mut events {
            if let BookEvent::BookRenewed { due } = event
                && planted(Plant::Rule)
            {
                due.replace_range(..4, "2099");
            }
        }
        Ok(events)
    }

    fn evolve(state: &mut BookState, event: &BookEvent) {
        Book::evolve(state, event);
    }

    fn show(
        id: &str,
        version: u64,
        state: &BookState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        Book::show(id, version, state, reader)
    }
}

/// See [`Loans`].
#[derive(Debug)]
pub struct PlantedLoans;

impl Projection for PlantedLoans {
    const SPEC: ProjectionSpec = Loans::SPEC;

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        match record.event_type() {
            "BookReturned" if planted(Plant::Projection) => Ok(()),
            "BookRenewed" if planted(Plant::ProjectionTrap) => panic!("planted"),
            _ => Loans::apply(record, rows),
        }
    }

    fn page(reader: &mut Reader<'_, '_>, page: &Page) -> Result<Rendered, Stop> {
        Loans::page(reader, page)
    }
}

/// See [`Reminders`].
#[derive(Debug)]
pub struct PlantedReminders;

impl ProcessManager for PlantedReminders {
    const SPEC: ProcessSpec = Reminders::SPEC;

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let mut reactions = Reminders::react(record, sight)?;
        for reaction in &mut reactions {
            if let Reaction::Timer { due, .. } = reaction
                && planted(Plant::Manager)
            {
                *due = due.after_ms(86_400_000);
            }
        }
        Ok(reactions)
    }
}
