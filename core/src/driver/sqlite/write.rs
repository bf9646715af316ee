//! What one transaction writes: blocks of the log, rows, the checkpoint.
//!
//! Owns the statements' order within it: what is deleted whole goes before what is written.

use alloc::vec;

use super::super::connection::{SqlError, SqlValue, Sqlite};
use super::super::schema::*;
use super::super::{StoredBlock, Write};
use super::{checkpoint_key, integer};
use crate::chain;
use crate::protocol::RowKey;

pub(super) fn store_blocks<C: Sqlite>(
    connection: &mut C,
    blocks: &[StoredBlock],
) -> Result<(), SqlError> {
    for block in blocks {
        let values =
            [integer(block.first), integer(block.last), SqlValue::Text(block.body.clone())];
        connection.execute(ADD_BLOCK, &values)?;
    }
    Ok(())
}

pub(super) fn store_rows<C: Sqlite>(connection: &mut C, write: &Write) -> Result<(), SqlError> {
    for view in &write.dropped {
        connection.execute(
            DELETE_VIEW,
            &[SqlValue::Text(view.name.clone()), integer(view.generation.into())],
        )?;
    }
    for (view, rows) in &write.rows {
        let mut values = vec![
            SqlValue::Text(view.name.clone()),
            integer(view.generation.into()),
            SqlValue::Null,
        ];
        for (key, value) in rows {
            values.truncate(2);
            values.push(SqlValue::Blob(key.clone()));
            match value {
                Some(value) => {
                    values.push(SqlValue::Blob(chain::seal_row(
                        &view.name,
                        view.generation,
                        key,
                        value,
                    )));
                    connection.execute(PUT_ROW, &values)?;
                }
                None => connection.execute(DELETE_ROW, &values)?,
            }
        }
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
