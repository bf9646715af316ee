//! JSON text: the strict check at the door, and cheap reading and writing behind it.
//!
//! Owns what counts as a JSON text here (RFC 8259, and stricter where two readers could disagree),
//! and how a token is found, unescaped and written. Refuses to know any document's fields, or to
//! print a token it has parsed: payloads are kept as they were sent, so a number or a string leaves
//! with the very bytes it came with, out of a tree ([`Json`]) too.
//!
//! Stricter than RFC 8259, each because some reader would otherwise see another document:
//! no byte order mark, no duplicate keys (compared unescaped), no lone surrogates, no U+0000,
//! no number beyond the range of an IEEE double, nothing nested deeper than [`DEPTH_MAX`].
//!
//! Invariant: [`minify`] is the only way in. [`members`], [`elements`], [`objects`], [`string`]
//! and [`unsigned`] take its output or parts of it; on other text they may answer anything, but they
//! never panic and never read past its end.
//!
//! Why not serde_json: it accepts duplicate keys and U+0000, it recurses, and it can not hand
//! tokens on unchanged while dropping the white space around them.

mod minify;
mod read;
#[cfg(test)]
mod tests;
mod value;

use alloc::string::String;

pub use self::minify::{DEPTH_MAX, is_minified, minify};
pub(crate) use self::read::clean_end;
pub use self::read::{Members, elements, members, objects, string, unsigned};
pub use self::value::Json;

/// Why a text is not one we accept: always the caller's fault. `offset` counts bytes from the
/// start of the text as it was sent, white space included.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum JsonError {
    /// Not UTF-8; `offset` is the first byte that can not be part of a character.
    #[error("invalid UTF-8 at byte {offset}")]
    InvalidUtf8 {
        /// Where, in bytes.
        offset: usize,
    },
    /// A byte order mark in front of the text.
    #[error("byte order mark at byte {offset}")]
    ByteOrderMark {
        /// Where, in bytes.
        offset: usize,
    },
    /// The text ends too early, or is empty.
    #[error("unexpected end of the text at byte {offset}")]
    UnexpectedEnd {
        /// The length of the text, in bytes.
        offset: usize,
    },
    /// A character that can not stand where it stands.
    #[error("unexpected character at byte {offset}")]
    UnexpectedCharacter {
        /// Where, in bytes.
        offset: usize,
    },
    /// Something other than white space after the value.
    #[error("unexpected character after the end of the value at byte {offset}")]
    TrailingCharacter {
        /// Where, in bytes.
        offset: usize,
    },
    /// A control character inside a string, where only its escape is allowed.
    #[error("control character inside a string at byte {offset}")]
    ControlCharacter {
        /// Where, in bytes.
        offset: usize,
    },
    /// A backslash that starts no known escape.
    #[error("invalid escape at byte {offset}")]
    InvalidEscape {
        /// Of the backslash, in bytes.
        offset: usize,
    },
    /// Half of a surrogate pair: it stands for no character.
    #[error("lone surrogate at byte {offset}")]
    LoneSurrogate {
        /// Of the backslash, in bytes.
        offset: usize,
    },
    /// U+0000, which C strings and some stores cut texts at.
    #[error("U+0000 at byte {offset}")]
    NullCharacter {
        /// Of the backslash, in bytes.
        offset: usize,
    },
    /// A number that a double could only hold as infinity.
    #[error("number out of range at byte {offset}")]
    NumberOutOfRange {
        /// Of the number's first byte.
        offset: usize,
    },
    /// More than [`DEPTH_MAX`] arrays and objects inside each other.
    #[error("nested deeper than {DEPTH_MAX} levels at byte {offset}")]
    TooDeep {
        /// Of the first bracket too many, in bytes.
        offset: usize,
    },
    /// A key that its object already has.
    #[error("duplicate key \"{key}\" at byte {offset}")]
    DuplicateKey {
        /// The key, unescaped, cut to its first 64 characters.
        key: String,
        /// Of the second occurrence's opening quote, in bytes.
        offset: usize,
    },
}

impl JsonError {
    /// Where the text is wrong: bytes from the start of the text as it was sent.
    pub fn offset(&self) -> usize {
        match *self {
            Self::InvalidUtf8 { offset }
            | Self::ByteOrderMark { offset }
            | Self::UnexpectedEnd { offset }
            | Self::UnexpectedCharacter { offset }
            | Self::TrailingCharacter { offset }
            | Self::ControlCharacter { offset }
            | Self::InvalidEscape { offset }
            | Self::LoneSurrogate { offset }
            | Self::NullCharacter { offset }
            | Self::NumberOutOfRange { offset }
            | Self::TooDeep { offset }
            | Self::DuplicateKey { offset, .. } => offset,
        }
    }
}

/// Appends `text` as a JSON string token. Escaped are only `"`, `\` and the control characters
/// below U+0020 (`\n \r \t \b \f`, the others as `\u00xx`); everything else stays as it is.
pub fn push_string(out: &mut String, text: &str) {
    out.reserve(text.len().saturating_add(2));
    out.push('"');
    let bytes = text.as_bytes();
    let mut run = 0;
    loop {
        let end = read::clean_end(bytes, run);
        out.push_str(text.get(run..end).unwrap_or_default());
        let Some(&byte) = bytes.get(end) else { break };
        push_escape(out, byte);
        run = end.wrapping_add(1);
    }
    out.push('"');
}

/// Appends the escape of one of the bytes that [`push_string`] stops at.
fn push_escape(out: &mut String, byte: u8) {
    let short = match byte {
        b'"' => "\\\"",
        b'\\' => "\\\\",
        b'\n' => "\\n",
        b'\r' => "\\r",
        b'\t' => "\\t",
        0x08 => "\\b",
        0x0c => "\\f",
        _ => {
            out.push_str("\\u00");
            out.push(if byte < 0x10 { '0' } else { '1' });
            out.push(char::from_digit(u32::from(byte & 0x0f), 16).unwrap_or('0'));
            return;
        }
    };
    out.push_str(short);
}

/// Appends `n` in decimal.
pub fn push_unsigned(out: &mut String, n: u64) {
    // Most numbers here are versions and counts: one digit needs no buffer.
    if let (0..=9, Ok(digit)) = (n, u8::try_from(n)) {
        out.push(char::from(b'0' | digit));
        return;
    }
    // u64::MAX has 20 digits. They come out last first, two to a division, so the buffer fills
    // from its end; the remainders are below 100, the casts exact, and OR-ing onto '0' adds.
    let mut digits = [b'0'; 20];
    let mut start = digits.len();
    let mut left = n;
    for slot in digits.as_chunks_mut::<2>().0.iter_mut().rev() {
        if left == 0 {
            break;
        }
        let two = (left % 100) as u32;
        *slot = [b'0' | (two / 10) as u8, b'0' | (two % 10) as u8];
        left /= 100;
        start = start.wrapping_sub(2);
    }
    // The whole buffer is checked, not the part: a fixed length makes that a few word compares.
    let text = core::str::from_utf8(&digits).unwrap_or_default().get(start..).unwrap_or_default();
    // An odd number of digits leaves one zero in front.
    out.push_str(text.strip_prefix('0').unwrap_or(text));
}
