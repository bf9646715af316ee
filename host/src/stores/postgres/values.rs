//! Values and errors on their way between the driver's port and the client library.
//!
//! Owns their translation. Refuses to know which statement they belong to.

use foldlog_core::driver::{SqlError, SqlValue};
use postgres::Row;
use postgres::error::SqlState;
use postgres::types::{IsNull, ToSql, Type, to_sql_checked};

/// A value to bind.
#[derive(Debug)]
pub struct Bound<'a>(pub &'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(
        &self,
        of: &Type,
        out: &mut postgres::types::private::BytesMut,
    ) -> Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
        match self.0 {
            SqlValue::Null => Ok(IsNull::Yes),
            SqlValue::Integer(number) => number.to_sql_checked(of, out),
            SqlValue::Text(text) => text.to_sql_checked(of, out),
            SqlValue::Blob(bytes) => bytes.to_sql_checked(of, out),
        }
    }

    /// Each value says for itself.
    fn accepts(_: &Type) -> bool {
        true
    }

    to_sql_checked!();
}

/// A row's values.
pub fn owned(row: &Row) -> Result<Vec<SqlValue>, SqlError> {
    let value = |(index, column): (usize, &postgres::Column)| match *column.type_() {
        Type::INT8 => row.try_get(index).map(|v: Option<i64>| v.map(SqlValue::Integer)),
        Type::BYTEA => row.try_get(index).map(|v: Option<Vec<u8>>| v.map(SqlValue::Blob)),
        _ => row.try_get(index).map(|v: Option<String>| v.map(SqlValue::Text)),
    };
    let values = row.columns().iter().enumerate().map(value);
    values.map(|v| v.map(|v| v.unwrap_or(SqlValue::Null)).map_err(failed)).collect()
}

/// An error of the client library, and why.
pub fn with_causes(error: &postgres::Error) -> String {
    let mut told = error.to_string();
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        told.push_str(&format!(": {error}"));
        cause = error.source();
    }
    told
}

/// What the database says, without what was sent to it.
pub fn failed(error: postgres::Error) -> SqlError {
    let Some(told) = error.as_db_error() else { return SqlError::Failed(with_causes(&error)) };
    match *told.code() {
        SqlState::DISK_FULL => SqlError::Full,
        SqlState::DATA_CORRUPTED | SqlState::INDEX_CORRUPTED => {
            SqlError::Corrupt(told.message().into())
        }
        _ => SqlError::Failed(format!("{}: {}", told.code().code(), told.message())),
    }
}
