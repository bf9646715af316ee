//! Killed between the steps of transfers: each ends, and no money is made or lost.
//!
//! Symptom to look for: a transfer that stays on its way for ever, one that is debited twice, one
//! that is neither credited nor refunded. Owns ten kills of each host under transfers alone, small
//! batches, so that steps of one transfer are in several blocks and kills come between them.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Random, seed};
use rusqlite::{Connection, OpenFlags};

use super::crash::verify;

const KILLS: usize = 10;
const CLIENTS: usize = 6;
const ACCOUNTS: usize = 4;
/// Little enough that debits are refused, too.
const EACH: u64 = 300;

/// Sends transfers until it is stopped or gets no answer; some go to an account that is closed.
fn client(address: SocketAddr, name: String, seed: u64, stop: &AtomicBool) -> Vec<Request> {
    let mut client = Client::new(address).timeout(Duration::from_secs(10));
    let mut random = Random(seed);
    let mut sent = Vec::new();
    for k in 0.. {
        if stop.load(Ordering::Relaxed) {
            break;
        }
        let from = random.below(ACCOUNTS);
        let to = match random.below(5) {
            0 => "closed".to_string(),
            n => format!("acc-{}", (from + 1 + n % (ACCOUNTS - 1)) % ACCOUNTS),
        };
        let amount = 1 + random.below(120);
        let body = format!(
            r#"{{"transferId":"{name}-{k}","fromAccountId":"acc-{from}","toAccountId":"{to}","amount":{amount}}}"#
        );
        let request = Request::post("/commands/transfer", &body)
            .header("Idempotency-Key", &format!("{name}-{k}"));
        let answer = client.send(&request);
        sent.push(request);
        match answer {
            Ok(answer) if answer.status == 202 => {}
            Ok(answer) if answer.status != 503 => panic!("{body}: {}", answer.text()),
            // Only the last one can be unknown: it is sent again.
            _ => break,
        }
    }
    sent
}

/// Transfers that the file shows on their way: those of its `Transfer` streams without an end.
fn on_their_way(host: &Host) -> i64 {
    // Opened to write: what a killed host left in the journal is read back first.
    let file = Connection::open_with_flags(host.sqlite(), OpenFlags::SQLITE_OPEN_READ_WRITE);
    let count = file.and_then(|file| {
        let select = "SELECT \
            coalesce(sum(lss_type = 'TransferRequested'), 0) \
            - coalesce(sum(lss_type IN ('TransferCompleted', 'TransferFailed')), 0) FROM lss";
        file.query_row(select, (), |row| row.get(0))
    });
    count.unwrap_or_else(|e| panic!("{}: {e}", host.sqlite().display()))
}

/// Every transfer ends by itself, soon; what it came to.
fn settle(host: &mut Host, ids: &[String], when: &str) -> Vec<(String, String)> {
    let until = Instant::now() + Duration::from_secs(20);
    let mut ended = Vec::new();
    for id in ids {
        loop {
            let shown = host.get(&format!("/queries/transfer/{id}")).json();
            let status = shown["status"].as_str().unwrap_or_default().to_string();
            if status == "completed" || status == "failed" {
                ended.push((id.clone(), status));
                break;
            }
            assert!(Instant::now() < until, "{when}: {id} does not end: {shown}");
            thread::sleep(Duration::from_millis(20));
        }
    }
    ended
}

/// Balances are what the completed transfers make of the first ones, and each event came once.
fn conserved(host: &mut Host, when: &str) {
    let mut sum = 0;
    for account in 0..ACCOUNTS {
        let shown = host.get(&format!("/queries/account/acc-{account}")).json();
        sum += shown["balance"].as_u64().unwrap_or_else(|| panic!("{when}: {shown}"));
    }
    assert_eq!(sum, EACH * ACCOUNTS as u64, "{when}: money was made or lost");
    let shown = host.get("/projections/AccountBalances").json();
    let balances = shown["data"]["balances"].as_object().cloned().unwrap_or_default();
    let projected: u64 = balances.values().filter_map(|b| b["balance"].as_u64()).sum();
    assert_eq!(projected, sum, "{when}: the projection shows {shown}");
}

/// No transfer was debited, credited or refunded twice.
fn each_step_once(host: &Host, when: &str) {
    let file = Connection::open_with_flags(host.sqlite(), OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|e| panic!("{when}: {e}"));
    let select = "SELECT lss_type, lss_data ->> '$.transferId', count(*) FROM lss \
        WHERE lss_type LIKE 'TransferMoney%' GROUP BY 1, 2";
    let mut statement = file.prepare(select).unwrap_or_else(|e| panic!("{when}: {e}"));
    let rows = statement.query_map((), |row| {
        Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?, row.get::<_, i64>(2)?))
    });
    let rows: Result<Vec<_>, _> = rows.and_then(Iterator::collect);
    let mut steps: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for (step, transfer, count) in rows.unwrap_or_else(|e| panic!("{when}: {e}")) {
        assert_eq!(count, 1, "{when}: {transfer}: {step} came {count} times");
        steps.entry(transfer).or_default().push(step);
    }
    for (transfer, steps) in steps {
        assert_eq!(steps.len(), 2, "{when}: {transfer} was debited and has {steps:?}");
    }
}

fn killed_between_steps(kind: Kind) {
    let mut random = Random(seed(&format!("transfers of {kind:?}")));
    let setup = Setup::new(kind).set("--batch-commands-max", "BATCH_COMMANDS_MAX", 2);
    let mut host = setup.start();
    let open = |id: &str, balance: u64| {
        Request::post(
            "/commands/open-account",
            &format!(r#"{{"accountId":"{id}","initialBalance":{balance}}}"#),
        )
    };
    for account in 0..ACCOUNTS {
        assert_eq!(host.send(&open(&format!("acc-{account}"), EACH)).status, 201);
    }
    assert_eq!(host.send(&open("closed", 0)).status, 201);
    assert_eq!(host.post("/commands/close-account", r#"{"accountId":"closed"}"#).status, 200);
    let (mut ids, mut between) = (Vec::new(), 0);
    for run in 0..KILLS {
        let when = format!("{kind:?}, kill {run}");
        let stop = Arc::new(AtomicBool::new(false));
        let clients: Vec<_> = (0..CLIENTS)
            .map(|n| {
                let (stop, address) = (Arc::clone(&stop), host.address());
                let (name, seed) = (format!("t-{run}-{n}"), random.below(1 << 30) as u64 + 1);
                thread::spawn(move || client(address, name, seed, &stop))
            })
            .collect();
        thread::sleep(Duration::from_millis(60 + random.below(200) as u64));
        host.kill_9();
        stop.store(true, Ordering::Relaxed);
        let sent: Vec<Vec<Request>> =
            clients.into_iter().map(|client| client.join().expect("a client ends")).collect();
        verify(&host, &when);
        between += i64::from(on_their_way(&host) > 0);
        host.restart();
        for (n, requests) in sent.iter().enumerate() {
            for (k, request) in requests.iter().enumerate() {
                // Known or not: its key tells, and sent again it changes nothing.
                if k + 1 == requests.len() {
                    let answer = host.send(request);
                    assert_eq!(answer.status, 202, "{when}: {}", answer.text());
                }
                ids.push(format!("t-{run}-{n}-{k}"));
            }
        }
        settle(&mut host, &ids, &when);
        conserved(&mut host, &when);
    }
    let ended = settle(&mut host, &ids, "in the end");
    let completed = ended.iter().filter(|(_, status)| status == "completed").count();
    assert!(between > 0, "{kind:?}: no kill came between the steps of a transfer");
    assert!(completed > 20 && completed < ended.len(), "{kind:?}: {completed} of {}", ended.len());
    host.kill_9();
    let when = format!("{kind:?}, in the end");
    verify(&host, &when);
    assert_eq!(on_their_way(&host), 0, "{when}");
    each_step_once(&host, &when);
    println!("{kind:?}: {} transfers, {completed} completed, {between} kills between", ids.len());
}

#[test]
fn native_ends_transfers_after_kills() {
    killed_between_steps(Kind::Native);
}

#[test]
fn the_worker_ends_transfers_after_kills() {
    killed_between_steps(Kind::Worker);
}
