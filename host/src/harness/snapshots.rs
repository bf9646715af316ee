//! Snapshots that were taken on request: is each the state that it says?
//!
//! Owns where the fold of the log must pause for that, and the comparison. Refuses to know of
//! automatic ones: the fold takes those itself, and they are compared as rows.

use std::collections::BTreeMap;

use foldlog_core::driver::MemoryStore;
use foldlog_core::engine::StreamRow;
use foldlog_core::engine::snapshots::{Snapshot, taken_on_request};

use super::rows::{Rows, Wrong};

/// Those of a partition, by the position that each is as of.
#[derive(Debug, Default)]
pub struct Taken {
    at: BTreeMap<u64, Vec<(Vec<u8>, Snapshot)>>,
    /// What is wrong with them.
    pub wrong: Vec<Wrong>,
    /// By stream and version, those that are not the fold: the state that is, if there is one.
    pub mended: BTreeMap<(Vec<u8>, u64), Option<Vec<u8>>>,
}

fn wrong(stream: &[u8], detail: String) -> Wrong {
    Wrong { view: "~snapshots-taken".into(), key: stream.to_vec(), detail }
}

impl Taken {
    /// Reads the rows that keep them.
    pub fn read(rows: &Rows) -> Self {
        let mut taken = Self::default();
        for (stream, row) in rows {
            let Some(snapshots) = taken_on_request(row) else {
                taken.wrong.push(wrong(stream, "the row can not be read".into()));
                continue;
            };
            for snapshot in snapshots {
                taken.at.entry(snapshot.position).or_default().push((stream.clone(), snapshot));
            }
        }
        taken
    }

    /// Positions at which [`Taken::compare`] wants to see the rows.
    pub fn positions(&self) -> impl Iterator<Item = u64> {
        self.at.keys().copied()
    }

    /// Compares those of a position with the rows as of then. One that another revision of the
    /// aggregate folded says nothing to this guest, which does not use it either.
    pub fn compare(&mut self, position: u64, folded: &MemoryStore) {
        for (stream, snapshot) in self.at.remove(&position).unwrap_or_default() {
            let name = String::from_utf8_lossy(&stream);
            let (aggregate, id) = name.split_once(':').unwrap_or((&name, ""));
            let generation = snapshot.revision.saturating_mul(2);
            let view = folded.rows.iter().find(|(view, _)| view.name == aggregate);
            if view.is_some_and(|(view, _)| view.generation != generation) {
                continue;
            }
            let row = view.and_then(|(_, rows)| rows.get(id.as_bytes()));
            let right = row.and_then(|row| StreamRow::read(row).ok());
            if right != Some(StreamRow::State(snapshot.version, &snapshot.state)) {
                let version = snapshot.version;
                let detail = format!("the snapshot of version {version} is not the fold's state");
                let state = match right {
                    Some(StreamRow::State(found, state)) if found == version => {
                        Some(state.to_vec())
                    }
                    _ => None,
                };
                self.mended.insert((stream.clone(), version), state);
                self.wrong.push(wrong(&stream, detail));
            }
        }
    }

    /// Those beyond the end of the log are the state of nothing.
    pub fn end(&mut self) {
        for (position, snapshots) in std::mem::take(&mut self.at) {
            for (stream, snapshot) in snapshots {
                self.mended.insert((stream.clone(), snapshot.version), None);
                let detail = format!("a snapshot as of position {position}, beyond the log's end");
                self.wrong.push(wrong(&stream, detail));
            }
        }
    }
}
