//! Sets of characters.
//!
//! Owns which characters `\d`, `\w`, `\s`, `.` and `\p{…}` stand for in ECMA-262. Refuses those
//! properties of Unicode whose tables the standard library does not have, or that weigh too much.

use alloc::vec::Vec;

/// One thing that a class lists.
#[derive(Clone, Copy, Debug)]
pub(super) enum Item {
    /// Both ends are in it.
    Range(char, char),
    /// A property, or all that does not have it.
    Property(Property, bool),
}

impl Item {
    fn has(self, c: char) -> bool {
        match self {
            Self::Range(from, to) => (from..=to).contains(&c),
            Self::Property(property, not) => property.has(c) != not,
        }
    }

    /// Of the first 128 characters, those that it has: a bit each.
    fn ascii(self) -> u128 {
        match self {
            Self::Range(from, to) if from.is_ascii() && from <= to => {
                let last = u32::from(to).min(127);
                let unused = 127_u32.saturating_sub(last);
                u128::MAX.wrapping_shr(unused) & u128::MAX.wrapping_shl(u32::from(from))
            }
            Self::Range(..) => 0,
            Self::Property(..) => {
                let bit = |c: u8| u128::from(self.has(char::from(c))).wrapping_shl(c.into());
                (0..128).fold(0, |all, c| all | bit(c))
            }
        }
    }
}

/// A property of Unicode.
#[derive(Clone, Copy, Debug)]
pub(super) enum Property {
    Digit,
    Word,
    Space,
    Alphabetic,
    Number,
    WhiteSpace,
    Any,
}

impl Property {
    /// By the names that `\p{…}` has for it.
    pub(super) fn named(name: &str) -> Option<Self> {
        Some(match name {
            "Alphabetic" | "Alpha" => Self::Alphabetic,
            "N" | "Number" => Self::Number,
            "White_Space" | "space" => Self::WhiteSpace,
            "Any" => Self::Any,
            _ => return None,
        })
    }

    fn has(self, c: char) -> bool {
        match self {
            Self::Digit => c.is_ascii_digit(),
            Self::Word => is_word(c),
            Self::Space => is_space(c),
            Self::Alphabetic => c.is_alphabetic(),
            Self::Number => c.is_numeric(),
            Self::WhiteSpace => c.is_whitespace(),
            Self::Any => true,
        }
    }
}

/// What `\w` and `\b` mean by a letter: ASCII alone.
pub(super) fn is_word(c: char) -> bool {
    c.is_ascii_alphanumeric() || c == '_'
}

/// What `\s` means: white space, ends of lines and U+FEFF.
fn is_space(c: char) -> bool {
    // U+0085 is white space of Unicode, but not of ECMA-262.
    (c.is_whitespace() && c != '\u{85}') || c == '\u{feff}'
}

/// A set of characters.
#[derive(Clone, Debug)]
pub(super) struct Class {
    /// Of the first 128 characters, those in it: a bit each.
    ascii: u128,
    items: Vec<Item>,
    negated: bool,
}

impl Class {
    pub(super) fn new(items: Vec<Item>, negated: bool) -> Self {
        let listed = items.iter().fold(0, |all, item| all | item.ascii());
        Self { ascii: if negated { !listed } else { listed }, items, negated }
    }

    /// `.`: all but the ends of lines.
    pub(super) fn dot() -> Self {
        let ends = [('\n', '\n'), ('\r', '\r'), ('\u{2028}', '\u{2029}')];
        Self::new(ends.map(|(from, to)| Item::Range(from, to)).to_vec(), true)
    }

    pub(super) fn has(&self, c: char) -> bool {
        if c.is_ascii() { self.ascii >> u32::from(c) & 1 == 1 } else { self.looked_up(c) }
    }

    fn looked_up(&self, c: char) -> bool {
        self.items.iter().any(|item| item.has(c)) != self.negated
    }

    /// How much more a character costs here than elsewhere.
    pub(super) fn len(&self) -> usize {
        self.items.len()
    }
}
