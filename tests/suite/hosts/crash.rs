//! Killed under load: nothing acknowledged is lost or doubled, and the file is whole.
//!
//! Symptom to look for: an answer that left before its block was stored, a block stored twice, a
//! row newer than its neighbours. Owns twenty kills of each host; what clients remember of their
//! commands is compared with what the host says after it was started again.

use std::collections::BTreeMap;
use std::thread;
use std::time::Duration;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};
use foldlog_tests::scratch::{Random, seed};

use super::load::{Load, Sent};

const KILLS: usize = 20;
pub const CLIENTS: usize = 8;

/// Runs `foldlog verify` on the host's file; the host is not running.
pub fn verify(host: &Host, when: &str) {
    let file = host.sqlite();
    let output = foldlog(&["verify".as_ref(), file.as_os_str()]);
    let said = [output.stdout, output.stderr].concat();
    let said = String::from_utf8_lossy(&said).into_owned();
    assert_eq!(output.status.code(), Some(0), "{when}: verify {}: {said}", file.display());
}

/// Settles the unknown outcomes by repeating them with their keys; checks that acknowledged ones
/// are answered alike again.
pub fn settle(host: &mut Host, sent: &mut [Sent], when: &str) {
    for sent in sent.iter_mut() {
        if sent.unknown() {
            let answer = host.send(&sent.request);
            assert!(answer.status < 300, "{when}: settling {:?}: {}", sent.request, answer.text());
            sent.answer = Some(answer);
        }
    }
    let acknowledged: Vec<&Sent> = sent.iter().filter(|sent| sent.acknowledged()).collect();
    for sent in acknowledged.iter().rev().take(50) {
        let again = host.send(&sent.request);
        assert_eq!(again.header("idempotency-replayed").as_deref(), Some("true"), "{when}: lost");
        let first = sent.answer.as_ref().map(|answer| (answer.status, answer.text()));
        assert_eq!(first, Some((again.status, again.text())), "{when}: another answer");
    }
}

/// What all acknowledged commands add up to, by account.
fn expected(sent: &[Sent]) -> BTreeMap<String, u64> {
    let mut balances: BTreeMap<String, u64> = BTreeMap::from([("shared".into(), 0)]);
    for sent in sent.iter().filter(|sent| sent.acknowledged()) {
        let account = sent.answer.as_ref().map(|answer| answer.json()["accountId"].clone());
        let account = account.and_then(|id| id.as_str().map(str::to_string)).unwrap_or_default();
        *balances.entry(account).or_default() += 1;
    }
    balances
}

pub fn compare(host: &mut Host, sent: &[Sent], when: &str) {
    for (account, balance) in expected(sent) {
        let shown = host.get(&format!("/queries/account/{account}")).json();
        assert_eq!(shown["balance"], balance, "{when}: {account}");
    }
    let done = sent.iter().filter(|sent| sent.acknowledged()).count();
    let position = host.get("/log/head").json()["position"].clone();
    assert_eq!(position, done + 1, "{when}: commands acknowledged, and the first account");
}

fn killed_under_load(kind: Kind) {
    let mut random = Random(seed(&format!("kills of {kind:?}")));
    let mut host = Setup::new(kind).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    let (mut sent, mut unknown) = (Vec::new(), 0);
    for run in 0..KILLS {
        let when = format!("{kind:?}, kill {run}");
        let load = Load::start(host.address(), CLIENTS, run);
        // The first one lives long enough for all accounts to be opened.
        let least = if run == 0 { 500 } else { 50 };
        thread::sleep(Duration::from_millis(least + random.below(250) as u64));
        host.kill_9();
        let mut round = load.stop();
        verify(&host, &when);
        host.restart();
        unknown += round.iter().filter(|sent| sent.unknown()).count();
        settle(&mut host, &mut round, &when);
        sent.append(&mut round);
        compare(&mut host, &sent, &when);
    }
    assert!(sent.len() > 500, "{kind:?}: too little load to prove anything: {}", sent.len());
    assert!(unknown > 0, "{kind:?}: no kill hit a command under way");
    println!("{kind:?}: {KILLS} kills, {} commands, {unknown} outcomes settled by key", sent.len());
    host.kill_9();
    verify(&host, &format!("{kind:?}, in the end"));
}

#[test]
fn native_survives_twenty_kills() {
    killed_under_load(Kind::Native);
}

#[test]
fn the_worker_survives_twenty_kills() {
    killed_under_load(Kind::Worker);
}

/// A graceful stop answers what it took and leaves nothing to fold.
#[test]
fn native_stops_gracefully_under_load() {
    let mut host = Setup::new(Kind::Native).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    let load = Load::start(host.address(), CLIENTS, 0);
    thread::sleep(Duration::from_millis(400));
    assert!(host.stop(), "SIGTERM did not end it: {}", host.log());
    let mut sent = load.stop();
    verify(&host, "after a graceful stop");
    host.restart();
    let head = host.send(&Request::get("/log/head")).json();
    assert_eq!(head["checkpoint"], head["position"], "no checkpoint was stored at the stop");
    settle(&mut host, &mut sent, "after a graceful stop");
    compare(&mut host, &sent, "after a graceful stop");
}
