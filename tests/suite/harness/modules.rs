//! `guest`, `selftest`, `completions`, `man`: what the program says of a module and of itself.

use std::fs;
use std::io::Write;
use std::process::{Command, Stdio};

use foldlog_core::chain::{hex, sha256};
use foldlog_core::registry::Registry;
use foldlog_tests::scratch::{Scratch, built, root};
use serde_json::Value;

use super::{run, said, told};

fn guest(name: &str) -> String {
    built(root().join("build").join(name), "test").display().to_string()
}

#[test]
fn a_module_is_described() {
    let own = told(&["guest", "--json"]);
    assert_eq!(own, told(&["guest", &guest("guest.wasm"), "--json"]));
    let bytes = fs::read(guest("guest.wasm")).expect("the guest");
    assert_eq!(own["sha256"], hex(&sha256(&[&bytes])));
    assert_eq!((&own["bytes"], &own["imports"]), (&bytes.len().into(), &serde_json::json!([])));
    let gzipped = own["bytesGzipped"].as_u64().expect("a number");
    assert!(gzipped > 100_000 && gzipped < bytes.len() as u64, "{gzipped}");
    let registry = Registry::standard();
    let texts = |value: &Value| -> Vec<String> {
        let all = value.as_array().expect("a list").iter();
        all.map(|one| one.as_str().expect("a text").to_string()).collect()
    };
    let specs = registry.aggregates.iter().map(|aggregate| aggregate.spec());
    let events: Vec<&str> = specs.flat_map(|spec| spec.events.iter().copied()).collect();
    assert_eq!(texts(&own["events"]), events);
    for (listed, projection) in
        own["projections"].as_array().expect("a list").iter().zip(&registry.projections)
    {
        let spec = projection.spec();
        assert_eq!(
            (&listed["name"], &listed["revision"]),
            (&spec.name.into(), &spec.revision.into())
        );
    }
    assert_eq!(own["aggregates"].as_array().map(Vec::len), Some(registry.aggregates.len()));
    let other = told(&["guest", &guest("lending/guest.wasm"), "--json"]);
    assert!(other["aggregates"].to_string().contains("\"Book\""), "{other}");
    let text = said(&["guest"]);
    assert!(text.contains("\nimports     none\n"), "{text}");
    assert!(text.contains("\n  BankAccount, revision "), "{text}");
}

#[test]
fn what_is_no_guest_is_refused() {
    let dir = Scratch::new("guest");
    let magic = b"\0asm\x01\0\0\0";
    // Two functions of the type () -> (), from elsewhere.
    let imports = b"\x01\x04\x01\x60\0\0\x02\x13\x02\x03env\x03now\0\0\x03env\x01r\0\0";
    let module = [&magic[..], imports].concat();
    for (bytes, named) in [
        (&b"hello"[..], "is no guest of Foldlog: it is no WebAssembly module"),
        (&b"\0asm\x07"[..], "is no guest of Foldlog: the guest is not a module that can be run"),
        (&magic[..], "is no guest of Foldlog: the guest exports no memory"),
        (&module, "it imports `now` from `env`, `r` from `env`"),
    ] {
        let path = dir.path().join("module.wasm");
        fs::write(&path, bytes).expect("is written");
        let (code, shown, errors) = run(&["guest", &path.display().to_string()]);
        assert_eq!((code, shown.as_str()), (Some(2), ""), "{errors}");
        assert!(errors.contains(named) && errors.contains("module.wasm"), "{errors}");
        assert_eq!(errors.lines().count(), 1, "{errors}");
    }
    assert_eq!(run(&["guest", "no-such-file"]).0, Some(2));
}

/// `UPDATE_GOLDEN=1` writes what is known anew, from what is found: then the program has to be
/// built again, and what changed to be read.
#[test]
fn the_tests_that_are_built_in_pass() {
    let (code, shown, errors) = run(&["selftest", "--json"]);
    let found: Value = serde_json::from_str(&shown).unwrap_or_else(|e| panic!("{e}: {errors}"));
    let tests = found["tests"].as_array().expect("a list");
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        let lines =
            tests.iter().map(|test| format!("{}\n", test["found"].as_str().expect("a text")));
        let path = root().join("host/src/harness/known.txt");
        fs::write(path, lines.collect::<String>()).expect("is written");
    }
    let differ: Vec<_> = tests.iter().filter(|test| test["ok"] != true).collect();
    assert!(code == Some(0) && differ.is_empty(), "{code:?}: {differ:#?}");
    assert_eq!(found["ok"], true);
    // What is known is what document 000 tests: the event, and what is projected from it.
    let known = |n: usize| tests[n]["expected"].as_str().expect("a text").to_string();
    assert!(known(0).starts_with("201 {\"ok\":true,\"subscriptionId\":\"sub-1\""), "{}", known(0));
    assert!(known(0).contains("\"eventType\":\"Subscription.Created\""), "{}", known(0));
    assert!(known(1).contains("\"plan\":\"gold\""), "{}", known(1));
    assert!(known(5).starts_with("404 ") && known(9).starts_with("422 "), "refusals");
    // Folded again, the rows are those of the decisions.
    let count = tests.len();
    assert_eq!(known(count - 2), known(count - 1));
    assert!(said(&["selftest"]).ends_with(&format!("same      all {count}\n")));
}

#[test]
fn another_module_fails_them() {
    let (code, shown, errors) = run(&["selftest", "--guest", &guest("lending/guest.wasm")]);
    assert_eq!((code, errors.as_str()), (Some(1), ""));
    assert!(shown.contains("DIFFERS   a subscription is created\n  - 201 {"), "{shown}");
    assert!(shown.contains("\nNOT SAME  "), "{shown}");
}

/// The verbs that `--help` lists.
fn verbs() -> Vec<String> {
    let help = said(&["--help"]);
    let lines = help.lines().skip_while(|line| *line != "Commands:").skip(1);
    let verbs = lines.take_while(|line| !line.is_empty()).filter(|line| !line.starts_with("   "));
    verbs.filter_map(|line| line.split_whitespace().next().map(String::from)).collect()
}

#[test]
fn completions_know_every_verb() {
    let verbs = verbs();
    assert!(verbs.len() > 15 && verbs.contains(&"verify".into()), "{verbs:?}");
    for shell in ["bash", "zsh", "fish", "elvish", "powershell"] {
        let script = said(&["completions", shell]);
        for verb in &verbs {
            assert!(script.contains(verb.as_str()), "{shell}: {verb}");
        }
        assert!(script.contains("correlation"), "{shell}: flags");
    }
    let script = said(&["completions", "bash"]);
    let mut bash = Command::new("bash").arg("-n").stdin(Stdio::piped()).spawn().expect("bash");
    bash.stdin.take().expect("a pipe").write_all(script.as_bytes()).expect("is read");
    assert!(bash.wait().expect("ends").success());
    // What a person sees who presses the key: verbs that begin so.
    let ask = "COMP_WORDS=(foldlog ver); COMP_CWORD=1; _foldlog foldlog ver foldlog; \
               echo \"${COMPREPLY[@]}\"";
    let output = Command::new("bash").args(["-c", &format!("{script}\n{ask}")]).output();
    let output = output.expect("bash");
    assert_eq!(String::from_utf8_lossy(&output.stdout), "verify\n");
    assert_eq!(run(&["completions", "csh"]).0, Some(2));
}

#[test]
fn there_is_a_page_for_every_verb() {
    let verbs = verbs();
    let page = said(&["man"]);
    assert!(page.contains(".TH foldlog 1"), "{page}");
    let dir = Scratch::new("man");
    said(&["man", "--dir", &dir.path().display().to_string()]);
    for verb in verbs.iter().filter(|verb| *verb != "help") {
        assert!(page.contains(&format!(".SH \"{}\"\n", verb.to_uppercase())), "{verb}");
        let path = dir.path().join(format!("foldlog-{verb}.1"));
        let own = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
        assert!(own.starts_with(".ie") && own.contains(&format!("foldlog\\-{verb}")), "{own}");
    }
    let all = fs::read_to_string(dir.path().join("foldlog.1")).expect("the page of all");
    assert!(all.contains("foldlog\\-verify(1)"), "{all}");
    assert_eq!(fs::read_dir(dir.path()).expect("a folder").count(), verbs.len());
}
