//! A guest that misbehaves (law 9): what trapped is answered 500 and nothing else notices.
//!
//! Owns hosts with build/guest-faults.wasm, whose stream `chaos` traps, eats memory or never ends
//! on request, and whose read model `Fragile` breaks. An endless loop is for the native host only:
//! workerd has no bound on one.

use std::path::PathBuf;
use std::sync::Barrier;
use std::thread;

use foldlog_tests::client::{Answer, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{built, root};

/// Requests sent at the same time as a fault.
const MATES: usize = 12;

fn faults() -> PathBuf {
    let path = root().join("build/guest-faults.wasm");
    assert!(path.exists(), "{} is missing: `wasm/build.sh guest-faults` builds it", path.display());
    built(path, "test")
}

fn started(kind: Kind) -> Host {
    let mut setup = Setup::new(kind);
    setup.guest = Some(faults());
    setup.start()
}

fn chaos(command: &str, id: &str) -> Request {
    Request::post(&format!("/commands/{command}"), &format!(r#"{{"chaosId":"{id}"}}"#))
}

/// Sends all of them at once, each over a connection of its own that is open already.
fn at_once(host: &Host, requests: &[Request]) -> Vec<Answer> {
    let barrier = Barrier::new(requests.len());
    thread::scope(|scope| {
        let one = |request| {
            let (mut client, barrier) = (host.client(), &barrier);
            scope.spawn(move || {
                client.send(&Request::get("/log/head")).unwrap_or_else(|e| panic!("{e}"));
                barrier.wait();
                client.send(request).unwrap_or_else(|e| panic!("{request:?}: {e}"))
            })
        };
        let threads: Vec<_> = requests.iter().map(one).collect();
        threads.into_iter().map(|t| t.join().unwrap_or_else(|_| panic!("no answer"))).collect()
    })
}

/// The fault gets 500; commands and reads beside it are answered; nothing is lost or doubled.
fn contained(kind: Kind, fault: &str) {
    let mut host = started(kind);
    let mut ticks = 0;
    for round in 0..4 {
        let mut requests: Vec<Request> =
            (0..MATES).map(|n| chaos("tick", &format!("t-{round}-{n}"))).collect();
        requests.insert(MATES / 2, chaos(fault, "x"));
        requests.push(Request::get("/projections"));
        let answers = at_once(&host, &requests);
        for (request, answer) in requests.iter().zip(&answers) {
            let when = format!("{kind:?}: {fault}: {}: {}", request.target, answer.text());
            match request.target.as_str() {
                "/commands/tick" => {
                    assert_eq!(answer.status, 201, "{when}");
                    ticks += 1;
                }
                "/projections" => assert_eq!(answer.status, 200, "{when}"),
                _ => {
                    assert_eq!(
                        (answer.status, answer.code().as_str()),
                        (500, "internal"),
                        "{when}"
                    );
                    assert!(!answer.text().contains("asked to"), "internals are told: {when}");
                }
            }
        }
        let head = host.get("/log/head").json();
        assert_eq!(head["position"], ticks, "{kind:?}: {fault}: lost or doubled");
    }
    let health = host.get("/health");
    assert_eq!(health.status, 200, "{kind:?}: {fault}: {}", health.text());
    let x = host.get("/queries/chaos/x");
    assert_eq!(x.status, 404, "{kind:?}: {fault} left something: {}", x.text());
}

#[test]
fn a_trap_is_contained_on_native() {
    contained(Kind::Native, "trap");
}

#[test]
fn a_trap_is_contained_on_the_worker() {
    contained(Kind::Worker, "trap");
}

#[test]
fn eaten_memory_is_contained_on_native() {
    contained(Kind::Native, "eat-memory");
}

#[test]
fn eaten_memory_is_contained_on_the_worker() {
    contained(Kind::Worker, "eat-memory");
}

#[test]
fn an_endless_loop_is_contained_on_native() {
    contained(Kind::Native, "loop");
}

/// `Fragile` stands still before `position` and says why; all other read models go on.
fn quarantined(host: &mut Host, position: u64, when: &str) {
    let list = host.get("/projections");
    assert_eq!(list.status, 200, "{when}: {}", list.text());
    for status in list.json().as_array().cloned().unwrap_or_default() {
        if status["name"] == "Fragile" {
            assert_eq!(status["state"], "faulted", "{when}: {status}");
            assert_eq!(status["lastProcessedVersion"], position - 1, "{when}: {status}");
            let error = status["error"].as_str().unwrap_or_default();
            assert!(!error.is_empty(), "{when}: no reason: {status}");
        } else {
            assert_eq!(status["state"], "live", "{when}: {status}");
            assert_eq!(status["lag"], 0, "{when}: {status}");
        }
    }
    let health = host.get("/health");
    assert_eq!(health.status, 503, "{when}: {}", health.text());
    let said = health.json();
    assert_eq!(said["status"], "unhealthy", "{when}: {said}");
    let reasons = said["reasons"].to_string();
    assert!(
        reasons.contains("Fragile") && reasons.contains(&position.to_string()),
        "{when}: {said}"
    );
}

fn a_broken_projection(kind: Kind, command: &str) {
    let mut host = started(kind);
    let opened = host.post("/commands/open-account", r#"{"accountId":"a","initialBalance":5}"#);
    assert_eq!(opened.status, 201, "{kind:?}: {}", opened.text());
    assert_eq!(host.send(&chaos("tick", "c")).status, 201);
    let broken = host.send(&chaos(command, "c"));
    assert_eq!(broken.status, 200, "{kind:?}: {command}: {}", broken.text());
    quarantined(&mut host, 3, &format!("{kind:?}: {command}"));
    for n in 0..5 {
        let deposit = host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#);
        assert_eq!(deposit.status, 200, "{kind:?}: {command}: {n}: {}", deposit.text());
        assert_eq!(host.send(&chaos("tick", "c")).status, 200);
    }
    for restart in ["a kill", "another kill"] {
        host.kill_9();
        host.restart();
        quarantined(&mut host, 3, &format!("{kind:?}: {command}, after {restart}"));
        let deposit = host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#);
        assert_eq!(deposit.status, 200, "{kind:?}: {command}: {}", deposit.text());
    }
    assert_eq!(host.get("/queries/account/a").json()["balance"], 12, "{kind:?}: {command}");
    if kind == Kind::Native {
        assert!(host.stop(), "no graceful stop: {}", host.log());
        host.restart();
        quarantined(&mut host, 3, "after a graceful stop");
    }
}

/// Law 9 for a state that traps on what is stored: its stream answers by name, all else goes on.
fn a_broken_stream(kind: Kind) {
    let mut host = started(kind);
    for (command, id) in [("tick", "c"), ("break-stream", "c"), ("tick", "d")] {
        let done = host.send(&chaos(command, id));
        assert!(matches!(done.status, 200 | 201), "{kind:?}: {command}: {}", done.text());
    }
    for restart in ["a kill", "another kill"] {
        host.kill_9();
        host.restart();
        let when = format!("{kind:?}, after {restart}");
        let asked = host.get("/queries/chaos/c");
        let told = host.send(&chaos("tick", "c"));
        for answer in [asked, told] {
            let text = answer.text();
            assert_eq!(
                (answer.status, &*answer.code()),
                (409, "schema-conflict"),
                "{when}: {text}"
            );
            assert!(text.contains("evt-002 (FuseSet 1.0.0)"), "{when}: {text}");
            assert!(text.contains("the module trapped on it"), "{when}: {text}");
        }
        assert_eq!(host.get("/queries/chaos/c?atVersion=1").status, 200, "{when}");
        assert_eq!(host.send(&chaos("tick", "d")).status, 200, "{when}");
        assert_eq!(host.get("/health").status, 200, "{when}");
    }
    let other = host.send(&chaos("break-stream", "d"));
    assert_eq!(other.status, 200, "{kind:?}: {}", other.text());
    assert_eq!(host.get("/queries/chaos/d").json()["version"], 4, "{kind:?}: its own instance");
}

#[test]
fn a_trapping_state_on_native() {
    a_broken_stream(Kind::Native);
}

#[test]
fn a_trapping_state_on_the_worker() {
    a_broken_stream(Kind::Worker);
}

#[test]
fn a_trapping_projection_on_native() {
    a_broken_projection(Kind::Native, "break-projection-by-trap");
}

#[test]
fn a_trapping_projection_on_the_worker() {
    a_broken_projection(Kind::Worker, "break-projection-by-trap");
}

#[test]
fn a_failing_projection_on_native() {
    a_broken_projection(Kind::Native, "break-projection-by-error");
}

#[test]
fn a_failing_projection_on_the_worker() {
    a_broken_projection(Kind::Worker, "break-projection-by-error");
}

/// A healthy read model is rebuilt without any further request, by real time; a quarantined one
/// fails again and stays as it was.
fn rebuilt(kind: Kind) {
    let mut host = started(kind);
    for n in 0..40 {
        let body = format!(r#"{{"accountId":"a-{n}","initialBalance":{n}}}"#);
        assert_eq!(host.post("/commands/open-account", &body).status, 201);
    }
    let broken = host.send(&chaos("break-projection-by-trap", "c"));
    assert_eq!(broken.status, 201, "{kind:?}: {}", broken.text());
    let before = host.get("/projections/AccountBalances").json();
    for name in ["AccountBalances", "Fragile"] {
        let body = format!(r#"{{"name":"{name}"}}"#);
        let answer = host.post("/projections/rebuild", &body);
        assert_eq!(answer.status, 202, "{kind:?}: {}", answer.text());
        host.kill_9();
        host.restart();
    }
    let until = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while host.get("/projections").text().contains("rebuilding") {
        assert!(std::time::Instant::now() < until, "{kind:?}: it does not end");
        thread::sleep(std::time::Duration::from_millis(100));
    }
    quarantined(&mut host, 41, &format!("{kind:?}: rebuilt"));
    assert_eq!(host.get("/projections/AccountBalances").json(), before, "{kind:?}");
}

#[test]
fn projections_are_rebuilt_on_native() {
    rebuilt(Kind::Native);
}

#[test]
fn projections_are_rebuilt_on_the_worker() {
    rebuilt(Kind::Worker);
}
