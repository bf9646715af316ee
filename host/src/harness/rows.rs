//! The stored rows of a source: their checksums, and whether they are the fold.
//!
//! Owns the comparison: a digest per view first, so that a whole and right store needs no second
//! copy of its rows in memory; key by key only for the first view that differs.

use std::collections::BTreeMap;

use foldlog_core::chain::{hex, unseal_row};
use foldlog_core::driver::MemoryStore;
use foldlog_core::protocol::View;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use super::digest::counts;

/// Rows of a view by key.
pub type Rows = BTreeMap<Vec<u8>, Vec<u8>>;

/// A row that is not what it should be.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Wrong {
    /// Name of its view.
    pub view: String,
    /// Its key.
    pub key: Vec<u8>,
    /// What is wrong with it.
    pub detail: String,
}

/// What one pass over all stored rows finds out.
#[derive(Debug, Default)]
pub struct Stored {
    /// The checkpoint row's value, when its checksum holds.
    pub checkpoint: Option<Vec<u8>>,
    /// The first rows that do not match their checksums, and how many there are.
    pub wrong: Vec<Wrong>,
    /// See above.
    pub wrong_count: u64,
    /// Snapshots taken on request, by stream: no fold takes them again.
    pub taken: Rows,
    /// By view and generation: the digest of its rows.
    views: BTreeMap<(String, u32), Sha256>,
}

/// Snapshots are no part of the digest, but taken by the fold: each must be the state it says.
fn compared(view: &str) -> bool {
    counts(view) || view.starts_with("~snapshots:")
}

/// Of the rows that are wrong in the same way only so many are kept.
const KEPT_MAX: usize = 10;

impl Stored {
    /// Reads all rows.
    pub fn read(raw: &Connection) -> Result<Self, String> {
        let mut stored = Self::default();
        let sql = "SELECT view, generation, key, value FROM rows ORDER BY view, generation, key";
        each(raw, sql, &[], |view, generation, key, value| {
            stored.take(view, generation, key, value);
            Ok(true)
        })?;
        Ok(stored)
    }

    fn take(&mut self, view: &str, generation: u32, key: &[u8], sealed: &[u8]) {
        let value = unseal_row(view, generation, key, sealed);
        if value.is_none() {
            self.wrong_count += 1;
            if self.wrong.len() < KEPT_MAX {
                let detail = "the row does not match its checksum".to_string();
                self.wrong.push(Wrong { view: view.to_string(), key: key.to_vec(), detail });
            }
        }
        if view == "checkpoint" {
            self.checkpoint = value.map(<[u8]>::to_vec);
        }
        if let ("~snapshots-taken", Some(value)) = (view, value) {
            self.taken.insert(key.to_vec(), value.to_vec());
        }
        if compared(view) {
            let digest = self.views.entry((view.to_string(), generation)).or_default();
            feed(digest, key, value.unwrap_or(sealed));
        }
    }

    /// Whether there are rows that belong to a fold.
    pub fn any(&self) -> bool {
        !self.views.is_empty()
    }

    /// The first of the serving views whose rows are not these, with a copy of what they should be.
    /// A generation that is still being built, or being deleted, is compared with nothing.
    pub fn differing(&self, folded: &MemoryStore, serving: &[View]) -> Option<(View, Rows)> {
        let nothing = Rows::new();
        let mut serving: Vec<&View> = serving.iter().filter(|view| compared(&view.name)).collect();
        serving.sort_unstable();
        let differs = |view: &View| {
            let found = folded.rows.iter().find(|(other, _)| other.name == view.name);
            let rows = found.map_or(&nothing, |(_, rows)| rows);
            let mut digest = Sha256::new();
            rows.iter().for_each(|(key, value)| feed(&mut digest, key, value));
            let stored = self.views.get(&(view.name.clone(), view.generation));
            let same = stored.cloned().unwrap_or_default().finalize() == digest.finalize();
            (!same).then(|| (view.clone(), rows.clone()))
        };
        serving.into_iter().find_map(differs)
    }

    /// The first row of a view that is stored otherwise than folded.
    pub fn first_difference(
        &self,
        raw: &Connection,
        view: &View,
        folded: &Rows,
    ) -> Result<Option<Wrong>, String> {
        let View { name, generation } = view;
        let mut folded = folded.iter().peekable();
        let mut found: Option<(Vec<u8>, String)> = None;
        let sql = "SELECT view, generation, key, value FROM rows \
                   WHERE view = ?1 AND generation = ?2 ORDER BY key";
        each(raw, sql, &[name, generation], |view, generation, key, sealed| {
            let value = unseal_row(view, generation, key, sealed).unwrap_or(sealed);
            found = match folded.peek() {
                Some((expected, _)) if expected.as_slice() < key => {
                    Some(((*expected).clone(), "the row is missing".into()))
                }
                Some((expected, right)) if expected.as_slice() == key => {
                    let (right, same) = (hex(right), right.as_slice() == value);
                    folded.next();
                    let detail = format!("stored is {}, folded is {right}", hex(value));
                    (!same).then(|| (key.to_vec(), detail))
                }
                _ => Some((key.to_vec(), "the fold has no such row".into())),
            };
            Ok(found.is_none())
        })?;
        let missing = || folded.next().map(|(key, _)| (key.clone(), "the row is missing".into()));
        let found = found.or_else(missing);
        Ok(found.map(|(key, detail)| Wrong { view: name.clone(), key, detail }))
    }
}

fn feed(digest: &mut Sha256, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        digest.update(part);
    }
}

/// Gives each row of a query to `take`, until that says no.
pub fn each(
    raw: &Connection,
    sql: &str,
    values: &[&dyn rusqlite::ToSql],
    mut take: impl FnMut(&str, u32, &[u8], &[u8]) -> Result<bool, String>,
) -> Result<(), String> {
    let failed = |e: rusqlite::Error| format!("the rows can not be read: {e}");
    let mut statement = raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query(values).map_err(failed)?;
    while let Some(row) = rows.next().map_err(failed)? {
        let bytes =
            |index| row.get_ref(index).and_then(|value| Ok(value.as_bytes()?)).map_err(failed);
        let view = row.get_ref(0).and_then(|value| Ok(value.as_str()?)).map_err(failed)?;
        let generation = row.get(1).map_err(failed)?;
        if !take(view, generation, bytes(2)?, bytes(3)?)? {
            break;
        }
    }
    Ok(())
}
