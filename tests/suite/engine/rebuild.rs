//! Rebuilding a projection in slices (laws 2, 3, 7): old rows serve until the new ones are complete,
//! crashes cost progress only, and the result is the fold.
//!
//! Owns the in-process proofs; `http/transcripts` and `hosts` show the same on both hosts.

use std::cell::Cell;

use foldlog_core::decider;
use foldlog_core::domains::bank::{Account, AccountBalances};
use foldlog_core::driver::{MemoryStore, OwnedRequest};
use foldlog_core::projection::{self, Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use serde_json::Value;

use super::kit::{
    self, Bank, Setup, deposit, done, folded_again, get, open_account, request, with,
};

fn rebuild(name: &str) -> OwnedRequest {
    request("POST", "/projections/rebuild", &format!(r#"{{"name":"{name}"}}"#), &[])
}

fn value(bank: &mut Bank<MemoryStore>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

/// Real stamps, so that slices run when the test asks for them.
fn setup() -> Setup {
    Setup { test_stamps: false, tail_events_max: 500, ..Setup::default() }
}

/// Rows of a projection, whatever their generation, all that the store has.
fn rows(store: &MemoryStore, name: &str) -> Vec<(Vec<u8>, Vec<u8>)> {
    let views = store.rows.iter().filter(|(view, _)| view.name == name);
    views.flat_map(|(_, rows)| rows.clone()).collect()
}

fn finish(bank: &mut Bank<MemoryStore>) -> u32 {
    let mut slices = 0;
    while bank.work_due().is_some() {
        bank.work();
        assert_eq!(bank.take_failures(), Vec::<String>::new());
        slices += 1;
        assert!(slices < 100_000, "it does not end");
    }
    slices
}

#[test]
fn a_rebuild_of_100_000_events_survives_100_crashes() {
    let setup = setup();
    let mut bank = setup.open(MemoryStore::default());
    (0..50).for_each(|n| drop(done(&mut bank, open_account(&format!("a-{n}"), 10))));
    for round in 0..500 {
        let batch = (0..200).map(|n| deposit(&format!("a-{}", (round + n) % 50), n + 1)).collect();
        assert!(bank.run(batch).iter().all(|reply| reply.response.status == 200));
    }
    bank.checkpoint().expect("a checkpoint is stored");
    let before = bank.store().clone();
    let log = kit::lines(&before);
    let names = ["AccountBalances", "TransactionHistory", "DailySummary"];
    for name in names {
        let answer = kit::run(&mut bank, rebuild(name));
        assert_eq!(answer, (202, format!(r#"{{"name":"{name}","state":"rebuilding"}}"#)));
    }
    let mut random = kit::Random::new(kit::seed(3));
    let mut crashes = 0;
    while bank.work_due().is_some() {
        for _ in 0..=random.below(6) {
            bank.work();
        }
        let status = value(&mut bank, "/projections/DailySummary");
        assert_eq!(status["lag"], 0, "old rows are current: {status}");
        assert_eq!(status["data"]["summary"]["withdrawals"], 0, "{status}");
        if crashes < 100 && bank.work_due().is_some() {
            // The process ends: what is stored is all there is.
            bank = setup.open(bank.store().clone());
            bank.open().expect("it opens again");
            crashes += 1;
        }
    }
    assert_eq!(crashes, 100, "it was over too soon");
    bank.checkpoint().expect("a checkpoint is stored");
    assert_eq!(kit::lines(bank.store()), log, "a rebuild writes nothing into the log");
    for name in names {
        assert_eq!(rows(bank.store(), name), rows(&before, name), "{name}");
        let status = value(&mut bank, &format!("/projections/{name}"));
        assert_eq!(status["state"], "live", "{status}");
    }
}

#[test]
fn commands_go_on_meanwhile_and_are_in_both() {
    let setup = setup();
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 1));
    (0..600).for_each(|_| drop(done(&mut bank, deposit("a", 1))));
    done(&mut bank, rebuild("AccountBalances"));
    // Durable before the answer: whoever opens the store goes on with it.
    let mut bank = setup.open(bank.store().clone());
    let mut balance = 601;
    bank.open().expect("it opens");
    let mut beside = 0;
    while bank.work_due().is_some() {
        done(&mut bank, deposit("a", 1));
        balance += 1;
        done(&mut bank, rebuild("AccountBalances"));
        let status = value(&mut bank, "/projections/AccountBalances");
        assert_eq!(status["data"]["balances"]["a"]["balance"], balance, "{status}");
        if status["state"] == "rebuilding" {
            beside += 1;
        }
        bank.work();
        if beside >= 2 {
            break;
        }
    }
    finish(&mut bank);
    done(&mut bank, deposit("a", 1));
    let status = value(&mut bank, "/projections/AccountBalances");
    assert_eq!(status["data"]["balances"]["a"]["balance"], balance + 1, "{status}");
    assert_eq!((&status["state"], &status["lag"]), (&"live".into(), &0.into()));
    bank.checkpoint().expect("a checkpoint is stored");
    let (stored, folded) = (bank.store().clone(), folded_again(bank.store(), &setup));
    for name in ["AccountBalances", "TransactionHistory", "DailySummary", "BankAccount"] {
        assert_eq!(rows(&stored, name), rows(&folded, name), "{name}");
    }
}

#[test]
fn what_is_no_rebuild_is_refused() {
    let mut bank = setup().open(MemoryStore::default());
    let status = |bank: &mut Bank<MemoryStore>, request| kit::run(bank, request).0;
    assert_eq!(status(&mut bank, rebuild("Nobody")), 404);
    assert_eq!(status(&mut bank, rebuild("AccountBalances")), 202, "of an empty log");
    assert_eq!(bank.work_due(), None, "there is nothing to build");
    assert!(bank.store().log.is_empty() && bank.store().checkpoint.is_none());
    let more = request("POST", "/projections/rebuild", r#"{"name":"X","other":1}"#, &[]);
    assert_eq!(status(&mut bank, more), 400);
    assert_eq!(status(&mut bank, with(get("/projections/rebuild"), "x", "y")), 404);
}

thread_local!(static BROKEN: Cell<bool> = const { Cell::new(true) });

/// Fails on an amount of 666 while it is broken.
struct Picky;

impl Projection for Picky {
    const SPEC: ProjectionSpec = ProjectionSpec { name: "Picky", revision: 1, schema: "{}" };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let count = rows.get::<u64>(b"count")?.unwrap_or_default();
        rows.put(b"count", &(count + 1))?;
        if record.data() == r#"{"amount":666}"# && BROKEN.get() {
            return Err(Stop::Fault("does not like 666".into()));
        }
        Ok(())
    }

    fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        let count = reader.get::<u64>(b"count")?.unwrap_or_default();
        Ok(Rendered { json: format!("{count}"), next: None })
    }
}

#[test]
fn a_quarantine_is_cleared_by_a_rebuild_once_it_no_longer_fails() {
    fn registry() -> Registry {
        let mut registry = Registry::new("test");
        registry.aggregates.push(decider::erase::<Account>());
        registry.projections.push(projection::erase::<Picky>());
        registry.projections.push(projection::erase::<AccountBalances>());
        registry
    }
    let setup = Setup { registry, ..setup() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("a", 1));
    for amount in [5, 666, 7] {
        done(&mut bank, deposit("a", amount));
    }
    let told = |bank: &mut Bank<MemoryStore>| {
        let status = value(bank, "/projections/Picky");
        let text = |name: &str| status[name].as_str().unwrap_or_default().to_string();
        (text("state"), status["lag"].clone(), status["data"].clone(), text("error"))
    };
    let faulted = ("faulted".to_string(), 2.into(), 2.into(), "does not like 666".to_string());
    assert_eq!(told(&mut bank), faulted);
    done(&mut bank, rebuild("Picky"));
    assert_eq!(told(&mut bank).0, "rebuilding");
    finish(&mut bank);
    assert_eq!(told(&mut bank), faulted, "it fails again, and its rows stay");
    bank = setup.open(bank.store().clone());
    assert_eq!(told(&mut bank), faulted, "opened again");
    BROKEN.set(false);
    done(&mut bank, rebuild("Picky"));
    finish(&mut bank);
    let live = ("live".to_string(), 0.into(), 4.into(), String::new());
    assert_eq!(told(&mut bank), live);
    assert_eq!(kit::run(&mut bank, get("/health")).0, 200);
    bank = setup.open(bank.store().clone());
    assert_eq!(told(&mut bank), live, "opened again");
    // A healthy one that fails while it is rebuilt serves on, and tells why.
    BROKEN.set(true);
    done(&mut bank, rebuild("Picky"));
    finish(&mut bank);
    let (state, lag, data, error) = told(&mut bank);
    assert_eq!((state.as_str(), lag, data), ("live", 0.into(), 4.into()), "{error}");
    assert!(error.contains("does not like 666"), "{error}");
    done(&mut bank, deposit("a", 8));
    assert_eq!(told(&mut bank).2, 5);
}
