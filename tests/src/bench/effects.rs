//! Outside calls: how fast what is due is drained, on both hosts.
//!
//! Owns a receiver that answers at once, and a thousand emails that wait when it begins to. Ratios
//! and figures only: nothing here passes or fails.

use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::receiver::{Receiver, Say};
use foldlog_tests::scratch::{built, root};

use super::Failure;
use super::report::Report;

const EMAILS: usize = 1_000;
/// Requests that are sent before an answer is read: the calls held meanwhile have a deadline.
const PIPELINED: usize = 50;
const RUNS: usize = 3;
const PATIENCE: Duration = Duration::from_secs(60);

/// Measures both hosts.
pub fn run(report: &mut Report) -> Result<(), Failure> {
    for (name, kind) in [("native", Kind::Native), ("ours in workerd", Kind::Worker)] {
        let drained = (0..RUNS).map(|_| drain(kind)).collect::<Result<Vec<f64>, Failure>>()?;
        report.single(&format!("{name}, {EMAILS} due emails sent and recorded"), "1/s", &drained);
    }
    Ok(())
}

/// Emails a second, from the first answer of the receiver to the last one's record.
fn drain(kind: Kind) -> Result<f64, Failure> {
    let receiver = Receiver::start(|_, _| Say::Status(202, String::new()));
    let mut setup = Setup::new(kind).environment("SENDGRID_URL", receiver.url());
    setup = setup.environment("SENDGRID_API_KEY", "SG.bench").environment("EMAIL_FROM", "a@b.c");
    setup.guest = Some(built(root().join("build/guest-faults.wasm"), "test"));
    let mut host = setup.start();
    receiver.close(true);
    let orders: Vec<Request> = (0..EMAILS)
        .map(|n| Request::post("/commands/order-email", &format!(r#"{{"chaosId":"n-{n}"}}"#)))
        .collect();
    let mut client = host.client();
    for some in orders.chunks(PIPELINED) {
        let refused = client.pipeline(some)?.into_iter().find(|answer| answer.status >= 300);
        if let Some(refused) = refused {
            return Err(refused.text().into());
        }
    }
    let started = Instant::now();
    receiver.close(false);
    while waiting(&mut host) > 0 {
        if started.elapsed() > PATIENCE {
            return Err("the emails were not sent in time".into());
        }
        std::thread::sleep(Duration::from_millis(10));
    }
    Ok(EMAILS as f64 / started.elapsed().as_secs_f64())
}

/// How many kinds of unsent emails there are: those that wait and those under way.
fn waiting(host: &mut Host) -> usize {
    let kinds = ["pending", "running"];
    let of = kinds.iter().filter(|status| {
        let answer = host.get(&format!("/effects?limit=1&status={status}"));
        let none = answer.text() == "[]" && answer.header("link").is_none();
        answer.status != 200 || !none
    });
    of.count()
}
