//! Live readers that come and go: nothing missed, nothing twice, nothing that was not stored.
//!
//! Owns disconnects, resuming, filters, and what a reader may never see. Readers that take nothing,
//! and those that only wait, are in `live_waits`.

use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::Duration;

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::live::{Follower, Heard, Transport};
use foldlog_tests::scratch::{Random, seed};
use serde_json::Value;

const DISCONNECTS: usize = 200;
/// Nothing takes longer, on a machine that has other things to do.
const SOON: Duration = Duration::from_secs(20);

/// An account to pay into.
fn open(host: &mut Host, prefix: &str) {
    let opened = host.post(&format!("{prefix}/commands/open-account"), r#"{"accountId":"a"}"#);
    assert_eq!(opened.status, 201, "{}", opened.text());
}

fn deposit(prefix: &str) -> Request {
    Request::post(&format!("{prefix}/commands/deposit"), r#"{"accountId":"a","amount":1}"#)
}

/// Pays in until it is told to stop; returns the last position.
fn pay(mut client: Client, stop: &AtomicBool) -> u64 {
    let mut last = 0;
    while !stop.load(Ordering::Relaxed) {
        let answer = client.send(&deposit("")).unwrap_or_else(|e| panic!("{e}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        last = answer.json()["position"].as_u64().unwrap_or_default();
        thread::sleep(Duration::from_millis(1));
    }
    last
}

/// Connects where it left off, reads a few events or a part of one, and is gone.
fn come_and_go(host: &Host, transport: Transport, random: &mut Random, seen: &mut Vec<u64>) {
    let last = seen.last().copied().unwrap_or(0);
    // The header wins.
    let (query, header) = match random.below(3) {
        0 => (format!("?after={last}"), None),
        1 => ("?after=9007199254740991".into(), Some(last)),
        _ => (String::new(), Some(last)),
    };
    let mut reader = Follower::open(host.address(), transport, "", &query, header)
        .unwrap_or_else(|e| panic!("{query}: {e}"));
    for _ in 0..random.below(30) {
        match reader.next(SOON) {
            Some(Heard::Event { id, json, .. }) => {
                assert_eq!(json["metadata"]["position"], id);
                seen.push(id);
            }
            Some(Heard::Start(at)) => assert_eq!(at, last),
            Some(Heard::Heartbeat) => {}
            other => panic!("{other:?} after {:?}", seen.last()),
        }
    }
}

fn disconnects(kind: Kind, transport: Transport) {
    let mut host = Setup::new(kind).start();
    open(&mut host, "");
    let mut random = Random(seed("live::disconnects"));
    let stop = AtomicBool::new(false);
    let mut seen = Vec::new();
    let head = thread::scope(|scope| {
        let client = host.client();
        let payer = scope.spawn(|| pay(client, &stop));
        for _ in 0..DISCONNECTS {
            come_and_go(&host, transport, &mut random, &mut seen);
        }
        stop.store(true, Ordering::Relaxed);
        payer.join().unwrap_or_else(|_| panic!("a command failed"))
    });
    assert!(seen.len() > DISCONNECTS * 5, "{} events", seen.len());
    if seen.last().copied() < Some(head) {
        let last = seen.last().copied();
        let reader = Follower::open(host.address(), transport, "", "", last);
        seen.extend(reader.unwrap_or_else(|e| panic!("{e}")).up_to(head));
    }
    let all: Vec<u64> = (1..=head).collect();
    assert!(seen == all, "a gap or a repetition: {seen:?}");
}

#[test]
fn disconnects_lose_and_repeat_nothing_on_native() {
    disconnects(Kind::Native, Transport::Sse);
}

#[test]
fn disconnects_lose_and_repeat_nothing_on_the_worker() {
    disconnects(Kind::Worker, Transport::Sse);
}

#[test]
fn disconnected_sockets_lose_and_repeat_nothing_on_native() {
    disconnects(Kind::Native, Transport::Ws);
}

#[test]
fn disconnected_sockets_lose_and_repeat_nothing_on_the_worker() {
    disconnects(Kind::Worker, Transport::Ws);
}

/// Events with several types, streams and correlations.
fn various(host: &mut Host, prefix: &str, round: u64) {
    let mut send = |path: &str, body: &str, id: &str| {
        let request = Request::post(&format!("{prefix}/commands/{path}"), body);
        let answer = host.send(&request.header("X-Correlation-Id", id));
        assert!(answer.status < 300, "{}", answer.text());
    };
    for n in 0..3 {
        let account = format!("r{round}-{n}");
        send("open-account", &format!(r#"{{"accountId":"{account}","initialBalance":9}}"#), "one");
        send("deposit", &format!(r#"{{"accountId":"{account}","amount":1}}"#), "two");
        send("withdraw", &format!(r#"{{"accountId":"{account}","amount":1}}"#), "one");
    }
    let (from, to) = (format!("r{round}-0"), format!("r{round}-1"));
    let transfer = format!(
        r#"{{"transferId":"t{round}","fromAccountId":"{from}","toAccountId":"{to}","amount":2}}"#
    );
    send("transfer", &transfer, "two");
}

/// What a reader has to see is what the list shows, before and after it came.
fn filters(kind: Kind) {
    let mut host = Setup::new(kind).start();
    various(&mut host, "/p/f", 1);
    let first = host.get("/p/f/events/stream?limit=1").json();
    let from = first[0]["metadata"]["timestamp"].as_str().unwrap_or_default().to_string();
    let filters = [
        "type=MoneyDeposited".to_string(),
        "category=Transfer".into(),
        "correlationId=one".into(),
        "type=AccountOpened&correlationId=one&category=BankAccount".into(),
        format!("from={from}&type=MoneyWithdrawn"),
        "from=2999-01-01T00:00:00.000Z".into(),
        "to=1999-01-01T00:00:00.000Z".into(),
    ];
    for transport in [Transport::Sse, Transport::Ws] {
        let follow = |filter: &String| {
            let query = format!("?{filter}&after=0");
            let reader = Follower::open(host.address(), transport, "/p/f", &query, None);
            reader.unwrap_or_else(|e| panic!("{filter}: {e}"))
        };
        let mut readers: Vec<Follower> = filters.iter().map(follow).collect();
        various(&mut host, "/p/f", if transport == Transport::Sse { 2 } else { 3 });
        for (reader, filter) in readers.iter_mut().zip(&filters) {
            let list = host.get(&format!("/p/f/events/stream?limit=1000&{filter}")).json();
            for wanted in list.as_array().map_or(&[][..], Vec::as_slice) {
                assert_eq!(next_event(reader), *wanted, "{kind:?} {transport:?} {filter}");
            }
            let more = reader.next(Duration::from_millis(50));
            assert_eq!(more.filter(|more| !matches!(more, Heard::Start(_))), None, "{filter}");
        }
    }
}

fn next_event(reader: &mut Follower) -> Value {
    loop {
        match reader.next(SOON) {
            Some(Heard::Event { id, name, json }) => {
                assert_eq!(
                    (json["metadata"]["position"].as_u64(), &json["eventType"]),
                    (Some(id), &name.into())
                );
                return json;
            }
            Some(Heard::Start(_) | Heard::Heartbeat) => {}
            other => panic!("{other:?}"),
        }
    }
}

#[test]
fn filters_let_through_what_lists_show_on_native() {
    filters(Kind::Native);
}

#[test]
fn filters_let_through_what_lists_show_on_the_worker() {
    filters(Kind::Worker);
}

/// Without a position a reader begins behind the last event, and is told where that is.
fn from_now_on(kind: Kind) {
    let mut host = Setup::new(kind).start();
    // Of a partition that nothing was written to, too.
    let mut early = Follower::open(host.address(), Transport::Sse, "", "", None)
        .unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(early.next(SOON), Some(Heard::Start(0)));
    open(&mut host, "");
    assert_eq!(early.up_to(1), [1]);
    for transport in [Transport::Sse, Transport::Ws] {
        let head = host.get("/log/head").json()["position"].as_u64().unwrap_or_default();
        let mut reader = Follower::open(host.address(), transport, "", "", None)
            .unwrap_or_else(|e| panic!("{e}"));
        if transport == Transport::Sse {
            assert_eq!(reader.next(SOON), Some(Heard::Start(head)));
        }
        assert_eq!(host.send(&deposit("")).status, 200);
        assert_eq!(reader.up_to(head + 1), [head + 1]);
    }
}

#[test]
fn without_a_position_only_what_comes_is_shown_on_native() {
    from_now_on(Kind::Native);
}

#[test]
fn without_a_position_only_what_comes_is_shown_on_the_worker() {
    from_now_on(Kind::Worker);
}

/// Killed at random while it is followed: whatever a reader saw is there afterwards, unchanged.
fn killed(kind: Kind) {
    let mut host = Setup::new(kind).start();
    open(&mut host, "");
    let mut random = Random(seed("live::killed"));
    let mut last = 0;
    for _ in 0..5 {
        let mut reader = Follower::open(host.address(), Transport::Sse, "", "", Some(last))
            .unwrap_or_else(|e| panic!("{e}"));
        let client = host.client();
        let payer = thread::spawn(move || {
            let mut client = client;
            while client.send(&deposit("")).is_ok_and(|answer| answer.status == 200) {}
        });
        let mut seen = Vec::new();
        let until = 20 + random.below(60);
        let mut killed = false;
        loop {
            match reader.next(SOON) {
                Some(Heard::Event { json, .. }) => seen.push(json),
                Some(Heard::Start(_) | Heard::Heartbeat) => {}
                Some(Heard::End(_)) if killed => break,
                other => panic!("{other:?} after {} events", seen.len()),
            }
            if seen.len() >= until && !killed {
                host.kill_9();
                killed = true;
            }
        }
        let _ = payer.join();
        host.restart();
        let list = host.get(&format!("/events/stream?limit=1000&after={last}")).json();
        let there = list.as_array().cloned().unwrap_or_default();
        assert!(there.len() >= seen.len() && there[..seen.len()] == seen[..], "{kind:?}");
        last = seen.last().and_then(|e| e["metadata"]["position"].as_u64()).unwrap_or(last);
    }
}

#[test]
fn what_was_seen_outlives_a_kill_on_native() {
    killed(Kind::Native);
}

#[test]
fn what_was_seen_outlives_a_kill_on_the_worker() {
    killed(Kind::Worker);
}

/// A disk that fills up: what the store refused no reader sees, and what it took they all do.
#[test]
fn what_could_not_be_stored_is_never_seen() {
    let mut setup = Setup::new(Kind::Native);
    setup.disk = Some(("full", 3 << 20));
    let mut host = setup.start();
    open(&mut host, "/p/full");
    let mut readers = [Transport::Sse, Transport::Ws].map(|transport| {
        let reader = Follower::open(host.address(), transport, "/p/full", "?after=0", None);
        reader.unwrap_or_else(|e| panic!("{e}"))
    });
    let note = "lorem ipsum ".repeat(20);
    let large = (0..12).fold(deposit("/p/full"), |request, k| {
        request.header(&format!("Foldlog-Meta-N-{k}"), &note)
    });
    let (mut done, mut refused) = (0, 0);
    while refused < 20 {
        let answer = host.send(&large);
        match answer.status {
            200 => done = answer.json()["position"].as_u64().unwrap_or_default(),
            507 => refused += 1,
            _ => panic!("{}", answer.text()),
        }
    }
    let all: Vec<u64> = (1..=done).collect();
    for reader in &mut readers {
        assert_eq!(reader.up_to(done), all);
        let more = reader.next(Duration::from_millis(500));
        assert!(matches!(more, None | Some(Heard::Heartbeat)), "{more:?}");
    }
}

/// Requests that partitions answered so far, commands and pages of live readers included.
fn answered(host: &mut Host) -> u64 {
    let text = host.get("/metrics").text();
    let metric = |name| {
        let count = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        count.and_then(|count| count.parse::<u64>().ok()).unwrap_or_else(|| panic!("no {name}"))
    };
    metric("foldlog_batch_size_sum") + metric("foldlog_reads_beside_total")
}

/// Commands of a correlation that few have.
fn seldom(client: &mut Client, round: u64) {
    let account = format!("s{round}");
    let transfer = format!(
        r#"{{"transferId":"t{round}","fromAccountId":"{account}","toAccountId":"a","amount":1}}"#
    );
    for (path, body) in [
        ("open-account", format!(r#"{{"accountId":"{account}","initialBalance":9}}"#)),
        ("deposit", format!(r#"{{"accountId":"{account}","amount":1}}"#)),
        ("transfer", transfer),
    ] {
        let request = Request::post(&format!("/commands/{path}"), &body);
        let answer = client.send(&request.header("X-Correlation-Id", "say \"seldom\""));
        let status = answer.unwrap_or_else(|e| panic!("{e}")).status;
        assert!(status < 300, "{path}: {status}");
    }
}

/// What a filter lets through among much that it does not: each of it is seen, and the rest is not
/// even asked for.
#[test]
fn what_comes_seldom_is_not_missed_and_costs_little() {
    const ROUNDS: u64 = 12;
    let mut host = Setup::new(Kind::Native).start();
    open(&mut host, "");
    let filters = [
        "type=AccountOpened",
        "category=Transfer",
        "correlationId=say%20%22seldom%22",
        "correlationId=evt-002",
        "type=MoneyDeposited&correlationId=say%20%22seldom%22",
        "type=NothingSuch",
    ];
    let follow = |filter: &&str| {
        let query = format!("?{filter}");
        let reader = Follower::open(host.address(), Transport::Sse, "", &query, None);
        let mut reader = reader.unwrap_or_else(|e| panic!("{filter}: {e}"));
        assert_eq!(reader.next(SOON), Some(Heard::Start(1)), "{filter}");
        reader
    };
    let mut readers: Vec<Follower> = filters.iter().map(follow).collect();
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let payers: Vec<_> = (0..4)
            .map(|_| {
                let (client, stop) = (host.client(), &stop);
                scope.spawn(move || pay(client, stop))
            })
            .collect();
        let mut client = host.client();
        for round in 0..ROUNDS {
            thread::sleep(Duration::from_millis(30));
            seldom(&mut client, round);
        }
        stop.store(true, Ordering::Relaxed);
        payers.into_iter().for_each(|payer| assert!(payer.join().is_ok(), "a command failed"));
    });
    for (reader, filter) in readers.iter_mut().zip(filters) {
        let list = host.get(&format!("/events/stream?limit=1000&after=1&{filter}")).json();
        let list = list.as_array().cloned().unwrap_or_default();
        let least = match filter {
            "type=NothingSuch" => 0,
            "correlationId=evt-002" => 1,
            _ => ROUNDS,
        };
        assert!(list.len() as u64 >= least, "{filter}: {}", list.len());
        for wanted in list {
            assert_eq!(next_event(reader), wanted, "{filter}");
        }
    }
    // Alone with a filter that lets nothing through.
    readers.drain(..5);
    thread::sleep(Duration::from_millis(300));
    let before = answered(&mut host);
    for _ in 0..100 {
        assert_eq!(host.send(&deposit("")).status, 200);
        thread::sleep(Duration::from_millis(3));
    }
    let more = answered(&mut host) - before;
    assert!((100..120).contains(&more), "100 commands, and {more} requests answered");
}
