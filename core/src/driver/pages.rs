//! Opening an instance over stored lines: from the checkpoint on they are folded page by page.
//!
//! Owns the order of that, and the check of the chain on the way. Refuses to know whether the
//! lines are a log or what an unfinished import left.

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::call::call;
use super::partition::{Failure, HeadInfo, Live, fold_blocks};
use super::{Config, Guest, Spawn, Store, StoreError, Tail};
use crate::chain::{self, Chain, NO_HASH};
use crate::limits;
use crate::protocol::{Answer, Fold, Op, Open, Opened, Quarantine, Query};

/// What an instance is opened over.
#[derive(Debug)]
pub(super) struct Start {
    /// The genesis line, when there is one.
    pub genesis: Option<String>,
    /// Position and hash of the last line, hash of genesis. The checkpoint is the guest's to read.
    pub head: HeadInfo,
    /// The stored checkpoint row.
    pub checkpoint: Option<Vec<u8>>,
    /// Projections that stay out of service.
    pub quarantined: Vec<Quarantine>,
    /// Of the row cache.
    pub hash_seed: u64,
}

impl Start {
    /// The beginning of an instance over what is stored.
    pub(super) fn of(
        tail: Tail,
        quarantined: Vec<Quarantine>,
        hash_seed: u64,
    ) -> Result<Self, StoreError> {
        let (genesis, hash) = tail.hashes()?;
        let position = tail.last.as_ref().map_or(0, |(position, _)| *position);
        let head = HeadInfo { position, hash, genesis, checkpoint: 0 };
        let Tail { genesis, checkpoint, .. } = tail;
        Ok(Self { genesis, head, checkpoint, quarantined, hash_seed })
    }
}

/// An instance that has folded all there is.
pub(super) fn open_live<S: Spawn, T: Store>(
    spawn: &mut S,
    store: &mut T,
    config: &Config,
    start: Start,
) -> Result<Live<S::Guest>, Failure> {
    let (mut live, mut pages) = Pages::open(spawn, store, config, start)?;
    pages.rest(&mut live, store)?;
    Ok(live)
}

/// An instance that has not folded anything yet, and what the guest said of the checkpoint.
pub(super) fn open<S: Spawn>(
    spawn: &mut S,
    config: &Config,
    start: Start,
) -> Result<(Live<S::Guest>, Opened), Failure> {
    let mut guest = spawn.spawn()?;
    let Start { genesis, mut head, checkpoint, quarantined, hash_seed } = start;
    let open = Open {
        partition: config.partition.clone(),
        incarnation: config.incarnation,
        hash_seed,
        guest: spawn.digest(),
        settings: config.settings.clone(),
        genesis,
        head: head.position,
        checkpoint,
        quarantined,
    };
    let opened: Opened = call(&mut guest, Op::Open, &open)?;
    head.checkpoint = opened.fold_after;
    let changed = head.position > head.checkpoint;
    let Opened { behind, incarnation, waits, consumers, .. } = opened;
    Ok((Live { guest, head, changed, behind, incarnation, waits, consumers }, opened))
}

/// The stored lines between a checkpoint and a head.
#[derive(Debug)]
pub(super) struct Pages {
    chain: Chain,
    head: u64,
}

impl Pages {
    /// An instance over a store, and what it still has to fold. Rows of no use are deleted.
    pub(super) fn open<S: Spawn, T: Store>(
        spawn: &mut S,
        store: &mut T,
        config: &Config,
        start: Start,
    ) -> Result<(Live<S::Guest>, Self), Failure> {
        let (had_rows, head) = (start.checkpoint.is_some(), start.head);
        let (live, opened) = open(spawn, config, start)?;
        if had_rows && !opened.rows_usable {
            store.erase_rows()?;
        }
        let after = opened.fold_after;
        let mut chain = Chain { hash: head.genesis, position: Some(after) };
        if after > 0 && after < head.position {
            let answers = store.read(&[Query::Commits { positions: vec![after] }])?;
            if let Some(Answer::Commits(lines)) = answers.first() {
                chain.hash =
                    lines.first().and_then(|line| chain::stored_hash(line)).unwrap_or(NO_HASH);
            }
        }
        Ok((live, Self { chain, head: head.position }))
    }

    /// What follows the head of a live instance, at least up to `head`.
    pub(super) const fn after<G>(live: &Live<G>, head: u64) -> Self {
        let chain = Chain { hash: live.head.hash, position: Some(live.head.position) };
        Self { chain, head }
    }

    /// Folds all pages. The instance stands where the last one ends, which is beyond the head that
    /// was looked for when more was stored meanwhile.
    pub(super) fn rest<G: Guest, T: Store>(
        &mut self,
        live: &mut Live<G>,
        store: &mut T,
    ) -> Result<(), Failure> {
        while self.next(live, store)? {}
        if let Some(position) = self.chain.position.filter(|at| *at > live.head.position) {
            (live.head.position, live.head.hash) = (position, self.chain.hash);
        }
        Ok(())
    }

    /// Folds the next page; false when there was none left.
    pub(super) fn next<G: Guest, T: Store>(
        &mut self,
        live: &mut Live<G>,
        store: &mut T,
    ) -> Result<bool, Failure> {
        if !self.more() {
            return Ok(false);
        }
        let after = self.chain.position.unwrap_or_default();
        let limit = limits::FOLD_COMMITS_MAX;
        let query = Query::CommitsAfter { after, limit, descending: false };
        let lines = match store.read(&[query])?.pop() {
            Some(Answer::Commits(lines)) => lines,
            _ => Vec::new(),
        };
        if lines.is_empty() {
            let detail = format!("the log ends before position {}", self.head);
            let position = after.saturating_add(1);
            return Err(StoreError::CorruptLog { position, detail }.into());
        }
        for line in &lines {
            self.chain.take(line).map_err(|broken| StoreError::CorruptLog {
                position: broken.position(),
                detail: broken.to_string(),
            })?;
        }
        let fold = Fold { blocks: lines.iter().map(String::as_str).collect() };
        fold_blocks(live, store, &fold).map(|_| true)
    }

    /// Whether there is another one.
    pub(super) fn more(&self) -> bool {
        self.chain.position.unwrap_or_default() < self.head
    }
}
