//! The stored rows of a source: their checksums, and whether they are the fold.
//!
//! Owns the comparison: a digest per view first, so that a whole and right store needs no second
//! copy of its rows in memory; key by key only for the first view that differs.

use std::collections::BTreeMap;

use foldlog_core::chain::{hex, unseal_row};
use foldlog_core::driver::MemoryStore;
use rusqlite::Connection;
use sha2::{Digest, Sha256};

use crate::digest::counts;

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
    /// By view: the generation that serves, and the digest of its rows.
    views: BTreeMap<String, (u32, Sha256)>,
}

/// Snapshots are no part of the digest, but taken by the fold: each must be the state it says.
fn compared(view: &str) -> bool {
    counts(view) || view == "~snapshots"
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
        if compared(view) {
            // Generations come in order: a newer one is still being built and serves nothing.
            let fresh = || (generation, Sha256::new());
            let (serving, digest) = self.views.entry(view.to_string()).or_insert_with(fresh);
            if *serving == generation {
                feed(digest, key, value.unwrap_or(sealed));
            }
        }
    }

    /// Whether there are rows that belong to a fold.
    pub fn any(&self) -> bool {
        !self.views.is_empty()
    }

    /// The first view whose rows are not these, with a copy of what they should be.
    pub fn differing(&self, folded: &MemoryStore) -> Option<(String, Rows)> {
        let mut views: BTreeMap<&str, Option<&Rows>> =
            self.views.keys().map(|view| (view.as_str(), None)).collect();
        for (view, rows) in
            folded.rows.iter().filter(|(view, rows)| compared(&view.name) && !rows.is_empty())
        {
            views.insert(&view.name, Some(rows));
        }
        let nothing = Rows::new();
        let differs = |(view, rows): (&str, Option<&Rows>)| {
            let rows = rows.unwrap_or(&nothing);
            let mut digest = Sha256::new();
            rows.iter().for_each(|(key, value)| feed(&mut digest, key, value));
            let stored = self.views.get(view).map(|(_, digest)| digest.clone());
            let same = stored.is_some_and(|stored| stored.finalize() == digest.finalize());
            (!same).then(|| (view.to_string(), rows.clone()))
        };
        views.into_iter().find_map(differs)
    }

    /// The first row of a view that is stored otherwise than folded.
    pub fn first_difference(
        &self,
        raw: &Connection,
        view: &str,
        folded: &Rows,
    ) -> Result<Option<Wrong>, String> {
        let generation = self.views.get(view).map_or(1, |(generation, _)| *generation);
        let mut folded = folded.iter().peekable();
        let mut found: Option<(Vec<u8>, String)> = None;
        let sql = "SELECT view, generation, key, value FROM rows \
                   WHERE view = ?1 AND generation = ?2 ORDER BY key";
        each(raw, sql, &[&view, &generation], |view, generation, key, sealed| {
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
        Ok(found.map(|(key, detail)| Wrong { view: view.to_string(), key, detail }))
    }
}

fn feed(digest: &mut Sha256, key: &[u8], value: &[u8]) {
    for part in [key, value] {
        digest.update(u32::try_from(part.len()).unwrap_or(u32::MAX).to_le_bytes());
        digest.update(part);
    }
}

/// Gives each row of a query to `take`, until that says no.
fn each(
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
