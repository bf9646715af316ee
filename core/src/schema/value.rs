//! A JSON text as a tree that borrows from it: what is checked, and what schemas are read from.
//!
//! Owns the tree and finding a member in it. Numbers stay tokens, so nothing is lost of them.
//! Refuses to check what [`minify`](crate::json::minify) has checked; on other text it answers
//! `None` or a tree, and never panics.
//!
//! Why not `Json`: that one owns each of its strings, because upcasters change it; here a payload
//! is read once and dropped, and most of it is not copied at all.

use alloc::borrow::Cow;
use alloc::vec::Vec;

use crate::json::{self, DEPTH_MAX};
use crate::sorted::order;

/// Up to this many members are looked through; larger objects are searched by halving.
const SCANNED_MAX: usize = 12;

/// A JSON value.
#[derive(Debug)]
pub(super) enum Value<'a> {
    Null,
    Bool(bool),
    /// Its token.
    Number(&'a str),
    /// Unescaped.
    Text(Cow<'a, str>),
    Array(Vec<Self>),
    Object(Object<'a>),
}

/// An object's members in their order, names unescaped.
#[derive(Debug)]
pub(super) struct Object<'a> {
    pub(super) members: Vec<(Cow<'a, str>, Value<'a>)>,
    /// The members' indices by name; empty for small objects.
    sorted: Vec<u32>,
}

impl<'a> Object<'a> {
    fn new(members: Vec<(Cow<'a, str>, Value<'a>)>) -> Self {
        let mut sorted = Vec::new();
        if members.len() > SCANNED_MAX {
            let name = |index: usize| members.get(index).map(|(name, _)| name);
            sorted = order(members.len(), &|a, b| name(a).cmp(&name(b)));
        }
        Self { members, sorted }
    }

    /// The index and the value of a member.
    pub(super) fn find(&self, wanted: &str) -> Option<(usize, &Value<'a>)> {
        if self.sorted.is_empty() {
            let found = self.members.iter().position(|(name, _)| name == wanted)?;
            return Some((found, &self.members.get(found)?.1));
        }
        let name = |index: &u32| self.members.get(*index as usize).map(|(name, _)| &**name);
        let at = self.sorted.binary_search_by(|index| name(index).cmp(&Some(wanted))).ok()?;
        let found = *self.sorted.get(at)? as usize;
        Some((found, &self.members.get(found)?.1))
    }

    /// A member's value.
    pub(super) fn get(&self, wanted: &str) -> Option<&Value<'a>> {
        self.find(wanted).map(|(_, value)| value)
    }
}

impl<'a> Value<'a> {
    /// Reads a minified text; `None` when it is none.
    pub(super) fn parse(text: &'a str) -> Option<Self> {
        let mut reader = Reader::new(text);
        let value = reader.value(DEPTH_MAX)?;
        reader.is_done().then_some(value)
    }

    /// What kind of value it is, with its article.
    pub(super) fn kind(&self) -> &'static str {
        match self {
            Self::Null => "null",
            Self::Bool(_) => "a boolean",
            Self::Number(_) => "a number",
            Self::Text(_) => "a string",
            Self::Array(_) => "an array",
            Self::Object(_) => "an object",
        }
    }
}

/// Reads a text from its beginning to its end.
pub(super) struct Reader<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Reader<'a> {
    pub(super) const fn new(text: &'a str) -> Self {
        Self { text, at: 0 }
    }

    /// Whether nothing is left.
    pub(super) const fn is_done(&self) -> bool {
        self.at == self.text.len()
    }

    #[inline]
    pub(super) fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    #[inline]
    pub(super) fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    /// Takes this byte, if it is next.
    #[inline]
    pub(super) fn take(&mut self, byte: u8) -> bool {
        let found = self.peek() == Some(byte);
        if found {
            self.step();
        }
        found
    }

    /// Behind a part: whether another one follows, or the end.
    #[inline]
    pub(super) fn more(&mut self, end: u8) -> Option<bool> {
        let found = self.peek()?;
        self.step();
        (found == b',' || found == end).then_some(found == b',')
    }

    pub(super) fn value(&mut self, depth: usize) -> Option<Value<'a>> {
        let from = self.at;
        match self.peek()? {
            b'"' => self.string().map(Value::Text),
            b'{' => self.object(depth.checked_sub(1)?),
            b'[' => self.array(depth.checked_sub(1)?),
            _ => {
                let rest = self.text.as_bytes().get(from..)?;
                let stop = |byte: &u8| matches!(byte, b',' | b'}' | b']');
                self.at = from.wrapping_add(rest.iter().position(stop).unwrap_or(rest.len()));
                match self.text.get(from..self.at)? {
                    "null" => Some(Value::Null),
                    "true" => Some(Value::Bool(true)),
                    "false" => Some(Value::Bool(false)),
                    "" => None,
                    token => Some(Value::Number(token)),
                }
            }
        }
    }

    #[inline]
    pub(super) fn string(&mut self) -> Option<Cow<'a, str>> {
        let (bytes, from) = (self.text.as_bytes(), self.at);
        let mut end = json::clean_end(bytes, from.wrapping_add(1));
        if bytes.get(end) == Some(&b'"') {
            self.at = end.wrapping_add(1);
            return self.text.get(from.wrapping_add(1)..end).map(Cow::Borrowed);
        }
        // Whatever follows a backslash belongs to it; `\u` digits are clean.
        while bytes.get(end) == Some(&b'\\') {
            end = json::clean_end(bytes, end.wrapping_add(2));
        }
        self.at = end.wrapping_add(1);
        json::string(self.text.get(from..self.at)?)
    }

    fn array(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut elements = Vec::new();
        self.step();
        let mut more = !self.take(b']');
        while more {
            elements.push(self.value(depth)?);
            more = self.more(b']')?;
        }
        Some(Value::Array(elements))
    }

    fn object(&mut self, depth: usize) -> Option<Value<'a>> {
        let mut members = Vec::new();
        self.step();
        let mut more = !self.take(b'}');
        while more {
            if self.peek() != Some(b'"') {
                return None;
            }
            let name = self.string()?;
            if !self.take(b':') {
                return None;
            }
            members.push((name, self.value(depth)?));
            more = self.more(b'}')?;
        }
        Some(Value::Object(Object::new(members)))
    }
}
