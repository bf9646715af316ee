//! What passes through an actor in parts: exports on their way out, imports on their way in.
//!
//! Owns one part of either. Refuses to know who asks for the next one.

use foldlog_core::driver::{Export, Feed, Reply, Step};
use foldlog_core::errors::Code;

use crate::actor::Actor;
use crate::open::{Open, UNREADABLE};
use crate::supervise::closed;

/// Part of an export.
#[derive(Debug)]
pub struct Page {
    /// Lines, each with its line feed; empty at the end.
    pub bytes: Vec<u8>,
    /// Position of the last line's first event.
    pub after: u64,
}

impl Actor {
    /// A page of an export.
    pub fn page(&self, state: &mut Option<Open>, export: Export) -> Result<Page, String> {
        if self.supervisor.closed() {
            return Err("the partition is restarting".into());
        }
        let open = self.open(state).inspect_err(|detail| {
            self.failed(detail);
            self.ended(closed(UNREADABLE));
        })?;
        let lines = open.live.page(export).map_err(|e| {
            self.failed(&e.to_string());
            e.to_string()
        })?;
        let last = lines.last().and_then(|line| foldlog_core::chain::position(line));
        let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len() + 1).sum());
        for line in lines {
            bytes.extend_from_slice(line.as_bytes());
            bytes.push(b'\n');
        }
        Ok(Page { bytes, after: last.unwrap_or(export.to) })
    }

    /// A step of an import.
    pub fn import(&self, state: &mut Option<Open>, token: u64, feed: Feed) -> Step {
        let open = match self.open(state) {
            Ok(open) => open,
            Err(detail) => {
                self.failed(&detail);
                self.ended(closed(UNREADABLE));
                let detail = "the partition can not be opened; nothing of the part counts";
                return Step::Done(Reply::problem(Code::Restarting, detail));
            }
        };
        let step = open.live.import(token, feed);
        self.stored(open);
        open.live.take_failures().iter().for_each(|failure| self.failed(failure));
        self.ended(open.live.take_ran());
        step
    }
}
