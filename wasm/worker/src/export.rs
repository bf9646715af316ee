//! Exports: pages of commit lines as bytes, for a stream that entry.mjs fills as it is read.
//!
//! Owns the text form (each line ends in a line feed) and where the next page starts. Refuses to
//! know who reads it and how fast: a page costs nothing until it is asked for.

use foldlog_core::chain;
use foldlog_core::driver::{Export, Partition, Spawn, Store, StoreError, World};

/// A page's bytes, and the bound after which the next one starts.
pub type Page = (Vec<u8>, f64);

/// The lines after `after` up to `to`, about 1 MB of them; nothing when there are none left.
pub fn page<S: Spawn, T: Store, W: World>(
    partition: &mut Partition<S, T, W>,
    after: f64,
    to: f64,
) -> Result<Option<Page>, StoreError> {
    let bounds = Export { after: position(after), to: position(to) };
    if bounds.after >= bounds.to {
        return Ok(None);
    }
    let lines = partition.page(bounds)?;
    let Some(last) = lines.last().and_then(|line| chain::position(line)) else { return Ok(None) };
    let mut bytes = Vec::with_capacity(lines.iter().map(|line| line.len().saturating_add(1)).sum());
    for line in &lines {
        bytes.extend_from_slice(line.as_bytes());
        bytes.push(b'\n');
    }
    Ok(Some((bytes, number(last))))
}

/// Positions stay below 2^53, which JavaScript holds exactly.
#[expect(clippy::cast_precision_loss, reason = "positions are below 2^53")]
pub fn number(position: u64) -> f64 {
    position as f64
}

/// The same, back.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
pub fn position(number: f64) -> u64 {
    number as u64
}
