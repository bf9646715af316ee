//! Process managers (law 4): what the system commands itself is settled, whatever stops in between.
//!
//! Symptom to look for: money made or lost, a reaction done twice or forgotten. Owns every place
//! at which a process can stop, loops, traps, and timers over restarts.

use foldlog_core::chain::{StoredBlock, pack, position};
use foldlog_core::decider::{self, Aggregate, AggregateSpec, CommandKind, CommandSpec, Decision};
use foldlog_core::driver::{MemoryStore, OwnedRequest};
use foldlog_core::errors::Rejection;
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::process::{self, Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::read::{Reader, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use foldlog_core::time::Time;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kit::{
    self, Bank, Clock, NEW_YEAR_MS, Random, Setup, done, get, open_account, request, seed,
};

fn transfer(id: u64, from: &str, to: &str, amount: u64) -> OwnedRequest {
    let body = format!(
        r#"{{"transferId":"t-{id}","fromAccountId":"{from}","toAccountId":"{to}","amount":{amount}}}"#
    );
    request("POST", "/commands/transfer", &body, &[])
}

fn value(bank: &mut Bank<MemoryStore>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

/// The log up to and with its line number `count`, without rows.
fn cut(lines: &[String], count: usize) -> MemoryStore {
    let mut store = MemoryStore::default();
    let last = |line: &str| {
        let first = position(line).expect("a line has a position");
        (first, first + kit::events_of(line).max(1) - 1, line.to_string())
    };
    for line in lines.iter().take(count) {
        for StoredBlock { first, last, body } in pack([last(line)]) {
            store.log.insert(first, StoredBlock { first, last, body });
        }
    }
    store
}

fn pending(store: &MemoryStore) -> usize {
    let rows = store.rows.iter().filter(|(view, _)| view.name == "pending");
    rows.map(|(_, rows)| rows.len()).sum()
}

#[test]
fn wherever_it_stops_the_same_story_is_told_and_no_money_is_made_or_lost() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    let mut random = Random::new(seed(12));
    for n in 0..4 {
        done(&mut bank, open_account(&format!("a-{n}"), 100));
    }
    for n in 0..40 {
        // One account in five does not exist; some amounts are too large.
        let account = |n: u64| format!("a-{n}");
        let (from, to) = (random.below(5), random.below(5));
        let amount = random.below(90) + 1;
        let (status, body) = kit::run(&mut bank, transfer(n, &account(from), &account(to), amount));
        assert_eq!(status, if from == to { 400 } else { 202 }, "{body}");
        if n % 7 == 0 {
            kit::run(&mut bank, kit::close(&account(random.below(4))));
        }
    }
    bank.checkpoint().expect("a checkpoint is stored");
    assert_eq!(pending(bank.store()), 0);
    kit::assert_rows_are_the_fold(bank.store(), &setup, "the whole run");
    let whole = kit::lines(bank.store());
    assert!(whole.iter().any(|line| line.contains("TransferMoneyRefunded")), "one is refunded");
    for count in 1..=whole.len() {
        let mut bank = setup.open(cut(&whole, count));
        // Opening alone is enough: whoever asks for anything finds all of it settled.
        kit::run(&mut bank, get("/log/head"));
        bank.checkpoint().expect("a checkpoint is stored");
        assert_eq!(pending(bank.store()), 0, "cut after {count}");
        let lines = kit::lines(bank.store());
        let story = whole.get(..lines.len()).expect("nothing is added to the story");
        assert_eq!(lines, story, "cut after {count}");
        let balances = value(&mut bank, "/projections/AccountBalances");
        let balances = balances["data"]["balances"].as_object().cloned().unwrap_or_default();
        let sum: u64 = balances.values().filter_map(|b| b["balance"].as_u64()).sum();
        assert_eq!(sum, 100 * balances.len() as u64, "cut after {count}");
    }
}

/// A lamp: rings for itself when it is asked to, and goes out by itself after a minute.
struct Lamp;

#[derive(Serialize, Deserialize)]
enum LampCommand {
    Light {},
    Dim {},
    Echo {},
}

#[derive(Serialize, Deserialize)]
enum LampEvent {
    Lit {},
    Dimmed {},
    Echoed {},
}

const ID: Field = Field { name: "lampId", kind: FieldKind::Id, optional: false, doc: "Which" };

const fn command(name: &'static str, path: &'static str) -> CommandSpec {
    CommandSpec {
        name,
        path,
        version: 1,
        summary: name,
        fields: &[ID],
        rejections: &[],
        creates: true,
        kind: CommandKind::Whole,
    }
}

impl Aggregate for Lamp {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Lamp",
        name: "lamp",
        id_field: "lampId",
        revision: 1,
        snapshot_every: 0,
        events: &["Lit", "Dimmed", "Echoed"],
        commands: &[command("Light", "light"), command("Dim", "dim"), command("Echo", "echo")],
        query_schema: "{}",
    };
    type State = bool;
    type Command = LampCommand;
    type Event = LampEvent;

    fn decide(
        state: Option<&bool>,
        command: &LampCommand,
        _: &mut Decision<'_>,
    ) -> Result<Vec<LampEvent>, Rejection> {
        Ok(match command {
            LampCommand::Light {} => vec![LampEvent::Lit {}],
            LampCommand::Dim {} if state == Some(&true) => vec![LampEvent::Dimmed {}],
            LampCommand::Dim {} => Vec::new(),
            LampCommand::Echo {} => vec![LampEvent::Echoed {}],
        })
    }

    fn evolve(state: &mut bool, event: &LampEvent) {
        *state = matches!(event, LampEvent::Lit {});
    }

    fn show(_: &str, _: u64, state: &bool, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok(format!("{{\"lit\":{state}}}"))
    }
}

struct Minute;

impl ProcessManager for Minute {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Minute",
        reacts_to: &[("Lamp", "Lit"), ("Lamp", "Dimmed"), ("Lamp", "Echoed")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let (id, key) = (record.aggregate_id, record.aggregate_id.to_string());
        Ok(vec![match record.event_type() {
            "Lit" => Reaction::Timer {
                key,
                due: Time(record.time.0 + 60_000),
                command: Ordered::to::<Lamp>(id, &LampCommand::Dim {})?,
            },
            "Dimmed" => Reaction::Cancel { key },
            _ => Reaction::Command(Ordered::to::<Lamp>(id, &LampCommand::Echo {})?),
        }])
    }
}

fn lamps() -> Registry {
    let mut registry = Registry::new("1.0.0");
    registry.aggregates.push(decider::erase::<Lamp>());
    registry.managers.push(process::erase::<Minute>());
    registry
}

fn ask(what: &str, lamp: &str) -> OwnedRequest {
    request("POST", &format!("/commands/{what}"), &format!(r#"{{"lampId":"{lamp}"}}"#), &[])
}

fn lit(bank: &mut Bank<MemoryStore>, lamp: &str) -> bool {
    value(bank, &format!("/queries/lamp/{lamp}"))["lit"] == true
}

#[test]
fn a_loop_of_reactions_ends_in_the_log() {
    let setup = Setup { registry: lamps, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, ask("echo", "a"));
    bank.checkpoint().expect("a checkpoint is stored");
    assert_eq!(pending(bank.store()), 0);
    // The client's event, and one for each of sixteen reactions; the last says that it stopped.
    let events = value(&mut bank, "/events/stream?limit=100");
    let events = events.as_array().cloned().unwrap_or_default();
    assert_eq!(events.len(), 18);
    let echoed = events.iter().filter(|event| event["eventType"] == "Echoed").count();
    let last = events.last().expect("there are events");
    assert_eq!((echoed, &last["eventType"]), (17, &Value::from("ProcessManager.Stopped")));
    assert_eq!(last["aggregateId"], "Minute");
    assert_eq!(last["metadata"]["correlationId"], "evt-001");
    kit::assert_rows_are_the_fold(bank.store(), &setup, "after a loop");
}

#[test]
fn timers_survive_restarts_and_fire_by_the_raw_clock() {
    let setup = Setup { registry: lamps, test_stamps: false, ..Setup::default() };
    let clock = Clock::at(NEW_YEAR_MS);
    let at = |ms: u64| clock.now.set(NEW_YEAR_MS + ms);
    let mut bank = setup.open_at(MemoryStore::default(), clock.clone());
    for lamp in ["a", "b", "c"] {
        done(&mut bank, ask("light", lamp));
    }
    assert_eq!(bank.work_due(), Some(60_000_000));
    // One is lit again, one is put out: the first timer of both is gone.
    at(30_000);
    done(&mut bank, ask("light", "b"));
    done(&mut bank, ask("dim", "c"));
    at(59_999);
    bank.work();
    assert!(lit(&mut bank, "a") && lit(&mut bank, "b") && !lit(&mut bank, "c"));
    let mut bank = setup.open_at(bank.store().clone(), clock.clone());
    // Recorded time never goes back; the raw clock does, and timers wait for it.
    at(20_000);
    assert!(lit(&mut bank, "a"));
    at(60_000);
    bank.work();
    assert!(!lit(&mut bank, "a") && lit(&mut bank, "b"));
    assert_eq!(bank.work_due(), Some(30_000_000));
    let mut bank = setup.open_at(bank.store().clone(), clock.clone());
    // What fell due while nobody was there is done by whoever opens the partition.
    at(90_000_000);
    assert!(!lit(&mut bank, "b"));
    assert_eq!(bank.work_due(), None);
    bank.checkpoint().expect("a checkpoint is stored");
    assert_eq!(pending(bank.store()), 0);
    assert_eq!(bank.take_failures(), Vec::<String>::new());
    kit::assert_rows_are_the_fold(bank.store(), &setup, "after timers");
}

#[test]
fn with_test_stamps_timers_run_when_a_test_wakes_them() {
    let setup = Setup { registry: lamps, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, ask("light", "a"));
    let wake = |ms: u64| request("POST", "/test/wake", &format!("{{\"advanceMs\":{ms}}}"), &[]);
    done(&mut bank, wake(50_000));
    assert!(lit(&mut bank, "a"));
    done(&mut bank, wake(20_000));
    assert!(!lit(&mut bank, "a"));
}
