//! Law 9 for a projection that returns an error: it stops at that record, its rows stay as of the
//! record before, everything else goes on, and opening again changes none of this.

use foldlog_core::decider;
use foldlog_core::domains::bank::{Account, AccountBalances};
use foldlog_core::driver::{MemoryStore, Store};
use foldlog_core::projection::{self, Page, Projection, ProjectionSpec, Rendered};
use foldlog_core::read::{Reader, Rows, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use serde_json::Value;

use super::kit::{
    self, Bank, Setup, assert_same_rows, deposit, done, folded_again, get, open_account,
};

/// Counts events and keeps the last one's position; fails on an amount of 666.
pub struct Picky;

impl Projection for Picky {
    const SPEC: ProjectionSpec =
        ProjectionSpec { name: "Picky", revision: 1, schema: r#"{"type":"object"}"# };

    fn apply(record: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
        let count = rows.get::<u64>(b"count")?.unwrap_or_default();
        rows.put(b"count", &(count + 1))?;
        rows.put(format!("seen-{}", record.position).as_bytes(), &record.position)?;
        rows.append_position(b"all", record.position)?;
        if record.data() == r#"{"amount":666}"# {
            // Rows were written already: they must not stay.
            rows.delete(b"count")?;
            return Err(Stop::Fault("does not like 666".into()));
        }
        Ok(())
    }

    fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
        let count = reader.get::<u64>(b"count")?.unwrap_or_default();
        let seen = reader.range::<u64>(b"seen-", b"", 100)?.len();
        let all = reader.positions_after(b"all", 0, 100)?.len();
        let json = format!(r#"{{"count":{count},"seen":{seen},"all":{all}}}"#);
        Ok(Rendered { json, next: None })
    }
}

fn registry() -> Registry {
    let mut registry = Registry::new("test");
    registry.aggregates.push(decider::erase::<Account>());
    registry.projections.push(projection::erase::<Picky>());
    registry.projections.push(projection::erase::<AccountBalances>());
    registry
}

fn value<T: Store>(bank: &mut Bank<T>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

/// What is told of the projection while the log is at `head`.
fn assert_stopped<T: Store>(bank: &mut Bank<T>, head: u64, context: &str) {
    let status = value(bank, "/projections/Picky");
    assert_eq!(status["state"], "faulted", "{context}: {status}");
    assert_eq!(status["lastProcessedVersion"], 3, "{context}: {status}");
    assert_eq!(status["lag"], head - 3, "{context}: {status}");
    assert_eq!(status["error"], "does not like 666", "{context}: {status}");
    // Three counted rows and one list; what the failing record wrote is gone.
    let data = serde_json::json!({"count": 3, "seen": 3, "all": 3});
    assert_eq!(status["data"], data, "{context}: {status}");
    assert_eq!(status["rows"], 5, "{context}: {status}");
    let other = value(bank, "/projections/AccountBalances");
    assert_eq!(other["state"], "live", "{context}: {other}");
    assert_eq!(other["lag"], 0, "{context}: {other}");
    let (code, health) = kit::run(bank, get("/health"));
    assert_eq!(code, 503, "{context}: {health}");
    assert!(health.contains("Picky stopped at position 4"), "{context}: {health}");
}

#[test]
fn a_projection_that_fails_stops_there_and_alone() {
    let setup = Setup { registry, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    let batch = vec![
        open_account("a", 1),
        deposit("a", 2),
        deposit("a", 3),
        deposit("a", 666),
        deposit("a", 5),
    ];
    for reply in bank.run(batch) {
        assert!(reply.response.status < 300, "{:?}", kit::shown(&reply));
    }
    assert_stopped(&mut bank, 5, "in the batch that stopped it");
    done(&mut bank, deposit("a", 666));
    assert_stopped(&mut bank, 6, "later commits leave it alone");
    bank.checkpoint().expect("a checkpoint is stored");
    done(&mut bank, deposit("a", 7));

    let store = bank.store().clone();
    let mut bank = setup.open(store.clone());
    assert_stopped(&mut bank, 7, "opened from the checkpoint");
    bank.checkpoint().expect("a checkpoint is stored");
    let checkpointed = bank.store().clone();

    let mut bare = store;
    bare.erase_rows().expect("erases");
    let mut bank = setup.open(bare);
    assert_stopped(&mut bank, 7, "opened from the log alone");
    assert_same_rows(&checkpointed, &folded_again(&checkpointed, &setup), "folded again");
}

#[test]
fn a_projection_that_fails_on_the_first_record_has_no_rows() {
    fn failing() -> Registry {
        struct Never;
        impl Projection for Never {
            const SPEC: ProjectionSpec =
                ProjectionSpec { name: "Never", revision: 1, schema: "{}" };
            fn apply(_: &Record<'_>, rows: &mut Rows<'_, '_>) -> Result<(), Stop> {
                rows.put(b"x", &1_u64)?;
                Err(Stop::Fault("never".into()))
            }
            fn page(reader: &mut Reader<'_, '_>, _: &Page) -> Result<Rendered, Stop> {
                let there = reader.get::<u64>(b"x")?.is_some();
                Ok(Rendered { json: format!("{there}"), next: None })
            }
        }
        let mut registry = registry();
        registry.projections.push(projection::erase::<Never>());
        registry
    }
    let setup = Setup { registry: failing, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    for round in 0..3 {
        done(&mut bank, open_account(&format!("a-{round}"), 1));
        let status = value(&mut bank, "/projections/Never");
        assert_eq!(status["state"], "faulted", "{status}");
        assert_eq!(status["data"], false, "{status}");
        assert_eq!(status["lastProcessedEvent"], Value::Null, "{status}");
        bank.checkpoint().expect("a checkpoint is stored");
        bank = setup.open(bank.store().clone());
    }
}
