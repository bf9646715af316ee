//! Many partitions in one host: few open at once, and sick ones that their neighbours do not notice.
//!
//! Owns what holds across partitions. What one of them does by itself is for the other files.

use std::collections::BTreeSet;
use std::fs;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{built, root};

const PARTITIONS: usize = 300;
const OPEN_MAX: usize = 8;
const CLIENTS: usize = 10;
/// How often each partition is visited, each time by two clients.
const ROUNDS: usize = 2;
/// Partitions that each client visits in a round.
const STEPS: usize = PARTITIONS * 2 / CLIENTS;

/// Databases that the process has open now.
fn open_files(pid: u32) -> BTreeSet<String> {
    let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
    let targets = links.filter_map(|link| fs::read_link(link.path()).ok());
    let names = targets.map(|path| path.to_string_lossy().into_owned());
    names.filter(|name| name.ends_with(".sqlite")).collect()
}

fn command(client: &mut Client, partition: &str, command: &str, body: &str) -> u16 {
    let request = Request::post(&format!("/p/{partition}/commands/{command}"), body);
    let answer = client.send(&request).unwrap_or_else(|e| panic!("{partition}: {e}"));
    assert!(answer.status < 500, "{partition}: {command}: {} {}", answer.status, answer.text());
    answer.status
}

fn metric(host: &mut Host, name: &str) -> Option<u64> {
    let text = host.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
}

/// Requests wait while a partition opens or closes, none is lost, done twice or refused; and of
/// all partitions only as many are open as may be.
#[test]
fn few_of_many_partitions_are_open_at_once() {
    let mut host = Setup::new(Kind::Native).set("--partitions-open-max", "", OPEN_MAX).start();
    let pid = host.pid().unwrap_or_default();
    let (done, most) = (AtomicBool::new(false), std::sync::Mutex::new(0));
    thread::scope(|scope| {
        let watch = scope.spawn(|| {
            // A listing takes its time, and may show what closed beside what opened after it:
            // what several of them show, one after the other, was open all at once.
            let mut before = [open_files(pid), open_files(pid), open_files(pid)];
            while !done.load(Ordering::Relaxed) {
                let now = open_files(pid);
                let stayed = |name: &&String| before.iter().all(|files| files.contains(*name));
                let open = now.iter().filter(stayed).count();
                before.rotate_left(1);
                before[2] = now;
                let mut most = most.lock().unwrap_or_else(|e| e.into_inner());
                *most = open.max(*most);
            }
        });
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let mut client = host.client();
                scope.spawn(move || {
                    for k in 0..STEPS * ROUNDS {
                        // Strides of five from different starts: two clients meet everywhere.
                        let p = format!("p-{}", (k * 5 + n / 2 + n * 13) % PARTITIONS);
                        let account = format!(r#"{{"accountId":"a-{n}"}}"#);
                        let amount = format!(r#"{{"accountId":"a-{n}","amount":1}}"#);
                        command(&mut client, &p, "open-account", &account);
                        assert_eq!(command(&mut client, &p, "deposit", &amount), 200, "{p}");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = clients.into_iter().map(|client| client.join().is_ok()).collect();
        done.store(true, Ordering::Relaxed);
        let _ = watch.join();
        assert!(ended.iter().all(|ok| *ok), "a client was not answered");
    });
    let most = most.into_inner().unwrap_or_else(|e| e.into_inner());
    assert!((1..=OPEN_MAX).contains(&most), "{most} files were open at once");
    let open = metric(&mut host, "foldlog_partitions_open");
    assert!(open.is_some_and(|open| open <= OPEN_MAX as u64), "{open:?}");

    let totals = |host: &mut Host| {
        let (mut events, mut deposits) = (0, 0);
        for p in 0..PARTITIONS {
            let stats = host.get(&format!("/p/p-{p}/stats")).json();
            // That a partition was listed may be recorded at any later time.
            let listed = stats["eventsByType"]["Effect.Succeeded"].as_u64().unwrap_or_default();
            events += stats["totalEvents"].as_u64().unwrap_or_default() - listed;
            deposits += stats["eventsByType"]["MoneyDeposited"].as_u64().unwrap_or_default();
        }
        (events, deposits)
    };
    let before = totals(&mut host);
    let sent = CLIENTS * ROUNDS * STEPS;
    assert_eq!(before.1, sent as u64, "deposits done once each");
    // Each was closed with a checkpoint when another took its place.
    let head = host.get("/p/p-0/log/head").json();
    assert_eq!(head["checkpoint"], head["position"], "{head}");
    assert!(host.stop(), "{}", host.log());
    host.restart();
    assert_eq!(totals(&mut host), before);
}

fn faults(kind: Kind) -> Host {
    let path = root().join("build/guest-faults.wasm");
    let mut setup = Setup::new(kind);
    setup.guest = Some(built(path, "test"));
    setup.start()
}

/// One partition traps over and over: others answer, and each trap is told to whoever asked for it.
fn neighbours_of_a_trapping_partition(kind: Kind) {
    let host = faults(kind);
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let (stop, host) = (&stop, &host);
        let sick: Vec<_> = (0..2)
            .map(|_| {
                let mut client = host.client();
                scope.spawn(move || {
                    let mut traps = 0;
                    while !stop.load(Ordering::Relaxed) {
                        let request = Request::post("/p/sick/commands/trap", r#"{"chaosId":"x"}"#);
                        let answer = client.send(&request).unwrap_or_else(|e| panic!("{e}"));
                        assert_eq!(answer.status, 500, "{}", answer.text());
                        traps += 1;
                    }
                    traps
                })
            })
            .collect();
        let well: Vec<_> = (0..4)
            .map(|n| {
                let mut client = host.client();
                scope.spawn(move || {
                    for k in 0..150 {
                        let body = format!(r#"{{"accountId":"a-{k}","initialBalance":1}}"#);
                        let status =
                            command(&mut client, &format!("well-{n}"), "open-account", &body);
                        assert_eq!(status, 201, "{kind:?}");
                    }
                })
            })
            .collect();
        let ended: Vec<_> = well.into_iter().map(|client| client.join().is_ok()).collect();
        stop.store(true, Ordering::Relaxed);
        assert!(ended.iter().all(|ok| *ok), "{kind:?}: a neighbour noticed");
        let traps: u32 = sick.into_iter().map(|t| t.join().unwrap_or_default()).sum();
        assert!(traps > 2, "{kind:?}: it trapped {traps} times only");
    });
}

#[test]
fn neighbours_of_a_trapping_partition_on_native() {
    neighbours_of_a_trapping_partition(Kind::Native);
}

#[test]
fn neighbours_of_a_trapping_partition_on_the_worker() {
    neighbours_of_a_trapping_partition(Kind::Worker);
}

/// Reading partitions that do not exist, whatever they are called, closes none that does.
#[test]
fn reading_what_is_not_there_closes_nothing() {
    let mut host = Setup::new(Kind::Native).set("--partitions-open-max", "", 1).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    let pid = host.pid().unwrap_or_default();
    let before = open_files(pid);
    assert_eq!(before.len(), 1, "{before:?}");
    for n in 0..50 {
        let head = host.get(&format!("/p/nobody-{n}/log/head")).json();
        assert_eq!(
            (&head["partition"], &head["position"]),
            (&format!("nobody-{n}").into(), &0.into())
        );
        assert_eq!(host.get(&format!("/p/nobody-{n}/queries/account/a")).status, 404);
        assert_eq!(host.get(&format!("/p/nobody-{n}/log/export")).text(), "");
    }
    assert_eq!(open_files(pid), before);
    let head = host.get("/log/head").json();
    assert_eq!(head["checkpoint"], 0, "it was never closed: {head}");
    assert_eq!(metric(&mut host, "foldlog_partitions_open"), Some(1));
}
