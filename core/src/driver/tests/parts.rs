//! Long reads in parts: whatever is done between the parts, the answer is what a whole read gives.

use alloc::format;
use alloc::string::{String, ToString};
use std::println;

use super::super::{InParts, MemoryStore};
use super::{Bank, bank, get, one, post};

struct Random(u64);

impl Random {
    fn below(&mut self, end: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
        (self.0 >> 33) % end
    }
}

type Parted = Bank<InParts<MemoryStore>>;

fn command(bank: &mut Parted, random: &mut Random) {
    let id = random.below(400);
    let request = match random.below(8) {
        0 => post("/commands/open-account", &format!(r#"{{"accountId":"a{id}"}}"#)),
        1 => post("/commands/withdraw", &format!(r#"{{"accountId":"a{id}","amount":3}}"#)),
        _ => post("/commands/deposit", &format!(r#"{{"accountId":"a{id}","amount":7}}"#)),
    };
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

#[test]
fn a_read_in_parts_gives_what_a_whole_one_gives() {
    let mut random = Random(11);
    let mut bank: Parted = bank(InParts::new(MemoryStore::default()), 32 << 10);
    for id in 0..300 {
        one(&mut bank, post("/commands/open-account", &format!(r#"{{"accountId":"a{id}"}}"#)));
    }
    for _ in 0..1_500 {
        command(&mut bank, &mut random);
    }
    let (mut stops, mut of) = (0, alloc::collections::BTreeMap::<String, u32>::new());
    for round in 0..400 {
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
                command(&mut bank, &mut random);
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
        stops += parts - 1;
        *of.entry(read.target.split('?').next().unwrap_or_default().to_string()).or_default() +=
            parts - 1;
        let whole = bank.run(alloc::vec![read.clone()]).remove(0);
        assert_eq!(answer, whole, "round {round}: {} in {parts} parts", read.target);
        let of_one =
            ["/events/account/", "/queries/"].iter().any(|path| read.target.starts_with(path));
        assert!(answer.response.status == 200 || of_one, "{}: {answer:?}", read.target);
    }
    println!("{stops} stops: {of:?}");
    for path in ["/events/stream", "/projections/TransactionHistory", "/stats"] {
        assert!(of.get(path).is_some_and(|stops| *stops > 5), "{path} was never stopped: {of:?}");
    }
}
