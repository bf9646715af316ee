//! The bank's rules, one decision at a time, and what its projections show.

use super::{
    Account, AccountBalances, AccountCommand, AccountEvent, DailySummary, TransactionHistory,
    Transfer, TransferCommand, TransferEvent, Transfers,
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

#[test]
fn the_history_shows_deposits_and_withdrawals_and_nothing_else() {
    let (transfer_id, amount) = (String::from("t"), 4);
    projected::<TransactionHistory>()
        .given::<Account>("a", [opened(5), MoneyDeposited { amount: 3 }])
        .given::<Account>("b", [opened(0)])
        .given::<Account>(
            "a",
            [
                AccountEvent::TransferMoneyDebited { transfer_id: transfer_id.clone(), amount },
                AccountEvent::TransferHoldReleased { transfer_id: transfer_id.clone(), amount },
            ],
        )
        .given::<Transfer>("t", [TransferEvent::TransferCompleted {}])
        .at(Time(1_767_225_600_000 + 86_400_000))
        .given::<Account>(
            "b",
            [
                AccountEvent::TransferMoneyCredited { transfer_id, amount },
                MoneyWithdrawn { amount: 1 },
                AccountClosed {},
            ],
        )
        .then(
            r#"{"transactions": [
                {"accountId": "a", "type": "deposit", "amount": 3,
                 "timestamp": "2026-01-01T00:00:00.000Z", "eventId": "evt-002"},
                {"accountId": "a", "type": "withdrawal", "amount": 4,
                 "timestamp": "2026-01-01T00:00:00.000Z", "eventId": "evt-004"},
                {"accountId": "b", "type": "deposit", "amount": 4,
                 "timestamp": "2026-01-02T00:00:00.000Z", "eventId": "evt-007"},
                {"accountId": "b", "type": "withdrawal", "amount": 1,
                 "timestamp": "2026-01-02T00:00:00.000Z", "eventId": "evt-008"}]}"#,
        );
    projected::<TransactionHistory>()
        .given::<Account>("a", [opened(5)])
        .then(r#"{"transactions":[]}"#);
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
    let fail = TransferCommand::FailTransfer { reason: reason.clone(), attempt: 0 };
    let fail = Ordered::to::<Transfer>("t", &fail).expect("a command can be written");
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested()])
        .when_refused(&to_account("ann", &debit), Code::Closed)
        .then([Reaction::Command(fail)]);
    let credit = AccountCommand::CreditForTransfer { transfer_id: transfer_id.clone(), amount };
    let refund = AccountCommand::RefundTransfer { transfer_id, amount, reason, attempt: 0 };
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

#[test]
fn a_transfer_is_asked_for_once_and_given_up_before_money_moves() {
    let transfer = |to: &str| {
        let (from_account_id, to_account_id) = ("ann".into(), to.into());
        TransferCommand::Transfer { from_account_id, to_account_id, amount: 7 }
    };
    let fail = || TransferCommand::FailTransfer { reason: "closed".into(), attempt: 0 };
    let failed = || TransferEvent::TransferFailed { reason: "closed".into() };
    given::<Transfer>([]).when(transfer("bob")).then([requested()]);
    given::<Transfer>([]).when(transfer("ann")).then_rejected(Code::InvalidField);
    given::<Transfer>([requested()]).when(transfer("bob")).then_rejected(Code::AlreadyExists);
    given::<Transfer>([requested(), failed()])
        .when(transfer("bob"))
        .then_rejected(Code::AlreadyExists);
    given::<Transfer>([requested()]).when(fail()).then([failed()]);
    for moved in [TransferEvent::TransferDebited {}, TransferEvent::TransferCompleted {}, failed()]
    {
        given::<Transfer>([requested(), moved]).when(fail()).then_nothing();
    }
    given::<Transfer>([]).when(fail()).then_nothing();
}

/// Each step of a transfer is one commit over the account and the transfer.
#[test]
fn an_account_takes_its_part_in_a_transfer() {
    let (id, amount) = (|| String::from("t"), 7);
    let debit = || AccountCommand::DebitForTransfer { transfer_id: id(), amount };
    let debited = || AccountEvent::TransferMoneyDebited { transfer_id: id(), amount };
    given::<Account>([opened(7)])
        .and::<Transfer>("t", [requested()])
        .when(debit())
        .appending::<Transfer>("t", [TransferEvent::TransferDebited {}])
        .then([debited()]);
    given::<Account>([opened(6)]).when(debit()).then_rejected(Code::InsufficientFunds);
    given::<Account>([]).when(debit()).then_rejected(Code::NotFound);

    let credit = || AccountCommand::CreditForTransfer { transfer_id: id(), amount };
    given::<Account>([opened(0)])
        .of("bob")
        .and::<Transfer>("t", [requested(), TransferEvent::TransferDebited {}])
        .when(credit())
        .appending::<Transfer>("t", [TransferEvent::TransferCompleted {}])
        .appending::<Account>(
            "ann",
            [AccountEvent::TransferHoldReleased { transfer_id: id(), amount }],
        )
        .then([AccountEvent::TransferMoneyCredited { transfer_id: id(), amount }]);
    given::<Account>([opened(0)]).when(credit()).then_rejected(Code::NotFound);
    given::<Account>([opened(INTEGER_MAX - 6)]).when(credit()).then_rejected(Code::LimitExceeded);
    given::<Account>([opened(0), AccountClosed {}]).when(credit()).then_rejected(Code::Closed);

    let reason = || String::from("closed");
    given::<Account>([opened(7), debited()])
        .when(AccountCommand::RefundTransfer {
            transfer_id: id(),
            amount,
            reason: reason(),
            attempt: 3,
        })
        .appending::<Transfer>("t", [TransferEvent::TransferFailed { reason: reason() }])
        .then([AccountEvent::TransferMoneyRefunded { transfer_id: id(), amount }]);
}

/// What ends a transfer is asked for until it is done, later each time; a payload that is no
/// command of this module any more is no reason to lose money.
#[test]
fn what_ends_a_transfer_is_asked_for_again() {
    let (start, reason) = (Time(1_767_225_600_000), String::from("closed"));
    let debited = || [requested(), TransferEvent::TransferDebited {}];
    let refund = |attempt| {
        let (transfer_id, reason) = (String::from("t"), reason.clone());
        let refund = AccountCommand::RefundTransfer { transfer_id, amount: 7, reason, attempt };
        to_account("ann", &refund)
    };
    for (attempt, wait_ms) in [(0, 1_000), (1, 2_000), (2, 4_000), (8, 256_000), (9, 300_000)] {
        let due = start.after_ms(wait_ms);
        let (key, command) = (String::from("t"), refund(attempt + 1));
        reacting::<Transfers>()
            .given::<Transfer>("t", debited())
            .when_refused(&refund(attempt), Code::Internal)
            .then([Reaction::Timer { key, due, command }]);
    }
    let fail = |attempt| {
        let fail = TransferCommand::FailTransfer { reason: reason.clone(), attempt };
        Ordered::to::<Transfer>("t", &fail).expect("a command can be written")
    };
    let (key, due, command) = (String::from("t"), start.after_ms(1_000), fail(1));
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested()])
        .when_refused(&fail(0), Code::Internal)
        .then([Reaction::Timer { key, due, command }]);
    let failed = TransferEvent::TransferFailed { reason: reason.clone() };
    reacting::<Transfers>()
        .given::<Transfer>("t", [requested(), failed])
        .when_refused(&fail(0), Code::Internal)
        .then([]);

    let mut unknown = to_account("bob", &Deposit { amount: 7 });
    unknown.command = "CreditTransferAnew".into();
    unknown.data = r#"{"sum":{"cents":7},"transferId":"t"}"#.into();
    reacting::<Transfers>()
        .given::<Transfer>("t", debited())
        .when_refused(&unknown, Code::Closed)
        .then([Reaction::Command(refund(0))]);
}

/// Cut short after its debit, a transfer would hold money for ever.
#[test]
fn a_transfer_without_room_for_its_steps_waits_a_moment() {
    let (transfer_id, amount) = (String::from("t"), 7);
    let debit = AccountCommand::DebitForTransfer { transfer_id: transfer_id.clone(), amount };
    let (command, key) = (to_account("ann", &debit), transfer_id);
    let at = |depth| reacting::<Transfers>().given::<Transfer>("t", [requested()]).at_depth(depth);
    at(13).when::<Transfer>("t", requested()).then([Reaction::Command(command.clone())]);
    let due = Time(1_767_225_600_000).after_ms(1_000);
    for depth in [14, 15, 16] {
        let (key, command) = (key.clone(), command.clone());
        at(depth).when::<Transfer>("t", requested()).then([Reaction::Timer { key, due, command }]);
    }
}
