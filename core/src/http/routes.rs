//! The route table: it routes, and it is what `/openapi.json` publishes.
//!
//! Owns every path and method; query parameters are in `params`. Bank routes are not written here:
//! each registered aggregate gets its commands, its query and its events from the registry.

mod params;

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::decider::{AggregateSpec, CommandKind, CommandSpec};
use crate::errors::Code;
use crate::fields::{Field, FieldKind};
use crate::registry::Registry;
use params::{
    AFTER_KEY, EFFECT_PARAMS, EVENTS_OF_PARAMS, EXPORT_PARAMS, IMPORT_PARAMS, LIMIT, LIVE_PARAMS,
    STATE_PARAMS, STREAM_PARAMS,
};
pub use params::{Param, ParamKind, travels};

/// One way to address the system.
#[derive(Clone, Debug)]
pub struct Route {
    /// `GET` or `POST`. `HEAD` goes where `GET` goes.
    pub method: &'static str,
    /// The path, parameters in braces: `/queries/account/{id}`.
    pub path: String,
    /// What it does.
    pub action: Action,
    /// One line for the contract.
    pub summary: String,
    /// Query parameters; the list is closed.
    pub params: &'static [Param],
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
    /// Builds a projection anew.
    Rebuild,
    /// Lists outside calls.
    Effects,
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

const IMPORT_ERRORS: &[Code] = &[
    Code::MalformedJson,
    Code::InvalidField,
    Code::NotEmpty,
    Code::InProgress,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::UnknownOutcome,
    Code::StorageFull,
];

/// Path, action, summary, query parameters, errors of a route that is not the registry's.
type Fixed = (&'static str, Action, &'static str, &'static [Param], &'static [Code]);

/// The routes that every registered aggregate has.
fn of_aggregate(aggregate: &'static AggregateSpec, routes: &mut Vec<Route>) {
    let given = aggregate.commands.iter().filter(|c| c.kind != CommandKind::Internal);
    for command in given {
        routes.push(Route {
            method: "POST",
            path: format!("/commands/{}", command.path),
            action: Action::Command { aggregate, command },
            summary: command.summary.into(),
            params: &[],
            errors: command.rejections,
        });
    }
    let name = aggregate.name;
    routes.push(get(
        format!("/queries/{name}/{{id}}"),
        Action::Query { aggregate },
        format!("The state of one {name}, now or as of a version or time"),
        STATE_PARAMS,
        NOT_FOUND,
    ));
    routes.push(get(
        format!("/snapshots/{name}/{{id}}"),
        Action::Snapshot { aggregate },
        format!("The latest snapshot of one {name}"),
        &[],
        NOT_FOUND,
    ));
    routes.push(Route {
        method: "POST",
        path: format!("/snapshots/{name}/{{id}}"),
        action: Action::TakeSnapshot { aggregate },
        summary: format!("Take a snapshot of one {name} now; there is one already: that one"),
        params: &[],
        errors: TAKE_ERRORS,
    });
    routes.push(get(
        format!("/events/{name}/{{id}}"),
        Action::EventsOf { aggregate },
        format!("The events of one {name}"),
        EVENTS_OF_PARAMS,
        NOT_FOUND,
    ));
}

/// What changes something, and is not the registry's.
fn changing(routes: &mut Vec<Route>) {
    routes.push(Route {
        method: "POST",
        path: "/effects/resume".into(),
        action: Action::Resume,
        summary: "Makes a log that is held this host's, under a new incarnation".into(),
        params: &[],
        errors: TAKE_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/log/import".into(),
        action: Action::LogImport,
        summary: "Takes in, in parts of at most 64 MB, what GET /log/export gave; there is no log before the last one, and that log is held".into(),
        params: IMPORT_PARAMS,
        errors: IMPORT_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/projections/rebuild".into(),
        action: Action::Rebuild,
        summary: "Builds a projection anew, serving its old rows until that is done".into(),
        params: &[],
        errors: NOT_FOUND,
    });
}

/// All routes of a registry.
pub fn table(registry: &Registry) -> Vec<Route> {
    let mut routes = Vec::new();
    for aggregate in registry.aggregates.iter().map(|a| a.spec()) {
        of_aggregate(aggregate, &mut routes);
    }
    let fixed: [Fixed; 15] = [
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
        ("/openapi.json", Action::OpenApi, "This contract", &[], &[]),
        ("/", Action::Index, "What this is, for people", &[], &[]),
    ];
    for (path, action, summary, params, errors) in fixed {
        routes.push(get(path.into(), action, summary.into(), params, errors));
    }
    changing(&mut routes);
    routes
}

const fn get(
    path: String,
    action: Action,
    summary: String,
    params: &'static [Param],
    errors: &'static [Code],
) -> Route {
    Route { method: "GET", path, action, summary, params, errors }
}
