//! What hosts hand to a partition, and what they get back.
//!
//! Owns requests and replies as owned values. Refuses to know how they travel.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::hashes::{Hashes, fill};
use crate::chain;
use crate::errors::{Code, problem};
use crate::http::PAGE;
use crate::protocol::{Body, ExportFrom, Listing, Live, Outcome, Request, Response};

/// An HTTP request, owned, as a host hands it over.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnedRequest {
    /// Method, as received.
    pub method: String,
    /// Path and query, as received.
    pub target: String,
    /// Headers in the order received, names in lower case.
    pub headers: Vec<(String, Vec<u8>)>,
    /// The body.
    pub body: OwnedBody,
}

/// A request's body, owned.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum OwnedBody {
    /// All of it.
    Whole(Vec<u8>),
    /// Longer than `body_bytes_max`; the host stopped reading.
    TooLarge,
    /// Not read yet: [`Reply::import`] asks for it, or it is of no use.
    Unread,
}

/// What a host sends back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reply {
    /// Status, headers and body.
    pub response: Response,
    /// When set, the body goes on with all commits after this position, a line each, up to the
    /// head of now: read them with [`Partition::page`].
    pub export: Option<Export>,
    /// When set, the host fills the body with its partitions' names: [`Listing::fill`].
    pub listing: Option<Listing>,
    /// When set, the response is not the answer yet: hand the request's body to
    /// [`Partition::import`] under this number, below 2^53, until that has one.
    pub import: Option<u64>,
    /// When set, the body goes on with events: see [`OwnedRequest::page`].
    pub live: Option<Box<Live>>,
    /// There is no answer yet: hand the request to [`Partition::run_part`] again, when others had
    /// their turn.
    pub again: bool,
}

/// The range of an export, bounds in positions: `after < p <= to`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Export {
    /// Excluded lower bound.
    pub after: u64,
    /// Included upper bound.
    pub to: u64,
}

impl OwnedRequest {
    /// The first value of a header, when there is one.
    pub fn header(&self, name: &str) -> Option<&[u8]> {
        self.headers.iter().find(|(n, _)| n == name).map(|(_, value)| value.as_slice())
    }

    /// What comes after a position of an answer that goes on with events, by its target: a read
    /// like any other, but that no client can send. Its answer is the bytes to send on, and
    /// [`Reply::live`] tells up to where they lead.
    pub fn page(target: &str, after: u64) -> Self {
        Self {
            method: PAGE.into(),
            target: alloc::format!("{target}{after}"),
            headers: Vec::new(),
            body: OwnedBody::Whole(Vec::new()),
        }
    }

    /// Whether it can change nothing.
    pub fn is_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | "OPTIONS" | PAGE)
    }

    /// Whether it asks how the partition is.
    pub(super) fn is_health(&self) -> bool {
        self.is_read() && self.path().trim_matches('/') == "health"
    }

    /// Whether it may ask what becomes of deliveries.
    pub(super) fn tells_of_deliveries(&self) -> bool {
        let hidden = self.path().contains("/.") || self.path().contains('%');
        hidden || matches!(self.subject(), "health" | "consumers")
    }

    /// Whether it may ask for much of log and rows: all reads but those that tell of the process.
    pub fn is_long_read(&self) -> bool {
        matches!(self.method.as_str(), "GET" | "HEAD" | PAGE)
            && !matches!(
                self.subject(),
                "" | "health" | "log" | "partitions" | "openapi.json" | "consumers"
            )
    }

    /// Whether it may ask how far projections are.
    pub(super) fn is_of_projections(&self) -> bool {
        // Of a path with dots in it only the guest knows where it leads.
        self.subject() == "projections" || self.path().contains("/.") || self.path().contains('%')
    }

    /// The first segment of the path.
    pub(super) fn subject(&self) -> &str {
        self.path().trim_start_matches('/').split('/').next().unwrap_or_default()
    }

    /// The path within its partition, as received.
    pub(super) fn path(&self) -> &str {
        self.inner_target().split('?').next().unwrap_or_default()
    }

    /// Path and query within its partition, as received.
    pub(super) fn inner_target(&self) -> &str {
        let inner = self.target.strip_prefix("/p/").and_then(|rest| rest.find('/'));
        inner.and_then(|at| self.target.get(at.saturating_add(3)..)).unwrap_or(&self.target)
    }

    /// As the guest gets it, with the fingerprint that an idempotency key needs.
    pub(super) fn message(&self) -> Request<'_> {
        let body = match &self.body {
            OwnedBody::Whole(bytes) => Body::Whole(bytes),
            OwnedBody::TooLarge => Body::TooLarge,
            OwnedBody::Unread => Body::Unread,
        };
        let fingerprint = self.header("idempotency-key").map(|_| {
            let path = self.target.split('?').next().unwrap_or_default();
            let bytes = if let Body::Whole(bytes) = body { bytes } else { &[] };
            chain::sha256(&[self.method.as_bytes(), b" ", path.as_bytes(), b"\n", bytes])
        });
        Request {
            method: &self.method,
            target: &self.target,
            headers: self
                .headers
                .iter()
                .map(|(name, value)| (name.as_str(), value.as_slice()))
                .collect(),
            body,
            fingerprint,
        }
    }
}

impl Reply {
    /// An answer in the form of RFC 9457, made without the guest.
    pub fn problem(code: Code, detail: &str) -> Self {
        Self::of(problem(code, detail, &[]))
    }

    /// The answer of a settled input: hashes in their places, an export up to position `to`.
    pub(super) fn settled(
        outcome: &mut Outcome,
        hashes: &Hashes,
        to: u64,
        genesis: impl FnOnce() -> Option<String>,
    ) -> Self {
        for hole in &outcome.holes {
            fill(&mut outcome.response, *hole, hashes);
        }
        let nothing = Response { status: 0, headers: Vec::new(), body: Vec::new() };
        let mut response = core::mem::replace(&mut outcome.response, nothing);
        let export = outcome.export.map(|from| match from {
            ExportFrom::Genesis => {
                if let Some(genesis) = genesis() {
                    response.body.extend_from_slice(genesis.as_bytes());
                    response.body.push(b'\n');
                }
                Export { after: 0, to }
            }
            ExportFrom::After(after) => Export { after, to },
        });
        let (listing, live) = (outcome.listing.take(), outcome.live.take().map(Box::new));
        Self { response, export, listing, import: None, live, again: false }
    }

    /// An answer that is all there is to it.
    pub const fn of(response: Response) -> Self {
        Self { response, export: None, listing: None, import: None, live: None, again: false }
    }

    /// No answer yet.
    pub(super) fn again() -> Self {
        let nothing = Response { status: 0, headers: Vec::new(), body: Vec::new() };
        Self { again: true, ..Self::of(nothing) }
    }
}
