//! Law 3: stage, store, then answer. The store fails or the process ends at every single step of a
//! scenario, and afterwards nothing acknowledged is lost, nothing is there twice, an unknown
//! outcome is settled by its key, and rows are the fold of the log.
//!
//! The proof is short: under test stamps a commit's bytes follow from its position, so the log of
//! a run with any fault, retried by keys, must equal the log of the run without, byte for byte.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use foldlog_core::chain;
use foldlog_core::driver::{MemoryStore, OwnedRequest, Reply};

use super::faults::{FaultStore, Kind, Script, WAYS, Way};
use super::kit::{
    self, Bank, Setup, assert_same_rows, check_log, deposit, folded_again, get, header, keyed,
    open_account, withdraw,
};

/// Batches of requests; `true` asks for a checkpoint after it.
type Scenario = Vec<(Vec<OwnedRequest>, bool)>;

/// A scenario, and the partition it happens to.
struct Plan {
    name: &'static str,
    setup: Setup,
    scenario: Scenario,
    /// Operation from which on a read finds a damaged row; 0 for never.
    corrupt_at: u64,
}

/// What a run left behind.
struct Outcome {
    store: MemoryStore,
    script: Script,
    /// Target, status and body of every command's last answer.
    answers: Vec<(String, (u16, String))>,
    /// Commands that were answered from their key.
    settled_by_key: u64,
}

fn is_command(request: &OwnedRequest) -> bool {
    request.method == "POST"
}

/// Whether a reply leaves a command open, so that it is sent again.
fn open_still(reply: &Reply) -> bool {
    matches!(reply.response.status, 503 | 507)
}

/// Runs a scenario with one fault, opening again after a crash, until everything is answered.
fn play(plan: &Plan, at: u64, way: Way) -> Outcome {
    let context = format!("{}: {way:?} at operation {at}", plan.name);
    let durable = Rc::new(RefCell::new(MemoryStore::default()));
    let script = Rc::new(RefCell::new(Script::new(at, way, plan.corrupt_at)));
    let fresh = || plan.setup.open(FaultStore::new(&durable, &script));
    let mut bank = fresh();
    let (mut answers, mut settled_by_key) = (Vec::new(), 0);
    let reborn = |bank: &mut Bank<FaultStore>| {
        let crashed = std::mem::take(&mut script.borrow_mut().crashed);
        if crashed {
            assert_checkpoint_is_a_cut(&durable.borrow(), &plan.setup, &context);
            *bank = fresh();
        }
        crashed
    };
    for (batch, checkpoint) in &plan.scenario {
        let mut tries = 0;
        loop {
            tries += 1;
            assert!(tries < 5, "{context}: a batch is not answered");
            let replies = bank.run(batch.clone());
            // Nobody got the replies of a process that ended.
            if reborn(&mut bank) {
                continue;
            }
            assert_reads_tell_what_is_stored(&mut bank, &durable, &context);
            if reborn(&mut bank) || replies.iter().any(open_still) {
                continue;
            }
            for (request, reply) in batch.iter().zip(&replies).filter(|(r, _)| is_command(r)) {
                let by_key = header(reply, "Idempotency-Replayed").is_some();
                settled_by_key += u64::from(by_key);
                answers.push((request.target.clone(), kit::shown(reply)));
            }
            break;
        }
        if *checkpoint {
            // A failed checkpoint costs time only: nothing is sent again.
            let _ = bank.checkpoint();
            reborn(&mut bank);
        }
    }
    let mut tries = 0;
    while bank.open().and_then(|_| bank.checkpoint()).is_err() || reborn(&mut bank) {
        tries += 1;
        assert!(tries < 5, "{context}: no last checkpoint: {:?}", bank.take_failures());
        reborn(&mut bank);
    }
    let (store, script) = (durable.borrow().clone(), script.borrow().clone());
    Outcome { store, script, answers, settled_by_key }
}

/// Right after any batch, failed or not: what is read is what is stored, never what was proposed
/// and lost. Nothing is written in between that could heal it.
fn assert_reads_tell_what_is_stored(
    bank: &mut Bank<FaultStore>,
    durable: &Rc<RefCell<MemoryStore>>,
    context: &str,
) {
    let (status, body) = kit::run(bank, get("/log/head"));
    if status == 200 {
        let lines = kit::lines(&durable.borrow());
        let hash = lines.last().and_then(|line| chain::stored_hash(line)).unwrap_or_default();
        let head = check_log(&durable.borrow());
        let expected = format!("\"position\":{head},\"hash\":\"{}\"", chain::hex(&hash));
        assert!(body.contains(&expected), "{context}: {body}, but stored is {expected}");
    }
}

/// The stored rows are the fold of the log up to the stored checkpoint: never newer, never older.
fn assert_checkpoint_is_a_cut(store: &MemoryStore, setup: &Setup, context: &str) {
    if store.checkpoint.is_none() {
        assert!(store.rows.values().all(BTreeMap::is_empty), "{context}: rows without checkpoint");
        return;
    }
    let cut = setup.open(store.clone()).open().expect("what is stored opens").checkpoint;
    let mut log = MemoryStore::default();
    for line in kit::lines(store) {
        let first = chain::position(&line).expect("a line states its position");
        if first <= cut {
            let last = first + kit::events_of(&line).saturating_sub(1);
            log.log.extend(chain::pack([(first, last, line)]).into_iter().map(|b| (b.first, b)));
        }
    }
    assert_same_rows(store, &folded_again(&log, setup), context);
}

/// Every fault at every operation.
fn exhaust(plan: &Plan) {
    let clean = play(plan, 0, Way::Fails);
    let head = check_log(&clean.store);
    let fold = folded_again(&clean.store, &plan.setup);
    assert_same_rows(&clean.store, &fold, plan.name);
    let (mut settled, mut runs) = (0, 0);
    for (at, kind) in (1..).zip(clean.script.log.iter().copied()) {
        for way in WAYS.into_iter().filter(|way| way.fits(kind)) {
            let run = play(plan, at, way);
            let context = format!("{}: {way:?} at operation {at}, a {kind:?}", plan.name);
            assert_eq!(kit::lines(&run.store), kit::lines(&clean.store), "{context}");
            assert_eq!(check_log(&run.store), head, "{context}");
            assert_same_rows(&run.store, &fold, &context);
            assert_eq!(run.answers, clean.answers, "{context}");
            settled += run.settled_by_key;
            runs += 1;
        }
    }
    let count = |kind| clean.script.count(kind);
    println!(
        "{}: {runs} runs, {head} positions, {} reads, {} writes, {} erasures, \
         {settled} commands settled by their keys",
        plan.name,
        count(Kind::Read),
        count(Kind::Write),
        count(Kind::Erase),
    );
    assert!(settled > 0, "{}: no outcome was unknown", plan.name);
    assert_eq!(count(Kind::Erase) > 0, plan.corrupt_at > 0, "{}", plan.name);
}

fn command(n: u64, request: OwnedRequest) -> OwnedRequest {
    keyed(request, &format!("key-{n}"))
}

#[test]
fn one_command_at_a_time_survives_any_fault() {
    let mut scenario = Scenario::new();
    for n in 0..8 {
        let id = format!("acc-{}", n % 3);
        let request = match n {
            0..=2 => open_account(&id, 100),
            3..=5 => deposit(&id, n),
            _ => withdraw(&id, 1_000),
        };
        scenario.push((vec![command(n, request)], n % 3 == 2));
    }
    let setup = Setup::default();
    exhaust(&Plan { name: "one at a time", setup, scenario, corrupt_at: 0 });
}

/// Batches with reads and rejections that stay rejections however often they are tried.
fn batches(rounds: u64, accounts: u64) -> Scenario {
    let mut scenario = Scenario::new();
    let mut n = 0;
    for round in 0..rounds {
        let mut batch = Vec::new();
        for k in 0..4 {
            n += 1;
            let id = format!("account-{}", (round * 7 + k * 5) % accounts);
            // An account exists from its first opening on; opening it again is refused for ever.
            batch.push(command(n, open_account(&id, n)));
            batch.push(command(n + 10_000, deposit(&id, n)));
            batch.push(deposit("nobody", 5));
            batch.push(get(&format!("/queries/account/{id}")));
        }
        batch.push(get("/projections/TransactionHistory?limit=3"));
        batch.push(get("/events/stream?type=MoneyDeposited&order=desc&limit=2"));
        scenario.push((batch, round % 3 == 1));
    }
    scenario
}

#[test]
fn batches_survive_any_fault() {
    let (setup, scenario) = (Setup::default(), batches(4, 9));
    exhaust(&Plan { name: "batches", setup, scenario, corrupt_at: 0 });
}

#[test]
fn a_small_cache_survives_any_fault() {
    // Small enough that rows are evicted, read back, and stored by checkpoints within batches.
    let setup = Setup { row_cache_max: 16 << 10, tail_events_max: 20, ..Setup::default() };
    exhaust(&Plan { name: "small cache", setup, scenario: batches(5, 23), corrupt_at: 0 });
}

#[test]
fn a_damaged_row_and_a_fault_together_are_survived() {
    let setup = Setup { row_cache_max: 16 << 10, tail_events_max: 20, ..Setup::default() };
    exhaust(&Plan { name: "damaged row", setup, scenario: batches(4, 23), corrupt_at: 40 });
}
