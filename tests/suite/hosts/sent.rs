//! Emails and the end of the process: none is lost, and one that is sent again has the id it had.
//!
//! Symptom to look for: a kill between the commit and the call that loses the call, one between the
//! call and its record that gives it another id; and a call by someone who only reads a log.

use std::collections::{BTreeMap, BTreeSet};
use std::fs;
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::Request;
use foldlog_tests::hosts::{Host, Kind, foldlog_where};
use foldlog_tests::receiver::{Receiver, Say};
use foldlog_tests::scratch::{Random, seed};
use rusqlite::Connection;

use super::crash::verify;
use super::emails::{KEY, effects, order, with_emails};

fn accepts() -> Receiver {
    Receiver::start(|_, _| Say::Status(202, String::new()))
}

/// Waits until all emails that were ordered have been sent.
pub fn settled(host: &mut Host, wanted: usize, when: &str) {
    let until = Instant::now() + Duration::from_secs(40);
    loop {
        let found = effects(host, "&status=succeeded").len();
        if found == wanted {
            return;
        }
        assert!(Instant::now() < until, "{when}: {found} of {wanted} sent\n{}", host.log());
        thread::sleep(Duration::from_millis(50));
    }
}

/// In turns: killed as soon as the command is answered, killed while the receiver thinks about the
/// call, killed right after the receiver has said yes.
fn killed_around_the_call(kind: Kind, kills: usize) {
    let mut random = Random(seed(&format!("kills around calls of {kind:?}")));
    let receiver = accepts();
    let mut host = with_emails(kind, &receiver).start();
    let mut unrecorded = 0;
    for kill in 0..kills {
        let (name, when) = (format!("k-{kill}"), format!("{kind:?}, kill {kill}"));
        let to = format!("{name}@example.com");
        receiver.close(kill % 3 == 1);
        order(&mut host, &name);
        match kill % 3 {
            0 => thread::sleep(Duration::from_micros(random.below(3_000) as u64)),
            1 => receiver.wait_for(&when, |heard| heard.to() == to),
            _ => {
                receiver.wait_for(&when, |heard| heard.to() == to);
                thread::sleep(Duration::from_micros(random.below(3_000) as u64));
            }
        }
        host.kill_9();
        receiver.close(false);
        host.restart();
        let before = receiver.heard().len();
        settled(&mut host, kill + 1, &when);
        unrecorded += usize::from(receiver.heard().len() > before);
    }
    let listed = effects(&mut host, "&status=succeeded");
    let ids: BTreeSet<String> =
        listed.iter().filter_map(|effect| effect["id"].as_str().map(str::to_string)).collect();
    assert_eq!(ids.len(), kills);
    let mut by_id: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for heard in receiver.heard() {
        by_id.entry(heard.effect_id()).or_default().push(heard.body);
    }
    assert_eq!(by_id.keys().cloned().collect::<BTreeSet<_>>(), ids, "{kind:?}: one is missing");
    for (id, bodies) in &by_id {
        assert!(bodies.iter().all(|body| *body == bodies[0]), "{kind:?}: {id}: {bodies:?}");
    }
    let (calls, again) =
        (receiver.heard().len(), by_id.values().filter(|all| all.len() > 1).count());
    println!("{kind:?}: {kills} kills, {calls} calls, {again} emails sent again under their ids");
    assert!(again > 0 && unrecorded > 0, "{kind:?}: no kill came between a call and its record");
    host.kill_9();
    verify(&host, &format!("{kind:?}, in the end"));
}

#[test]
fn no_email_is_lost_by_fifty_kills_of_native() {
    killed_around_the_call(Kind::Native, 50);
}

#[test]
fn no_email_is_lost_by_twenty_kills_of_the_worker() {
    killed_around_the_call(Kind::Worker, 20);
}

/// The platform keeps alarms in a file of its own. When that is lost, whoever asks for the partition
/// next has what is due done; and when one goes off although all is done, nothing is done again.
#[test]
fn an_alarm_lost_or_one_too_many_changes_nothing() {
    let receiver = accepts();
    receiver.close(true);
    let mut host = with_emails(Kind::Worker, &receiver).start();
    order(&mut host, "a");
    receiver.wait_for("the call", |heard| heard.to() == "a@example.com");
    host.kill_9();
    receiver.close(false);
    let alarms = host.data().join("foldlog-Partition/metadata.sqlite");
    assert!(alarms.exists(), "no alarm was set");
    for ending in ["", "-wal", "-shm"] {
        let _ = fs::remove_file(format!("{}{ending}", alarms.display()));
    }
    host.restart();
    thread::sleep(Duration::from_secs(3));
    settled(&mut host, 1, "without an alarm");
    let calls = receiver.heard().len();
    // Set at the call and at each write; those go off from now on.
    for _ in 0..3 {
        assert!(host.post("/commands/tick", r#"{"chaosId":"x"}"#).status < 300);
        thread::sleep(Duration::from_millis(2_500));
    }
    assert_eq!(receiver.heard().len(), calls, "an alarm too many called again");
    assert_eq!(effects(&mut host, "&status=succeeded").len(), 1);
}

/// A stop waits for calls under way: what they came to is in the log, and no one repeats them.
#[test]
fn a_stop_waits_for_calls() {
    let receiver = Receiver::start(|_, _| {
        thread::sleep(Duration::from_millis(300));
        Say::Status(202, String::new())
    });
    let mut host = with_emails(Kind::Native, &receiver).start();
    for n in 0..5 {
        order(&mut host, &format!("n-{n}"));
    }
    receiver.wait_for("the last one", |heard| heard.to() == "n-4@example.com");
    assert!(host.stop(), "{}", host.log());
    host.restart();
    settled(&mut host, 5, "after the stop");
    assert_eq!(receiver.heard().len(), 5, "one was repeated");
}

/// And one that no answer comes to is made again, after a stop that did not wait for ever.
#[test]
fn a_stop_does_not_wait_for_ever() {
    let receiver = accepts();
    receiver.close(true);
    let mut host = with_emails(Kind::Native, &receiver).start();
    order(&mut host, "a");
    receiver.wait_for("the call", |heard| heard.to() == "a@example.com");
    let started = Instant::now();
    assert!(host.stop(), "{}", host.log());
    assert!(started.elapsed() < Duration::from_secs(5), "{:?}", started.elapsed());
    receiver.close(false);
    host.restart();
    settled(&mut host, 1, "after the stop");
    let heard = receiver.heard();
    assert_eq!((heard.len(), &heard[0].body), (2, &heard[1].body));
}

/// The hot path writes the block and nothing else (DESIGN, cost model), also when a commit asks for an
/// effect: its rows are stored by the next checkpoint, with all others.
#[test]
fn a_commit_with_an_effect_stores_its_block_alone() {
    let receiver = accepts();
    receiver.close(true);
    let setup = with_emails(Kind::Native, &receiver);
    let setup = setup.set("--checkpoint-idle-ms", "CHECKPOINT_IDLE_MS", 3_600_000);
    let mut host = setup.start();
    order(&mut host, "first");
    let stored = |host: &Host| -> (i64, i64) {
        let file = Connection::open(host.sqlite()).expect("the file");
        let count = |table: &str| {
            file.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0))
        };
        (count("log").expect("blocks"), count("rows").expect("rows"))
    };
    let (blocks, rows) = stored(&host);
    for n in 0..40 {
        order(&mut host, &format!("n-{n}"));
    }
    receiver.wait_for("the last one", |heard| heard.to() == "n-39@example.com");
    assert_eq!(stored(&host), (blocks + 40, rows));
    receiver.close(false);
    settled(&mut host, 41, "after the receiver answers");
}

/// Whoever folds, checks, rebuilds or imports a log full of emails calls nobody, and neither does
/// a host that does not own it.
#[test]
fn who_only_reads_a_log_calls_nobody() {
    let (receiver, silent) = (accepts(), accepts());
    let mut host = with_emails(Kind::Native, &receiver).start();
    for n in 0..50 {
        order(&mut host, &format!("n-{n}"));
    }
    settled(&mut host, 50, "at first");
    receiver.close(true);
    for n in 50..60 {
        order(&mut host, &format!("n-{n}"));
    }
    let export = host.get("/log/export");
    host.kill_9();
    let file = host.sqlite();
    let away = [("SENDGRID_URL", silent.url()), ("SENDGRID_API_KEY", KEY.into())];
    let away = [away.as_slice(), &[("EMAIL_FROM", "a@b.c".into())]].concat();
    let guest = foldlog_tests::scratch::root().join("build/guest-faults.wasm");
    for verb in ["verify", "replay"] {
        let arguments = [verb.as_ref(), file.as_os_str(), "--guest".as_ref(), guest.as_os_str()];
        let output = foldlog_where(&arguments, &away);
        assert!(output.status.success(), "{verb}: {}", String::from_utf8_lossy(&output.stderr));
    }
    // What the killed host left in the journal belongs to the copy.
    let journal = Connection::open(&file).expect("the file");
    journal.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |_| Ok(())).expect("checkpointed");
    drop(journal);
    let copy = fs::read(&file).expect("the file");
    // Someone else's host: the same file, and no owner beside it.
    let mut other = with_emails(Kind::Native, &silent).start();
    other.kill_9();
    fs::write(other.data().join("main.sqlite"), &copy).expect("copied");
    other.restart();
    only_reads(&mut other, &export.body, &silent);
    let mut worker = with_emails(Kind::Worker, &silent).start();
    only_reads(&mut worker, &export.body, &silent);
    // Its own host after all rows are gone: what was sent is folded, and stays sent.
    receiver.close(false);
    host.restart();
    settled(&mut host, 60, "when it goes on");
    host.kill_9();
    let rows = Connection::open(&file).expect("the file");
    rows.execute("DELETE FROM rows", []).expect("rows");
    drop(rows);
    host.restart_where("SENDGRID_URL", silent.url());
    assert_eq!(effects(&mut host, "&status=succeeded").len(), 60);
    assert_eq!(host.post("/projections/rebuild", r#"{"name":"Fragile"}"#).status, 202);
    thread::sleep(Duration::from_secs(3));
    assert_eq!(silent.connections(), 0, "a log that is only read called someone");
}

fn only_reads(host: &mut Host, export: &[u8], silent: &Receiver) {
    let mut import = Request::post("/p/copy/log/import?complete=true", "");
    import.headers = vec![("Content-Type".into(), "application/x-ndjson".into())];
    import.body = export.to_vec();
    let imported = host.send(&import);
    assert_eq!(imported.status, 200, "{}", imported.text());
    let mut held = vec!["/p/copy"];
    if host.kind() == Kind::Native {
        held.push("");
    }
    for partition in held {
        let target = format!("{partition}/effects?limit=1000&status=held");
        let listed = host.get(&target).json();
        assert!(listed.as_array().is_some_and(|all| all.len() >= 10), "{target}: {listed}");
        let refused = host.post(&format!("{partition}/commands/tick"), r#"{"chaosId":"x"}"#);
        assert_eq!(refused.code(), "held");
    }
    thread::sleep(Duration::from_secs(3));
    assert_eq!(silent.connections(), 0, "{:?}: a log of elsewhere called someone", host.kind());
}
