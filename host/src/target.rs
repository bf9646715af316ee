//! Which partition a request is for.
//!
//! Owns the reading of `/p/{partition}/…`, as the guest reads it: `.` and `..` resolved, percent
//! signs decoded. What can not be a partition's name goes to `main`, whose guest answers for it.

use std::borrow::Cow;

use foldlog_core::ids::is_partition;

const MAIN: &str = "main";

/// The partition that a target names.
pub fn partition(target: &str) -> Cow<'_, str> {
    let path = target.split_once('?').map_or(target, |(path, _)| path);
    if !path.contains('%') && !path.contains("/.") {
        let name = path.strip_prefix("/p/").and_then(|rest| rest.split('/').next());
        return Cow::Borrowed(name.filter(|name| is_partition(name)).unwrap_or(MAIN));
    }
    let mut segments: Vec<String> = Vec::new();
    for segment in path.strip_prefix('/').unwrap_or(path).split('/') {
        match segment.replace("%2e", ".").replace("%2E", ".").as_str() {
            "." => {}
            ".." => drop(segments.pop()),
            _ => segments.push(decode(segment)),
        }
    }
    match segments.as_slice() {
        [p, name, ..] if p == "p" && is_partition(name) => Cow::Owned(name.clone()),
        _ => Cow::Borrowed(MAIN),
    }
}

/// Decodes percent signs; what is no escape stays as it is.
fn decode(segment: &str) -> String {
    let mut out = Vec::with_capacity(segment.len());
    let mut rest = segment.as_bytes();
    while let Some((&byte, after)) = rest.split_first() {
        let escape = after.first_chunk::<2>().filter(|_| byte == b'%');
        let decoded = escape.and_then(|pair| {
            let digit = |byte: u8| char::from(byte).to_digit(16);
            u8::try_from(digit(pair[0])? * 16 + digit(pair[1])?).ok()
        });
        match decoded {
            Some(decoded) => {
                out.push(decoded);
                rest = after.get(2..).unwrap_or_default();
            }
            None => {
                out.push(byte);
                rest = after;
            }
        }
    }
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::partition;

    #[test]
    fn targets_name_partitions_as_the_guest_reads_them() {
        for (target, name) in [
            ("/health", "main"),
            ("/p/x/health", "x"),
            ("/p/x", "x"),
            ("/p/x?limit=1", "x"),
            ("/p/X/health", "main"),
            ("/p/", "main"),
            ("/p//health", "main"),
            ("/a/../p/x/health", "x"),
            ("/p/x/../y/health", "y"),
            ("/p/x/%2e%2E/y", "y"),
            ("/%70/x/health", "x"),
            ("/p/%78/health", "x"),
            ("/p/x%2Fy/health", "main"),
            ("/./p/./x/.", "x"),
            ("/p/x/..", "main"),
            ("/..%2fp/x", "main"),
            ("*", "main"),
            ("", "main"),
            ("/%", "main"),
            ("/?/p/x/../y", "main"),
        ] {
            assert_eq!(partition(target), name, "{target}");
        }
    }
}
