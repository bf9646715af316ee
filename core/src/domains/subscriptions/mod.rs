//! Subscriptions: plans that someone ordered, the members that may use them, and the emails that
//! tell members so.
//!
//! Reading order: `subscription` (commands, events, decisions), `list` (what is shown of all of
//! them), `tracker` (who orders one becomes its first member), then `email` (what became of each
//! attempt at an email), `sender` (who is written to) and `to_send` (what is still to be sent).

mod email;
mod list;
mod sender;
mod subscription;
#[cfg(test)]
mod tests;
mod to_send;
mod tracker;

pub use email::{Email, EmailCommand, EmailEvent, EmailState};
pub use list::SubscriptionList;
pub use sender::EmailSender;
pub use subscription::{Subscription, SubscriptionCommand, SubscriptionEvent, SubscriptionState};
pub use to_send::EmailsToSend;
pub use tracker::AssignmentTracker;

use crate::registry::Registry;
use crate::{decider, process, projection};

/// Adds subscriptions to a registry.
pub fn register(registry: &mut Registry) {
    registry.aggregates.push(decider::erase::<Subscription>());
    registry.aggregates.push(decider::erase::<Email>());
    registry.managers.push(process::erase::<AssignmentTracker>());
    registry.managers.push(process::erase::<EmailSender>());
    registry.projections.push(projection::erase::<SubscriptionList>());
    registry.projections.push(projection::erase::<EmailsToSend>());
}
