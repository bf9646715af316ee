//! Commands beside other work: how long they wait while others read much, and while a projection
//! is rebuilt.
//!
//! Owns the partition that is read and the turns: commands alone, then beside it, and so on. What
//! is asked of reads and goals is printed with the figures; nothing here passes or fails.

use std::net::SocketAddr;
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};

use super::load::{
    Load, Measured, Until, deposit_request, get_request, give_way, open_accounts, run as run_load,
};
use super::report::{Pair, Report, median};
use super::{ACCOUNTS, Failure, commands};

/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// Readers begin so much earlier than the commands beside them.
const HEAD_START: Duration = Duration::from_millis(300);
/// Requests before a turn is measured.
const WARM_UP: u64 = 100;
/// Clients that command, and that read.
const COMMANDING: usize = 4;
const READING: usize = 16;
/// The projection that is rebuilt.
const REBUILT: &str = "TransactionHistory";

/// Measures both hosts beside readers.
pub fn reads(report: &mut Report) -> Result<(), Failure> {
    for (name, kind) in [("native", Kind::Native), ("ours in workerd", Kind::Worker)] {
        let events = commands().min(200_000);
        let host = filled(kind, events)?;
        let addr = host.address();
        let (mut reads, mut alone) = (Vec::new(), Vec::new());
        let pair = Pair::measure(
            || {
                let readers = thread::spawn(move || read(addr, events));
                thread::sleep(HEAD_START);
                let measured = turn(addr)?;
                let read = readers.join().map_err(|_| "the readers panicked")??;
                reads.push(read.per_s);
                Ok::<f64, Failure>(f64::from(measured.p99_us))
            },
            || {
                let p99 = f64::from(turn(addr)?.p99_us);
                alone.push(p99);
                Ok(p99)
            },
        )?;
        let of = format!("{name}: command p99 beside {READING} readers / alone (goal 2.0)");
        report.pair(&of, "µs", &pair);
        report.single(&format!("{name}: reads beside commands"), "reads/s", &reads);
    }
    Ok(())
}

/// Measures a rebuild, and commands beside it.
pub fn rebuild(report: &mut Report) -> Result<(), Failure> {
    let host = filled(Kind::Native, commands())?;
    let addr = host.address();
    let mut rates = Vec::new();
    let pair = Pair::measure(
        || {
            let timed = thread::spawn(move || rebuilt(addr));
            // Commands for as long as it takes.
            let mut p99 = Vec::new();
            while !timed.is_finished() {
                p99.push(f64::from(turn_of(addr, TURN / 4)?.p99_us));
            }
            let rate = timed.join().map_err(|_| "the rebuild panicked")??;
            rates.push(rate);
            // The last turn outlasts it.
            p99.truncate(p99.len().saturating_sub(1).max(1));
            Ok::<f64, Failure>(median(&p99) / 1e3)
        },
        || Ok(f64::from(turn(addr)?.p99_us) / 1e3),
    )?;
    report.pair("command p99 beside a rebuild / alone", "ms", &pair);
    let more = median(&pair.a) - median(&pair.b);
    report.single("command p99 beside a rebuild, more than alone (goal 10)", "ms", &[more]);
    report.single("rebuild beside commands (goal 100,000)", "events/s", &rates);
    let idle = (0..3).map(|_| rebuilt(addr)).collect::<Result<Vec<_>, _>>()?;
    report.single("rebuild alone", "events/s", &idle);
    Ok(())
}

/// A host with that many events, half of them one account's.
fn filled(kind: Kind, events: u64) -> Result<Host, Failure> {
    let host = Setup::new(kind).start();
    open_accounts(host.address(), 64, ACCOUNTS)?;
    let until = Until::Requests(events.saturating_sub(ACCOUNTS));
    let load = Load { addr: host.address(), connections: 64, until, warm_up_requests: 0 };
    run_load(load, move |i, out| {
        deposit_request(if i % 2 == 0 { 7 } else { i / 2 % ACCOUNTS }, 1, out);
    })?;
    Ok(host)
}

fn turn(addr: SocketAddr) -> Result<Measured, Failure> {
    turn_of(addr, TURN)
}

fn turn_of(addr: SocketAddr, time: Duration) -> Result<Measured, Failure> {
    let until = Until::Elapsed(time);
    let load = Load { addr, connections: COMMANDING, until, warm_up_requests: WARM_UP };
    succeeded(run_load(load, |i, out| deposit_request(i * 7_919 % ACCOUNTS, 1, out))?)
}

/// Reads of all kinds, a little longer than a turn.
fn read(addr: SocketAddr, events: u64) -> Result<Measured, String> {
    give_way().map_err(|e| e.to_string())?;
    let until = Until::Elapsed(TURN + HEAD_START);
    let load = Load { addr, connections: READING, until, warm_up_requests: 0 };
    let measured = run_load(load, move |i, out| {
        let after = i * 104_729 % events.saturating_sub(1_000).max(1);
        let target = match i % 5 {
            0 => format!("/events/stream?limit=1000&after={after}"),
            1 => format!("/projections/{REBUILT}?limit=1000&after={after}"),
            2 => "/stats?limit=1000".into(),
            3 => format!("/queries/account/acc-00000007?atVersion={}", 1 + after % (events / 4)),
            _ => "/events/stream?type=MoneyDeposited&category=BankAccount&order=desc&limit=1000"
                .into(),
        };
        get_request(&target, out);
    });
    let measured = measured.map_err(|e| e.to_string())?;
    succeeded(measured).map_err(|e| e.to_string())
}

fn succeeded(measured: Measured) -> Result<Measured, Failure> {
    match measured.first_refusal {
        None => Ok(measured),
        Some(text) => Err(format!("a request was refused: {text}").into()),
    }
}

/// Rebuilds and waits for the end; events a second.
fn rebuilt(addr: SocketAddr) -> Result<f64, String> {
    let mut client = foldlog_tests::client::Client::new(addr);
    let started = Instant::now();
    let body = format!(r#"{{"name":"{REBUILT}"}}"#);
    let mut send = |request| client.send(&request).map_err(|e| e.to_string());
    let begun = send(Request::post("/projections/rebuild", &body))?;
    if begun.status != 202 {
        return Err(format!("status {}: {}", begun.status, begun.text()));
    }
    loop {
        let shown = send(Request::get(&format!("/projections/{REBUILT}?limit=1")))?;
        if shown.text().contains("\"state\":\"live\"") {
            let head = send(Request::get("/log/head"))?;
            let head: serde_json::Value =
                serde_json::from_str(&head.text()).map_err(|e| e.to_string())?;
            let events = head.get("position").and_then(serde_json::Value::as_f64);
            return Ok(events.unwrap_or_default() / started.elapsed().as_secs_f64());
        }
        thread::sleep(Duration::from_millis(5));
    }
}
