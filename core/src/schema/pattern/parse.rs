//! The syntax of patterns: ECMA-262, as it is with the `u` flag, and lenient where that only
//! refuses what can mean one thing (`\-`, `\@`, a lone `{` or `]`).
//!
//! Owns the grammar. Refuses by name what can not be matched in linear time.

use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use core::iter::Peekable;
use core::str::Chars;

use super::Assertion;
use super::class::{Class, Item, Property};
use super::program::Tree;

/// Groups inside each other.
const GROUPS_MAX: usize = 32;

type Parsed<T> = Result<T, String>;

pub(super) fn parse(source: &str) -> Parsed<Tree> {
    let mut parser = Parser { letters: source.chars().peekable(), groups: 0 };
    let tree = parser.alternatives()?;
    match parser.letters.next() {
        None => Ok(tree),
        Some(_) => Err("has a `)` without its `(`".into()),
    }
}

struct Parser<'a> {
    letters: Peekable<Chars<'a>>,
    groups: usize,
}

/// What a backslash and what follows it stand for.
enum Escape {
    Char(char),
    Property(Property, bool),
}

impl Parser<'_> {
    fn eat(&mut self, wanted: char) -> bool {
        self.letters.next_if_eq(&wanted).is_some()
    }

    /// Takes a text that comes next, or nothing.
    fn eat_all(&mut self, wanted: &str) -> bool {
        let mut ahead = self.letters.clone();
        let found = wanted.chars().all(|c| ahead.next() == Some(c));
        if found {
            self.letters = ahead;
        }
        found
    }

    fn alternatives(&mut self) -> Parsed<Tree> {
        let mut all = Vec::new();
        loop {
            all.push(self.sequence()?);
            if !self.eat('|') {
                break;
            }
        }
        Ok(if all.len() > 1 { Tree::Any(all) } else { all.pop().unwrap_or(Tree::Empty) })
    }

    fn sequence(&mut self) -> Parsed<Tree> {
        let mut all = Vec::new();
        while let Some(&letter) = self.letters.peek() {
            if matches!(letter, '|' | ')') {
                break;
            }
            let term = self.term()?;
            all.push(self.repeated(term)?);
        }
        Ok(Tree::All(all))
    }

    fn term(&mut self) -> Parsed<Tree> {
        if self.counts().is_some() {
            return Err("has counts with nothing to repeat".into());
        }
        let Some(letter) = self.letters.next() else { return Ok(Tree::Empty) };
        Ok(match letter {
            '^' => Tree::Assert(Assertion::Start),
            '$' => Tree::Assert(Assertion::End),
            '.' => Tree::Class(Class::dot()),
            '(' => self.group()?,
            '[' => Tree::Class(self.class()?),
            '*' | '+' | '?' => return Err(format!("has a `{letter}` with nothing to repeat")),
            '\\' if self.eat('b') => Tree::Assert(Assertion::Boundary),
            '\\' if self.eat('B') => Tree::Assert(Assertion::NoBoundary),
            '\\' => match self.escape()? {
                Escape::Char(c) => Tree::Char(c),
                Escape::Property(property, not) => {
                    Tree::Class(Class::new(Vec::from([Item::Property(property, not)]), false))
                }
            },
            _ => Tree::Char(letter),
        })
    }

    fn group(&mut self) -> Parsed<Tree> {
        self.groups = self.groups.wrapping_add(1);
        if self.groups > GROUPS_MAX {
            return Err(format!("has more than {GROUPS_MAX} groups inside each other"));
        }
        if self.eat('?') {
            self.group_kind()?;
        }
        let tree = self.alternatives()?;
        if !self.eat(')') {
            return Err("has a `(` without its `)`".into());
        }
        self.groups = self.groups.wrapping_sub(1);
        Ok(tree)
    }

    fn group_kind(&mut self) -> Parsed<()> {
        for look in ["=", "!", "<=", "<!"] {
            if self.eat_all(look) {
                return Err(format!("uses `(?{look}`: look-around is not supported"));
            }
        }
        if self.eat(':') {
            return Ok(());
        }
        if self.eat('<') {
            let mut length = 0_usize;
            for c in self.letters.by_ref() {
                match c {
                    '>' if length > 0 => return Ok(()),
                    'a'..='z' | 'A'..='Z' | '_' | '$' => length = length.wrapping_add(1),
                    '0'..='9' if length > 0 => length = length.wrapping_add(1),
                    _ => break,
                }
            }
            return Err("has a group whose name is none".into());
        }
        Err("has a group of an unknown kind behind `(?`".into())
    }

    /// Takes the quantifier behind a term.
    fn repeated(&mut self, term: Tree) -> Parsed<Tree> {
        let (least, most) = match self.letters.peek() {
            Some('*') => (0, None),
            Some('+') => (1, None),
            Some('?') => (0, Some(1)),
            Some('{') => match self.counts() {
                Some(counts) => return self.quantified(term, counts),
                None => return Ok(term),
            },
            _ => return Ok(term),
        };
        self.letters.next();
        self.quantified(term, (least, most))
    }

    fn quantified(&mut self, term: Tree, (least, most): (u32, Option<u32>)) -> Parsed<Tree> {
        if matches!(term, Tree::Assert(_)) {
            return Err("repeats what takes no character".into());
        }
        if most.is_some_and(|most| most < least) {
            return Err(format!("has counts out of order: {least} to {}", most.unwrap_or(0)));
        }
        // Which match is preferred does not matter here.
        self.eat('?');
        if matches!(self.letters.peek(), Some('*' | '+' | '?')) || self.counts().is_some() {
            return Err("repeats a repetition".into());
        }
        Ok(Tree::Repeat(Box::new(term), least, most))
    }

    /// Takes `{2}`, `{2,}` or `{2,3}`; any other `{` stands for itself.
    fn counts(&mut self) -> Option<(u32, Option<u32>)> {
        let before = self.letters.clone();
        if self.eat('{') {
            let least = self.count();
            let most = if self.eat(',') { self.count() } else { least };
            if let (Some(least), true) = (least, self.eat('}')) {
                return Some((least, most));
            }
        }
        self.letters = before;
        None
    }

    fn count(&mut self) -> Option<u32> {
        let mut found = None;
        while let Some(digit) = self.letters.peek().and_then(|c| c.to_digit(10)) {
            self.letters.next();
            found = Some(found.unwrap_or(0_u32).saturating_mul(10).saturating_add(digit));
        }
        found
    }

    fn class(&mut self) -> Parsed<Class> {
        let negated = self.eat('^');
        let mut items = Vec::new();
        loop {
            let Some(letter) = self.letters.next() else {
                return Err("has a `[` without its `]`".into());
            };
            if letter == ']' {
                return Ok(Class::new(items, negated));
            }
            let from = match self.class_atom(letter)? {
                Escape::Char(c) => c,
                Escape::Property(property, not) => {
                    items.push(Item::Property(property, not));
                    continue;
                }
            };
            let mut ahead = self.letters.clone();
            let (dash, end) = (ahead.next(), ahead.next());
            let Some(end) = end.filter(|end| dash == Some('-') && *end != ']') else {
                items.push(Item::Range(from, from));
                continue;
            };
            self.letters = ahead;
            match self.class_atom(end)? {
                Escape::Char(to) if from <= to => items.push(Item::Range(from, to)),
                Escape::Char(to) => return Err(format!("has a range out of order: {from}-{to}")),
                Escape::Property(..) => return Err("has a range that ends in a class".into()),
            }
        }
    }

    fn class_atom(&mut self, letter: char) -> Parsed<Escape> {
        match letter {
            '\\' if self.eat('b') => Ok(Escape::Char('\u{8}')),
            '\\' => self.escape(),
            _ => Ok(Escape::Char(letter)),
        }
    }

    fn escape(&mut self) -> Parsed<Escape> {
        let Some(letter) = self.letters.next() else {
            return Err("ends in a backslash".into());
        };
        Ok(Escape::Char(match letter {
            'd' | 'D' => return Ok(Escape::Property(Property::Digit, letter == 'D')),
            'w' | 'W' => return Ok(Escape::Property(Property::Word, letter == 'W')),
            's' | 'S' => return Ok(Escape::Property(Property::Space, letter == 'S')),
            'p' | 'P' => return Ok(Escape::Property(self.property()?, letter == 'P')),
            't' => '\t',
            'n' => '\n',
            'v' => '\u{b}',
            'f' => '\u{c}',
            'r' => '\r',
            'c' => self.control()?,
            'x' => self.hex(2).and_then(char::from_u32).ok_or("has `\\x` without two digits")?,
            'u' => self.unicode().ok_or("has `\\u` without the number of a character")?,
            '0' if !self.letters.peek().is_some_and(char::is_ascii_digit) => '\0',
            '0'..='9' => return Err(format!("uses `\\{letter}`: {NO_BACK_REFERENCES}")),
            'k' => return Err(format!("uses `\\k`: {NO_BACK_REFERENCES}")),
            'a'..='z' | 'A'..='Z' => return Err(format!("has an unknown escape: `\\{letter}`")),
            _ => letter,
        }))
    }

    fn control(&mut self) -> Parsed<char> {
        match self.letters.next() {
            Some(letter) if letter.is_ascii_alphabetic() => {
                Ok(char::from_u32(u32::from(letter) & 31).unwrap_or_default())
            }
            _ => Err("has `\\c` without a letter".into()),
        }
    }

    fn hex(&mut self, count: usize) -> Option<u32> {
        let mut code = 0;
        for _ in 0..count {
            code = code << 4 | self.letters.next()?.to_digit(16)?;
        }
        Some(code)
    }

    fn unicode(&mut self) -> Option<char> {
        if self.eat('{') {
            let mut code = self.letters.next()?.to_digit(16)?;
            while !self.eat('}') {
                code = code.checked_mul(16)? | self.letters.next()?.to_digit(16)?;
            }
            return char::from_u32(code);
        }
        let first = self.hex(4)?;
        if !(0xd800..0xdc00).contains(&first) || !self.eat_all("\\u") {
            return char::from_u32(first);
        }
        // Two halves of one character.
        let second = self.hex(4).filter(|second| (0xdc00..0xe000).contains(second))?;
        char::from_u32(((first & 0x3ff) << 10 | second & 0x3ff).wrapping_add(0x1_0000))
    }

    fn property(&mut self) -> Parsed<Property> {
        let mut name = String::new();
        if self.eat('{') {
            while let Some(c) = self.letters.next_if(|c| *c != '}').filter(|_| name.len() < 40) {
                name.push(c);
            }
            if !self.eat('}') {
                name.clear();
            }
        }
        Property::named(&name).ok_or_else(|| format!("uses `\\p{{{name}}}`, but {PROPERTIES}"))
    }
}

const NO_BACK_REFERENCES: &str = "back-references are not supported";
const PROPERTIES: &str = "of Unicode's properties only Alphabetic, Number, White_Space and Any are \
                          supported";
