//! What an unfinished import leaves in a store: blocks without a genesis row, and one row of the
//! view `~import` that says how far it has come.
//!
//! Owns that row's form, and how blocks beyond a position are cut off. Refuses to know lines and
//! their chain. Invariant: without the genesis row nothing of it is a log; that row is stored in
//! the transaction that deletes this one.

use alloc::string::String;
use alloc::vec;
use alloc::vec::Vec;

use super::connection::{SqlError, SqlValue, Sqlite};
use super::schema::{BLOCK_OF, CUT, DELETE_ROW, PUT_ROW, SHORTEN};
use super::sqlite::{integer, stored_block};
use super::{StoredBlock, Write};
use crate::chain::{self, Chain};
use crate::limits::CUT_BLOCKS_MAX;
use crate::protocol::{RowKey, View};

/// How far an import has come: what its ended parts brought.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Progress {
    /// The genesis line; empty before the first part ended.
    pub genesis: String,
    /// Where the last ended part ended.
    pub chain: Chain,
}

/// What becomes of an import's progress.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Importing {
    /// It has come so far.
    At(Progress),
    /// It is complete, or given up.
    Ended,
}

impl Progress {
    /// The value of its row: position and hash, then the genesis line; nothing before that.
    fn row(&self) -> Vec<u8> {
        let Some(position) = self.chain.position else { return Vec::new() };
        [&position.to_le_bytes(), self.chain.hash.as_slice(), self.genesis.as_bytes()].concat()
    }

    /// Reads the value of its row. One that can not be read, or `None`, says that an import began, and
    /// nothing of it counts.
    pub fn of_row(row: Option<&[u8]>) -> Self {
        let parsed = row.and_then(|row| {
            let (position, rest) = row.split_first_chunk::<8>()?;
            let (hash, genesis) = rest.split_first_chunk::<32>()?;
            let genesis = core::str::from_utf8(genesis).ok()?.into();
            let position = Some(u64::from_le_bytes(*position));
            Some(Self { genesis, chain: Chain { hash: *hash, position } })
        });
        parsed.unwrap_or_default()
    }
}

/// Names the row.
pub(super) fn import_key() -> RowKey {
    RowKey { view: View { name: "~import".into(), generation: 0 }, key: Vec::new() }
}

/// The part of a block up to a position, when some of it lies beyond.
pub(super) fn shortened(block: &StoredBlock, cut: u64) -> Option<StoredBlock> {
    let within = |line: &&str| chain::position(line).is_some_and(|position| position <= cut);
    (block.last > cut).then(|| {
        let lines: Vec<&str> = chain::lines(&block.body).take_while(within).collect();
        let body = ["[", &lines.join(",\n"), "]"].concat();
        StoredBlock { first: block.first, last: cut, body }
    })
}

/// Deletes what lies beyond the position that a write cuts at.
pub(super) fn cut<C: Sqlite>(connection: &mut C, write: &Write) -> Result<(), SqlError> {
    let Some(cut) = write.cut else { return Ok(()) };
    connection.execute(CUT, &[integer(cut), integer(CUT_BLOCKS_MAX.into())])?;
    let Some(row) = connection.query(BLOCK_OF, &[integer(cut)])?.pop() else { return Ok(()) };
    let block = stored_block(row).map_err(|e| SqlError::Failed(alloc::format!("{e}")))?;
    let Some(StoredBlock { first, last, body }) = shortened(&block, cut) else { return Ok(()) };
    connection.execute(SHORTEN, &[integer(last), SqlValue::Text(body), integer(first)])
}

/// Stores how far an import has come.
pub(super) fn store_progress<C: Sqlite>(connection: &mut C, write: &Write) -> Result<(), SqlError> {
    let Some(import) = &write.import else { return Ok(()) };
    let RowKey { view, key } = import_key();
    let mut values = vec![
        SqlValue::Text(view.name.clone()),
        integer(view.generation.into()),
        SqlValue::Blob(key.clone()),
    ];
    match import {
        Importing::Ended => connection.execute(DELETE_ROW, &values),
        Importing::At(progress) => {
            let sealed = chain::seal_row(&view.name, view.generation, &key, &progress.row());
            values.push(SqlValue::Blob(sealed));
            connection.execute(PUT_ROW, &values)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_is_written_and_read() {
        let genesis = String::from("{\"position\":0}");
        let some = Progress { genesis, chain: Chain { hash: [7; 32], position: Some(9) } };
        for progress in [Progress::default(), some] {
            assert_eq!(Progress::of_row(Some(&progress.row())), progress);
        }
        for damaged in [None, Some([1; 20].as_slice()), Some(&[0xff; 50])] {
            assert_eq!(Progress::of_row(damaged), Progress::default());
        }
    }
}
