//! The routes of consumers.

use alloc::borrow::Cow;

use super::params::{AFTER_KEY, LIMIT};
use super::{Action, Code, Param, Route};

/// What is done with consumers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Of {
    /// One is registered.
    Register,
    /// All are listed.
    List,
    /// One is removed.
    Remove,
    /// One gets another secret.
    Rotate,
}

const REGISTER_ERRORS: &[Code] = &[Code::NotFound, Code::ForbiddenTarget, Code::LimitExceeded];
const REMOVE_ERRORS: &[Code] = &[Code::NotFound];
const ROTATE_ERRORS: &[Code] = &[Code::NotFound, Code::LimitExceeded];
const LIST_PARAMS: &[Param] = &[LIMIT, AFTER_KEY];

/// All of them.
pub(super) fn all() -> [Route; 4] {
    let route = |method, path: &str, of, summary: &str, params, errors| Route {
        method,
        path: path.into(),
        action: Action::Consumers(of),
        summary: summary.into(),
        params: Cow::Borrowed(params),
        errors,
    };
    [
        route(
            "GET",
            "/consumers",
            Of::List,
            "The consumers, how far each has got",
            LIST_PARAMS,
            &[],
        ),
        route(
            "POST",
            "/consumers/register",
            Of::Register,
            "Has events of topics be posted to a callback, in order; tells the secret that signs them",
            &[],
            REGISTER_ERRORS,
        ),
        route(
            "DELETE",
            "/consumers/{consumerId}",
            Of::Remove,
            "Removes a consumer",
            &[],
            REMOVE_ERRORS,
        ),
        route(
            "POST",
            "/consumers/{consumerId}/rotate",
            Of::Rotate,
            "Gives a consumer another secret; for 24 hours both sign",
            &[],
            ROTATE_ERRORS,
        ),
    ]
}
