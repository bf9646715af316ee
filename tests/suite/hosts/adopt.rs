//! Adoption (law 7): a log that came from elsewhere is held until it is made this host's, whichever
//! of its incarnations this host once acted for.

use std::fs;
use std::path::Path;

use foldlog_tests::client::Answer;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};

const DEPOSIT: &str = r#"{"accountId":"a","amount":1}"#;

fn opened(kind: Kind) -> Host {
    let mut host = Setup::new(kind).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    host
}

/// Reads work; whatever would change something is refused.
pub fn is_held(host: &mut Host) {
    assert_eq!(host.get("/queries/account/a").status, 200);
    for (target, body) in [
        ("/commands/deposit", DEPOSIT),
        ("/snapshots/account/a", "{}"),
        ("/projections/rebuild", r#"{"name":"DailySummary"}"#),
    ] {
        let refused = host.post(target, body);
        let found = (refused.status, refused.code());
        assert_eq!(found, (409, "held".into()), "{target}: {}", refused.text());
    }
    assert_eq!(host.post("/commands/deposit", "{").status, 400, "a bad request is told first");
    assert_eq!(host.post("/commands/no-such", "{}").status, 404);
}

/// Adopts over HTTP; the log is this host's from then on, restarts included.
pub fn adopt(host: &mut Host) -> Answer {
    let before = host.get("/log/head").json()["position"].as_u64().expect("a position");
    let answer = host.post("/effects/resume", "{}");
    assert_eq!(answer.status, 200, "{}", answer.text());
    assert_eq!(answer.json()["position"], before + 1);
    assert_eq!(answer.json()["hash"], host.get("/log/head").json()["hash"]);
    assert_eq!(host.post("/commands/deposit", DEPOSIT).status, 200);
    let again = host.post("/effects/resume", "{}");
    assert_eq!(again.json()["incarnation"], answer.json()["incarnation"]);
    assert_eq!(again.json()["position"], before + 2, "adopting one's own log changes nothing");
    host.kill_9();
    host.restart();
    assert_eq!(host.post("/commands/deposit", DEPOSIT).status, 200);
    let target = format!("/log/export?after={before}");
    let line = host.get(&target).text().lines().next().map(str::to_string).expect("a line");
    assert!(line.contains(r#""stream":"~System:partition""#), "{line}");
    assert!(line.contains(answer.json()["incarnation"].as_str().expect("hex")), "{line}");
    answer
}

fn verified(source: &Path) {
    let output = foldlog(&["verify".as_ref(), source.as_os_str()]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
}

/// Without an owner file, with the one of genesis, and with the newest one.
#[test]
fn the_newest_incarnation_decides() {
    let mut host = opened(Kind::Native);
    let owner = host.data().join("main.owner");
    let first = fs::read(&owner).expect("an owner");
    host.kill_9();
    fs::remove_file(&owner).expect("removed");
    host.restart();
    is_held(&mut host);
    adopt(&mut host);
    let second = fs::read(&owner).expect("an owner");
    assert_ne!(first, second);
    // This host acted for the log before it was adopted: that does not count any more.
    for checkpointed in [false, true] {
        if checkpointed {
            host.stop();
        } else {
            host.kill_9();
        }
        fs::write(&owner, &first).expect("written");
        host.restart();
        is_held(&mut host);
        host.kill_9();
        fs::write(&owner, &second).expect("written");
        host.restart();
        assert_eq!(host.post("/commands/deposit", DEPOSIT).status, 200);
    }
    host.stop();
    verified(&host.data());
}

/// A crash after the commit and before the owner file leaves the log held; adopting it again works.
#[test]
fn an_adoption_half_done_can_be_repeated() {
    let mut host = opened(Kind::Native);
    let owner = host.data().join("main.owner");
    let first = fs::read(&owner).expect("an owner");
    host.kill_9();
    fs::remove_file(&owner).expect("removed");
    host.restart();
    assert_eq!(host.post("/effects/resume", "{}").status, 200);
    host.kill_9();
    fs::write(&owner, first).expect("written");
    host.restart();
    is_held(&mut host);
    let answer = adopt(&mut host);
    assert_eq!(answer.json()["position"], 3);
}

/// A Durable Object's file, opened natively.
#[test]
fn a_durable_objects_file_is_held_and_adopted_by_the_verb() {
    let mut worker = opened(Kind::Worker);
    worker.stop();
    let mut host = Setup::new(Kind::Native).start();
    host.kill_9();
    let source = worker.sqlite();
    let copy = host.data().join("main.sqlite");
    fs::copy(&source, &copy).expect("copied");
    let wal = source.with_extension("sqlite-wal");
    if wal.is_file() {
        fs::copy(wal, copy.with_extension("sqlite-wal")).expect("copied");
    }
    host.restart();
    is_held(&mut host);
    let busy = foldlog(&["adopt".as_ref(), host.data().as_os_str()]);
    assert_eq!(busy.status.code(), Some(2), "a host serves it");
    host.stop();
    let output = foldlog(&["adopt".as_ref(), host.data().as_os_str()]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(0), "{said}");
    assert!(said.starts_with("adopted"), "{said}");
    let again = foldlog(&["adopt".as_ref(), copy.as_os_str()]);
    assert!(String::from_utf8_lossy(&again.stdout).starts_with("unchanged"));
    host.restart();
    assert_eq!(host.post("/commands/deposit", DEPOSIT).status, 200);
    assert_eq!(host.get("/log/head").json()["position"], 3);
    host.stop();
    verified(&host.data());
}
