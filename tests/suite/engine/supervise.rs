//! What the driver does about stores that fail, beside the clients whose turn it was: the system's
//! own work waits and is done later, reads go on, and supervision hears of all of it.
//!
//! Owns a store that fails for as long as the test says, and a clock that the test moves.

use std::cell::{Cell, RefCell};
use std::rc::Rc;

use foldlog_core::driver::{
    Linked, MemoryStore, OwnedRequest, Partition, Ran, Store, StoreError, Tail, Trouble, World,
    Write, test_entropy,
};
use foldlog_core::projection::{self, Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::protocol::{Answer, Query};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use foldlog_core::time::Time;

use super::kit::{self, NEW_YEAR_MS, Setup, deposit, get, keyed, open_account, request};

/// How the store fails now.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Ill {
    No,
    /// Writes are not done, and nobody knows.
    Unknown,
    Full,
    /// The line with this position can not be read.
    Hole(u64),
    /// No row can be read, however often they are folded.
    Rows,
}

#[derive(Clone)]
struct Sick(Rc<RefCell<MemoryStore>>, Rc<Cell<Ill>>);

impl Store for Sick {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.0.borrow_mut().tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let hit = |query: &Query| match (self.1.get(), query) {
            (Ill::Hole(hole), Query::Commits { positions }) => positions.contains(&hole),
            _ => false,
        };
        if queries.iter().any(hit) {
            let detail = "by script".into();
            return Err(StoreError::CorruptLog { position: 1, detail });
        }
        if self.1.get() == Ill::Rows && queries.iter().any(|q| matches!(q, Query::Row(_))) {
            return Err(StoreError::CorruptRow { view: "any".into(), key: "00".into() });
        }
        self.0.borrow_mut().read(queries)
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        match self.1.get() {
            Ill::Unknown => Err(StoreError::Unknown("by script".into())),
            Ill::Full => Err(StoreError::Full),
            _ => self.0.borrow_mut().write(write),
        }
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.0.borrow_mut().erase_rows()
    }
}

/// Milliseconds since new year, by both clocks.
#[derive(Clone)]
struct Moved(Rc<Cell<u64>>);

impl World for Moved {
    fn clock(&mut self) -> Time {
        Time(NEW_YEAR_MS + self.0.get())
    }
    fn entropy(&mut self) -> [u8; 16] {
        test_entropy("world", 1)
    }
    fn micros(&mut self) -> u64 {
        self.0.get() * 1_000
    }
}

type Bank = Partition<Linked, Sick, Moved>;

struct Ward {
    bank: Bank,
    ill: Rc<Cell<Ill>>,
    now: Rc<Cell<u64>>,
    store: Rc<RefCell<MemoryStore>>,
}

fn ward() -> Ward {
    let (store, ill, now) = (Rc::default(), Rc::new(Cell::new(Ill::No)), Rc::default());
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let config = setup.config();
    let sick = Sick(Rc::clone(&store), ill.clone());
    let bank = Partition::new(Linked(Registry::standard), sick, Moved(Rc::clone(&now)), config);
    Ward { bank, ill, now, store }
}

impl Ward {
    fn run(&mut self, requests: Vec<OwnedRequest>) -> Vec<u16> {
        self.bank.run(requests).iter().map(|reply| reply.response.status).collect()
    }

    /// Two accounts, and a transfer whose debit is stored and whose credit is not.
    fn with_a_pending_credit() -> Self {
        let mut ward = ward();
        assert_eq!(ward.run(vec![open_account("a", 10), open_account("b", 0)]), [201, 201]);
        let body = r#"{"transferId":"t","fromAccountId":"a","toAccountId":"b","amount":4}"#;
        assert_eq!(ward.run(vec![request("POST", "/commands/transfer", body, &[])]), [202]);
        // The log as it was after the debit.
        let lines = kit::lines(&ward.store.borrow());
        let debit = lines.iter().position(|line| line.contains("TransferMoneyDebited"));
        let kept = &lines[..=debit.expect("there is a debit")];
        let mut store = MemoryStore::default();
        for (position, line) in (0..).zip(kept) {
            let blocks = foldlog_core::chain::pack([(position, position, line.clone())]);
            store.write(&Write { blocks, ..Write::default() }).expect("a store in memory writes");
        }
        *ward.store.borrow_mut() = store;
        ward.bank.reset();
        ward
    }

    fn completed(&self) -> bool {
        let lines = kit::lines(&self.store.borrow());
        lines.iter().any(|line| line.contains("TransferCompleted"))
    }

    /// What a host does when nobody asks for anything, for so many milliseconds.
    fn idle(&mut self, ms: u64) -> u32 {
        let (end, mut turns) = (self.now.get() + ms, 0);
        while self.now.get() < end {
            match self.bank.work_due() {
                Some(0) => {
                    turns += 1;
                    self.bank.work();
                }
                _ => self.now.set(self.now.get() + 10),
            }
            assert!(turns < 1_000, "it never rests");
        }
        turns
    }
}

#[test]
fn a_command_of_the_system_that_can_not_be_read_waits_alone() {
    let mut ward = Ward::with_a_pending_credit();
    // The commit that asked for the credit lies on a damaged page.
    let asked = kit::lines(&ward.store.borrow()).len() as u64 - 1;
    ward.ill.set(Ill::Hole(asked));
    for _ in 0..20 {
        assert_eq!(ward.run(vec![deposit("a", 1), get("/stats")]), [200, 200]);
    }
    let turns = ward.idle(5_000);
    assert!((2..12).contains(&turns), "{turns} tries in five seconds");
    assert!(!ward.completed());
    let failures = ward.bank.take_failures().len();
    assert!(failures < 15, "{failures}");
    let ran = ward.bank.take_ran();
    assert_eq!(ran.trouble, None, "clients are served");
    assert!(ran.failures > 1 && ran.open && ran.stored, "and supervision hears of it: {ran:?}");
    let (status, health) = kit::run(&mut ward.bank, get("/health"));
    assert_eq!(status, 503, "{health}");
    assert!(health.contains("own commands can not be done"), "{health}");
    ward.ill.set(Ill::No);
    ward.idle(30_000);
    assert!(ward.completed());
    assert_eq!(kit::run(&mut ward.bank, get("/health")).0, 200);
}

#[test]
fn what_a_failed_write_undid_is_done_without_a_client() {
    for ill in [Ill::Unknown, Ill::Full] {
        let mut ward = Ward::with_a_pending_credit();
        ward.bank.wake();
        ward.ill.set(ill);
        let turns = ward.idle(1_000);
        assert!((2..8).contains(&turns), "{ill:?}: {turns} tries in a second");
        let full = ill == Ill::Full;
        let trouble = if full { Trouble::Full } else { Trouble::Closed("its store failed") };
        assert_eq!(ward.bank.take_ran().trouble, Some(trouble));
        assert_eq!(ward.bank.take_ran().trouble, None, "it is told once");
        ward.ill.set(Ill::No);
        ward.idle(30_000);
        assert!(ward.completed(), "{ill:?}");
        let ran = ward.bank.take_ran();
        assert_eq!(ran, Ran { trouble: None, open: true, stored: true, failures: 0 });
        assert_eq!(ward.bank.next_due(), None);
    }
}

#[test]
fn reads_go_on_in_the_batch_that_finds_the_store_full() {
    let mut ward = Ward::with_a_pending_credit();
    ward.ill.set(Ill::Full);
    let batch = vec![get("/queries/account/a"), deposit("a", 1), get("/stats"), deposit("x", 1)];
    assert_eq!(ward.run(batch), [200, 507, 200, 404]);
    assert_eq!(ward.bank.take_ran().trouble, Some(Trouble::Full));
}

#[test]
fn a_repeat_of_what_is_unknown_is_unknown() {
    let mut ward = ward();
    assert_eq!(ward.run(vec![open_account("a", 1)]), [201]);
    ward.ill.set(Ill::Unknown);
    let once = keyed(deposit("a", 1), "k");
    let replies = ward.bank.run(vec![once.clone(), once, get("/queries/account/a")]);
    let told: Vec<String> = replies.iter().map(|reply| kit::shown(reply).1).collect();
    assert!(told[0].contains("unknown-outcome"), "{}", told[0]);
    assert!(told[1].contains("unknown-outcome"), "{}", told[1]);
    assert!(told[2].contains("restarting"), "{}", told[2]);
}

#[test]
fn rows_that_are_damaged_whenever_they_are_folded_are_given_up() {
    let mut ward = ward();
    assert_eq!(ward.run(vec![open_account("a", 1)]), [201]);
    ward.bank.checkpoint().expect("a checkpoint is stored");
    ward.bank.reset();
    ward.ill.set(Ill::Rows);
    assert_eq!(ward.run(vec![get("/queries/account/none")]), [503]);
    assert!(matches!(ward.bank.take_ran().trouble, Some(Trouble::Closed(_))));
    ward.ill.set(Ill::No);
    assert_eq!(ward.run(vec![get("/queries/account/a")]), [200]);
}

/// Counts events; `N` is its revision.
struct Counts<const N: u32>;

impl<const N: u32> Projection for Counts<N> {
    const SPEC: ProjectionSpec =
        ProjectionSpec { name: "Counts", revision: N, schema: r#"{"type":"object"}"# };

    fn apply(_: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let count = rows.get::<u64>(b"count")?.unwrap_or_default();
        rows.put(b"count", &(count + 1))
    }

    fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        let count = reader.get::<u64>(b"count")?.unwrap_or_default();
        Ok(Rendered { json: format!(r#"{{"count":{count}}}"#), next: None })
    }
}

fn counting<const N: u32>() -> Registry {
    let mut registry = Registry::standard();
    registry.projections.push(projection::erase::<Counts<N>>());
    registry
}

/// A log of elsewhere is read whole, also by a guest that has to build rows for that.
#[test]
fn rows_of_a_held_log_are_built() {
    let setup = Setup { test_stamps: false, registry: counting::<1>, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    kit::done(&mut bank, open_account("a", 1));
    kit::done(&mut bank, deposit("a", 1));
    bank.checkpoint().expect("a checkpoint is stored");
    let store = bank.store().clone();
    let setup = Setup { registry: counting::<2>, ..setup };
    let config = foldlog_core::driver::Config { incarnation: [9; 16], ..setup.config() };
    let clock = kit::Clock::at(NEW_YEAR_MS);
    let mut held = Partition::new(Linked(counting::<2>), store, clock, config);
    held.wake();
    assert_eq!(kit::run(&mut held, get("/projections/Counts")).0, 503);
    assert_eq!(kit::run(&mut held, deposit("a", 1)).0, 409);
    for _ in 0..10 {
        held.work();
    }
    let (status, body) = kit::run(&mut held, get("/projections/Counts"));
    assert_eq!(status, 200, "{body}");
    assert!(body.contains("\"count\":2"), "{body}");
    assert_eq!(kit::run(&mut held, deposit("a", 1)).0, 409, "and is still held");
}
