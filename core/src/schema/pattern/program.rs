//! Instructions of an automaton, made of a pattern's tree.
//!
//! Owns how repetition is unrolled and how large that may get.

use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;

use super::Assertion;
use super::class::Class;

/// A pattern, taken apart.
#[derive(Debug)]
pub(super) enum Tree {
    Empty,
    Char(char),
    Class(Class),
    Assert(Assertion),
    All(Vec<Tree>),
    Any(Vec<Tree>),
    /// At least, at most.
    Repeat(alloc::boxed::Box<Tree>, u32, Option<u32>),
}

/// One instruction; behind those that take or check something the next one follows.
#[derive(Clone, Copy, Debug)]
pub(super) enum Inst {
    Char(char),
    /// Its index in [`Program::classes`].
    Class(u32),
    Assert(Assertion),
    Jump(u32),
    Split(u32, u32),
    Match,
}

#[derive(Debug)]
pub(super) struct Program {
    pub(super) insts: Vec<Inst>,
    pub(super) classes: Vec<Class>,
    /// Whether it can only be found at the start of a text.
    pub(super) anchored: bool,
    /// What was paid for it: instructions, and what else has to be kept or gone through.
    pub(super) size: usize,
}

impl Program {
    pub(super) fn new(tree: &Tree, size_max: usize) -> Result<Self, String> {
        let (insts, classes) = (Vec::new(), Vec::new());
        let program = Self { insts, classes, anchored: anchored(tree), size: 0 };
        let mut builder = Builder { program, left: size_max, size_max };
        builder.add(tree)?;
        builder.push(Inst::Match)?;
        builder.program.size = size_max.saturating_sub(builder.left);
        Ok(builder.program)
    }
}

/// Whether each way through a tree begins with `^`.
fn anchored(tree: &Tree) -> bool {
    match tree {
        Tree::Assert(what) => *what == Assertion::Start,
        Tree::All(trees) => trees.first().is_some_and(anchored),
        Tree::Any(trees) => trees.iter().all(anchored),
        Tree::Repeat(tree, least, _) => *least > 0 && anchored(tree),
        Tree::Empty | Tree::Char(_) | Tree::Class(_) => false,
    }
}

struct Builder {
    program: Program,
    /// What may still be added, counted in trees and instructions: what adds nothing costs too.
    left: usize,
    size_max: usize,
}

impl Builder {
    fn here(&self) -> u32 {
        u32::try_from(self.program.insts.len()).unwrap_or(u32::MAX)
    }

    fn pay(&mut self, cost: usize) -> Result<(), String> {
        let left = self.left.checked_sub(cost);
        self.left = left.ok_or_else(|| {
            format!("makes the patterns larger than {} instructions in all", self.size_max)
        })?;
        Ok(())
    }

    fn push(&mut self, inst: Inst) -> Result<u32, String> {
        self.pay(1)?;
        let at = self.here();
        self.program.insts.push(inst);
        Ok(at)
    }

    fn set(&mut self, at: u32, inst: Inst) {
        if let Some(found) = self.program.insts.get_mut(at as usize) {
            *found = inst;
        }
    }

    fn class(&mut self, class: &Class) -> Result<u32, String> {
        self.pay(class.len())?;
        let index = u32::try_from(self.program.classes.len()).unwrap_or(u32::MAX);
        self.program.classes.push(class.clone());
        Ok(index)
    }

    fn add(&mut self, tree: &Tree) -> Result<(), String> {
        self.pay(1)?;
        match tree {
            Tree::Empty => {}
            Tree::Char(c) => drop(self.push(Inst::Char(*c))?),
            Tree::Assert(what) => drop(self.push(Inst::Assert(*what))?),
            Tree::Class(class) => {
                let index = self.class(class)?;
                self.push(Inst::Class(index))?;
            }
            Tree::All(trees) => {
                for tree in trees {
                    self.add(tree)?;
                }
            }
            Tree::Any(trees) => self.any(trees)?,
            Tree::Repeat(tree, least, most) => self.repeat(tree, *least, *most)?,
        }
        Ok(())
    }

    fn any(&mut self, trees: &[Tree]) -> Result<(), String> {
        let mut ends = Vec::new();
        let mut left = trees.iter().peekable();
        while let Some(tree) = left.next() {
            if left.peek().is_none() {
                self.add(tree)?;
                break;
            }
            let split = self.push(Inst::Match)?;
            self.add(tree)?;
            ends.push(self.push(Inst::Match)?);
            self.set(split, Inst::Split(split.wrapping_add(1), self.here()));
        }
        let here = self.here();
        ends.into_iter().for_each(|end| self.set(end, Inst::Jump(here)));
        Ok(())
    }

    fn repeat(&mut self, tree: &Tree, least: u32, most: Option<u32>) -> Result<(), String> {
        for _ in 0..least {
            self.add(tree)?;
        }
        let Some(most) = most else {
            let split = self.push(Inst::Match)?;
            self.add(tree)?;
            self.push(Inst::Jump(split))?;
            self.set(split, Inst::Split(split.wrapping_add(1), self.here()));
            return Ok(());
        };
        let mut splits = Vec::new();
        for _ in least..most {
            splits.push(self.push(Inst::Match)?);
            self.add(tree)?;
        }
        let here = self.here();
        for split in splits {
            self.set(split, Inst::Split(split.wrapping_add(1), here));
        }
        Ok(())
    }
}
