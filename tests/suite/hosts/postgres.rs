//! The native host on PostgreSQL: nothing acknowledged is lost, and of two hosts on one database one
//! writes, whatever became of the other.
//!
//! Symptom to look for: a position that two hosts gave to different events, a row of one host over
//! the other's log, a host that never finds back to its database. Skipped, and told, where there is
//! no PostgreSQL.

use std::process::{Command, Stdio};
use std::thread;
use std::time::{Duration, Instant};

use foldlog_tests::client::{Answer, Request};
use foldlog_tests::hosts::{Host, Kind, Setup, foldlog, native_command};
use foldlog_tests::postgres::{Database, database};
use foldlog_tests::scratch::{Random, free_port, seed};

use super::crash::{CLIENTS, compare, settle, verify};
use super::load::Load;

const KILLS: usize = 20;

fn setup(database: &Database) -> Setup {
    let mut setup = Setup::new(Kind::Native);
    setup.place = vec!["--store".into(), database.url()];
    setup
}

/// What the host exports comes in on disk, where it verifies and replays to the same head.
fn verify_export(host: &mut Host, when: &str) {
    let mut disk = Setup::new(Kind::Native).start();
    let export = host.get("/log/export").text();
    let mut import = Request::post("/log/import?complete=true", &export);
    import.headers = vec![("Content-Type".into(), "application/x-ndjson".into())];
    let taken = disk.send(&import);
    assert_eq!(taken.status, 200, "{when}: {}", taken.text());
    let heads = [host.get("/log/head").json(), disk.get("/log/head").json()];
    for member in ["position", "hash"] {
        assert_eq!(heads[0][member], heads[1][member], "{when}: {heads:?}");
    }
    assert!(disk.stop(), "{}", disk.log());
    verify(&disk, when);
    let file = disk.sqlite();
    let output = foldlog(&["replay".as_ref(), file.as_os_str(), "--json".as_ref()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let hash = heads[0]["hash"].as_str().unwrap_or("no hash");
    assert!(output.status.success() && said.contains(hash), "{when}: {said}");
}

fn deposit(host: &mut Host) -> Answer {
    host.post("/commands/deposit", r#"{"accountId":"shared","amount":1}"#)
}

fn signal(host: &Host, name: &str) {
    let pid = host.pid().unwrap_or_default().to_string();
    let sent = Command::new("kill").args(["-s", name, &pid]).status();
    assert!(sent.is_ok_and(|status| status.success()), "kill -s {name} {pid}");
}

/// Asks again until the answer is as wanted.
fn soon(what: &str, mut asked: impl FnMut() -> Answer, wanted: impl Fn(&Answer) -> bool) -> Answer {
    let until = Instant::now() + Duration::from_secs(30);
    loop {
        let answer = asked();
        if wanted(&answer) {
            return answer;
        }
        assert!(Instant::now() < until, "{what}: {} {}", answer.status, answer.text());
        thread::sleep(Duration::from_millis(50));
    }
}

#[test]
fn a_host_on_a_database_survives_twenty_kills() {
    let Some(database) = database("a_host_on_a_database_survives_twenty_kills") else { return };
    let mut random = Random(seed("kills on PostgreSQL"));
    let mut host = setup(&database).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    let (mut sent, mut unknown) = (Vec::new(), 0);
    for run in 0..KILLS {
        let when = format!("PostgreSQL, kill {run}");
        let load = Load::start(host.address(), CLIENTS, run);
        let least = if run == 0 { 500 } else { 50 };
        thread::sleep(Duration::from_millis(least + random.below(250) as u64));
        host.kill_9();
        let mut round = load.stop();
        host.restart();
        unknown += round.iter().filter(|sent| sent.unknown()).count();
        settle(&mut host, &mut round, &when);
        sent.append(&mut round);
        compare(&mut host, &sent, &when);
        if run % 5 == 4 {
            verify_export(&mut host, &when);
        }
    }
    assert!(sent.len() > 500, "too little load to prove anything: {}", sent.len());
    assert!(unknown > 0, "no kill hit a command under way");
    println!("PostgreSQL: {KILLS} kills, {} commands, {unknown} settled by key", sent.len());
}

/// All sessions are lost under load: what is acknowledged stays, and it goes on by itself.
#[test]
fn a_host_finds_back_to_a_database_that_dropped_it() {
    let Some(database) = database("a_host_finds_back_to_a_database_that_dropped_it") else {
        return;
    };
    let mut host = setup(&database).start();
    assert_eq!(host.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    let mut sent = Vec::new();
    for run in 0..4 {
        let when = format!("PostgreSQL, dropped {run}");
        let load = Load::start(host.address(), CLIENTS, run);
        thread::sleep(Duration::from_millis(300));
        let process = host.pid().unwrap_or_default();
        assert!(database.end_sessions(process, "%") >= 2, "its lock's and its partition's");
        thread::sleep(Duration::from_millis(700));
        let mut round = load.stop();
        // Most were refused while it was closed, and certainly not done.
        let certain = |answer: &Answer| answer.status == 503 && answer.code() == "restarting";
        round.retain(|sent| !sent.answer.as_ref().is_some_and(certain));
        soon("it works again", || host.get("/health"), |answer| answer.status == 200);
        soon("it takes commands", || settle_one(&mut host), |answer| answer.status != 503);
        settle(&mut host, &mut round, &when);
        sent.append(&mut round);
        compare(&mut host, &sent, &when);
    }
    verify_export(&mut host, "PostgreSQL, dropped");
}

/// A command that is refused, once commands are taken.
fn settle_one(host: &mut Host) -> Answer {
    host.post("/commands/deposit", r#"{"accountId":"nobody","amount":1}"#)
}

#[test]
fn a_second_host_on_a_database_is_refused_or_waits() {
    let Some(database) = database("a_second_host_on_a_database_is_refused_or_waits") else {
        return;
    };
    let mut first = setup(&database).start();
    assert_eq!(first.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    let url = database.url();
    let listen = format!("127.0.0.1:{}", free_port());
    let output = foldlog(&["serve", "--store", &url, "--listen", &listen]);
    let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert_eq!(output.status.code(), Some(2), "{said}");
    let holder = format!("foldlog (process {})", first.pid().unwrap_or_default());
    assert!(said.contains(&holder) && said.contains("--standby"), "{said}");

    let mut standby = setup(&database);
    standby.place.push("--standby".into());
    let (mut client, pid) = (first.client(), first.pid().unwrap_or_default().to_string());
    let ends = thread::spawn(move || {
        thread::sleep(Duration::from_secs(2));
        // Whoever waits does not disturb.
        let body = r#"{"accountId":"shared","amount":1}"#;
        let status = client.send(&Request::post("/commands/deposit", body)).map(|a| a.status);
        let ended = Instant::now();
        let killed = Command::new("kill").args(["-9", &pid]).status();
        assert!(status.is_ok_and(|s| s == 200) && killed.is_ok_and(|s| s.success()));
        ended
    });
    let mut second = standby.start();
    let since = ends.join().unwrap_or_else(|_| panic!("the first one did not serve"));
    println!("taken over {:?} after the end of the first one", since.elapsed());
    assert!(second.log().contains("Foldlog waits"), "{}", second.log());
    let answer = deposit(&mut second);
    assert_eq!((answer.status, &answer.json()["position"]), (200, &3.into()), "{}", answer.text());
    verify_export(&mut second, "taken over");
}

/// A host is stopped, loses sessions, another writes in its place; then it goes on.
fn a_stale_host(database: &Database, lost: &str) {
    let mut stale = setup(database).start();
    assert_eq!(stale.post("/commands/open-account", r#"{"accountId":"shared"}"#).status, 201);
    for _ in 0..5 {
        assert_eq!(deposit(&mut stale).status, 200);
    }
    signal(&stale, "STOP");
    let process = stale.pid().unwrap_or_default();
    assert!(database.end_sessions(process, lost) >= 1, "{lost}");
    let mut taker = setup(database).start();
    for _ in 0..5 {
        let answer = soon("it takes over", || deposit(&mut taker), |answer| answer.status == 200);
        assert!(answer.json()["position"].as_u64() > Some(6), "{}", answer.text());
    }
    signal(&stale, "CONT");
    // It notices by itself: it does not even read what it remembers.
    thread::sleep(Duration::from_secs(1));
    let read = stale.get("/queries/account/shared");
    assert_eq!(read.status, 503, "{}", read.text());
    let until = Instant::now() + Duration::from_secs(4);
    while Instant::now() < until {
        // Nothing of it may be done, nor its rows be stored: it has changed ones since before.
        let refused = deposit(&mut stale);
        assert_eq!(refused.status, 503, "{}", refused.text());
        assert_eq!(deposit(&mut taker).status, 200);
        thread::sleep(Duration::from_millis(50));
    }
    let balance = taker.get("/queries/account/shared").json()["balance"].clone();
    let head = taker.get("/log/head").json();
    assert_eq!(head["position"].as_u64(), balance.as_u64().map(|balance| balance + 1), "{head}");
    verify_export(&mut taker, "beside a stale host");
    // Once the other is gone it serves again, what the other wrote included.
    assert!(taker.stop(), "{}", taker.log());
    soon("it serves again", || deposit(&mut stale), |answer| answer.status == 200);
    let after = stale.get("/queries/account/shared").json()["balance"].clone();
    assert_eq!(after.as_u64(), balance.as_u64().map(|balance| balance + 1));
    verify_export(&mut stale, "back again");
}

#[test]
fn a_stale_host_that_wakes_up_is_refused() {
    let Some(database) = database("a_stale_host_that_wakes_up_is_refused") else { return };
    a_stale_host(&database, "%");
}

/// The partition's own session is alive, and would go on writing if nobody ended it.
#[test]
fn a_stale_host_whose_partition_is_still_connected_is_refused() {
    let test = "a_stale_host_whose_partition_is_still_connected_is_refused";
    let Some(database) = database(test) else { return };
    a_stale_host(&database, "");
}

#[test]
fn many_partitions_share_a_database_that_any_tool_reads() {
    let test = "many_partitions_share_a_database_that_any_tool_reads";
    let Some(database) = database(test) else { return };
    let mut host = setup(&database).set("--partitions-open-max", "", 4).start();
    let name = |n: usize| if n == 0 { "public".into() } else { format!("p-{n}") };
    for n in 0..20 {
        let open = r#"{"accountId":"a","initialBalance":9007199254740981}"#;
        let answer = host.post(&format!("/p/{}/commands/open-account", name(n)), open);
        assert_eq!(answer.status, 201, "{}", answer.text());
    }
    assert_eq!(host.get("/p/nobody/queries/account/a").status, 404);
    assert_eq!(host.get("/health").status, 200);
    let listed = host.get("/partitions?limit=1000").json();
    assert_eq!(listed.as_array().map(Vec::len), Some(20), "{listed}");
    assert!(!listed.to_string().contains("nobody"), "{listed}");
    let lss = "SELECT lss_order_id, lss_partition_id, lss_type, lss_data, \
               lss_metadata ->> 'stream', first_position, pg_typeof(lss_data) FROM \"p-1\".lss \
               WHERE first_position = 1";
    let data = r#"{"initialBalance": 9007199254740981}"#;
    let row = format!("1|p-1|AccountOpened|{data}|BankAccount:a|1|jsonb");
    assert_eq!(database.sql(lss), row);
    let columns = "SELECT string_agg(attname, ' ' ORDER BY attnum) FROM pg_attribute \
                   WHERE attrelid = 'public.lss'::regclass AND attnum > 0";
    let names = "lss_order_id lss_partition_id lss_type lss_data lss_metadata first_position";
    assert_eq!(database.sql(columns), names);
    // What it kept is there for the next process; a dump that is restored elsewhere is held.
    assert!(host.stop(), "{}", host.log());
    host.restart();
    let again = host.post("/p/p-3/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!(again.status, 200, "{}", again.text());
    let Some(copy) = foldlog_tests::postgres::database("a copy") else { return };
    let dump = database.program("pg_dump").output().map(|output| output.stdout);
    let mut restore = copy.program("psql");
    restore.args(["-X", "-q"]).stdin(Stdio::piped()).stdout(Stdio::null()).stderr(Stdio::null());
    let mut restore = restore.spawn().unwrap_or_else(|e| panic!("{e}"));
    let dump = dump.unwrap_or_else(|e| panic!("pg_dump: {e}"));
    let mut into = restore.stdin.take().unwrap_or_else(|| panic!("no way into psql"));
    std::io::Write::write_all(&mut into, &dump).unwrap_or_else(|e| panic!("{e}"));
    drop(into);
    assert!(restore.wait().is_ok_and(|status| status.success()));
    let mut other = setup(&copy).start();
    let held = other.post("/p/p-3/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!((held.status, held.code().as_str()), (409, "held"), "{}", held.text());
    assert_eq!(other.post("/p/p-3/effects/resume", "").status, 200);
    let adopted = other.post("/p/p-3/commands/deposit", r#"{"accountId":"a","amount":1}"#);
    assert_eq!(adopted.status, 200, "{}", adopted.text());
}

#[test]
fn a_database_that_can_not_be_had_is_told_without_its_password() {
    let Some(database) = database("a_database_that_can_not_be_had") else { return };
    let listen = format!("127.0.0.1:{}", free_port());
    let url = database.url();
    let many = ["--partitions-open-max", "1000"];
    for (store, more, why) in [
        ("postgres://u:hidden@127.0.0.1:1/db", [].as_slice(), "the database db at 127.0.0.1"),
        ("postgres://u:hidden@127.0.0.1:x/db", &[], "--store"),
        (&url, &many, "max_connections"),
    ] {
        let mut command = native_command();
        command.args(["serve", "--store", store, "--listen", &listen]).args(more);
        let output = command.stdin(Stdio::null()).output().unwrap_or_else(|e| panic!("{e}"));
        let said = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
        assert_eq!(output.status.code(), Some(2), "{said}");
        assert!(said.contains(why) && !said.contains("hidden"), "{said}");
    }
}
