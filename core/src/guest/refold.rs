//! Folding a stream again for an input under way, and taking snapshots anew that it found wrong.
//!
//! Owns the pages of such a fold. Refuses to know what is folded.

use alloc::boxed::Box;

use super::answered::{Answered, done, encode, outcome};
use super::{Opened, Staging, UnderWay};
use crate::engine::{Missing, Supplied};
use crate::errors::{Code, Problem};
use crate::http::{Answer, Handled, Route};
use crate::protocol::{Kind, StageStep, Standing};
use crate::read::Stop;

impl Opened {
    /// A read that found snapshots which are not the fold has them taken anew, in a log that is
    /// this host's.
    pub(super) fn mending(
        &self,
        handled: Result<Handled, Missing>,
        staging: &Staging,
    ) -> Result<Handled, Missing> {
        let mut handled = handled?;
        let held = staging.process.standing == Standing::Held;
        if !staging.supplied.wrong.is_empty() && handled.proposal.is_none() && !held {
            let access = self.engine.access(&staging.supplied);
            handled.proposal = Some(self.engine.propose_mended(access)?);
        }
        Ok(handled)
    }

    /// Folds a stream again for the input under way, a page at a time: what a page read is dropped
    /// with it, and counts neither as a round nor against the bytes of a stage.
    pub(super) fn continue_refold(
        &mut self,
        routes: &[Route],
        mut staging: Box<Staging>,
    ) -> Answered {
        while let Some((mut refold, supplied)) = staging.refold.take() {
            let mut access = self.engine.access(&supplied);
            let step = refold.step(&self.engine, &mut access);
            let queries = access.take_misses();
            match step {
                Ok(true) => self.engine.refolded(&mut staging.supplied, refold),
                Ok(false) => staging.refold = Some((refold, Supplied::default())),
                Err(Stop::Miss) => {
                    staging.refold = Some((refold, supplied));
                    staging.asked.clone_from(&queries);
                    self.under_way = UnderWay::Stage(staging);
                    return encode(&StageStep::Need(queries));
                }
                Err(Stop::Fault(what)) => {
                    let problem = Problem::new(Code::Internal, what);
                    let answer = Answer::problem(&problem);
                    return done(outcome(&self.engine, answer, Kind::Read, None, false));
                }
            }
        }
        self.continue_stage(routes, staging)
    }
}
