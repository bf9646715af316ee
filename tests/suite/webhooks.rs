//! Signatures of deliveries as the libraries of npm, PyPI and crates.io verify them.
//!
//! Owns random deliveries, whole and changed, and running the verifiers in tests/webhooks (the one
//! of PyPI is installed into target at a pinned version). What is signed when is the dispatcher's.

use std::fs;
use std::path::Path;
use std::process::Command;
use std::time::{SystemTime, UNIX_EPOCH};

use foldlog_core::settings::Secret;
use foldlog_core::webhook::{ID, Key, SIGNATURE, TIMESTAMP, signatures};
use foldlog_tests::scratch::{Random, Scratch, built, root, seed};
use http::HeaderMap;
use serde_json::{Value, json};
use standardwebhooks::Webhook;

const PYTHON_LIBRARY: &str = "standardwebhooks==1.1.0";
const BODIES: usize = 100;

/// What a receiver gets, and whether it should take it.
#[derive(Clone, Debug)]
struct Delivery {
    secret: String,
    id: String,
    timestamp: String,
    signature: String,
    body: String,
    genuine: bool,
}

impl Delivery {
    fn line(&self) -> Value {
        let Self { secret, id, timestamp, signature, body, .. } = self;
        let headers = json!({ID: id, TIMESTAMP: timestamp, SIGNATURE: signature});
        json!({"secret": secret, "headers": headers, "body": body})
    }
}

/// A JSON document of texts in many scripts, up to about 16 kB of them.
fn body(random: &mut Random) -> String {
    const PIECES: [&str; 12] =
        ["a", "Zz 9", "é", "ß", "Ω", "漢字", "🦀", "\"", "\\", "\n", "\u{1}", "{}[],:."];
    let text = |random: &mut Random, most: usize| -> String {
        (0..random.below(most)).map(|_| *random.one_of(&PIECES)).collect()
    };
    let events: Vec<Value> = (0..=random.below(20))
        .map(|n| json!({"id": format!("t-{n}"), "payload": text(random, 200), "n": random.next()}))
        .collect();
    json!({"consumer": text(random, 5), "events": events}).to_string()
}

/// The same with another character in place of one of them.
fn flipped(text: &str, random: &mut Random, fits: impl Fn(char) -> bool) -> String {
    let places: Vec<usize> =
        text.char_indices().filter(|(_, c)| fits(*c)).map(|(n, _)| n).collect();
    let at = *random.one_of(&places);
    let other = if &text[at..=at] == "a" { "b" } else { "a" };
    format!("{}{other}{}", &text[..at], &text[at + 1..])
}

fn deliveries() -> Vec<Delivery> {
    let mut random = Random(seed("webhooks"));
    let now = SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs());
    let mut all = Vec::new();
    for n in 0..BODIES {
        let secret = Secret::new(&format!("planted-{:032x}", random.next())).expect("a secret");
        let key = |generation| Key::derive(&secret, &format!("consumer-{n}"), generation);
        let (body, id) = (body(&mut random), format!("msg_{:x}-{n}", random.next()));
        // While a secret is changed for another, both sign.
        let keys = if n % 2 == 0 { vec![key(1)] } else { vec![key(2), key(1)] };
        let genuine = Delivery {
            secret: key(1).text(),
            timestamp: now.to_string(),
            signature: signatures(&keys, &id, now, body.as_bytes()),
            id,
            body,
            genuine: true,
        };
        let changed = Delivery { genuine: false, ..genuine.clone() };
        let letter = |c: char| c.is_ascii_alphanumeric();
        let text = &genuine.body;
        all.push(Delivery { body: flipped(text, &mut random, letter), ..changed.clone() });
        all.push(Delivery { body: format!("{text} "), ..changed.clone() });
        all.push(Delivery { id: flipped(&genuine.id, &mut random, letter), ..changed.clone() });
        all.push(Delivery { timestamp: (now + 1).to_string(), ..changed.clone() });
        // Each signature is changed at its beginning: at its end some bits mean nothing.
        let signature: Vec<String> = genuine.signature.split(' ').map(other_signature).collect();
        all.push(Delivery { signature: signature.join(" "), ..changed.clone() });
        all.push(Delivery { secret: key(3).text(), ..changed });
        all.push(genuine);
    }
    all
}

fn other_signature(one: &str) -> String {
    let (version, signature) = one.split_at(3);
    assert_eq!((version, signature.len()), ("v1,", 44));
    let other = if signature.starts_with('A') { 'B' } else { 'A' };
    format!("{version}{other}{}", &signature[1..])
}

fn verdicts(command: &mut Command, lines: &Path) -> Vec<bool> {
    let output = command.arg(lines).output().unwrap_or_else(|e| panic!("{command:?}: {e}"));
    let wrong = String::from_utf8_lossy(&output.stderr).into_owned();
    assert!(output.status.success(), "{command:?}\n{wrong}");
    String::from_utf8_lossy(&output.stdout).lines().map(|line| line == "1").collect()
}

fn python() -> Command {
    let mut python = foldlog_tests::python::with(PYTHON_LIBRARY);
    python.arg(root().join("tests/webhooks/verify.py"));
    python
}

fn npm() -> Command {
    built(root().join("node_modules/standardwebhooks"), "setup");
    let mut node = Command::new(root().join("wasm/node"));
    node.arg(root().join("tests/webhooks/verify.mjs"));
    node
}

fn rust(delivery: &Delivery) -> bool {
    let mut headers = HeaderMap::new();
    for (name, value) in
        [(ID, &delivery.id), (TIMESTAMP, &delivery.timestamp), (SIGNATURE, &delivery.signature)]
    {
        headers.insert(name, value.parse().expect("a header's value"));
    }
    let webhook = Webhook::new(&delivery.secret).expect("a secret as receivers are told it");
    webhook.verify(delivery.body.as_bytes(), &headers).is_ok()
}

#[test]
fn the_libraries_of_npm_pypi_and_crates_io_take_what_is_genuine_and_nothing_else() {
    let deliveries = deliveries();
    let dir = Scratch::new("webhooks");
    let path = dir.path().join("deliveries.jsonl");
    let lines: String =
        deliveries.iter().map(|delivery| format!("{}\n", delivery.line())).collect();
    fs::write(&path, lines).unwrap_or_else(|e| panic!("{}: {e}", path.display()));
    for (library, verdicts) in [
        ("crates.io", deliveries.iter().map(rust).collect()),
        ("npm", verdicts(&mut npm(), &path)),
        ("PyPI", verdicts(&mut python(), &path)),
    ] {
        assert_eq!(verdicts.len(), deliveries.len(), "{library}");
        for (delivery, taken) in deliveries.iter().zip(verdicts) {
            assert_eq!(taken, delivery.genuine, "{library}: {delivery:?}");
        }
    }
}
