//! The bank's rules, one decision at a time, and what its projections show.

use super::{
    Account, AccountBalances, AccountCommand, AccountEvent, DailySummary, Transfer,
    TransferCommand, TransferEvent, Transfers,
};
use crate::errors::Code;
use crate::limits::INTEGER_MAX;
use crate::process::{Ordered, Reaction};
use crate::testing::{given, projected, reacting};
use crate::time::Time;
use AccountCommand::{CloseAccount, Deposit, OpenAccount, Withdraw};
use AccountEvent::{AccountClosed, AccountOpened, MoneyDeposited, MoneyWithdrawn};
use alloc::string::String;

const fn opened(initial_balance: u64) -> AccountEvent {
    AccountOpened { initial_balance }
}

#[test]
fn an_account_is_opened_once() {
    given::<Account>([]).when(OpenAccount { initial_balance: 5 }).then([opened(5)]);
    given::<Account>([opened(5)])
        .when(OpenAccount { initial_balance: 5 })
        .then_rejected(Code::AlreadyExists);
    given::<Account>([opened(0), AccountClosed {}])
        .when(OpenAccount { initial_balance: 0 })
        .then_rejected(Code::AlreadyExists);
}

#[test]
fn a_balance_stays_within_its_bounds() {
    given::<Account>([opened(5)]).when(Deposit { amount: 1 }).then([MoneyDeposited { amount: 1 }]);
    given::<Account>([opened(5)])
        .when(Deposit { amount: INTEGER_MAX - 5 })
        .then([MoneyDeposited { amount: INTEGER_MAX - 5 }]);
    given::<Account>([opened(5)])
        .when(Deposit { amount: INTEGER_MAX - 4 })
        .then_rejected(Code::LimitExceeded);
    given::<Account>([opened(5)]).when(Withdraw { amount: 5 }).then([MoneyWithdrawn { amount: 5 }]);
    given::<Account>([opened(5)])
        .when(Withdraw { amount: 6 })
        .then_rejected(Code::InsufficientFunds);
}

#[test]
fn what_is_not_open_takes_nothing() {
    given::<Account>([]).when(Deposit { amount: 1 }).then_rejected(Code::NotFound);
    for command in [Deposit { amount: 1 }, Withdraw { amount: 1 }, CloseAccount { sweep_to: None }]
    {
        given::<Account>([opened(0), AccountClosed {}]).when(command).then_rejected(Code::Closed);
    }
}

#[test]
fn an_account_is_closed_empty() {
    let close = || CloseAccount { sweep_to: None };
    given::<Account>([opened(5), MoneyWithdrawn { amount: 4 }])
        .when(close())
        .then_rejected(Code::NotEmpty);
    given::<Account>([opened(5), MoneyWithdrawn { amount: 5 }])
        .when(close())
        .then([AccountClosed {}]);
}

#[test]
fn what_is_left_can_go_to_another_account() {
    let sweep = || CloseAccount { sweep_to: Some("b".into()) };
    given::<Account>([opened(7)])
        .and::<Account>("b", [opened(1)])
        .when(sweep())
        .appending::<Account>("b", [MoneyDeposited { amount: 7 }])
        .then([MoneyWithdrawn { amount: 7 }, AccountClosed {}]);
    given::<Account>([opened(0)])
        .and::<Account>("b", [opened(1)])
        .when(sweep())
        .then([AccountClosed {}]);
    given::<Account>([opened(7)]).when(sweep()).then_rejected(Code::NotFound);
    given::<Account>([opened(7)]).of("b").when(sweep()).then_rejected(Code::InvalidField);
    given::<Account>([opened(7)])
        .and::<Account>("b", [opened(0), AccountClosed {}])
        .when(sweep())
        .then_rejected(Code::Closed);
    given::<Account>([opened(7)])
        .and::<Account>("b", [opened(INTEGER_MAX)])
        .when(sweep())
        .then_rejected(Code::LimitExceeded);
}

#[test]
fn projections_show_what_happened() {
    let day = 86_400_000;
    let events = || [opened(5), MoneyDeposited { amount: 3 }];
    projected::<DailySummary>()
        .given::<Account>("a", events())
        .at(Time(1_767_225_600_000 + day))
        .given::<Account>("b", [opened(9), MoneyWithdrawn { amount: 9 }, AccountClosed {}])
        .then(
            r#"{"summary": {"deposits": 17, "withdrawals": 9, "netChange": 8}, "days": {
                "2026-01-01": {"deposits": 8, "withdrawals": 0, "netChange": 8},
                "2026-01-02": {"deposits": 9, "withdrawals": 9, "netChange": 0}}}"#,
        );
    projected::<AccountBalances>()
        .given::<Account>("a", events())
        .then(r#"{"balances": {"a": {"balance": 8, "lastUpdated": "2026-01-01T00:00:00.000Z"}}}"#);
}

fn requested() -> TransferEvent {
    let (from_account_id, to_account_id) = ("ann".into(), "bob".into());
    TransferEvent::TransferRequested { from_account_id, to_account_id, amount: 7 }
}

fn to_account(id: &str, command: &AccountCommand) -> Ordered {
    Ordered::to::<Account>(id, command).expect("a command can be written")
}

#[test]
fn a_transfer_is_debited_then_credited() {
    let (transfer_id, amount) = (String::from("t"), 7);
    let debit = AccountCommand::DebitForTransfer { transfer_id: transfer_id.clone(), amount };
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested()])
        .when::<Transfer>("t", requested())
        .then([Reaction::Command(to_account("ann", &debit))]);
    let credit = AccountCommand::CreditForTransfer { transfer_id, amount };
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested(), TransferEvent::TransferDebited {}])
        .when::<Transfer>("t", TransferEvent::TransferDebited {})
        .then([Reaction::Command(to_account("bob", &credit))]);
    reacting::<Transfers>().when::<Transfer>("t", TransferEvent::TransferCompleted {}).then([]);
}

#[test]
fn a_refused_step_is_undone() {
    let (transfer_id, amount) = (String::from("t"), 7);
    let reason = String::from("closed");
    let debit = AccountCommand::DebitForTransfer { transfer_id: transfer_id.clone(), amount };
    let fail = TransferCommand::FailTransfer { reason: reason.clone() };
    let fail = Ordered::to::<Transfer>("t", &fail).expect("a command can be written");
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested()])
        .when_refused(&to_account("ann", &debit), Code::Closed)
        .then([Reaction::Command(fail)]);
    let credit = AccountCommand::CreditForTransfer { transfer_id: transfer_id.clone(), amount };
    let refund = AccountCommand::RefundTransfer { transfer_id, amount, reason };
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested(), TransferEvent::TransferDebited {}])
        .when_refused(&to_account("bob", &credit), Code::Closed)
        .then([Reaction::Command(to_account("ann", &refund))]);
}

/// What a transfer took out may come back: the account stays open, and has room for it.
#[test]
fn what_a_transfer_holds_has_its_place() {
    let held = || {
        let transfer_id = String::from("t");
        [opened(5), AccountEvent::TransferMoneyDebited { transfer_id, amount: 5 }]
    };
    given::<Account>(held()).when(CloseAccount { sweep_to: None }).then_rejected(Code::InProgress);
    given::<Account>(held())
        .when(Deposit { amount: INTEGER_MAX - 4 })
        .then_rejected(Code::LimitExceeded);
    given::<Account>(held())
        .when(Deposit { amount: INTEGER_MAX - 5 })
        .then([MoneyDeposited { amount: INTEGER_MAX - 5 }]);
}
