//! `Email.Sender`: each member who was assigned is written to, after that is durable.
//!
//! Owns what an email says and what its name is, and has its stream tell what came of each attempt.
//! Refuses to know how emails are sent, and when they are tried again.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::email::{Email, EmailCommand, EmailEvent};
use super::subscription::{Subscription, SubscriptionEvent};
use crate::json::{members, push_string, string};
use crate::process::{EMAIL, Effect, Ended, Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use crate::read::Stop;
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct EmailSender;

/// What sort of email it is.
pub(super) const TEMPLATE: &str = "member-assigned";

/// `email-<position>-<n>`: the `n`-th that an event asks for, counted from 1.
pub(super) fn email_id(position: u64, index: usize) -> String {
    format!("email-{position}-{}", index.saturating_add(1))
}

/// What an email is about.
pub(super) fn subject(subscription: &str) -> String {
    format!("You were added to subscription {subscription}")
}

impl ProcessManager for EmailSender {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Email.Sender",
        reacts_to: &[("Subscription", "Subscription.Members.Assigned")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let Some(SubscriptionEvent::MembersAssigned { members }) =
            record.event_of::<Subscription>()?
        else {
            return Ok(Vec::new());
        };
        let subscription = record.aggregate_id;
        let (subject, text) = (subject(subscription), text(subscription));
        let effect = |(index, to): (usize, &String)| {
            let id = email_id(record.position, index);
            let mut data = String::from("{\"id\":");
            push_string(&mut data, &id);
            for (name, value) in [
                ("to", to.as_str()),
                ("template", TEMPLATE),
                ("subject", &subject),
                ("text", &text),
            ] {
                data.push_str(&format!(",\"{name}\":"));
                push_string(&mut data, value);
            }
            data.push('}');
            Reaction::Effect(Effect {
                kind: EMAIL.to_string(),
                target: to.clone(),
                data,
                deadline: None,
            })
        };
        Ok(members.iter().enumerate().map(effect).collect())
    }

    fn attempted(attempted: &Ended, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let Some(id) = member(&attempted.data, "id") else { return Ok(Vec::new()) };
        let attempt = attempted.attempt;
        let error = attempted.error.clone();
        let event = match (error, attempted.retry_at.clone()) {
            (Some(error), Some(retry_at)) => EmailEvent::Failed { attempt, error, retry_at },
            (Some(error), None) => EmailEvent::Dropped { attempt, error },
            (None, Some(retry_at)) => EmailEvent::Retried { retry_at },
            (None, None) => {
                let delivery = attempted.detail.clone().unwrap_or_else(|| "log".to_string());
                EmailEvent::Succeeded { attempt, delivery }
            }
        };
        let command = Ordered::to::<Email>(&id, &EmailCommand::Record(event))?;
        Ok(vec![Reaction::Command(command)])
    }
}

fn text(subscription: &str) -> String {
    format!("Hello,\n\nyou are a member of subscription {subscription} now.\n")
}

fn member(data: &str, name: &str) -> Option<String> {
    let (_, token) = members(data)?.into_iter().find(|(found, _)| found == name)?;
    string(token).map(|text| text.into_owned())
}
