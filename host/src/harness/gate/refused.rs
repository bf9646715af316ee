//! Commands that were refused at the time: what two guests make of each, as of then.
//!
//! Owns the order in which they are tried between a page's commits. Refuses to know how they were kept
//! (`harness::rejected`).

use std::collections::VecDeque;

use foldlog_core::chain::HASH_HOLE;
use foldlog_core::json::{members, string};
use foldlog_core::protocol::{Kind as Came, Response};

use super::kinds::{Difference, Differences, Kind};
use crate::harness::again::{Run, Tried};
use crate::harness::fold::Broken;
use crate::harness::rejected::Entry;

/// Those that are not tried yet, by position.
#[derive(Debug)]
pub struct Refused {
    waiting: VecDeque<Entry>,
    /// How many were tried.
    pub tried: u64,
}

impl Refused {
    /// In this order.
    pub fn new(entries: Vec<Entry>) -> Self {
        Self { waiting: entries.into(), tried: 0 }
    }

    /// How many are not tried yet: after the last page, those that came after its last commit.
    pub fn waiting(&self) -> usize {
        self.waiting.len()
    }

    /// The position after which the next one came, up to a page's end.
    pub fn next(&self, last: u64) -> Option<u64> {
        self.waiting.front().map(|entry| entry.after).filter(|after| *after <= last)
    }

    /// Tries those that came after this position.
    pub fn attempt(
        &mut self,
        after: u64,
        (old, new): (&mut Run, &mut Run),
        found: &mut Differences,
    ) -> Result<(), Broken> {
        while let Some(entry) = self.waiting.pop_front_if(|entry| entry.after <= after) {
            let (was, is) = (old.attempt(&entry)?, new.attempt(&entry)?);
            self.tried += 1;
            judge(&entry, (&was, &is), new.route_of(&entry), found);
        }
        Ok(())
    }
}

fn judge(entry: &Entry, (was, is): (&Tried, &Tried), name: String, found: &mut Differences) {
    let kind = match (was, is) {
        (Tried::Trapped(_), Tried::Trapped(_)) => return,
        (_, Tried::Trapped(_)) => Kind::Trap,
        (Tried::Came(Came::Rejected, was), Tried::Came(Came::Rejected, is)) => {
            if code(was) == code(is) {
                return;
            }
            Kind::Decision
        }
        (_, Tried::Came(Came::Rejected, _)) => Kind::Refused,
        (Tried::Came(Came::Rejected, _) | Tried::Trapped(_), Tried::Came(..)) => Kind::Allowed,
        // Both take it: that they would do so otherwise is told of commands that were taken.
        _ => return,
    };
    let Entry { n, method, target, .. } = entry;
    let what = format!("{method} {target}, refused as entry {n} of the journal");
    let lines = vec![format!("- {}", shown(was)), format!("+ {}", shown(is))];
    found.add(Difference { kind, name, position: Some(entry.after), what, lines }, 1);
}

fn shown(tried: &Tried) -> String {
    match tried {
        Tried::Trapped(detail) => format!("the guest trapped: {detail}"),
        Tried::Came(Came::Rejected, response) => {
            format!("refused: {}: {}", code(response), member(response, "detail"))
        }
        Tried::Came(_, response) => {
            // It is not stored, and so has no hash.
            let body = String::from_utf8_lossy(&response.body).replace(HASH_HOLE, "…");
            format!("taken: {} {body}", response.status)
        }
    }
}

fn code(response: &Response) -> String {
    member(response, "type").trim_start_matches("urn:foldlog:").to_string()
}

fn member(response: &Response, name: &str) -> String {
    let body = String::from_utf8_lossy(&response.body);
    let found = members(&body).and_then(|all| {
        let token = all.into_iter().find(|(found, _)| found == name)?.1;
        string(token).map(std::borrow::Cow::into_owned)
    });
    found.unwrap_or_default()
}
