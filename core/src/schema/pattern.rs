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

/// States to go on from. A state is in it at most once, because its mark is the round's.
struct Threads {
    states: Vec<u32>,
    marks: Vec<u32>,
    stack: Vec<u32>,
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
        self.program.insts.len()
    }

    /// Whether the pattern is found anywhere in the text. Takes what it costs from `budget`;
    /// `None` when that is not enough.
    pub(super) fn is_match(&self, text: &str, budget: &mut u64) -> Option<bool> {
        let insts = &self.program.insts;
        let mut now = Threads::new(insts.len());
        let mut next = Vec::new();
        let mut around = Around { before: None, after: None };
        let mut letters = text.chars();
        let mut round = 0_u32;
        loop {
            around.after = letters.next();
            round = round.checked_add(1)?;
            now.states.clear();
            // Where the last character led to, and a new attempt from here.
            let begin = (around.before.is_none() || !self.program.anchored).then_some(0);
            for state in next.drain(..).chain(begin) {
                if now.follow(insts, state, round, around) {
                    return Some(true);
                }
            }
            // Sixteen steps of an automaton are about one of a schema.
            let cost = (now.states.len() as u64).wrapping_add(8) >> 4;
            *budget = budget.checked_sub(cost)?;
            let Some(letter) = around.after else { return Some(false) };
            if now.states.is_empty() && self.program.anchored {
                return Some(false);
            }
            for state in &now.states {
                let passes = match insts.get(*state as usize) {
                    Some(Inst::Char(wanted)) => *wanted == letter,
                    Some(Inst::Class(class)) => {
                        self.program.classes.get(*class as usize).is_some_and(|c| c.has(letter))
                    }
                    _ => false,
                };
                if passes {
                    next.push(state.wrapping_add(1));
                }
            }
            around.before = Some(letter);
        }
    }
}

impl Threads {
    fn new(size: usize) -> Self {
        Self { states: Vec::new(), marks: alloc::vec![0; size], stack: Vec::new() }
    }

    /// Adds what is reached from a state without taking a character; true at the end of the
    /// pattern.
    fn follow(&mut self, insts: &[Inst], state: u32, round: u32, around: Around) -> bool {
        self.stack.push(state);
        while let Some(state) = self.stack.pop() {
            let Some(mark) = self.marks.get_mut(state as usize) else { continue };
            if core::mem::replace(mark, round) == round {
                continue;
            }
            match insts.get(state as usize) {
                None => {}
                Some(Inst::Match) => {
                    self.stack.clear();
                    return true;
                }
                Some(Inst::Jump(to)) => self.stack.push(*to),
                Some(Inst::Split(one, other)) => self.stack.extend([*one, *other]),
                Some(Inst::Assert(what)) => {
                    if what.holds(around) {
                        self.stack.push(state.wrapping_add(1));
                    }
                }
                Some(Inst::Char(_) | Inst::Class(_)) => self.states.push(state),
            }
        }
        false
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
