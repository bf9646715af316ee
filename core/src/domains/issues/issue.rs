//! The issue: from the list of what is to be done, over work and review, to its end.
//!
//! Owns its table of edges, its commands and its events. The rule that they obey is in `flow`.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::contract::{CREATE_FIELDS, TRANSITION_FIELDS, flow_schema, paths};
use super::flow::{self, Changed, Create, Edge, Flow, FlowState, Transition, edge};
use crate::decider::{Aggregate, AggregateSpec, CommandSpec, Decision, Path};
use crate::errors::{Code, Rejection};
use crate::read::{Reader, Stop};
use crate::record::Record;

/// An issue as a kind of stream.
#[derive(Debug)]
pub struct Issue;

const TODO: &str = "TODO";
const IN_PROGRESS: &str = "IN_PROGRESS";
const IN_REVIEW: &str = "IN_REVIEW";
const DONE: &str = "DONE";
const CANCELLED: &str = "CANCELLED";

const EDGES: &[Edge] = &[
    edge(TODO, "start_work", IN_PROGRESS),
    edge(TODO, "cancel", CANCELLED),
    edge(IN_PROGRESS, "submit_review", IN_REVIEW),
    edge(IN_PROGRESS, "cancel", CANCELLED),
    edge(IN_REVIEW, "complete", DONE),
    edge(IN_REVIEW, "request_changes", IN_PROGRESS),
    edge(IN_REVIEW, "cancel", CANCELLED),
    edge(DONE, "reopen", TODO),
    edge(CANCELLED, "reopen", TODO),
];

/// Where an issue can stand, and go.
pub(super) const FLOW: Flow = Flow { noun: "issue", initial: TODO, edges: EDGES };

/// What can be asked of an issue.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum IssueCommand {
    /// That it be.
    CreateIssue(Create),
    /// That it go on.
    TransitionIssue(Transition),
}

/// What can happen to an issue.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum IssueEvent {
    /// It came into being.
    #[serde(rename = "issue.created")]
    Created {
        /// Which.
        issue_id: String,
        /// What it is about.
        title: Option<String>,
        /// Where it begins.
        status: String,
    },
    /// It went on.
    #[serde(rename = "issue.state.changed")]
    StateChanged {
        /// Which.
        issue_id: String,
        /// From where.
        from: String,
        /// Where to.
        to: String,
        /// By what.
        event: String,
        /// Why.
        reason: Option<String>,
    },
}

fn changed<'r>(record: &Record<'r>) -> Result<Option<Changed<'r>>, Stop> {
    Ok(match record.event_of::<Issue>()? {
        Some(IssueEvent::StateChanged { from, to, event, reason, .. }) => {
            Some(Changed { from, to, event, reason: reason.as_ref() })
        }
        _ => None,
    })
}

impl Aggregate for Issue {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Issue",
        name: "issue",
        id_field: "id",
        revision: 1,
        snapshot_every: 50,
        events: &["issue.created", "issue.state.changed"],
        commands: &[
            CommandSpec::new("CreateIssue", "create-issue", "Create an issue", CREATE_FIELDS)
                .creating()
                .refusing(&[Code::AlreadyExists]),
            CommandSpec::new(
                "TransitionIssue",
                "transition-issue",
                "Move an issue from one state to another",
                TRANSITION_FIELDS,
            )
            .refusing(&[Code::NotFound, Code::IllegalTransition]),
        ],
        query_schema: flow_schema!["TODO", "IN_PROGRESS", "IN_REVIEW", "DONE", "CANCELLED"],
    };

    const PATHS: &'static [Path] = paths!["/issues", "CreateIssue", "TransitionIssue"];

    type State = FlowState;
    type Command = IssueCommand;
    type Event = IssueEvent;

    fn decide(
        state: Option<&FlowState>,
        command: &IssueCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<IssueEvent>, Rejection> {
        let issue_id = String::from(decision.id());
        Ok(match command {
            IssueCommand::CreateIssue(Create { title }) => {
                FLOW.absent(&issue_id, state)?;
                let (title, status) = (title.clone(), FLOW.initial.into());
                vec![IssueEvent::Created { issue_id, title, status }]
            }
            IssueCommand::TransitionIssue(asked) => {
                FLOW.allow(&issue_id, state, asked)?;
                let Transition { from_state: from, to_state: to, event, reason } = asked.clone();
                vec![IssueEvent::StateChanged { issue_id, from, to, event, reason }]
            }
        })
    }

    fn evolve(state: &mut FlowState, event: &IssueEvent) {
        match event {
            IssueEvent::Created { title, status, .. } => state.begin(title.as_ref(), status),
            IssueEvent::StateChanged { to, .. } => state.go(to),
        }
    }

    fn show(
        id: &str,
        version: u64,
        state: &FlowState,
        reader: &mut Reader<'_, '_>,
    ) -> Result<String, Stop> {
        flow::show((Self::SPEC.aggregate_type, id), version, state, reader, changed)
    }
}
