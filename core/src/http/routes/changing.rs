//! Routes that change something and are no domain's.
//!
//! Owns their paths and errors. Refuses to know what they do.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use super::params::IMPORT_PARAMS;
use super::{Action, Code, NOT_FOUND, Route, TAKE_ERRORS};

const RETRY_ERRORS: &[Code] = &[
    Code::NotFound,
    Code::InvalidId,
    Code::MalformedJson,
    Code::InvalidField,
    Code::UnknownField,
    Code::IllegalTransition,
    Code::InvalidHeader,
    Code::IdempotencyMismatch,
    Code::Held,
    Code::InProgress,
    Code::TooLarge,
    Code::UnsupportedMediaType,
    Code::UnknownOutcome,
    Code::StorageFull,
];

const PUBLISH_ERRORS: &[Code] = &[Code::NotFound, Code::SchemaViolation, Code::SchemaConflict];

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

/// Adds all of them.
pub(super) fn all(routes: &mut Vec<Route>) {
    routes.push(Route {
        method: "POST",
        path: "/effects/resume".into(),
        action: Action::Resume,
        summary: "Makes a log that is held this host's, under a new incarnation".into(),
        params: Cow::Borrowed(&[]),
        errors: TAKE_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/effects/{id}/retry".into(),
        action: Action::RetryEffect,
        summary:
            "An outside call that is pending or dead is due at once, its attempts counted anew"
                .into(),
        params: Cow::Borrowed(&[]),
        errors: RETRY_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/events".into(),
        action: Action::Publish,
        summary: "Publishes 1 to 1,000 events to topics: all of them or none".into(),
        params: Cow::Borrowed(&[]),
        errors: PUBLISH_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/log/import".into(),
        action: Action::LogImport,
        summary: "Takes in, in parts of at most 64 MB, what GET /log/export gave; there is no log before the last one, and that log is held".into(),
        params: Cow::Borrowed(IMPORT_PARAMS),
        errors: IMPORT_ERRORS,
    });
    routes.push(Route {
        method: "POST",
        path: "/projections/rebuild".into(),
        action: Action::Rebuild,
        summary: "Builds a projection anew, serving its old rows until that is done".into(),
        params: Cow::Borrowed(&[]),
        errors: NOT_FOUND,
    });
}
