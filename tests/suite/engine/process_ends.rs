//! How processes end: cut short for their depth, refused at their last step, and never with money
//! on its way.
//!
//! Owns a domain that loops, and a bank whose accounts refuse refunds as a bug would.

use foldlog_core::decider::{Aggregate, AggregateSpec, CommandSpec, Decision};
use foldlog_core::domains::bank::{
    Account, AccountBalances, AccountCommand, AccountEvent, AccountState, Transfer,
    TransferCommand, Transfers,
};
use foldlog_core::driver::MemoryStore;
use foldlog_core::errors::{Code, Problem, Rejection};
use foldlog_core::fields::{Field, FieldKind};
use foldlog_core::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use foldlog_core::read::{Reader, Stop};
use foldlog_core::record::Record;
use foldlog_core::registry::Registry;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::kit::{self, Bank, Setup, done, get, open_account, request};

/// Echoes for as long as it may. A bell named by a digit, with so much room left, orders a transfer
/// instead.
struct Bell;

#[derive(Serialize, Deserialize)]
enum BellCommand {
    Ring {},
}

#[derive(Serialize, Deserialize)]
enum BellEvent {
    Rang {},
    /// Not declared.
    Broke {},
}

const ID: Field = Field { name: "bellId", kind: FieldKind::Id, optional: false, doc: "Which" };

impl Aggregate for Bell {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Bell",
        name: "bell",
        id_field: "bellId",
        revision: 1,
        snapshot_every: 0,
        events: &["Rang"],
        commands: &[CommandSpec::new("Ring", "ring", "", &[ID]).creating()],
        query_schema: "{}",
    };
    type State = u64;
    type Command = BellCommand;
    type Event = BellEvent;

    fn decide(
        _: Option<&u64>,
        _: &BellCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<BellEvent>, Rejection> {
        match decision.id() {
            "broken" => Ok(vec![BellEvent::Broke {}]),
            "breaks-another" => {
                decision.append::<Self>("other", &BellEvent::Broke {});
                Ok(vec![BellEvent::Rang {}])
            }
            _ => Ok(vec![BellEvent::Rang {}]),
        }
    }

    fn evolve(state: &mut u64, _: &BellEvent) {
        *state += 1;
    }

    fn show(_: &str, _: u64, state: &u64, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok(format!("{{\"rung\":{state}}}"))
    }
}

fn again(record: &Record<'_>) -> Result<Ordered, Stop> {
    Ordered::to::<Bell>(record.aggregate_id, &BellCommand::Ring {})
}

struct Echo;

impl ProcessManager for Echo {
    const SPEC: ProcessSpec = ProcessSpec { name: "Echo", reacts_to: &[("Bell", "Rang")] };

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let id = record.aggregate_id;
        let room: Option<u32> = id.parse().ok();
        Ok(vec![Reaction::Command(if room.is_some_and(|room| sight.room() <= room) {
            let transfer = TransferCommand::Transfer {
                from_account_id: "ann".into(),
                to_account_id: if id == "0" { "nobody".into() } else { "bob".into() },
                amount: 7,
            };
            Ordered::to::<Transfer>(&format!("t-{id}"), &transfer)?
        } else {
            again(record)?
        })])
    }
}

/// Joins in when there is no room any more.
struct Late;

impl ProcessManager for Late {
    const SPEC: ProcessSpec = ProcessSpec { name: "Late", reacts_to: &[("Bell", "Rang")] };

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        if sight.room() > 0 || record.aggregate_id != "loop" {
            return Ok(vec![]);
        }
        Ok(vec![Reaction::Command(again(record)?)])
    }
}

/// Sets a timer then, which counts anew.
struct Patient;

impl ProcessManager for Patient {
    const SPEC: ProcessSpec = ProcessSpec { name: "Patient", reacts_to: &[("Bell", "Rang")] };

    fn react(record: &Record<'_>, sight: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        if sight.room() > 0 || record.aggregate_id != "loop" {
            return Ok(vec![]);
        }
        let (key, due) = ("later".into(), sight.now().after_ms(1_000));
        let command = Ordered::to::<Bell>("0-later", &BellCommand::Ring {})?;
        Ok(vec![Reaction::Timer { key, due, command }])
    }
}

fn bells() -> Registry {
    Registry::new("test")
        .aggregate::<Account>()
        .aggregate::<Transfer>()
        .aggregate::<Bell>()
        .projection::<AccountBalances>()
        .manager::<Transfers>()
        .manager::<Echo>()
        .manager::<Late>()
        .manager::<Patient>()
}

fn ring(bell: &str) -> kit::OwnedRequest {
    request("POST", "/commands/ring", &format!(r#"{{"bellId":"{bell}"}}"#), &[])
}

fn wake(ms: u64) -> kit::OwnedRequest {
    request("POST", "/test/wake", &format!("{{\"advanceMs\":{ms}}}"), &[])
}

fn value(bank: &mut Bank<MemoryStore>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

fn balances(bank: &mut Bank<MemoryStore>) -> (Value, Value) {
    let all = value(bank, "/projections/AccountBalances")["data"]["balances"].clone();
    (all["ann"]["balance"].clone(), all["bob"]["balance"].clone())
}

#[test]
fn all_that_go_too_deep_are_named_and_nothing_else_is_dropped() {
    let setup = Setup { registry: bells, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, ring("loop"));
    let events = value(&mut bank, "/events/stream?limit=100");
    let events = events.as_array().cloned().unwrap_or_default();
    let last: Vec<_> = events.iter().rev().take(3).map(|event| &event["aggregateId"]).collect();
    assert_eq!(last, ["Late", "Echo", "loop"]);
    let stopped = events.iter().filter(|e| e["eventType"] == "ProcessManager.Stopped").count();
    assert_eq!((stopped, events.len()), (2, 17 + 2));
    assert_eq!(events[17]["data"], serde_json::json!({"manager": "Echo", "depth": 17}));
    assert_eq!(value(&mut bank, "/queries/bell/loop")["rung"], 17);
    // The timer was set all the same, and what it leads to is counted anew.
    done(&mut bank, wake(1_000));
    assert_eq!(value(&mut bank, "/queries/bell/0-later")["rung"], 16);
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_rows_are_the_fold(bank.store(), &setup, "after loops");
}

/// Ordered with so little room that its steps would be cut short, a transfer waits, and ends.
#[test]
fn a_transfer_ordered_at_any_depth_ends_with_all_money_there() {
    for room in 0..=5 {
        let setup = Setup { registry: bells, ..Setup::default() };
        let mut bank = setup.open(MemoryStore::default());
        done(&mut bank, open_account("ann", 10));
        done(&mut bank, open_account("bob", 0));
        // The transfer's own command takes one of them.
        done(&mut bank, ring(&room.to_string()));
        let transfer = format!("/queries/transfer/t-{room}");
        if room == 0 {
            // Its order went too deep itself: nothing came of it, and the log says so.
            assert_eq!(kit::run(&mut bank, get(&transfer)).0, 404);
            assert_eq!(balances(&mut bank), (10.into(), 0.into()));
            continue;
        }
        done(&mut bank, wake(1_000));
        assert_eq!(value(&mut bank, &transfer)["status"], "completed", "with room for {room}");
        assert_eq!(balances(&mut bank), (3.into(), 7.into()), "with room for {room}");
        let stopped = value(&mut bank, "/events/stream?type=ProcessManager.Stopped");
        assert_eq!(stopped, serde_json::json!([]), "with room for {room}");
    }
}

#[test]
fn an_event_that_is_not_declared_is_never_stored() {
    let setup = Setup { registry: bells, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    for bell in ["broken", "breaks-another"] {
        let (status, body) = kit::run(&mut bank, ring(bell));
        assert_eq!(status, 500, "{body}");
        assert!(body.contains("`Broke` is not among the events of Bell"), "{body}");
    }
    assert_eq!(value(&mut bank, "/log/head")["position"], 0);
}

/// A bell whose spec names other events.
struct Named<const EMPTY: bool>;

impl<const EMPTY: bool> Aggregate for Named<EMPTY> {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Named",
        name: "named",
        events: if EMPTY { &["Rang", ""] } else { &["~Rang"] },
        commands: &[],
        ..Bell::SPEC
    };
    type State = u64;
    type Command = BellCommand;
    type Event = BellEvent;

    fn decide(
        _: Option<&u64>,
        _: &BellCommand,
        _: &mut Decision<'_>,
    ) -> Result<Vec<BellEvent>, Rejection> {
        Ok(vec![])
    }

    fn evolve(_: &mut u64, _: &BellEvent) {}

    fn show(_: &str, _: u64, _: &u64, _: &mut Reader<'_, '_>) -> Result<String, Stop> {
        Ok("{}".into())
    }
}

#[test]
fn a_registry_names_events_that_there_are() {
    assert_eq!(bells().check(), Ok(()));
    let wrong = |registry: Registry, what: &str| {
        let told = registry.check().expect_err(what);
        assert!(told.contains(what), "{told}");
    };
    let empty = || Registry::new("test");
    wrong(empty().aggregate::<Named<true>>(), "the event `` of `Named`");
    wrong(empty().aggregate::<Named<false>>(), "the event `~Rang` of `Named`");
    wrong(empty().aggregate::<Account>().manager::<Transfers>(), "reacts to `TransferRequested`");
    wrong(empty().manager::<Echo>(), "`Rang` of `Bell`, which is not registered");
}

/// An account that refuses what ends a transfer, as one with a bug does, or one of a module that
/// was put back.
struct Stubborn;

impl Aggregate for Stubborn {
    const SPEC: AggregateSpec = Account::SPEC;
    type State = AccountState;
    type Command = AccountCommand;
    type Event = AccountEvent;

    fn decide(
        state: Option<&AccountState>,
        command: &AccountCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<AccountEvent>, Rejection> {
        if matches!(command, AccountCommand::RefundTransfer { .. }) {
            return Err(Problem::new(Code::Internal, "a bug"));
        }
        Account::decide(state, command, decision)
    }

    fn evolve(state: &mut AccountState, event: &AccountEvent) {
        Account::evolve(state, event);
    }

    fn show(
        id: &str,
        version: u64,
        state: &AccountState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        Account::show(id, version, state, reader)
    }
}

fn stubborn() -> Registry {
    let bank = Registry::new("test").aggregate::<Stubborn>().aggregate::<Transfer>();
    bank.projection::<AccountBalances>().manager::<Transfers>()
}

fn sound() -> Registry {
    let bank = Registry::new("test").aggregate::<Account>().aggregate::<Transfer>();
    bank.projection::<AccountBalances>().manager::<Transfers>()
}

#[test]
fn a_refund_that_fails_is_asked_for_until_it_is_done() {
    let setup = Setup { registry: stubborn, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    done(&mut bank, open_account("ann", 10));
    let body = r#"{"transferId":"t","fromAccountId":"ann","toAccountId":"nobody","amount":7}"#;
    done(&mut bank, request("POST", "/commands/transfer", body, &[]));
    let refused = |bank: &mut Bank<MemoryStore>| {
        let events = value(bank, "/events/stream?type=Command.Refused&limit=1000");
        events.as_array().map_or(0, Vec::len)
    };
    assert_eq!(value(&mut bank, "/queries/transfer/t")["status"], "debited");
    assert_eq!(refused(&mut bank), 2, "the credit, and the refund");
    // Later each time: after 1, 2, 4 … seconds, however long that takes.
    for tries in 1..=20_u32 {
        let wait = (1_000_u64 << (tries - 1).min(16)).min(300_000);
        done(&mut bank, wake(wait + 2_000));
        let refused = refused(&mut bank);
        assert!(refused >= 2 + tries as usize, "{tries}: {refused}");
    }
    let stopped = value(&mut bank, "/events/stream?type=ProcessManager.Stopped");
    assert_eq!(stopped, serde_json::json!([]), "asking again is no loop");
    assert_eq!(value(&mut bank, "/queries/transfer/t")["status"], "debited");
    // The module is mended: the money comes back by itself.
    let sound = Setup { registry: sound, ..Setup::default() };
    let mut bank = sound.open(bank.store().clone());
    // A host that is started anew counts the test's time from its beginning.
    done(&mut bank, wake(20_000_000));
    let transfer = value(&mut bank, "/queries/transfer/t");
    assert_eq!((&transfer["status"], &transfer["reason"]), (&"failed".into(), &"not-found".into()));
    assert_eq!(balances(&mut bank).0, 10);
    let close = request("POST", "/commands/withdraw", r#"{"accountId":"ann","amount":10}"#, &[]);
    done(&mut bank, close);
    done(&mut bank, kit::close("ann"));
    bank.checkpoint().expect("a checkpoint is stored");
    let waiting = bank.store().rows.iter().filter(|(view, _)| view.name == "pending");
    assert_eq!(waiting.map(|(_, rows)| rows.len()).sum::<usize>(), 0, "nothing is asked for");
}
