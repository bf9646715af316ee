//! The contract of a store, as a list of what must hold of any: memory, SQLite and PostgreSQL run the
//! same one, in the engine's suite and in the native host's own tests.
//!
//! Owns the list. Refuses to know what is behind a store beyond how it is opened and opened again.
//! What is expected is said here or comes from the store in memory, never from another real one.

mod log;
mod rows;

use foldlog_core::chain::{self, StoredBlock};
use foldlog_core::driver::{Importing, MemoryStore, Progress, Store, Write};
use foldlog_core::protocol::{Answer, Query, RowKey, View};

/// Opens the log of this number: an empty one the first time, later what was written to it. The
/// store that was opened before is gone by then.
pub type Open<'a> = &'a mut dyn FnMut(usize) -> Box<dyn Store>;

type Clause = (&'static str, fn(&mut dyn FnMut() -> Box<dyn Store>));

/// What must hold. Each clause has a log of its own, which it may open more than once.
const CLAUSES: [Clause; 10] = [
    ("an empty store answers", an_empty_store_answers),
    ("commits are found by position and in both directions", log::commits_are_found),
    ("a page of commits ends at a megabyte after at least one", log::a_page_ends_at_a_megabyte),
    ("a block is stored once, and a refused write leaves nothing", log::a_block_is_stored_once),
    ("what an unfinished import stored is cut", log::leftovers_are_cut),
    ("text is kept as it is", log::text_is_kept),
    ("rows are found by key and by prefix", rows::rows_are_found),
    ("rows of any size and shape are kept", rows::any_row_is_kept),
    ("erasing rows leaves the log and an import's progress", rows::erasing_leaves_the_log),
    ("what was written is there when it is opened again", log::it_is_there_again),
];

/// Runs the whole list.
///
/// # Panics
/// When a clause does not hold.
pub fn hold(store: &str, open: Open<'_>) {
    for (number, (clause, check)) in CLAUSES.iter().enumerate() {
        println!("{store}: {clause}");
        check(&mut || open(number));
    }
}

/// A view of a generation.
pub fn view(name: &str, generation: u32) -> View {
    View { name: name.into(), generation }
}

/// A commit's line of about so many bytes.
pub fn line(position: u64, filling: usize) -> String {
    let zeros = chain::HASH_HOLE;
    format!("{{\"position\":{position},\"x\":\"{}\",\"hash\":\"{zeros}\"}}", "x".repeat(filling))
}

/// Positions of the commits in an answer.
///
/// # Panics
/// When it is another answer.
pub fn positions(answer: &Answer) -> Vec<u64> {
    let Answer::Commits(lines) = answer else { panic!("commits were asked for: {answer:?}") };
    // An empty line is the one before.
    let mut before = 0;
    let mut at = |line: &String| chain::position(line).inspect(|at| before = *at).unwrap_or(before);
    lines.iter().map(&mut at).collect()
}

/// A store and the model of it.
struct Both {
    model: MemoryStore,
    store: Box<dyn Store>,
}

impl Both {
    fn new(store: Box<dyn Store>) -> Self {
        let mut both = Self { model: MemoryStore::default(), store };
        // Called first, and after every failed write: the port says so.
        both.same_tail();
        both
    }

    fn write(&mut self, write: &Write) {
        assert_eq!(self.model.write(write), Ok(()));
        assert_eq!(self.store.write(write), Ok(()));
    }

    fn read(&mut self, query: &Query) -> Answer {
        let queries = std::slice::from_ref(query);
        let (expected, found) = (self.model.read(queries), self.store.read(queries));
        assert_eq!(expected, found, "{query:?}");
        expected.unwrap_or_else(|e| panic!("{query:?}: {e}")).remove(0)
    }

    fn same_tail(&mut self) {
        assert_eq!(self.model.tail(), self.store.tail());
    }

    /// The store opened again.
    fn again(self, open: &mut dyn FnMut() -> Box<dyn Store>) -> Self {
        let Self { model, store } = self;
        drop(store);
        let mut both = Self { model, store: open() };
        both.same_tail();
        both
    }
}

fn all_rows(name: &str, generation: u32) -> Query {
    let view = view(name, generation);
    Query::Rows { view, after_key: vec![], prefix: vec![], limit: 1_000 }
}

fn an_empty_store_answers(open: &mut dyn FnMut() -> Box<dyn Store>) {
    let mut both = Both::new(open());
    for _ in 0..2 {
        both.same_tail();
        for descending in [false, true] {
            both.read(&Query::CommitsAfter { after: 0, limit: 5, descending });
        }
        both.read(&Query::Row(RowKey { view: view("a", 1), key: vec![1] }));
        both.read(&all_rows("a", 1));
        assert_eq!(both.store.erase_rows(), Ok(()));
        both = both.again(open);
    }
}

/// Part of an import, with its progress.
fn part(first: u64, last: u64) -> Write {
    let chain = chain::Chain { hash: [7; 32], position: Some(last) };
    let progress = Progress { genesis: line(0, 1), chain };
    let blocks = vec![StoredBlock { first, last, body: format!("[{}]", line(first, 9)) }];
    Write { blocks, import: Some(Importing::At(progress)), ..Write::default() }
}
