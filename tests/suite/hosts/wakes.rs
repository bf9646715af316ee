//! What happens though nobody asks: the system's own commands and timers, of partitions that are
//! not open, after kills and restarts.
//!
//! Symptom to look for: a transfer or a timer that waits for the next request. So nothing is asked
//! of the partition here: its file is read with SQL.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{built, root};
use rusqlite::{Connection, OpenFlags};

/// Until what is due must be done: an idle object's alarm comes after two seconds.
const PATIENCE: Duration = Duration::from_secs(15);

fn files(dir: &Path, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            files(&path, found);
        } else if path.extension().is_some_and(|ending| ending == "sqlite") {
            found.push(path);
        }
    }
}

/// Events of a type in the log of a partition, whichever file that is.
fn count(host: &Host, partition: &str, event_type: &str) -> i64 {
    let mut all = Vec::new();
    files(&host.data(), &mut all);
    let of_file = |path: &PathBuf| -> rusqlite::Result<i64> {
        // Opened to write: what a killed host left in the journal is read back first.
        let file = Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        file.busy_timeout(Duration::from_secs(5))?;
        let select = "SELECT count(*) FROM lss WHERE lss_partition_id = ?1 AND lss_type = ?2";
        file.query_row(select, (partition, event_type), |row| row.get(0))
    };
    all.iter().filter_map(|path| of_file(path).ok()).sum()
}

fn wait_for(host: &Host, partition: &str, event_type: &str, wanted: i64, when: &str) {
    let until = Instant::now() + PATIENCE;
    loop {
        let found = count(host, partition, event_type);
        if found == wanted {
            return;
        }
        assert!(Instant::now() < until, "{when}: {found} of {wanted} {event_type}\n{}", host.log());
        thread::sleep(Duration::from_millis(100));
    }
}

fn post(host: &mut Host, target: &str, body: &str) {
    let answer = host.send(&Request::post(target, body));
    assert!(answer.status < 300, "{target} {body}: {}", answer.text());
}

/// Kills until a transfer is between its steps; then the host is started, and nothing is asked.
fn a_transfer_ends_by_itself(kind: Kind) {
    let setup = Setup::new(kind).set("--batch-commands-max", "BATCH_COMMANDS_MAX", 1);
    let mut host = setup.start();
    for id in ["a", "b"] {
        let body = format!(r#"{{"accountId":"{id}","initialBalance":1000}}"#);
        post(&mut host, "/p/t1/commands/open-account", &body);
    }
    let (mut sent, mut between) = (0, 0);
    for round in 0..20 {
        for _ in 0..20 {
            let body = format!(
                r#"{{"transferId":"t-{sent}","fromAccountId":"a","toAccountId":"b","amount":1}}"#
            );
            post(&mut host, "/p/t1/commands/transfer", &body);
            sent += 1;
        }
        host.kill_9();
        let ended = count(&host, "t1", "TransferCompleted");
        between += i64::from(ended < sent);
        host.restart();
        wait_for(&host, "t1", "TransferCompleted", sent, &format!("{kind:?}, round {round}"));
        if between >= 3 {
            break;
        }
    }
    assert!(between > 0, "{kind:?}: no kill came between the steps of a transfer");
    let shown = host.get("/p/t1/queries/account/b").json();
    assert_eq!(shown["balance"], 1_000 + sent, "{kind:?}");
}

#[test]
fn a_transfer_ends_by_itself_on_native() {
    a_transfer_ends_by_itself(Kind::Native);
}

#[test]
fn a_transfer_ends_by_itself_on_the_worker() {
    a_transfer_ends_by_itself(Kind::Worker);
}

fn with_timers(kind: Kind) -> Setup {
    let mut setup = Setup::new(kind);
    setup.guest = Some(built(root().join("build/guest-faults.wasm"), "test"));
    setup
}

/// A timer fires after a kill, and after a stop that closed the partition in order.
fn a_timer_fires_by_itself(kind: Kind) {
    let mut host = with_timers(kind).start();
    for round in 1..=3 {
        post(&mut host, "/p/late/commands/order-late", r#"{"chaosId":"x"}"#);
        if round == 2 {
            host.stop();
        } else {
            host.kill_9();
        }
        assert_eq!(count(&host, "late", "Ticked"), round - 1);
        host.restart();
        wait_for(&host, "late", "Ticked", round, &format!("{kind:?}, round {round}"));
    }
}

#[test]
fn a_timer_fires_by_itself_on_native() {
    a_timer_fires_by_itself(Kind::Native);
}

#[test]
fn a_timer_fires_by_itself_on_the_worker() {
    a_timer_fires_by_itself(Kind::Worker);
}

/// With room for one partition, timers of all of them fire while a client keeps another one busy.
#[test]
fn timers_of_closed_partitions_fire() {
    let mut host = with_timers(Kind::Native).set("--partitions-open-max", "", 1).start();
    for n in 0..5 {
        post(&mut host, &format!("/p/t-{n}/commands/order-late"), r#"{"chaosId":"x"}"#);
    }
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        post(&mut host, "/p/busy/commands/tick", r#"{"chaosId":"x"}"#);
        thread::sleep(Duration::from_millis(20));
    }
    for n in 0..5 {
        assert_eq!(count(&host, &format!("t-{n}"), "Ticked"), 1, "t-{n}");
    }
}

/// With test stamps nothing happens by itself.
#[test]
fn with_test_stamps_nothing_happens_by_itself() {
    let mut setup = with_timers(Kind::Native);
    setup.stamps = Some("seed".into());
    let mut host = setup.start();
    post(&mut host, "/p/late/commands/order-late", r#"{"chaosId":"x"}"#);
    host.kill_9();
    host.restart();
    thread::sleep(Duration::from_secs(3));
    assert_eq!(count(&host, "late", "Ticked"), 0);
    post(&mut host, "/p/late/test/wake", r#"{"advanceMs":60000}"#);
    assert_eq!(count(&host, "late", "Ticked"), 1);
}
