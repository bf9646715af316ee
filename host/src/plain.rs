//! Plain SQLite connections behind the driver's port: one that is only read, and one to a file that is
//! gone with the process.
//!
//! Owns that the first refuses to write. Refuses to know what files are, and durability: a partition's
//! own connection is `sqlite`.

use std::borrow::Borrow;

use foldlog_core::driver::{SqlError, SqlValue, Sqlite};
use rusqlite::Connection;

use crate::sqlite::{execute, query};

/// Whatever holds a connection, as far as reading goes.
#[derive(Debug)]
pub struct ReadOnly<C>(pub C);

fn refused() -> SqlError {
    SqlError::Failed("it is only read".into())
}

impl<C: Borrow<Connection>> Sqlite for ReadOnly<C> {
    fn execute(&mut self, _: &'static str, _: &[SqlValue]) -> Result<(), SqlError> {
        Err(refused())
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        query(self.0.borrow(), sql, values)
    }

    fn transaction(
        &mut self,
        _: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        Err(refused())
    }
}

/// A connection to a file of which nothing has to be durable.
#[derive(Debug)]
pub struct Temporary(pub Connection);

impl Sqlite for Temporary {
    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        execute(&self.0, sql, values).map(drop)
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        query(&self.0, sql, values)
    }

    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.execute("BEGIN", &[])?;
        body(self)?;
        self.execute("COMMIT", &[])
    }
}
