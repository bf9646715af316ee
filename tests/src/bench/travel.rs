//! Looking back: states of a long stream as of old versions, and lookups in a large log.
//!
//! Owns a partition on the native host in which one account has a hundred thousand events and all
//! accounts together the rest. Each figure is a first look: the host was started again before. States
//! of old versions are also asked for after the host showed another account as of then: that leaves
//! out what a process does once.

use std::time::Instant;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use serde_json::Value;

use super::load::{Load, Until, deposit_request, open_accounts, run as run_load};
use super::report::{Report, median};
use super::{ACCOUNTS, Failure, commands};

/// Events of the long stream.
const LONG: u64 = 100_000;

/// Measures time travel and lookups.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    let mut host = Setup::new(Kind::Native).start();
    open_accounts(host.address(), 64, ACCOUNTS)?;
    load(&host, LONG, |_| 7)?;
    let others = commands().saturating_sub(LONG);
    load(&host, others, |random| random % ACCOUNTS)?;
    let named = Request::post(
        "/commands/deposit",
        r#"{"accountId":"acc-00000001","amount":1,"eventIds":["named"]}"#,
    );
    let named = named.header("X-Correlation-Id", "rare");
    let answer = host.send(&named);
    if answer.status != 200 {
        return Err(format!("status {}: {}", answer.status, answer.text()).into());
    }
    for version in [1, 25_000, 50_000, 99_999] {
        let target = format!("/queries/account/acc-00000007?atVersion={version}");
        for (how, other) in [
            ("", Some("/queries/account/acc-00000009?atVersion=2")),
            (", the process's first answer", None),
        ] {
            let name = format!("state as of version {version} of 100,000{how} (goal 5)");
            report.single(&name, "ms", &[first(&mut host, &target, other)?]);
        }
    }
    let time = time_in_the_middle(&mut host)?;
    for (name, target) in [
        ("event by id", "/events/id/named".to_string()),
        ("events by correlation", "/events/stream?correlationId=rare".into()),
        (
            "events by type, newest 10",
            "/events/stream?type=AccountOpened&order=desc&limit=10".into(),
        ),
        ("events by time, first 10", format!("/events/stream?from={time}&limit=10")),
    ] {
        report.single(name, "ms", &[first(&mut host, &target, None)?]);
    }
    Ok(())
}

/// When the middle of the log was recorded.
fn time_in_the_middle(host: &mut Host) -> Result<String, Failure> {
    let middle = commands() / 2;
    let events: Value =
        serde_json::from_str(&host.get(&format!("/events/stream?after={middle}&limit=1")).text())?;
    let time = events.pointer("/0/metadata/timestamp").and_then(Value::as_str);
    Ok(time.ok_or("no event in the middle")?.into())
}

fn load(
    host: &Host,
    requests: u64,
    account: impl Fn(u64) -> u64 + Send + 'static,
) -> Result<(), Failure> {
    let until = Until::Requests(requests);
    let load = Load { addr: host.address(), connections: 64, until, warm_up_requests: 0 };
    let mut random = 99_u64;
    run_load(load, move |_, out| {
        random =
            random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        deposit_request(account(random >> 33), 1, out);
    })?;
    Ok(())
}

/// The median of five first looks, each by a host that was just started and was asked for something
/// other before, or not.
fn first(host: &mut Host, target: &str, other: Option<&str>) -> Result<f64, Failure> {
    let mut found = Vec::new();
    for _ in 0..5 {
        host.stop();
        host.restart();
        // The connection and the partition are open; what is asked for was not looked at.
        host.get("/log/head");
        other.map(|other| host.get(other));
        let started = Instant::now();
        let answer = host.get(target);
        found.push(started.elapsed().as_secs_f64() * 1e3);
        if answer.status != 200 {
            return Err(format!("{target}: status {}", answer.status).into());
        }
    }
    Ok(median(&found))
}
