//! A golden log that two modules wrote one after the other: schema versions, versions of commands
//! and of what process managers asked for. Made once, never edited; `golden` says how.
//!
//! Both modules still read it, each as far as it can, and answer the same for ever.

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::MemoryStore;
use foldlog_core::registry::Registry;

use super::golden::{same_answers, text};
use super::{export, python, store_of};
use crate::engine::kit::{self, Setup, done, get, request};
use crate::engine::versions::tills;

fn setup(registry: fn() -> Registry) -> Setup {
    Setup { registry, ..Setup::default() }
}

fn make_log() -> String {
    let post = |target: &str, body: &str| request("POST", target, body, &[]);
    let mut one = setup(tills::first).open(MemoryStore::default());
    for body in [
        r#"{"tillId":"a","sum":9007199254740000}"#,
        r#"{"tillId":"b","sum":2}"#,
        r#"{"tillId":"a","sum":666}"#,
    ] {
        done(&mut one, post("/commands/ring", body));
    }
    let mut two = setup(tills::second).open(one.store().clone());
    done(&mut two, post("/commands/ring", r#"{"tillId":"a","amount":5}"#));
    done(&mut two, post("/commands/refund", r#"{"tillId":"c","amount":3,"from":"a"}"#));
    // What the first module asked for is done by the second, and what that one did.
    done(&mut two, post("/test/wake", r#"{"advanceMs":7200000}"#));
    done(&mut two, post("/commands/ring", r#"{"tillId":"c","amount":1}"#));
    let mut one = setup(tills::first).open(two.store().clone());
    done(&mut one, post("/commands/ring", r#"{"tillId":"d","sum":4}"#));
    done(&mut one, post("/test/wake", r#"{"advanceMs":14400000}"#));
    String::from_utf8(export(&kit::lines(one.store()))).expect("a log is UTF-8")
}

fn log() -> Vec<String> {
    text("changed.ndjson", make_log).lines().map(String::from).collect()
}

#[test]
fn it_verifies_and_holds_every_version() {
    let lines = log();
    let head = kit::check_log(&store_of(&lines));
    let mut chain = chain::Chain::default();
    lines.iter().for_each(|line| chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let (code, said) = python(Ok(&export(&lines)));
    let expected = format!("position {head} hash {}", chain::hex(&chain.hash));
    assert_eq!((code, said), (Some(0), expected));
    let all = lines.join("\n");
    for part in [
        r#""type":"Rung","schemaVersion":"3.0.0""#,
        r#""command":{"name":"Ring","version":2,"data""#,
        r#""command":"Audit","version":2,"data":{"by":"two at "#,
        r#""command":"Audit","data":{}}"#,
        r#""data":{"by":"nobody"}"#,
        "Till knows no version 2 of Audit",
    ] {
        assert!(all.contains(part), "{part}");
    }
    for line in lines.iter().skip(1) {
        let commit = Commit::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let (written, _) = line.rsplit_once(",\"hash\"").expect("a hash");
        assert_eq!(commit.line().rsplit_once(",\"hash\"").expect("a hash").0, written);
    }
}

#[test]
fn each_module_answers_the_same_over_it() {
    let mut answers = String::new();
    let modules: [fn() -> Registry; 3] = [tills::first, tills::second, tills::three::registry];
    for (name, registry) in (1..).zip(modules) {
        let mut bank = setup(registry).open(store_of(&log()));
        for target in [
            "/queries/till/a",
            "/queries/till/a?atVersion=1",
            "/queries/till/b",
            "/queries/till/c",
            "/queries/till/d",
            "/events/till/a",
            "/projections/Takings",
        ] {
            let (status, body) = kit::run(&mut bank, get(target));
            answers.push_str(&format!("module {name}: GET {target}\n{status} {body}\n"));
        }
    }
    same_answers("changed-answers.txt", &answers);
}
