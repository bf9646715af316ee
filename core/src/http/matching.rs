//! Finding the route of a path and method.
//!
//! Owns what a path without a route, or a method that a route does not take, is answered. Refuses
//! to know what routes do.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::request::resolve;
use super::routes::Route;
use crate::errors::{Code, Problem};

/// A route and what its braces stand for.
#[derive(Debug)]
pub struct Matched<'a> {
    /// The route.
    pub route: &'a Route,
    /// Name and value of each parameter in the path.
    pub ids: Vec<(String, &'a str)>,
}

/// The route of a path, given whole and in segments, and method.
pub fn find<'a>(
    routes: &'a [Route],
    (path, segments): (&str, &'a [String]),
    method: &str,
) -> Result<Matched<'a>, Problem> {
    let wanted = if method == "HEAD" { "GET" } else { method };
    let mut found: Option<Matched<'a>> = None;
    let alike = routes.iter().filter(|route| starts_alike(&route.path, path));
    for route in alike.filter(|route| route.method == wanted) {
        let Some(ids) = match_path(&route.path, segments) else { continue };
        // Of several, the one with fewer parameters is the more literal: `/events/id/{eventId}`.
        if found.as_ref().is_none_or(|best| ids.len() < best.ids.len()) {
            found = Some(Matched { route, ids });
        }
    }
    if let Some(found) = found {
        return Ok(found);
    }
    let here = |route: &&Route| match_path(&route.path, segments).is_some();
    let mut allowed: Vec<&str> = routes.iter().filter(here).map(|route| route.method).collect();
    if allowed.is_empty() {
        let path: String = path.chars().take(129).collect();
        let detail = format!("there is no route {path}; GET /openapi.json lists all of them");
        return Err(Problem::new(Code::NoSuchRoute, detail));
    }
    if allowed.contains(&"GET") {
        allowed.push("HEAD");
    }
    allowed.sort_unstable();
    allowed.dedup();
    let allow = allowed.join(", ");
    let shown: String = method.chars().take(32).collect();
    let mut problem =
        Problem::new(Code::MethodNotAllowed, format!("{shown} is not taken here; {allow} is"));
    problem.allow = Some(allow);
    Err(problem)
}

/// Whether a target is at this path, of whatever partition. What hosts have to know of a request
/// before the guest sees it is asked so; most are told apart without being taken apart.
pub fn is_at(target: &str, path: &str) -> bool {
    let of = target.split_once('?').map_or(target, |(of, _)| of);
    let plain = !of.contains('%') && !of.contains("/.");
    if plain && !of.ends_with(path) {
        return false;
    }
    let segments = resolve(of);
    let own = match segments.as_slice() {
        [p, _, rest @ ..] if p == "p" => rest,
        all => all,
    };
    own.iter().map(String::as_str).eq(path.split('/').skip(1))
}

/// Whether they are the same up to the template's first brace: most are not, and are not taken
/// apart.
fn starts_alike(template: &str, path: &str) -> bool {
    // What follows the slash is enough in most cases.
    let second = |text: &str| text.as_bytes().get(1).copied().unwrap_or_default();
    if second(template) != second(path) && second(template) != b'{' {
        return false;
    }
    let (mut template, mut path) = (template.bytes(), path.bytes());
    loop {
        match (template.next(), path.next()) {
            (Some(b'{'), _) | (None, None) => return true,
            (expected, found) if expected == found => {}
            _ => return false,
        }
    }
}

fn match_path<'a>(template: &str, segments: &'a [String]) -> Option<Vec<(String, &'a str)>> {
    let mut ids = Vec::new();
    let mut parts = template.strip_prefix('/').unwrap_or(template).split('/');
    for segment in segments {
        let part = parts.next()?;
        match part.strip_prefix('{').and_then(|part| part.strip_suffix('}')) {
            Some(name) => ids.push((name.to_string(), segment.as_str())),
            None if part == segment => {}
            None => return None,
        }
    }
    if parts.next().is_some() { None } else { Some(ids) }
}
