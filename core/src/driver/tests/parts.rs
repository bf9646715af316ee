//! Long reads in parts: whatever is done between the parts, the answer is what a whole read gives.

use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use std::println;

use super::super::{InParts, MemoryStore};
use super::{Bank, bank, get, one, post, request};

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

type Parted = Bank<InParts<MemoryStore>>;

/// A command, and so many long headers with it that its commit remembers.
fn command(bank: &mut Parted, random: &mut Random, headers: usize) {
    let id = random.below(400);
    let (target, member) = match random.below(8) {
        0 => ("/commands/open-account", ""),
        1 => ("/commands/withdraw", r#","amount":3"#),
        _ => ("/commands/deposit", r#","amount":7"#),
    };
    let body = format!(r#"{{"accountId":"a{id}"{member}}}"#);
    let names: Vec<String> = (0..headers).map(|n| format!("foldlog-meta-h{n}")).collect();
    let value = "x".repeat(256);
    let all: Vec<_> = names.iter().map(|name| (name.as_str(), value.as_str())).collect();
    let request = request("POST", target, &body, &all);
    let (status, body) = one(bank, request);
    assert!([200, 201, 404, 409, 422].contains(&status), "{status} {body}");
}

fn target(random: &mut Random, head: u64) -> String {
    let (limit, after) = (600 + random.below(400), random.below(head));
    match random.below(9) {
        0 => format!("/events/stream?limit={limit}&after={after}"),
        1 => format!("/events/stream?limit={limit}&order=desc"),
        2 => format!("/events/stream?limit={limit}&order=desc&type=MoneyDeposited"),
        3 => format!("/events/stream?limit={limit}&category=BankAccount&after={after}"),
        4 => format!("/projections/TransactionHistory?limit={limit}&after={after}"),
        5 => format!("/projections/AccountBalances?limit={limit}"),
        6 => format!("/stats?limit={limit}"),
        7 => format!("/events/account/a{}?limit={limit}", random.below(400)),
        _ => format!("/queries/account/a{}?atVersion={}", random.below(400), 1 + after % 9),
    }
}

/// How often reads of each path were stopped.
fn read_in_parts(headers: usize, rounds: u32) -> BTreeMap<String, u32> {
    let mut random = Random(11);
    let mut bank: Parted = bank(InParts::new(MemoryStore::default()), 32 << 10);
    for id in 0..300 {
        one(&mut bank, post("/commands/open-account", &format!(r#"{{"accountId":"a{id}"}}"#)));
    }
    for _ in 0..1_500 {
        command(&mut bank, &mut random, headers);
    }
    let mut of = BTreeMap::<String, u32>::new();
    for round in 0..rounds {
        let read = get(&target(&mut random, 1_500));
        let mut parts = 1;
        let answer = loop {
            let answer = bank.run_part(read.clone());
            if !answer.again {
                break answer;
            }
            parts += 1;
            assert!(parts < 60, "{} comes to no end", read.target);
            for _ in 0..random.below(4) {
                command(&mut bank, &mut random, headers);
            }
            match random.below(12) {
                0 => assert_eq!(bank.checkpoint(), Ok(()), "round {round}"),
                1 => bank.reset(),
                // Another one comes in between: this one was given up.
                2 => drop(bank.run_part(get(&target(&mut random, 1_500)))),
                3 => drop(one(&mut bank, get(&target(&mut random, 1_500)))),
                _ => {}
            }
        };
        *of.entry(read.target.split('?').next().unwrap_or_default().to_string()).or_default() +=
            parts - 1;
        let whole = bank.run(alloc::vec![read.clone()]).remove(0);
        assert_eq!(answer, whole, "round {round}: {} in {parts} parts", read.target);
        assert!(answer.response.status < 500, "{}: {answer:?}", read.target);
    }
    of
}

#[test]
fn a_read_in_parts_gives_what_a_whole_one_gives() {
    let stops = read_in_parts(0, 400);
    println!("{stops:?}");
    for path in ["/events/stream", "/projections/TransactionHistory", "/stats"] {
        assert!(stops.get(path).is_some_and(|stops| *stops > 5), "{path} was never stopped");
    }
}

#[test]
fn so_does_one_whose_page_is_cut_by_its_bytes() {
    // 4 KB a commit: 250 of them are a page.
    let stops = read_in_parts(16, 60);
    assert!(stops.values().sum::<u32>() > 5, "{stops:?}");
}
