//! The route table: it routes, and it is what `/openapi.json` publishes.
//!
//! Owns every path and method that is no domain's, and where one thing of an aggregate is shown.
//! Query parameters are in `params`; what domains have, by the registry, is in `domains`: no
//! domain's route is written here.

mod changing;
mod consumers;
mod domains;
mod params;

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decider::{AggregateSpec, CommandSpec, Serves};
use crate::errors::Code;
use crate::fields::{Field, FieldKind};
use crate::registry::Registry;
pub use consumers::Of;
use params::{
    AFTER_KEY, EFFECT_PARAMS, EXPORT_PARAMS, LIMIT, LIVE_PARAMS, REJECTED_PARAMS, STREAM_PARAMS,
    TOPIC_EVENTS_PARAMS,
};
pub use params::{Param, ParamKind, travels};

/// One way to address the system.
#[derive(Clone, Debug)]
pub struct Route {
    /// `GET`, `POST` or `DELETE`. `HEAD` goes where `GET` goes.
    pub method: &'static str,
    /// The path, parameters in braces: `/queries/account/{id}`.
    pub path: String,
    /// What it does.
    pub action: Action,
    /// One line for the contract.
    pub summary: String,
    /// Query parameters; the list is closed.
    pub params: Cow<'static, [Param]>,
    /// Codes it can answer with, beside those that every route has.
    pub errors: &'static [Code],
}

/// What a route does.
#[derive(Clone, Copy, Debug)]
pub enum Action {
    /// Decides a command.
    Command {
        /// The aggregate that takes it.
        aggregate: &'static AggregateSpec,
        /// Which.
        command: &'static CommandSpec,
    },
    /// Shows an aggregate.
    Query {
        /// Which kind.
        aggregate: &'static AggregateSpec,
    },
    /// Shows an aggregate's latest snapshot.
    Snapshot {
        /// Which kind.
        aggregate: &'static AggregateSpec,
    },
    /// Takes a snapshot of an aggregate now.
    TakeSnapshot {
        /// Which kind.
        aggregate: &'static AggregateSpec,
    },
    /// Lists one stream.
    EventsOf {
        /// Which kind.
        aggregate: &'static AggregateSpec,
    },
    /// Lists all records.
    EventStream,
    /// Shows one record.
    EventById,
    /// Follows all records.
    Live {
        /// Over a WebSocket.
        socket: bool,
    },
    /// Lists the projections' states.
    Projections,
    /// Shows a projection.
    Projection,
    /// Lists a projection's rows on a path of its own.
    List {
        /// Name of the projection.
        name: &'static str,
    },
    /// Builds a projection anew.
    Rebuild,
    /// Lists outside calls.
    Effects,
    /// Has an outside call be attempted anew.
    RetryEffect,
    /// Does something with consumers.
    Consumers(Of),
    /// Publishes events to topics.
    Publish,
    /// Shows a topic.
    Topic,
    /// Lists a topic's events.
    TopicEvents,
    /// Makes a log that is held this host's.
    Resume,
    /// Lists the host's partitions.
    Partitions,
    /// Statistics.
    Stats,
    /// Statistics of one stream.
    AggregateStats,
    /// Whether all is well.
    Health,
    /// Where the log stands.
    LogHead,
    /// The log.
    LogExport,
    /// Commands that were refused.
    Rejected,
    /// Takes a log in.
    LogImport,
    /// The contract.
    OpenApi,
    /// What this is.
    Index,
}

/// Commands that the HTTP layer itself can refuse so.
pub const COMMAND_ERRORS: &[Code] = &[
    Code::MalformedJson,
    Code::InvalidField,
    Code::UnknownField,
    Code::InvalidId,
    Code::InvalidParameter,
    Code::InvalidHeader,
    Code::Held,
    Code::InProgress,
    Code::PreconditionFailed,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::IdempotencyMismatch,
    Code::ReservedId,
    Code::AlreadyExists,
    Code::Overloaded,
    Code::Internal,
    Code::UnknownOutcome,
    Code::Restarting,
    Code::StorageFull,
];

/// What every read can answer with.
pub const READ_ERRORS: &[Code] = &[
    Code::InvalidParameter,
    Code::InvalidHeader,
    Code::Overloaded,
    Code::Internal,
    Code::Restarting,
];

/// The body of `POST /projections/rebuild`.
pub const REBUILD_FIELDS: &[Field] =
    &[Field { name: "name", kind: FieldKind::Id, optional: false, doc: "Name of the projection" }];

/// The body of what takes a snapshot.
pub const SNAPSHOT_FIELDS: &[Field] = &[Field {
    name: "force",
    kind: FieldKind::Flag,
    optional: true,
    doc: "Take it even if there is one of this version: in its place",
}];

const NOT_FOUND: &[Code] = &[Code::NotFound, Code::InvalidId];

const TAKE_ERRORS: &[Code] = &[
    Code::NotFound,
    Code::InvalidId,
    Code::MalformedJson,
    Code::InvalidField,
    Code::UnknownField,
    Code::Held,
    Code::InProgress,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::UnknownOutcome,
    Code::StorageFull,
];

/// Path, action, summary, query parameters, errors of a route that is not the registry's.
type Fixed = (&'static str, Action, &'static str, &'static [Param], &'static [Code]);

impl Route {
    /// The body's own fields. The id that the path names is not in the body.
    pub fn fields(&self) -> Cow<'static, [Field]> {
        let Action::Command { aggregate, command } = self.action else { return Cow::Borrowed(&[]) };
        if !self.path.contains("{id}") {
            return Cow::Borrowed(command.fields);
        }
        let others = command.fields.iter().filter(|field| field.name != aggregate.id_field);
        others.copied().collect()
    }

    fn serves(&self, what: Serves) -> bool {
        match (self.action, what) {
            (Action::Command { command, .. }, Serves::Command(name)) => command.name == name,
            (Action::Query { .. }, Serves::State)
            | (Action::EventsOf { .. }, Serves::Events)
            | (Action::Snapshot { .. }, Serves::LatestSnapshot)
            | (Action::TakeSnapshot { .. }, Serves::TakeSnapshot) => true,
            _ => false,
        }
    }
}

/// Where one thing of an aggregate is shown (`GET`): on its own path, if it has one.
pub fn place(routes: &[Route], aggregate: &AggregateSpec, what: Serves, id: &str) -> String {
    let mut of_it = routes.iter().rev().filter(|route| match route.action {
        Action::Query { aggregate: one } | Action::Snapshot { aggregate: one } => {
            one.aggregate_type == aggregate.aggregate_type
        }
        _ => false,
    });
    // Own paths come after those that every aggregate has.
    of_it.find(|route| route.serves(what)).map_or_else(String::new, |r| r.path.replace("{id}", id))
}

/// What reads, and is not the registry's.
const READING: [Fixed; 18] = [
    ("/events/stream", Action::EventStream, "All events", STREAM_PARAMS, &[]),
    ("/events/id/{eventId}", Action::EventById, "One event", &[], NOT_FOUND),
    (
        "/events/live",
        Action::Live { socket: false },
        "Events as they are stored, as Server-Sent Events: those after a position, or from now on, and then those to come",
        LIVE_PARAMS,
        &[],
    ),
    (
        "/events/ws",
        Action::Live { socket: true },
        "The same over a WebSocket: one Event as JSON a message",
        LIVE_PARAMS,
        &[],
    ),
    ("/projections", Action::Projections, "The projections and how far each has got", &[], &[]),
    (
        "/projections/{name}",
        Action::Projection,
        "A projection's data, a page at a time",
        &[LIMIT, AFTER_KEY],
        NOT_FOUND,
    ),
    (
        "/topics/{topic}",
        Action::Topic,
        "One topic: its event types and their schemas",
        &[],
        NOT_FOUND,
    ),
    (
        "/topics/{topic}/events",
        Action::TopicEvents,
        "The events of a topic, oldest first; @<AggregateType> is the topic of all events of that type",
        TOPIC_EVENTS_PARAMS,
        NOT_FOUND,
    ),
    ("/effects", Action::Effects, "Outside calls, how far each has got", EFFECT_PARAMS, &[]),
    (
        "/partitions",
        Action::Partitions,
        "The partitions of this host to which something was written",
        &[LIMIT, AFTER_KEY],
        &[],
    ),
    ("/stats", Action::Stats, "Statistics of the partition", &[LIMIT, AFTER_KEY], &[]),
    (
        "/stats/{aggregateType}/{id}",
        Action::AggregateStats,
        "Statistics of one stream",
        &[],
        NOT_FOUND,
    ),
    ("/health", Action::Health, "Whether all is well", &[], &[]),
    ("/log/head", Action::LogHead, "Where the log stands", &[], &[]),
    (
        "/log/export",
        Action::LogExport,
        "The log as stored: genesis, then a commit a line",
        EXPORT_PARAMS,
        &[],
    ),
    (
        "/log/rejected",
        Action::Rejected,
        "Commands that were refused, as far as this partition keeps them (see docs/gate.md)",
        REJECTED_PARAMS,
        &[],
    ),
    ("/openapi.json", Action::OpenApi, "This contract", &[], &[]),
    ("/", Action::Index, "What this is, for people", &[], &[]),
];

/// All routes of a registry.
pub fn table(registry: &Registry) -> Vec<Route> {
    let mut routes = Vec::new();
    for aggregate in &registry.aggregates {
        domains::of_aggregate(aggregate.as_ref(), &mut routes);
    }
    for projection in &registry.projections {
        routes.extend(projection.path().map(|own| domains::of_list(projection.spec().name, own)));
    }
    for (path, action, summary, params, errors) in READING {
        routes.push(get(path.into(), action, summary.into(), params, errors));
    }
    changing::all(&mut routes);
    routes.extend(consumers::all());
    routes
}

const fn get(
    path: String,
    action: Action,
    summary: String,
    params: &'static [Param],
    errors: &'static [Code],
) -> Route {
    Route { method: "GET", path, action, summary, params: Cow::Borrowed(params), errors }
}
