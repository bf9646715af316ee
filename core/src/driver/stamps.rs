//! Stamps for tests: time and entropy that follow from the log alone.
//!
//! Owns the rule that makes two hosts answer byte for byte alike. Real stamps come from the
//! host's [`super::World`]; nothing else makes any.

use alloc::format;
use alloc::string::String;

use crate::chain::sha256;
use crate::protocol::Stamp;
use crate::time::Time;

/// 2026-01-01T00:00:00.000Z.
const EPOCH_MS: u64 = 1_767_225_600_000;

/// Whether, and how, stamps are made for tests.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TestStamps {
    /// Starts the entropy.
    pub seed: String,
    /// Milliseconds added to every clock, by `POST /test/wake`.
    pub offset_ms: u64,
}

/// The stamp of an input whose first event would get `position`: one second per position, and
/// the first 16 bytes of SHA-256 over `seed:position`.
pub fn test_stamp(stamps: &TestStamps, position: u64) -> Stamp {
    let clock =
        EPOCH_MS.saturating_add(position.saturating_mul(1000)).saturating_add(stamps.offset_ms);
    Stamp { clock: Time(clock), entropy: test_entropy(&stamps.seed, position) }
}

/// 16 bytes that follow from the seed and a number; position 0 names the incarnation.
pub fn test_entropy(seed: &str, position: u64) -> [u8; 16] {
    let hash = sha256(&[format!("{seed}:{position}").as_bytes()]);
    hash.first_chunk::<16>().copied().unwrap_or_default()
}
