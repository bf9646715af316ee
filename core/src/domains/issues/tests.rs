//! The rules of issues and executions: every edge, and everything that is none.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt::Debug;

use super::flow::{Edge, Flow, edge};
use super::{
    Create, Execution, ExecutionCommand, ExecutionEvent, FlowState, Issue, IssueCommand,
    IssueEvent, Transition, execution, issue,
};
use crate::decider::{Aggregate, Decision, NoReads};
use crate::errors::{Code, Rejection};
use crate::protocol::Stamp;
use crate::testing::given;
use crate::time::Time;

/// The contract's edges, written down once more: the tables may not drift from it.
const ISSUE: [Edge; 9] = [
    edge("TODO", "start_work", "IN_PROGRESS"),
    edge("IN_PROGRESS", "submit_review", "IN_REVIEW"),
    edge("IN_REVIEW", "complete", "DONE"),
    edge("IN_REVIEW", "request_changes", "IN_PROGRESS"),
    edge("TODO", "cancel", "CANCELLED"),
    edge("IN_PROGRESS", "cancel", "CANCELLED"),
    edge("IN_REVIEW", "cancel", "CANCELLED"),
    edge("DONE", "reopen", "TODO"),
    edge("CANCELLED", "reopen", "TODO"),
];
const EXECUTION: [Edge; 5] = [
    edge("PENDING", "execute", "RUNNING"),
    edge("RUNNING", "succeed", "SUCCEEDED"),
    edge("RUNNING", "fail", "FAILED"),
    edge("RUNNING", "cancel", "CANCELLED"),
    edge("FAILED", "retry", "PENDING"),
];

/// What a test needs to know of either kind.
trait Kind: Aggregate<State = FlowState, Event: Clone + Debug + PartialEq> {
    fn create(title: Option<&str>) -> Self::Command;
    fn transition(asked: Transition) -> Self::Command;
    fn created(title: Option<&str>) -> Self::Event;
    fn changed(asked: Transition) -> Self::Event;
}

impl Kind for Issue {
    fn create(title: Option<&str>) -> IssueCommand {
        IssueCommand::CreateIssue(Create { title: title.map(String::from) })
    }
    fn transition(asked: Transition) -> IssueCommand {
        IssueCommand::TransitionIssue(asked)
    }
    fn created(title: Option<&str>) -> IssueEvent {
        let (issue_id, status) = ("id".into(), "TODO".into());
        IssueEvent::Created { issue_id, title: title.map(String::from), status }
    }
    fn changed(asked: Transition) -> IssueEvent {
        let Transition { from_state: from, to_state: to, event, reason } = asked;
        IssueEvent::StateChanged { issue_id: "id".into(), from, to, event, reason }
    }
}

impl Kind for Execution {
    fn create(title: Option<&str>) -> ExecutionCommand {
        ExecutionCommand::CreateExecution(Create { title: title.map(String::from) })
    }
    fn transition(asked: Transition) -> ExecutionCommand {
        ExecutionCommand::TransitionExecution(asked)
    }
    fn created(title: Option<&str>) -> ExecutionEvent {
        let (execution_id, status) = ("id".into(), "PENDING".into());
        ExecutionEvent::Created { execution_id, title: title.map(String::from), status }
    }
    fn changed(asked: Transition) -> ExecutionEvent {
        let Transition { from_state: from, to_state: to, event, reason } = asked;
        ExecutionEvent::StateChanged { execution_id: "id".into(), from, to, event, reason }
    }
}

fn asked(from: &str, event: &str, to: &str) -> Transition {
    let reason = Some(String::from("because"));
    Transition { from_state: from.into(), to_state: to.into(), event: event.into(), reason }
}

/// Each value once, in the order in which they first stand.
fn distinct<'a>(all: impl Iterator<Item = &'a str>) -> Vec<&'a str> {
    let mut out = Vec::new();
    for one in all {
        if !out.contains(&one) {
            out.push(one);
        }
    }
    out
}

/// The shortest past that ends in a state.
fn past<K: Kind>(flow: &Flow, edges: &[Edge], state: &str) -> Vec<K::Event> {
    let mut paths: Vec<(&str, Vec<K::Event>)> =
        Vec::from([(flow.initial, Vec::from([K::created(None)]))]);
    let mut at = 0;
    while let Some((here, path)) = paths.get(at).cloned() {
        if here == state {
            return path;
        }
        for edge in edges.iter().filter(|edge| edge.from == here) {
            if paths.iter().all(|(known, _)| *known != edge.to) {
                let mut longer = path.clone();
                longer.push(K::changed(asked(edge.from, edge.event, edge.to)));
                paths.push((edge.to, longer));
            }
        }
        at += 1;
    }
    panic!("nothing leads to {state}");
}

/// Every state with every event to every state, whatever the caller believes it to be in.
fn only_edges_are_taken<K: Kind>(flow: &Flow, edges: &[Edge]) {
    let unknown = "NOWHERE";
    let states = distinct(edges.iter().flat_map(|edge| [edge.from, edge.to]).chain([unknown]));
    let events = distinct(edges.iter().map(|edge| edge.event).chain(["fly"]));
    let mut taken = 0;
    for state in states.iter().filter(|state| **state != unknown) {
        for (event, to) in events.iter().flat_map(|event| states.iter().map(move |to| (event, to)))
        {
            for from in &states {
                let asked = asked(from, event, to);
                let outcome =
                    given::<K>(past::<K>(flow, edges, state)).when(K::transition(asked.clone()));
                if from == state && edges.contains(&edge(from, event, to)) {
                    outcome.then([K::changed(asked)]);
                    taken += 1;
                } else {
                    outcome.then_rejected(Code::IllegalTransition);
                }
            }
        }
    }
    assert_eq!(taken, edges.len());
}

#[test]
fn of_an_issue_only_edges_are_taken() {
    only_edges_are_taken::<Issue>(&issue::FLOW, &ISSUE);
}

#[test]
fn of_an_execution_only_edges_are_taken() {
    only_edges_are_taken::<Execution>(&execution::FLOW, &EXECUTION);
}

fn it_comes_into_being_once<K: Kind>() {
    given::<K>([]).when(K::create(Some("a title"))).then([K::created(Some("a title"))]);
    given::<K>([]).when(K::create(None)).then([K::created(None)]);
    given::<K>([K::created(None)]).when(K::create(None)).then_rejected(Code::AlreadyExists);
    given::<K>([]).when(K::transition(asked("", "", ""))).then_rejected(Code::NotFound);
}

#[test]
fn what_is_there_is_not_made_again_and_what_is_not_goes_nowhere() {
    it_comes_into_being_once::<Issue>();
    it_comes_into_being_once::<Execution>();
}

fn refusal<K: Kind>(events: &[K::Event], asked: Transition) -> Rejection {
    let state = events.iter().fold(FlowState::default(), |mut state, event| {
        K::evolve(&mut state, event);
        state
    });
    let stamp = Stamp { clock: Time(0), entropy: [0; 16] };
    let mut reads = NoReads;
    let mut decision = Decision::new("id", stamp.clock, &stamp, &mut reads);
    K::decide(Some(&state), &K::transition(asked), &mut decision).expect_err("it is refused")
}

#[test]
fn a_refusal_says_where_it_stands_and_what_leads_out_of_there() {
    for (flow, edges) in [(&issue::FLOW, &ISSUE[..]), (&execution::FLOW, &EXECUTION[..])] {
        for state in distinct(edges.iter().flat_map(|edge| [edge.from, edge.to])) {
            let asked = asked(state, "fly", "NOWHERE");
            let refusal = match flow.noun {
                "issue" => refusal::<Issue>(&past::<Issue>(flow, edges, state), asked),
                _ => refusal::<Execution>(&past::<Execution>(flow, edges, state), asked),
            };
            let member = |name: &str| {
                let found = refusal.members.iter().find(|(member, _)| *member == name);
                found.map(|(_, token)| token.clone()).unwrap_or_default()
            };
            assert_eq!(member("currentState"), format!("\"{state}\""));
            let allowed: Vec<serde_json::Value> =
                serde_json::from_str(&member("allowed")).expect("a list");
            let wanted = edges.iter().filter(|edge| edge.from == state);
            assert_eq!(allowed.len(), wanted.clone().count(), "{state}");
            for edge in wanted {
                let one = serde_json::json!({"event": edge.event, "toState": edge.to});
                assert!(allowed.contains(&one), "{state}: {allowed:?}");
            }
        }
    }
}

#[test]
fn a_state_counts_its_changes_and_stays_small() {
    let mut state = FlowState::default();
    Issue::evolve(&mut state, &Issue::created(Some("t")));
    for _ in 0..3 {
        Issue::evolve(&mut state, &Issue::changed(asked("TODO", "cancel", "CANCELLED")));
    }
    let title = Some("t".to_string());
    assert_eq!(state, FlowState { title, status: "CANCELLED".into(), transition_count: 3 });
}

/// What the table no longer has is kept as recorded, and nothing leads out of it.
#[test]
fn a_state_of_an_older_table_is_told_and_refuses() {
    let events = [Issue::created(None), Issue::changed(asked("TODO", "park", "PARKED"))];
    let refusal = refusal::<Issue>(&events, asked("PARKED", "reopen", "TODO"));
    assert_eq!(refusal.code, Code::IllegalTransition);
    let tokens: Vec<&str> = refusal.members.iter().map(|(_, token)| token.as_str()).collect();
    assert_eq!(tokens, ["\"PARKED\"", "[]"]);
}
