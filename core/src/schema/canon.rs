//! Equality of JSON values: `1.0` is `1`, and the order of members does not matter.
//!
//! Owns the bytes that stand for a value: equal values, and no others, have equal bytes. So sets
//! are sorted and searched, and a thousand elements are compared in n log n whatever is sent.

use alloc::boxed::Box;
use alloc::vec::Vec;

use super::decimal::Decimal;
use super::value::{Object, Value};

/// Appends the bytes that stand for a value.
pub(super) fn canonical(value: &Value<'_>, out: &mut Vec<u8>) {
    match value {
        Value::Null => out.push(b'0'),
        Value::Bool(false) => out.push(b'f'),
        Value::Bool(true) => out.push(b't'),
        Value::Number(token) => {
            out.push(b'n');
            Decimal::of(token).canonical(out);
        }
        Value::Text(text) => string(text, out),
        Value::Array(elements) => {
            out.push(b'[');
            for element in elements {
                canonical(element, out);
            }
            out.push(b']');
        }
        Value::Object(Object { members, .. }) => {
            out.push(b'{');
            let mut sorted: Vec<_> = members.iter().collect();
            sorted.sort_unstable_by(|(a, _), (b, _)| a.cmp(b));
            for (name, value) in sorted {
                string(name, out);
                canonical(value, out);
            }
            out.push(b'}');
        }
    }
}

/// The length comes first: no text can look like the end of itself.
fn string(text: &str, out: &mut Vec<u8>) {
    out.push(b'"');
    out.extend((text.len() as u64).to_be_bytes());
    out.extend(text.as_bytes());
}

/// Values to be found again.
#[derive(Debug, Default)]
pub(super) struct Set {
    /// Of strings, what they say; sorted.
    texts: Vec<Box<str>>,
    /// Of all others the bytes that stand for them; sorted.
    others: Vec<Box<[u8]>>,
}

impl Set {
    pub(super) fn new<'a>(values: impl Iterator<Item = &'a Value<'a>>) -> Self {
        let mut set = Self::default();
        for value in values {
            if let Value::Text(text) = value {
                set.texts.push(Box::from(&**text));
            } else {
                let mut bytes = Vec::new();
                canonical(value, &mut bytes);
                set.others.push(bytes.into_boxed_slice());
            }
        }
        set.texts.sort_unstable();
        set.others.sort_unstable();
        set
    }

    /// Whether a value is one of them, and how many bytes had to be looked at.
    pub(super) fn has(&self, value: &Value<'_>) -> (bool, usize) {
        if let Value::Text(text) = value {
            let found = self.texts.binary_search_by(|found| (**found).cmp(text));
            return (found.is_ok(), text.len());
        }
        if self.others.is_empty() {
            return (false, 0);
        }
        let mut bytes = Vec::new();
        canonical(value, &mut bytes);
        (self.others.binary_search_by(|found| (**found).cmp(&bytes)).is_ok(), bytes.len())
    }
}

/// The first two equal elements, and how many bytes it took to know.
pub(super) fn twice(elements: &[Value<'_>]) -> (Option<(usize, usize)>, usize) {
    let mut bytes = Vec::new();
    let mut ends = Vec::with_capacity(elements.len());
    for element in elements {
        let from = bytes.len();
        canonical(element, &mut bytes);
        ends.push((from, bytes.len()));
    }
    let part = |(from, end): &(usize, usize)| bytes.get(*from..*end);
    let mut sorted: Vec<_> = ends.iter().map(part).zip(0_usize..).collect();
    sorted.sort_unstable();
    let found = sorted.windows(2).find_map(|pair| match pair {
        [(a, first), (b, second)] if a == b => Some((*first, *second)),
        _ => None,
    });
    (found, bytes.len())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn bytes(text: &str) -> Vec<u8> {
        let mut out = Vec::new();
        canonical(&Value::parse(text).expect(text), &mut out);
        out
    }

    #[test]
    fn equal_values_have_equal_bytes_and_no_others() {
        for (a, b) in [
            (r#"{"a":1,"b":[2.0]}"#, r#"{"b":[2],"a":1.0}"#),
            (r#""\u0061""#, r#""a""#),
            ("-0", "0.0"),
            ("[[],{}]", "[[],{}]"),
        ] {
            assert_eq!(bytes(a), bytes(b), "{a}");
        }
        let all = [
            "0",
            "1",
            "10",
            "-1",
            "false",
            "true",
            "null",
            "\"\"",
            "\"0\"",
            "[]",
            "{}",
            "[0]",
            "[[]]",
            "[[],[]]",
            "[1,0]",
            "[10]",
            "[null]",
            r#"{"":0}"#,
            r#"{"a":{"b":1}}"#,
            r#"{"a":{},"b":1}"#,
            r#"["a","b"]"#,
            r#"["ab"]"#,
            r#"["a\"b"]"#,
        ];
        for (index, a) in all.iter().enumerate() {
            for b in all.iter().take(index) {
                assert_ne!(bytes(a), bytes(b), "{a} and {b}");
            }
        }
    }

    #[test]
    fn the_first_pair_of_equals_is_found() {
        let twice = |text: &str| match Value::parse(text) {
            Some(Value::Array(elements)) => twice(&elements).0,
            other => panic!("{other:?}"),
        };
        assert_eq!(twice(r#"[1,true,"1",[1],{"1":1},0,false,null]"#), None);
        assert_eq!(twice(r#"[3,{"a":1,"b":2},1,{"b":2.0,"a":1}]"#), Some((1, 3)));
        assert_eq!(twice("[]"), None);
    }
}
