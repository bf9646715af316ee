//! The one table of error codes, for HTTP, the command line and logs; and problems: an error as
//! it is told to a caller, in the form of RFC 9457.
//!
//! Owns code, number, status and title of each error. Refuses to know when one applies. Numbers
//! are never reused; a detail never tells internals.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::json::{push_string, push_unsigned};
use crate::protocol::Response;

macro_rules! codes {
    ($($variant:ident = $number:literal, $name:literal, $status:literal, $title:literal;)*) => {
        /// What went wrong, for programs.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
        #[repr(u16)]
        #[non_exhaustive]
        pub enum Code {
            $(#[doc = $title] $variant = $number,)*
        }

        impl Code {
            /// Every code, by number.
            pub const ALL: &[Self] = &[$(Self::$variant,)*];

            /// The name after `urn:foldlog:`.
            pub const fn name(self) -> &'static str {
                match self { $(Self::$variant => $name,)* }
            }

            /// The HTTP status.
            pub const fn status(self) -> u16 {
                match self { $(Self::$variant => $status,)* }
            }

            /// One line for people, the same for every occurrence.
            pub const fn title(self) -> &'static str {
                match self { $(Self::$variant => $title,)* }
            }
        }
    };
}

codes! {
    MalformedJson = 1, "malformed-json", 400, "The body is not one well-formed JSON text";
    InvalidField = 2, "invalid-field", 400, "A field is missing or has a value it can not have";
    UnknownField = 3, "unknown-field", 400, "The body has a field that this command does not know";
    InvalidId = 4, "invalid-id", 400, "An id has a form it can not have";
    InvalidParameter = 5, "invalid-parameter", 400, "A query parameter is unknown, repeated or out of range";
    InvalidHeader = 6, "invalid-header", 400, "A header has a value it can not have";
    Unauthenticated = 7, "unauthenticated", 401, "The request carries no valid key";
    Forbidden = 8, "forbidden", 403, "The key does not allow this";
    NoSuchRoute = 9, "no-such-route", 404, "There is no such route";
    NotFound = 10, "not-found", 404, "There is no such thing";
    MethodNotAllowed = 11, "method-not-allowed", 405, "The route does not take this method";
    AlreadyExists = 12, "already-exists", 409, "It exists already";
    IllegalTransition = 13, "illegal-transition", 409, "The current state does not allow this";
    Closed = 14, "closed", 409, "It is closed";
    NotEmpty = 15, "not-empty", 409, "It is not empty";
    SchemaConflict = 16, "schema-conflict", 409, "It exists with another schema";
    InProgress = 17, "in-progress", 409, "Something else has to end first";
    Held = 18, "held", 409, "This host does not own the log; reads work, commands do not";
    PreconditionFailed = 19, "precondition-failed", 412, "The version is not the expected one";
    TooLarge = 20, "too-large", 413, "The body is too large";
    UnsupportedMediaType = 21, "unsupported-media-type", 415, "The body is not JSON by its content type";
    InsufficientFunds = 22, "insufficient-funds", 422, "The balance does not cover the amount";
    LimitExceeded = 23, "limit-exceeded", 422, "A limit would be exceeded";
    SchemaViolation = 24, "schema-violation", 422, "An event does not match its schema";
    IdempotencyMismatch = 25, "idempotency-mismatch", 422, "The idempotency key was used with another request";
    ReservedId = 26, "reserved-id", 422, "Ids of this form belong to the system";
    ForbiddenTarget = 27, "forbidden-target", 422, "This address may not be called";
    Overloaded = 28, "overloaded", 429, "Too much at once; certainly not done";
    UnknownOutcome = 29, "unknown-outcome", 503, "It may or may not have been done";
    Restarting = 30, "restarting", 503, "The partition is restarting; certainly not done";
    Internal = 31, "internal", 500, "A bug of ours";
    StorageFull = 32, "storage-full", 507, "The store is full";
    DeadlineExceeded = 33, "overloaded", 503, "Too much at once; certainly not done";
}

impl Code {
    /// Whether trying again later is of use; such answers carry `Retry-After`.
    pub const fn retryable(self) -> bool {
        matches!(
            self,
            Self::Overloaded | Self::UnknownOutcome | Self::Restarting | Self::DeadlineExceeded
        )
    }
}

/// An error as a caller is told it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// Which.
    pub code: Code,
    /// What happened here, for people: names the field and the limit.
    pub detail: String,
    /// Further members: name and JSON token.
    pub members: Vec<(&'static str, String)>,
    /// Methods for the `Allow` header.
    pub allow: Option<String>,
}

/// A decider's refusal: the same thing, seen from the domain.
pub type Rejection = Problem;

impl Problem {
    /// A problem without further members.
    pub fn new(code: Code, detail: impl ToString) -> Self {
        Self { code, detail: detail.to_string(), members: Vec::new(), allow: None }
    }

    /// Adds a text member.
    #[must_use]
    pub fn text(mut self, name: &'static str, value: &str) -> Self {
        let mut token = String::new();
        push_string(&mut token, value);
        self.members.push((name, token));
        self
    }

    /// Adds a number member.
    #[must_use]
    pub fn number(mut self, name: &'static str, value: u64) -> Self {
        self.members.push((name, value.to_string()));
        self
    }

    /// Adds a member with this JSON token.
    #[must_use]
    pub fn token(mut self, name: &'static str, token: String) -> Self {
        self.members.push((name, token));
        self
    }

    /// The answer that tells it.
    pub fn response(&self) -> Response {
        let mut body = String::with_capacity(256);
        body.push_str("{\"type\":\"urn:foldlog:");
        body.push_str(self.code.name());
        body.push_str("\",\"title\":");
        push_string(&mut body, self.code.title());
        body.push_str(",\"status\":");
        push_unsigned(&mut body, self.code.status().into());
        body.push_str(",\"detail\":");
        push_string(&mut body, &self.detail);
        for (name, token) in &self.members {
            body.push_str(",\"");
            body.push_str(name);
            body.push_str("\":");
            body.push_str(token);
        }
        body.push('}');
        let mut headers =
            alloc::vec![("Content-Type".into(), "application/problem+json".to_string())];
        if let Some(allow) = &self.allow {
            headers.push(("Allow".into(), allow.clone()));
        }
        if self.code.retryable() {
            headers.push(("Retry-After".into(), "1".into()));
        }
        Response { status: self.code.status(), headers, body: body.into_bytes() }
    }
}

/// The answer of a problem with text members.
pub fn problem(code: Code, detail: &str, members: &[(&'static str, &str)]) -> Response {
    let problem = Problem::new(code, detail);
    members.iter().fold(problem, |problem, (name, value)| problem.text(name, value)).response()
}
