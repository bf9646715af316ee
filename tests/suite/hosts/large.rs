//! A partition larger than memory (law 8): 200,000 accounts with room for about 10,000 rows.
//!
//! Owns filling it over many connections and looking at accounts that are surely cold. The native
//! file grows beyond 128 MB, a whole Durable Object's memory.

use std::net::SocketAddr;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Random, seed};

use super::crash::verify;

const ACCOUNTS: usize = 200_000;
const CONNECTIONS: usize = 64;
/// Requests written before their answers are read.
const PIPELINE: usize = 25;
/// About 10,000 rows of the bank: an id, a state, and what the maps around them take.
const ROW_CACHE_BYTES: u64 = 2 << 20;
const FILE_BYTES: u64 = 128 << 20;

fn id(n: usize) -> String {
    // Scattered, so that neighbours in time are no neighbours in the file.
    format!("acc-{:06}", n * 7_919 % ACCOUNTS)
}

/// Sends `count` requests over many connections; all must have this status.
fn send_all(
    address: SocketAddr,
    count: usize,
    status: u16,
    make: &(dyn Fn(usize) -> Request + Sync),
) {
    let next = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CONNECTIONS {
            scope.spawn(|| {
                let mut client = Client::new(address).timeout(Duration::from_secs(60));
                loop {
                    let from = next.fetch_add(PIPELINE, Ordering::Relaxed);
                    if from >= count {
                        return;
                    }
                    let requests: Vec<Request> =
                        (from..(from + PIPELINE).min(count)).map(make).collect();
                    let answers =
                        client.pipeline(&requests).unwrap_or_else(|e| panic!("{from}: {e}"));
                    for (request, answer) in requests.iter().zip(answers) {
                        assert_eq!(answer.status, status, "{}: {}", request.target, answer.text());
                    }
                }
            });
        }
    });
}

fn open(n: usize) -> Request {
    let body = format!(r#"{{"accountId":"{}","initialBalance":{n}}}"#, id(n));
    Request::post("/commands/open-account", &body)
}

/// With metadata, as chatty callers send it: the file grows, the rows do not.
fn deposit(n: usize) -> Request {
    let body = format!(r#"{{"accountId":"{}","amount":1}}"#, id(n));
    let request = Request::post("/commands/deposit", &body);
    (0..4).fold(request, |request, k| {
        request.header(&format!("Foldlog-Meta-Note-{k}"), &"lorem ipsum ".repeat(20))
    })
}

fn megabytes(host: &Host) -> u64 {
    let size = std::fs::metadata(host.sqlite()).map(|file| file.len());
    size.unwrap_or_else(|e| panic!("{e}")) >> 20
}

/// Accounts no one touched for a long time: read, changed, read again.
fn cold_accounts(host: &mut Host, random: &mut Random, deposits: u64) {
    for _ in 0..200 {
        let n = random.below(ACCOUNTS);
        let path = format!("/queries/account/{}", id(n));
        let before = host.get(&path).json()["balance"].as_u64().unwrap_or_default();
        assert!((n as u64..=n as u64 + deposits).contains(&before), "{path}: {before}");
        let body = format!(r#"{{"accountId":"{}","amount":5}}"#, id(n));
        assert_eq!(host.post("/commands/deposit", &body).status, 200, "{path}");
        assert_eq!(host.get(&path).json()["balance"], before + 5, "{path}");
        let refused =
            host.post("/commands/open-account", &body.replace("amount", "initialBalance"));
        assert_eq!(refused.status, 409, "{path}: {}", refused.text());
    }
}

fn large(kind: Kind) {
    let mut random = Random(seed(&format!("large partition on {kind:?}")));
    let mut setup = Setup::new(kind);
    if kind == Kind::Native {
        setup = setup.set("--row-cache-max", "", ROW_CACHE_BYTES);
    }
    let (mut host, started) = (setup.start(), Instant::now());
    send_all(host.address(), ACCOUNTS, 201, &open);
    println!(
        "{kind:?}: {ACCOUNTS} accounts after {:?}, file {} MB",
        started.elapsed(),
        megabytes(&host)
    );
    let stats = host.get("/stats?limit=1").json();
    assert_eq!(stats["totalAggregates"], ACCOUNTS, "{kind:?}: {stats}");
    cold_accounts(&mut host, &mut random, 1_000);
    let mut rounds = 0;
    while kind == Kind::Native && megabytes(&host) <= FILE_BYTES >> 20 {
        send_all(host.address(), ACCOUNTS / 8, 200, &move |n| deposit(n * 8 + rounds));
        rounds += 1;
        assert!(rounds < 20, "the file does not grow: {} MB", megabytes(&host));
    }
    cold_accounts(&mut host, &mut random, 2_000);
    println!("{kind:?}: file {} MB, peak of the process {}", megabytes(&host), host.memory_peak());
    let page = host.get("/projections/AccountBalances?limit=1000&after=acc-150000").json();
    let balances = page["data"]["balances"].as_object().map(serde_json::Map::len);
    assert_eq!(balances, Some(1_000), "{kind:?}");
    host.kill_9();
    let opening = Instant::now();
    host.restart();
    let answer = host.get("/queries/account/acc-000000");
    assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text());
    println!("{kind:?}: answers {:?} after it was started again", opening.elapsed());
    cold_accounts(&mut host, &mut random, 3_000);
    host.kill_9();
    verify(&host, &format!("{kind:?}, {ACCOUNTS} accounts"));
    println!("{kind:?}: all of it took {:?}", started.elapsed());
}

#[test]
fn a_large_partition_on_native() {
    large(Kind::Native);
}

#[test]
fn a_large_partition_on_the_worker() {
    large(Kind::Worker);
}
