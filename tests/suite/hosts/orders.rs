//! Commands of the system that can not be done (law 4, law 9): each ends in the log or waits alone.
//!
//! Owns what the process manager of build/guest-faults.wasm orders: commands that trap, that wait
//! for a read model which stopped, whose refusal its own manager can not take in.

use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{built, root};
use serde_json::Value;

/// More than any page of what is due.
const WAITING: usize = 70;

fn started(kind: Kind) -> Host {
    let mut setup = Setup::new(kind);
    setup.guest = Some(built(root().join("build/guest-faults.wasm"), "test"));
    setup.start()
}

fn order(host: &mut Host, what: &str, id: &str) {
    let body = format!(r#"{{"chaosId":"{id}"}}"#);
    let answer = host.send(&Request::post(&format!("/commands/{what}"), &body));
    assert!(answer.status < 300, "{what} {id}: {}", answer.text());
}

fn of_type(host: &mut Host, event_type: &str) -> Vec<Value> {
    let found = host.get(&format!("/events/stream?type={event_type}&limit=1000")).json();
    found.as_array().cloned().unwrap_or_default()
}

/// Waits until as many events of a type are there.
fn wait_for(host: &mut Host, event_type: &str, count: usize) -> Vec<Value> {
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let found = of_type(host, event_type);
        if found.len() >= count {
            assert_eq!(found.len(), count, "{event_type}: {found:?}");
            return found;
        }
        assert!(Instant::now() < until, "{event_type}: {} of {count}", found.len());
        thread::sleep(Duration::from_millis(50));
    }
}

/// Many commands wait for a read model; what comes after them is done, and of two that trap each is
/// refused itself, also when its manager can not hear of it.
fn what_can_not_be_done_is_no_others_loss(kind: Kind) {
    let mut host = started(kind);
    order(&mut host, "break-projection-by-error", "c");
    for n in 0..WAITING {
        order(&mut host, "order-look", &format!("w-{n}"));
    }
    order(&mut host, "order-tick", "y");
    let ticked = wait_for(&mut host, "Ticked", 1);
    assert_eq!(ticked[0]["aggregateId"], "y", "{kind:?}: behind {WAITING} that wait");
    for (n, id) in ["x", "deaf", "dumb"].iter().enumerate() {
        order(&mut host, "order-trap", id);
        let refused = wait_for(&mut host, "Command.Refused", n + 1);
        let data = &refused[n]["data"];
        assert_eq!((&data["aggregateId"], &data["code"]), (&(*id).into(), &"internal".into()));
    }
    // The log says that the manager did not hear of the last two.
    let unheard = wait_for(&mut host, "ProcessManager.Stopped", 2);
    assert_eq!(unheard[0]["data"], serde_json::json!({"manager":"Orders","reason":"it trapped"}));
    let why = unheard[1]["data"]["reason"].to_string();
    assert!(why.contains("asked to"), "{kind:?}: {why}");
    order(&mut host, "order-tick", "z");
    wait_for(&mut host, "Ticked", 2);
    // What waits is still there after a kill, and still hides nothing.
    host.kill_9();
    host.restart();
    order(&mut host, "order-tick", "z");
    wait_for(&mut host, "Ticked", 3);
    assert_eq!(of_type(&mut host, "Command.Refused").len(), 3, "{kind:?}");
}

#[test]
fn what_can_not_be_done_is_no_others_loss_on_native() {
    what_can_not_be_done_is_no_others_loss(Kind::Native);
}

#[test]
fn what_can_not_be_done_is_no_others_loss_on_the_worker() {
    what_can_not_be_done_is_no_others_loss(Kind::Worker);
}

/// Traps by the thousand cost a few lines of the log, and those say how many were left out.
#[test]
fn a_flood_of_traps_is_no_flood_of_lines() {
    let mut host = started(Kind::Native);
    for _ in 0..400 {
        let answer = host.post("/commands/trap", r#"{"chaosId":"x"}"#);
        assert_eq!(answer.status, 500, "{}", answer.text());
    }
    let log = host.whole_log();
    assert!(log.len() < 60_000, "{} bytes for 400 traps", log.len());
    assert!(log.contains("guest trapped") && log.contains("partition failed"), "{log}");
    let longest = log.lines().map(str::len).max().unwrap_or_default();
    assert!(longest < 2_000, "a line of {longest} bytes");
}
