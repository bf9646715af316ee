//! `GET /events/live` and `GET /events/ws`: events as they are stored, from some position on.
//!
//! Owns what such a request must hold, where it starts, and the pages that the host asks for to go
//! on. Refuses to wait for anything: when there is something to ask for is the host's to know.
//!
//! Invariant: pages come one after the other without gap or overlap, since each says up to where it
//! looked, and the next one is asked for by that.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answer::{Answer, link_to};
use super::events::{List, Range, fill};
use super::request::{Headers, Parsed};
use super::routes::Action;
use super::shown::Form;
use crate::commit;
use crate::engine::{Access, Engine};
use crate::errors::{Code, Problem};
use crate::limits::{INTEGER_MAX, LIVE_PAGE_BYTES, LIVE_PAGE_EVENTS};
use crate::protocol::{Live, Request};
use crate::read::Stop;

/// The method by which a host asks for a page. No client can: HTTP's have no spaces.
pub const PAGE: &str = "page of";

/// Both transports show the same: a page is asked for here.
const PATH: &str = "/events/live";

/// The method that a request is routed by: what a host asks for itself is where a client's GET is.
pub fn method_of<'a>(request: &Request<'a>) -> &'a str {
    if request.method == PAGE { "GET" } else { request.method }
}

/// What a request for it must hold beside its query, and where it starts.
pub fn check(headers: &Headers<'_>, request: &Request<'_>, socket: bool) -> Result<Start, Problem> {
    if request.method == PAGE {
        return Ok(Start::Page);
    }
    let last = headers.one("last-event-id")?.filter(|last| !last.is_empty());
    let after = match last {
        None => None,
        Some(last) => Some(position(&last).ok_or_else(|| {
            let detail = format!(
                "header `Last-Event-ID` must be the id of an event of this stream, its position: \
                 an integer from 0 to {INTEGER_MAX}"
            );
            Problem::new(Code::InvalidHeader, detail).text("field", "Last-Event-ID")
        })?),
    };
    if socket {
        check_upgrade(headers, request.method)?;
    }
    Ok(Start::After(after))
}

/// Where it starts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Start {
    /// After this position; without one, where the query says.
    After(Option<u64>),
    /// It started already: the host asks for a page.
    Page,
}

fn position(text: &str) -> Option<u64> {
    let plain = text.bytes().all(|byte| byte.is_ascii_digit());
    text.parse::<u64>().ok().filter(|&position| plain && position <= INTEGER_MAX)
}

/// What RFC 6455, 4.2.1, asks of the request that opens a WebSocket.
fn check_upgrade(headers: &Headers<'_>, method: &str) -> Result<(), Problem> {
    let wrong = |name: &'static str, must: &str| {
        let detail = format!(
            "this route speaks WebSocket only: a GET whose header `{name}` {must}; \
             GET {PATH} gives the same over HTTP"
        );
        Err(Problem::new(Code::InvalidHeader, detail).text("field", name))
    };
    let lists = |name, word: &str| {
        let value = headers.one(name)?.unwrap_or_default();
        Ok(value.split(',').any(|listed| listed.trim().eq_ignore_ascii_case(word)))
    };
    if method != "GET" || !lists("upgrade", "websocket")? {
        return wrong("Upgrade", "is websocket");
    }
    if headers.one("sec-websocket-version")?.as_deref() != Some("13") {
        return wrong("Sec-WebSocket-Version", "is 13");
    }
    let key = headers.one("sec-websocket-key")?.unwrap_or_default();
    // 16 bytes in base64.
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let fits = key.strip_suffix("==").is_some_and(|key| key.len() == 22 && key.bytes().all(plain));
    if fits { Ok(()) } else { wrong("Sec-WebSocket-Key", "has 16 bytes in base64") }
}

/// The start of the answer, or a page of it.
pub fn answer(engine: &Engine, access: &mut Access<'_>, parsed: &Parsed) -> Result<Answer, Stop> {
    let head = engine.head().position;
    let queried = parsed.params.get("after").and_then(|after| after.parse().ok());
    let socket = matches!(parsed.action, Action::Live { socket: true });
    let Start::After(given) = parsed.start else {
        return page(engine, access, parsed, queried.unwrap_or(head));
    };
    let after = given.or(queried).unwrap_or(head);
    let mut answer = if socket {
        Answer::switching()
    } else {
        // An id without an event: a reader that is cut before the first one goes on from here.
        Answer::ok("text/event-stream", format!("id: {after}\n\n"))
            .header("Cache-Control", "no-cache, no-transform".to_string())
    };
    let target = link_to(PATH, parsed, "");
    answer.live = Some(Live { target, marks: marks(parsed), after, head, socket });
    Ok(answer)
}

/// What every stored line has in it that holds an event which the filters let through.
fn marks(parsed: &Parsed) -> Vec<String> {
    let param = |name| parsed.params.get(name).map(String::as_str);
    let mut marks = Vec::new();
    marks.extend(param("type").map(commit::mark_of_type));
    marks.extend(param("category").map(commit::mark_of_category));
    marks.extend(param("correlationId").and_then(commit::mark_of_correlation));
    marks
}

/// What comes after a position, as far as it fits.
fn page(
    engine: &Engine,
    access: &mut Access<'_>,
    parsed: &Parsed,
    after: u64,
) -> Result<Answer, Stop> {
    let head = engine.head().position;
    let low = after.saturating_add(1);
    let range = Range { low, high: head, descending: false, limit: LIVE_PAGE_EVENTS };
    let mut list = List::new(engine.partition(), Form::Live, LIVE_PAGE_BYTES);
    fill(access, parsed, range, &mut list)?;
    // What was not shown up to the head was looked at and is not wanted.
    let looked = list.last.filter(|_| list.more).unwrap_or_else(|| head.max(after));
    let mut answer = Answer::ok("text/event-stream", list.body);
    let (target, marks) = (String::new(), Vec::new());
    answer.live = Some(Live { target, marks, after: looked, head, socket: false });
    Ok(answer)
}
