//! Equality of JSON values: `1.0` is `1`, and the order of members does not matter.
//!
//! Owns the bytes that stand for a value: equal values, and no others, have equal bytes. So sets
//! are sorted and searched, and a thousand elements are compared in n log n whatever is sent.

use alloc::vec::Vec;

use super::decimal::Decimal;
use super::value::{Object, Value};
use crate::sorted::order;

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
            let name = |index: usize| members.get(index).map(|(name, _)| name);
            for index in order(members.len(), &|a, b| name(a).cmp(&name(b))) {
                if let Some((name, value)) = members.get(index as usize) {
                    string(name, out);
                    canonical(value, out);
                }
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
#[derive(Debug)]
pub(super) struct Set {
    /// The bytes that stand for them, one behind the other.
    bytes: Vec<u8>,
    /// Where each ends in `bytes`.
    ends: Vec<usize>,
    /// Their indices, sorted by their bytes.
    sorted: Vec<u32>,
}

impl Set {
    pub(super) fn new(values: &[Value<'_>]) -> Self {
        let (mut bytes, mut ends) = (Vec::new(), Vec::with_capacity(values.len()));
        for value in values {
            canonical(value, &mut bytes);
            ends.push(bytes.len());
        }
        let mut set = Self { bytes, ends, sorted: Vec::new() };
        set.sorted = order(values.len(), &|a, b| set.part(a).cmp(set.part(b)));
        set
    }

    fn part(&self, index: usize) -> &[u8] {
        let from = index.checked_sub(1).and_then(|before| self.ends.get(before));
        let end = self.ends.get(index).copied().unwrap_or(0);
        self.bytes.get(from.copied().unwrap_or(0)..end).unwrap_or_default()
    }

    /// Whether a value is one of them, and how many bytes had to be looked at. `room` is for the
    /// value's own bytes.
    pub(super) fn has(&self, value: &Value<'_>, room: &mut Vec<u8>) -> (bool, usize) {
        room.clear();
        canonical(value, room);
        let found = self.sorted.binary_search_by(|index| self.part(*index as usize).cmp(room));
        (found.is_ok(), room.len())
    }

    /// Two equal values, the first ones in their order.
    pub(super) fn twice(&self) -> Option<(usize, usize)> {
        self.sorted.windows(2).find_map(|pair| {
            let (a, b) = (*pair.first()? as usize, *pair.last()? as usize);
            (self.part(a) == self.part(b)).then_some((a, b))
        })
    }

    /// How many bytes stand for all of them.
    pub(super) fn len(&self) -> usize {
        self.bytes.len()
    }
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
            Some(Value::Array(elements)) => Set::new(&elements).twice(),
            other => panic!("{other:?}"),
        };
        assert_eq!(twice(r#"[1,true,"1",[1],{"1":1},0,false,null]"#), None);
        assert_eq!(twice(r#"[3,{"a":1,"b":2},1,{"b":2.0,"a":1}]"#), Some((1, 3)));
        assert_eq!(twice("[]"), None);
    }
}
