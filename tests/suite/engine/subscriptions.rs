//! Document 000 in the engine's words: produce, reduce, commit, rollback, query; effects that
//! follow commits, and recovery by replay.
//!
//! Owns one test for each of its five verbs. What hosts do with emails is tested with hosts.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::driver::{MemoryStore, OwnedRequest, Store};
use serde_json::{Value, json};

use super::faults::{FaultStore, Kind, Script, Way};
use super::kit::{self, Bank, Clock, NEW_YEAR_MS, Setup, done, get, request};

fn setup() -> Setup {
    Setup { test_stamps: false, ..Setup::default() }
}

fn create(plan: &str) -> OwnedRequest {
    let body = format!(r#"{{"plan":"{plan}","createdBy":"admin@site.com"}}"#);
    request("POST", "/create-subscription", &body, &[])
}

fn value<T: Store>(bank: &mut Bank<T>, target: &str) -> Value {
    serde_json::from_str(&kit::run(bank, get(target)).1).expect("an answer is JSON")
}

fn types(bank: &mut Bank<MemoryStore>) -> Vec<String> {
    let all = value(bank, "/events/stream?limit=1000");
    let all = all.as_array().expect("events are a list");
    all.iter().map(|e| e["eventType"].as_str().unwrap_or_default().to_string()).collect()
}

/// Sends what is due, and tells that it was sent.
fn send(bank: &mut Bank<MemoryStore>) -> Vec<String> {
    let mut ids = Vec::new();
    loop {
        let due = bank.take_effects();
        if due.is_empty() {
            return ids;
        }
        for effect in due {
            ids.push(effect.id);
            bank.effect_ended((effect.position, effect.n), Ok("log"));
        }
        while bank.work_due() == Some(0) {
            bank.work();
        }
    }
}

#[test]
fn produce_makes_the_events_and_what_follows_from_them() {
    let mut bank = setup().open(MemoryStore::default());
    let answer: Value = serde_json::from_str(&done(&mut bank, create("gold"))).expect("JSON");
    assert_eq!((&answer["ok"], &answer["subscriptionId"]), (&json!(true), &json!("sub-1")));
    assert_eq!(send(&mut bank).len(), 1);
    let expected = [
        "Subscription.Created",
        "Subscription.Members.Assigned",
        "Effect.Succeeded",
        "Email.Succeeded",
    ];
    assert_eq!(types(&mut bank), expected);
}

#[test]
fn reduce_applies_each_event_to_every_view_at_once() {
    let mut bank = setup().open(MemoryStore::default());
    for (n, plan) in ["gold", "silver"].into_iter().enumerate() {
        done(&mut bank, create(plan));
        let all = value(&mut bank, "/subscriptions");
        let all = all.as_array().expect("a list");
        assert_eq!(all.len(), n + 1);
        let one = value(&mut bank, &format!("/subscriptions/sub-{}", n + 1));
        assert_eq!(all.last(), Some(&one));
        assert_eq!((&one["plan"], &one["members"]), (&json!(plan), &json!(["admin@site.com"])));
    }
    assert_eq!(value(&mut bank, "/emails?status=pending").as_array().map(Vec::len), Some(2));
}

#[test]
fn commit_stores_one_numbered_event_list_that_query_reads() {
    let mut bank = setup().open(MemoryStore::default());
    for n in 1..=12 {
        let answer: Value = serde_json::from_str(&done(&mut bank, create("p"))).expect("JSON");
        assert_eq!(answer["subscriptionId"], format!("sub-{n}"), "no gaps, in the log's order");
    }
    let page = value(&mut bank, "/subscriptions?limit=5&after=sub-7");
    let ids: Vec<&str> = page
        .as_array()
        .map_or(vec![], |all| all.iter().filter_map(|one| one["id"].as_str()).collect());
    assert_eq!(ids, ["sub-8", "sub-9", "sub-10", "sub-11", "sub-12"]);
    kit::check_log(bank.store());
}

#[test]
fn rollback_leaves_state_views_and_answers_as_before() {
    let targets =
        ["/subscriptions", "/subscriptions/sub-1", "/emails", "/effects", "/events/stream"];
    let begun = |way, at| {
        let durable = Rc::new(RefCell::new(MemoryStore::default()));
        let script = Rc::new(RefCell::new(Script::new(at, way, u64::MAX)));
        let mut bank = setup().open(FaultStore::new(&durable, &script));
        done(&mut bank, create("gold"));
        let sent = bank.take_effects().len();
        let shown = targets.map(|target| value(&mut bank, target));
        (bank, script, sent, shown)
    };
    // The same without a fault tells which operation stores the second subscription.
    let (mut bank, script, ..) = begun(Way::Fails, u64::MAX);
    let before = script.borrow().log.len();
    done(&mut bank, create("silver"));
    let write = script.borrow().log.iter().skip(before).position(|kind| *kind == Kind::Write);
    let at = (before + write.expect("it is stored") + 1) as u64;
    for (way, refused) in [(Way::Fails, 503), (Way::Full, 507)] {
        let (mut bank, _, sent, before) = begun(way, at);
        let (status, body) = kit::run(&mut bank, create("silver"));
        assert_eq!(status, refused, "{body}");
        let after = targets.map(|target| value(&mut bank, target));
        assert_eq!(before, after, "{way:?}");
        assert_eq!((sent, bank.take_effects().len()), (1, 0), "nothing durable, nothing sent");
        let again: Value = serde_json::from_str(&done(&mut bank, create("silver"))).expect("JSON");
        assert_eq!(again["subscriptionId"], "sub-2", "its number was not used up");
    }
}

#[test]
fn recovery_replays_the_log_and_sends_nothing_twice() {
    let mut bank = setup().open(MemoryStore::default());
    for plan in ["gold", "silver", "bronze"] {
        done(&mut bank, create(plan));
    }
    assert_eq!(send(&mut bank).len(), 3);
    let shown = ["/subscriptions", "/emails"].map(|target| value(&mut bank, target));
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_rows_are_the_fold(bank.store(), &setup(), "after three emails");
    let mut bare = bank.store().clone();
    bare.erase_rows().expect("a store in memory erases");
    let mut again = setup().open(bare);
    again.wake();
    while again.work_due() == Some(0) {
        again.work();
    }
    assert_eq!(again.take_effects(), []);
    assert_eq!(shown, ["/subscriptions", "/emails"].map(|target| value(&mut again, target)));
}

#[test]
fn a_dropped_email_is_sent_after_all_when_someone_asks() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, create("gold"));
    let work = |bank: &mut Bank<MemoryStore>| {
        while bank.work_due() == Some(0) {
            bank.work();
        }
    };
    let mut id = String::new();
    for attempt in 1..=10 {
        let due = bank.take_effects();
        assert_eq!(due.len(), 1, "attempt {attempt}");
        let effect = &due[0];
        assert!(id.is_empty() || id == effect.id, "one id for all attempts");
        id.clone_from(&effect.id);
        bank.effect_ended((effect.position, effect.n), Err("status 500".into()));
        work(&mut bank);
        let email = value(&mut bank, "/emails")[0].clone();
        assert_eq!(
            (&email["attempt"], &email["lastError"]),
            (&json!(attempt), &json!("status 500"))
        );
        clock.now.set(clock.now.get() + 600_000);
        work(&mut bank);
    }
    assert_eq!(value(&mut bank, "/emails?status=dropped")[0]["attempt"], 10);
    assert_eq!(value(&mut bank, "/emails?status=pending"), json!([]));
    let retry = format!("/effects/{id}/retry");
    let retried: Value =
        serde_json::from_str(&done(&mut bank, request("POST", &retry, "", &[]))).expect("JSON");
    assert_eq!((&retried["status"], &retried["attempt"]), (&json!("pending"), &json!(0)));
    work(&mut bank);
    assert_eq!(value(&mut bank, "/emails?status=pending")[0]["attempt"], 0);
    let (status, body) = kit::run(&mut bank, request("POST", &retry, "", &[]));
    assert_eq!(status, 409, "it is being attempted: {body}");
    assert_eq!(send(&mut bank), [id]);
    assert_eq!(value(&mut bank, "/emails?status=succeeded")[0]["attempt"], 1);
    let (status, body) = kit::run(&mut bank, request("POST", &retry, "", &[]));
    assert_eq!(status, 409, "{body}");
    assert!(body.contains(r#""currentState":"succeeded""#), "{body}");
    let unknown = "/effects/9-9-00000000000000000000000000000000/retry";
    assert_eq!(kit::run(&mut bank, request("POST", unknown, "", &[])).0, 404);
    bank.checkpoint().expect("a checkpoint is stored");
    kit::assert_rows_are_the_fold(bank.store(), &setup(), "after a retry");
}
