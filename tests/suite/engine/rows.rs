//! Law 2: rows are the fold of the log. Delete them, fold again: the same bytes, the checkpoint
//! row included, whatever the cache, the checkpoints and the faults on the way.

use foldlog_core::driver::{MemoryStore, OwnedRequest, Store, StoreError, Tail, Write};
use foldlog_core::protocol::{Answer, Query};

use super::counting::Counting;
use super::kit::{
    self, Bank, Random, Setup, assert_rows_are_the_fold, assert_same_rows, close, deposit, done,
    get, keyed, open_account, withdraw,
};

/// A life of many accounts: every command, rejections, keys, correlation ids, batches.
fn live<T: Store>(bank: &mut Bank<T>, batches: u64) {
    let mut random = Random::new(1);
    for batch in 0..batches {
        let mut requests = Vec::new();
        for n in 0..random.below(6) + 1 {
            let id = format!("acc-{}", random.below(300));
            let amount = random.below(1_000) + 1;
            let command = match random.below(10) {
                0..=3 => open_account(&id, amount),
                4..=6 => deposit(&id, amount),
                7..=8 => withdraw(&id, amount),
                _ => close(&id),
            };
            let command = match random.below(4) {
                0 => keyed(command, &format!("key-{batch}-{n}")),
                1 => kit::with(command, "x-correlation-id", &format!("flow-{}", amount % 7)),
                _ => command,
            };
            requests.push(command);
        }
        requests.push(get("/queries/account/acc-7"));
        for reply in bank.run(requests) {
            let (status, body) = kit::shown(&reply);
            assert!(status < 500, "{status} {body}");
        }
    }
}

#[test]
fn rows_deleted_and_folded_again_are_the_same_bytes() {
    let mut all: Vec<MemoryStore> = Vec::new();
    for (row_cache_max, tail_events_max) in
        [(64 << 20, u64::MAX), (64 << 20, 50), (256 << 10, u64::MAX), (48 << 10, 7)]
    {
        let setup = Setup { row_cache_max, tail_events_max, ..Setup::default() };
        let mut bank = setup.open(MemoryStore::default());
        live(&mut bank, 400);
        assert_eq!(bank.take_failures(), Vec::<String>::new());
        bank.checkpoint().expect("a checkpoint is stored");
        let store = bank.store().clone();
        assert!(kit::check_log(&store) > 500);
        for refold_cache in [64 << 20, 40 << 10] {
            let setup = Setup { row_cache_max: refold_cache, ..setup.clone() };
            let context = format!("cache {row_cache_max}, folded with {refold_cache}");
            assert_rows_are_the_fold(&store, &setup, &context);
        }
        all.push(store);
    }
    for store in &all[1..] {
        assert_eq!(kit::lines(store), kit::lines(&all[0]), "the log does not depend on the cache");
        assert_same_rows(store, &all[0], "rows of another cache");
    }
}

#[test]
fn any_checkpoint_leads_to_the_same_rows() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    let mut cuts = vec![MemoryStore::default()];
    for _ in 0..12 {
        live(&mut bank, 6);
        bank.checkpoint().expect("a checkpoint is stored");
        cuts.push(bank.store().clone());
    }
    let last = bank.store().clone();
    for (index, cut) in cuts.into_iter().enumerate() {
        // The rows of an older checkpoint under the newest log: what a crash leaves behind.
        let store = MemoryStore { log: last.log.clone(), ..cut };
        let mut bank = setup.open(store);
        bank.open().expect("opens");
        bank.checkpoint().expect("a checkpoint is stored");
        assert_same_rows(bank.store(), &last, &format!("from checkpoint {index}"));
    }
}

/// Reports a corrupt row once, at one read.
struct CorruptOnce {
    inner: MemoryStore,
    reads_left: u64,
    erased: u64,
}

impl Store for CorruptOnce {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.inner.tail()
    }
    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.reads_left = self.reads_left.wrapping_sub(1);
        if self.reads_left == 0 {
            return Err(StoreError::CorruptRow { view: "BankAccount".into(), key: "00".into() });
        }
        self.inner.read(queries)
    }
    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.inner.write(write)
    }
    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.erased += 1;
        self.inner.erase_rows()
    }
}

#[test]
fn a_corrupt_row_costs_the_rows_and_nothing_else() {
    let setup = Setup { row_cache_max: 48 << 10, ..Setup::default() };
    let mut clean = setup.open(MemoryStore::default());
    live(&mut clean, 60);
    clean.checkpoint().expect("a checkpoint is stored");
    let (mut reads, mut found) = (1, 0);
    loop {
        let store = CorruptOnce { inner: MemoryStore::default(), reads_left: reads, erased: 0 };
        let mut bank = setup.open(store);
        live(&mut bank, 60);
        bank.checkpoint().expect("a checkpoint is stored");
        let store = bank.store();
        assert_eq!(
            kit::lines(&store.inner),
            kit::lines(clean.store()),
            "a corrupt row at read {reads}"
        );
        assert_same_rows(&store.inner, clean.store(), &format!("a corrupt row at read {reads}"));
        if store.erased == 0 {
            break;
        }
        found += 1;
        reads += 7;
    }
    assert!(found > 10, "reads were tried: {found}");
}

/// After a kill all rows are cold: those of a long tail are read by the page, not one by one.
#[test]
fn a_long_tail_asks_for_its_rows_at_once() {
    const ACCOUNTS: usize = 1_500;
    let setup = Setup::default();
    let mut bank = setup.open(Counting::default());
    let all = |bank: &mut Bank<Counting>, request: &dyn Fn(&str) -> OwnedRequest| {
        for first in (0..ACCOUNTS).step_by(100) {
            let batch = (first..first + 100).map(|n| request(&format!("acc-{n}"))).collect();
            assert!(bank.run(batch).iter().all(|reply| reply.response.status < 300));
        }
    };
    all(&mut bank, &|id| open_account(id, 0));
    bank.checkpoint().expect("a checkpoint is stored");
    for _ in 0..3 {
        all(&mut bank, &|id| deposit(id, 1));
    }
    let stored = bank.store().store.clone();
    let mut bank = setup.open(Counting { store: stored, ..Counting::default() });
    done(&mut bank, get("/log/head"));
    let (rounds, rows) = (bank.store().rounds, bank.store().rows);
    assert!(rounds < ACCOUNTS / 3, "{rounds} rounds for {ACCOUNTS} accounts");
    assert!(rows <= 6 * ACCOUNTS, "{rows} rows of {ACCOUNTS} accounts");
    bank.checkpoint().expect("a checkpoint is stored");
    assert_rows_are_the_fold(&bank.store().store, &setup, "after a long tail");
}
