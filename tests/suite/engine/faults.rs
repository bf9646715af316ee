//! A store that fails by script: at its nth operation, in one of the ways a store can fail.
//!
//! Owns the durable image, shared with the test, so that it outlives a crashed partition. What is
//! handed out is read from that image only: a write is durable when it returns `Ok`, and may be when
//! it fails as unknown. After a crash every operation fails: the process is gone.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{MemoryStore, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};

/// How the nth operation ends. Where a way does not fit the operation, a read fails as a read
/// and a write as not written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Way {
    /// Not done; told as a failed read or an unknown write.
    Fails,
    /// Done, but told as unknown.
    DoneButUnknown,
    /// No room.
    Full,
    /// The process ends before it is done.
    CrashBefore,
    /// The process ends after it is done.
    CrashAfter,
}

pub const WAYS: [Way; 5] =
    [Way::Fails, Way::DoneButUnknown, Way::Full, Way::CrashBefore, Way::CrashAfter];

/// See the module's description.
#[derive(Debug)]
pub struct FaultStore {
    pub durable: Rc<RefCell<MemoryStore>>,
    pub script: Rc<RefCell<Script>>,
}

/// When and how to fail, and what happened so far.
#[derive(Clone, Debug)]
pub struct Script {
    pub at: u64,
    pub way: Way,
    pub operations: u64,
    pub crashed: bool,
    /// A read that finds a damaged row, beside the fault: erasing follows, and may fail too.
    pub corrupt_at: u64,
    /// What each operation was.
    pub log: Vec<Kind>,
    /// Who may act for the log; as durable as the log is.
    pub owner: Option<[u8; 16]>,
}

/// The five operations of a store.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Tail,
    Read,
    Write,
    Erase,
    Own,
}

impl Way {
    /// Whether it makes a difference of its own at such an operation.
    pub fn fits(self, kind: Kind) -> bool {
        matches!(kind, Kind::Write | Kind::Erase | Kind::Own)
            || matches!(self, Self::Fails | Self::CrashBefore)
    }
}

impl Script {
    pub fn new(at: u64, way: Way, corrupt_at: u64) -> Self {
        let (operations, log) = (0, Vec::new());
        Self { at, way, operations, crashed: false, corrupt_at, log, owner: None }
    }

    /// Operations of a kind.
    pub fn count(&self, kind: Kind) -> usize {
        self.log.iter().filter(|k| **k == kind).count()
    }
}

impl FaultStore {
    pub fn new(durable: &Rc<RefCell<MemoryStore>>, script: &Rc<RefCell<Script>>) -> Self {
        Self { durable: durable.clone(), script: script.clone() }
    }

    /// Counts an operation; the way it must fail, if it is its turn.
    fn step(&self, kind: Kind) -> Result<Option<Way>, ()> {
        let mut script = self.script.borrow_mut();
        if script.crashed {
            return Err(());
        }
        script.operations += 1;
        script.log.push(kind);
        let turn = script.operations == script.at;
        if turn && matches!(script.way, Way::CrashBefore | Way::CrashAfter) {
            script.crashed = true;
        }
        Ok(turn.then_some(script.way))
    }

    fn reading<R>(
        &self,
        kind: Kind,
        body: impl FnOnce(&mut MemoryStore) -> Result<R, StoreError>,
    ) -> Result<R, StoreError> {
        match self.step(kind) {
            Ok(None) => body(&mut self.durable.borrow_mut()),
            _ => Err(StoreError::Read("by script".into())),
        }
    }

    fn writing(
        &self,
        kind: Kind,
        body: impl FnOnce(&mut MemoryStore) -> Result<(), StoreError>,
    ) -> Result<(), StoreError> {
        let way = self.step(kind);
        if matches!(way, Ok(None | Some(Way::DoneButUnknown | Way::CrashAfter))) {
            body(&mut self.durable.borrow_mut())?;
        }
        match way {
            Ok(None) => Ok(()),
            Ok(Some(Way::Full)) => Err(StoreError::Full),
            _ => Err(StoreError::Unknown("by script".into())),
        }
    }
}

impl Store for FaultStore {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.reading(Kind::Tail, |store| store.tail())
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        let (operations, corrupt_at) =
            (self.script.borrow().operations, self.script.borrow().corrupt_at);
        if operations >= corrupt_at && corrupt_at > 0 {
            self.script.borrow_mut().corrupt_at = 0;
            return Err(StoreError::CorruptRow { view: "BankAccount".into(), key: "00".into() });
        }
        self.reading(Kind::Read, |store| store.read(queries))
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.writing(Kind::Write, |store| store.write(write))
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.writing(Kind::Erase, |store| store.erase_rows())
    }
    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        let script = self.script.clone();
        self.writing(Kind::Own, |_| {
            script.borrow_mut().owner = Some(*incarnation);
            Ok(())
        })
    }
}
