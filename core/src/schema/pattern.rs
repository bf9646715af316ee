//! Regular expressions of ECMA-262, matched in linear time.
//!
//! Owns the matching. `parse` reads the syntax, `program` makes instructions of it. Refuses what
//! no automaton can do: look-around and back-references.
//!
//! Invariants: a match takes at most one step per instruction and character, each step is paid
//! for from the caller's budget, and no more memory than the program has.
//!
//! Why not a crate, measured in bytes that a guest grows by, gzipped: regex-automata 97,000, and
//! regex-lite 38,000, which needs std and its mutex besides. Both read another dialect, where
//! `\d` or `$` mean something else, and neither tells how much work a match was.

mod class;
mod parse;
mod program;
#[cfg(test)]
mod tests;

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use self::class::is_word;
use self::program::{Inst, Program};

/// A compiled pattern.
#[derive(Debug)]
pub(super) struct Pattern {
    /// As it was written.
    pub(super) source: Box<str>,
    program: Program,
}

/// The characters around a place in the text.
#[derive(Clone, Copy)]
struct Around {
    before: Option<char>,
    after: Option<char>,
}

/// Visits of instructions that cost as much as one step of a schema.
const VISITS_PER_STEP: u64 = 4;

/// What a match works with; the next one uses it again, whatever its pattern.
#[derive(Debug, Default)]
pub(super) struct Scratch {
    /// States that wait for a character. One is in it at most once, because its mark is the
    /// round's.
    states: Vec<u32>,
    next: Vec<u32>,
    stack: Vec<u32>,
    marks: Vec<u32>,
    round: u32,
    /// Instructions looked at since the match began.
    visits: u64,
}

impl Pattern {
    /// Compiles a pattern of at most `size_max` instructions, or says why not.
    pub(super) fn new(source: &str, size_max: usize) -> Result<Self, String> {
        let tree = parse::parse(source)?;
        let program = Program::new(&tree, size_max)?;
        Ok(Self { source: Box::from(source), program })
    }

    /// How many instructions it has.
    pub(super) fn size(&self) -> usize {
        self.program.size
    }

    /// Whether the pattern is found anywhere in the text. Takes what it costs from `budget`;
    /// `None` when that is not enough.
    pub(super) fn is_match(
        &self,
        text: &str,
        scratch: &mut Scratch,
        budget: &mut u64,
    ) -> Option<bool> {
        let most = budget.saturating_mul(VISITS_PER_STEP);
        scratch.begin(self.program.insts.len());
        let found = self.run(text, scratch, most);
        let steps = scratch.visits.checked_div(VISITS_PER_STEP).unwrap_or(0).saturating_add(1);
        *budget = budget.checked_sub(steps)?;
        found
    }

    fn run(&self, text: &str, scratch: &mut Scratch, most: u64) -> Option<bool> {
        let Program { insts, classes, anchored, .. } = &self.program;
        let mut around = Around { before: None, after: None };
        let mut letters = text.chars();
        loop {
            around.after = letters.next();
            if scratch.visits > most {
                return None;
            }
            // Where the last character led to, and a new attempt from here.
            let begins = around.before.is_none() || !anchored;
            if scratch.advance(insts, begins, around)? {
                return Some(true);
            }
            let Some(letter) = around.after else { return Some(false) };
            if scratch.states.is_empty() && *anchored {
                return Some(false);
            }
            for state in &scratch.states {
                let passes = match insts.get(*state as usize) {
                    Some(Inst::Char(wanted)) => *wanted == letter,
                    Some(Inst::Class(class)) => {
                        classes.get(*class as usize).is_some_and(|class| class.has(letter))
                    }
                    _ => false,
                };
                if passes {
                    scratch.next.push(state.wrapping_add(1));
                }
            }
            around.before = Some(letter);
        }
    }
}

impl Scratch {
    fn begin(&mut self, size: usize) {
        if self.marks.len() < size {
            self.marks.resize(size, 0);
        }
        self.next.clear();
        self.visits = 0;
    }

    /// Adds what is reached without taking a character; whether the pattern's end is. `None`
    /// after four billion characters.
    fn advance(&mut self, insts: &[Inst], begins: bool, around: Around) -> Option<bool> {
        self.round = self.round.checked_add(1)?;
        self.states.clear();
        self.visits = self.visits.wrapping_add(1);
        self.stack.clear();
        if begins {
            self.stack.push(0);
        }
        self.stack.append(&mut self.next);
        while let Some(state) = self.stack.pop() {
            let Some(mark) = self.marks.get_mut(state as usize) else { continue };
            if core::mem::replace(mark, self.round) == self.round {
                continue;
            }
            self.visits = self.visits.wrapping_add(1);
            match insts.get(state as usize) {
                None => {}
                Some(Inst::Match) => return Some(true),
                Some(Inst::Jump(to)) => self.stack.push(*to),
                Some(Inst::Split(one, other)) => self.stack.extend([*one, *other]),
                Some(Inst::Assert(what)) if what.holds(around) => {
                    self.stack.push(state.wrapping_add(1));
                }
                Some(Inst::Assert(_)) => {}
                Some(Inst::Char(_) | Inst::Class(_)) => self.states.push(state),
            }
        }
        Some(false)
    }
}

/// What must hold between two characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Assertion {
    Start,
    End,
    Boundary,
    NoBoundary,
}

impl Assertion {
    fn holds(self, around: Around) -> bool {
        let boundary = || around.before.is_some_and(is_word) != around.after.is_some_and(is_word);
        match self {
            Self::Start => around.before.is_none(),
            Self::End => around.after.is_none(),
            Self::Boundary => boundary(),
            Self::NoBoundary => !boundary(),
        }
    }
}
