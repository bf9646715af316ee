//! What a client says of a topic's event types: a list of schemas, each with the type it is for.
//!
//! Owns the two forms of an entry and what is wrong with one. Either the entry is the schema itself,
//! of a payload that is an object, but for its member `type`, which names the event type; or it is
//! `{type, schema}`, and the schema is whatever JSON Schema can be.

use alloc::borrow::Cow;
use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use crate::errors::{Code, Problem, Rejection};
use crate::ids::is_id;
use crate::json;
use crate::limits::{ID_CHARS_MAX, TOPIC_TYPES_MAX};
use crate::schema::Schema;

/// An event type and its schema.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Declared {
    /// The event type.
    pub name: String,
    /// The schema of its payload: a minified JSON text.
    pub schema: String,
}

/// Reads and checks a list of schemas. The text is minified JSON.
pub fn declared(text: &str) -> Result<Vec<Declared>, Rejection> {
    let entries = json::elements(text).unwrap_or_default();
    if !(1..=TOPIC_TYPES_MAX).contains(&entries.len()) {
        let detail = format!("field `schemas` must be a list of 1 to {TOPIC_TYPES_MAX} schemas");
        let problem = Problem::new(Code::InvalidField, detail).text("field", "schemas");
        return Err(problem.number("limit", TOPIC_TYPES_MAX as u64));
    }
    let mut all: Vec<Declared> = Vec::with_capacity(entries.len());
    for (index, entry) in entries.into_iter().enumerate() {
        let one = entry_of(index, entry)?;
        if all.iter().any(|other| other.name == one.name) {
            return Err(wrong(index, "/type", &format!("`{}` is there twice", one.name)));
        }
        all.push(one);
    }
    Ok(all)
}

fn entry_of(index: usize, entry: &str) -> Result<Declared, Rejection> {
    let members = json::members(entry)
        .ok_or_else(|| wrong(index, "", "it must be an object with the member `type`"))?;
    let of = |name: &str| members.iter().find(|(other, _)| other == name).map(|(_, token)| *token);
    let name = of("type").and_then(json::string).filter(|name| is_id(name)).ok_or_else(|| {
        let what = format!(
            "it must be the event type: a string of 1 to {ID_CHARS_MAX} characters from A-Z a-z 0-9 . _ : -"
        );
        wrong(index, "/type", &what).number("limit", ID_CHARS_MAX as u64)
    })?;
    let (schema, within): (Cow<'_, str>, &str) = match of("schema") {
        Some(schema) => {
            let other = members.iter().find(|(name, _)| name != "type" && name != "schema");
            if let Some((name, _)) = other {
                let what = format!("`{name}` is not known beside `type` and `schema`");
                return Err(wrong(index, "", &what));
            }
            (Cow::Borrowed(schema), "/schema")
        }
        None => (Cow::Owned(inline(&members)), ""),
    };
    match Schema::compile(&schema) {
        Ok(_) => Ok(Declared { name: name.to_string(), schema: schema.into_owned() }),
        Err(refused) => {
            Err(wrong(index, &format!("{within}{}", refused.pointer), &refused.message))
        }
    }
}

/// The schema that an entry is itself: its members, with JSON Schema's `type` in place of ours.
fn inline(members: &[(Cow<'_, str>, &str)]) -> String {
    let mut out = String::from("{\"type\":\"object\"");
    for (name, token) in members.iter().filter(|(name, _)| name != "type") {
        out.push(',');
        json::push_string(&mut out, name);
        out.push(':');
        out.push_str(token);
    }
    out.push('}');
    out
}

fn wrong(index: usize, pointer: &str, message: &str) -> Problem {
    let pointer = format!("/schemas/{index}{pointer}");
    let mut errors = String::from("[{\"pointer\":");
    json::push_string(&mut errors, &pointer);
    errors.push_str(",\"message\":");
    json::push_string(&mut errors, message);
    errors.push_str("}]");
    let detail = format!("field `schemas`, at {pointer}: {message}");
    Problem::new(Code::InvalidField, detail).text("field", "schemas").token("errors", errors)
}

#[cfg(test)]
mod tests {
    use alloc::vec;

    use super::*;

    #[test]
    fn an_entry_has_two_forms() {
        let read = |text| {
            declared(text)
                .map(|all| all.into_iter().map(|one| (one.name, one.schema)).collect::<Vec<_>>())
        };
        let found = read(r#"[{"type":"a.b","required":["x"]},{"schema":true,"type":"c"}]"#);
        let one = |name: &str, schema: &str| (name.to_string(), schema.to_string());
        assert_eq!(
            found,
            Ok(vec![one("a.b", r#"{"type":"object","required":["x"]}"#), one("c", "true")])
        );
    }

    #[test]
    fn what_is_wrong_is_pointed_at() {
        for (text, pointer) in [
            ("[1]", "/schemas/0"),
            ("[{}]", "/schemas/0/type"),
            (r#"[{"type":"a"},{"type":1}]"#, "/schemas/1/type"),
            (r#"[{"type":"a b"}]"#, "/schemas/0/type"),
            (r#"[{"type":"a"},{"type":"a"}]"#, "/schemas/1/type"),
            (r#"[{"type":"a","schema":{},"x":1}]"#, "/schemas/0"),
            (r#"[{"type":"a","required":1}]"#, "/schemas/0/required"),
            (r#"[{"type":"a","schema":{"minLength":-1}}]"#, "/schemas/0/schema/minLength"),
        ] {
            let problem = declared(text).expect_err(text);
            let errors = problem.members.iter().find(|(name, _)| *name == "errors");
            let pointed = errors.is_some_and(|(_, token)| {
                token.starts_with(&format!("[{{\"pointer\":\"{pointer}\","))
            });
            assert!(pointed, "{text}: {problem:?}");
            assert_eq!(problem.code, Code::InvalidField);
        }
        assert!(declared("[]").is_err() && declared("{}").is_err());
    }
}
