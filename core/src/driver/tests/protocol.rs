//! The protocol under bad hosts: no message makes the guest panic, and a call that is refused
//! changes nothing. What the guest is, is compared through `Debug`, which shows all of it.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;
use std::println;

use serde::Serialize;

use crate::chain;
use crate::guest::Guest;
use crate::protocol::{
    ABI_VERSION, Answer, Block, Body, Description, Fold, FoldStep, Input, Op, Open, OpenSettings,
    Process, Query, Refusal, RefusalReason, Request, StageStep, Stamp, Status, What,
};
use crate::registry::Registry;
use crate::time::Time;

const OPS: [Op; 9] = [
    Op::Describe,
    Op::Open,
    Op::Fold,
    Op::Stage,
    Op::Supply,
    Op::Commit,
    Op::Rollback,
    Op::TakeBlock,
    Op::TakeCheckpoint,
];

fn encode<T: Serialize>(message: &T) -> Vec<u8> {
    postcard::to_allocvec(message).expect("encodes")
}

fn open(genesis: Option<String>, head: u64) -> Vec<u8> {
    encode(&Open {
        partition: "main".into(),
        incarnation: [1; 16],
        hash_seed: 7,
        guest: [2; 32],
        settings: OpenSettings {
            idempotency_days: 7,
            record_commands: true,
            snapshot_every: None,
            snapshots_kept: 3,
            email_backoff_ms: 1_000,
            allow_private_callbacks: false,
            body_bytes_max: 1 << 18,
            row_cache_max: 1 << 20,
            guest_memory_max: 64 << 20,
        },
        genesis,
        head,
        checkpoint: None,
        quarantined: Vec::new(),
    })
}

fn input(method: &str, target: &str, body: &str) -> Vec<u8> {
    encode(&Input {
        stamp: Stamp { clock: Time(1_767_225_600_000), entropy: [3; 16] },
        what: What::Request(Request {
            method,
            target,
            headers: vec![("content-type", b"application/json".as_slice())],
            body: Body::Whole(body.as_bytes()),
            fingerprint: None,
        }),
        process: Process::default(),
    })
}

fn open_account() -> Vec<u8> {
    input("POST", "/commands/open-account", r#"{"accountId":"a","initialBalance":5}"#)
}

fn ok<R: for<'de> serde::Deserialize<'de>>(guest: &mut Guest, op: Op, message: &[u8]) -> R {
    let result = guest.call(op as u32, message);
    assert_eq!(result.first(), Some(&(Status::Ok as u8)), "{op:?} was refused");
    postcard::from_bytes(&result[1..]).expect("decodes")
}

fn refusal(guest: &mut Guest, op: u32, message: &[u8]) -> Option<Refusal> {
    let result = guest.call(op, message);
    match result.first() {
        Some(0) => None,
        Some(1) => Some(postcard::from_bytes(&result[1..]).expect("a refusal decodes")),
        other => panic!("status {other:?}"),
    }
}

/// Stages to the end; every row is absent.
fn stage(guest: &mut Guest, message: &[u8]) {
    let mut step: StageStep = ok(guest, Op::Stage, message);
    while let StageStep::Need(queries) = step {
        let answers: Vec<Answer> = queries.iter().map(super::super::sqlite::empty_answer).collect();
        step = ok(guest, Op::Supply, &encode(&answers));
    }
}

/// Genesis and two commits, as a host stores them.
fn log() -> (String, Vec<String>) {
    let mut guest = Guest::new(Registry::standard());
    let _: crate::protocol::Opened = ok(&mut guest, Op::Open, &open(None, 0));
    for body in [r#"{"accountId":"a"}"#, r#"{"accountId":"b"}"#] {
        stage(&mut guest, &input("POST", "/commands/open-account", body));
        let () = ok(&mut guest, Op::Commit, &[]);
    }
    let block: Block = ok(&mut guest, Op::TakeBlock, &[]);
    let mut hash = chain::NO_HASH;
    let mut seal = |line: &str| {
        let (line, sealed) = chain::seal(&hash, line).expect("a line");
        hash = sealed;
        line
    };
    let genesis = seal(&block.genesis.expect("the first block has genesis"));
    (genesis, block.commits.iter().map(|(_, _, line)| seal(line)).collect())
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum State {
    Unopened,
    Open,
    Staging,
    Folding,
    Held,
    Committed,
}

const STATES: [State; 6] =
    [State::Unopened, State::Open, State::Staging, State::Folding, State::Held, State::Committed];

fn guest_in(state: State) -> Guest {
    let mut guest = Guest::new(Registry::standard());
    let (genesis, lines) = log();
    match state {
        State::Unopened => return guest,
        State::Folding => {
            let _: crate::protocol::Opened = ok(&mut guest, Op::Open, &open(Some(genesis), 2));
            let blocks = encode(&Fold { blocks: lines.iter().map(String::as_str).collect() });
            let step: FoldStep = ok(&mut guest, Op::Fold, &blocks);
            assert!(matches!(step, FoldStep::Need(_)), "{step:?}");
            return guest;
        }
        _ => {}
    }
    let _: crate::protocol::Opened = ok(&mut guest, Op::Open, &open(None, 0));
    match state {
        State::Staging => {
            let step: StageStep = ok(&mut guest, Op::Stage, &open_account());
            assert!(matches!(step, StageStep::Need(_)), "{step:?}");
        }
        State::Held | State::Committed => stage(&mut guest, &open_account()),
        _ => {}
    }
    if state == State::Committed {
        let () = ok(&mut guest, Op::Commit, &[]);
    }
    guest
}

/// One valid message of every operation that takes one.
fn messages() -> Vec<Vec<u8>> {
    let (genesis, lines) = log();
    vec![
        open(Some(genesis), 2),
        encode(&Fold { blocks: lines.iter().map(String::as_str).collect() }),
        open_account(),
        input("GET", "/events/stream?type=AccountOpened&order=desc", ""),
        encode(&vec![Answer::Row(None), Answer::Row(Some(vec![1, 2, 3])), Answer::Rows(vec![])]),
        encode(&vec![Answer::Commits(lines)]),
    ]
}

struct Random(u64);

impl Random {
    fn below(&mut self, bound: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) as usize % bound
    }
}

/// All that a guest is, but for the room that attempts work in.
fn shown(guest: &Guest) -> String {
    let all = format!("{guest:?}");
    match (all.split_once(", scratch: RefCell"), all.rsplit_once("}, changed: ")) {
        (Some((before, _)), Some((_, after))) => format!("{before}, changed: {after}"),
        _ => all,
    }
}

/// Calls with a message that may be anything. True when it was refused, without a trace.
fn refused_without_trace(guest: &mut Guest, op: u32, message: &[u8], context: &str) -> bool {
    let before = shown(guest);
    let Some(refusal) = refusal(guest, op, message) else { return false };
    assert!(!refusal.detail.is_empty(), "{context}: a refusal says why");
    // An answer that does not fit its question ends the input: tested on its own below.
    if op == Op::Supply as u32 && refusal.detail.contains("do not fit") {
        return false;
    }
    assert!(before == shown(guest), "{context}: {refusal:?} left a trace");
    true
}

#[test]
fn messages_cut_short_are_refused_and_change_nothing() {
    let messages = messages();
    for state in STATES {
        let mut guest = guest_in(state);
        for (op, message) in
            [Op::Open, Op::Fold, Op::Stage, Op::Stage, Op::Supply, Op::Supply].iter().zip(&messages)
        {
            for end in (0..message.len()).step_by(5) {
                let context = format!("{state:?}, {op:?}, {end} of {} bytes", message.len());
                let refused =
                    refused_without_trace(&mut guest, *op as u32, &message[..end], &context);
                // An empty list of answers is a message of its own, one byte long.
                let whole = *op == Op::Supply && end == 0;
                assert!(refused || whole, "{context} was taken");
            }
        }
    }
}

#[test]
fn no_bytes_make_the_guest_panic_and_refusals_leave_no_trace() {
    let mut random = Random(17);
    println!("seed 17");
    let messages = messages();
    let (mut refused, mut taken) = (0, 0);
    for state in STATES {
        let mut guest = guest_in(state);
        for round in 0..600 {
            let op = match random.below(12) {
                n @ 0..=8 => OPS[n] as u32,
                n => [0, 10, u32::MAX][n - 9],
            };
            let message: Vec<u8> = if round % 2 == 0 {
                (0..random.below(40)).map(|_| random.below(256) as u8).collect()
            } else {
                let mut message = messages[random.below(messages.len())].clone();
                for _ in 0..random.below(4) {
                    let at = random.below(message.len());
                    message[at] = random.below(256) as u8;
                }
                message
            };
            let context = format!("{state:?}, round {round}, op {op}");
            if refused_without_trace(&mut guest, op, &message, &context) {
                refused += 1;
            } else {
                taken += 1;
                guest = guest_in(state);
            }
        }
    }
    println!("{refused} refused, {taken} taken");
    assert!(refused > 1_000 && taken > 100, "{refused} refused, {taken} taken");
}

#[test]
fn calls_out_of_order_are_refused() {
    let (genesis, lines) = log();
    let fold = encode(&Fold { blocks: lines.iter().map(String::as_str).collect() });
    let open = open(Some(genesis), 2);
    let stage = open_account();
    let supply = encode(&Vec::<Answer>::new());
    let all = [Op::Open, Op::Fold, Op::Stage, Op::Supply, Op::Commit, Op::TakeCheckpoint];
    for (state, out_of_order) in [
        (State::Unopened, &all[1..]),
        (State::Open, &[Op::Open, Op::Supply, Op::Commit]),
        (State::Staging, &[Op::Open, Op::Fold, Op::Stage, Op::Commit]),
        (State::Folding, &[Op::Open, Op::Fold, Op::Stage, Op::Commit]),
        (State::Held, &[Op::Open, Op::Fold, Op::Stage, Op::Supply, Op::TakeCheckpoint]),
        (State::Committed, &[Op::Open, Op::Supply, Op::Commit]),
    ] {
        for op in out_of_order {
            let mut guest = guest_in(state);
            let message = match op {
                Op::Open => &open,
                Op::Fold => &fold,
                Op::Stage => &stage,
                Op::Supply => &supply,
                _ => &Vec::new(),
            };
            let before = shown(&guest);
            let refusal = refusal(&mut guest, *op as u32, message);
            let reason = refusal.as_ref().map(|refusal| refusal.reason);
            assert_eq!(reason, Some(RefusalReason::OutOfOrder), "{state:?}, {op:?}: {refusal:?}");
            assert!(before == shown(&guest), "{state:?}, {op:?} left a trace");
        }
    }
    let description: Description = ok(&mut guest_in(State::Held), Op::Describe, &[]);
    assert_eq!(description.abi, ABI_VERSION);
}

#[test]
fn answers_of_any_content_make_no_panic() {
    let mut random = Random(18);
    println!("seed 18");
    let (_, lines) = log();
    let junk = |random: &mut Random| -> Vec<u8> {
        (0..random.below(60)).map(|_| random.below(256) as u8).collect()
    };
    for round in 0..1_500 {
        let mut guest = guest_in(State::Committed);
        let target = [
            "/queries/account/x",
            "/events/account/x?fromVersion=3",
            "/events/stream?type=AccountOpened&category=BankAccount&order=desc",
            "/events/stream?correlationId=evt-001&from=2026-01-01T00:00:00Z",
            "/projections/AccountBalances",
            "/projections/TransactionHistory",
            "/stats",
        ][random.below(7)];
        let mut result = guest.call(Op::Stage as u32, &input("GET", target, ""));
        for _ in 0..4 {
            let Some(StageStep::Need(queries)) = result.split_first().and_then(|(status, rest)| {
                (*status == 0).then(|| postcard::from_bytes(rest).expect("a step"))
            }) else {
                break;
            };
            let answers: Vec<Answer> = queries
                .iter()
                .map(|query| match query {
                    Query::Row(_) => Answer::Row((random.below(4) > 0).then(|| junk(&mut random))),
                    Query::Rows { .. } => Answer::Rows(
                        (0..random.below(4))
                            .map(|_| (junk(&mut random), junk(&mut random)))
                            .collect(),
                    ),
                    Query::Times { .. } => {
                        Answer::Times(vec![Time(random.below(9) as u64); random.below(3)])
                    }
                    Query::Commits { .. } | Query::CommitsAfter { .. } => {
                        let mut bytes = lines[0].clone().into_bytes();
                        let at = random.below(bytes.len());
                        bytes[at] = b"\"{}[],:0a"[random.below(9)];
                        let line = String::from_utf8_lossy(&bytes).to_string();
                        Answer::Commits(vec![line; random.below(3)])
                    }
                })
                .collect();
            result = guest.call(Op::Supply as u32, &encode(&answers));
        }
        assert!(matches!(result.first(), Some(0 | 1)), "round {round}: {target}");
    }
}

/// Symptom: one wrong answer of the host, and the input under way is gone, though the call was
/// refused. Cause: `supply` takes what is under way before it knows whether the answers fit.
#[test]
fn answers_that_do_not_fit_change_nothing() {
    for state in [State::Staging, State::Folding] {
        let mut guest = guest_in(state);
        let before = shown(&guest);
        let answers = encode(&vec![Answer::Rows(Vec::new())]);
        assert!(refusal(&mut guest, Op::Supply as u32, &answers).is_some());
        assert!(before == shown(&guest), "{state:?}: what was under way is gone");
    }
}

/// Symptom: proposals at positions that are taken. Cause: the guest forgets the head it was opened
/// with, and stages before the log is folded up to it.
#[test]
fn staging_before_the_log_is_folded_to_its_head_is_refused() {
    let mut guest = Guest::new(Registry::standard());
    let (genesis, _) = log();
    let _: crate::protocol::Opened = ok(&mut guest, Op::Open, &open(Some(genesis), 2));
    let refusal = refusal(&mut guest, Op::Stage as u32, &open_account());
    assert_eq!(refusal.map(|refusal| refusal.reason), Some(RefusalReason::OutOfOrder));
}
