//! How values are shown in messages: short, and whole only when that is short.
//!
//! Owns the cuts: what is shown was sent by somebody, at any length.

use alloc::format;
use alloc::string::String;

use super::value::Value;
use crate::json::push_string;

/// Characters of one string or number that are shown.
const SHOWN_CHARS_MAX: usize = 40;
/// Bytes of a list of values, after which no more are begun.
const LISTED_BYTES_MAX: usize = 160;

/// A text as a JSON string, cut.
pub(super) fn cut(text: &str) -> String {
    let mut out = String::new();
    match text.char_indices().nth(SHOWN_CHARS_MAX) {
        None => push_string(&mut out, text),
        Some((end, _)) => {
            push_string(&mut out, text.get(..end).unwrap_or_default());
            out.push('…');
        }
    }
    out
}

/// A value: as its token, or what kind it is.
pub(super) fn shown(value: &Value<'_>) -> String {
    match value {
        Value::Null => "null".into(),
        Value::Bool(true) => "true".into(),
        Value::Bool(false) => "false".into(),
        Value::Number(token) if token.len() <= SHOWN_CHARS_MAX => (*token).into(),
        Value::Number(token) => format!("{}…", token.get(..SHOWN_CHARS_MAX).unwrap_or_default()),
        Value::Text(text) => cut(text),
        Value::Array(elements) if elements.is_empty() => "[]".into(),
        Value::Object(object) if object.members.is_empty() => "{}".into(),
        Value::Array(_) => "a certain array".into(),
        Value::Object(_) => "a certain object".into(),
    }
}

/// What was got: as [`shown`] where that tells something.
pub(super) fn got(value: &Value<'_>) -> String {
    match value {
        Value::Array(elements) if !elements.is_empty() => value.kind().into(),
        Value::Object(object) if !object.members.is_empty() => value.kind().into(),
        _ => shown(value),
    }
}

/// Several values.
pub(super) fn listed(values: &[Value<'_>]) -> String {
    let mut out = String::new();
    for (index, value) in values.iter().enumerate() {
        if out.len() > LISTED_BYTES_MAX {
            let left = values.len().saturating_sub(index);
            out.push_str(&format!(" and {left} more"));
            break;
        }
        if index > 0 {
            out.push_str(", ");
        }
        out.push_str(&shown(value));
    }
    out
}

/// `1 item`, `2 items`.
pub(super) fn counted(count: u64, one: &str, many: &str) -> String {
    format!("{count} {}", if count == 1 { one } else { many })
}
