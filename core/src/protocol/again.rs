//! The messages of deciding again: stored commits, and what this module makes of what caused them.

use alloc::string::String;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::Query;

/// Stored commits, in order and without gaps, each to be decided again and then taken in as it is
/// recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Decide<'a> {
    /// Commit lines joined by `,\n`: a block's body without its brackets.
    #[serde(borrow)]
    pub blocks: Vec<&'a str>,
    /// First positions of commits that are only taken in: deciding them trapped.
    pub skip: Vec<u64>,
}

/// How far deciding got.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum DecideStep {
    /// Reads are missing: answer them with [`Op::Supply`](super::Op::Supply).
    Need(Vec<Query>),
    /// The cache filled up half-way: take a checkpoint, then supply nothing to go on.
    CheckpointDue(Report),
    /// All commits of the message are decided and taken in.
    Done {
        /// What became of those that no report has told of yet.
        report: Report,
        /// Changed rows fill their share of the cache: take a checkpoint before the next call.
        checkpoint_due: bool,
    },
}

/// What became of commits that were decided again.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Position of the last event taken in.
    pub position: u64,
    /// How many commits came out as they are recorded, by what caused them: see [`Origin`].
    pub same: [u64; Origin::COUNT],
    /// How many of them differ only by versions that upcasters lead to.
    pub lifted: u64,
    /// The others, by first position, in order.
    pub others: Vec<(u64, Verdict)>,
    /// What upcasters made of what older modules recorded, in order.
    pub upcasts: Vec<Upcasted>,
}

/// What causes a commit.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Origin {
    /// A client's command.
    Command,
    /// A publication to topics.
    Publication,
    /// A command of the system: a process manager's, or a timer's.
    System,
    /// What an attempt at an effect came to.
    Effect,
    /// A client that wanted an effect attempted anew.
    Retry,
    /// A host that made the log its own.
    Adoption,
}

impl Origin {
    /// How many there are.
    pub const COUNT: usize = 6;
    /// All of them, in the order of their numbers.
    pub const ALL: [Self; Self::COUNT] =
        [Self::Command, Self::Publication, Self::System, Self::Effect, Self::Retry, Self::Adoption];

    /// Its name, for people and programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Command => "command",
            Self::Publication => "publication",
            Self::System => "system",
            Self::Effect => "effect",
            Self::Retry => "retry",
            Self::Adoption => "adoption",
        }
    }
}

/// What became of one commit that did not come out as it is recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Verdict {
    /// Another commit: its line, 64 zeros for its hash.
    Differs(String),
    /// It is refused.
    Refused {
        /// Name of the error code.
        code: String,
        /// Why, for people.
        detail: String,
    },
    /// It is fine and changes nothing.
    Nothing,
    /// The log does not tell what it takes.
    Undecidable(Why),
    /// The guest trapped; told by the host.
    Trapped(String),
}

/// Why a commit can not be decided again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub enum Why {
    /// Of the command's payload only a hash is recorded.
    PayloadNotRecorded,
    /// This module has no such kind of stream.
    UnknownAggregate,
    /// What is recorded is that the guest trapped, or read too much, at the time.
    Trapped,
    /// Neither a command nor a cause is recorded.
    NoInput,
}

impl Why {
    /// Its name, for programs.
    pub const fn name(self) -> &'static str {
        match self {
            Self::PayloadNotRecorded => "payload-not-recorded",
            Self::UnknownAggregate => "unknown-aggregate",
            Self::Trapped => "trapped-when-recorded",
            Self::NoInput => "no-input-recorded",
        }
    }
}

/// What upcasters made of a payload that an older module recorded.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Upcasted {
    /// Position of the event, or of the first event of the command's commit.
    pub position: u64,
    /// Type of the event, or name of the command.
    pub name: String,
    /// The version that it is brought to.
    pub to: u32,
    /// CRC-32C of the result, or why there is none.
    pub result: Result<u32, String>,
}
