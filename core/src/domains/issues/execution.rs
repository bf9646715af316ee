//! The execution: one attempt at something, from `PENDING` to how it ended.
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

/// An execution as a kind of stream.
#[derive(Debug)]
pub struct Execution;

const PENDING: &str = "PENDING";
const RUNNING: &str = "RUNNING";
const SUCCEEDED: &str = "SUCCEEDED";
const FAILED: &str = "FAILED";
const CANCELLED: &str = "CANCELLED";

const EDGES: &[Edge] = &[
    edge(PENDING, "execute", RUNNING),
    edge(RUNNING, "succeed", SUCCEEDED),
    edge(RUNNING, "fail", FAILED),
    edge(RUNNING, "cancel", CANCELLED),
    edge(FAILED, "retry", PENDING),
];

/// Where an execution can stand, and go.
pub(super) const FLOW: Flow = Flow { noun: "execution", initial: PENDING, edges: EDGES };

/// What can be asked of an execution.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
pub enum ExecutionCommand {
    /// That it be.
    CreateExecution(Create),
    /// That it go on.
    TransitionExecution(Transition),
}

/// What can happen to an execution.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all_fields = "camelCase")]
pub enum ExecutionEvent {
    /// It came into being.
    #[serde(rename = "execution.created")]
    Created {
        /// Which.
        execution_id: String,
        /// What it is about.
        title: Option<String>,
        /// Where it begins.
        status: String,
    },
    /// It went on.
    #[serde(rename = "execution.state.changed")]
    StateChanged {
        /// Which.
        execution_id: String,
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
    Ok(match record.event_of::<Execution>()? {
        Some(ExecutionEvent::StateChanged { from, to, event, reason, .. }) => {
            Some(Changed { from, to, event, reason: reason.as_ref() })
        }
        _ => None,
    })
}

impl Aggregate for Execution {
    const SPEC: AggregateSpec = AggregateSpec {
        aggregate_type: "Execution",
        name: "execution",
        id_field: "id",
        revision: 1,
        snapshot_every: 50,
        events: &["execution.created", "execution.state.changed"],
        commands: &[
            CommandSpec::new(
                "CreateExecution",
                "create-execution",
                "Create an execution",
                CREATE_FIELDS,
            )
            .creating()
            .refusing(&[Code::AlreadyExists]),
            CommandSpec::new(
                "TransitionExecution",
                "transition-execution",
                "Move an execution from one state to another",
                TRANSITION_FIELDS,
            )
            .refusing(&[Code::NotFound, Code::IllegalTransition]),
        ],
        query_schema: flow_schema!["PENDING", "RUNNING", "SUCCEEDED", "FAILED", "CANCELLED"],
    };

    const PATHS: &'static [Path] = paths!["/executions", "CreateExecution", "TransitionExecution"];

    type State = FlowState;
    type Command = ExecutionCommand;
    type Event = ExecutionEvent;

    fn decide(
        state: Option<&FlowState>,
        command: &ExecutionCommand,
        decision: &mut Decision<'_>,
    ) -> Result<Vec<ExecutionEvent>, Rejection> {
        let execution_id = String::from(decision.id());
        Ok(match command {
            ExecutionCommand::CreateExecution(Create { title }) => {
                FLOW.absent(&execution_id, state)?;
                let (title, status) = (title.clone(), FLOW.initial.into());
                vec![ExecutionEvent::Created { execution_id, title, status }]
            }
            ExecutionCommand::TransitionExecution(asked) => {
                FLOW.allow(&execution_id, state, asked)?;
                let Transition { from_state: from, to_state: to, event, reason } = asked.clone();
                vec![ExecutionEvent::StateChanged { execution_id, from, to, event, reason }]
            }
        })
    }

    fn evolve(state: &mut FlowState, event: &ExecutionEvent) {
        match event {
            ExecutionEvent::Created { title, status, .. } => state.begin(title.as_ref(), status),
            ExecutionEvent::StateChanged { to, .. } => state.go(to),
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
