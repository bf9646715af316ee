//! `POST /log/import` as far as the guest has a say: its headers and size, and whether the
//! partition is empty. Taking the lines in is the driver's.

use alloc::format;

use super::answer::Answer;
use super::body::{media_type, unsupported};
use super::matching::is_at;
use super::request::{Headers, Parsed};
use super::{Handled, read};
use crate::engine::Engine;
use crate::errors::{Code, Problem};
use crate::limits::IMPORT_BYTES_MAX;
use crate::protocol::{Body, ImportPart, Kind};

/// The media type of exports and imports.
pub const NDJSON: &str = "application/x-ndjson";

/// Whether this is the request whose body the host leaves unread until it is asked for.
pub fn is_import(method: &str, target: &str) -> bool {
    method == "POST" && is_at(target, "/log/import")
}

/// Content type, then size. A part without a body has no type.
pub fn check(headers: &Headers<'_>, body: Body<'_>) -> Result<(), Problem> {
    if matches!(body, Body::Whole([])) {
        return Ok(());
    }
    let found = media_type(headers)?;
    if found != NDJSON {
        return Err(unsupported(&format!("be {NDJSON}"), &found));
    }
    if matches!(body, Body::TooLarge) { Err(too_large()) } else { Ok(()) }
}

/// A part beyond [`IMPORT_BYTES_MAX`].
pub fn too_large() -> Problem {
    let detail = format!("a part of an import has at most {IMPORT_BYTES_MAX} bytes; send several");
    Problem::new(Code::TooLarge, detail).number("limit", IMPORT_BYTES_MAX)
}

/// There is a log already.
pub fn not_empty(position: u64) -> Problem {
    let detail = format!(
        "the partition holds a log already, up to position {position}; import into an empty one"
    );
    Problem::new(Code::NotEmpty, detail).number("position", position)
}

/// Asks for the body, unless there is a log already.
pub fn begin(engine: &Engine, parsed: &Parsed) -> Handled {
    let position = engine.head().position;
    if position > 0 {
        return read(Answer::problem(&not_empty(position)), Kind::Read);
    }
    let after = parsed.params.get("after").and_then(|after| after.parse().ok());
    let complete = parsed.params.get("complete").is_some_and(|complete| complete == "true");
    let mut answer = Answer::json("{}".into());
    answer.import = Some(ImportPart { after, complete });
    read(answer, Kind::Read)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn imports_are_told_by_their_path() {
        for target in [
            "/log/import",
            "/log/import?after=3",
            "/p/x/log/import",
            "/log/./import",
            "/%6cog/import",
            "/x/../log/import",
        ] {
            assert!(is_import("POST", target), "{target}");
            assert!(!is_import("GET", target), "{target}");
        }
        for target in ["/log/imports", "/log/import/", "/p/log/import", "/x/y/log/import", "/"] {
            assert!(!is_import("POST", target), "{target}");
        }
    }
}
