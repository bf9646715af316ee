//! Deliveries to consumers: how soon one begins after its commit, alone and beside receivers that
//! hang, and how fast a backlog gets through.
//!
//! Owns local receivers that answer at once. Goals are printed with the figures; nothing here passes
//! or fails.

use std::sync::mpsc::{Receiver as Arrivals, channel};
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::receiver::{Receiver, Say};
use serde_json::json;

use super::Failure;
use super::report::Report;

const ONE_BY_ONE: usize = 1_000;
const BACKLOG: usize = 200_000;
const BATCH: usize = 1_000;
const RUNS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures both hosts; one that hangs holds a slot, of which the Worker has 6.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    for (name, kind, bad) in [("native", Kind::Native, 50), ("ours in workerd", Kind::Worker, 5)] {
        let mut host = start(kind)?;
        let good = Counting::start();
        good.register(&mut host)?;
        let mut told = |what: String, times: &mut [f64]| {
            times.sort_by(f64::total_cmp);
            for share in [50, 99] {
                let at = times.get(times.len() * share / 100).copied().unwrap_or(f64::NAN);
                report.single(&format!("{name}, {what}, p{share}"), "ms", &[at]);
            }
        };
        told("commit to delivery (goal p99 10)".into(), &mut delays(&mut host, &good)?);
        let hangs = Receiver::start(|_, _| Say::Nothing);
        for _ in 0..bad {
            register(&mut host, &hangs.url(), "retry")?;
        }
        told(format!("the same beside {bad} that hang"), &mut delays(&mut host, &good)?);
        drop(host);
        let rates = (0..RUNS).map(|_| backlog(kind)).collect::<Result<Vec<f64>, Failure>>()?;
        let goal = if kind == Kind::Native { " (goal 20,000)" } else { "" };
        let what = format!("{name}, events delivered in batches of 100{goal}");
        report.single(&what, "events/s", &rates);
    }
    Ok(())
}

/// A host with the topic.
fn start(kind: Kind) -> Result<Host, Failure> {
    let setup = Setup::new(kind).environment("FOLDLOG_SECRET", "of-the-bench-alone");
    let mut host = setup.environment("ALLOW_PRIVATE_CALLBACKS", "true").start();
    let schema = r#"{"type":"n","properties":{"n":{"type":"integer"}},"required":["n"]}"#;
    done(&mut host, "/topics", &format!(r#"{{"name":"measured","schemas":[{schema}]}}"#))?;
    Ok(host)
}

fn done(host: &mut Host, path: &str, body: &str) -> Result<(), Failure> {
    let answer = host.send(&Request::post(path, body));
    if answer.status < 300 { Ok(()) } else { Err(answer.text().into()) }
}

fn register(host: &mut Host, callback: &str, on_failure: &str) -> Result<(), Failure> {
    let topics = json!({"measured": null});
    let body = json!({"callback": callback, "topics": topics, "onFailure": on_failure});
    done(host, "/consumers/register", &body.to_string())
}

/// A receiver that tells when how many events came.
struct Counting {
    receiver: Receiver,
    arrivals: Arrivals<(Instant, usize)>,
}

impl Counting {
    fn start() -> Self {
        let (arrived, arrivals) = channel();
        let receiver = Receiver::start(move |heard, _| {
            let events = heard.body.matches(r#""timestamp":"#).count();
            // Nobody counts any more when the measurement is over.
            let _ = arrived.send((Instant::now(), events));
            Say::Status(204, String::new())
        });
        Self { receiver, arrivals }
    }

    fn register(&self, host: &mut Host) -> Result<(), Failure> {
        register(host, &self.receiver.url(), "remove")
    }

    /// When the last one of so many came.
    fn wait(&self, events: usize) -> Result<Instant, Failure> {
        let mut came = 0;
        loop {
            let (at, more) = self.arrivals.recv_timeout(PATIENCE)?;
            came += more;
            if came >= events {
                return Ok(at);
            }
        }
    }
}

/// Milliseconds from a publication's answer until its event has arrived; none when that was first.
fn delays(host: &mut Host, good: &Counting) -> Result<Vec<f64>, Failure> {
    let mut times = Vec::with_capacity(ONE_BY_ONE);
    for n in 0..ONE_BY_ONE {
        let body = json!({"topic": "measured", "type": "n", "payload": {"n": n}});
        done(host, "/events", &json!([body]).to_string())?;
        let answered = Instant::now();
        let arrived = good.wait(1)?;
        times.push(arrived.saturating_duration_since(answered).as_secs_f64() * 1e3);
    }
    Ok(times)
}

/// Events a second, from registration until the last one has arrived.
fn backlog(kind: Kind) -> Result<f64, Failure> {
    let mut host = start(kind)?;
    let good = Counting::start();
    for first in (0..BACKLOG).step_by(BATCH) {
        let one = |n| json!({"topic": "measured", "type": "n", "payload": {"n": n}});
        let all: Vec<_> = (first..first + BATCH).map(one).collect();
        done(&mut host, "/events", &json!(all).to_string())?;
    }
    let started = Instant::now();
    good.register(&mut host)?;
    let ended = good.wait(BACKLOG)?;
    Ok(BACKLOG as f64 / (ended - started).as_secs_f64())
}
