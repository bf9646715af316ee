//! `foldlog at`: each projection as of any position is what the host answered then, byte for byte.

use std::path::Path;

use foldlog_tests::hosts::{Kind, Setup, foldlog};
use serde_json::Value;

const NAMES: [&str; 3] = ["AccountBalances", "TransactionHistory", "DailySummary"];

fn at(file: &Path, flags: &[&str]) -> (Option<i32>, String) {
    let flags = flags.iter().map(AsRef::as_ref);
    let all: Vec<_> = ["at".as_ref(), file.as_os_str()].into_iter().chain(flags).collect();
    let output = foldlog(&all);
    let said = [output.stdout, output.stderr].concat();
    (output.status.code(), String::from_utf8_lossy(&said).into_owned())
}

#[test]
fn a_projection_as_of_then_is_what_was_answered_then() {
    for kind in Kind::PROCESSES {
        let mut host = Setup::stamped(kind).start();
        let mut then: Vec<(u64, String, Vec<String>)> = Vec::new();
        for (command, body) in [
            ("open-account", r#"{"accountId":"a","initialBalance":50}"#),
            ("open-account", r#"{"accountId":"b"}"#),
            ("deposit", r#"{"accountId":"a","amount":7}"#),
            ("transfer", r#"{"transferId":"t","fromAccountId":"a","toAccountId":"b","amount":9}"#),
            ("transfer", r#"{"transferId":"u","fromAccountId":"a","toAccountId":"c","amount":9}"#),
            ("withdraw", r#"{"accountId":"b","amount":1}"#),
        ] {
            assert!(host.post(&format!("/commands/{command}"), body).status < 300);
            let head = host.get("/log/head").json()["position"].as_u64().expect("a position");
            let events = host.get("/events/stream?order=desc&limit=1").json();
            let time = events[0]["metadata"]["timestamp"].as_str().expect("a time").to_string();
            let shown = NAMES.map(|name| host.get(&format!("/projections/{name}")).text());
            then.push((head, time, shown.to_vec()));
        }
        host.stop();
        let file = host.sqlite();
        for (head, time, shown) in &then {
            for (name, body) in NAMES.iter().zip(shown) {
                let position = head.to_string();
                let flags = ["--position", &position, "--projection", name, "--json"];
                let (code, said) = at(&file, &flags);
                assert_eq!(code, Some(0), "{kind:?}: {said}");
                let told: Value = serde_json::from_str(&said).expect("JSON");
                assert_eq!(told["position"], *head, "{kind:?}: {said}");
                assert!(said.contains(&format!(r#""projection":{body}}}"#)), "{kind:?}: {said}");
                let (_, timed) = at(&file, &["--time", time, "--projection", name, "--json"]);
                assert_eq!(timed, said, "{kind:?}: by time");
            }
        }
        // Between the steps of a transfer: what was due then is not done.
        let flags = ["--position", "5", "--projection", "AccountBalances", "--json"];
        let (_, said) = at(&file, &flags);
        let told: Value = serde_json::from_str(&said).expect("JSON");
        // The debit is one commit of two events, of which only the first would count.
        assert_eq!(told["position"], 4, "{kind:?}: {said}");
        let balances = &told["projection"]["data"]["balances"];
        assert_eq!((&balances["a"]["balance"], &balances["b"]["balance"]), (&57.into(), &0.into()));
        let flags = ["--position", "6", "--projection", "AccountBalances", "--limit", "1"];
        let (_, said) = at(&file, &flags);
        assert!(said.contains(r#""a":{"balance":48"#) && !said.contains(r#""b":"#), "{said}");
        // All of them, and what can not be shown.
        let (code, said) = at(&file, &["--position", "0"]);
        assert!(code == Some(0) && said.contains(r#""lastProcessedEvent":null"#), "{said}");
        let (code, said) = at(&file, &["--position", "1", "--projection", "No/Such"]);
        assert!(code == Some(2) && said.contains("urn:foldlog:"), "{said}");
        assert_eq!(at(&file, &["--time", "yesterday"]).0, Some(2));
        assert_eq!(at(&file, &[]).0, Some(2));
    }
}
