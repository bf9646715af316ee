//! What the driver asks and tells of consumers.
//!
//! Owns pages of consumers and of topics' events as messages. Refuses to know how topics are read
//! and what a commit tells of a consumer.

use alloc::boxed::Box;
use alloc::string::String;
use alloc::vec::Vec;

use super::answered::{Answered, done, refuse};
use super::{Opened, Staged, Staging};
use crate::engine::{Engine, Missing, Proposal, consumers};
use crate::http::{Route, topic_page};
use crate::protocol::consumers::{Dispatch, Dispatched};
use crate::protocol::{RefusalReason, Stamp};
use crate::read::Stop;

/// Consumers in one answer: each may have many topics.
const CONSUMERS_PAGE: u32 = 50;

/// What became of it.
enum Came {
    /// Something to tell.
    To(Dispatched),
    /// See [`Engine::dispatch`].
    Staged(crate::engine::Woken),
}

impl Opened {
    pub(super) fn continue_dispatch(
        &mut self,
        routes: &[Route],
        staging: Box<Staging>,
    ) -> Answered {
        let Staged::Dispatch(dispatch) = &staging.what else {
            return refuse(RefusalReason::OutOfOrder, "not a dispatcher's");
        };
        let access = self.engine.access(&staging.supplied);
        match come(&self.engine, access, &staging.stamp, dispatch) {
            Err(missing) if staging.reads_too_much() => {
                drop(missing);
                refuse(RefusalReason::Malformed, "a dispatcher reads more than a stage may")
            }
            Err(missing) => self.ask(routes, staging, missing),
            Ok(Ok(Came::To(dispatched))) => {
                let mut told = super::wake::nothing(self);
                told.dispatched = Some(dispatched);
                done(told)
            }
            Ok(Ok(Came::Staged(woken))) => self.woken(woken),
            Ok(Err(what)) => refuse(RefusalReason::Malformed, what),
        }
    }
}

/// `Err` names what is missing; the inner one is a bug, told to the host's log.
fn come(
    engine: &Engine,
    mut access: crate::engine::Access<'_>,
    stamp: &Stamp,
    dispatch: &Dispatch,
) -> Result<Result<Came, alloc::string::String>, Missing> {
    let dispatched = match dispatch {
        Dispatch::List { after } => {
            let limit = CONSUMERS_PAGE.saturating_add(1);
            consumers::page(&mut access, after, limit).map(|mut page| {
                let more = page.len() > CONSUMERS_PAGE as usize;
                page.truncate(CONSUMERS_PAGE as usize);
                let found = page.into_iter().map(consumers::told_of).collect();
                Dispatched::Consumers { found, more }
            })
        }
        Dispatch::Page { topic, after, limit } => {
            topic_page(engine, &mut access, topic, *after, *limit).map(Dispatched::Events)
        }
        Dispatch::Remove { .. } | Dispatch::Advance { .. } => {
            return engine.dispatch(access, stamp, dispatch).map(|woken| Ok(Came::Staged(woken)));
        }
    };
    match dispatched {
        Ok(dispatched) => Ok(Ok(Came::To(dispatched))),
        Err(Stop::Miss) => Err(access.take_missing()),
        Err(Stop::Fault(what)) => Ok(Err(what)),
    }
}

/// What dispatchers want to know of a proposal.
pub(super) fn of_consumers(proposal: Option<&Proposal>) -> (bool, Vec<String>) {
    proposal.map_or_else(Default::default, |proposal| {
        (proposal.changes_consumers(), proposal.topics().to_vec())
    })
}
