//! One writer: a second host on the same directory refuses to start, a log of someone else's is
//! only read; reading verbs mind neither.

use std::process::Stdio;
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::hosts::{Kind, Setup, foldlog, native_command};
use foldlog_tests::scratch::free_port;

#[test]
fn a_second_host_on_the_same_directory_exits_with_a_message() {
    let mut host = Setup::new(Kind::Native).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    let mut second = native_command();
    second.arg("serve").arg("--data").arg(host.data());
    second.arg("--listen").arg(format!("127.0.0.1:{}", free_port()));
    second.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = second.spawn().unwrap_or_else(|e| panic!("{e}"));
    let until = Instant::now() + Duration::from_secs(20);
    while child.try_wait().is_ok_and(|status| status.is_none()) {
        if Instant::now() > until {
            let _ = child.kill();
            panic!("the second host went on");
        }
        thread::sleep(Duration::from_millis(20));
    }
    let output = child.wait_with_output().unwrap_or_else(|e| panic!("{e}"));
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_ne!(output.status.code(), Some(0), "{said}");
    assert!(output.status.code().is_some(), "killed by a signal: {said}");
    assert!(!said.trim().is_empty(), "the second host said nothing");
    println!("{said}");
    // The first one did not notice.
    let deposit = host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!(deposit.status, 200, "{}", deposit.text());
}

/// A log without this host's owner file may be another's: it is read, and takes no commands.
#[test]
fn a_log_of_another_owner_is_held() {
    let mut host = Setup::new(Kind::Native).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
    host.kill_9();
    let owner = host.data().join("main.owner");
    std::fs::remove_file(&owner).unwrap_or_else(|e| panic!("{}: {e}", owner.display()));
    host.restart();
    assert_eq!(host.get("/queries/account/a").status, 200);
    let refused = host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!((refused.status, refused.code().as_str()), (409, "held"), "{}", refused.text());
    assert_eq!(host.get("/log/head").json()["position"], 1);
}

/// `verify` and `replay` work on the directory and on the file, while the host serves.
#[test]
fn reading_verbs_work_on_a_live_directory() {
    let mut host = Setup::new(Kind::Native).start();
    host.post("/commands/open-account", r#"{"accountId":"a"}"#);
    for n in 1..50 {
        let done = host.post("/commands/deposit", &format!(r#"{{"accountId":"a","amount":{n}}}"#));
        assert_eq!(done.status, 200);
        if n % 10 != 0 {
            continue;
        }
        let head = host.get("/log/head").json();
        let hash = head["hash"].as_str().unwrap_or("no hash").to_string();
        for source in [host.data(), host.sqlite()] {
            for verb in ["verify", "replay"] {
                let output = foldlog(&[verb.as_ref(), source.as_os_str(), "--json".as_ref()]);
                let said = [output.stdout, output.stderr].concat();
                let said = String::from_utf8_lossy(&said).into_owned();
                assert_eq!(output.status.code(), Some(0), "{verb} {}: {said}", source.display());
                assert!(said.contains(&hash), "{verb} does not tell the head {hash}: {said}");
            }
        }
    }
}

/// A Durable Object's file is replayed natively, while workerd has it open.
#[test]
fn reading_verbs_work_on_a_durable_objects_file() {
    let mut host = Setup::stamped(Kind::Worker).start();
    host.post("/commands/open-account", r#"{"accountId":"a","initialBalance":5}"#);
    host.post("/commands/withdraw", r#"{"accountId":"a","amount":5}"#);
    let head = host.get("/log/head").json();
    let hash = head["hash"].as_str().unwrap_or("no hash").to_string();
    for verb in ["verify", "replay"] {
        let file = host.sqlite();
        let output = foldlog(&[verb.as_ref(), file.as_os_str(), "--json".as_ref()]);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{verb} {}: {said}", file.display());
        assert!(said.contains(&hash), "{verb} does not tell the head {hash}: {said}");
    }
    let again = host.post("/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!(again.status, 200, "the source was disturbed: {}", again.text());
}
