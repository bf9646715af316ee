//! Consumers: what the log and the rows say of them, and how events get to them through the driver.
//!
//! Symptom to look for: an event that is skipped, one delivered before it is stored, one delivered by
//! a replay, a place that is lost. Owns registration, deliveries, removal; hosts make no call here.

use foldlog_core::driver::{CameTo, DeliveryCall, MemoryStore, OwnedRequest};
use foldlog_core::settings::Secret;
use foldlog_core::webhook::{Key, sign, signatures};
use serde_json::{Value, json};

use super::kit::{
    self, Bank, Clock, NEW_YEAR_MS, Setup, deposit, done, get, keyed, open_account, request,
};

const HOUR_MS: u64 = 3_600_000;

fn setup() -> Setup {
    Setup { test_stamps: false, ..Setup::default() }
}

fn register(body: &Value) -> OwnedRequest {
    request("POST", "/consumers/register", &body.to_string(), &[])
}

fn accounts(last: Option<&str>) -> Value {
    json!({"callback": "https://a.example/hook", "topics": {"@BankAccount": last}})
}

fn delete(id: &str) -> OwnedRequest {
    request("DELETE", &format!("/consumers/{id}"), "", &[])
}

fn value(text: &str) -> Value {
    serde_json::from_str(text).expect("an answer is JSON")
}

fn shown(bank: &mut Bank<MemoryStore>, target: &str) -> Value {
    value(&kit::run(bank, get(target)).1)
}

/// Registers one; returns its id and secret.
fn registered(bank: &mut Bank<MemoryStore>, body: &Value) -> (String, String) {
    let told = value(&done(bank, register(body)));
    let text = |name: &str| told[name].as_str().expect("a text").to_string();
    (text("consumerId"), text("secret"))
}

/// Works until nothing is due at once; returns what is to be delivered.
fn due(bank: &mut Bank<MemoryStore>) -> Vec<DeliveryCall> {
    for _ in 0..100 {
        if bank.work_due() != Some(0) {
            break;
        }
        bank.work();
    }
    bank.take_deliveries()
}

fn ids(call: &DeliveryCall) -> Vec<String> {
    let body = value(&call.body);
    let events = body["events"].as_array().cloned().unwrap_or_default();
    events.iter().map(|event| event["id"].as_str().expect("an id").into()).collect()
}

fn header<'c>(call: &'c DeliveryCall, name: &str) -> &'c str {
    let found = call.headers.iter().find(|(n, _)| *n == name);
    found.map_or("", |(_, value)| value.as_str())
}

/// Delivers all there is to deliver, to consumers that take everything.
fn deliver_all(bank: &mut Bank<MemoryStore>) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let calls = due(bank);
        if calls.is_empty() {
            return all;
        }
        for call in calls {
            all.extend(ids(&call));
            bank.delivery_ended(call.id, CameTo::Accepted);
        }
    }
}

fn types(bank: &mut Bank<MemoryStore>) -> Vec<String> {
    let all = shown(bank, "/events/stream?category=~System");
    let all = all.as_array().cloned().unwrap_or_default();
    all.iter().map(|event| event["eventType"].as_str().expect("a type").into()).collect()
}

#[test]
fn events_are_delivered_in_order_from_where_the_consumer_wants_them() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    done(&mut bank, deposit("a", 1));
    let (all, secret) = registered(&mut bank, &accounts(None));
    let (later, _) = registered(&mut bank, &accounts(Some("evt-001")));
    let calls = due(&mut bank);
    assert_eq!(calls.len(), 2);
    for call in &calls {
        assert_eq!(call.url, "https://a.example/hook");
        let body = value(&call.body);
        let first = body["consumerId"] == all;
        assert!(first || body["consumerId"] == later);
        let expected = if first { vec!["evt-001", "evt-002"] } else { vec!["evt-002"] };
        assert_eq!(ids(call), expected);
        assert_eq!(
            body["events"][0]["type"],
            if first { "AccountOpened" } else { "MoneyDeposited" }
        );
        // As a receiver checks it.
        if first {
            let key = Secret::new("a-secret-of-tests-alone").expect("a secret");
            let key = Key::derive(&key, &all, 1);
            assert_eq!(key.text(), secret);
            let (id, at) = (header(call, "webhook-id"), header(call, "webhook-timestamp"));
            let at: u64 = at.parse().expect("seconds");
            assert_eq!(at, NEW_YEAR_MS / 1_000);
            let signed = signatures(&[key], id, at, call.body.as_bytes());
            assert_eq!(header(call, "webhook-signature"), signed);
            assert!(!id.contains('.') && header(call, "foldlog-hops") == "1");
        }
    }
    done(&mut bank, deposit("a", 2));
    assert_eq!(due(&mut bank), [], "one at a time");
    assert_eq!(shown(&mut bank, "/health")["runningDispatchers"], json!(["@BankAccount"]));
    calls.iter().for_each(|call| bank.delivery_ended(call.id, CameTo::Accepted));
    let next = due(&mut bank);
    assert_eq!(next.iter().map(ids).collect::<Vec<_>>(), [["evt-005"], ["evt-005"]]);
    next.iter().for_each(|call| bank.delivery_ended(call.id, CameTo::Accepted));
    assert_eq!(deliver_all(&mut bank), Vec::<String>::new());
    let health = shown(&mut bank, "/health");
    assert_eq!((&health["consumers"], &health["runningDispatchers"]), (&json!(2), &json!([])));
    bank.save_places();
    let listed = shown(&mut bank, "/consumers");
    assert_eq!(listed[0]["topics"], json!({"@BankAccount": "evt-005"}));
    assert_eq!(
        (&listed[1]["status"], &listed[1]["onFailure"]),
        (&json!("active"), &json!("remove"))
    );
    assert!(!listed.to_string().contains(&secret));
}

#[test]
fn places_outlive_the_process_and_losing_them_costs_repetitions_alone() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    registered(&mut bank, &accounts(None));
    for amount in 1..=250 {
        done(&mut bank, deposit("a", amount));
    }
    let expected: Vec<String> =
        (1..=252).filter(|n| *n != 2).map(|n| format!("evt-{n:03}")).collect();
    assert_eq!(deliver_all(&mut bank), expected, "in batches of at most a hundred");
    bank.save_places();
    let mut again = setup().open(bank.store().clone());
    done(&mut again, get("/health"));
    assert_eq!(deliver_all(&mut again), Vec::<String>::new());
    // The rows are gone: the log tells where it started.
    let bare = MemoryStore { rows: Default::default(), checkpoint: None, ..bank.store().clone() };
    let mut again = setup().open(bare);
    done(&mut again, get("/health"));
    assert_eq!(deliver_all(&mut again), expected);
}

#[test]
fn the_log_tells_how_far_it_has_got_and_a_fold_starts_there() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 100));
    registered(&mut bank, &accounts(None));
    assert_eq!(deliver_all(&mut bank), ["evt-001"]);
    clock.now.set(NEW_YEAR_MS + 600_001);
    assert_eq!(deliver_all(&mut bank), Vec::<String>::new());
    assert_eq!(types(&mut bank), ["Consumer.Registered", "Consumer.Advanced"]);
    bank.checkpoint().expect("a checkpoint is stored");
    let mut bare = bank.store().clone();
    bare.rows.retain(|view, _| view.name != "~cursors");
    kit::assert_rows_are_the_fold(&bare, &setup(), "places aside");
    let bare = MemoryStore { rows: Default::default(), checkpoint: None, ..bare };
    let mut again = setup().open_at(bare, clock);
    done(&mut again, get("/health"));
    assert_eq!(deliver_all(&mut again), Vec::<String>::new());
    assert_eq!(again.take_failures(), Vec::<String>::new());
}

#[test]
fn one_that_fails_is_removed_with_the_reason() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    let (id, _) = registered(&mut bank, &accounts(None));
    let call = due(&mut bank).remove(0);
    bank.delivery_ended(call.id, CameTo::of(Err("answered 500: no\nway".into())));
    assert_eq!(due(&mut bank), []);
    let told = shown(&mut bank, "/events/stream?type=Consumer.Removed");
    assert_eq!(told[0]["aggregateId"], id);
    assert_eq!(told[0]["data"], json!({"reason": "topic @BankAccount: answered 500: no way"}));
    assert_eq!(shown(&mut bank, "/consumers"), json!([]));
    done(&mut bank, deposit("a", 1));
    assert_eq!(due(&mut bank), []);
    let notes = format!("{:?}", bank.take_notes());
    assert!(notes.contains("Failed") && notes.contains("Removed"), "{notes}");
    assert!(!notes.contains("hook"), "no path of a callback in the host's log");
}

#[test]
fn one_that_is_to_be_tried_again_is_and_says_so() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    done(&mut bank, open_account("a", 100));
    let mut body = accounts(None);
    body["onFailure"] = json!("retry");
    registered(&mut bank, &body);
    let first = due(&mut bank).remove(0);
    bank.delivery_ended(first.id, CameTo::of(Err("answered 503".into())));
    done(&mut bank, deposit("a", 1));
    assert_eq!(due(&mut bank), []);
    assert_eq!(shown(&mut bank, "/consumers")[0]["status"], "retrying");
    let wait = bank.work_due().expect("it is tried again") / 1_000;
    assert!((500..=1_000).contains(&wait), "{wait}");
    clock.now.set(NEW_YEAR_MS + 1_000);
    let second = due(&mut bank).remove(0);
    assert_eq!(second.body, first.body, "the same batch, whatever came meanwhile");
    assert_eq!(header(&second, "webhook-id"), header(&first, "webhook-id"));
    assert_ne!(header(&second, "webhook-timestamp"), header(&first, "webhook-timestamp"));
    bank.delivery_ended(second.id, CameTo::Accepted);
    assert_eq!(deliver_all(&mut bank), ["evt-003"]);
    assert_eq!(shown(&mut bank, "/consumers")[0]["status"], "active");
}

#[test]
fn a_rotated_secret_signs_beside_the_new_one_for_a_day() {
    let clock = Clock::at(NEW_YEAR_MS);
    let mut bank = setup().open_at(MemoryStore::default(), clock.clone());
    let (id, old) = registered(&mut bank, &accounts(None));
    let rotate = || request("POST", &format!("/consumers/{id}/rotate"), "", &[]);
    let told = done(&mut bank, keyed(rotate(), "r"));
    assert_eq!(done(&mut bank, keyed(rotate(), "r")), told, "byte for byte");
    let new = value(&told)["secret"].clone();
    assert_ne!(new, json!(old));
    let host = Secret::new("a-secret-of-tests-alone").expect("a secret");
    let signed_by = |bank: &mut Bank<MemoryStore>, hours: u64| {
        clock.now.set(NEW_YEAR_MS + hours * HOUR_MS);
        done(bank, open_account(&format!("h{hours}"), 1));
        let call = due(bank).remove(0);
        bank.delivery_ended(call.id, CameTo::Accepted);
        let at: u64 = header(&call, "webhook-timestamp").parse().expect("seconds");
        let id_of = header(&call, "webhook-id");
        let all: Vec<u32> = header(&call, "webhook-signature")
            .split(' ')
            .map(|one| {
                let by = |generation: &u32| {
                    let keys = [Key::derive(&host, &id, *generation)];
                    signatures(&keys, id_of, at, call.body.as_bytes()) == one
                };
                (1..9).find(by).expect("a key of it signs")
            })
            .collect();
        all
    };
    assert_eq!(signed_by(&mut bank, 1), [2, 1]);
    assert_eq!(signed_by(&mut bank, 25), [2]);
    for _ in 0..4 {
        done(&mut bank, rotate());
    }
    assert_eq!(kit::run(&mut bank, rotate()).0, 422, "not without end");
    assert!(sign(b"k", "m", 1, b"b").starts_with("v1,"));
}

#[test]
fn registering_again_under_a_key_tells_the_same_and_refusals_leave_nothing() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    let told = done(&mut bank, keyed(register(&accounts(None)), "k"));
    assert_eq!(done(&mut bank, keyed(register(&accounts(None)), "k")), told);
    let with =
        |callback: &str, topics: Value| register(&json!({"callback": callback, "topics": topics}));
    let url = "https://a.example/";
    for (request, status, code) in [
        (with(url, json!({})), 400, "invalid-field"),
        (with(url, json!({"@BankAccount": 7})), 400, "invalid-field"),
        (with(url, json!({"@Nobody": null})), 404, "not-found"),
        (with(url, json!({"nobody": null})), 404, "not-found"),
        (with(url, json!({"@BankAccount": "evt-099"})), 404, "not-found"),
        (with(url, json!({"@BankAccount": "evt-002"})), 404, "not-found"),
        (with("ftp://a.example/", json!({"@BankAccount": null})), 400, "invalid-field"),
        (with("http://127.0.0.1/", json!({"@BankAccount": null})), 422, "forbidden-target"),
        (delete("nobody"), 404, "not-found"),
        (request("POST", "/consumers/nobody/rotate", "", &[]), 404, "not-found"),
    ] {
        let shown = format!("{request:?}");
        let (found, body) = kit::run(&mut bank, request);
        assert_eq!(found, status, "{shown}: {body}");
        assert!(body.contains(&format!("urn:foldlog:{code}\"")), "{shown}: {body}");
    }
    assert_eq!(types(&mut bank), ["Consumer.Registered"]);
    let id = value(&told)["consumerId"].as_str().expect("an id").to_string();
    assert_eq!(kit::run(&mut bank, keyed(delete(&id), "d")), (204, String::new()));
    assert_eq!(kit::run(&mut bank, keyed(delete(&id), "d")), (204, String::new()));
    assert_eq!(kit::run(&mut bank, delete(&id)).0, 404);
    assert_eq!(due(&mut bank), []);
}

/// A receiver asks for a transfer at each delivery and gives its header on. What gets delivered then a
/// process manager did: the number goes through it.
#[test]
fn deliveries_and_commands_that_lead_to_each_other_come_to_an_end() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    done(&mut bank, open_account("b", 0));
    registered(&mut bank, &accounts(None));
    let transfer = |n: &str, hops: &str| {
        let accounts = r#""fromAccountId":"a","toAccountId":"b","amount":1"#;
        let body = format!(r#"{{"transferId":"t-{n}",{accounts}}}"#);
        request("POST", "/commands/transfer", &body, &[("foldlog-hops", hops)])
    };
    for led in 1..=17 {
        let calls = due(&mut bank);
        let hops = calls.first().map(|call| header(call, "foldlog-hops").to_string());
        let hops = hops.unwrap_or_default();
        assert_eq!(hops, led.to_string());
        calls.iter().for_each(|call| bank.delivery_ended(call.id, CameTo::Accepted));
        let (status, body) = kit::run(&mut bank, transfer(&hops, &hops));
        if led <= 16 {
            assert!((200..300).contains(&status), "{status} {body}");
            continue;
        }
        let problem = value(&body);
        assert_eq!((status, &problem["field"]), (422, &json!("Foldlog-Hops")), "{body}");
        assert_eq!(problem["limit"], 16);
    }
    assert_eq!(deliver_all(&mut bank), Vec::<String>::new());
    for (hops, wanted) in [("", 400), ("-1", 400), ("1.0", 400), ("17", 422), ("999999999999", 400)]
    {
        assert_eq!(kit::run(&mut bank, transfer("x", hops)).0, wanted, "{hops:?}");
    }
}

#[test]
fn nothing_of_a_log_that_is_held_is_delivered() {
    let mut bank = setup().open(MemoryStore::default());
    done(&mut bank, open_account("a", 100));
    registered(&mut bank, &accounts(None));
    let config = foldlog_core::driver::Config { incarnation: [9; 16], ..setup().config() };
    let mut other = foldlog_core::driver::Partition::new(
        foldlog_core::driver::Linked(setup().registry),
        bank.store().clone(),
        Clock::at(NEW_YEAR_MS),
        config,
    );
    done(&mut other, get("/health"));
    assert_eq!(due(&mut other), []);
    assert_eq!(kit::run(&mut other, register(&accounts(None))).0, 409);
    done(&mut other, request("POST", "/effects/resume", "", &[]));
    assert_eq!(deliver_all(&mut other), ["evt-001"], "its new owner delivers");
}
