//! Many partitions on one native host, and what sick ones cost their neighbours.
//!
//! Owns 10,000 partitions of which few may be open, and three kinds of sick ones: one whose log is
//! damaged, one on a full disk, one that is flooded. Ratios only: nothing here passes or fails.

use std::fs;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup};

use super::load::{Load, Until, deposit_request, give_way, open_accounts, run as run_load};
use super::report::{Pair, Report};
use super::{ACCOUNTS, Failure};

const PARTITIONS: usize = 10_000;
const CLIENTS: usize = 16;
/// How long one turn lasts, and the connections of the neighbour that is measured.
const TURN: Duration = Duration::from_secs(2);
const NEIGHBOUR_CONNECTIONS: usize = 4;
/// Connections to a partition that is flooded, and to one that does not open.
const FLOOD: usize = 32;
const ASKING: usize = 4;

/// Measures both.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    many(report)?;
    damaged(report)?;
    full(report)?;
    flooded(report)
}

/// One command to each of them, then all of them found again by a fresh process.
fn many(report: &mut Report) -> Result<(), Failure> {
    let mut host = Setup::new(Kind::Native).start();
    let (next, address, started) = (AtomicUsize::new(0), host.address(), Instant::now());
    let failed = AtomicUsize::new(0);
    thread::scope(|scope| {
        for _ in 0..CLIENTS {
            scope.spawn(|| {
                let mut client = Client::new(address).timeout(Duration::from_secs(60));
                loop {
                    let n = next.fetch_add(1, Ordering::Relaxed);
                    if n >= PARTITIONS {
                        return;
                    }
                    let target = format!("/p/p-{n}/commands/open-account");
                    let answer = client.send(&Request::post(&target, r#"{"accountId":"a"}"#));
                    if answer.map_or(0, |answer| answer.status) != 201 {
                        failed.fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    if failed.load(Ordering::Relaxed) > 0 {
        return Err(format!("{} partitions did not begin", failed.load(Ordering::Relaxed)).into());
    }
    let seconds = started.elapsed().as_secs_f64();
    report.single(
        "10,000 partitions, 64 open: begun",
        "partitions/s",
        &[PARTITIONS as f64 / seconds],
    );
    let peak = host.memory_peak();
    let peak = peak.split(' ').next().and_then(|kib| kib.parse::<f64>().ok()).unwrap_or(f64::NAN);
    report.single("10,000 partitions, 64 open: peak of the process", "MiB", &[peak / 1024.0]);
    host.kill_9();
    let started = Instant::now();
    host.restart();
    report.single("10,000 partitions: start to first answer", "ms", &[millis(started)]);
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

/// p99 of a partition alone, in microseconds.
fn p99(host: &Host) -> Result<f64, Failure> {
    let (connections, until) = (NEIGHBOUR_CONNECTIONS, Until::Elapsed(TURN));
    let load = Load { addr: host.address(), connections, until, warm_up_requests: 100 };
    let mut n = 0_u64;
    let measured = run_load(load, move |_, out| {
        n = n.wrapping_add(7_919);
        deposit_request(n % ACCOUNTS, 1, out);
    })?;
    match measured.first_refusal {
        None => Ok(f64::from(measured.p99_us)),
        Some(text) => Err(format!("a neighbour was refused: {text}").into()),
    }
}

/// The same while clients ask a sick partition for something, over and over.
fn p99_beside(host: &Host, clients: usize, target: &str, body: &str) -> Result<f64, Failure> {
    let stop = AtomicBool::new(false);
    thread::scope(|scope| {
        for _ in 0..clients {
            let (stop, mut client) = (&stop, host.client());
            scope.spawn(move || {
                // A client of its own machine would not be slower for it.
                let _ = give_way();
                while !stop.load(Ordering::Relaxed) {
                    // Whatever it answers: it is asked again.
                    let _ = client.send(&Request::post(target, body));
                }
            });
        }
        let measured = p99(host);
        stop.store(true, Ordering::Relaxed);
        measured
    })
}

fn compare(report: &mut Report, host: &Host, name: &str, clients: usize) -> Result<(), Failure> {
    let body = r#"{"accountId":"a","amount":1}"#;
    let pair = Pair::measure(
        || p99_beside(host, clients, "/p/sick/commands/deposit", body),
        || p99(host),
    )?;
    report.pair(&format!("p99 beside a partition that {name} / alone"), "µs", &pair);
    Ok(())
}

fn begun(setup: Setup) -> Result<Host, Failure> {
    let mut host = setup.start();
    open_accounts(host.address(), 16, ACCOUNTS)?;
    let opened = host.post("/p/sick/commands/open-account", r#"{"accountId":"a"}"#);
    if opened.status == 201 { Ok(host) } else { Err(opened.text().into()) }
}

fn damaged(report: &mut Report) -> Result<(), Failure> {
    let mut host = begun(Setup::new(Kind::Native))?;
    host.stop();
    let file = host.data().join("sick.sqlite");
    let bytes = fs::metadata(&file)?.len();
    fs::write(&file, vec![b'x'; usize::try_from(bytes)?])?;
    host.restart();
    compare(report, &host, "does not open", ASKING)
}

/// Its file is on a small disk of its own.
fn full(report: &mut Report) -> Result<(), Failure> {
    let mut setup = Setup::new(Kind::Native);
    setup.disk = Some(("sick", 3 << 20));
    let mut host = begun(setup)?;
    let note = "lorem ipsum ".repeat(20);
    let deposit = Request::post("/p/sick/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    let deposit =
        (0..12).fold(deposit, |request, k| request.header(&format!("Foldlog-Meta-N-{k}"), &note));
    while host.send(&deposit).status == 200 {}
    compare(report, &host, "has a full disk", ASKING)
}

fn flooded(report: &mut Report) -> Result<(), Failure> {
    let host = begun(Setup::new(Kind::Native))?;
    compare(report, &host, "is flooded", FLOOD)
}
