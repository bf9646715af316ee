//! A request's parts, checked in the contract's order; the first failure answers.
//!
//! Owns: route, method, query, fields; content type, size and JSON are in `body`, headers in
//! `headers`. Refuses to read rows: what needs them (keys, preconditions, decisions) comes after, in
//! the engine.

use alloc::borrow::Cow;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::body::parse_body;
use super::headers::check_head;
pub(super) use super::headers::{Headers, versions};
use super::live::Start;
use super::matching::{Matched, find};
use super::publish::Given;
use super::routes::{self, Action, Of, ParamKind, REBUILD_FIELDS, Route, SNAPSHOT_FIELDS};
use super::shown::{self, CLOUD_EVENT, CLOUD_EVENTS, Form};
use crate::decider::{AggregateSpec, CommandSpec};
use crate::engine::{Metadata, Preconditions};
use crate::errors::{Code, Problem};
use crate::fields::Fields;
use crate::ids::{DEFAULT_PARTITION, is_header_id, is_id, is_partition};
use crate::limits;
use crate::protocol::{Body, Request};
use crate::time::{Day, Time};

/// A request that passed all checks which need no rows.
#[derive(Debug)]
pub struct Parsed {
    /// What to do.
    pub action: Action,
    /// `/p/<partition>`, or nothing for `main` addressed without it.
    pub prefix: String,
    /// The path after the prefix, as matched.
    pub path: String,
    /// The path's parameter, when the route has one.
    pub id: String,
    /// A second parameter of the path.
    pub second: String,
    /// Query parameters by name.
    pub params: BTreeMap<&'static str, String>,
    /// `If-Match` and `If-None-Match` of a command.
    pub preconditions: Preconditions,
    /// Versions in the `If-None-Match` of a read; empty for `*`.
    pub known_versions: Option<Vec<u64>>,
    /// What comes with a command.
    pub metadata: Metadata,
    /// A command's payload, minified.
    pub data: String,
    /// The events of a publication.
    pub batch: Vec<Given>,
    /// A snapshot is taken even if there is one already.
    pub force: bool,
    /// What events look like in the answer.
    pub form: Form,
    /// Where a live answer starts.
    pub start: Start,
}

/// Checks a request. Partition is the one that this guest holds.
pub fn parse(
    routes: &[Route],
    partition: &str,
    body_bytes_max: u64,
    request: &Request<'_>,
) -> Result<Parsed, Problem> {
    let (path, query) = match request.target.split_once('?') {
        Some((path, query)) => (path, query),
        None => (request.target, ""),
    };
    let segments = resolve(path);
    let (prefix, segments) = split_partition(&segments, partition)?;
    let mut path = String::with_capacity(request.target.len());
    for segment in segments {
        path.push('/');
        path.push_str(segment);
    }
    if path.is_empty() {
        path.push('/');
    }
    let matched = find(routes, (&path, segments), super::live::method_of(request))?;
    let (id, second) = path_ids(&matched)?;
    let route = matched.route;
    let params = parse_query(query, route)?;
    check_head(request)?;
    let mut parsed = Parsed {
        action: route.action,
        prefix,
        path,
        id,
        second,
        params,
        preconditions: Preconditions::default(),
        known_versions: None,
        metadata: Metadata::default(),
        data: String::new(),
        batch: Vec::new(),
        force: false,
        form: Form::Json,
        start: Start::Page,
    };
    take_rest(route, request, body_bytes_max, &mut parsed)?;
    Ok(parsed)
}

/// Takes in what differs by route: headers that it knows, and the body.
fn take_rest(
    route: &Route,
    request: &Request<'_>,
    body_bytes_max: u64,
    parsed: &mut Parsed,
) -> Result<(), Problem> {
    let headers = Headers(&request.headers);
    match route.action {
        Action::Command { aggregate, command } => {
            super::commands::check_headers(&headers, request.fingerprint, parsed)?;
            let body = (&headers, request.body, body_bytes_max);
            take_command(route, (aggregate, command), body, parsed)?;
        }
        Action::TakeSnapshot { .. } | Action::Resume | Action::RetryEffect => {
            take_request(route, (&headers, request, body_bytes_max), parsed)?;
        }
        Action::Rebuild => {
            parsed.data = parse_body(&headers, request.body, body_bytes_max)?;
            let fields = Fields::parse(&parsed.data, REBUILD_FIELDS)?;
            if !fields.ids("eventIds").is_empty() {
                let problem = Problem::new(Code::UnknownField, "it makes no events to be named");
                return Err(problem.text("field", "eventIds"));
            }
            parsed.id = fields.text("name").map(Cow::into_owned).unwrap_or_default();
        }
        Action::Consumers(of) if of != Of::List => {
            let empty = matches!(request.body, Body::Whole([]));
            let body = match empty && super::consumers::takes_no_fields(of) {
                true => None,
                false => Some(parse_body(&headers, request.body, body_bytes_max)?),
            };
            let from = (&headers, request.fingerprint);
            super::consumers::parse(of, from, body, parsed)?;
        }
        Action::Publish => {
            super::commands::check_headers(&headers, request.fingerprint, parsed)?;
            super::publish::check_headers(&headers)?;
            let limit = body_bytes_max.max(limits::PUBLISH_BYTES_MAX);
            parsed.batch = super::publish::parse(&parse_body(&headers, request.body, limit)?)?;
        }
        Action::LogImport => super::import::check(&headers, request.body)?,
        Action::EventStream | Action::EventsOf { .. } => {
            parsed.form = shown::accepted(&headers, CLOUD_EVENTS)?
        }
        Action::EventById => parsed.form = shown::accepted(&headers, CLOUD_EVENT)?,
        Action::Live { socket } => parsed.start = super::live::check(&headers, request, socket)?,
        _ => {
            parsed.known_versions =
                headers.one("if-none-match")?.map(|v| versions("If-None-Match", &v)).transpose()?
        }
    }
    Ok(())
}

/// Headers and body of what a client asks the system for.
fn take_request(
    route: &Route,
    (headers, request, body_bytes_max): (&Headers<'_>, &Request<'_>, u64),
    parsed: &mut Parsed,
) -> Result<(), Problem> {
    if matches!(route.action, Action::RetryEffect) {
        parsed.metadata.key = super::commands::key(headers, request.fingerprint)?;
    }
    // All of its fields are optional, so the body is too.
    if !matches!(request.body, Body::Whole([])) {
        let body = parse_body(headers, request.body, body_bytes_max)?;
        let taking = matches!(route.action, Action::TakeSnapshot { .. });
        let own = if taking { SNAPSHOT_FIELDS } else { &[] };
        parsed.force = Fields::closed(&body, own)?.flag("force");
    }
    Ok(())
}

/// The body of a command.
fn take_command(
    route: &Route,
    (aggregate, command): (&AggregateSpec, &CommandSpec),
    (headers, body, body_bytes_max): (&Headers<'_>, Body<'_>, u64),
    parsed: &mut Parsed,
) -> Result<(), Problem> {
    let own = route.fields();
    parsed.data = match body {
        // All of its fields are optional, so the body is too.
        Body::Whole([]) if own.iter().all(|field| field.optional) => "{}".into(),
        body => parse_body(headers, body, body_bytes_max)?,
    };
    let fields = Fields::parse(&parsed.data, &own)?;
    super::commands::take_metadata(&fields, command, &mut parsed.metadata)?;
    if parsed.id.is_empty() {
        parsed.id = fields.text(aggregate.id_field).map(Cow::into_owned).unwrap_or_default();
    }
    Ok(())
}

/// The partition that a target names, by the same reading as the guest's; `main` where it names
/// none, or one that can not be (the guest of `main` answers for that).
pub fn partition_of(target: &str) -> String {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    let name = if path.contains('%') || path.contains("/.") {
        match resolve(path).as_slice() {
            [p, name, ..] if p == "p" => Some(name.clone()),
            _ => None,
        }
    } else {
        path.strip_prefix("/p/").and_then(|rest| rest.split('/').next()).map(ToString::to_string)
    };
    name.filter(|name| is_partition(name)).unwrap_or_else(|| DEFAULT_PARTITION.into())
}

/// Segments of a path, `.` and `..` resolved as browsers do, percent signs decoded.
pub(super) fn resolve(path: &str) -> Vec<String> {
    let mut out: Vec<String> = Vec::new();
    let raw = path.strip_prefix('/').unwrap_or(path);
    let mut segments = raw.split('/').peekable();
    while let Some(segment) = segments.next() {
        let last = segments.peek().is_none();
        if !segment.starts_with('.') && !segment.contains('%') {
            out.push(segment.into());
            continue;
        }
        let dots = segment.replace("%2e", ".").replace("%2E", ".");
        match dots.as_str() {
            "." | ".." => {
                if dots.len() == 2 {
                    out.pop();
                }
                if last {
                    out.push(String::new());
                }
            }
            _ => out.push(String::from_utf8_lossy(&decode(segment, false)).into_owned()),
        }
    }
    out
}

/// Decodes percent signs (and, in queries, `+`). What is no escape stays as it is.
fn decode(text: &str, plus: bool) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    let mut rest = text.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let hex = after.first_chunk::<2>().and_then(|pair| {
            let digit = |d: u8| char::from(d).to_digit(16).and_then(|d| u8::try_from(d).ok());
            let [high, low] = *pair;
            Some((digit(high)? << 4) | digit(low)?)
        });
        match (byte, hex) {
            (b'%', Some(decoded)) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            (b'+', _) if plus => {
                out.push(b' ');
                rest = after;
            }
            _ => {
                out.push(byte);
                rest = after;
            }
        }
    }
    out
}

fn split_partition<'a>(
    segments: &'a [String],
    own: &str,
) -> Result<(String, &'a [String]), Problem> {
    match segments {
        [p, name, rest @ ..] if p == "p" => {
            if !is_partition(name) {
                let detail = format!(
                    "a partition's name is 1 to {} characters from a-z 0-9 -, not starting with -",
                    limits::PARTITION_CHARS_MAX
                );
                let problem = Problem::new(Code::InvalidId, detail).text("field", "partition");
                return Err(problem.number("limit", limits::PARTITION_CHARS_MAX as u64));
            }
            if name != own {
                // Hosts choose the partition by the path as sent: escapes or dots hid it from them.
                let detail = "the partition's name could be read in two ways; write it plainly";
                return Err(Problem::new(Code::InvalidId, detail).text("field", "partition"));
            }
            Ok((format!("/p/{name}"), rest))
        }
        _ => Ok((String::new(), segments)),
    }
}

fn path_ids(matched: &Matched<'_>) -> Result<(String, String), Problem> {
    for (name, value) in &matched.ids {
        // Of topics some are those of a type of streams: `@BankAccount`.
        let plain = value.strip_prefix('@').filter(|_| name == "topic").unwrap_or(value);
        if !is_id(plain) {
            let detail = format!(
                "the path's {name} must be 1 to {} characters from A-Z a-z 0-9 . _ : -",
                limits::ID_CHARS_MAX
            );
            let problem = Problem::new(Code::InvalidId, detail).text("field", name);
            return Err(problem.number("limit", limits::ID_CHARS_MAX as u64));
        }
    }
    let mut ids = matched.ids.iter().map(|(_, value)| value.to_string());
    Ok((ids.next().unwrap_or_default(), ids.next().unwrap_or_default()))
}

fn parse_query(query: &str, route: &Route) -> Result<BTreeMap<&'static str, String>, Problem> {
    let known = &route.params;
    let mut params = BTreeMap::new();
    for pair in query.split('&').filter(|pair| !pair.is_empty()) {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        let text = |encoded| String::from_utf8(decode(encoded, true));
        let name = text(name).unwrap_or_else(|_| "?".into());
        let bad = |what: String| Problem::new(Code::InvalidParameter, what).text("field", &name);
        let Some(param) = known.iter().find(|param| param.name == name) else {
            if matches!(route.action, Action::Projection) && routes::travels(&name) {
                return Err(bad(format!(
                    "projections do not travel over HTTP, so `{name}` is not known here; `foldlog at` shows one as of then"
                )));
            }
            let names: Vec<&str> = known.iter().map(|param| param.name).collect();
            let known = if names.is_empty() {
                "it takes none".into()
            } else {
                format!("known: {}", names.join(", "))
            };
            let shown: String = name.chars().take(64).collect();
            return Err(bad(format!("query parameter `{shown}` is not known here; {known}")));
        };
        let value =
            text(value).map_err(|_| bad(format!("query parameter `{name}` is not UTF-8")))?;
        if !fits(param.kind, &value) {
            let problem =
                bad(format!("query parameter `{name}` must be {}", param.kind.expectation()));
            return Err(match param.kind {
                ParamKind::Limit => problem.number("limit", limits::LIST_LIMIT_MAX.into()),
                _ => problem,
            });
        }
        if params.insert(param.name, value).is_some() {
            return Err(bad(format!("query parameter `{name}` is repeated")));
        }
    }
    Ok(params)
}

fn fits(kind: ParamKind, value: &str) -> bool {
    let number = || {
        let plain = value.bytes().all(|b| b.is_ascii_digit());
        value.parse::<u64>().ok().filter(|&n| plain && n <= limits::INTEGER_MAX)
    };
    match kind {
        ParamKind::Limit => {
            number().is_some_and(|n| (1..=limits::LIST_LIMIT_MAX.into()).contains(&n))
        }
        ParamKind::Position => number().is_some(),
        ParamKind::Version => number().is_some_and(|n| n >= 1),
        ParamKind::Key => (1..=512).contains(&value.len()),
        ParamKind::Text => is_header_id(value) || value.starts_with('~'),
        ParamKind::Order => matches!(value, "asc" | "desc"),
        ParamKind::Time => Time::parse_iso(value).is_some(),
        ParamKind::Id => is_id(value),
        ParamKind::Day => Day::parse_iso(value).is_some(),
        ParamKind::OneOf(words) => words.contains(&value),
    }
}
