//! `foldlog serve --memory`: all works as on disk, nothing is on disk, and it says so.

use std::fs;

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog};

fn start() -> Host {
    let mut setup = Setup::new(Kind::Native).set("--partitions-open-max", "", 2);
    setup.place = vec!["--memory".into()];
    setup.start()
}

fn names(host: &mut Host) -> String {
    host.get("/partitions").json().to_string()
}

#[test]
fn a_host_in_memory_does_all_of_it_and_keeps_nothing() {
    let mut host = start();
    assert!(host.log().contains("Nothing is on disk"), "{}", host.log());
    // More partitions than may be open: those that close are there again.
    for round in 0..3 {
        for p in ["/p/a", "/p/b", "/p/c", ""] {
            let verb = if round == 0 { "open-account" } else { "deposit" };
            let amount = if round == 0 { "initialBalance" } else { "amount" };
            let body = format!(r#"{{"accountId":"x","{amount}":5}}"#);
            let answer = host.post(&format!("{p}/commands/{verb}"), &body);
            assert!(answer.status < 300, "{p}: {}", answer.text());
        }
    }
    assert_eq!(host.get("/p/a/queries/account/x").json()["balance"], 15);
    assert_eq!(host.get("/p/nobody/queries/account/x").status, 404);
    let listed = names(&mut host);
    assert!(listed.contains(r#""a""#) && listed.contains(r#""main""#), "{listed}");
    assert!(!listed.contains("nobody"), "{listed}");
    // Timers and effects of a transfer between two accounts.
    host.post("/commands/open-account", r#"{"accountId":"y"}"#);
    let transfer = r#"{"transferId":"t","fromAccountId":"x","toAccountId":"y","amount":7}"#;
    assert_eq!(host.post("/commands/transfer", transfer).status, 202);
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while host.get("/queries/account/y").json()["balance"] != 7 {
        assert!(std::time::Instant::now() < until, "{}", host.get("/queries/transfer/t").text());
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    // An export comes in elsewhere, here in the same host, where it is held until it is adopted.
    let export = host.get("/log/export").text();
    let mut import = Request::post("/p/copy/log/import?complete=true", &export);
    import.headers = vec![("Content-Type".into(), "application/x-ndjson".into())];
    assert_eq!(host.send(&import).status, 200);
    let refused = host.post("/p/copy/commands/deposit", r#"{"accountId":"y","amount":1}"#);
    assert_eq!((refused.status, refused.code().as_str()), (409, "held"), "{}", refused.text());
    assert_eq!(host.post("/p/copy/effects/resume", "").status, 200);
    let deposit = host.post("/p/copy/commands/deposit", r#"{"accountId":"y","amount":1}"#);
    assert_eq!(deposit.status, 200, "{}", deposit.text());

    let left: Vec<_> = fs::read_dir(host.data()).into_iter().flatten().flatten().collect();
    assert!(left.is_empty(), "on disk: {left:?}");
    assert!(host.stop(), "{}", host.log());
    host.restart();
    assert_eq!(names(&mut host), "[]");
    assert_eq!(host.get("/log/head").json()["position"], 0);
}

#[test]
fn a_place_is_named_once() {
    for (flags, why) in [
        (vec!["--memory", "--data", "d"], "--data is for logs in files"),
        (vec!["--memory", "--store", "memory"], "two places"),
        (vec!["--store", "memory", "--data", "d"], "--data is for logs in files"),
        (vec!["--store", "mysql://user:hidden@host/db"], "--store (or FOLDLOG_STORE) must be"),
    ] {
        let output = foldlog(&[vec!["serve"], flags.clone()].concat());
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{flags:?}: {said}");
        assert!(said.contains(why) && !said.contains("hidden"), "{flags:?}: {said}");
    }
}
