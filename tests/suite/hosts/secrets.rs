//! The secret that consumers' keys are made from, and the leave to call them inside.
//!
//! Symptom to look for: a secret that changes with a restart, which would make every key another,
//! or one that is shown. What is made from it is tested with deliveries.

use std::fs;
use std::process::Command;

use foldlog_tests::hosts::{Host, Kind, Setup, native_binary};
use foldlog_tests::scratch::Scratch;
use rusqlite::{Connection, OptionalExtension};

const PLANTED: &str = "planted-secret-of-a-test";

fn begun(setup: Setup) -> Host {
    let mut host = setup.start();
    let blank = host.get("/queries/account/a").status;
    assert_eq!((blank, kept(&host).is_some()), (404, host.kind() == Kind::Native));
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    host
}

/// The secret that a host made, where it keeps it.
fn kept(host: &Host) -> Option<Vec<u8>> {
    if host.kind() == Kind::Native {
        return fs::read(host.data().join("secret")).ok();
    }
    if !host.sqlite().exists() {
        return None;
    }
    let file = Connection::open(host.sqlite()).expect("the object's file");
    let select = "SELECT value FROM _cf_KV WHERE key = 'secret'";
    let kept = file.query_row(select, [], |row| row.get(0)).optional();
    // Before the first thing that is kept there is no table.
    kept.unwrap_or_default()
}

fn shown(host: &mut Host) -> String {
    let mut all = String::new();
    for target in ["/log/export", "/stats", "/health", "/effects", "/openapi.json"] {
        all += &host.get(target).text();
    }
    all + &host.whole_log()
}

fn one_is_made_once(kind: Kind) {
    let mut host = begun(Setup::new(kind));
    let made = kept(&host).unwrap_or_else(|| panic!("{kind:?}: no secret is kept"));
    let text = String::from_utf8_lossy(&made).into_owned();
    let digits = |c: &char| c.is_ascii_digit() || ('a'..='f').contains(c);
    let hex: String = text.chars().rev().skip_while(|c| !digits(c)).take_while(digits).collect();
    assert_eq!(hex.len(), 64, "{kind:?}: {text:?}");
    let hex: String = hex.chars().rev().collect();
    assert!(!shown(&mut host).contains(&hex), "{kind:?}");
    host.kill_9();
    host.restart();
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    assert_eq!(kept(&host), Some(made), "{kind:?}");
}

#[test]
fn one_is_made_once_on_native() {
    one_is_made_once(Kind::Native);
}

#[test]
fn one_is_made_once_on_the_worker() {
    one_is_made_once(Kind::Worker);
}

fn one_that_is_set_is_not_kept(kind: Kind) {
    let mut host = Setup::new(kind).environment("FOLDLOG_SECRET", PLANTED).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    assert_eq!(kept(&host), None, "{kind:?}");
    assert!(!shown(&mut host).contains(PLANTED), "{kind:?}");
    assert!(!shown(&mut host).contains("allowPrivateCallbacks"), "{kind:?}");
}

#[test]
fn one_that_is_set_is_not_kept_on_native() {
    one_that_is_set_is_not_kept(Kind::Native);
}

#[test]
fn one_that_is_set_is_not_kept_on_the_worker() {
    one_that_is_set_is_not_kept(Kind::Worker);
}

/// From the commit on that is decided under it.
fn the_log_says_when_inside_is_allowed(kind: Kind) {
    let mut host = begun(Setup::new(kind));
    host.restart_where("ALLOW_PRIVATE_CALLBACKS", true);
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    host.restart_where("ALLOW_PRIVATE_CALLBACKS", "");
    assert_eq!(host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#).status, 200);
    let log = host.get("/log/export").text();
    let stated = |line: &str| {
        let allowed = line.contains(r#","allowPrivateCallbacks":true}"#);
        (line.contains(r#""settings":{"#), allowed)
    };
    let found: Vec<_> = log.lines().map(stated).collect();
    let wanted = [(true, false), (false, false), (true, true), (true, false)];
    assert_eq!(found, wanted, "{kind:?}: {log}");
}

#[test]
fn the_log_says_when_inside_is_allowed_on_native() {
    the_log_says_when_inside_is_allowed(Kind::Native);
}

#[test]
fn the_log_says_when_inside_is_allowed_on_the_worker() {
    the_log_says_when_inside_is_allowed(Kind::Worker);
}

/// A secret that is too short, and a flag that is neither yes nor no: the host does not start, and
/// says which it was, never what it was.
#[test]
fn what_can_not_be_stops_the_start() {
    let dir = Scratch::new("secrets");
    let refused = |secret: &str, flag: &[&str]| {
        let mut serve = Command::new(native_binary());
        serve.args(["serve", "--listen", "127.0.0.1:0", "--data"]).arg(dir.path().join("data"));
        serve.args(flag).env("FOLDLOG_SECRET", secret);
        let output = serve.output().expect("foldlog starts");
        assert!(!output.status.success());
        String::from_utf8_lossy(&output.stderr).into_owned()
    };
    let said = refused("planted-short", &["--allow-private-callbacks"]);
    assert!(said.contains("FOLDLOG_SECRET is `[hidden]`"), "{said}");
    assert!(said.contains("16 to 1024") && !said.contains("planted"), "{said}");
    let said = refused(PLANTED, &["--allow-private-callbacks", "perhaps"]);
    assert!(said.contains("--allow-private-callbacks"), "{said}");
    assert!(said.contains("true or false"), "{said}");
}
