//! `foldlog selftest`: the tests that are built in.
//!
//! Owns the commands, and how what came of them is compared. What was known when this program was
//! made is in `known.txt`: a status and a body for each request, then the head of the log and the
//! digest of its rows. Nothing is stored, nothing is sent: the log is in memory, and no effect is
//! attempted.
//!
//! Invariant: clock and entropy are fixed, and the module's digest is left out of genesis, so the
//! same decisions give the same bytes, whatever the module was built with.

use std::process::ExitCode;

use foldlog_core::chain::{self, Chain, hex};
use foldlog_core::driver::{
    Config, MemoryStore, NOBODY, OwnedBody, OwnedRequest, Partition, Spawn, TestStamps, Trap,
};

use super::replay::module;
use super::{digest, fold};
use crate::cli::{Selftest, print};
use crate::json::{Object, array};
use crate::wasm::{Instance, Module};
use crate::world::Machine;

/// What came of it when this program was made.
const KNOWN: &str = include_str!("known.txt");

/// What is done: what for, method, target, body.
const STEPS: [(&str, &str, &str, &str); 24] = [
    (
        "a subscription is created",
        "POST",
        "/create-subscription",
        r#"{"plan":"gold","createdBy":"admin@site.com"}"#,
    ),
    ("Subscription.List shows it", "GET", "/projections/Subscription.List", ""),
    ("its creator was assigned", "GET", "/subscriptions/sub-1", ""),
    ("an email is to be sent", "GET", "/emails?status=pending", ""),
    (
        "members are assigned",
        "POST",
        "/assign-members",
        r#"{"subscriptionId":"sub-1","members":["bob@example.com"]}"#,
    ),
    (
        "an unknown subscription is refused",
        "POST",
        "/assign-members",
        r#"{"subscriptionId":"sub-2","members":["bob@example.com"]}"#,
    ),
    (
        "an account is opened",
        "POST",
        "/commands/open-account",
        r#"{"accountId":"a","initialBalance":1000}"#,
    ),
    ("another one is", "POST", "/commands/open-account", r#"{"accountId":"b"}"#),
    ("money is deposited", "POST", "/commands/deposit", r#"{"accountId":"a","amount":500}"#),
    (
        "more than there is stays",
        "POST",
        "/commands/withdraw",
        r#"{"accountId":"a","amount":1501}"#,
    ),
    (
        "money is transferred",
        "POST",
        "/commands/transfer",
        r#"{"transferId":"t","fromAccountId":"a","toAccountId":"b","amount":200}"#,
    ),
    (
        "what can not be credited comes back",
        "POST",
        "/commands/transfer",
        r#"{"transferId":"u","fromAccountId":"a","toAccountId":"c","amount":200}"#,
    ),
    ("the transfer is complete", "GET", "/queries/transfer/t", ""),
    ("the other one failed", "GET", "/queries/transfer/u", ""),
    ("an account has its balance", "GET", "/queries/account/a", ""),
    ("and had another one", "GET", "/queries/account/a?atVersion=2", ""),
    ("balances are projected", "GET", "/projections/AccountBalances", ""),
    ("days are summed up", "GET", "/projections/DailySummary", ""),
    ("an issue is made", "POST", "/issues", r#"{"id":"i-1","title":"One"}"#),
    (
        "it is worked on",
        "POST",
        "/issues/i-1/transitions",
        "{\"fromState\":\"TODO\",\"toState\":\"IN_PROGRESS\",\"event\":\"start_work\"}",
    ),
    (
        "a topic is made",
        "POST",
        "/topics",
        r#"{"name":"news","schemas":[{"type":"told","properties":{"n":{"type":"integer"}}}]}"#,
    ),
    (
        "an event is published as it was sent",
        "POST",
        "/events",
        r#"[{"topic":"news","type":"told","payload":{"n":1.0}}]"#,
    ),
    (
        "one against its schema is not",
        "POST",
        "/events",
        r#"[{"topic":"news","type":"told","payload":{"n":1.5}}]"#,
    ),
    ("all of it was recorded", "GET", "/events/stream?limit=1000", ""),
];

/// One comparison.
#[derive(Clone, Debug)]
struct Compared {
    name: String,
    expected: String,
    found: String,
}

impl Compared {
    fn is_same(&self) -> bool {
        self.expected == self.found
    }
}

/// Runs it and prints the result; exit code 1 when something differs.
pub fn run(selftest: &Selftest) -> Result<ExitCode, String> {
    let mut known = KNOWN.lines();
    let mut compared: Vec<Compared> = Vec::new();
    for (name, found) in found(module(selftest.guest.as_deref())?)? {
        let expected = known.next().unwrap_or_default().to_string();
        compared.push(Compared { name, expected, found });
    }
    let differ = compared.iter().filter(|one| !one.is_same()).count();
    if selftest.json {
        let one = |one: &Compared| {
            let object = Object::default().text("name", &one.name).token("ok", one.is_same());
            object.text("expected", &one.expected).text("found", &one.found).end()
        };
        let all: Vec<String> = compared.iter().map(one).collect();
        print(&Object::default().token("ok", differ == 0).token("tests", array(&all)).end());
    } else {
        for one in &compared {
            print(&format!("{:9} {}", if one.is_same() { "ok" } else { "DIFFERS" }, one.name));
            if !one.is_same() {
                print(&format!("  - {}\n  + {}", one.expected, one.found));
            }
        }
        let count = compared.len();
        print(&match differ {
            0 => format!("same      all {count}"),
            differ => format!("NOT SAME  {differ} of {count}"),
        });
    }
    Ok(if differ == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What comes of it now, by name, in the order of what is known.
fn found(module: Module) -> Result<Vec<(String, String)>, String> {
    let mut partition = open(&module, MemoryStore::default())?;
    let mut found: Vec<(String, String)> = Vec::new();
    for (name, method, target, body) in STEPS {
        let json = ("content-type".to_string(), b"application/json".to_vec());
        let request = OwnedRequest {
            method: method.into(),
            target: target.into(),
            headers: if body.is_empty() { Vec::new() } else { vec![json] },
            body: OwnedBody::Whole(body.into()),
        };
        let reply = partition.run(vec![request]).pop().ok_or("a request was lost")?;
        let body = String::from_utf8_lossy(&reply.response.body).into_owned();
        found.push((name.into(), format!("{} {body}", reply.response.status)));
    }
    partition.checkpoint().map_err(|failure| failure.to_string())?;
    let decided = partition.store().clone();
    found.push(("the log is the same, byte for byte".into(), head(&decided)?));
    found.push(("so are its rows".into(), rows(&decided)));
    // Deleted, and folded again.
    let log = MemoryStore { log: decided.log, ..MemoryStore::default() };
    let mut partition = open(&module, log)?;
    partition.open().map_err(|failure| failure.to_string())?;
    partition.checkpoint().map_err(|failure| failure.to_string())?;
    found.push(("folded again, they are too".into(), rows(partition.store())));
    Ok(found)
}

fn open(
    module: &Module,
    store: MemoryStore,
) -> Result<Partition<Nameless, MemoryStore, Machine>, String> {
    let config = Config {
        partition: "main".into(),
        incarnation: NOBODY,
        settings: fold::settings()?.open(),
        host: "native",
        tail_events_max: u64::MAX,
        // All that follows from a command is done with it.
        batch_commands_max: 100,
        effects_in_flight_max: 1,
        rejected_bytes_max: 0,
        test_stamps: Some(TestStamps { seed: "selftest".into(), offset_ms: 0 }),
        secret: None,
    };
    Ok(Partition::new(Nameless(module.clone()), store, Machine::new(), config))
}

/// Position and hash of the last line, the whole chain checked.
fn head(store: &MemoryStore) -> Result<String, String> {
    let mut chain = Chain::default();
    for block in store.log.values() {
        chain::lines(&block.body)
            .try_for_each(|line| chain.take(line))
            .map_err(|broken| broken.to_string())?;
    }
    Ok(format!("{} {}", chain.position.unwrap_or_default(), hex(&chain.hash)))
}

fn rows(store: &MemoryStore) -> String {
    let (digest, count) = digest::of(store);
    format!("{count} {}", hex(&digest))
}

/// A module that does not say which build it is.
#[derive(Debug)]
struct Nameless(Module);

impl Spawn for Nameless {
    type Guest = Instance;

    fn spawn(&mut self) -> Result<Instance, Trap> {
        self.0.spawn()
    }

    fn digest(&self) -> [u8; 32] {
        [0; 32]
    }
}
