//! Whose log it is: the newest incarnation that the log tells, and the commits that tell a new one.
//!
//! Owns the form of `Partition.Adopted`, with which the log also asks to be listed at its new host,
//! and of `Partition.Truncated`, with which a log says that it is the beginning of a longer one:
//! under an incarnation of its own, so that no host takes it for that one. Refuses to know which
//! incarnation a host may act for: the driver compares (law 7).

use alloc::borrow::Cow;
use alloc::boxed::Box;
use alloc::format;
use alloc::string::String;
use alloc::vec;

use super::Engine;
use super::access::Access;
use super::apply::{self, FoldStop, Taken};
use super::proposal::Proposal;
use super::react::Reacting;
use super::refold::Missing;
use crate::chain::unhex;
use crate::commit::{self, Commit, hex16};
use crate::process::SYSTEM;
use crate::protocol::Stamp;
use crate::read::Stop;
use crate::record::Record;
use crate::time::Time;

/// The stream of what happens to a partition as a whole.
const STREAM: &str = "~System:partition";
/// The log goes on under a new incarnation.
const ADOPTED: &str = "Partition.Adopted";
/// What came behind a position was left out.
const TRUNCATED: &str = "Partition.Truncated";
const DATA_START: &str = "{\"incarnation\":\"";

/// The incarnation that a record of an unknown type of stream brings, if it does.
pub(super) fn adopted(record: &Record<'_>) -> Result<Option<[u8; 16]>, Stop> {
    if record.event.stream != STREAM || !matches!(record.event_type(), ADOPTED | TRUNCATED) {
        return Ok(None);
    }
    let incarnation = stated(record.event);
    incarnation.map(Some).ok_or_else(|| Stop::Fault("its incarnation can not be read".into()))
}

/// The place in a log behind which nothing is kept.
#[derive(Clone, Copy, Debug)]
pub struct Cut {
    /// Position of the last event that is kept.
    pub after: u64,
    /// When that was recorded.
    pub time: Time,
    /// The last position of the log that it is cut from, as that says itself.
    pub head: u64,
    /// Events that the kept log has in the stream of what happens to a partition as a whole.
    pub told: u64,
}

/// How many events a stored commit has in the stream of what happens to a partition as a whole.
pub fn told_in(commit: &Commit<'_>) -> u64 {
    commit.events.iter().filter(|event| event.stream == STREAM).count() as u64
}

/// The commit behind a cut, its hash still to be made.
pub fn truncation(cut: &Cut, stamp: &Stamp) -> String {
    let now = stamp.clock.max(cut.time);
    let Cut { after, head, .. } = cut;
    let incarnation = hex16(&stamp.entropy);
    let data = format!("{DATA_START}{incarnation}\",\"after\":{after},\"head\":{head}}}");
    let event = commit::Event {
        event_type: Cow::Borrowed(TRUNCATED),
        stream: Cow::Borrowed(STREAM),
        version: cut.told.saturating_add(1),
        data: &data,
        ..commit::Event::default()
    };
    let commit = Commit {
        position: after.saturating_add(1),
        time: Cow::Owned(now.to_iso()),
        clock: (now != stamp.clock).then(|| Cow::Owned(stamp.clock.to_iso())),
        events: vec![event],
        ..Commit::default()
    };
    commit.line()
}

/// The incarnation that an adoption brings.
pub(super) fn incarnation(event: &commit::Event<'_>) -> Option<[u8; 16]> {
    (event.event_type == ADOPTED).then(|| stated(event)).flatten()
}

fn stated(event: &commit::Event<'_>) -> Option<[u8; 16]> {
    unhex(event.data.strip_prefix(DATA_START)?.get(..32)?)
}

impl Engine {
    /// A commit that gives the log a new incarnation, drawn from the stamp.
    pub fn propose_adoption(
        &self,
        mut access: Access<'_>,
        stamp: &Stamp,
    ) -> Result<Result<Box<Proposal>, Stop>, Missing> {
        let version = match self.stream_version(&mut access, SYSTEM, "partition") {
            Ok(version) => Ok(version),
            Err(Stop::Miss) => return Err(access.take_missing()),
            Err(fault) => Err(fault),
        };
        let version = match version {
            Ok(version) => version.saturating_add(1),
            Err(fault) => return Ok(Err(fault)),
        };
        let now = self.now(stamp);
        let data = format!("{DATA_START}{}\"}}", hex16(&stamp.entropy));
        let event = commit::Event {
            event_type: Cow::Borrowed(ADOPTED),
            stream: Cow::Borrowed(STREAM),
            version,
            data: &data,
            ..commit::Event::default()
        };
        // Where the log goes on, the partition may not be known yet.
        let mut asking = Reacting::off();
        asking.list_partition(&self.partition);
        let commit = Commit {
            position: self.head.position.saturating_add(1),
            time: Cow::Owned(now.to_iso()),
            reactions: asking.text(),
            clock: (now != stamp.clock).then(|| Cow::Owned(stamp.clock.to_iso())),
            settings: (self.head.settings != self.settings).then_some(self.settings.as_str()),
            guest: (self.head.guest != self.guest).then_some(Cow::Borrowed(self.guest.as_str())),
            events: vec![event],
            ..Commit::default()
        };
        let (first, last, line) = (commit.position, commit.last_position(), commit.line());
        match apply::apply_stored(self, &mut access, &commit) {
            Ok(folded) => {
                let taken = Taken::new(access, folded);
                Ok(Ok(Box::new(Proposal { first, last, line, taken })))
            }
            Err(FoldStop::Need(_)) => Err(access.take_missing()),
            Err(FoldStop::Corrupt(what)) => Ok(Err(Stop::Fault(what))),
        }
    }
}
