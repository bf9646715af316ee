//! Effects follow commits (law 7): what is handed out is stored, has one id for ever, and ends once.
//!
//! Symptom to look for: a call for something that never happened, a call forgotten, or one made
//! again by replay. Owns attempts, waits, ends and the outbox's answers; hosts make no call here.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{Config, Linked, MemoryStore, NOBODY, OwnedRequest, Partition};
use foldlog_core::process::{Effect, Ordered, Reaction};
use foldlog_core::protocol::EffectCall;
use foldlog_core::testing::reacting;
use serde_json::{Value, json};

use super::faults::{FaultStore, Script, Way};
use super::kit::{self, Bank, Clock, NEW_YEAR_MS, Setup, done, get, request};
use super::letters::{Letter, LetterCommand, LetterEvent, Postman, letters};

fn setup() -> Setup {
    Setup { registry: letters, test_stamps: false, ..Setup::default() }
}

/// An empty partition of this name.
fn named(name: &str, effects_in_flight_max: u32) -> Bank<MemoryStore> {
    let config = Config { partition: name.into(), effects_in_flight_max, ..setup().config() };
    Partition::new(Linked(letters), MemoryStore::default(), Clock::at(NEW_YEAR_MS), config)
}

fn post(letter: &str) -> OwnedRequest {
    request("POST", "/commands/post", &format!(r#"{{"letterId":"{letter}"}}"#), &[])
}

fn value(bank: &mut Bank<MemoryStore>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

fn ended(bank: &mut Bank<MemoryStore>, effect: &EffectCall, error: Option<&str>) {
    bank.effect_ended((effect.position, effect.n), error.map_or(Ok(""), |error| Err(error.into())));
    bank.work();
}

fn one(bank: &mut Bank<MemoryStore>) -> EffectCall {
    let due = bank.take_effects();
    assert_eq!(due.len(), 1, "{due:?}");
    due.into_iter().next().expect("there is one")
}

fn assert_fold(bank: &mut Bank<MemoryStore>, context: &str) {
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_rows_are_the_fold(bank.store(), &setup(), context);
    assert_eq!(bank.take_failures(), Vec::<String>::new(), "{context}");
}

#[test]
fn an_effect_is_handed_out_once_and_its_success_tells_the_manager() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, kit::with(post("a"), "x-correlation-id", "story"));
    let effect = one(&mut bank);
    assert_eq!((effect.attempt, effect.target.as_str()), (1, "a"));
    assert_eq!(effect.data, r#"{"to":"a"}"#);
    assert_eq!(value(&mut bank, "/effects")[0]["status"], "running");
    for _ in 0..3 {
        done(&mut bank, get("/health"));
        bank.work();
        assert_eq!(bank.take_effects(), []);
    }
    ended(&mut bank, &effect, None);
    let told = value(&mut bank, "/effects");
    let expected = json!([{
        "id": effect.id, "kind": "letter", "target": "a", "attempt": 1, "nextAttemptAt": null,
        "deadline": null, "lastError": null, "status": "succeeded",
    }]);
    assert_eq!(told, expected);
    let story = value(&mut bank, "/events/stream?correlationId=story");
    let types: Vec<&str> = story.as_array().map_or(vec![], |story| {
        story.iter().filter_map(|event| event["eventType"].as_str()).collect()
    });
    assert_eq!(types, ["Posted", "Effect.Succeeded", "Delivered"]);
    // Told again, or told of what never was, it changes nothing.
    let head = value(&mut bank, "/log/head")["position"].clone();
    ended(&mut bank, &effect, Some("late"));
    for (position, n) in [(99, 0), (1, 7)] {
        bank.effect_ended((position, n), Ok(""));
    }
    bank.work();
    assert_eq!(value(&mut bank, "/log/head")["position"], head);
    assert_fold(&mut bank, "after a success");
    // No replay makes it again.
    let mut again = setup().open(MemoryStore {
        rows: Default::default(),
        checkpoint: None,
        ..bank.store().clone()
    });
    done(&mut again, get("/health"));
    again.work();
    assert_eq!(again.take_effects(), []);
}

#[test]
fn failures_are_tried_again_after_growing_waits_and_given_up_at_last() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, post("a"));
    let first = one(&mut bank);
    let mut effect = first.clone();
    for attempt in 1..10 {
        ended(&mut bank, &effect, Some("nobody\nat home"));
        assert_eq!(bank.take_effects(), [], "attempt {attempt}");
        let told = value(&mut bank, "/effects?status=pending")[0].clone();
        assert_eq!(told["lastError"], "nobody at home");
        assert_eq!(told["attempt"], attempt);
        // It waits in real time, also over a restart, and no longer than the longest wait.
        if attempt == 4 {
            bank = setup().open_at(bank.store().clone(), clock.clone());
            done(&mut bank, get("/health"));
            bank.work();
        }
        let wait = bank.work_due().expect("it is tried again") / 1_000;
        let longest = (1_000 << (attempt - 1)).min(300_000);
        assert!(wait >= longest.min(60_000) / 2 && wait <= longest, "attempt {attempt}: {wait}");
        clock.now.set(clock.now.get() + longest);
        bank.work();
        effect = one(&mut bank);
        assert_eq!((effect.attempt, &effect.id), (attempt + 1, &first.id));
    }
    ended(&mut bank, &effect, Some("gone"));
    bank.work();
    assert_eq!(value(&mut bank, "/effects?status=dead")[0]["attempt"], 10);
    assert_eq!(value(&mut bank, "/effects?status=pending"), json!([]));
    assert_eq!(value(&mut bank, "/queries/letter/a")["state"], "Lost");
    assert_eq!(bank.work_due(), None);
    assert_fold(&mut bank, "after giving up");
}

#[test]
fn a_deadline_ends_attempts() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    let body = r#"{"letterId":"a","within_ms":1500}"#;
    done(&mut bank, request("POST", "/commands/post", body, &[]));
    let effect = one(&mut bank);
    // Nobody tells how it ended: whoever opens the partition next finds it too late.
    let mut other = setup().open_at(bank.store().clone(), clock.clone());
    clock.now.set(NEW_YEAR_MS + 2_000);
    done(&mut other, get("/health"));
    other.work();
    assert_eq!(other.take_effects(), []);
    let told = value(&mut other, "/effects")[0].clone();
    assert_eq!(
        (&told["status"], &told["lastError"]),
        (&json!("dead"), &json!("its deadline passed"))
    );
    assert_eq!(value(&mut other, "/queries/letter/a")["state"], "Lost");
    assert_fold(&mut other, "after a deadline");
    // A wait that ends after the deadline is none.
    clock.now.set(NEW_YEAR_MS + 1_000);
    ended(&mut bank, &effect, Some("no"));
    assert_eq!(value(&mut bank, "/effects")[0]["status"], "dead");
}

#[test]
fn no_more_are_attempted_at_a_time_than_the_host_may() {
    let mut bank = named("main", 3);
    let batch = (0..8).map(|n| post(&format!("l-{n}"))).collect();
    assert!(bank.run(batch).iter().all(|reply| reply.response.status == 201));
    bank.work();
    let mut running = bank.take_effects();
    let mut made = Vec::new();
    assert_eq!(running.len(), 3);
    while let Some(effect) = running.pop() {
        made.push(effect.target.clone());
        ended(&mut bank, &effect, None);
        bank.work();
        running.extend(bank.take_effects());
        assert!(running.len() <= 3);
    }
    made.sort();
    assert_eq!(made, (0..8).map(|n| format!("l-{n}")).collect::<Vec<_>>());
    assert_fold(&mut bank, "after eight letters");
}

#[test]
fn nothing_is_attempted_whose_commit_is_not_stored() {
    for at in 1..12 {
        for way in [Way::Fails, Way::DoneButUnknown, Way::Full] {
            let durable = Rc::new(RefCell::new(MemoryStore::default()));
            let script = Rc::new(RefCell::new(Script::new(at, way, 0)));
            let (clock, config) = (Clock::at(NEW_YEAR_MS), setup().config());
            let store = FaultStore::new(&durable, &script);
            let mut bank = Partition::new(Linked(letters), store, clock.clone(), config);
            for n in 0..3 {
                kit::run(&mut bank, post(&format!("l-{n}")));
                let due = bank.take_effects();
                let log = kit::lines(&durable.borrow());
                for effect in &due {
                    let asked = format!("\"position\":{},", effect.position);
                    let stored = log.iter().any(|line| line.contains(&asked));
                    assert!(stored, "{way:?} at {at}: {effect:?} of {log:?}");
                    bank.effect_ended((effect.position, effect.n), Ok(""));
                }
                bank.work();
            }
            // Faults are over: all that is in the log comes to its end.
            script.borrow_mut().at = 0;
            for _ in 0..8 {
                // What failed is tried again after a wait.
                clock.now.set(clock.now.get() + 60_000);
                kit::run(&mut bank, get("/health"));
                bank.work();
                for effect in bank.take_effects() {
                    bank.effect_ended((effect.position, effect.n), Ok(""));
                }
                bank.work();
            }
            let log = kit::lines(&durable.borrow());
            let count = |what: &str| log.iter().filter(|line| line.contains(what)).count();
            assert_eq!(count("\"Posted\""), count("\"Effect.Succeeded\""), "{way:?} at {at}");
        }
    }
}

#[test]
fn a_log_of_elsewhere_makes_no_effects_until_it_is_adopted() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, post("a"));
    let effect = one(&mut bank);
    let mut config = setup().config();
    (config.incarnation, config.partition) = (NOBODY, "copy".into());
    let guest = Linked(letters);
    let store = bank.store().clone();
    let mut copy = Partition::new(guest, store, Clock::at(NEW_YEAR_MS), config);
    assert_eq!(value(&mut copy, "/effects")[0]["status"], "held");
    assert_eq!(value(&mut copy, "/effects?status=held")[0]["id"], effect.id);
    assert_eq!(value(&mut copy, "/effects?status=pending"), json!([]));
    copy.work();
    assert_eq!(copy.take_effects(), []);
    done(&mut copy, request("POST", "/effects/resume", "{}", &[]));
    copy.work();
    let due = copy.take_effects();
    // What was asked for before keeps its id; and the partition is to be listed at its new host.
    let kinds: Vec<(&str, &str)> = due.iter().map(|e| (e.kind.as_str(), e.id.as_str())).collect();
    assert_eq!(due.len(), 2, "{kinds:?}");
    assert_eq!(kinds.first(), Some(&("letter", effect.id.as_str())));
    let listed = due.last().expect("there are two");
    assert_eq!(
        (listed.kind.as_str(), listed.data.as_str()),
        ("list-partition", r#"{"partition":"copy"}"#)
    );
    let ending = effect.id.rsplit('-').next().expect("an incarnation");
    assert!(!listed.id.ends_with(ending), "{} is of the new incarnation", listed.id);
}

#[test]
fn the_first_commit_of_a_partition_asks_for_it_to_be_listed_but_of_the_default_one() {
    for (name, asked) in [("main", 0), ("tenant-7", 1)] {
        let mut bank = named(name, 64);
        done(&mut bank, post("a"));
        done(&mut bank, post("b"));
        let due = bank.take_effects();
        let listed = due.iter().filter(|effect| effect.kind == "list-partition").count();
        assert_eq!((listed, due.len()), (asked, asked + 2), "{name}");
    }
}

#[test]
fn pages_of_effects_follow_each_other() {
    let mut bank = setup().open(MemoryStore::default());
    let batch = (0..7).map(|n| post(&format!("l-{n}"))).collect();
    bank.run(batch);
    for effect in bank.take_effects() {
        let error = (effect.position % 2 == 0).then_some("no");
        ended(&mut bank, &effect, error);
    }
    for (status, expected) in [("", 7), ("&status=succeeded", 4), ("&status=pending", 3)] {
        let (mut seen, mut target) = (Vec::new(), format!("/effects?limit=2{status}"));
        loop {
            let reply = bank.run(vec![get(&target)]).remove(0);
            let page: Value = serde_json::from_slice(&reply.response.body).expect("JSON");
            let page = page.as_array().cloned().unwrap_or_default();
            seen.extend(
                page.iter().filter_map(|effect| effect["target"].as_str().map(String::from)),
            );
            let Some(link) = kit::header(&reply, "link") else { break };
            let inner = link.strip_prefix('<').and_then(|link| link.split_once('>'));
            target = inner.map(|(target, _)| target.to_string()).expect("a link");
        }
        let mut once = seen.clone();
        once.dedup();
        assert_eq!((seen.len(), once.len()), (expected, expected), "{status}: {seen:?}");
    }
}

#[test]
fn what_a_manager_asks_for_is_told_without_an_engine() {
    let posted = LetterEvent::Posted { within_ms: None };
    let letter = Effect {
        kind: "letter".into(),
        target: "a".into(),
        data: r#"{"to":"a"}"#.into(),
        deadline: None,
    };
    reacting::<Postman>().when::<Letter>("a", posted).then([Reaction::Effect(letter.clone())]);
    let ordered = |command: LetterCommand| {
        Reaction::Command(Ordered::to::<Letter>("a", &command).expect("it can be written"))
    };
    reacting::<Postman>()
        .when_ended(&letter, None)
        .then([ordered(LetterCommand::Deliver { attempt: 1 })]);
    reacting::<Postman>().when_ended(&letter, Some("gone")).then([ordered(LetterCommand::Lose {})]);
}
