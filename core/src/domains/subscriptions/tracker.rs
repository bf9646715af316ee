//! `Assignment.Tracker`: whoever orders a subscription becomes its first member.
//!
//! Owns that reaction. Refuses to know what members get.

use alloc::vec;
use alloc::vec::Vec;

use super::subscription::{Subscription, SubscriptionCommand, SubscriptionEvent};
use crate::process::{Ordered, ProcessManager, ProcessSpec, Reaction, Sight};
use crate::read::Stop;
use crate::record::Record;

/// See the module's description.
#[derive(Debug)]
pub struct AssignmentTracker;

impl ProcessManager for AssignmentTracker {
    const SPEC: ProcessSpec = ProcessSpec {
        name: "Assignment.Tracker",
        reacts_to: &[("Subscription", "Subscription.Created")],
    };

    fn react(record: &Record<'_>, _: &mut Sight<'_>) -> Result<Vec<Reaction>, Stop> {
        let Some(SubscriptionEvent::Created { created_by, .. }) =
            record.event_of::<Subscription>()?
        else {
            return Ok(Vec::new());
        };
        let command = SubscriptionCommand::AssignMembers { members: vec![created_by.clone()] };
        let command = Ordered::to::<Subscription>(record.aggregate_id, &command)?;
        Ok(vec![Reaction::Command(command)])
    }
}
