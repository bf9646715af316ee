//! Two JSON texts side by side: the members that differ, by their paths.
//!
//! Owns how that is told to people. Tokens are compared as they are written: `1.0` is not `1`.

use foldlog_core::json::{elements, members};

/// Members of a commit line that follow from the others.
const FOLLOWS: [&str; 1] = ["hash"];

/// More lines than this say no more.
const LINES_MAX: usize = 40;
/// A longer token is cut.
const TOKEN_CHARS_MAX: usize = 160;

/// A line for each member that only one of them has (`-` the expected, `+` the other), two for each
/// that differs.
pub fn diff(expected: &str, got: &str) -> Vec<String> {
    let (mut old, mut new) = (Vec::new(), Vec::new());
    flatten("", expected, &mut old);
    flatten("", got, &mut new);
    let mut out = Vec::new();
    for (path, token) in &old {
        match new.iter().find(|(other, _)| other == path) {
            Some((_, same)) if same == token => {}
            Some((_, other)) => {
                out.push(line('-', path, token));
                out.push(line('+', path, other));
            }
            None => out.push(line('-', path, token)),
        }
    }
    let added = new.iter().filter(|(path, _)| old.iter().all(|(other, _)| other != path));
    out.extend(added.map(|(path, token)| line('+', path, token)));
    if out.len() > LINES_MAX {
        let more = out.len() - LINES_MAX;
        out.truncate(LINES_MAX);
        out.push(format!("… {more} lines more"));
    }
    out
}

fn line(sign: char, path: &str, token: &str) -> String {
    let mut shown: String = token.chars().take(TOKEN_CHARS_MAX).collect();
    if shown.len() < token.len() {
        shown.push('…');
    }
    format!("{sign} {path} {shown}")
}

/// The scalars of a JSON text, and its empty objects and arrays, by their paths.
fn flatten<'t>(path: &str, token: &'t str, out: &mut Vec<(String, &'t str)>) {
    if let Some(members) = members(token).filter(|members| !members.is_empty()) {
        for (name, token) in members {
            if path.is_empty() && FOLLOWS.contains(&&*name) {
                continue;
            }
            let dot = if path.is_empty() { "" } else { "." };
            flatten(&format!("{path}{dot}{name}"), token, out);
        }
    } else if let Some(elements) = elements(token).filter(|elements| !elements.is_empty()) {
        for (index, token) in elements.into_iter().enumerate() {
            flatten(&format!("{path}[{index}]"), token, out);
        }
    } else {
        out.push((path.to_string(), token));
    }
}

#[cfg(test)]
mod tests {
    use super::diff;

    #[test]
    fn what_differs_is_told_by_its_path() {
        let old = r#"{"a":1,"b":{"c":[1,{"d":"x"}]},"gone":null,"hash":"00"}"#;
        let new = r#"{"a":1.0,"b":{"c":[1,{"d":"y"},[]]},"hash":"11"}"#;
        let told = [
            "- a 1",
            "+ a 1.0",
            "- b.c[1].d \"x\"",
            "+ b.c[1].d \"y\"",
            "- gone null",
            "+ b.c[2] []",
        ];
        assert_eq!(diff(old, new), told);
        assert!(diff(old, old).is_empty());
    }
}
