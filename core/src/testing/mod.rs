//! Given, when, then: tests of a domain as data, without a host, a store or a clock.
//!
//! Owns four small worlds: a decision over given streams, a projection over given events, a process
//! manager that sees given streams and rows, and an upcaster given what was recorded. They run the
//! domain's own functions and the engine's own fold. Panics are for tests: nothing that ships calls
//! this.
//!
//! ```
//! use foldlog_core::domains::bank::{Account, AccountCommand, AccountEvent};
//! use foldlog_core::errors::Code;
//! use foldlog_core::testing::given;
//!
//! given::<Account>([AccountEvent::AccountOpened { initial_balance: 5 }])
//!     .when(AccountCommand::Withdraw { amount: 5 })
//!     .then([AccountEvent::MoneyWithdrawn { amount: 5 }]);
//! given::<Account>([]).when(AccountCommand::Deposit { amount: 1 }).then_rejected(Code::NotFound);
//! ```
#![expect(clippy::panic, reason = "a test that fails panics")]

mod decision;
mod process;
mod projection;
mod upcast;

use alloc::format;
use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

pub use decision::{Given, Outcome, given};
pub use process::{Reacting, Reactions, reacting};
pub use projection::{Projected, projected};
pub use upcast::{Upcasting, upcast, upcast_command};

use crate::time::Time;

/// 2026-01-01T00:00:00.000Z: when everything happens, unless a test says otherwise.
const NOW: Time = Time(1_767_225_600_000);

/// Both lists, line by line: ` ` in both, `-` expected and missing, `+` not expected. Of all ways
/// to pair lines one that pairs the most.
fn difference(expected: &[String], found: &[String]) -> String {
    // By where each list goes on: how many lines can be paired from there.
    let mut paired = vec![vec![0_usize; found.len().saturating_add(1)]];
    for line in expected.iter().rev() {
        let below = paired.last().cloned().unwrap_or_default();
        let mut row = vec![0];
        let steps = found.iter().rev().zip(below.iter().rev().zip(below.iter().rev().skip(1)));
        for (other, (diagonal, down)) in steps {
            let right = row.last().copied().unwrap_or_default();
            let same = if line == other { diagonal.saturating_add(1) } else { 0 };
            row.push(same.max(*down).max(right));
        }
        row.reverse();
        paired.push(row);
    }
    let count = |i: usize, j: usize| {
        let row = paired.get(expected.len().saturating_sub(i));
        row.and_then(|row| row.get(j)).copied().unwrap_or_default()
    };
    let (mut i, mut j, mut out) = (0_usize, 0_usize, String::new());
    loop {
        let (left, right) = (expected.get(i), found.get(j));
        let (mark, line, steps) = match (left, right) {
            (None, None) => return out,
            (Some(left), Some(right)) if left == right => ("    ", left, (1, 1)),
            (Some(left), None) => ("  - ", left, (1, 0)),
            (None, Some(right)) => ("  + ", right, (0, 1)),
            (Some(left), Some(right)) => {
                let missing = count(i.saturating_add(1), j) >= count(i, j.saturating_add(1));
                if missing { ("  - ", left, (1, 0)) } else { ("  + ", right, (0, 1)) }
            }
        };
        out.push_str(&format!("{mark}{line}\n"));
        (i, j) = (i.saturating_add(steps.0), j.saturating_add(steps.1));
    }
}

/// A minified JSON text, a line for each member and element.
fn pretty(json: &str) -> Vec<String> {
    let (mut lines, mut line) = (Vec::new(), String::new());
    let (mut depth, mut quoted, mut escaped) = (0_usize, false, false);
    for c in json.chars() {
        let closes = !quoted && matches!(c, '}' | ']');
        // Of an empty object or array both brackets stay together.
        if closes {
            depth = depth.saturating_sub(1);
            if !line.ends_with(['{', '[']) {
                lines.push(core::mem::replace(&mut line, "  ".repeat(depth)));
            }
        } else if line.ends_with(['{', '[', ',']) && !quoted {
            lines.push(core::mem::replace(&mut line, "  ".repeat(depth)));
        }
        line.push(c);
        match c {
            '"' if !escaped => quoted = !quoted,
            '{' | '[' if !quoted => depth = depth.saturating_add(1),
            ':' if !quoted => line.push(' '),
            _ => {}
        }
        escaped = quoted && c == '\\' && !escaped;
    }
    lines.push(line);
    lines
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_too_much() {
        let list = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(
            difference(&list("a b c"), &list("a x c y")),
            "    a\n  - b\n  + x\n    c\n  + y\n"
        );
    }

    #[test]
    fn a_difference_of_data_is_told_member_by_member() {
        let left = pretty(r#"{"days":{"a":{"n":1},"b":{"n":2}},"all":[],"text":"x,{\"y"}"#);
        let right = pretty(r#"{"days":{"a":{"n":1},"b":{"n":3}},"all":[],"text":"x,{\"y"}"#);
        let expected = r#"    {
      "days": {
        "a": {
          "n": 1
        },
        "b": {
  -       "n": 2
  +       "n": 3
        }
      },
      "all": [],
      "text": "x,{\"y"
    }
"#;
        assert_eq!(difference(&left, &right), expected);
    }
}
