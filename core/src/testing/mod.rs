//! Given, when, then: tests of a domain as data, without a host, a store or a clock.
//!
//! Owns three small worlds: a decision over given streams, a projection over given events, and a
//! process manager that sees given streams and rows. They run the domain's own functions and the engine's own fold. Panics are for tests: nothing that
//! ships calls this.
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

use alloc::format;
use alloc::string::String;

pub use decision::{Given, Outcome, given};
pub use process::{Reacting, Reactions, reacting};
pub use projection::{Projected, projected};

use crate::time::Time;

/// 2026-01-01T00:00:00.000Z: when everything happens, unless a test says otherwise.
const NOW: Time = Time(1_767_225_600_000);

/// Both lists, line by line: ` ` in both, `-` expected and missing, `+` not expected.
fn difference(expected: &[String], found: &[String]) -> String {
    let mut out = String::new();
    let mut rest = found.iter().peekable();
    for line in expected {
        if rest.clone().any(|found| found == line) {
            while let Some(extra) = rest.next_if(|found| *found != line) {
                out.push_str(&format!("  + {extra}\n"));
            }
            rest.next();
            out.push_str(&format!("    {line}\n"));
        } else {
            out.push_str(&format!("  - {line}\n"));
        }
    }
    rest.for_each(|extra| out.push_str(&format!("  + {extra}\n")));
    out
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::vec::Vec;

    #[test]
    fn a_difference_shows_what_is_missing_and_what_is_too_much() {
        let list = |text: &str| text.split(' ').map(String::from).collect::<Vec<_>>();
        assert_eq!(
            difference(&list("a b c"), &list("a x c y")),
            "    a\n  - b\n  + x\n    c\n  + y\n"
        );
    }
}
