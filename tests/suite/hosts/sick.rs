//! Partitions that can not work: left alone for longer and longer, telling why, no loss to others.
//!
//! Owns what is done to their files from outside: damaged pages and lines, a disk without room.

use std::fs;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup};
use foldlog_tests::scratch::{Scratch, root};
use rusqlite::{Connection, OpenFlags};
use serde_json::json;

fn metric(host: &mut Host, name: &str) -> Option<u64> {
    let text = host.get("/metrics").text();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok())
}

fn sqlite(path: &Path) -> Connection {
    Connection::open_with_flags(path, OpenFlags::SQLITE_OPEN_READ_WRITE)
        .unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

/// The file below a directory that holds this partition's log.
fn file_of(dir: &Path, partition: &str) -> Option<PathBuf> {
    for entry in fs::read_dir(dir).into_iter().flatten().flatten() {
        let path = entry.path();
        if path.is_dir() {
            if let Some(found) = file_of(&path, partition) {
                return Some(found);
            }
            continue;
        }
        let select = "SELECT count(*) FROM log WHERE first_position = 0 AND body LIKE ?1";
        let pattern = format!("%\"partition\":\"{partition}\"%");
        let is_it = path.extension().is_some_and(|ending| ending == "sqlite")
            && sqlite(&path).query_row(select, [pattern], |row| row.get::<_, i64>(0)) == Ok(1);
        if is_it {
            return Some(path);
        }
    }
    None
}

/// Answers of `GET /health` fit the published document.
fn fits_the_document(host: &mut Host, health: &foldlog_tests::client::Answer) {
    let dir = Scratch::new("health");
    let (document, dump) = (dir.path().join("openapi.json"), dir.path().join("exchanges.jsonl"));
    let published = host.get("/openapi.json").text();
    let line = json!({
        "place": "health", "method": "GET", "target": "/health", "headers": [], "requestBody": "",
        "status": health.status, "answerHeaders": health.headers, "body": health.text(),
    });
    fs::write(&document, published).unwrap_or_else(|e| panic!("{e}"));
    fs::write(&dump, format!("{line}\n")).unwrap_or_else(|e| panic!("{e}"));
    let mut node = std::process::Command::new(root().join("wasm/node"));
    node.arg(root().join("tests/openapi/exchanges.mjs")).args([&document, &dump]).arg("1");
    let output = node.output().unwrap_or_else(|e| panic!("{e}"));
    let said = [output.stdout, output.stderr].concat();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&said));
}

fn a_partition_that_does_not_open(kind: Kind) {
    let mut host = Setup::new(kind).start();
    let opened = host.post("/p/sick/commands/open-account", r#"{"accountId":"a"}"#);
    assert_eq!(opened.status, 201);
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"b"}"#).status, 201);
    host.stop();
    let file = file_of(&host.data(), "sick").unwrap_or_else(|| panic!("no file"));
    let damage = "UPDATE log SET body = replace(body, '\"hash\":\"', '\"hash\":\"x') \
        WHERE first_position = 0";
    sqlite(&file).execute_batch(damage).unwrap_or_else(|e| panic!("{e}"));
    host.restart();
    let (started, mut refused) = (Instant::now(), 0);
    while started.elapsed() < Duration::from_secs(2) {
        let answer = host.post("/p/sick/commands/deposit", r#"{"accountId":"a","amount":1}"#);
        assert_eq!((answer.status, answer.code().as_str()), (503, "restarting"), "{kind:?}");
        assert!(answer.header("retry-after").is_some(), "{kind:?}");
        refused += 1;
        let deposit = host.post("/commands/deposit", r#"{"accountId":"b","amount":1}"#);
        assert_eq!(deposit.status, 200, "{kind:?}: the neighbour");
    }
    let health = host.get("/p/sick/health");
    assert_eq!((health.status, &health.json()["status"]), (503, &"unhealthy".into()), "{kind:?}");
    assert!(health.text().contains("its log is damaged"), "{kind:?}: {}", health.text());
    fits_the_document(&mut host, &health);
    // Waits of 0.1, 0.2, 0.4, 0.8 and 1.6 s: about five tries, however many asked.
    let restarts = health.json()["restarts"].as_u64();
    assert!(restarts.is_some_and(|n| (3..=8).contains(&n)), "{kind:?}: {restarts:?} tries");
    assert!(refused > 50, "{kind:?}: {refused}");
    let lines = host.whole_log().lines().count();
    assert!(lines < 60, "{kind:?}: {lines} lines: {}", host.log());
    host.kill_9();
    let repair = "UPDATE log SET body = replace(body, '\"hash\":\"x', '\"hash\":\"') \
        WHERE first_position = 0";
    sqlite(&file).execute_batch(repair).unwrap_or_else(|e| panic!("{e}"));
    host.restart();
    let answer = host.post("/p/sick/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!(answer.status, 200, "{kind:?}: {}", answer.text());
    assert_eq!(host.get("/p/sick/stats").json()["restarts"], 0, "{kind:?}");
}

#[test]
fn a_partition_that_does_not_open_on_native() {
    a_partition_that_does_not_open(Kind::Native);
}

#[test]
fn a_partition_that_does_not_open_on_the_worker() {
    a_partition_that_does_not_open(Kind::Worker);
}

/// A pending credit whose account's row lies on a damaged page: the rows are folded again, and the
/// credit is done, though nobody asks; clients are served.
#[test]
fn a_damaged_page_of_rows_is_folded_again() {
    let mut host = Setup::new(Kind::Native)
        .set("--batch-commands-max", "", 1)
        .set("--row-cache-max", "", 1 << 20)
        .start();
    for n in 0..3_000 {
        let body = format!(r#"{{"accountId":"acc-{n:05}","initialBalance":100}}"#);
        assert_eq!(host.post("/p/bad/commands/open-account", &body).status, 201);
    }
    let transfer =
        r#"{"transferId":"t","fromAccountId":"acc-00001","toAccountId":"acc-02000","amount":7}"#;
    assert_eq!(host.post("/p/bad/commands/transfer", transfer).status, 202);
    let until = Instant::now() + Duration::from_secs(10);
    while host.get("/p/bad/queries/transfer/t").json()["status"] != "completed" {
        assert!(Instant::now() < until);
        thread::sleep(Duration::from_millis(20));
    }
    assert!(host.stop(), "{}", host.log());
    let path = host.data().join("bad.sqlite");
    // What was stored before the credit, with rows of then: its account's page is overwritten.
    let pages = {
        let file = sqlite(&path);
        let cut = "SELECT max(first_position) FROM log WHERE body LIKE '%TransferMoneyDebited%'";
        let last: i64 = file.query_row(cut, (), |row| row.get(0)).unwrap_or_else(|e| panic!("{e}"));
        file.execute("DELETE FROM log WHERE first_position > ?1", [last])
            .unwrap_or_else(|e| panic!("{e}"));
        file.execute_batch("PRAGMA wal_checkpoint(TRUNCATE)").unwrap_or_else(|e| panic!("{e}"));
        drop(file);
        host.restart();
        // Folded to its new head and closed in order: rows and log agree.
        host.get("/p/bad/log/head");
        thread::sleep(Duration::from_millis(500));
        host.kill_9();
        fs::read(&path).unwrap_or_else(|e| panic!("{e}"))
    };
    let needle = b"BankAccount";
    let hit = |page: &[u8]| {
        page.first() == Some(&10)
            && page.windows(9).any(|w| w == b"acc-02000")
            && page.windows(needle.len()).any(|w| w == needle)
    };
    let mut bytes = pages;
    let mut damaged = 0;
    for page in bytes.chunks_mut(4096) {
        if hit(page) {
            page.iter_mut().for_each(|byte| *byte = 0xff);
            damaged += 1;
        }
    }
    assert!(damaged > 0, "no page of rows has the account");
    fs::write(&path, &bytes).unwrap_or_else(|e| panic!("{e}"));
    host.restart();
    let body = r#"{"accountId":"acc-00000","amount":1}"#;
    let until = Instant::now() + Duration::from_secs(20);
    loop {
        let deposit = host.post("/p/bad/commands/deposit", body);
        let shown = host.get("/p/bad/queries/transfer/t").json();
        if deposit.status == 200 && shown["status"] == "completed" {
            break;
        }
        assert!(Instant::now() < until, "{} {shown}\n{}", deposit.text(), host.log());
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(host.get("/p/bad/queries/account/acc-02000").json()["balance"], 107);
    let lines = host.whole_log().lines().count();
    assert!(lines < 40, "{lines} lines: {}", host.log());
}

/// A disk without room: commands are refused, reads go on and tell nothing of the disk, `/health`
/// does.
#[test]
fn a_full_disk_is_told_by_health() {
    let mut setup = Setup::new(Kind::Native);
    setup.disk = Some(("full", 3 << 20));
    let mut host = setup.start();
    for target in ["/p/full/commands/open-account", "/commands/open-account"] {
        assert_eq!(host.post(target, r#"{"accountId":"a"}"#).status, 201);
    }
    let deposit = |target: &str, notes: usize| {
        let request = Request::post(target, r#"{"accountId":"a","amount":1}"#);
        let note = "lorem ipsum ".repeat(20);
        (0..notes).fold(request, |request, k| request.header(&format!("Foldlog-Meta-N-{k}"), &note))
    };
    let (full, neighbour) = ("/p/full/commands/deposit", "/commands/deposit");
    // Large commits until none fits, then small ones: not even a checkpoint finds room any more.
    let (mut done, mut refused) = (0, None);
    for notes in [12, 0, 0, 0] {
        refused = loop {
            let answer = host.send(&deposit(full, notes));
            if answer.status != 200 {
                break Some(answer);
            }
            done += 1;
            assert!(done < 10_000, "it does not fill up");
        };
        thread::sleep(Duration::from_millis(800));
    }
    let refused = refused.unwrap_or_else(|| panic!("it does not fill up"));
    assert_eq!((refused.status, refused.code().as_str()), (507, "storage-full"));
    for _ in 0..20 {
        let read = host.get("/p/full/queries/account/a");
        assert_eq!((read.status, &read.json()["balance"]), (200, &done.into()), "{}", read.text());
        let health = host.get("/p/full/health");
        assert_eq!(health.status, 503, "{}", health.text());
        let said = health.json();
        assert!(said["reasons"].to_string().contains("full"), "{said}");
        assert!(said["position"].as_u64() > Some(done), "its guest is asked: {said}");
        let stats = host.get("/p/full/stats").json();
        assert!(stats["restarts"].as_u64() > Some(0), "{stats}");
        assert_eq!(host.send(&deposit(full, 0)).status, 507);
        assert_eq!(host.send(&deposit(neighbour, 0)).status, 200);
        thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(metric(&mut host, "foldlog_partition_down{partition=\"full\"}"), Some(2));
    assert_eq!(host.get("/health").status, 200);
    let lines = host.whole_log().lines().count();
    assert!(lines < 60, "{lines} lines: {}", host.log());
}

/// Failures are counted over the times that a partition is open.
#[test]
fn counters_outlive_a_partition_that_is_closed() {
    let mut host = Setup::new(Kind::Native).set("--partitions-open-max", "", 1).start();
    assert_eq!(host.post("/p/sick/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    assert_eq!(host.post("/p/sick/commands/open-account", r#"{"accountId":"a"}"#).status, 409);
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"b"}"#).status, 201);
    let stats = host.get("/p/sick/stats").json();
    assert_eq!((&stats["commandsProcessed"], &stats["commandsRejected"]), (&1.into(), &1.into()));
    assert_eq!(host.get("/health").status, 200);
    let file = host.data().join("sick.sqlite");
    let good = fs::read(&file).unwrap_or_else(|e| panic!("{e}"));
    fs::write(&file, vec![b'x'; good.len()]).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(host.get("/p/sick/health").status, 503);
    assert_eq!(host.get("/health").status, 200);
    let told = "foldlog_partition_restarts{partition=\"sick\"}";
    let closed = metric(&mut host, told);
    assert!(closed > Some(0), "{closed:?} while another one is open");
    let health = host.get("/p/sick/health").json();
    assert!(health["restarts"].as_u64() >= closed, "{health}");
}
