//! The README, run: its shell blocks against a native host, in order, as a newcomer would.
//!
//! Owns which blocks are commands for a running host. `make`, `npx` and the like start hosts or
//! deploy; what they do is tested elsewhere.

use std::fs;
use std::process::Command;

use foldlog_tests::hosts::{Kind, Setup, native_binary};
use foldlog_tests::scratch::root;

/// The fenced `sh` blocks of a text.
fn blocks(text: &str) -> Vec<String> {
    let mut blocks = Vec::new();
    let mut block: Option<String> = None;
    for line in text.lines() {
        match (&mut block, line) {
            (None, "```sh") => block = Some(String::new()),
            (Some(_), "```") => blocks.extend(block.take()),
            (Some(lines), line) => {
                lines.push_str(line);
                lines.push('\n');
            }
            (None, _) => {}
        }
    }
    blocks
}

#[test]
fn the_readme_does_what_it_says() {
    let host = Setup::new(Kind::Native).start();
    let readme = fs::read_to_string(root().join("README.md")).expect("README.md");
    let mut output = String::new();
    let mut run = 0;
    for block in blocks(&readme) {
        let host_block =
            block.contains("http://localhost:3000/") || block.starts_with("target/host/foldlog");
        if !host_block {
            continue;
        }
        let script = block
            .replace("http://localhost:3000", &format!("http://{}", host.address()))
            .replace("target/host/foldlog", &native_binary().display().to_string())
            .replace(" data ", &format!(" {} ", host.data().display()));
        let ended = Command::new("sh").args(["-euc", &script]).output().expect("sh");
        let said = String::from_utf8_lossy(&ended.stdout).into_owned();
        let errors = String::from_utf8_lossy(&ended.stderr);
        assert!(ended.status.success(), "{block}\n{said}\n{errors}");
        assert!(!said.contains("urn:foldlog:"), "{block}\n{said}");
        output.push_str(&said);
        run += 1;
    }
    assert_eq!(run, 16, "blocks for a running host");
    for expected in [
        "201 Created",
        r#""version":3"#,
        r#""transactionCount":2"#,
        r#""eventType":"AccountClosed""#,
        r#""summary":{"deposits":1500,"withdrawals":1500,"netChange":0}"#,
        r#""status":"IN_PROGRESS","transitionCount":1"#,
        r#""state":{"title":"Event sourcing","status":"IN_PROGRESS""#,
        r#""members":["admin@site.com","bob@example.com"]"#,
        r#"{"position":0,"format":1,"partition":"main""#,
        "event: MoneyDeposited\ndata: {",
        r#"{"specversion":"1.0","id":"evt-001","source":"/p/main","type":"AccountOpened""#,
        "clean",
        "\ncorrelation evt-001: ",
        "\nchanged: 1\n",
        "files     ",
        "\nsame      all ",
        "clean     the chain holds",
        r#""partition":"copy","position":"#,
        r#""complete":true"#,
        r#""secret":"whsec_"#,
    ] {
        assert!(output.contains(expected), "{expected} is missing from:\n{output}");
    }
}
