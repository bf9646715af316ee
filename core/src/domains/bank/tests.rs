//! The account's rules, one decision at a time: given a state, when a command, then events or a code.

use alloc::vec;
use alloc::vec::Vec;

use super::{Account, AccountCommand, AccountEvent, AccountState};
use crate::decider::{Aggregate, Decision};
use crate::errors::Code;
use crate::limits::INTEGER_MAX;
use crate::protocol::Stamp;
use crate::time::Time;

fn decide(given: &[AccountEvent], when: AccountCommand) -> Result<Vec<AccountEvent>, Code> {
    let stamp = Stamp { clock: Time(0), entropy: [0; 16] };
    let state = given.iter().fold(None, |state: Option<AccountState>, event| {
        let mut state = state.unwrap_or_default();
        Account::evolve(&mut state, event);
        Some(state)
    });
    let mut decision = Decision::new("a", Time(0), &stamp);
    Account::decide(state.as_ref(), &when, &mut decision).map_err(|rejection| rejection.code)
}

#[test]
fn an_account_keeps_its_rules() {
    use AccountCommand::{CloseAccount, Deposit, OpenAccount, Withdraw};
    use AccountEvent::{AccountClosed, AccountOpened, MoneyDeposited, MoneyWithdrawn};
    let opened = |initial_balance| AccountOpened { initial_balance };
    for (given, when, then) in [
        (vec![], OpenAccount { initial_balance: 5 }, Ok(vec![opened(5)])),
        (vec![opened(5)], OpenAccount { initial_balance: 5 }, Err(Code::AlreadyExists)),
        (vec![], Deposit { amount: 1 }, Err(Code::NotFound)),
        (vec![opened(5)], Deposit { amount: 1 }, Ok(vec![MoneyDeposited { amount: 1 }])),
        (
            vec![opened(5)],
            Deposit { amount: INTEGER_MAX - 5 },
            Ok(vec![MoneyDeposited { amount: INTEGER_MAX - 5 }]),
        ),
        (vec![opened(5)], Deposit { amount: INTEGER_MAX - 4 }, Err(Code::LimitExceeded)),
        (vec![opened(5)], Withdraw { amount: 5 }, Ok(vec![MoneyWithdrawn { amount: 5 }])),
        (vec![opened(5)], Withdraw { amount: 6 }, Err(Code::InsufficientFunds)),
        (vec![opened(5), MoneyWithdrawn { amount: 4 }], CloseAccount {}, Err(Code::NotEmpty)),
        (
            vec![opened(5), MoneyWithdrawn { amount: 5 }],
            CloseAccount {},
            Ok(vec![AccountClosed {}]),
        ),
        (vec![opened(0), AccountClosed {}], Deposit { amount: 1 }, Err(Code::Closed)),
        (vec![opened(0), AccountClosed {}], CloseAccount {}, Err(Code::Closed)),
        (
            vec![opened(0), AccountClosed {}],
            OpenAccount { initial_balance: 0 },
            Err(Code::AlreadyExists),
        ),
    ] {
        assert_eq!(decide(&given, when.clone()), then, "{given:?} {when:?}");
    }
}
