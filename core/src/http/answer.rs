//! Answers: status, headers and body of a success, and where hashes go.
//!
//! Owns the choice of success statuses and the holes for hashes. Errors come ready from `errors`.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::request::Parsed;
use crate::chain::HASH_HOLE;
use crate::errors::Problem;
use crate::json::push_unsigned;
use crate::protocol::consumers::SecretHole;
use crate::protocol::{ExportFrom, Hole, ImportPart, Listing, Live, Ownership, Response};

/// As many as an answered command has.
const HEADERS_USUAL: usize = 10;

/// An answer on its way out.
#[derive(Clone, Debug)]
pub struct Answer {
    /// What is sent.
    pub response: Response,
    /// Where the host writes hashes.
    pub holes: Vec<Hole>,
    /// What follows the body.
    pub export: Option<ExportFrom>,
    /// Whose log it is changes.
    pub ownership: Option<Ownership>,
    /// The body is a list of the host's partitions.
    pub listing: Option<Listing>,
    /// The body is a part of a log.
    pub import: Option<ImportPart>,
    /// The body is followed by events, those to come as well.
    pub live: Option<Live>,
    /// Where the host writes a consumer's secret.
    pub secret: Option<SecretHole>,
}

impl Answer {
    const fn of(response: Response) -> Self {
        let (export, ownership, listing, import, live) = (None, None, None, None, None);
        let holes = Vec::new();
        Self { response, holes, export, ownership, listing, import, live, secret: None }
    }

    /// An error.
    pub fn problem(problem: &Problem) -> Self {
        Self::of(problem.response())
    }

    /// 200 with a body.
    pub fn ok(content_type: &str, body: String) -> Self {
        let mut headers = Vec::with_capacity(HEADERS_USUAL);
        headers.push(("Content-Type".into(), content_type.to_string()));
        let response = Response { status: 200, headers, body: body.into_bytes() };
        Self::of(response)
    }

    /// 200 with JSON.
    pub fn json(body: String) -> Self {
        Self::ok("application/json", body)
    }

    /// 304: the caller has it.
    pub fn not_modified(version: u64) -> Self {
        let headers = vec![("ETag".into(), entity_tag(version))];
        let response = Response { status: 304, headers, body: Vec::new() };
        Self::of(response)
    }

    /// No body, and so no type of one.
    pub const fn empty() -> Self {
        Self::of(Response { status: 204, headers: Vec::new(), body: Vec::new() })
    }

    /// 101: the connection goes on as a WebSocket.
    pub const fn switching() -> Self {
        Self::of(Response { status: 101, headers: Vec::new(), body: Vec::new() })
    }

    /// Another status than 200.
    #[must_use]
    pub const fn status(mut self, status: u16) -> Self {
        self.response.status = status;
        self
    }

    /// Adds a header.
    #[must_use]
    pub fn header(mut self, name: &'static str, value: String) -> Self {
        self.response.headers.push((name.into(), value));
        self
    }

    /// Adds the version that is shown.
    #[must_use]
    pub fn etag(self, version: u64) -> Self {
        self.header("ETag", entity_tag(version))
    }

    /// Adds a header that holds a commit's hash.
    #[must_use]
    pub fn hash_header(mut self, name: &'static str, hash: Option<&str>, position: u64) -> Self {
        if hash.is_none() {
            let header = u32::try_from(self.response.headers.len()).ok();
            self.holes.push(Hole { header, offset: 0, position });
        }
        self.header(name, hash.unwrap_or(HASH_HOLE).to_string())
    }

    /// Says that the body holds a commit's hash at this offset.
    #[must_use]
    pub fn hash_at(mut self, offset: usize, position: u64) -> Self {
        self.holes.push(Hole { header: None, offset: offset as u64, position });
        self
    }

    /// Adds the link to the next page, when there is one.
    #[must_use]
    pub fn next(self, parsed: &Parsed, after: Option<&str>) -> Self {
        self.next_by(parsed, "after", after)
    }

    /// The same where another parameter than `after` tells where a page starts.
    #[must_use]
    pub fn next_by(self, parsed: &Parsed, by: &str, after: Option<&str>) -> Self {
        match after {
            Some(after) => {
                let link = link_by(&parsed.path, parsed, (by, after));
                let link = format!("<{link}>; rel=\"next\"");
                self.header("Link", link)
            }
            None => self,
        }
    }
}

fn entity_tag(version: u64) -> String {
    let mut tag = String::with_capacity(22);
    tag.push('"');
    push_unsigned(&mut tag, version);
    tag.push('"');
    tag
}

/// The same request with another `after`, its last parameter.
pub(super) fn next_link(parsed: &Parsed, after: &str) -> String {
    link_to(&parsed.path, parsed, after)
}

/// The same to another path.
pub(super) fn link_to(path: &str, parsed: &Parsed, after: &str) -> String {
    link_by(path, parsed, ("after", after))
}

fn link_by(path: &str, parsed: &Parsed, last: (&str, &str)) -> String {
    let mut out = format!("{}{path}", parsed.prefix);
    let others = parsed.params.iter().filter(|(name, _)| **name != last.0);
    let all = others.map(|(name, value)| (*name, value.as_str())).chain([last]);
    for (index, (name, value)) in all.enumerate() {
        out.push(if index == 0 { '?' } else { '&' });
        out.push_str(name);
        out.push('=');
        for byte in value.bytes() {
            match byte {
                b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'.' | b'_' | b'~' | b':' => {
                    out.push(byte.into())
                }
                _ => out.push_str(&format!("%{byte:02X}")),
            }
        }
    }
    out
}
