//! A log that came into being on workerd, with all domains, effects, rebuilds, restarts and kills,
//! read natively: pulled, and from the Durable Object's own file; and shown by `serve --source`.
//!
//! Symptom to look for: a fold that comes to other rows here than there. Owns that life of a log.

use std::net::SocketAddr;
use std::path::Path;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use foldlog_tests::client::{Client, Request};
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog_where, native_command};
use foldlog_tests::receiver::{Receiver, Say};
use foldlog_tests::scratch::{Scratch, built, free_port, root};

use super::emails::{KEY, order, with_emails};
use super::sources::{contents, replayed, run, text};

/// Something of every domain; ids differ by round.
fn lived(host: &mut Host, round: usize) {
    let issue = |id: &str, from: &str, to: &str, event: &str| {
        let target = format!("/issues/{id}/transitions");
        (target, format!(r#"{{"fromState":"{from}","toState":"{to}","event":"{event}"}}"#))
    };
    let id = format!("i-{round}");
    let requests = [
        (
            "/commands/open-account".into(),
            format!(r#"{{"accountId":"a-{round}","initialBalance":90}}"#),
        ),
        ("/commands/open-account".into(), format!(r#"{{"accountId":"b-{round}"}}"#)),
        (
            "/commands/transfer".into(),
            format!(
                r#"{{"transferId":"t-{round}","fromAccountId":"a-{round}","toAccountId":"b-{round}","amount":9}}"#
            ),
        ),
        (
            "/commands/transfer".into(),
            format!(
                r#"{{"transferId":"u-{round}","fromAccountId":"a-{round}","toAccountId":"none","amount":9}}"#
            ),
        ),
        ("/issues".into(), format!(r#"{{"id":"{id}","title":"An issue"}}"#)),
        issue(&id, "TODO", "IN_PROGRESS", "start_work"),
        ("/executions".into(), format!(r#"{{"id":"e-{round}"}}"#)),
        (
            format!("/executions/e-{round}/transitions"),
            r#"{"fromState":"PENDING","toState":"RUNNING","event":"execute"}"#.into(),
        ),
        (
            "/create-subscription".into(),
            format!(r#"{{"plan":"gold","createdBy":"admin-{round}@site.com"}}"#),
        ),
        (
            "/assign-members".into(),
            format!(r#"{{"subscriptionId":"sub-{}","members":["m@example.com"]}}"#, round + 1),
        ),
        (
            "/topics".into(),
            format!(r#"{{"name":"t-{round}x","schemas":[{{"type":"n","required":["n"]}}]}}"#),
        ),
        (
            "/events".into(),
            format!(r#"[{{"topic":"t-{round}x","type":"n","payload":{{"n":1.0e0}}}}]"#),
        ),
        (format!("/snapshots/account/a-{round}"), "{}".into()),
        ("/projections/rebuild".into(), r#"{"name":"DailySummary"}"#.into()),
    ];
    for (target, body) in requests {
        let answer = host.post(&target, &body);
        assert!(answer.status < 300, "{target} {body}: {}", answer.text());
    }
    for n in 0..12 {
        let deposit = format!(r#"{{"accountId":"a-{round}","amount":{}}}"#, n + 1);
        let request = Request::post("/commands/deposit", &deposit);
        let keyed = request.header("Idempotency-Key", &format!("k-{round}-{n}"));
        assert_eq!(host.send(&keyed).status, 200);
    }
}

/// Waits until nothing is under way and all rows are stored.
fn settled(host: &mut Host) {
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        let head = host.get("/log/head").json();
        let open = host.get("/effects?status=pending").json();
        let built = host.get("/projections").json();
        let live = built.as_array().is_some_and(|all| all.iter().all(|one| one["state"] == "live"));
        let done = open.as_array().is_some_and(Vec::is_empty);
        if head["checkpoint"] == head["position"] && done && live {
            return;
        }
        assert!(Instant::now() < until, "it does not come to rest: {head} {open} {built}");
        // Asking all the time would keep it from resting.
        std::thread::sleep(Duration::from_millis(2_500));
    }
}

/// `foldlog serve --source`.
struct Shown {
    child: Child,
    client: Client,
}

impl Shown {
    fn start(arguments: &[&str], environment: &[(&str, String)]) -> Self {
        let address = SocketAddr::from(([127, 0, 0, 1], free_port()));
        let mut command = native_command();
        command.envs(environment.iter().map(|(name, value)| (name, value)));
        command.arg("serve").args(arguments).args(["--listen", &address.to_string()]);
        command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
        let child = command.spawn().expect("foldlog starts");
        let mut client = Client::new(address);
        let until = Instant::now() + Duration::from_secs(60);
        while client.send(&Request::get("/health")).is_err() {
            assert!(Instant::now() < until, "it does not answer");
            std::thread::sleep(Duration::from_millis(20));
        }
        Self { child, client }
    }

    fn get(&mut self, target: &str) -> (u16, String) {
        let answer = self.client.send(&Request::get(target)).expect("an answer");
        (answer.status, answer.text())
    }
}

impl Drop for Shown {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// It is read like any other, and nothing else.
fn is_shown(source: &Path, expected: &str) {
    let mut shown = Shown::start(&["--source", text(source)], &[]);
    assert_eq!(shown.get("/queries/account/a-0"), (200, expected.into()), "{}", source.display());
    for (target, body) in [
        ("/commands/deposit", r#"{"accountId":"a-0","amount":1}"#),
        ("/effects/resume", "{}"),
        ("/projections/rebuild", r#"{"name":"DailySummary"}"#),
        ("/p/another/commands/open-account", r#"{"accountId":"a"}"#),
        ("/p/another/log/import", ""),
    ] {
        let answer = shown.client.send(&Request::post(target, body)).expect("an answer");
        assert_eq!((answer.status, answer.code()), (409, "held".into()), "{target}");
    }
    assert_eq!(shown.get("/partitions"), (200, r#"[{"name":"main"}]"#.into()));
}

#[test]
fn a_log_of_the_edge_is_read_natively() {
    let mut host = Setup::new(Kind::Worker).start();
    let here = Scratch::new("edge");
    let (file, ndjson) = (here.path().join("log.sqlite"), here.path().join("log.ndjson"));
    for round in 0..3 {
        lived(&mut host, round);
        if round == 1 {
            settled(&mut host);
        }
        host.kill_9();
        host.restart();
        let url = format!("http://{}", host.address());
        for path in [&file, &ndjson] {
            let (code, said) = run(&["pull", &url, "-o", text(path)]);
            assert_eq!(code, Some(0), "{said}");
        }
    }
    settled(&mut host);
    let (url, data) = (format!("http://{}", host.address()), host.data());
    let head = host.get("/log/head").json();
    let expected = format!("{}:{}", head["position"], head["hash"].as_str().expect("a hash"));
    for path in [&file, &ndjson] {
        let (code, said) = run(&["pull", &url, "-o", text(path)]);
        assert_eq!(code, Some(0), "{said}");
    }
    // The object's file has its rows: all of them are what this host folds.
    for running in [true, false] {
        let object = ["--wrangler", text(&data)];
        for flags in [&[][..], &["--chain"]] {
            let verify = ["verify", "--expect-head", &expected];
            let (code, said) = run(&[&verify[..], flags, &object].concat());
            assert_eq!(code, Some(0), "running: {running}: {said}");
            let rows = format!("rows      as of position {}", head["position"]);
            assert!(said.contains(&rows) || !flags.is_empty(), "{said}");
        }
        let rows = replayed(&object);
        for path in [&file, &ndjson] {
            let (code, said) = run(&["verify", text(path), "--expect-head", &expected]);
            assert_eq!(code, Some(0), "{said}");
            assert_eq!(replayed(&[text(path)]), rows, "{}", path.display());
        }
        for source in [&object[..], &[text(&file)], &[text(&ndjson)]] {
            // The same bytes as ran there: all that is recorded comes out again.
            let (code, said) = run(&[&["redecide"], source].concat());
            assert_eq!(code, Some(0), "running: {running}, {source:?}: {said}");
        }
        if running {
            let account = host.get("/queries/account/a-0").text();
            host.kill_9();
            let before = (contents(&data), contents(here.path()));
            for source in [&file, &ndjson, &data] {
                is_shown(source, &account);
            }
            assert_eq!((contents(&data), contents(here.path())), before, "no source is written to");
        }
    }
}

/// An email is due in this log. Whoever only reads it calls nobody, whatever the environment has.
#[test]
fn reading_opens_no_connection() {
    let receiver = Receiver::start(|_, _| Say::Status(202, String::new()));
    receiver.close(true);
    let mut host = with_emails(Kind::Native, &receiver).start();
    order(&mut host, "waiting");
    host.kill_9();
    let (data, here) = (host.data(), Scratch::new("quiet"));
    let guest = built(root().join("build/guest-faults.wasm"), "test");
    let environment = [
        ("SENDGRID_URL", receiver.url()),
        ("SENDGRID_API_KEY", KEY.to_string()),
        ("EMAIL_FROM", "log@example.com".to_string()),
    ];
    receiver.close(false);
    // What the host began is counted by then.
    std::thread::sleep(Duration::from_millis(300));
    let before = (receiver.connections(), receiver.heard().len());
    let cut = here.path().join("cut.sqlite");
    let (other, copy) = (here.path().join("other"), here.path().join("log.ndjson"));
    for arguments in [
        &["verify", text(&data), "--guest", text(&guest)][..],
        &["verify", text(&data), "--chain"],
        &["replay", text(&data), "--guest", text(&guest)],
        &["at", text(&data), "--position", "1", "--guest", text(&guest)],
        &["redecide", text(&data), "--guest", text(&guest)],
        &["gate", text(&data), "--guest-old", text(&guest), "--guest", text(&guest)],
        &["export", text(&data), "-o", text(&copy)],
        &["truncate", text(&data), "--after", "0", "--to", text(&cut)],
        &["import", text(&copy), "--data", text(&other), "--guest", text(&guest)],
    ] {
        let output = foldlog_where(arguments, &environment);
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(0), "{arguments:?}: {said}");
    }
    let mut shown = Shown::start(&["--source", text(&data), "--guest", text(&guest)], &environment);
    let held = shown.get("/effects");
    assert!(held.0 == 200 && held.1.contains("waiting@example.com"), "{held:?}");
    // Longer than the first wait before an attempt.
    std::thread::sleep(Duration::from_millis(2_500));
    assert_eq!((receiver.connections(), receiver.heard().len()), before);
}
