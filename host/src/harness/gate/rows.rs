//! Rows of two guests over the same log: which differ, and how that looks.
//!
//! Owns the comparison, a view at a time, both in key order, so that memory stays the same however
//! many rows there are. Refuses to know where the difference began (`began`).

use std::collections::BTreeMap;

use foldlog_core::chain::{hex, unseal_row};
use foldlog_core::json::members;
use rusqlite::{Connection, Statement};

use crate::harness::again::Run;
use crate::harness::digest::counts;
use crate::harness::texts::diff;

/// A view whose rows differ.
#[derive(Debug)]
pub struct Differing {
    /// Its name.
    pub view: String,
    /// Both fold it under the same revision.
    pub same_revision: bool,
    /// How many keys have other rows.
    pub rows: u64,
    /// The first of them: what each looks like.
    pub examples: Vec<(String, Vec<String>)>,
}

type Value = Option<Vec<u8>>;
type KeyValue = (Vec<u8>, Vec<u8>);

/// All views whose rows differ; of each so many examples.
pub fn differing(
    old: &mut Run,
    new: &mut Run,
    examples_max: usize,
) -> Result<Vec<Differing>, String> {
    let (before, after) = (views(old.store.rows())?, views(new.store.rows())?);
    let mut names: Vec<&String> = before.keys().chain(after.keys()).collect();
    names.sort_unstable();
    names.dedup();
    let mut all = Vec::new();
    for name in names {
        let (was, is) = (before.get(name).copied(), after.get(name).copied());
        let same_revision = was.zip(is).is_none_or(|(was, is)| was == is);
        let (mut rows, mut first) = (0, Vec::new());
        let sides = [(old.store.rows(), was), (new.store.rows(), is)];
        merge(sides, name, &mut |key, was, is| {
            if was == is {
                return;
            }
            rows += 1;
            if first.len() < examples_max {
                first.push((key.to_vec(), was.clone(), is.clone()));
            }
        })?;
        if rows > 0 {
            let shown = first.into_iter().map(|one| shown(old, new, name, one)).collect();
            all.push(Differing { view: name.clone(), same_revision, rows, examples: shown });
        }
    }
    Ok(all)
}

/// The views that count, with their generation. A fold from the start has one of each.
fn views(rows: &Connection) -> Result<BTreeMap<String, u32>, String> {
    let failed = |e: rusqlite::Error| e.to_string();
    let mut views = BTreeMap::new();
    let mut statement =
        rows.prepare("SELECT DISTINCT view, generation FROM rows").map_err(failed)?;
    let mut found = statement.query([]).map_err(failed)?;
    while let Some(row) = found.next().map_err(failed)? {
        let (name, generation) = (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        views.insert(name, generation);
    }
    Ok(views.into_iter().filter(|(name, _): &(String, u32)| counts(name)).collect())
}

const ROWS: &str = "SELECT key, value FROM rows WHERE view = ?1 AND generation = ?2 ORDER BY key";

/// Gives each key that either side has, with what both have there.
fn merge(
    [(old, was), (new, is)]: [(&Connection, Option<u32>); 2],
    view: &str,
    take: &mut dyn FnMut(&[u8], &Value, &Value),
) -> Result<(), String> {
    let failed = |e: rusqlite::Error| format!("the rows can not be read: {e}");
    let (mut old, mut new) =
        (old.prepare(ROWS).map_err(failed)?, new.prepare(ROWS).map_err(failed)?);
    let (mut old, mut new) = (side(&mut old, view, was)?, side(&mut new, view, is)?);
    let (mut a, mut b) = (old.next()?, new.next()?);
    loop {
        let order = match (&a, &b) {
            (None, None) => return Ok(()),
            (Some(_), None) => std::cmp::Ordering::Less,
            (None, Some(_)) => std::cmp::Ordering::Greater,
            (Some((a, _)), Some((b, _))) => a.cmp(b),
        };
        let was = if order.is_le() { a.take() } else { None };
        let is = if order.is_ge() { b.take() } else { None };
        let key = was.as_ref().or(is.as_ref()).map(|(key, _)| key.clone()).unwrap_or_default();
        if was.is_some() {
            a = old.next()?;
        }
        if is.is_some() {
            b = new.next()?;
        }
        take(&key, &was.map(|(_, value)| value), &is.map(|(_, value)| value));
    }
}

struct Side<'s> {
    rows: rusqlite::Rows<'s>,
    view: &'s str,
    generation: u32,
}

fn side<'s>(
    statement: &'s mut Statement<'_>,
    view: &'s str,
    generation: Option<u32>,
) -> Result<Side<'s>, String> {
    // A view without rows has no generation; no row has this one.
    let generation = generation.unwrap_or(u32::MAX);
    let rows = statement.query((view, generation)).map_err(|e| e.to_string())?;
    Ok(Side { rows, view, generation })
}

impl Side<'_> {
    fn next(&mut self) -> Result<Option<KeyValue>, String> {
        let failed = |e: rusqlite::Error| format!("the rows can not be read: {e}");
        let Some(row) = self.rows.next().map_err(failed)? else { return Ok(None) };
        let (key, sealed): (Vec<u8>, Vec<u8>) =
            (row.get(0).map_err(failed)?, row.get(1).map_err(failed)?);
        let value = unseal_row(self.view, self.generation, &key, &sealed);
        let value = value.map(<[u8]>::to_vec).ok_or("a temporary row lost its bytes")?;
        Ok(Some((key, value)))
    }
}

/// A row's key, and how the two look: as the projection shows them where it pages by that key, else
/// as they are.
fn shown(
    old: &mut Run,
    new: &mut Run,
    view: &str,
    (key, was, is): (Vec<u8>, Value, Value),
) -> (String, Vec<String>) {
    let name = key.escape_ascii().to_string();
    let page = |run: &mut Run| {
        let after = before_key(run.store.rows(), view, &key)?;
        let after = after.map_or(Some(String::new()), |key| String::from_utf8(key).ok())?;
        let mut target = format!("/projections/{view}?limit=1");
        if !after.is_empty() {
            let escaped = after.bytes().map(|byte| format!("%{byte:02X}"));
            target.push_str(&format!("&after={}", escaped.collect::<String>()));
        }
        let response = run.read(&target).ok().filter(|response| response.status == 200)?;
        let body = String::from_utf8(response.body).ok()?;
        let data = members(&body)?.into_iter().find(|(name, _)| name == "data")?.1;
        Some(data.to_string())
    };
    if let (Some(was), Some(is)) = (page(old), page(new)) {
        let lines = diff(&was, &is);
        if !lines.is_empty() {
            return (name, lines);
        }
    }
    let raw = |sign: char, value: Value| {
        value.map(|value| format!("{sign} {} ({})", hex(&value), value.escape_ascii()))
    };
    (name, raw('-', was).into_iter().chain(raw('+', is)).collect())
}

/// The key before this one; nothing when it can not be told.
#[expect(clippy::option_option, reason = "no key before, and no answer, are two things")]
fn before_key(rows: &Connection, view: &str, key: &[u8]) -> Option<Option<Vec<u8>>> {
    let sql = "SELECT max(key) FROM rows WHERE view = ?1 AND key < ?2";
    rows.query_row(sql, (view, key), |row| row.get(0)).ok()
}
