//! One step of each phase of a part: the store and the guest at work.
//!
//! Owns what is written when, so that a crash at any point leaves either what the stored progress
//! covers, or a log. Refuses to know who feeds it and what a failure is answered with.

use alloc::string::{String, ToString};
use alloc::vec::Vec;

use super::super::bulk::same_target;
use super::super::checkpoint::take_checkpoint;
use super::super::pages::{Pages, Start};
use super::super::partition::{Failure, HeadInfo};
use super::super::{
    Importing, NOBODY, Partition, Progress, Reply, Spawn, Store, StoreError, Tail, World, Write,
    quarantine_of,
};
use super::lines::taken;
use super::{Folding, Next, Part, Phase};
use crate::chain::{self, NO_HASH};
use crate::errors::{Code, Problem};
use crate::http::too_large;
use crate::limits::IMPORT_BYTES_MAX;
use crate::protocol::Response;

/// Tries to fold, when projections trap or rows are damaged on the way.
const FOLDS_MAX: u32 = 20;

impl<S: Spawn, T: Store, W: World> Partition<S, T, W> {
    /// Deletes what lies beyond the beginning of a part, some of it.
    pub(super) fn discard(&mut self, part: &Part<S::Guest>) -> Result<Next<S::Guest>, Failure> {
        if self.imports.unfinished.is_none() {
            return Ok(Next::Phase(Phase::Body));
        }
        let position = part.start.chain.position;
        if !self.unchanged(part)? {
            self.cut(position, part.start.clone())?;
            if self.stored_beyond(position)? {
                return Ok(Next::Phase(Phase::Discard));
            }
            if position.is_none() {
                self.store.erase_rows()?;
            }
        }
        Ok(Next::Phase(match position {
            None | Some(0) => Phase::Body,
            Some(_) => Phase::CatchUp(None),
        }))
    }

    /// The ends of what is stored. Rows are folded again when their checkpoint is damaged.
    fn leftovers(&mut self) -> Result<Tail, StoreError> {
        match self.store.tail() {
            Err(StoreError::CorruptRow { .. }) => {
                self.store.erase_rows()?;
                self.store.tail()
            }
            tail => tail,
        }
    }

    /// Whether nothing but what a part continues is there.
    fn unchanged(&mut self, part: &Part<S::Guest>) -> Result<bool, StoreError> {
        let start = &part.start;
        let same =
            start.chain.position.is_some() && self.imports.unfinished.as_ref() == Some(start);
        Ok(same && !self.stored_beyond(start.chain.position)?)
    }

    fn stored_beyond(&mut self, position: Option<u64>) -> Result<bool, StoreError> {
        let last = self.leftovers()?.last;
        Ok(last.is_some_and(|(last, _)| last > position.unwrap_or_default()))
    }

    fn cut(&mut self, position: Option<u64>, progress: Progress) -> Result<(), StoreError> {
        let cut = Some(position.unwrap_or_default());
        let import = Some(Importing::At(progress.clone()));
        self.store.write(&Write { cut, import, ..Write::default() })?;
        self.imports.unfinished = Some(progress);
        Ok(())
    }

    pub(super) fn catch_up(
        &mut self,
        part: &mut Part<S::Guest>,
        folding: Option<Folding<S::Guest>>,
    ) -> Result<Next<S::Guest>, Failure> {
        let start = part.start.clone();
        let Some(mut folding) = self.fold_some(part, &start, folding)? else {
            return Ok(Next::Phase(Phase::CatchUp(None)));
        };
        if folding.pages.more() {
            return Ok(Next::Phase(Phase::CatchUp(Some(folding))));
        }
        if folding.live.changed {
            let mut write = Write::default();
            take_checkpoint(&mut folding.live.guest, &mut write)?;
            self.store.write(&write)?;
        }
        Ok(Next::Phase(Phase::Body))
    }

    /// Takes the next bytes of the body in.
    pub(super) fn take(
        &mut self,
        part: &mut Part<S::Guest>,
        bytes: &[u8],
    ) -> Result<Next<S::Guest>, Failure> {
        if part.lines.bytes.saturating_add(bytes.len() as u64) > IMPORT_BYTES_MAX {
            return Ok(refused(&too_large()));
        }
        let mut blocks = Vec::new();
        if let Err(line) = part.lines.take(bytes, &mut blocks) {
            return Ok(refused(&line.problem()));
        }
        if !blocks.is_empty() {
            // A crash must not leave blocks that nothing tells apart from a log without genesis.
            let first = self.imports.unfinished.is_none().then(|| part.start.clone());
            let import = first.clone().map(Importing::At);
            self.store.write(&Write { blocks, import, ..Write::default() })?;
            self.imports.unfinished = self.imports.unfinished.take().or(first);
        }
        Ok(Next::Phase(Phase::Body))
    }

    /// The body has ended: from here on the part counts.
    pub(super) fn end(&mut self, part: &mut Part<S::Guest>) -> Result<Next<S::Guest>, Failure> {
        let block = match part.lines.end() {
            Ok(block) => block,
            Err(line) => return Ok(refused(&line.problem())),
        };
        let progress = part.lines.progress.clone();
        if part.complete && progress.chain.position.unwrap_or_default() == 0 {
            let detail = "a log has a genesis line and at least one commit";
            return Ok(refused(&Problem::new(Code::MalformedJson, detail)));
        }
        if progress.chain.position.is_none() {
            // Nothing at all, from the start: that gives an unfinished import up.
            let reply = self.import_reply(&progress, false);
            return Ok(Next::Phase(Phase::Undo { all: true, reply }));
        }
        let import = Some(Importing::At(progress.clone()));
        let blocks = block.into_iter().collect();
        self.store.write(&Write { blocks, import, ..Write::default() })?;
        self.imports.unfinished = Some(progress.clone());
        Ok(match part.complete {
            true => Next::Phase(Phase::Complete(None)),
            false => Next::Done(self.import_reply(&progress, false)),
        })
    }

    /// Folds the log to its end, then makes it one.
    pub(super) fn complete(
        &mut self,
        part: &mut Part<S::Guest>,
        folding: Option<Folding<S::Guest>>,
    ) -> Result<Next<S::Guest>, Failure> {
        let progress = part.lines.progress.clone();
        let Some(mut folding) = self.fold_some(part, &progress, folding)? else {
            return Ok(Next::Phase(Phase::Complete(None)));
        };
        if folding.pages.more() {
            return Ok(Next::Phase(Phase::Complete(Some(folding))));
        }
        let mut write = Write { import: Some(Importing::Ended), ..Write::default() };
        if folding.live.changed {
            take_checkpoint(&mut folding.live.guest, &mut write)?;
        }
        write.blocks = chain::pack([(0, 0, progress.genesis.clone())]);
        self.store.own(&NOBODY)?;
        self.config.incarnation = NOBODY;
        self.store.write(&write)?;
        self.drop_live();
        self.imports.unfinished = None;
        Ok(Next::Done(self.import_reply(&progress, true)))
    }

    /// Folds the next page of what is stored up to `end`. Nothing when that has to begin anew.
    fn fold_some(
        &mut self,
        part: &mut Part<S::Guest>,
        end: &Progress,
        folding: Option<Folding<S::Guest>>,
    ) -> Result<Option<Folding<S::Guest>>, Failure> {
        let folded = match folding {
            None => self.open_fold(part, end),
            Some(mut folding) => {
                let next = folding.pages.next(&mut folding.live, &mut self.store);
                next.map(|_| folding)
            }
        };
        match folded {
            Err(Failure::Trap(trap)) => {
                let new = quarantine_of(&trap)
                    .filter(|new| !part.quarantined.iter().any(|old| same_target(old, new)));
                let Some(new) = new else { return Err(Failure::Trap(trap)) };
                part.quarantined.push(new);
                Ok(None)
            }
            Err(Failure::Store(StoreError::CorruptRow { .. })) if part.folds < FOLDS_MAX => {
                self.store.erase_rows()?;
                Ok(None)
            }
            folded => folded.map(Some),
        }
    }

    fn open_fold(
        &mut self,
        part: &mut Part<S::Guest>,
        end: &Progress,
    ) -> Result<Folding<S::Guest>, Failure> {
        part.folds = part.folds.saturating_add(1);
        let genesis = chain::stored_hash(&end.genesis).unwrap_or(NO_HASH);
        let position = end.chain.position.unwrap_or_default();
        let start = Start {
            genesis: Some(end.genesis.clone()),
            head: HeadInfo { position, hash: end.chain.hash, genesis, checkpoint: 0 },
            checkpoint: self.leftovers()?.checkpoint,
            quarantined: part.quarantined.clone(),
            hash_seed: self.draw(),
        };
        let (live, pages) = Pages::open(&mut self.spawn, &mut self.store, &self.config, start)?;
        Ok(Folding { live, pages })
    }

    /// Deletes what a part stored, or all of the import, some of it at a time; then answers.
    pub(super) fn undo(
        &mut self,
        part: &Part<S::Guest>,
        all: bool,
        reply: Reply,
    ) -> Result<Next<S::Guest>, Failure> {
        if self.imports.unfinished.is_none() {
            return Ok(Next::Done(reply));
        }
        if !all && self.unchanged(part)? {
            return Ok(Next::Done(reply));
        }
        let to = if all { Progress::default() } else { part.start.clone() };
        let position = to.chain.position;
        // Whatever comes of this: what the progress does not cover counts for nothing.
        let undone = self.cut(position, to).and_then(|()| self.stored_beyond(position));
        let undone = undone.and_then(|more| {
            if !more && position.is_none() {
                self.store.erase_rows()?;
                let import = Some(Importing::Ended);
                self.store.write(&Write { import, ..Write::default() })?;
                self.imports.unfinished = None;
            }
            Ok(more)
        });
        match undone {
            Ok(true) => Ok(Next::Phase(Phase::Undo { all, reply })),
            Ok(false) => Ok(Next::Done(reply)),
            Err(error) => {
                self.report(&error.into());
                self.drop_live();
                Ok(Next::Done(reply))
            }
        }
    }

    fn import_reply(&self, progress: &Progress, complete: bool) -> Reply {
        let body = taken(&self.config.partition, &progress.chain, complete);
        let headers = alloc::vec![("Content-Type".into(), "application/json".to_string())];
        Reply::of(Response { status: 200, headers, body: String::into_bytes(body) })
    }
}

/// Deletes what the part stored, and answers with this.
pub(super) fn refused<G>(problem: &Problem) -> Next<G> {
    Next::Phase(Phase::Undo { all: false, reply: Reply::of(problem.response()) })
}
