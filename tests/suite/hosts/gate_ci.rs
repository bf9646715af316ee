//! The workflow of `docs/gate.yml`, run as far as it goes without a network and another checkout:
//! its last two steps, on a log that a native host serves.
//!
//! Symptom to look for: a workflow that passes whatever the guest does, since a flag is gone.

use std::fs;
use std::process::Command;

use foldlog_tests::hosts::{Kind, Setup, foldlog, native_binary};
use foldlog_tests::scratch::{built, root};

/// The commands of the step with this name.
fn step(workflow: &str, name: &str) -> String {
    let rest = workflow.split_once(&format!("- name: {name}\n")).expect("the step").1;
    let rest = rest.split_once("run: ").expect("its commands").1;
    let mut lines = rest.lines();
    match lines.next() {
        Some("|") => {
            let own = lines.take_while(|line| line.starts_with("          "));
            own.map(|line| format!("{}\n", line.trim())).collect()
        }
        Some(one) => one.to_string(),
        None => String::new(),
    }
}

#[test]
fn the_workflow_passes_and_fails_where_it_should() {
    let workflow = fs::read_to_string(root().join("docs/gate.yml")).expect("docs/gate.yml");
    let lending = |name: &str| built(root().join("build").join(name).join("guest.wasm"), "test");
    let mut setup = Setup::stamped(Kind::Native);
    setup.guest = Some(lending("lending-next"));
    let mut host = setup.start();
    for (command, body) in [
        ("add-book", r#"{"bookId":"emma","title":"Emma"}"#),
        ("lend-book", r#"{"bookId":"emma","member":"bob","branch":"n"}"#),
    ] {
        assert!(host.post(&format!("/commands/{command}"), body).status < 300, "{body}");
    }
    let dir = host.data().parent().expect("its directory").join("checkout");
    fs::create_dir_all(dir.join("build")).expect("a directory");
    let run = |script: &str| {
        let script = script.replace("target/host/foldlog", &native_binary().display().to_string());
        let mut command = Command::new("bash");
        command.args(["-euo", "pipefail", "-c", &script]).current_dir(&dir);
        command.env("FOLDLOG_URL", format!("http://{}", host.address()));
        let ended = command.output().expect("bash");
        let said = [ended.stdout, ended.stderr].concat();
        (ended.status.code(), String::from_utf8_lossy(&said).into_owned())
    };
    if foldlog(&["pull", "--help"]).status.success() {
        let (code, said) = run(&step(&workflow, "Pull the log that is live"));
        assert_eq!(code, Some(0), "{said}");
    } else {
        fs::copy(host.sqlite(), dir.join("live.sqlite")).expect("the file is copied");
        let wal = format!("{}-wal", host.sqlite().display());
        fs::copy(wal, dir.join("live.sqlite-wal")).expect("its journal is copied");
    }
    fs::copy(lending("lending-next"), dir.join("live.wasm")).expect("the live guest");
    fs::copy(lending("planted"), dir.join("build/guest.wasm")).expect("the new guest");
    let (code, said) = run(&step(&workflow, "Gate"));
    assert_eq!(code, Some(0), "another build of the same source: {said}");
    assert!(said.contains("passed    the new guest does what the old one did"), "{said}");
    // The first switch: bob may not borrow books any more.
    let mut bytes = fs::read(lending("planted")).expect("the module");
    let mark = b"foldlog-plants:";
    let at = (0..bytes.len()).find(|at| bytes[*at..].starts_with(mark)).expect("the switches");
    bytes[at + mark.len() + 1] = b'x';
    fs::write(dir.join("build/guest.wasm"), bytes).expect("the changed guest");
    let (code, said) = run(&step(&workflow, "Gate"));
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("refused:LendBook"), "{said}");
    fs::write(dir.join("gate-allow"), "decision\nrefused:LendBook\n").expect("what is meant");
    let (code, said) = run(&step(&workflow, "Gate"));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.contains("(allowed)"), "{said}");
}
