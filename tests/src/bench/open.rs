//! How soon a large partition answers: after a graceful stop, and after a kill under load.
//!
//! Owns a log of a million events on the native host. Times are from the start of the process.

use std::time::{Duration, Instant};

use foldlog_tests::hosts::{Host, Kind, Setup};

use super::load::{Load, Until, deposit_request, open_accounts, run as run_load};
use super::report::{Report, median};
use super::{ACCOUNTS, Failure, commands};

/// Kills under load.
const KILLS: u64 = 7;

/// Measures opening, a decision on a cold account, and its query.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    let mut host = Setup::new(Kind::Native).start();
    open_accounts(host.address(), 64, ACCOUNTS)?;
    load(&host, Until::Requests(commands()))?;
    // A graceful stop takes its checkpoint first.
    host.stop();
    report.single("start to first answer after a graceful stop", "ms", &[first_answer(&mut host)?]);
    let (decide, query) = cold(&mut host)?;
    report.single("first decision after start, on a cold account", "ms", &decide[..1]);
    report.single(
        "decisions on further cold accounts, median of 20",
        "ms",
        &[median(&decide[1..])],
    );
    report.single("queries of cold accounts, up to 100 transactions", "ms", &[median(&query)]);
    // What is folded then are the events since the rows were stored last: up to 60,000, or none.
    let mut after_kills = Vec::new();
    for kill in 0..KILLS {
        load(&host, Until::Elapsed(Duration::from_millis(2_000 + 431 * kill)))?;
        host.kill_9();
        after_kills.push(first_answer(&mut host)?);
    }
    report.single("start to first answer after a kill under load", "ms", &after_kills);
    Ok(())
}

fn load(host: &Host, until: Until) -> Result<(), Failure> {
    let load = Load { addr: host.address(), connections: 64, until, warm_up_requests: 0 };
    let mut random = 99_u64;
    run_load(load, move |_, out| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        deposit_request((random >> 33) % ACCOUNTS, 1, out);
    })?;
    Ok(())
}

fn millis(since: Instant) -> f64 {
    since.elapsed().as_secs_f64() * 1e3
}

fn first_answer(host: &mut Host) -> Result<f64, Failure> {
    let started = Instant::now();
    host.restart();
    let answer = host.get("/queries/account/acc-00000001");
    if answer.status == 200 {
        Ok(millis(started))
    } else {
        Err(format!("status {}", answer.status).into())
    }
}

/// Milliseconds of deposits to accounts that this process has not touched, and of queries of
/// others. The first deposit also makes the database's write-ahead log.
fn cold(host: &mut Host) -> Result<(Vec<f64>, Vec<f64>), Failure> {
    let (mut decide, mut query) = (Vec::new(), Vec::new());
    for n in 0..21 {
        let body = format!(r#"{{"accountId":"acc-{:08}","amount":1}}"#, 4_711 + 2 * n);
        let started = Instant::now();
        let answer = host.post("/commands/deposit", &body);
        decide.push(millis(started));
        let started = Instant::now();
        let shown = host.get(&format!("/queries/account/acc-{:08}", 4_712 + 2 * n));
        query.push(millis(started));
        if answer.status != 200 || shown.status != 200 {
            return Err(format!("statuses {} and {}", answer.status, shown.status).into());
        }
    }
    Ok((decide, query))
}
