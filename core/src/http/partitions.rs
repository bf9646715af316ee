//! `GET /partitions`: the guest checks the request, the host knows the names.
//!
//! Owns the form of the answer. Refuses to know where a host keeps its names.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::answer::{self, Answer};
use super::request::Parsed;
use crate::json::push_string;
use crate::limits::LIST_LIMIT_DEFAULT;
use crate::protocol::{Listing, Response};

/// What the host is asked for.
pub(super) fn list(parsed: &Parsed) -> Answer {
    let limit = parsed.params.get("limit").and_then(|limit| limit.parse().ok());
    let listing = Listing {
        after: parsed.params.get("after").cloned().unwrap_or_default(),
        limit: limit.unwrap_or(LIST_LIMIT_DEFAULT),
        link: answer::next_link(parsed, ""),
    };
    Answer { listing: Some(listing), ..Answer::json(String::new()) }
}

impl Listing {
    /// Names that are asked of the host: one more than is shown tells that there are more.
    pub const fn wanted(&self) -> u32 {
        self.limit.saturating_add(1)
    }

    /// Puts the names into the answer: those after [`Listing::after`], in order, as many as
    /// [`Listing::wanted`] says or all there are.
    pub fn fill(&self, response: &mut Response, names: &[String]) {
        let limit = usize::try_from(self.limit).unwrap_or(usize::MAX);
        let shown: Vec<&String> = names.iter().take(limit).collect();
        let mut body = String::from("[");
        for (index, name) in shown.iter().enumerate() {
            body.push_str(if index == 0 { "{\"name\":" } else { ",{\"name\":" });
            push_string(&mut body, name);
            body.push('}');
        }
        body.push(']');
        response.body = body.into_bytes();
        if let Some(last) = shown.last().filter(|_| names.len() > limit) {
            // A partition's name needs no escapes.
            let link = format!("<{}{last}>; rel=\"next\"", self.link);
            response.headers.push(("Link".into(), link));
        }
    }
}
