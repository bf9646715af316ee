//! Reads beside commands. Natively a second instance answers them, and its word is the writer's; the
//! Worker reads in parts, between which it does other things.
//!
//! Owns clients that command and read at once. That answers are the same byte for byte whatever
//! happens to rows meanwhile is proven in process (`engine/reader`, and of parts by the driver's own
//! tests); here it is threads and a file, and an event loop.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};

const CLIENTS: u64 = 4;
const ROUNDS: u64 = 120;

/// Deposits to an account of its own, and finds each of them at once.
fn command(address: SocketAddr, n: u64) {
    let mut client = Client::new(address);
    let mut send = |request: Request| {
        let answer = client.send(&request).unwrap_or_else(|e| panic!("client {n}: {e}"));
        assert!(answer.status < 300, "{}: {}", answer.status, answer.text());
        answer.json()
    };
    let id = format!("own-{n}");
    let opened = format!(r#"{{"accountId":"{id}","initialBalance":1}}"#);
    send(Request::post("/commands/open-account", &opened));
    for round in 1..=ROUNDS {
        let body = format!(r#"{{"accountId":"{id}","amount":{round}}}"#);
        let done = send(Request::post("/commands/deposit", &body));
        let position = done["position"].as_u64().expect("a position");
        let after = position - 1;
        let found = send(Request::get(&format!("/events/stream?after={after}&limit=1")));
        assert_eq!(found[0]["metadata"]["position"], position, "{found}");
        assert_eq!(found[0]["aggregateId"], id, "{found}");
        let account = send(Request::get(&format!("/queries/account/{id}")));
        assert_eq!(account["version"], round + 1, "{account}");
        assert_eq!(account["balance"], 1 + round * (round + 1) / 2, "{account}");
        let before = send(Request::get(&format!("/queries/account/{id}?atVersion={round}")));
        assert_eq!(before["balance"], 1 + round * (round - 1) / 2, "{before}");
    }
}

/// Lists from the end, which have no gaps.
fn read(address: SocketAddr, stop: &AtomicBool) -> u64 {
    let mut client = Client::new(address);
    let mut lists = 0;
    while !stop.load(Ordering::Relaxed) {
        let target = "/events/stream?order=desc&limit=300";
        let answer = client.send(&Request::get(target)).unwrap_or_else(|e| panic!("a reader: {e}"));
        assert_eq!(answer.status, 200, "{}", answer.text());
        let list = answer.json();
        let positions = list.as_array().expect("a list").iter();
        let positions: Vec<u64> =
            positions.map(|event| event["metadata"]["position"].as_u64().unwrap_or(0)).collect();
        assert!(positions.windows(2).all(|pair| pair[0] == pair[1] + 1), "{positions:?}");
        lists += 1;
    }
    lists
}

fn read_beside(host: &mut Host) -> u64 {
    let text = host.get("/metrics").text();
    let count = text.lines().find_map(|line| line.strip_prefix("foldlog_reads_beside_total "));
    count.and_then(|count| count.parse().ok()).expect("the metric is there")
}

const TARGETS: [&str; 8] = [
    "/events/stream?limit=200",
    "/events/stream?type=MoneyDeposited&category=BankAccount&order=desc&limit=200",
    "/events/account/own-1?limit=50",
    "/queries/account/own-2",
    "/queries/account/own-0?atVersion=40",
    "/stats/BankAccount/own-3",
    "/projections/TransactionHistory?limit=100",
    "/projections/AccountBalances",
];

fn answers(host: &mut Host) -> Vec<(u16, String)> {
    let mut answer = |target: &&str| {
        let answer = host.get(target);
        (answer.status, answer.text())
    };
    TARGETS.iter().map(&mut answer).collect()
}

/// Commands and lists at once; how many lists.
fn both(address: SocketAddr) -> u64 {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        let readers: Vec<_> = (0..CLIENTS).map(|_| scope.spawn(|| read(address, &stop))).collect();
        let commands: Vec<_> =
            (0..CLIENTS).map(|n| scope.spawn(move || command(address, n))).collect();
        let ended: Vec<_> = commands.into_iter().map(|client| client.join().is_ok()).collect();
        stop.store(true, Ordering::Relaxed);
        let lists = readers.into_iter().map(|reader| reader.join().expect("a reader")).sum();
        assert!(ended.into_iter().all(|ended| ended), "a client failed");
        lists
    })
}

#[test]
fn reads_in_parts_find_what_was_acknowledged() {
    let mut host = Setup::new(Kind::Worker).set("", "TAIL_EVENTS_MAX", "60").start();
    let lists = both(host.address());
    println!("{lists} lists");
    assert!(lists > 0);
    let before = answers(&mut host);
    host.kill_9();
    host.restart();
    assert_eq!(answers(&mut host), before, "from what is stored");
}

#[test]
fn reads_beside_commands_find_what_was_acknowledged() {
    // Rows are stored every few batches: the reader has to notice each time.
    let mut host = Setup::new(Kind::Native).set("--tail-events-max", "", "60").start();
    let lists = both(host.address());
    let read = read_beside(&mut host);
    println!("{lists} lists, {read} reads beside the writer");
    assert!(lists > 0 && read > CLIENTS * ROUNDS, "most reads were not the writer's");

    let beside = answers(&mut host);
    let now = read_beside(&mut host);
    assert_eq!(now, read + TARGETS.len() as u64, "these too were answered beside it");
    let file = host.sqlite();
    host.stop();
    let wal = file.with_extension("sqlite-wal");
    assert!(!wal.exists(), "the writer's connection was the last one");
    host.restart();
    assert_eq!(answers(&mut host), beside, "by the writer alone");
    assert_eq!(read_beside(&mut host), 0);
}
