//! The strict check of one JSON text, which copies it without its white space.
//!
//! Owns the grammar and the rules that go beyond it. Refuses to understand tokens further than
//! to know that they are well formed: they are copied, never printed anew.
//!
//! Invariant: the stack of the machine does not grow with the text. Open arrays and objects are
//! entries of a list that is never longer than [`DEPTH_MAX`].

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

use super::JsonError;
use super::read::{self, EscapeFault, clean_end};
use crate::sorted::order;

/// How many arrays and objects may be open at once.
pub const DEPTH_MAX: usize = 64;

/// Up to this many keys are compared pair by pair; an object with more has them sorted.
const PAIRWISE_MAX: usize = 16;

/// A number without an exponent is finite up to 308 digits; shorter tokens need no look.
const PLAIN_NUMBER_MAX: usize = 300;

/// A key in an error is cut to this many characters: the caller wrote it, at any length.
const KEY_CHARS_MAX: usize = 64;

/// Checks that `text` is one JSON text and returns it without insignificant white space, every
/// string and number unchanged byte for byte.
///
/// # Errors
/// The first fault in the text, except that text which is not UTF-8 is refused before anything
/// else, and a duplicate key when its object closes.
pub fn minify(text: &[u8]) -> Result<String, JsonError> {
    let text = core::str::from_utf8(text)
        .map_err(|fault| JsonError::InvalidUtf8 { offset: fault.valid_up_to() })?;
    if text.starts_with('\u{feff}') {
        return Err(JsonError::ByteOrderMark { offset: 0 });
    }
    let mut check = Check::new(text, DEPTH_MAX);
    check.document()?;
    Ok(check.finish())
}

/// Whether `text` is one JSON text as [`minify`] leaves it, but for its depth: a stored line holds
/// payloads some levels down.
pub fn is_minified(text: &str, depth_max: usize) -> bool {
    let mut check = Check::new(text, depth_max);
    check.document().is_ok() && check.run == 0
}

/// An array or object that is not closed yet.
#[derive(Clone, Copy)]
enum Open {
    Array,
    /// Its keys start at this index of [`Check::keys`].
    Object(usize),
}

/// A key of an object that is not closed yet.
#[derive(Clone, Copy)]
struct Key<'a> {
    /// Of its opening quote.
    offset: usize,
    /// Its token, quotes included.
    token: &'a str,
    escaped: bool,
}

impl<'a> Key<'a> {
    /// What the key says. The check has passed its token, so there is always an answer.
    fn text(&self) -> Cow<'a, str> {
        read::string(self.token).unwrap_or_default()
    }
}

struct Check<'a> {
    text: &'a str,
    bytes: &'a [u8],
    /// The next byte to look at.
    at: usize,
    /// `text[run..at]` is still to be copied. While nothing was dropped that is all of it, and
    /// the copy is one push at the end.
    run: usize,
    out: String,
    /// The innermost open bracket, kept out of `outer` so that a flat object allocates no list.
    open: Option<Open>,
    outer: Vec<Open>,
    /// The keys of all open objects, the innermost's last.
    keys: Vec<Key<'a>>,
    depth_max: usize,
}

impl<'a> Check<'a> {
    fn new(text: &'a str, depth_max: usize) -> Self {
        let (bytes, out) = (text.as_bytes(), String::new());
        let (outer, keys) = (Vec::new(), Vec::new());
        Self { text, bytes, at: 0, run: 0, out, open: None, outer, keys, depth_max }
    }

    fn document(&mut self) -> Result<(), JsonError> {
        loop {
            // A value opens a bracket, which asks for the next value, or ends one or more.
            if self.value()? && self.after_value()? {
                break;
            }
        }
        match self.peek() {
            None => Ok(()),
            Some(_) => Err(JsonError::TrailingCharacter { offset: self.at }),
        }
    }

    fn finish(mut self) -> String {
        if self.run == 0 {
            return String::from(self.text);
        }
        self.out.push_str(self.text.get(self.run..).unwrap_or_default());
        self.out
    }

    /// Takes the start of a value. True when the value is complete, false when it is a bracket
    /// whose first value comes next (behind its key, which is taken too).
    #[inline]
    fn value(&mut self) -> Result<bool, JsonError> {
        match self.peek() {
            Some(b'"') => self.string().map(|_| true),
            Some(b'-' | b'0'..=b'9') => self.number().map(|()| true),
            Some(b'{') => self.open_object(),
            Some(b'[') => self.open_array(),
            Some(b't') => self.literal(b"true").map(|()| true),
            Some(b'f') => self.literal(b"false").map(|()| true),
            Some(b'n') => self.literal(b"null").map(|()| true),
            found => Err(self.unexpected(found)),
        }
    }

    /// Closes what closes behind a complete value. True at the end of the outermost value, false
    /// when another value comes next.
    #[inline]
    fn after_value(&mut self) -> Result<bool, JsonError> {
        while let Some(open) = self.open {
            let found = self.peek();
            match (found, open) {
                (Some(b','), Open::Array) => {
                    self.step();
                    return Ok(false);
                }
                (Some(b','), Open::Object(_)) => {
                    self.step();
                    self.key()?;
                    return Ok(false);
                }
                (Some(b']'), Open::Array) => self.close(),
                (Some(b'}'), Open::Object(base)) => {
                    self.close_object(base)?;
                }
                _ => return Err(self.unexpected(found)),
            }
        }
        Ok(true)
    }

    fn open_object(&mut self) -> Result<bool, JsonError> {
        self.enter(Open::Object(self.keys.len()))?;
        if self.peek() == Some(b'}') {
            self.close();
            return Ok(true);
        }
        self.key()?;
        Ok(false)
    }

    fn open_array(&mut self) -> Result<bool, JsonError> {
        self.enter(Open::Array)?;
        if self.peek() == Some(b']') {
            self.close();
            return Ok(true);
        }
        Ok(false)
    }

    fn enter(&mut self, open: Open) -> Result<(), JsonError> {
        if let Some(outer) = self.open.replace(open) {
            if self.outer.len().wrapping_add(1) >= self.depth_max {
                return Err(JsonError::TooDeep { offset: self.at });
            }
            self.outer.push(outer);
        }
        self.step();
        Ok(())
    }

    #[inline]
    fn close(&mut self) {
        self.open = self.outer.pop();
        self.step();
    }

    fn close_object(&mut self, base: usize) -> Result<(), JsonError> {
        let keys = self.keys.get(base..).unwrap_or_default();
        if let Some(key) = duplicate(keys) {
            let text = key.text().chars().take(KEY_CHARS_MAX).collect();
            return Err(JsonError::DuplicateKey { key: text, offset: key.offset });
        }
        self.keys.truncate(base);
        self.close();
        Ok(())
    }

    /// Takes a key and its colon.
    #[inline]
    fn key(&mut self) -> Result<(), JsonError> {
        let found = self.peek();
        if found != Some(b'"') {
            return Err(self.unexpected(found));
        }
        let offset = self.at;
        let escaped = self.string()?;
        let token = self.text.get(offset..self.at).unwrap_or_default();
        if self.keys.capacity() == 0 {
            // A command body has fewer fields than that: one allocation.
            self.keys.reserve_exact(8);
        }
        self.keys.push(Key { offset, token, escaped });
        let found = self.peek();
        if found != Some(b':') {
            return Err(self.unexpected(found));
        }
        self.step();
        Ok(())
    }

    /// Takes a string; true when it has escapes.
    #[inline]
    fn string(&mut self) -> Result<bool, JsonError> {
        let end = clean_end(self.bytes, self.at.wrapping_add(1));
        if self.bytes.get(end) == Some(&b'"') {
            self.at = end.wrapping_add(1);
            return Ok(false);
        }
        self.escaped_string(end).map(|()| true)
    }

    /// Takes the rest of a string from the first byte on that is not plain.
    fn escaped_string(&mut self, from: usize) -> Result<(), JsonError> {
        let mut offset = from;
        loop {
            match self.bytes.get(offset) {
                None => return Err(JsonError::UnexpectedEnd { offset }),
                Some(b'"') => break,
                Some(b'\\') => {}
                Some(_) => return Err(JsonError::ControlCharacter { offset }),
            }
            let (_, next) = read::escape(self.bytes, offset).map_err(|fault| match fault {
                EscapeFault::End => JsonError::UnexpectedEnd { offset: self.bytes.len() },
                EscapeFault::Invalid => JsonError::InvalidEscape { offset },
                EscapeFault::Surrogate => JsonError::LoneSurrogate { offset },
                EscapeFault::Null => JsonError::NullCharacter { offset },
            })?;
            offset = clean_end(self.bytes, next);
        }
        self.at = offset.wrapping_add(1);
        Ok(())
    }

    #[inline]
    fn number(&mut self) -> Result<(), JsonError> {
        let offset = self.at;
        if self.bytes.get(self.at) == Some(&b'-') {
            self.step();
        }
        // Nothing but one zero may start with zero: a digit behind it is unexpected.
        if self.bytes.get(self.at) == Some(&b'0') {
            self.step();
        } else {
            self.digits()?;
        }
        let mut plain = true;
        if self.bytes.get(self.at) == Some(&b'.') {
            self.step();
            self.digits()?;
        }
        if let Some(b'e' | b'E') = self.bytes.get(self.at) {
            plain = false;
            self.step();
            if let Some(b'+' | b'-') = self.bytes.get(self.at) {
                self.step();
            }
            self.digits()?;
        }
        if plain && self.at.wrapping_sub(offset) <= PLAIN_NUMBER_MAX {
            return Ok(());
        }
        // Too small for a double is fine: it is read as zero. Too large would be infinity.
        let token = self.text.get(offset..self.at).unwrap_or_default();
        match token.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(()),
            _ => Err(JsonError::NumberOutOfRange { offset }),
        }
    }

    /// Takes one or more digits.
    #[inline]
    fn digits(&mut self) -> Result<(), JsonError> {
        let from = self.at;
        while let Some(b'0'..=b'9') = self.bytes.get(self.at) {
            self.step();
        }
        if self.at == from { Err(self.unexpected(self.bytes.get(from).copied())) } else { Ok(()) }
    }

    fn literal(&mut self, word: &[u8]) -> Result<(), JsonError> {
        for expected in word {
            let found = self.bytes.get(self.at);
            if found != Some(expected) {
                return Err(self.unexpected(found.copied()));
            }
            self.step();
        }
        Ok(())
    }

    /// The next byte that is not white space, which is left out of the copy.
    #[inline]
    fn peek(&mut self) -> Option<u8> {
        match self.bytes.get(self.at) {
            Some(byte) if *byte > b' ' => Some(*byte),
            None => None,
            Some(_) => self.skip_space(),
        }
    }

    fn skip_space(&mut self) -> Option<u8> {
        let end = self.at;
        while let Some(b' ' | b'\n' | b'\r' | b'\t') = self.bytes.get(self.at) {
            self.step();
        }
        if self.run == 0 {
            self.out.reserve_exact(self.text.len());
        }
        self.out.push_str(self.text.get(self.run..end).unwrap_or_default());
        self.run = self.at;
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn step(&mut self) {
        self.at = self.at.wrapping_add(1);
    }

    #[cold]
    fn unexpected(&self, found: Option<u8>) -> JsonError {
        match found {
            None => JsonError::UnexpectedEnd { offset: self.at },
            Some(_) => JsonError::UnexpectedCharacter { offset: self.at },
        }
    }
}

/// The first key that stands behind an equal one.
fn duplicate<'a>(keys: &[Key<'a>]) -> Option<Key<'a>> {
    if keys.len() > PAIRWISE_MAX || keys.iter().any(|key| key.escaped) {
        return duplicate_sorted(keys);
    }
    // Without escapes, equal keys have equal tokens.
    for (index, key) in keys.iter().enumerate() {
        if keys.iter().take(index).any(|earlier| earlier.token == key.token) {
            return Some(*key);
        }
    }
    None
}

/// [`duplicate`] for many keys, and for escaped ones: n log n whatever the caller sends, with no
/// hash that could be made to collide.
fn duplicate_sorted<'a>(keys: &[Key<'a>]) -> Option<Key<'a>> {
    let texts: Vec<_> = keys.iter().map(Key::text).collect();
    let text = |index: u32| texts.get(index as usize);
    // Keys come in the order of their offsets, and equal ones stay in it.
    let sorted = order(keys.len(), &|a, b| texts.get(a).cmp(&texts.get(b)));
    let later = sorted.windows(2).filter_map(|pair| match pair {
        [a, b] if text(*a) == text(*b) => keys.get(*b as usize).copied(),
        _ => None,
    });
    later.min_by_key(|key| key.offset)
}
