//! Bodies: their media type, their size, and that they are JSON.
//!
//! Owns the checks that every body passes, whatever the route. Refuses to know any field.

use alloc::format;
use alloc::string::String;

use super::request::Headers;
use crate::errors::{Code, Problem};
use crate::json;
use crate::protocol::Body;

/// The media type of the body, in lower case, without parameters; empty when none is stated.
pub(super) fn media_type(headers: &Headers<'_>) -> Result<String, Problem> {
    let stated = headers.one("content-type")?.unwrap_or_default();
    Ok(stated.split(';').next().unwrap_or_default().trim().to_ascii_lowercase())
}

/// The body is of another media type than it must be.
pub(super) fn unsupported(must: &str, found: &str) -> Problem {
    let shown: String = found.chars().take(64).collect();
    let detail = format!("Content-Type must {must}, not `{shown}`");
    Problem::new(Code::UnsupportedMediaType, detail).text("field", "Content-Type")
}

/// The body as one minified JSON text.
pub(super) fn parse_body(
    headers: &Headers<'_>,
    body: Body<'_>,
    body_bytes_max: u64,
) -> Result<String, Problem> {
    let found = media_type(headers)?;
    let subtype = found.split_once('/').map(|(_, subtype)| subtype).unwrap_or_default();
    if found != "application/json" && !subtype.ends_with("+json") {
        return Err(unsupported("be application/json or end in +json", &found));
    }
    match body {
        Body::Whole(bytes) if bytes.len() as u64 <= body_bytes_max => {
            json::minify(bytes).map_err(|error| {
                let problem = Problem::new(Code::MalformedJson, format!("{error}"));
                let problem = problem.number("offset", error.offset() as u64);
                match error {
                    json::JsonError::TooDeep { .. } => {
                        problem.number("limit", json::DEPTH_MAX as u64)
                    }
                    _ => problem,
                }
            })
        }
        _ => {
            let detail = format!("the body has more than {body_bytes_max} bytes");
            Err(Problem::new(Code::TooLarge, detail).number("limit", body_bytes_max))
        }
    }
}
