//! A JSON text taken apart, for code that changes its shape: upcasters.
//!
//! Owns the tree. Its leaves are tokens, so what is not touched leaves with the very bytes it came
//! with: `1.50`, a string's escapes, a number beyond 2^53. Refuses to check what
//! [`minify`](super::minify) has checked.

use alloc::borrow::Cow;
use alloc::string::{String, ToString};
use alloc::vec::Vec;
use core::fmt;

use super::{DEPTH_MAX, elements, members, push_string, string, unsigned};

/// A JSON value.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Json {
    /// A number, a string, `true`, `false` or `null`: its token.
    Token(String),
    /// An array.
    Array(Vec<Self>),
    /// An object: its members in their order, names unescaped.
    Object(Vec<(String, Self)>),
}

impl Json {
    /// Takes a text without insignificant white space apart; `None` when it is none.
    pub fn parse(text: &str) -> Option<Self> {
        Self::within(text, DEPTH_MAX)
    }

    fn within(text: &str, depth: usize) -> Option<Self> {
        let inner = || depth.checked_sub(1);
        match text.as_bytes().first()? {
            b'{' => {
                let depth = inner()?;
                let one = |(name, token): (Cow<'_, str>, &str)| {
                    Some((name.into_owned(), Self::within(token, depth)?))
                };
                members(text)?.into_iter().map(one).collect::<Option<_>>().map(Self::Object)
            }
            b'[' => {
                let depth = inner()?;
                let one = |token| Self::within(token, depth);
                elements(text)?.into_iter().map(one).collect::<Option<_>>().map(Self::Array)
            }
            _ => Some(Self::Token(text.to_string())),
        }
    }

    /// An object without members.
    pub const fn object() -> Self {
        Self::Object(Vec::new())
    }

    /// A string.
    pub fn text(text: &str) -> Self {
        let mut token = String::new();
        push_string(&mut token, text);
        Self::Token(token)
    }

    /// A number. Beyond 2^53 − 1 not every reader holds it exactly.
    pub fn number(number: u64) -> Self {
        Self::Token(number.to_string())
    }

    /// `true` or `false`.
    pub fn truth(truth: bool) -> Self {
        Self::Token(truth.to_string())
    }

    /// `null`.
    pub fn null() -> Self {
        Self::Token("null".into())
    }

    /// What a string says.
    pub fn as_text(&self) -> Option<Cow<'_, str>> {
        if let Self::Token(token) = self { string(token) } else { None }
    }

    /// The value of a number made of digits alone, at most 2^53 − 1.
    pub fn as_number(&self) -> Option<u64> {
        if let Self::Token(token) = self { unsigned(token) } else { None }
    }

    /// A member of an object.
    pub fn get(&self, name: &str) -> Option<&Self> {
        let Self::Object(members) = self else { return None };
        members.iter().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// A member of an object, to be changed.
    pub fn get_mut(&mut self, name: &str) -> Option<&mut Self> {
        let Self::Object(members) = self else { return None };
        members.iter_mut().find(|(found, _)| found == name).map(|(_, value)| value)
    }

    /// Takes a member out of an object.
    pub fn take(&mut self, name: &str) -> Option<Self> {
        let Self::Object(members) = self else { return None };
        let at = members.iter().position(|(found, _)| found == name)?;
        Some(members.remove(at).1)
    }

    /// Gives an object a member, in the place of the one of that name or at its end. What is no
    /// object becomes one.
    pub fn set(&mut self, name: &str, value: Self) {
        if let Some(found) = self.get_mut(name) {
            *found = value;
            return;
        }
        match self {
            Self::Object(members) => members.push((name.to_string(), value)),
            other => *other = Self::Object(Vec::from([(name.to_string(), value)])),
        }
    }

    /// Gives a member another name; false when it is not there.
    pub fn rename(&mut self, from: &str, to: &str) -> bool {
        let Self::Object(members) = self else { return false };
        let found = members.iter_mut().find(|(name, _)| name == from);
        found.map(|(name, _)| *name = to.to_string()).is_some()
    }
}

impl fmt::Display for Json {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Token(token) => f.write_str(token),
            Self::Array(all) => {
                f.write_str("[")?;
                for (index, value) in all.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    value.fmt(f)?;
                }
                f.write_str("]")
            }
            Self::Object(members) => {
                f.write_str("{")?;
                for (index, (name, value)) in members.iter().enumerate() {
                    f.write_str(if index > 0 { "," } else { "" })?;
                    let mut token = String::new();
                    push_string(&mut token, name);
                    f.write_str(&token)?;
                    f.write_str(":")?;
                    value.fmt(f)?;
                }
                f.write_str("}")
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_not_touched_keeps_its_bytes() {
        for text in [
            r#"{"a":[1.0,1e0,-0,1.50,9007199254740993,18446744073709551616],"b":"\u0041\/","c":{}}"#,
            r#"[[],{},[{"x":null,"y":[true,false]}],""]"#,
            "7",
        ] {
            assert_eq!(Json::parse(text).expect("parses").to_string(), text);
        }
    }

    #[test]
    fn members_are_found_changed_renamed_and_taken() {
        let mut json =
            Json::parse(r#"{"amount":007,"who":"an\u006e","left":1.50}"#).expect("parses");
        assert_eq!(json.get("who").and_then(Json::as_text).as_deref(), Some("ann"));
        assert_eq!(json.get("amount").and_then(Json::as_number), None, "no number of ours");
        json.set("amount", Json::number(9_007_199_254_740_991));
        json.set("new", Json::text("\"\n"));
        json.set("list", Json::Array(Vec::from([Json::null(), Json::truth(true), Json::object()])));
        assert!(json.rename("left", "rest") && !json.rename("left", "rest"));
        assert_eq!(json.take("who"), Some(Json::Token(r#""an\u006e""#.into())));
        assert_eq!(
            json.to_string(),
            r#"{"amount":9007199254740991,"rest":1.50,"new":"\"\n","list":[null,true,{}]}"#
        );
        let mut token = Json::null();
        assert!(token.get("x").is_none() && token.take("x").is_none());
        token.set("x", Json::number(1));
        assert_eq!(token.to_string(), r#"{"x":1}"#);
    }

    #[test]
    fn what_is_broken_or_too_deep_is_none() {
        let nested = |depth: usize| "[".repeat(depth) + &"]".repeat(depth);
        assert!(Json::parse(&nested(DEPTH_MAX)).is_some());
        assert!(Json::parse(&nested(DEPTH_MAX + 1)).is_none());
        for text in ["", "{", "[1", r#"{"a"}"#, r#"{"a":}"#, "[1,]]"] {
            assert_eq!(Json::parse(text), None, "{text}");
        }
    }
}
