//! The reader beside a writer: whatever the writer does meanwhile, the reader's answers are the
//! writer's, byte for byte, and it never writes.
//!
//! Owns a store that both share, whose rows change under the reader as they do in a file.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{
    Failure, Linked, MemoryStore, OwnedRequest, Reader, Reply, Store, StoreError, Tail, Write,
};
use foldlog_core::projection;
use foldlog_core::protocol::{Answer, Query};
use foldlog_core::registry::Registry;

use super::kit::{self, Bank, Setup, deposit, done, get, open_account, request, withdraw};
use super::quarantine::Picky;

#[derive(Debug, Default)]
struct Shared {
    store: MemoryStore,
    /// How often rows changed.
    changes: u64,
}

/// The writer's side.
#[derive(Clone, Debug, Default)]
struct Writing(Rc<RefCell<Shared>>);

impl Store for Writing {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.0.borrow_mut().store.tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.0.borrow_mut().store.read(queries)
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let mut shared = self.0.borrow_mut();
        shared.changes += u64::from(write.checkpoint.is_some());
        shared.store.write(write)
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        let mut shared = self.0.borrow_mut();
        shared.changes += 1;
        shared.store.erase_rows()
    }
}

/// The reader's side.
#[derive(Debug)]
struct Reading {
    shared: Rc<RefCell<Shared>>,
    changes: u64,
    /// How often it was opened.
    opened: Rc<RefCell<u64>>,
}

impl Store for Reading {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        let mut shared = self.shared.borrow_mut();
        self.changes = shared.changes;
        *self.opened.borrow_mut() += 1;
        shared.store.tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let mut shared = self.shared.borrow_mut();
        if shared.changes != self.changes {
            return Err(StoreError::Read("rows changed".into()));
        }
        shared.store.read(queries)
    }
    fn write(&mut self, _: &Write) -> Result<(), StoreError> {
        panic!("a reader wrote");
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        panic!("a reader erased rows");
    }
}

fn registry() -> Registry {
    let mut registry = Registry::standard();
    registry.projections.push(projection::erase::<Picky>());
    registry
}

struct Pair {
    writer: Bank<Writing>,
    reader: Reader<Linked, Reading>,
    opened: Rc<RefCell<u64>>,
}

impl Pair {
    fn new(setup: &Setup) -> Self {
        let shared = Writing::default();
        let opened = Rc::new(RefCell::new(0));
        let reading = Reading { shared: shared.0.clone(), changes: 0, opened: opened.clone() };
        let reader = Reader::new(Linked(setup.registry), reading, setup.config());
        Self { writer: setup.open(shared), reader, opened }
    }

    /// The reader's answer, unless the writer keeps the read to itself.
    fn read(&mut self, target: &str) -> Option<Reply> {
        let told = self.writer.tell(&get(target))?;
        let answer = self.reader.answer(&get(target), &told);
        match answer {
            Ok(reply) => Some(reply),
            // What it folds on its own has no room beside the rows it read.
            Err(Failure::Store(StoreError::Unknown(why))) if why.contains("have to write") => None,
            Err(failure) => panic!("{target}: {failure}"),
        }
    }

    /// Whether the reader answered, and then as the writer does.
    fn compare(&mut self, target: &str) -> bool {
        let Some(read) = self.read(target) else { return false };
        let written = self.writer.run(vec![get(target)]).remove(0);
        assert_eq!(kit::shown(&read), kit::shown(&written), "{target}");
        assert_eq!(read, written, "{target}");
        true
    }
}

fn targets(random: &mut kit::Random, head: u64) -> String {
    let (account, at) = (random.below(8), 1 + random.below(head.max(1)));
    match random.below(16) {
        0 => format!("/events/stream?after={at}&limit=20"),
        1 => format!("/events/stream?order=desc&limit={}", 1 + at % 50),
        2 => format!("/events/stream?type=MoneyDeposited&category=BankAccount&after={at}"),
        3 => format!("/events/stream?category=BankAccount&order=desc&after={at}"),
        4 => format!("/events/account/a-{account}?limit=30"),
        5 => format!("/events/id/evt-{at:03}"),
        6 => format!("/queries/account/a-{account}"),
        7 => format!("/queries/account/a-{account}?atVersion={}", 1 + at % 20),
        8 => format!("/queries/account/a-{account}?atTime=2026-01-01T00:00:00.{:03}Z", at % 999),
        9 => format!("/stats?limit={}", 1 + at % 9),
        10 => format!("/stats/BankAccount/a-{account}"),
        11 => format!("/snapshots/account/a-{account}"),
        12 => "/effects".into(),
        13 => "/projections".into(),
        14 => "/nothing/here".into(),
        _ => {
            let name = ["AccountBalances", "TransactionHistory", "DailySummary", "Picky"];
            format!("/projections/{}?limit=40", name[usize::try_from(at).unwrap_or(0) % 4])
        }
    }
}

fn command(random: &mut kit::Random) -> OwnedRequest {
    let id = format!("a-{}", random.below(8));
    match random.below(24) {
        0..=2 => open_account(&id, random.below(1_000)),
        3..=9 => withdraw(&id, 1 + random.below(300)),
        10 => deposit(&id, 666),
        11 => request("POST", &format!("/snapshots/account/{id}"), "", &[]),
        12 => {
            let to = format!("a-{}", random.below(8));
            let body = format!(
                r#"{{"transferId":"t-{}","fromAccountId":"{id}","toAccountId":"{to}","amount":5}}"#,
                random.next()
            );
            request("POST", "/commands/transfer", &body, &[])
        }
        _ => deposit(&id, 1 + random.below(500)),
    }
}

#[test]
fn the_readers_answers_are_the_writers() {
    let mut random = kit::Random::new(kit::seed(11));
    let setup = Setup {
        registry,
        test_stamps: false,
        // Small enough that rows leave the cache, and checkpoints fall due.
        row_cache_max: 100 << 10,
        tail_events_max: 400,
        ..Setup::default()
    };
    let mut pair = Pair::new(&setup);
    let (mut answered, mut kept) = (0, 0);
    for _ in 0..6_000 {
        match random.below(40) {
            0 => pair.writer.checkpoint().expect("a checkpoint is stored"),
            1 => {
                let name = ["TransactionHistory", "Picky"][usize::from(random.below(2) == 0)];
                let body = format!(r#"{{"name":"{name}"}}"#);
                let _ = pair.writer.run(vec![request("POST", "/projections/rebuild", &body, &[])]);
            }
            // The writer drops its instance and recovers, of damaged rows as well.
            n @ 2..=3 => {
                pair.writer.reset();
                if n == 3 {
                    pair.writer.store().erase_rows().expect("rows are erased");
                }
            }
            4..=15 => {
                let batch = (0..random.below(9)).map(|_| command(&mut random)).collect();
                let replies = pair.writer.run(batch);
                assert!(replies.iter().all(|reply| reply.response.status < 500));
            }
            16..=19 if pair.writer.work_due() == Some(0) => pair.writer.work(),
            _ => {
                let head = pair.writer.head().map_or(0, |head| head.position);
                match pair.compare(&targets(&mut random, head)) {
                    true => answered += 1,
                    false => kept += 1,
                }
            }
        }
        assert_eq!(pair.writer.take_failures(), Vec::<String>::new());
    }
    let opened = *pair.opened.borrow();
    println!("{answered} answered, {kept} kept by the writer, opened {opened} times");
    assert!(answered > 3 * kept && opened > 100 && opened < answered / 2);
}

#[test]
fn it_answers_as_of_where_it_stands() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let mut pair = Pair::new(&setup);
    done(&mut pair.writer, open_account("a", 1));
    (0..20).for_each(|n| drop(done(&mut pair.writer, deposit("a", n + 1))));
    for target in [
        "/events/stream",
        "/events/stream?order=desc&limit=3",
        "/events/account/a",
        "/events/stream?from=2026-01-01T00:00:00.000Z",
        "/events/id/evt-025",
        "/queries/account/a",
        "/stats",
        "/projections/TransactionHistory",
    ] {
        let told = pair.writer.tell(&get(target)).expect("it is told");
        let before = pair.reader.answer(&get(target), &told).expect("it answers");
        // The log goes on, rows stay: what the reader was told of is all it tells.
        (0..5).for_each(|n| drop(done(&mut pair.writer, deposit("a", n + 1))));
        let after = pair.reader.answer(&get(target), &told).expect("it answers");
        assert_eq!(kit::shown(&before), kit::shown(&after), "{target}");
        assert!(pair.compare(target), "{target}");
    }
}

#[test]
fn the_writer_keeps_what_is_its_own() {
    let setup = Setup { test_stamps: false, ..Setup::default() };
    let mut pair = Pair::new(&setup);
    assert!(pair.writer.tell(&get("/stats")).is_none(), "it is not open yet");
    done(&mut pair.writer, open_account("a", 1));
    for target in ["/", "/health", "/log/head", "/log/export", "/partitions", "/openapi.json"] {
        assert!(pair.writer.tell(&get(target)).is_none(), "{target}");
        assert!(pair.writer.tell(&get(&format!("/p/main{target}"))).is_none(), "{target}");
    }
    assert!(pair.writer.tell(&deposit("a", 1)).is_none(), "commands are decided");
    assert!(pair.writer.tell(&get("/stats")).is_some());
    let body = r#"{"name":"TransactionHistory"}"#;
    let begun = request("POST", "/projections/rebuild", body, &[]);
    assert_eq!(kit::run(&mut pair.writer, begun).0, 202);
    for target in
        ["/projections", "/projections/DailySummary", "/x/../projections", "/%70rojections"]
    {
        assert!(
            pair.writer.tell(&get(target)).is_none(),
            "{target}: how far it came is not stored"
        );
    }
    assert!(pair.compare("/stats"), "others do not depend on that");
    while pair.writer.work_due() == Some(0) {
        pair.writer.work();
    }
    assert!(pair.compare("/projections"));
    // Where the log's end leads to is found out by the reader alone: that is not for it.
    let told = pair.writer.tell(&get("/x/../log/export")).expect("nobody knows yet");
    assert!(pair.reader.answer(&get("/x/../log/export"), &told).is_err());
    assert!(pair.compare("/stats"), "and the next read is answered");
}
