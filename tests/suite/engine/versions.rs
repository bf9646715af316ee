//! Modules that come and go over one log (`tills`): each reads what the others recorded as far as it
//! can, serves only rows of its own making, and says so where it can not.
//!
//! Reading order: the story of one change and back, what fails, then `changes` by chance.

mod changes;
pub mod tills;

use foldlog_core::driver::{Config, Linked, MemoryStore, OwnedRequest, Partition};
use foldlog_core::registry::Registry;
use serde_json::{Value, json};

use super::kit::{self, Bank, Clock, NEW_YEAR_MS, Setup, done, get, request};

/// Opened with real stamps: slices and timers run when the test asks for them.
fn setup(registry: fn() -> Registry) -> Setup {
    Setup { registry, test_stamps: false, ..Setup::default() }
}

fn opened(registry: fn() -> Registry, store: MemoryStore, clock: &Clock) -> Bank<MemoryStore> {
    let mut bank = setup(registry).open_at(store, clock.clone());
    bank.open().unwrap_or_else(|e| panic!("it opens: {e}"));
    bank
}

fn ring(till: &str, name: &str, amount: u64) -> OwnedRequest {
    let body = format!(r#"{{"tillId":"{till}","{name}":{amount}}}"#);
    request("POST", "/commands/ring", &body, &[])
}

fn refund(till: &str, amount: u64) -> OwnedRequest {
    let body = format!(r#"{{"tillId":"{till}","amount":{amount}}}"#);
    request("POST", "/commands/refund", &body, &[])
}

fn told(bank: &mut Bank<MemoryStore>, target: &str) -> (u16, Value) {
    let (status, body) = kit::run(bank, get(target));
    (status, serde_json::from_str(&body).unwrap_or_else(|e| panic!("{target}: {e}: {body}")))
}

fn till(bank: &mut Bank<MemoryStore>, id: &str) -> Value {
    let (status, value) = told(bank, &format!("/queries/till/{id}"));
    assert_eq!(status, 200, "{value}");
    value
}

fn takings(bank: &mut Bank<MemoryStore>) -> (u16, Value) {
    let (status, value) = told(bank, "/projections/Takings");
    (status, value["data"].clone())
}

/// All slices; nothing may fail.
fn build(bank: &mut Bank<MemoryStore>) {
    bank.open().unwrap_or_else(|e| panic!("it opens: {e}"));
    let mut slices = 0;
    while bank.work_due() == Some(0) {
        bank.work();
        assert_eq!(bank.take_failures(), Vec::<String>::new());
        slices += 1;
        assert!(slices < 10_000, "it does not end");
    }
}

/// Law 2 for the module that has the store: what serves is the fold, byte for byte. What other
/// modules left lies beside it.
fn assert_folded(bank: &mut Bank<MemoryStore>, registry: fn() -> Registry, context: &str) {
    bank.checkpoint().expect("a checkpoint is stored");
    let stored = bank.store().clone();
    let folded = kit::folded_again(&stored, &setup(registry));
    for (view, rows) in folded.rows.iter().filter(|(view, _)| view.name != "~faults") {
        // A generation that was built anew may have the other number of the two.
        let found = stored.rows.iter().filter(|(other, _)| {
            other.name == view.name && other.generation / 2 == view.generation / 2
        });
        let found: Vec<_> = found.filter(|(_, rows)| !rows.is_empty()).collect();
        let same = found.iter().any(|(_, other)| *other == rows) || rows.is_empty();
        assert!(same, "{context}: rows of {}: {rows:?}\nnot {found:?}", view.name);
    }
}

/// Refused, and by name.
fn assert_blocked(answer: (u16, Value), event: (&str, &str), context: &str) {
    let (status, problem) = answer;
    assert_eq!(status, 409, "{context}: {problem}");
    let expected = json!(["urn:foldlog:schema-conflict", event.0, event.1]);
    let found = json!([problem["type"], problem["eventType"], problem["schemaVersion"]]);
    assert_eq!(found, expected, "{context}: {problem}");
}

fn tried(bank: &mut Bank<MemoryStore>, request: OwnedRequest) -> (u16, Value) {
    let (status, body) = kit::run(bank, request);
    (status, serde_json::from_str(&body).expect("an answer is JSON"))
}

const HOUR_MS: u64 = 3_600_000;

#[test]
fn a_module_goes_on_where_an_older_one_was_and_back() {
    let clock = Clock { step: 1, ..Clock::at(NEW_YEAR_MS) };
    let mut one = opened(tills::first, MemoryStore::default(), &clock);
    for n in 1..=20 {
        done(&mut one, ring(["a", "b"][n as usize % 2], "sum", n));
    }
    one.checkpoint().expect("a checkpoint is stored");
    done(&mut one, ring("a", "sum", 9_007_199_254_740_991 - 1_000_000));
    let log_of_one = kit::lines(one.store());

    // Nothing of the newer module's is built yet: states are folded for whoever asks.
    let mut two = opened(tills::second, one.store().clone(), &clock);
    let total = 9_007_199_254_740_991_u64 - 1_000_000 + 110;
    let a = json!({"module": 2, "version": 11, "total": total, "auditors": ""});
    assert_eq!(till(&mut two, "a"), a);
    assert_eq!(takings(&mut two).0, 503, "it is not built yet");
    assert_eq!(told(&mut two, "/snapshots/till/a").0, 503);
    assert_eq!(told(&mut two, "/stats").0, 503);
    assert_eq!(till(&mut two, "a?atVersion=4")["total"], 2 + 4 + 6 + 8);
    done(&mut two, ring("a", "amount", 5));
    done(&mut two, refund("b", 1));
    done(&mut two, ring("c", "amount", 7));
    assert_eq!(
        till(&mut two, "b"),
        json!({"module": 2, "version": 11, "total": 99, "auditors": ""})
    );
    assert_eq!(told(&mut two, "/stats/Till/c").1["latestVersion"], 1);
    let (status, taken) = tried(&mut two, request("POST", "/snapshots/till/c", "{}", &[]));
    assert_eq!((status, &taken["state"]["total"]), (201, &json!(7)));
    build(&mut two);
    assert_eq!(takings(&mut two), (200, json!({"module": 2, "EUR": total + 100 + 5 - 1 + 7})));
    assert_eq!(told(&mut two, "/snapshots/till/a").1["version"], 12);
    assert_eq!(told(&mut two, "/stats").0, 200);
    assert_folded(&mut two, tills::second, "built");
    let log = kit::lines(two.store());
    assert_eq!(log.get(..log_of_one.len()), Some(log_of_one.as_slice()), "nothing was rewritten");
    let of_two = log.get(log_of_one.len()..).unwrap_or_default().join("\n");
    for part in [
        r#""command":{"name":"Ring","version":2,"data":{"#,
        r#""type":"Rung","schemaVersion":"3.0.0","stream":"Till:a","version":12,"data":{"amount":5,"currency":"EUR"}"#,
        r#""type":"Refunded","stream":"Till:b","#,
        r#""command":"Audit","version":2,"data":{"by":"two at 7"}"#,
    ] {
        assert!(of_two.contains(part), "{part} is not in\n{of_two}");
    }

    // What the older module wanted done is done by the newer one.
    clock.now.set(clock.now.get() + HOUR_MS + 1_000);
    build(&mut two);
    assert_eq!(till(&mut two, "b")["auditors"], "nobody;");
    let audited = format!("two at {};", total + 5);
    assert_eq!(till(&mut two, "a")["auditors"], json!(audited));
    assert_folded(&mut two, tills::second, "audited");
    // Of one it reads, of one it does not look at; both may not be in memory.
    let out_of = |from: &str, amount: u64| {
        let body = format!(r#"{{"tillId":"c","amount":{amount},"from":"{from}"}}"#);
        request("POST", "/commands/refund", &body, &[])
    };
    done(&mut two, out_of("b", 2));
    done(&mut two, out_of("b", 1));
    assert_eq!(tried(&mut two, out_of("nobody", 2)).0, 404);
    done(&mut two, ring("c", "amount", 4));

    back_to_the_first(&mut two, &clock);
}

/// The first module over a log with events that it can not read.
fn back_to_the_first(two: &mut Bank<MemoryStore>, clock: &Clock) {
    let before = kit::lines(two.store());
    let mut one = opened(tills::first, two.store().clone(), clock);
    let (_, status) = told(&mut one, "/projections");
    assert_eq!(status[0]["state"], "rebuilding", "{status}");
    assert_eq!(status[0]["lastProcessedVersion"], 20, "it goes on where it was left: {status}");
    let newer = ("Rung", "3.0.0");
    let unknown = ("Refunded", "1.0.0");
    for built in [false, true] {
        let context = format!("built: {built}");
        assert_blocked(told(&mut one, "/queries/till/a"), newer, &context);
        assert_blocked(told(&mut one, "/queries/till/b"), unknown, &context);
        assert_blocked(tried(&mut one, ring("a", "sum", 1)), newer, &context);
        assert_blocked(tried(&mut one, ring("c", "sum", 1)), newer, &context);
        let taken = request("POST", "/snapshots/till/a", "{}", &[]);
        assert_blocked(tried(&mut one, taken), newer, &context);
        assert_eq!(till(&mut one, "b?atVersion=10")["total"], 100, "{context}");
        assert_blocked(told(&mut one, "/queries/till/b?atVersion=11"), unknown, &context);
        // Other streams are not concerned, and nothing of the log is hidden.
        done(&mut one, ring(&format!("d-{built}"), "sum", 3));
        let (_, events) = told(&mut one, "/events/till/b?fromVersion=11");
        assert_eq!(events[0]["data"], json!({"amount": 1}), "{context}");
        let (_, events) = told(&mut one, "/events/till/a?fromVersion=12");
        let schema = &events[0]["metadata"]["schemaVersion"];
        assert_eq!((&events[0]["data"]["currency"], schema), (&json!("EUR"), &json!("3.0.0")));
        assert_eq!(told(&mut one, "/stats/Till/b").1["latestVersion"], 14, "{context}");
        if !built {
            assert_eq!(takings(&mut one).0, 503);
            build(&mut one);
        }
    }
    let total = 9_007_199_254_740_991_u64 - 1_000_000 + 210 + 6;
    assert_eq!(takings(&mut one), (200, json!({"module": 1, "total": total})));
    assert_eq!(told(&mut one, "/stats").1["eventsByType"]["Refunded"], 5);
    assert_folded(&mut one, tills::first, "back");
    // The newer module's command, an hour later: refused by name, and that settles it.
    clock.now.set(clock.now.get() + HOUR_MS + 1_000);
    build(&mut one);
    let log = kit::lines(one.store());
    assert_eq!(log.get(..before.len()), Some(before.as_slice()), "nothing was rewritten");
    let refused = log.iter().find(|line| line.contains("Command.Refused")).expect("it is refused");
    let told = r#""code":"schema-conflict","detail":"Till knows no version 2 of Audit""#;
    assert!(refused.contains(told), "{refused}");

    let mut two = opened(tills::second, one.store().clone(), clock);
    let c = till(&mut two, "c");
    assert_eq!(c["auditors"], "two at 7;", "{c}");
    // Its own event of the first version, without a member that the newer one has.
    assert_eq!(till(&mut two, "d-false")["auditors"], ";");
    done(&mut two, ring("a", "amount", 1));
    build(&mut two);
    assert_eq!(takings(&mut two).1["EUR"], total + 5 - 1 + 7 - 6 + 4 + 1);
    assert_folded(&mut two, tills::second, "again");
}

/// A failing upcaster (law 9): its stream takes no commands, the projection stops, all else goes on;
/// a module that reads it again starts anew.
#[test]
fn what_an_upcaster_refuses_stops_there_and_alone() {
    let clock = Clock { step: 1, ..Clock::at(NEW_YEAR_MS) };
    let mut one = opened(tills::first, MemoryStore::default(), &clock);
    for (id, sum) in [("a", 1), ("b", 2), ("a", 666), ("b", 3), ("a", 4)] {
        done(&mut one, ring(id, "sum", sum));
    }
    for checkpointed in [false, true] {
        let mut store = one.store().clone();
        if !checkpointed {
            foldlog_core::driver::Store::erase_rows(&mut store).expect("a store in memory erases");
        }
        let mut three = opened(tills::three::registry, store, &clock);
        for built in [false, true] {
            let context = format!("checkpointed: {checkpointed}, built: {built}");
            let failed = ("Rung", "1.0.0");
            assert_blocked(told(&mut three, "/queries/till/a"), failed, &context);
            let (status, problem) = tried(&mut three, ring("a", "amount", 1));
            let detail = problem["detail"].as_str().unwrap_or_default().to_string();
            assert!(detail.contains("event evt-003") && detail.contains("666"), "{detail}");
            assert_blocked((status, problem), failed, &context);
            assert_eq!(till(&mut three, "a?atVersion=1")["total"], 1, "{context}");
            done(&mut three, ring("b", "amount", 1));
            for amount in [1, 2] {
                let body = format!(r#"{{"tillId":"b","amount":{amount},"from":"a"}}"#);
                let refund = request("POST", "/commands/refund", &body, &[]);
                assert_blocked(tried(&mut three, refund), failed, &context);
            }
            build(&mut three);
        }
        let (_, status) = told(&mut three, "/projections/Takings");
        assert_eq!(status["state"], "faulted", "{status}");
        assert_eq!(
            (&status["lastProcessedVersion"], &status["data"]["EUR"]),
            (&json!(2), &json!(3))
        );
        let error = status["error"].as_str().unwrap_or_default();
        assert!(error.contains("evt-003") && error.contains("a sum of 666 is no sum"), "{error}");
        assert_eq!(three.take_failures(), Vec::<String>::new());
        assert_folded(&mut three, tills::three::registry, "three");

        let mut two = opened(tills::second, three.store().clone(), &clock);
        build(&mut two);
        assert_eq!(till(&mut two, "a")["total"], 671);
        let (_, status) = told(&mut two, "/projections/Takings");
        assert_eq!((&status["state"], &status["error"]), (&json!("live"), &Value::Null));
        assert_folded(&mut two, tills::second, "two");
    }
}

/// Law 7: a log of elsewhere takes no commands, but another module's rows are built: reads work.
#[test]
fn what_is_held_is_read_by_another_module() {
    let clock = Clock { step: 1, ..Clock::at(NEW_YEAR_MS) };
    let mut one = opened(tills::first, MemoryStore::default(), &clock);
    (1..=9).for_each(|sum| drop(done(&mut one, ring("a", "sum", sum))));
    one.checkpoint().expect("a checkpoint is stored");
    let config = Config { incarnation: [9; 16], ..setup(tills::second).config() };
    let spawn = Linked(tills::second);
    let mut two = Partition::new(spawn, one.store().clone(), clock.clone(), config);
    assert_eq!(tried(&mut two, ring("a", "amount", 1)).1["type"], "urn:foldlog:held");
    assert_eq!(till(&mut two, "a")["total"], 45);
    build(&mut two);
    assert_eq!(takings(&mut two), (200, json!({"module": 2, "EUR": 45})));
    assert_eq!(kit::lines(two.store()), kit::lines(one.store()));
}
