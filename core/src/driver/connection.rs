//! The port to SQLite, and to what understands its statements: what the store needs of a connection,
//! and nothing more.
//!
//! Owns values, errors and the trait that hosts fill. Refuses to know tables and statements.

use alloc::string::String;
use alloc::vec::Vec;

use super::schema;
use crate::settings::Secret;

/// A value bound to or read from a statement.
#[derive(Clone, Debug, PartialEq)]
pub enum SqlValue {
    /// NULL.
    Null,
    /// An integer within ±(2^53−1), so that it passes JavaScript unharmed.
    Integer(i64),
    /// Text.
    Text(String),
    /// Bytes.
    Blob(Vec<u8>),
}

/// Why SQLite did not do what it was asked.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum SqlError {
    /// SQLITE_FULL or the platform's quota.
    Full,
    /// The file is not what SQLite wrote.
    Corrupt(String),
    /// Anything else.
    Failed(String),
}

/// A connection, as far as the store needs it.
pub trait Sqlite {
    /// Makes both tables and the view; each statement is executed in turn.
    const CREATE: &'static [&'static str] = &schema::CREATE;
    /// Gives a row for each of the two tables that is there.
    const TABLES: &'static str = schema::TABLES;
    /// Stores many rows at once; none where each is to be told by itself.
    const PUT_ROWS: Option<&'static str> = Some(schema::PUT_ROWS);

    /// Runs one statement that gives no rows.
    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError>;
    /// Runs one query and returns all its rows.
    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError>;
    /// Runs `body` in one transaction: durable when this returns `Ok`, undone when `body` fails.
    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError>;
    /// Runs one statement as a transaction of its own.
    fn alone(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        self.transaction(&mut |connection| connection.execute(sql, values))
    }
    /// Keeps, outside of the tables, that the host may act for this incarnation.
    fn own(&mut self, _incarnation: &[u8; 16]) -> Result<(), SqlError> {
        Ok(())
    }
    /// What the keys of consumers are made from, where it is kept beside the tables.
    fn secret(&mut self) -> Option<Secret> {
        None
    }
}
