//! Live readers that wait, or are waited for: heartbeats, readers that take nothing, the host's
//! stop, partitions that close and objects that sleep under those who follow them.
//!
//! Owns what happens while nothing is read or nothing is written. What is read, and how to go on,
//! is in `live`.

use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::live::{Follower, Heard, Transport};

/// Nothing takes longer, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);
/// How long readers may take nothing here.
const STALL_MS: u64 = 700;

fn follow(host: &Host, transport: Transport, prefix: &str, query: &str) -> Follower {
    Follower::open(host.address(), transport, prefix, query, None).unwrap_or_else(|e| panic!("{e}"))
}

fn open(host: &mut Host, prefix: &str) {
    let opened = host.post(&format!("{prefix}/commands/open-account"), r#"{"accountId":"a"}"#);
    assert_eq!(opened.status, 201, "{}", opened.text());
}

fn deposit(prefix: &str) -> Request {
    Request::post(&format!("{prefix}/commands/deposit"), r#"{"accountId":"a","amount":1}"#)
}

/// The next that is no event's start.
fn heard(reader: &mut Follower, within: Duration) -> Option<Heard> {
    let heard = reader.next(within);
    if matches!(heard, Some(Heard::Start(_))) { reader.next(within) } else { heard }
}

fn heartbeats(kind: Kind) {
    let mut host = Setup::new(kind).set("--live-heartbeat-ms", "LIVE_HEARTBEAT_MS", 200).start();
    open(&mut host, "");
    let mut reader = follow(&host, Transport::Sse, "", "");
    let began = Instant::now();
    for _ in 0..4 {
        assert_eq!(heard(&mut reader, SOON), Some(Heard::Heartbeat));
    }
    let took = began.elapsed();
    assert!(took > Duration::from_millis(600), "{took:?}");
    assert_eq!(host.send(&deposit("")).status, 200);
    assert_eq!(reader.up_to(2), [2]);
    // A socket's reader asks by itself, which keeps no object from sleeping.
    let mut reader = follow(&host, Transport::Ws, "", "");
    if kind == Kind::Native {
        assert_eq!(heard(&mut reader, SOON), Some(Heard::Heartbeat));
    }
    reader.say(1, b"ping").unwrap_or_else(|e| panic!("{e}"));
    reader.say(1, b"what nobody asked for").unwrap_or_else(|e| panic!("{e}"));
    let pong = Heard::Text("pong".into());
    while heard(&mut reader, SOON).unwrap_or_else(|| panic!("no pong")) != pong {}
    assert_eq!(host.send(&deposit("")).status, 200);
    assert_eq!(reader.up_to(3), [3]);
    // A close is answered by a close.
    reader.say(8, &1000_u16.to_be_bytes()).unwrap_or_else(|e| panic!("{e}"));
    let mut last = heard(&mut reader, SOON);
    while matches!(last, Some(Heard::Heartbeat)) {
        last = heard(&mut reader, SOON);
    }
    assert_eq!(last, Some(Heard::End(Some(1000))));
}

#[test]
fn who_waits_is_told_that_he_is_not_forgotten_on_native() {
    heartbeats(Kind::Native);
}

#[test]
fn who_waits_is_told_that_he_is_not_forgotten_on_the_worker() {
    heartbeats(Kind::Worker);
}

/// More than any socket's buffers take: 10 MB.
fn fill(host: &Host, from: u64) -> u64 {
    let note = "x".repeat(256);
    let body = r#"{"accountId":"a","amount":1}"#;
    let large = (0..16).fold(Request::post("/commands/deposit", body), |request, k| {
        request.header(&format!("Foldlog-Meta-N-{k}"), &note)
    });
    let (address, clients, each) = (host.address(), 8, 300);
    thread::scope(|scope| {
        for _ in 0..clients {
            scope.spawn(|| {
                let mut client = Client::new(address);
                for _ in 0..each {
                    let answer = client.send(&large).unwrap_or_else(|e| panic!("{e}"));
                    assert_eq!(answer.status, 200, "{}", answer.text());
                }
            });
        }
    });
    from + clients * each
}

/// A reader that takes nothing is cut. Meanwhile commands are done as ever, and another reader,
/// slow but alive, misses nothing. On a machine that is busy with something else it takes a while
/// until a host has said more than the system keeps.
fn cut(kind: Kind, transport: Transport) {
    let setup = Setup::new(kind).set("--live-stall-ms", "LIVE_STALL_MS", STALL_MS);
    let mut host = setup.start();
    open(&mut host, "");
    let mut last = fill(&host, 1);
    let within = [4, 20, 60].map(|times| Duration::from_millis(STALL_MS * times));
    assert!(
        within.into_iter().any(|within| is_cut_within(&mut host, transport, &mut last, within)),
        "{kind:?} {transport:?}: it was never cut"
    );
}

fn is_cut_within(host: &mut Host, transport: Transport, last: &mut u64, within: Duration) -> bool {
    let (kind, head) = (host.kind(), *last);
    let stuck = Follower::narrow(host.address(), transport, "?after=0");
    let mut stuck = stuck.unwrap_or_else(|e| panic!("{e}"));
    let mut alive = follow(host, transport, "", "?after=0");
    let began = Instant::now();
    let (mut slowest, mut seen) = (Duration::ZERO, 0);
    while began.elapsed() < within && !counts_one_cut(host) {
        let sent = Instant::now();
        assert_eq!(host.send(&deposit("")).status, 200);
        slowest = slowest.max(sent.elapsed());
        *last += 1;
        // A little now and then: enough for the system to tell the host of it.
        thread::sleep(Duration::from_millis(10));
        for _ in 0..30 {
            if let Some(Heard::Event { id, .. }) = alive.next(Duration::from_millis(5)) {
                seen += 1;
                assert_eq!(id, seen);
            }
        }
    }
    assert!(slowest < Duration::from_secs(2), "a command took {slowest:?}");
    // On a quick machine it has seen all of them by now.
    let rest = if seen < *last { alive.up_to(*last) } else { Vec::new() };
    assert_eq!(rest, (seen + 1..=*last).collect::<Vec<_>>());
    let mut positions = 0;
    let end = loop {
        match stuck.next(SOON) {
            Some(Heard::Event { id, .. }) => {
                positions += 1;
                assert_eq!(id, positions);
            }
            Some(Heard::Start(_) | Heard::Heartbeat) => {}
            Some(Heard::End(code)) => break code,
            other => panic!("{other:?}"),
        }
        if positions >= *last {
            return false;
        }
    };
    assert!(positions < head, "{kind:?} {transport:?}: it had all of them");
    if transport == Transport::Ws {
        assert_eq!(end, Some(4008), "{kind:?}: after {positions} events");
    }
    true
}

/// The native host counts them.
fn counts_one_cut(host: &mut Host) -> bool {
    let text = host.get("/metrics").text();
    text.lines().any(|line| line == "foldlog_live_cut_total 1")
}

#[test]
fn who_takes_nothing_is_cut_on_native() {
    cut(Kind::Native, Transport::Sse);
}

#[test]
fn who_takes_nothing_is_cut_on_the_worker() {
    cut(Kind::Worker, Transport::Sse);
}

#[test]
fn a_socket_that_takes_nothing_is_cut_on_native() {
    cut(Kind::Native, Transport::Ws);
}

/// Those who wait, and one that takes nothing, do not hold up a stop.
#[test]
fn the_hosts_stop_ends_all_readers() {
    let mut host = Setup::new(Kind::Native).start();
    open(&mut host, "");
    fill(&host, 1);
    let _stuck = Follower::narrow(host.address(), Transport::Sse, "?after=0");
    let mut sse = follow(&host, Transport::Sse, "", "");
    let mut ws = follow(&host, Transport::Ws, "", "");
    assert!(matches!(sse.next(SOON), Some(Heard::Start(_))));
    let began = Instant::now();
    assert!(host.stop(), "it had to be killed");
    let took = began.elapsed();
    assert!(took < Duration::from_secs(6), "{took:?}");
    assert_eq!(sse.next(SOON), Some(Heard::End(None)));
    assert_eq!(ws.next(SOON), Some(Heard::End(Some(1001))));
}

/// Readers wait outside of partitions: few are open, however many are followed.
#[test]
fn followed_partitions_close_and_are_followed_on() {
    const PARTITIONS: usize = 30;
    let mut host = Setup::new(Kind::Native).set("--partitions-open-max", "", 2).start();
    let names: Vec<String> = (0..PARTITIONS).map(|n| format!("/p/live-{n}")).collect();
    names.iter().for_each(|name| open(&mut host, name));
    let mut readers: Vec<Follower> =
        names.iter().map(|name| follow(&host, Transport::Sse, name, "")).collect();
    for reader in &mut readers {
        assert!(matches!(reader.next(SOON), Some(Heard::Start(1..))));
    }
    // All pages that follow a reader's beginning were asked for by then.
    thread::sleep(Duration::from_millis(500));
    let pid = host.pid().unwrap_or_default();
    let open_now = || {
        let links = fs::read_dir(format!("/proc/{pid}/fd")).into_iter().flatten().flatten();
        let names = links.filter_map(|link| fs::read_link(link.path()).ok());
        names.filter(|name| name.to_string_lossy().ends_with(".sqlite")).count()
    };
    // A partition that is read beside has its file open twice.
    assert!(open_now() <= 4, "{} files are open", open_now());
    for _ in 0..2 {
        for (name, reader) in names.iter().zip(&mut readers) {
            let done = host.send(&deposit(name));
            assert_eq!(done.status, 200, "{name}");
            // What the system itself did in a new partition may come before.
            let position = done.json()["position"].as_u64().unwrap_or_default();
            assert_eq!(reader.up_to(position).last(), Some(&position), "{name}");
        }
    }
}

/// An object without anything to do is gone after ten seconds; its sockets stay and go on.
#[test]
fn a_socket_outlives_its_objects_sleep() {
    let mut host = Setup::new(Kind::Worker).start();
    open(&mut host, "");
    let mut reader = follow(&host, Transport::Ws, "", "?type=MoneyDeposited&after=0");
    assert_eq!(host.send(&deposit("")).status, 200);
    assert_eq!(reader.up_to(2), [2]);
    let since_start = |host: &mut Host| host.get("/stats").json()["commandsProcessed"].clone();
    assert_eq!(since_start(&mut host), 2);
    thread::sleep(Duration::from_secs(14));
    // Asleep it answers still.
    reader.say(1, b"ping").unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(reader.next(SOON), Some(Heard::Text("pong".into())));
    assert_eq!(host.send(&deposit("")).status, 200);
    assert_eq!(reader.up_to(3), [3]);
    assert_eq!(since_start(&mut host), 1, "it did not sleep");
}
