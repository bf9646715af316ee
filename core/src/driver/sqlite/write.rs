//! What one transaction writes: blocks of the log, rows, the checkpoint.
//!
//! Owns the statements' order within it: what is deleted whole goes before what is written.

use alloc::vec;
use alloc::vec::Vec;

use super::super::connection::{SqlError, SqlValue, Sqlite};
use super::super::schema::*;
use super::super::{StoredBlock, Write};
use super::{checkpoint_key, integer};
use crate::chain;
use crate::protocol::{RowKey, View};

/// Rows with larger values are stored one by one: a host may bound what one statement is given.
const LARGE_BYTES: usize = 16 << 10;

pub(super) fn block_values(block: &StoredBlock) -> [SqlValue; 3] {
    [integer(block.first), integer(block.last), SqlValue::Text(block.body.clone())]
}

pub(super) fn store_blocks<C: Sqlite>(
    connection: &mut C,
    blocks: &[StoredBlock],
) -> Result<(), SqlError> {
    blocks.iter().try_for_each(|block| connection.execute(ADD_BLOCK, &block_values(block)))
}

/// Stores rows of one view, many at once where the host takes that.
struct Rows<'a, C> {
    connection: &'a mut C,
    view: &'a View,
    /// View and generation, then key and value of each row that waits.
    values: Vec<SqlValue>,
}

impl<'a, C: Sqlite> Rows<'a, C> {
    fn new(connection: &'a mut C, view: &'a View) -> Self {
        let values = vec![SqlValue::Text(view.name.clone()), integer(view.generation.into())];
        Self { connection, view, values }
    }

    fn change(&mut self, key: &[u8], value: Option<&[u8]>) -> Result<(), SqlError> {
        let View { name, generation } = self.view;
        let Some(value) = value else {
            self.flush()?;
            self.values.push(SqlValue::Blob(key.to_vec()));
            let deleted = self.connection.execute(DELETE_ROW, &self.values);
            self.values.truncate(2);
            return deleted;
        };
        let large = value.len() > LARGE_BYTES;
        if large {
            self.flush()?;
        }
        self.values.push(SqlValue::Blob(key.to_vec()));
        self.values.push(SqlValue::Blob(chain::seal_row(name, *generation, key, value)));
        if large || self.values.len() == 2 + 2 * PUT_ROWS_COUNT {
            self.flush()?;
        }
        Ok(())
    }

    fn flush(&mut self) -> Result<(), SqlError> {
        let waiting = self.values.split_off(2);
        match C::PUT_ROWS {
            Some(put_rows) if waiting.len() == 2 * PUT_ROWS_COUNT => {
                self.values.extend(waiting);
                self.connection.execute(put_rows, &self.values)?;
                self.values.truncate(2);
            }
            _ => {
                let mut waiting = waiting.into_iter();
                while let (Some(key), Some(value)) = (waiting.next(), waiting.next()) {
                    self.values.extend([key, value]);
                    self.connection.execute(PUT_ROW, &self.values)?;
                    self.values.truncate(2);
                }
            }
        }
        Ok(())
    }
}

pub(super) fn store_rows<C: Sqlite>(connection: &mut C, write: &Write) -> Result<(), SqlError> {
    for view in &write.dropped {
        connection.execute(
            DELETE_VIEW,
            &[SqlValue::Text(view.name.clone()), integer(view.generation.into())],
        )?;
    }
    for (view, rows) in &write.rows {
        let mut stored = Rows::new(connection, view);
        rows.iter().try_for_each(|(key, value)| stored.change(key, value.as_deref()))?;
        stored.flush()?;
    }
    let Some(checkpoint) = &write.checkpoint else { return Ok(()) };
    let RowKey { view, key } = checkpoint_key();
    let sealed = chain::seal_row(&view.name, view.generation, &key, checkpoint);
    connection.execute(
        PUT_ROW,
        &[
            SqlValue::Text(view.name),
            integer(view.generation.into()),
            SqlValue::Blob(key),
            SqlValue::Blob(sealed),
        ],
    )
}
