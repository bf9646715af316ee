//! Finding and unescaping tokens in a text that [`minify`](super::minify) has passed.
//!
//! Owns where a token ends and what an escape stands for (the check uses the same decoder, so
//! that both agree on every key). Refuses to check what `minify` has checked: there is one place
//! that decides what is acceptable, and it is not here.

use alloc::borrow::Cow;
use alloc::string::String;
use alloc::vec::Vec;

/// The largest integer every reader holds exactly: 2^53 - 1.
const UNSIGNED_MAX: u64 = (1 << 53) - 1;

/// Names and value tokens of an object's members.
pub type Members<'a> = Vec<(Cow<'a, str>, &'a str)>;

/// The members of a minified object in their order: the key unescaped, the value as its token.
/// `None` when the text is not an object. Nested values are skipped over, not looked into.
pub fn members(object: &str) -> Option<Members<'_>> {
    let (found, end) = members_at(object, 0)?;
    (end == object.len()).then_some(found)
}

/// The members of the object that starts at `at`, and the index behind it.
fn members_at(text: &str, at: usize) -> Option<(Members<'_>, usize)> {
    let bytes = text.as_bytes();
    let mut at = at.wrapping_add(1);
    match bytes.get(at.wrapping_sub(1)..)? {
        [b'{', b'}', ..] => return Some((Vec::new(), at.wrapping_add(1))),
        [b'{', ..] => {}
        _ => return None,
    }
    // Command bodies have a handful of fields: one allocation holds them.
    let mut found = Vec::with_capacity(8);
    loop {
        let colon = string_end(bytes, at)?;
        let key = string(text.get(at..colon)?)?;
        if bytes.get(colon) != Some(&b':') {
            return None;
        }
        let from = colon.wrapping_add(1);
        let end = value_end(bytes, from)?;
        found.push((key, text.get(from..end)?));
        at = end.wrapping_add(1);
        match bytes.get(end)? {
            b',' => {}
            b'}' => return Some((found, at)),
            _ => return None,
        }
    }
}

/// The elements of a minified array in their order, each by its members; `None` for one that is
/// no object. Nothing at all when the text is not an array, or has more than `max` elements.
pub fn objects(array: &str, max: usize) -> Option<Vec<Option<Members<'_>>>> {
    let bytes = array.as_bytes();
    let mut found = Vec::new();
    let mut at = 1;
    match bytes {
        b"[]" => return Some(found),
        [b'[', ..] => {}
        _ => return None,
    }
    while found.len() < max {
        let (members, end) = match bytes.get(at)? {
            b'{' => members_at(array, at).map(|(members, end)| (Some(members), end))?,
            _ => (None, value_end(bytes, at)?),
        };
        found.push(members);
        at = end.wrapping_add(1);
        match bytes.get(end)? {
            b',' => {}
            b']' if at == bytes.len() => return Some(found),
            _ => return None,
        }
    }
    None
}

/// The elements of a minified array in their order, each as its token. `None` when the text is
/// not an array.
pub fn elements(array: &str) -> Option<Vec<&str>> {
    let bytes = array.as_bytes();
    match bytes {
        b"[]" => return Some(Vec::new()),
        [b'[', ..] => {}
        _ => return None,
    }
    let mut found = Vec::new();
    let mut at = 1;
    loop {
        let end = value_end(bytes, at)?;
        found.push(array.get(at..end)?);
        at = end.wrapping_add(1);
        match bytes.get(end)? {
            b',' => {}
            b']' if at == bytes.len() => return Some(found),
            _ => return None,
        }
    }
}

/// What a string token says: borrowed when it has no escapes. `None` when it is not a string.
pub fn string(token: &str) -> Option<Cow<'_, str>> {
    let inner = token.strip_prefix('"')?.strip_suffix('"')?;
    let bytes = inner.as_bytes();
    let mut end = clean_end(bytes, 0);
    if end == bytes.len() {
        return Some(Cow::Borrowed(inner));
    }
    // Unescaping only shortens.
    let mut out = String::with_capacity(bytes.len());
    let mut run = 0;
    loop {
        out.push_str(inner.get(run..end)?);
        match bytes.get(end) {
            None => return Some(Cow::Owned(out)),
            Some(b'\\') => {}
            Some(_) => return None,
        }
        let (letter, next) = escape(bytes, end).ok()?;
        out.push(letter);
        run = next;
        end = clean_end(bytes, run);
    }
}

/// The value of a number token made of digits alone (no sign, fraction, exponent or leading zero)
/// and at most 2^53 - 1, the largest integer every JSON reader holds exactly; else `None`.
pub fn unsigned(token: &str) -> Option<u64> {
    let bytes = token.as_bytes();
    // 2^53 - 1 has 16 digits, so nothing below can overflow.
    if bytes.is_empty() || bytes.len() > 16 || (bytes.len() > 1 && bytes.first() == Some(&b'0')) {
        return None;
    }
    let mut n = 0_u64;
    for byte in bytes {
        let digit = byte.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        n = n.wrapping_mul(10).wrapping_add(u64::from(digit));
    }
    (n <= UNSIGNED_MAX).then_some(n)
}

/// Why an escape stands for no character we accept.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum EscapeFault {
    /// The text ends inside it.
    End,
    /// Not an escape of JSON.
    Invalid,
    /// Half of a surrogate pair.
    Surrogate,
    /// U+0000.
    Null,
}

/// The character that the escape at `at` (its backslash) stands for, and the index behind it.
pub(super) fn escape(bytes: &[u8], at: usize) -> Result<(char, usize), EscapeFault> {
    let letter = match bytes.get(at.wrapping_add(1)).ok_or(EscapeFault::End)? {
        b'u' => return unicode_escape(bytes, at),
        b'n' => '\n',
        b't' => '\t',
        b'r' => '\r',
        b'b' => '\u{8}',
        b'f' => '\u{c}',
        byte @ (b'"' | b'\\' | b'/') => char::from(*byte),
        _ => return Err(EscapeFault::Invalid),
    };
    Ok((letter, at.wrapping_add(2)))
}

/// [`escape`] for `\u` and four digits, and for the pair of them that stands for one character.
fn unicode_escape(bytes: &[u8], at: usize) -> Result<(char, usize), EscapeFault> {
    let first = hex(bytes, at)?;
    let next = at.wrapping_add(6);
    match first {
        0 => Err(EscapeFault::Null),
        0xd800..=0xdbff => {
            if bytes.get(next..next.wrapping_add(2)) != Some(b"\\u") {
                return Err(EscapeFault::Surrogate);
            }
            let second = hex(bytes, next)?;
            if !(0xdc00..=0xdfff).contains(&second) {
                return Err(EscapeFault::Surrogate);
            }
            // Ten bits of each half, and the pairs start behind the 16-bit characters.
            let code = ((first & 0x3ff) << 10 | second & 0x3ff).wrapping_add(0x1_0000);
            let letter = char::from_u32(code).ok_or(EscapeFault::Surrogate)?;
            Ok((letter, next.wrapping_add(6)))
        }
        // What is left that is no character is the second half without its first.
        _ => Ok((char::from_u32(first).ok_or(EscapeFault::Surrogate)?, next)),
    }
}

/// The number in the four digits of the `\u` escape at `at`.
fn hex(bytes: &[u8], at: usize) -> Result<u32, EscapeFault> {
    let digits = bytes.get(at.wrapping_add(2)..).unwrap_or_default();
    let mut code = 0;
    for byte in digits.iter().take(4) {
        let digit = char::from(*byte).to_digit(16).ok_or(EscapeFault::Invalid)?;
        code = code << 4 | digit;
    }
    if digits.len() < 4 { Err(EscapeFault::End) } else { Ok(code) }
}

/// The index of the first `"`, `\` or control character at or behind `from`, or the length.
/// Eight bytes at a time: nearly all the time this module takes is spent in strings.
#[inline]
pub(crate) fn clean_end(bytes: &[u8], from: usize) -> usize {
    let mut at = from;
    let mut rest = bytes.get(from..).unwrap_or_default();
    while let Some((chunk, behind)) = rest.split_first_chunk::<8>() {
        let found = stops(u64::from_le_bytes(*chunk));
        if found != 0 {
            return at.wrapping_add((found.trailing_zeros() >> 3) as usize);
        }
        at = at.wrapping_add(8);
        rest = behind;
    }
    let stop = |byte: &u8| matches!(byte, b'"' | b'\\' | 0..0x20);
    at.wrapping_add(rest.iter().position(stop).unwrap_or(rest.len()))
}

/// The high bit of each byte that ends a clean run. A borrow may mark a byte above a marked one
/// wrongly, so only the lowest mark counts.
#[inline]
fn stops(word: u64) -> u64 {
    const ONES: u64 = 0x0101_0101_0101_0101;
    let below = |word: u64, bound: u64| word.wrapping_sub(bound) & !word;
    let control = below(word, ONES << 5);
    let quote = below(word ^ ONES.wrapping_mul(0x22), ONES);
    let backslash = below(word ^ ONES.wrapping_mul(0x5c), ONES);
    (control | quote | backslash) & ONES << 7
}

/// The index behind the string that opens at `at`.
fn string_end(bytes: &[u8], at: usize) -> Option<usize> {
    if bytes.get(at) != Some(&b'"') {
        return None;
    }
    let mut at = clean_end(bytes, at.wrapping_add(1));
    loop {
        match bytes.get(at)? {
            b'"' => return Some(at.wrapping_add(1)),
            // Whatever follows the backslash belongs to it; `\u` digits are clean.
            b'\\' => at = clean_end(bytes, at.wrapping_add(2)),
            _ => return None,
        }
    }
}

/// The index behind the value that starts at `at`: a counter instead of a stack, because the
/// brackets are known to match.
fn value_end(bytes: &[u8], at: usize) -> Option<usize> {
    let mut at = at;
    let mut depth = 0_usize;
    loop {
        match bytes.get(at)? {
            b'"' => at = string_end(bytes, at)?,
            b'{' | b'[' => {
                depth = depth.wrapping_add(1);
                at = at.wrapping_add(1);
                continue;
            }
            b'}' | b']' => {
                // A closing bracket where a value should start.
                depth = depth.checked_sub(1)?;
                at = at.wrapping_add(1);
            }
            b',' | b':' if depth == 0 => return None,
            b',' | b':' => {
                at = at.wrapping_add(1);
                continue;
            }
            _ => at = scalar_end(bytes, at),
        }
        if depth == 0 {
            return Some(at);
        }
    }
}

/// The index behind the number or the literal that starts at `at`.
fn scalar_end(bytes: &[u8], at: usize) -> usize {
    let rest = bytes.get(at..).unwrap_or_default();
    let stop = |byte: &u8| matches!(byte, b',' | b'}' | b']');
    at.wrapping_add(rest.iter().position(stop).unwrap_or(rest.len()))
}
