//! Commands a second over HTTP: the native host and ours in workerd, each against the peer. And the
//! least that a Worker can do with a command: ours can not be faster than that.
//!
//! Owns the servers and the turns between them. Deposits go to random accounts, keep-alive.

use std::net::SocketAddr;
use std::time::Duration;

use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Scratch, built, root};

use super::load::{Load, Measured, Until, deposit_request, open_accounts, run as run_load};
use super::peer::Peer;
use super::report::{Pair, Report, median};
use super::{ACCOUNTS, Failure};

/// How long one turn lasts.
const TURN: Duration = Duration::from_secs(2);
/// Requests before a turn is measured.
const WARM_UP: u64 = 200;

/// Measures both hosts at 1, 16 and 64 connections.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    let dir = Scratch::new("peer");
    let workerd = built(root().join("build/tools/workerd"), "make worker");
    let config = |name: &str| root().join("tests/bench").join(name).join("config.capnp");
    let peer = Peer::start(&workerd, &config("peer"), dir.path())?;
    open_accounts(peer.addr(), 16, ACCOUNTS)?;
    for (name, kind) in [("native", Kind::Native), ("ours in workerd", Kind::Worker)] {
        let host: Host = Setup::new(kind).start();
        open_accounts(host.address(), 64, ACCOUNTS)?;
        for connections in [1, 16, 64] {
            compare(report, name, host.address(), peer.addr(), connections)?;
        }
    }
    let dir = Scratch::new("least");
    let least = Peer::start(&workerd, &config("least"), dir.path())?;
    for connections in [1, 16, 64] {
        compare(report, "the least in workerd", least.addr(), peer.addr(), connections)?;
    }
    Ok(())
}

fn compare(
    report: &mut Report,
    name: &str,
    ours: SocketAddr,
    peer: SocketAddr,
    connections: usize,
) -> Result<(), Failure> {
    let (mut p50, mut p99) = (Vec::new(), Vec::new());
    let pair = Pair::measure(
        || {
            let measured = turn(ours, connections)?;
            p50.push(f64::from(measured.p50_us));
            p99.push(f64::from(measured.p99_us));
            Ok::<f64, Failure>(measured.per_s)
        },
        || Ok(turn(peer, connections)?.per_s),
    )?;
    report.pair(&format!("{name} / peer, {connections} connections"), "commands/s", &pair);
    report.single(&format!("{name}, {connections} connections, p50"), "µs", &[median(&p50)]);
    report.single(&format!("{name}, {connections} connections, p99"), "µs", &[median(&p99)]);
    Ok(())
}

fn turn(addr: SocketAddr, connections: usize) -> Result<Measured, Failure> {
    let load = Load { addr, connections, until: Until::Elapsed(TURN), warm_up_requests: WARM_UP };
    let mut random = 88_172_645_463_325_252_u64;
    let measured = run_load(load, move |_, out| {
        random ^= random << 13;
        random ^= random >> 7;
        random ^= random << 17;
        deposit_request(random % ACCOUNTS, 1 + random % 1_000, out);
    })?;
    match measured.first_refusal {
        None => Ok(measured),
        Some(text) => Err(format!("a command was refused: {text}").into()),
    }
}
