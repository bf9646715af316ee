//! The SQLite store: the two tables, the view `lss`, and how messages map to rows.
//!
//! Owns the mapping, for both hosts; the SQL text is in `schema`. Refuses to know how statements
//! are bound and stepped ([`Sqlite`]) and what rows mean.
//!
//! Invariant: a value in `rows` ends in the CRC-32C of (view, generation, key, value).

mod blocks;
mod write;

use alloc::format;
use alloc::string::{String, ToString};
use alloc::vec;
use alloc::vec::Vec;

use super::connection::{SqlError, SqlValue, Sqlite};
use super::leftovers::{cut, import_key, store_progress};
use super::lines::{lines_of, times_of};
use super::schema::*;
use super::{Importing, Progress, Store, StoreError, StoredBlock, Tail, Write};
use crate::chain;
use crate::protocol::{Answer, Query, RowKey, View};
use crate::settings::Secret;
use write::{block_values, store_blocks, store_rows};

/// The view and key of the checkpoint row.
fn checkpoint_key() -> RowKey {
    RowKey { view: View { name: "checkpoint".into(), generation: 0 }, key: Vec::new() }
}

type KeyValue = (Vec<u8>, Vec<u8>);

/// A [`Store`] over any SQLite connection.
#[derive(Debug)]
pub struct SqlStore<C> {
    connection: C,
    created: bool,
}

impl<C: Sqlite> SqlStore<C> {
    /// A store over an open connection. Creates nothing until the first write.
    pub const fn new(connection: C) -> Self {
        Self { connection, created: false }
    }

    /// The connection, for what only one host does.
    pub const fn connection(&mut self) -> &mut C {
        &mut self.connection
    }

    /// The connection, for whoever only reads from here on.
    pub fn into_connection(self) -> C {
        self.connection
    }

    /// Whether the tables exist, or came into being through this store.
    fn created(&mut self) -> Result<bool, StoreError> {
        if !self.created {
            self.created = self.query(C::TABLES, &[])?.len() == 2;
        }
        Ok(self.created)
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, StoreError> {
        self.connection.query(sql, values).map_err(read_error)
    }

    /// Reads the log from `position` on.
    fn log(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
        position: u64,
    ) -> Result<Vec<Vec<SqlValue>>, StoreError> {
        self.connection.query(sql, values).map_err(|error| match error {
            SqlError::Corrupt(detail) => StoreError::CorruptLog { position, detail },
            error => read_error(error),
        })
    }

    /// Reads rows of a view: all of them can be folded again.
    fn view(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
        (view, key): (&View, &[u8]),
    ) -> Result<Vec<Vec<SqlValue>>, StoreError> {
        self.connection.query(sql, values).map_err(|error| match error {
            SqlError::Corrupt(_) => corrupt(view, key),
            error => read_error(error),
        })
    }

    /// The genesis line.
    pub(super) fn genesis(&mut self) -> Result<Option<String>, StoreError> {
        if !self.created()? {
            return Ok(None);
        }
        match self.log(GENESIS, &[], 0)?.first().map(Vec::as_slice) {
            Some([SqlValue::Text(body)]) => Ok(Some(chain::inner(body).to_string())),
            Some(_) => Err(damaged(0)),
            None => Ok(None),
        }
    }

    fn answer(&mut self, query: &Query) -> Result<Answer, StoreError> {
        match query {
            Query::Commits { positions } => lines_of(positions, self.finder()).map(Answer::Commits),
            Query::Times { positions } => times_of(positions, self.finder()).map(Answer::Times),
            Query::CommitsAfter { after, limit, descending } => {
                self.commits_after(*after, *limit, *descending).map(Answer::Commits)
            }
            Query::Row(key) => self.row(key).map(Answer::Row),
            Query::Rows { view, after_key, prefix, limit } => {
                self.rows(view, after_key, prefix, *limit).map(Answer::Rows)
            }
        }
    }

    /// How far an unfinished import has come. Its row is no row of a log: what it says can be lost.
    fn import(&mut self) -> Result<Option<Progress>, StoreError> {
        match self.row(&import_key()) {
            Ok(row) => Ok(row.map(|row| Progress::of_row(Some(&row)))),
            Err(StoreError::CorruptRow { .. }) => Ok(Some(Progress::of_row(None))),
            Err(error) => Err(error),
        }
    }

    fn row(&mut self, key: &RowKey) -> Result<Option<Vec<u8>>, StoreError> {
        let RowKey { view, key } = key;
        let values = [
            SqlValue::Text(view.name.clone()),
            integer(view.generation.into()),
            SqlValue::Blob(key.clone()),
        ];
        let rows = self.view(ROW, &values, (view, key))?;
        let Some(row) = rows.into_iter().next() else { return Ok(None) };
        let Ok([SqlValue::Blob(stored)]) = <[_; 1]>::try_from(row) else {
            return Err(corrupt(view, key));
        };
        unseal(view, key, stored).map(Some)
    }

    fn rows(
        &mut self,
        view: &View,
        after_key: &[u8],
        prefix: &[u8],
        limit: u32,
    ) -> Result<Vec<KeyValue>, StoreError> {
        let values = [
            SqlValue::Text(view.name.clone()),
            integer(view.generation.into()),
            SqlValue::Blob(after_key.to_vec()),
            SqlValue::Blob(prefix.to_vec()),
            SqlValue::Blob(prefix_end(prefix)),
            integer(limit.into()),
        ];
        let mut found = Vec::new();
        for row in self.view(ROWS, &values, (view, after_key))? {
            let Ok([SqlValue::Blob(key), SqlValue::Blob(stored)]) = <[_; 2]>::try_from(row) else {
                return Err(corrupt(view, &[]));
            };
            let value = unseal(view, &key, stored)?;
            found.push((key, value));
        }
        Ok(found)
    }
}

impl<C: Sqlite> Store for SqlStore<C> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        if !self.created()? {
            return Ok(Tail::default());
        }
        let genesis = self.genesis()?;
        let last = self.log(LAST_BLOCK, &[], 0)?;
        let last = match last.first().map(Vec::as_slice) {
            Some([SqlValue::Integer(position), SqlValue::Text(body)]) => {
                let position = u64::try_from(*position).map_err(|_| damaged(0))?;
                Some((position, chain::lines(body).next_back().unwrap_or_default().to_string()))
            }
            Some(_) => return Err(damaged(0)),
            None => None,
        };
        let import = if genesis.is_none() { self.import()? } else { None };
        let checkpoint = self.row(&checkpoint_key())?;
        Ok(Tail { genesis, last, checkpoint, import })
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        if !self.created()? {
            return Ok(queries.iter().map(empty_answer).collect());
        }
        queries.iter().map(|query| self.answer(query)).collect()
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        let created = self.created()?;
        if let Some(block) = write.only_block().filter(|_| created) {
            return self.connection.alone(ADD_BLOCK, &block_values(block)).map_err(write_error);
        }
        let mut in_rows = false;
        self.connection
            .transaction(&mut |connection| {
                if !created {
                    C::CREATE.iter().try_for_each(|sql| connection.execute(sql, &[]))?;
                }
                cut(connection, write)?;
                store_blocks(connection, &write.blocks)?;
                store_rows(connection, write)
                    .and_then(|()| store_progress(connection, write))
                    .inspect_err(|_| in_rows = true)
            })
            .map_err(|error| match error {
                // It was undone before its end, so nothing is stored of it.
                SqlError::Corrupt(_) if in_rows => corrupt(&checkpoint_key().view, &[]),
                error => write_error(error),
            })?;
        self.created = true;
        Ok(())
    }

    fn own(&mut self, incarnation: &[u8; 16]) -> Result<(), StoreError> {
        self.connection.own(incarnation).map_err(write_error)
    }

    fn secret(&mut self) -> Option<Secret> {
        self.connection.secret()
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        if self.created()? {
            let log = self.genesis()?.is_some();
            let sql = if log { DELETE_ROWS } else { DELETE_ROWS_OF_IMPORT };
            let import = if log { None } else { self.import()? };
            self.connection
                .transaction(&mut |connection| connection.execute(sql, &[]))
                .or_else(|error| self.replace_rows(error, import))
                .map_err(write_error)?;
        }
        Ok(())
    }
}

impl<C: Sqlite> SqlStore<C> {
    /// Rows on damaged pages can not even be deleted: the table is forgotten, and made anew. Its
    /// pages stay where they are, of no use. How far an import has come stays.
    fn replace_rows(&mut self, error: SqlError, import: Option<Progress>) -> Result<(), SqlError> {
        if !matches!(error, SqlError::Corrupt(_)) {
            return Err(error);
        }
        let write = Write { import: import.map(Importing::At), ..Write::default() };
        self.connection.transaction(&mut |connection| {
            let mut all = REPLACE_ROWS.iter().chain(C::CREATE);
            all.try_for_each(|sql| connection.execute(sql, &[]))?;
            store_progress(connection, &write)
        })
    }
}

fn read_error(error: SqlError) -> StoreError {
    match error {
        SqlError::Full => StoreError::Full,
        SqlError::Corrupt(detail) | SqlError::Failed(detail) => StoreError::Read(detail),
    }
}

/// Positions and generations stay below 2^53, so they pass JavaScript unharmed.
pub(super) fn integer(number: u64) -> SqlValue {
    SqlValue::Integer(i64::try_from(number).unwrap_or(i64::MAX))
}

pub(super) fn stored_block(row: Vec<SqlValue>) -> Result<StoredBlock, StoreError> {
    let Ok([SqlValue::Integer(first), last, body]) = <[_; 3]>::try_from(row) else {
        return Err(damaged(0));
    };
    let first = u64::try_from(first).map_err(|_| damaged(0))?;
    let (SqlValue::Integer(last), SqlValue::Text(body)) = (last, body) else {
        return Err(damaged(first));
    };
    let last = u64::try_from(last).map_err(|_| damaged(first))?;
    Ok(StoredBlock { first, last, body })
}

/// The first key beyond all keys that start with `prefix`. Keys are shorter than 4 kB and a
/// prefix never consists of 255s alone, so a long run of 255s stands for "no end".
fn prefix_end(prefix: &[u8]) -> Vec<u8> {
    let mut end = prefix.to_vec();
    while let Some(last) = end.pop() {
        if last < u8::MAX {
            end.push(last.saturating_add(1));
            return end;
        }
    }
    vec![u8::MAX; 4096]
}

fn unseal(view: &View, key: &[u8], mut stored: Vec<u8>) -> Result<Vec<u8>, StoreError> {
    let value = chain::unseal_row(&view.name, view.generation, key, &stored);
    let length = value.ok_or_else(|| corrupt(view, key))?.len();
    stored.truncate(length);
    Ok(stored)
}

fn corrupt(view: &View, key: &[u8]) -> StoreError {
    StoreError::CorruptRow { view: view.name.clone(), key: chain::hex(key) }
}

fn damaged(position: u64) -> StoreError {
    StoreError::CorruptLog { position, detail: "a block has the wrong shape".into() }
}

pub(super) fn missing(position: u64) -> StoreError {
    StoreError::CorruptLog { position, detail: format!("no commit holds position {position}") }
}

fn write_error(error: SqlError) -> StoreError {
    match error {
        SqlError::Full => StoreError::Full,
        SqlError::Corrupt(detail) | SqlError::Failed(detail) => StoreError::Unknown(detail),
    }
}

/// What a store without tables answers.
pub(super) fn empty_answer(query: &Query) -> Answer {
    match query {
        Query::Commits { .. } | Query::CommitsAfter { .. } => Answer::Commits(Vec::new()),
        Query::Row(_) => Answer::Row(None),
        Query::Rows { .. } => Answer::Rows(Vec::new()),
        Query::Times { .. } => Answer::Times(Vec::new()),
    }
}
