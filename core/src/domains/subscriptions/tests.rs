//! Subscriptions in given, when, then.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::*;
use crate::errors::Code;
use crate::limits::MEMBERS_MAX;
use crate::process::{EMAIL, Effect, Ended, Ordered, Reaction};
use crate::testing::{given, projected, reacting};

fn created() -> SubscriptionEvent {
    SubscriptionEvent::Created { plan: "gold".into(), created_by: "ann@example.com".into() }
}

fn assigned(members: &[&str]) -> SubscriptionEvent {
    SubscriptionEvent::MembersAssigned { members: texts(members) }
}

fn assign(members: &[&str]) -> SubscriptionCommand {
    SubscriptionCommand::AssignMembers { members: texts(members) }
}

fn texts(all: &[&str]) -> Vec<String> {
    all.iter().map(ToString::to_string).collect()
}

fn email(subscription: &str, to: &str, id: &str) -> Effect {
    let data = format!(
        r#"{{"id":"{id}","to":"{to}","template":"member-assigned","subject":"You were added to subscription {subscription}","text":"Hello,\n\nyou are a member of subscription {subscription} now.\n"}}"#
    );
    Effect { kind: EMAIL.into(), target: to.into(), data, deadline: None }
}

#[test]
fn a_subscription_is_created_and_gets_members_once_each() {
    let create =
        SubscriptionCommand::Create { plan: "gold".into(), created_by: "ann@example.com".into() };
    given::<Subscription>([]).when(create).then([created()]);
    given::<Subscription>([created()])
        .when(assign(&["bob@example.com", "cy@example.com", "bob@example.com"]))
        .then([assigned(&["bob@example.com", "cy@example.com"])]);
    let members = [created(), assigned(&["bob@example.com"])];
    given::<Subscription>(members.clone())
        .when(assign(&["bob@example.com", "cy@example.com"]))
        .then([assigned(&["cy@example.com"])]);
    given::<Subscription>(members).when(assign(&["bob@example.com"])).then_nothing();
    given::<Subscription>([]).when(assign(&["bob@example.com"])).then_rejected(Code::NotFound);
}

#[test]
fn members_are_bounded() {
    let many: Vec<String> = (1..MEMBERS_MAX).map(|n| format!("m{n}@example.com")).collect();
    let full = || [created(), SubscriptionEvent::MembersAssigned { members: many.clone() }];
    given::<Subscription>(full())
        .when(assign(&["last@example.com"]))
        .then([assigned(&["last@example.com"])]);
    given::<Subscription>(full())
        .when(assign(&["last@example.com", "over@example.com"]))
        .then_rejected(Code::LimitExceeded);
}

#[test]
fn who_creates_one_becomes_a_member_and_members_are_written_to() {
    let command = Ordered::to::<Subscription>("sub-1", &assign(&["ann@example.com"]));
    let command = command.expect("a command can be written");
    reacting::<AssignmentTracker>()
        .when::<Subscription>("sub-1", created())
        .then([Reaction::Command(command)]);
    reacting::<EmailSender>().when::<Subscription>("sub-1", created()).then([]);
    reacting::<EmailSender>()
        .when::<Subscription>("sub-1", assigned(&["ann@example.com", "bob@example.com"]))
        .then([
            Reaction::Effect(email("sub-1", "ann@example.com", "email-1-1")),
            Reaction::Effect(email("sub-1", "bob@example.com", "email-1-2")),
        ]);
}

#[test]
fn each_attempt_is_told_in_the_stream_of_its_email() {
    let effect = email("sub-1", "ann@example.com", "email-1-1");
    let at = || "2026-01-01T00:00:01.000Z".to_string();
    let told = |attempt, detail: Option<&str>, error: Option<&str>, retry_at: Option<String>| {
        let [detail, error] = [detail, error].map(|text| text.map(String::from));
        Ended { attempt, detail, error, retry_at, ..Ended::default() }
    };
    for (attempted, event) in [
        (
            told(1, Some("sendgrid"), None, None),
            EmailEvent::Succeeded { attempt: 1, delivery: "sendgrid".into() },
        ),
        (
            told(2, None, Some("status 500"), Some(at())),
            EmailEvent::Failed { attempt: 2, error: "status 500".into(), retry_at: at() },
        ),
        (
            told(10, None, Some("status 400"), None),
            EmailEvent::Dropped { attempt: 10, error: "status 400".into() },
        ),
        (told(0, None, None, Some(at())), EmailEvent::Retried { retry_at: at() }),
    ] {
        let command = Ordered::to::<Email>("email-1-1", &EmailCommand::Record(event));
        let command = Reaction::Command(command.expect("a command can be written"));
        reacting::<EmailSender>().when_attempted(&effect, attempted).then([command]);
    }
}

#[test]
fn the_views_show_what_happened() {
    let later = "2026-01-01T00:00:01.000Z";
    projected::<SubscriptionList>()
        .given::<Subscription>("sub-1", [created(), assigned(&["ann@example.com"])])
        .then(
            r#"{"subscriptions":[{"id":"sub-1","plan":"gold","createdBy":"ann@example.com","members":["ann@example.com"],"createdAt":"2026-01-01T00:00:00.000Z","version":2}]}"#,
        );
    let dropped = EmailEvent::Dropped { attempt: 10, error: "status 400".into() };
    let failed = EmailEvent::Failed { attempt: 1, error: "reset".into(), retry_at: later.into() };
    projected::<EmailsToSend>()
        .given::<Subscription>(
            "sub-1",
            vec![created(), assigned(&["a@b.c", "b@b.c", "c@b.c", "d@b.c"])],
        )
        .given::<Email>("email-2-1", [failed.clone()])
        .given::<Email>("email-2-2", [failed.clone(), EmailEvent::Succeeded { attempt: 2, delivery: "log".into() }])
        .given::<Email>("email-2-3", [dropped.clone()])
        .given::<Email>("email-2-4", [dropped, EmailEvent::Retried { retry_at: later.into() }])
        .then(
            r#"{"emails":[
            {"id":"email-2-1","to":"a@b.c","template":"member-assigned","subject":"You were added to subscription sub-1","attempt":1,"nextAttemptAt":"2026-01-01T00:00:01.000Z","lastError":"reset","status":"pending"},
            {"id":"email-2-2","to":"b@b.c","template":"member-assigned","subject":"You were added to subscription sub-1","attempt":2,"nextAttemptAt":null,"lastError":null,"status":"succeeded"},
            {"id":"email-2-3","to":"c@b.c","template":"member-assigned","subject":"You were added to subscription sub-1","attempt":10,"nextAttemptAt":null,"lastError":"status 400","status":"dropped"},
            {"id":"email-2-4","to":"d@b.c","template":"member-assigned","subject":"You were added to subscription sub-1","attempt":0,"nextAttemptAt":"2026-01-01T00:00:01.000Z","lastError":null,"status":"pending"}]}"#,
        );
}
