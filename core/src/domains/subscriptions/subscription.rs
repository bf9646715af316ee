//! The subscription: what was ordered, by whom, and who its members are.
//!
//! Owns its commands, its events and what refuses them. Refuses to know that anyone is written to.
//!
//! Invariant: a member is assigned once. Whoever is assigned again stays a member, no event tells
//! of it, and so nobody is written to again.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::list::{ITEM_SCHEMA, Shown, push};
use crate::decider::{Aggregate, AggregateSpec, CommandSpec, Decision, Named, Path, Serves};
use crate::errors::{Code, Problem, Rejection};
use crate::fields::{Field, FieldKind};
use crate::limits::{MEMBERS_MAX, MEMBERS_PER_COMMAND_MAX};
use crate::read::{Reader, Stop};
use crate::time::Time;

/// A subscription as a kind of stream.
#[derive(Debug)]
pub struct Subscription;

/// What comes before the number of a subscription.
pub(super) const PREFIX: &str = "sub-";
const CREATED: &str = "Subscription.Created";

/// What can be asked of a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum SubscriptionCommand {
    /// That it be.
    #[serde(rename = "Subscription.Create")]
    Create {
        /// What is ordered.
        plan: String,
        /// By whom: an email address.
        created_by: String,
    },
    /// That these become members.
    #[serde(rename = "Subscription.Assign.Members")]
    AssignMembers {
        /// Their email addresses.
        members: Vec<String>,
    },
}

/// What can happen to a subscription.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum SubscriptionEvent {
    /// It came into being.
    #[serde(rename = "Subscription.Created")]
    Created {
        /// What was ordered.
        plan: String,
        /// By whom.
        created_by: String,
    },
    /// These became members, who were not before.
    #[serde(rename = "Subscription.Members.Assigned")]
    MembersAssigned {
        /// Their email addresses.
        members: Vec<String>,
    },
}

/// What a subscription is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct SubscriptionState {
    /// What was ordered.
    pub plan: String,
    /// By whom.
    pub created_by: String,
    /// In the order in which they were assigned.
    pub members: Vec<String>,
}

const CREATE_FIELDS: &[Field] = &[
    Field {
        name: "plan",
        kind: FieldKind::HeaderId,
        optional: false,
        doc: "What is ordered, such as gold",
    },
    Field {
        name: "createdBy",
        kind: FieldKind::Email,
        optional: false,
        doc: "Who orders it, and becomes its first member",
    },
];

const ASSIGN_FIELDS: &[Field] = &[
    Field { name: "subscriptionId", kind: FieldKind::Id, optional: false, doc: "Which one" },
    Field {
        name: "members",
        kind: FieldKind::Emails { count_max: MEMBERS_PER_COMMAND_MAX },
        optional: false,
        doc: "Who become members; those who are already stay so and are not written to again",
    },
];

impl Aggregate for Subscription {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Subscription",
        name: "subscription",
        id_field: "subscriptionId",
        revision: 1,
        snapshot_every: 100,
        events: &[CREATED, "Subscription.Members.Assigned"],
        commands: &[
            CommandSpec::new(
                "Subscription.Create",
                "create-subscription",
                "Create a subscription; it is named by its number in the partition",
                CREATE_FIELDS,
            )
            .creating(),
            CommandSpec::new(
                "Subscription.Assign.Members",
                "assign-members",
                "Make these members of a subscription",
                ASSIGN_FIELDS,
            )
            .refusing(&[Code::NotFound, Code::LimitExceeded]),
        ],
        query_schema: ITEM_SCHEMA,
    };

    const PATHS: &'static [Path] = &[
        Path { path: "/create-subscription", serves: Serves::Command("Subscription.Create") },
        Path { path: "/assign-members", serves: Serves::Command("Subscription.Assign.Members") },
        Path { path: "/subscriptions/{id}", serves: Serves::State },
    ];

    const NAMED: Named = Named::Counted { prefix: PREFIX, event: CREATED };

    type State = SubscriptionState;
    type Command = SubscriptionCommand;
    type Event = SubscriptionEvent;

    fn decide(
        state: Option<&SubscriptionState>,
        command: &SubscriptionCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<SubscriptionEvent>, Rejection> {
        match command {
            SubscriptionCommand::Create { plan, created_by } => {
                let (plan, created_by) = (plan.clone(), created_by.clone());
                Ok(vec![SubscriptionEvent::Created { plan, created_by }])
            }
            SubscriptionCommand::AssignMembers { members } => {
                let id = decision.id();
                let state = state.ok_or_else(|| {
                    Problem::new(Code::NotFound, format!("subscription {id} does not exist"))
                })?;
                let added = added(&state.members, members);
                let count = state.members.len().saturating_add(added.len());
                if count > MEMBERS_MAX {
                    let detail = format!(
                        "subscription {id} would have {count} members; at most {MEMBERS_MAX} are allowed"
                    );
                    let problem = Problem::new(Code::LimitExceeded, detail);
                    return Err(problem
                        .text("field", "members")
                        .number("limit", MEMBERS_MAX as u64));
                }
                Ok(match added.is_empty() {
                    true => Vec::new(),
                    false => vec![SubscriptionEvent::MembersAssigned { members: added }],
                })
            }
        }
    }

    fn evolve(state: &mut SubscriptionState, event: &SubscriptionEvent) {
        match event {
            SubscriptionEvent::Created { plan, created_by } => {
                state.plan.clone_from(plan);
                state.created_by.clone_from(created_by);
            }
            SubscriptionEvent::MembersAssigned { members } => {
                state.members.extend(members.iter().cloned());
            }
        }
    }

    fn show(
        id: &str,
        version: u64,
        state: &SubscriptionState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        // When it came into being is what its first record tells.
        let of_type = Self::SPEC.aggregate_type;
        let count = u32::try_from(version).unwrap_or(u32::MAX);
        let positions = reader.stream_positions_before(of_type, id, None, count)?;
        let first: Vec<u64> = positions.last().copied().into_iter().collect();
        let mut created_at = Time::default();
        reader.records(&first, |record| {
            created_at = record.time;
            Ok(())
        })?;
        let SubscriptionState { plan, created_by, members } = state;
        let mut out = String::with_capacity(256);
        push(&mut out, &Shown { id, plan, created_by, members, created_at, version });
        Ok(out)
    }
}

/// Those who are not members yet, each once.
fn added(members: &[String], wanted: &[String]) -> Vec<String> {
    let mut added: Vec<String> = Vec::new();
    for one in wanted {
        if !members.contains(one) && !added.contains(one) {
            added.push(one.to_string());
        }
    }
    added
}
