//! The routes of domains: what every registered aggregate has, what it has on paths of its own, and
//! the lists of projections.
//!
//! Owns how what the registry names becomes routes. Refuses to know any domain.

use alloc::borrow::Cow;
use alloc::format;
use alloc::vec::Vec;

use super::params::{AFTER_KEY, EVENTS_OF_PARAMS, LIMIT, Param, ParamKind, STATE_PARAMS};
use super::{Action, NOT_FOUND, Route, TAKE_ERRORS, get};
use crate::decider::{AggregateSpec, AnyAggregate, CommandKind};
use crate::projection::List;

/// The routes of a registered aggregate: those that all of them have, then its own.
pub(super) fn of_aggregate(aggregate: &dyn AnyAggregate, routes: &mut Vec<Route>) {
    let mut all = general(aggregate.spec());
    let own: Vec<Route> = aggregate
        .paths()
        .iter()
        .filter_map(|own| {
            let same = all.iter().find(|route| route.serves(own.serves))?;
            Some(Route { path: own.path.into(), ..same.clone() })
        })
        .collect();
    all.extend(own);
    routes.append(&mut all);
}

/// The routes that every registered aggregate has.
fn general(aggregate: &'static AggregateSpec) -> Vec<Route> {
    let mut routes = Vec::new();
    let given = aggregate.commands.iter().filter(|c| c.kind != CommandKind::Internal);
    for command in given {
        routes.push(Route {
            method: "POST",
            path: format!("/commands/{}", command.path),
            action: Action::Command { aggregate, command },
            summary: command.summary.into(),
            params: Cow::Borrowed(&[]),
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
        params: Cow::Borrowed(&[]),
        errors: TAKE_ERRORS,
    });
    routes.push(get(
        format!("/events/{name}/{{id}}"),
        Action::EventsOf { aggregate },
        format!("The events of one {name}"),
        EVENTS_OF_PARAMS,
        NOT_FOUND,
    ));
    routes
}

/// The path on which a projection lists its rows.
pub(super) fn of_list(name: &'static str, own: &'static List) -> Route {
    let mut route =
        get(own.path.into(), Action::List { name }, own.summary.into(), &[LIMIT, AFTER_KEY], &[]);
    if !own.statuses.is_empty() {
        let kind = ParamKind::OneOf(own.statuses);
        route.params.to_mut().push(Param {
            name: "status",
            kind,
            doc: "Only those of this status",
        });
    }
    route
}
