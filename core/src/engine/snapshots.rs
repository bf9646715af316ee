//! Snapshots: states of streams kept along the way, so that no state takes a long fold.
//!
//! Owns which are taken, which stay, and their rows. They are caches: outside the digest, and what
//! can not be read is as good as absent. They are taken by the fold, so a fold from nothing takes
//! the same ones again; those taken on request are lost with the rows.
//!
//! One that lies, with a checksum that is right for it, can only come from a bug. Whoever uses one
//! compares it with the next state that is known, where few records lie between (`refold`); one
//! that is found out is taken anew here, and counted. `foldlog verify` compares all of them.
//!
//! Rows of an aggregate's view `~snapshots:<type>`: `r` + stream → the newest few, oldest first,
//! each with whether it stays; `k` + stream, 0, the version's complement (8 bytes, big-endian, so
//! that newer ones come first) → one that stays: the first one taken in each block of so many
//! versions. Rows of view `~snapshots-taken`: stream → the newest few taken on request, oldest
//! first.

use alloc::collections::BTreeMap;
use alloc::vec::Vec;

use serde::{Deserialize, Serialize};

use super::access::Access;
use super::cache::ViewId;
use super::views::TAKEN;
use crate::limits::SNAPSHOT_STAYS_EVERY;
use crate::read::Stop;
use crate::record::Record;
use crate::registry::Registry;
use crate::time::Time;

/// A state of a stream as of a version.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Snapshot {
    /// The stream's version.
    pub version: u64,
    /// Position of the event that has it.
    pub position: u64,
    /// When that was recorded.
    pub time: Time,
    /// Revision of the aggregate that folded it.
    pub revision: u32,
    /// The state's bytes.
    pub state: Vec<u8>,
}

/// When snapshots are taken, by the settings in the log.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Policy {
    /// By index of the aggregate; 0 is never.
    every: Vec<u64>,
    kept: usize,
}

/// What a settings member states of snapshots. Logs from before there were any state nothing.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Stated {
    #[serde(default)]
    snapshot_every: BTreeMap<alloc::string::String, u64>,
    #[serde(default)]
    snapshots_kept: usize,
}

impl Policy {
    /// The policy of a settings member.
    pub fn of(settings: &str, registry: &Registry) -> Self {
        let Ok(stated) = serde_json::from_str::<Stated>(settings) else { return Self::default() };
        let types = registry.aggregates.iter().map(|a| a.spec().aggregate_type);
        let every = types.map(|t| stated.snapshot_every.get(t).copied().unwrap_or(0)).collect();
        Self { every, kept: stated.snapshots_kept }
    }

    /// How many of a stream are kept.
    pub const fn kept(&self) -> usize {
        self.kept
    }

    /// Whether a stream of this aggregate gets one at this version.
    pub fn due(&self, aggregate: usize, version: u64) -> bool {
        let every = self.every.get(aggregate).copied().unwrap_or(0);
        version.checked_rem(every) == Some(0)
    }
}

fn ring_row(stream: &str) -> Vec<u8> {
    [b"r", stream.as_bytes()].concat()
}

fn stays_row(stream: &str, version: u64) -> Vec<u8> {
    [b"k", stream.as_bytes(), b"\0", &(!version).to_be_bytes()].concat()
}

/// One that can not be read is not used.
fn read<T: for<'de> Deserialize<'de> + Default>(bytes: Option<&[u8]>) -> T {
    bytes.and_then(|bytes| postcard::from_bytes(bytes).ok()).unwrap_or_default()
}

/// The newest few, each with whether it stays.
fn ring(
    access: &mut Access<'_>,
    view: ViewId,
    stream: &str,
) -> Result<Vec<(bool, Snapshot)>, Stop> {
    Ok(read(access.row(view, &ring_row(stream))?.as_deref()))
}

fn on_request(access: &mut Access<'_>, stream: &str) -> Result<Vec<Snapshot>, Stop> {
    Ok(read(access.row(TAKEN, stream.as_bytes())?.as_deref()))
}

/// What a row of view `~snapshots-taken` holds, for those who check it.
pub fn taken_on_request(row: &[u8]) -> Option<Vec<Snapshot>> {
    postcard::from_bytes(row).ok()
}

/// The row of view `~snapshots-taken` that holds these.
pub fn taken_row(snapshots: &[Snapshot]) -> Option<Vec<u8>> {
    postcard::to_allocvec(snapshots).ok()
}

/// Takes the state after a record into its aggregate's view.
pub(super) fn take(
    access: &mut Access<'_>,
    view: ViewId,
    policy: &Policy,
    record: &Record<'_>,
    revision: u32,
    state: &[u8],
) -> Result<(), Stop> {
    let (stream, version) = (record.event.stream.as_ref(), record.event.version);
    let snapshot = Snapshot {
        version,
        position: record.position,
        time: record.time,
        revision,
        state: state.to_vec(),
    };
    let mut newest = ring(access, view, stream)?;
    // By the one before and not by the version alone: any interval may be set, and changed.
    let before = newest.last().map_or(0, |(_, last)| last.version);
    let stays = version / SNAPSHOT_STAYS_EVERY > before / SNAPSHOT_STAYS_EVERY;
    if stays {
        access.put(view, &stays_row(stream, version), &snapshot)?;
    }
    newest.push((stays, snapshot));
    let mut more = 1_i64;
    while newest.len() > policy.kept.max(1) {
        let (stays, _) = newest.remove(0);
        if !stays {
            more = more.saturating_sub(1);
        }
    }
    access.overlay.row_counts.push((view, more));
    access.put(view, &ring_row(stream), &newest)
}

/// The newest snapshot of a stream that this revision folded, given its view.
pub fn latest(
    access: &mut Access<'_>,
    (view, revision): (ViewId, u32),
    stream: &str,
) -> Result<Option<Snapshot>, Stop> {
    // Both are tried before a miss is told, so that one round supplies both.
    let taken = on_request(access, stream);
    let newest = ring(access, view, stream)?.into_iter().map(|(_, found)| found);
    let usable = |found: &Snapshot| found.revision == revision;
    Ok(newest.chain(taken?).filter(usable).max_by_key(|found| found.version))
}

/// All of those that the newest ones and those taken on request are, of this revision.
pub(super) fn newest(
    access: &mut Access<'_>,
    (view, revision): (ViewId, u32),
    stream: &str,
) -> Result<Vec<Snapshot>, Stop> {
    let taken = on_request(access, stream);
    let newest = ring(access, view, stream)?.into_iter().map(|(_, found)| found);
    Ok(newest.chain(taken?).filter(|found| found.revision == revision).collect())
}

/// One that is not the fold's state, and what that is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// The view of its aggregate's snapshots, and the revision that folded it.
    pub own: (ViewId, u32),
    /// Its stream.
    pub stream: alloc::string::String,
    /// Its version.
    pub version: u64,
    /// The state's bytes, folded from the first record.
    pub state: Vec<u8>,
}

/// Puts the fold's state where another one is kept.
pub(super) fn mend(access: &mut Access<'_>, wrong: &Wrong) -> Result<(), Stop> {
    let Wrong { own: (view, revision), stream, version, state } = wrong;
    let stays = stays_row(stream, *version);
    // All are tried before a miss is told, so that one round supplies them all.
    let taken = on_request(access, stream);
    let staying = access.row(*view, &stays).map(|row| row.map(|row| row.into_owned()));
    let mut newest = ring(access, *view, stream)?;
    let (mut taken, staying) = (taken?, staying?);
    let right = |found: &mut Snapshot| {
        if (found.version, found.revision) == (*version, *revision) {
            found.state.clone_from(state);
        }
    };
    newest.iter_mut().for_each(|(_, found)| right(found));
    taken.iter_mut().for_each(right);
    if !newest.is_empty() {
        access.put(*view, &ring_row(stream), &newest)?;
    }
    if !taken.is_empty() {
        access.put(TAKEN, stream.as_bytes(), &taken)?;
    }
    if let Some(mut found) = staying.and_then(|row| postcard::from_bytes::<Snapshot>(&row).ok()) {
        right(&mut found);
        access.put(*view, &stays, &found)?;
    }
    Ok(())
}

/// Keeps one that was asked for, in place of one of the same version; returns how many snapshots there are more now.
pub(super) fn keep(
    access: &mut Access<'_>,
    kept: usize,
    stream: &str,
    snapshot: Snapshot,
) -> Result<i64, Stop> {
    let mut newest = on_request(access, stream)?;
    let before = newest.len();
    let same =
        |found: &Snapshot| (found.version, found.revision) == (snapshot.version, snapshot.revision);
    newest.retain(|found| !same(found));
    newest.push(snapshot);
    let beyond = newest.len().saturating_sub(kept.max(1));
    newest.drain(..beyond);
    access.put(TAKEN, stream.as_bytes(), &newest)?;
    let more = i64::try_from(newest.len()).unwrap_or(i64::MAX);
    Ok(more.saturating_sub_unsigned(before as u64))
}

/// The newest one at or below a version that this revision folded, given its view.
pub(super) fn nearest(
    access: &mut Access<'_>,
    (view, revision): (ViewId, u32),
    stream: &str,
    version: u64,
) -> Result<Option<Snapshot>, Stop> {
    let prefix = [b"k", stream.as_bytes(), b"\0"].concat();
    let after = stays_row(stream, version.saturating_add(1));
    let staying = access.range(view, &prefix, &after, 1);
    let taken = on_request(access, stream);
    // All are tried before a miss is told, so that one round supplies them all.
    let newest = ring(access, view, stream)?.into_iter().map(|(_, found)| found);
    let staying: Option<Snapshot> =
        staying?.first().and_then(|(_, bytes)| postcard::from_bytes(bytes).ok());
    let usable = |found: &Snapshot| found.version <= version && found.revision == revision;
    let all = newest.chain(taken?).chain(staying).filter(usable);
    Ok(all.max_by_key(|found| found.version))
}
