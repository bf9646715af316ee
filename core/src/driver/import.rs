//! Imports: a log of elsewhere taken in, in parts, each part in steps, so that other requests come
//! in between. All or nothing: it is a log when its genesis row is stored, and that is stored last.
//!
//! Owns the order of a part: what lies beyond its beginning is deleted, what lies before it is
//! folded, its lines are taken in (`lines`), and the last part folds the rest and ends it; one step
//! of each is in `phases`. Refuses to know how its bytes come to the host.
//!
//! Invariants. What the stored progress does not cover counts for nothing: a part counts when it
//! has ended, so one that was killed or refused leaves nothing that is seen. Only one part is under
//! way; a newer one takes its place. The owner is nobody before there is a log, so that it is held
//! (law 7), wherever it came from.

mod lines;
mod phases;

use alloc::format;
use alloc::vec::Vec;

use lines::ending_at;
pub use lines::{Lines, Refused};

use super::pages::Pages;
use super::partition::{Failure, Live};
use super::{Partition, Progress, Reply, Spawn, Store, StoreError, World};
use crate::chain::{self, Chain, NO_HASH};
use crate::errors::{Code, Problem};
use crate::http::not_empty;
use crate::limits::INTEGER_MAX;
use crate::protocol::{Answer, ImportPart, Quarantine, Query};

/// What a host hands over next of a part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Feed {
    /// Nothing: go on with what there is to do.
    Nothing,
    /// The next bytes of the body, about 1 MB of them.
    Bytes(Vec<u8>),
    /// The body has ended.
    End,
    /// The body broke off.
    CutOff,
}

/// What a part waits for next.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Step {
    /// For its next turn, with [`Feed::Nothing`].
    Turn,
    /// For the body.
    Body,
    /// For nothing more: this is the answer. What is left of the body is of no use.
    Done(Reply),
}

/// What a partition knows of its import.
#[derive(Debug)]
pub(super) struct Imports<G> {
    /// As it is stored; nothing when no import is unfinished.
    pub unfinished: Option<Progress>,
    part: Option<Part<G>>,
}

impl<G> Default for Imports<G> {
    fn default() -> Self {
        Self { unfinished: None, part: None }
    }
}

impl<G> Imports<G> {
    /// Whether there is no log because an import is not complete.
    pub const fn under_way(&self) -> bool {
        self.unfinished.is_some() || self.part.is_some()
    }
}

/// A part that is being taken in.
#[derive(Debug)]
struct Part<G> {
    /// Who feeds it names it so.
    token: u64,
    complete: bool,
    /// Where it begins.
    start: Progress,
    lines: Lines,
    phase: Phase<G>,
    /// Projections that trapped while this log was folded.
    quarantined: Vec<Quarantine>,
    /// How often folding it began.
    folds: u32,
    touched_micros: u64,
}

#[derive(Debug)]
enum Phase<G> {
    /// Deletes what lies beyond its beginning.
    Discard,
    /// Folds what lies before it: the part before came whole, and is not discarded any more.
    CatchUp(Option<Folding<G>>),
    /// Takes the body in.
    Body,
    /// Folds the whole log, after the last part.
    Complete(Option<Folding<G>>),
    /// Deletes what it stored, or all of the import, and answers.
    Undo { all: bool, reply: Reply },
}

#[derive(Debug)]
struct Folding<G> {
    live: Live<G>,
    pages: Pages,
}

/// How a phase ended: with the next one, or with the part.
enum Next<G> {
    Phase(Phase<G>),
    Done(Reply),
}

/// A part that nobody feeds any more makes room after this time.
const FORGOTTEN_MICROS: u64 = 120_000_000;

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Begins a part, in the place of one that is under way. Returns the number that the host
    /// feeds it by.
    pub(super) fn begin_import(&mut self, asked: ImportPart) -> Result<u64, Problem> {
        if let Some(head) = self.head().filter(|head| head.genesis != NO_HASH) {
            return Err(not_empty(head.position));
        }
        let start = match asked.after {
            None => Progress::default(),
            Some(position) => self.progress_at(position)?,
        };
        let token = self.draw() & INTEGER_MAX;
        let touched_micros = self.world.micros();
        self.imports.part = Some(Part {
            token,
            complete: asked.complete,
            lines: Lines::after(start.clone()),
            start,
            phase: Phase::Discard,
            quarantined: Vec::new(),
            folds: 0,
            touched_micros,
        });
        Ok(token)
    }

    /// Where a part begins that continues behind this position.
    fn progress_at(&mut self, position: u64) -> Result<Progress, Problem> {
        let Some((done, stands_at)) =
            self.imports.unfinished.as_ref().and_then(|p| Some((p.clone(), p.chain.position?)))
        else {
            let detail = "nothing of an import is here to continue; begin one without `after`";
            return Err(Problem::new(Code::InProgress, detail).text("field", "after"));
        };
        let misfit = || {
            let detail = format!(
                "no commit ends at position {position}; the import stands at position {stands_at}"
            );
            let problem = Problem::new(Code::InProgress, detail).text("field", "after");
            problem.number("position", stands_at)
        };
        let chain = match position {
            0 => chain::stored_hash(&done.genesis).map(|hash| Chain { hash, position: Some(0) }),
            _ if position > stands_at => None,
            _ => {
                let query = Query::Commits { positions: alloc::vec![position] };
                match self.store.read(&[query]).map(|mut answers| answers.pop()) {
                    Ok(Some(Answer::Commits(lines))) => {
                        lines.first().and_then(|line| ending_at(line, position))
                    }
                    Ok(_) | Err(StoreError::CorruptLog { .. }) => None,
                    Err(error) => {
                        self.report(&error.into());
                        let detail = "what was stored can not be read now; nothing was done";
                        return Err(Problem::new(Code::Restarting, detail));
                    }
                }
            }
        };
        chain.map(|chain| Progress { chain, ..done }).ok_or_else(misfit)
    }

    /// Goes on with a part. What went wrong beside the part itself is told by
    /// [`Self::take_failures`].
    pub fn import(&mut self, token: u64, feed: Feed) -> Step {
        let Some(mut part) = self.imports.part.take_if(|part| part.token == token) else {
            return Step::Done(match self.imports.part {
                Some(_) => Reply::problem(Code::InProgress, "another part was begun meanwhile"),
                None => Reply::problem(
                    Code::Restarting,
                    "the partition was restarted; nothing of the part counts, send it again",
                ),
            });
        };
        part.touched_micros = self.world.micros();
        let phase = core::mem::replace(&mut part.phase, Phase::Discard);
        let counts = matches!((&phase, &feed), (Phase::Body, Feed::End) | (Phase::Complete(_), _));
        let next = match (phase, feed) {
            (Phase::Body, Feed::Nothing) => Ok(Next::Phase(Phase::Body)),
            (Phase::Body, Feed::Bytes(bytes)) => self.take(&mut part, &bytes),
            (Phase::Body, Feed::End) => self.end(&mut part),
            (Phase::Discard, Feed::Nothing) => self.discard(&part),
            (Phase::CatchUp(folding), Feed::Nothing) => self.catch_up(&mut part, folding),
            (Phase::Complete(folding), Feed::Nothing) => self.complete(&mut part, folding),
            (Phase::Undo { all, reply }, Feed::Nothing) => self.undo(&part, all, reply),
            (_, Feed::CutOff) => Ok(phases::refused(&part.lines.cut_off().problem())),
            (_, Feed::Bytes(_) | Feed::End) => {
                let detail = "the host handed the body over before it was asked for";
                Ok(Next::Done(Reply::problem(Code::Internal, detail)))
            }
        };
        match next {
            Ok(Next::Done(reply)) => return Step::Done(reply),
            Ok(Next::Phase(phase)) => part.phase = phase,
            Err(failure) => match self.import_failed(failure, counts) {
                Next::Phase(phase) => part.phase = phase,
                Next::Done(reply) => return Step::Done(reply),
            },
        }
        let step = if matches!(part.phase, Phase::Body) { Step::Body } else { Step::Turn };
        self.imports.part = Some(part);
        step
    }

    /// Forgets a part whose feeder is gone without a word: what it stored counts for nothing.
    pub(super) fn forget_import(&mut self) {
        let now = self.world.micros();
        let forgotten =
            |part: &mut Part<_>| now.saturating_sub(part.touched_micros) > FORGOTTEN_MICROS;
        self.imports.part.take_if(forgotten);
    }

    /// What becomes of a part when the store or the guest failed.
    fn import_failed(&mut self, failure: Failure, counts: bool) -> Next<S::Guest> {
        self.report(&failure);
        let all = |code, detail: &str| {
            let detail = format!("{detail}; nothing of the import is left");
            Next::Phase(Phase::Undo { all: true, reply: Reply::problem(code, &detail) })
        };
        match &failure {
            Failure::Refused(why) => {
                // Without what the protocol calls it.
                let why = why.split_once("): ").map_or(why.as_str(), |(_, why)| why);
                all(Code::InvalidField, &format!("the guest does not fold this log: {why}"))
            }
            Failure::Trap(_) => {
                all(Code::InvalidField, "the guest does not fold this log: it failed doing so")
            }
            Failure::Store(StoreError::CorruptLog { .. } | StoreError::CorruptRow { .. }) => {
                all(Code::InProgress, "what was stored of it is damaged; begin anew")
            }
            Failure::Store(StoreError::Full) => {
                self.in_trouble(&failure);
                let detail = "the store is full; nothing of the part was stored";
                let reply = Reply::problem(Code::StorageFull, detail);
                Next::Phase(Phase::Undo { all: false, reply })
            }
            Failure::Store(_) => {
                // What is stored decides: the next request reads it.
                self.drop_live();
                self.in_trouble(&failure);
                Next::Done(match counts {
                    true => Reply::problem(
                        Code::UnknownOutcome,
                        "the part was handed to the store, which did not answer; send it again",
                    ),
                    false => Reply::problem(
                        Code::Restarting,
                        "the store failed; nothing of the part counts, send it again",
                    ),
                })
            }
        }
    }
}
