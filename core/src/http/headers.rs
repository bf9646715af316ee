//! A request's headers: what all of them may hold, and reading one of them.
//!
//! Owns their bounds, how repeated ones are joined, and entity tags. Refuses to know which header
//! belongs to which route.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use crate::errors::{Code, Problem};
use crate::limits;
use crate::protocol::Request;

/// Every header's value, and the size of them all.
pub(super) fn check_head(request: &Request<'_>) -> Result<(), Problem> {
    let mut bytes = request.method.len().saturating_add(request.target.len()).saturating_add(12);
    for (name, value) in &request.headers {
        bytes = bytes.saturating_add(name.len()).saturating_add(value.len()).saturating_add(4);
        if !value.iter().all(|byte| (b' '..=b'~').contains(byte)) {
            let shown: String = name.chars().take(64).collect();
            let detail =
                format!("header `{shown}` holds something else than visible ASCII and space");
            return Err(Problem::new(Code::InvalidHeader, detail).text("field", &shown));
        }
    }
    if bytes > limits::HEAD_BYTES_MAX {
        let detail = format!(
            "request line and headers have {bytes} bytes; at most {} are read",
            limits::HEAD_BYTES_MAX
        );
        return Err(Problem::new(Code::InvalidHeader, detail)
            .number("limit", limits::HEAD_BYTES_MAX as u64));
    }
    Ok(())
}

/// Headers by name.
pub(super) struct Headers<'a>(pub &'a [(&'a str, &'a [u8])]);

impl<'a> Headers<'a> {
    /// The values of a header, joined by `, ` when it is repeated.
    pub fn one(&self, name: &str) -> Result<Option<Cow<'a, str>>, Problem> {
        let mut joined: Option<Cow<'a, str>> = None;
        for (_, value) in self.0.iter().filter(|(n, _)| *n == name) {
            let text = core::str::from_utf8(value)
                .map_err(|_| {
                    Problem::new(Code::InvalidHeader, format!("header `{name}` is not ASCII"))
                })?
                .trim();
            joined = Some(match joined {
                None => Cow::Borrowed(text),
                Some(before) => Cow::Owned(format!("{before}, {text}")),
            });
        }
        Ok(joined)
    }

    /// All header names with this prefix, each once, sorted, prefix cut off.
    pub fn names(&self, prefix: &str) -> Vec<&'a str> {
        let mut names: Vec<&str> =
            self.0.iter().filter_map(|(name, _)| name.strip_prefix(prefix)).collect();
        names.sort_unstable();
        names.dedup();
        names
    }
}

/// Versions in an entity-tag list: `"3"`, `W/"3"`, several by commas; `*` gives an empty list.
pub(super) fn versions(header: &'static str, value: &str) -> Result<Vec<u64>, Problem> {
    if value == "*" {
        return Ok(Vec::new());
    }
    let version = |tag: &str| {
        let tag = tag.trim();
        let digits = tag.strip_prefix("W/").unwrap_or(tag).strip_prefix('"')?.strip_suffix('"')?;
        let plain = !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit());
        digits.parse::<u64>().ok().filter(|&n| plain && n <= limits::INTEGER_MAX)
    };
    value.split(',').map(version).collect::<Option<Vec<u64>>>().ok_or_else(|| {
        let detail =
            format!("header `{header}` must be * or a version in quotes, as ETag gave it: \"3\"");
        Problem::new(Code::InvalidHeader, detail).text("field", header)
    })
}
