//! Deciding stored commits again, many per call.
//!
//! Owns the job between its calls and what is told of it. Refuses to know what a commit records of
//! its input, and how results are compared.
//!
//! Invariant: after each commit the rows are the fold of the log as it is recorded. Where the
//! decision came out the same, its own rows are taken in: they are those.

use alloc::boxed::Box;
use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::answered::{Answered, encode, refuse};
use super::{Opened, UnderWay};
use crate::commit::Commit;
use crate::engine::again::{self, Again, Compared};
use crate::engine::{Doing, FoldStop, Missing, Proposal, Supplied, doing, done};
use crate::http::decide_publication;
use crate::protocol::{Decide, DecideStep, Origin, Query, RefusalReason, Report, Verdict};

#[derive(Debug)]
pub(super) struct Deciding {
    blocks: Vec<String>,
    skip: Vec<u64>,
    block: usize,
    /// Where the next line starts in the current block.
    offset: usize,
    report: Report,
    pub supplied: Supplied,
    pub asked: Vec<Query>,
}

/// What one commit came to.
enum Came {
    /// To what is recorded; its rows are ready.
    Same(Origin, Box<Proposal>),
    /// The same, but for versions.
    Lifted(Origin),
    /// To something else.
    Other(Verdict),
    /// It was not to be decided.
    Skipped,
}

impl Opened {
    pub(super) fn decide(&mut self, decide: &Decide<'_>) -> Answered {
        if self.holds() || !matches!(self.under_way, UnderWay::Nothing) {
            return refuse(RefusalReason::OutOfOrder, "something else is under way");
        }
        self.engine.evict();
        // What is staged from here on is never stored.
        self.stored_head = 0;
        self.continue_decide(Deciding {
            blocks: decide.blocks.iter().map(ToString::to_string).collect(),
            skip: decide.skip.clone(),
            block: 0,
            offset: 0,
            report: Report::default(),
            supplied: Supplied::default(),
            asked: Vec::new(),
        })
    }

    pub(super) fn continue_decide(&mut self, mut deciding: Deciding) -> Answered {
        while let Some(block) = deciding.blocks.get(deciding.block) {
            let rest = block.get(deciding.offset..).unwrap_or_default();
            if rest.is_empty() {
                deciding.block = deciding.block.saturating_add(1);
                deciding.offset = 0;
                continue;
            }
            if self.engine.checkpoint_due() {
                let report = self.told(&mut deciding);
                self.under_way = UnderWay::Decide(deciding);
                return encode(&DecideStep::CheckpointDue(report));
            }
            // No line holds a line feed; all but the last end in a comma.
            let (line, skip) = match rest.find('\n') {
                Some(end) => {
                    (rest.get(..end.saturating_sub(1)).unwrap_or_default(), end.saturating_add(1))
                }
                None => (rest, rest.len()),
            };
            match self.decide_line(line, &deciding.skip, &deciding.supplied, &mut deciding.report) {
                Ok(()) => {
                    deciding.offset = deciding.offset.saturating_add(skip);
                    // Ranges were supplied as of before this commit.
                    deciding.supplied.forget();
                }
                Err(FoldStop::Corrupt(detail)) => return refuse(RefusalReason::Corrupt, detail),
                Err(FoldStop::Need(queries)) => {
                    deciding.asked.clone_from(&queries);
                    self.under_way = UnderWay::Decide(deciding);
                    return encode(&DecideStep::Need(queries));
                }
            }
        }
        let report = self.told(&mut deciding);
        // The next page's commits find these in the store.
        self.engine.let_go();
        encode(&DecideStep::Done { report, checkpoint_due: self.engine.checkpoint_due() })
    }

    fn told(&self, deciding: &mut Deciding) -> Report {
        let position = self.engine.head().position;
        Report { position, ..core::mem::take(&mut deciding.report) }
    }

    fn decide_line(
        &mut self,
        line: &str,
        skip: &[u64],
        supplied: &Supplied,
        report: &mut Report,
    ) -> Result<(), FoldStop> {
        let commit = Commit::parse(line)
            .map_err(|e| FoldStop::Corrupt(alloc::format!("not a readable commit: {e}")))?;
        self.engine.under(&commit);
        let came = if skip.contains(&commit.position) {
            Came::Skipped
        } else {
            let before = doing(Doing::Again(commit.position));
            let came = self.came(&commit, line, supplied);
            done(before);
            came?
        };
        let count = |report: &mut Report, origin: Origin| {
            if let Some(count) = report.same.get_mut(origin as usize) {
                *count = count.saturating_add(1);
            }
        };
        match came {
            Came::Same(origin, proposal) => {
                self.engine.take_equal(*proposal);
                count(report, origin);
            }
            other => {
                self.engine.fold(line, supplied)?;
                match other {
                    Came::Lifted(origin) => {
                        count(report, origin);
                        report.lifted = report.lifted.saturating_add(1);
                    }
                    Came::Other(verdict) => report.others.push((commit.position, verdict)),
                    Came::Same(..) | Came::Skipped => {}
                }
            }
        }
        again::upcasted(&self.engine, &commit, &mut report.upcasts);
        self.engine.keep_at_hand(&commit, line);
        Ok(())
    }

    fn came(&self, commit: &Commit<'_>, line: &str, supplied: &Supplied) -> Result<Came, FoldStop> {
        let origin = match again::origin(&self.engine, commit) {
            Ok(origin) => origin,
            Err(why) => return Ok(Came::Other(Verdict::Undecidable(why))),
        };
        let stamp = again::stamp(commit);
        let decided = match origin {
            Origin::Publication => {
                let metadata = again::metadata(commit);
                let access = self.engine.access(supplied);
                decide_publication(&self.engine, access, commit, (&metadata, &stamp))
                    .map(Again::from)
            }
            _ => self.engine.decide_again(supplied, commit, (origin, &stamp)),
        };
        Ok(match decided {
            Err(Missing { refold: Some(wanted), .. }) => {
                let detail = alloc::format!("the state of stream {} is not folded", wanted.id);
                return Err(FoldStop::Corrupt(detail));
            }
            Err(Missing { queries, .. }) => return Err(FoldStop::Need(queries)),
            Ok(Again::Nothing) => Came::Other(Verdict::Nothing),
            Ok(Again::Refused(problem)) => Came::Other(Verdict::Refused {
                code: problem.code.name().to_string(),
                detail: problem.detail,
            }),
            Ok(Again::Proposed(proposal)) => {
                match again::compare(&self.engine, (commit, line), proposal.line()) {
                    Compared::Same => Came::Same(origin, proposal),
                    Compared::Lifted => Came::Lifted(origin),
                    Compared::Differs => Came::Other(Verdict::Differs(proposal.line().into())),
                }
            }
        })
    }
}
