//! Which requests are refused commands, and what is kept of one.
//!
//! Owns the form of an entry (`docs/format.md`). Refuses to know where entries go.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::chain::hex;
use crate::driver::{OwnedBody, OwnedRequest};
use crate::errors::Code;
use crate::json::{members, push_string, string};
use crate::protocol::{Response, Stamp};

/// Refusals that another module may take back. With others the request, the log or the host is at
/// fault.
const DECIDED: [Code; 14] = [
    Code::InvalidField,
    Code::UnknownField,
    Code::InvalidId,
    Code::NotFound,
    Code::AlreadyExists,
    Code::IllegalTransition,
    Code::Closed,
    Code::NotEmpty,
    Code::SchemaConflict,
    Code::InsufficientFunds,
    Code::LimitExceeded,
    Code::SchemaViolation,
    Code::ReservedId,
    Code::ForbiddenTarget,
];
/// Where no commands go: what is asked there is the host's business, and may hold secrets.
const NO_COMMANDS: [&str; 7] =
    ["consumers", "effects", "log", "partitions", "projections", "snapshots", "test"];
/// Headers that a decision may depend on; no other one is kept.
const HEADERS: [&str; 8] = [
    "content-type",
    "foldlog-hops",
    "idempotency-key",
    "traceparent",
    "tracestate",
    "x-actor",
    "x-causation-id",
    "x-correlation-id",
];
const META: &str = "foldlog-meta-";

/// What is kept of a refused command, but for its number; nothing where it is none.
pub(super) fn entry(
    request: &OwnedRequest,
    (after, stamp): (u64, &Stamp),
    response: &Response,
) -> Option<String> {
    let OwnedBody::Whole(body) = &request.body else { return None };
    // Of a path with dots or escapes in it only the guest knows where it leads.
    let hidden = request.path().contains("/.") || request.path().contains('%');
    if request.method != "POST" || hidden || NO_COMMANDS.contains(&request.subject()) {
        return None;
    }
    let body = core::str::from_utf8(body).ok()?;
    let problem = members(core::str::from_utf8(&response.body).ok()?)?;
    let member = |name: &str| problem.iter().find(|(n, _)| n == name).map(|(_, token)| *token);
    let code = string(member("type")?)?;
    let code = code.strip_prefix("urn:foldlog:")?;
    if !DECIDED.iter().any(|decided| decided.name() == code) {
        return None;
    }
    let mut out = format!("\"after\":{after},\"clock\":\"{}\",", stamp.clock.to_iso());
    out.push_str(&format!("\"entropy\":\"{}\",\"method\":", hex(&stamp.entropy)));
    push_string(&mut out, &request.method);
    out.push_str(",\"target\":");
    push_string(&mut out, request.inner_target());
    out.push_str(",\"headers\":{");
    let mut separator = "";
    // Hosts give them in orders of their own.
    let mut headers: Vec<&(String, Vec<u8>)> = request.headers.iter().collect();
    headers.sort();
    for (name, value) in headers {
        let kept = HEADERS.contains(&name.as_str()) || name.starts_with(META);
        let Some(value) = core::str::from_utf8(value).ok().filter(|_| kept) else { continue };
        out.push_str(separator);
        push_string(&mut out, name);
        out.push(':');
        push_string(&mut out, value);
        separator = ",";
    }
    out.push_str("},\"body\":");
    push_string(&mut out, body);
    out.push_str(&format!(",\"status\":{},\"code\":\"{code}\"", response.status));
    if let Some(detail) = member("detail") {
        out.push_str(",\"detail\":");
        out.push_str(detail);
    }
    out.push('}');
    Some(out)
}
