//! What the host answered for the input under way.
//!
//! Owns answers that are no single rows; those go into the cache. Refuses to know what is asked.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use super::cache::{Cache, KeyRef};
use super::refold::{Then, Wanted};
use super::snapshots::Wrong;
use super::views::Views;
use crate::protocol::{Answer, Query, RowKey};

/// What the host answered for the input under way, beside rows: those go into the cache.
#[derive(Debug, Default)]
pub struct Supplied {
    pub(super) others: BTreeMap<Query, Answer>,
    /// Streams as of a version, folded for this input.
    pub(super) refolded: BTreeMap<Wanted, Then>,
    /// Snapshots that were found not to be the fold meanwhile.
    pub wrong: Vec<Wrong>,
    /// Bytes supplied so far.
    pub bytes: usize,
}

impl Supplied {
    /// Forgets everything but the count of bytes: a commit was taken in since.
    pub fn forget(&mut self) {
        self.others.clear();
    }

    /// Whether these are answers to these queries.
    pub(super) fn fits(views: &Views, queries: &[Query], answers: &[Answer]) -> bool {
        let fit = |(query, answer): (&Query, &Answer)| match (query, answer) {
            (Query::Row(key), Answer::Row(_)) => views.find(&key.view).is_some(),
            (Query::Rows { .. }, Answer::Rows(_)) => true,
            (Query::Commits { positions }, Answer::Commits(lines)) => {
                (1..=positions.len()).contains(&lines.len())
            }
            (Query::Times { positions }, Answer::Times(times)) => positions.len() == times.len(),
            (Query::CommitsAfter { .. }, Answer::Commits(_)) => true,
            _ => false,
        };
        queries.len() == answers.len() && queries.iter().zip(answers).all(fit)
    }

    /// Takes in the host's answers, which must fit.
    pub(super) fn take(
        &mut self,
        cache: &mut Cache,
        views: &Views,
        queries: Vec<Query>,
        answers: Vec<Answer>,
    ) {
        for (query, answer) in queries.into_iter().zip(answers) {
            self.bytes = self.bytes.saturating_add(answer.bytes());
            match (query, answer) {
                (Query::Row(RowKey { view, key }), Answer::Row(value)) => {
                    if let Some(view) = views.find(&view) {
                        cache.learn(KeyRef { view, bytes: &key }, value);
                    }
                }
                (query, answer) => drop(self.others.insert(query, answer)),
            }
        }
    }
}
