//! Clock and entropy of the platform: the one place where this host's stamps come from.
//!
//! Owns reading them. Refuses to know what they are used for, and test stamps, which the driver
//! makes. In production the clock stands still between two events of the object, which is fine:
//! a stamp needs the time of its event.

use foldlog_core::driver::World;
use foldlog_core::time::Time;

use crate::platform::{fill_random, monotonic_ms, now_ms};

/// Bytes drawn at once: a crossing costs more than the bytes do.
const POOL_BYTES: usize = 512;

/// Time and randomness as the platform gives them.
#[derive(Debug)]
pub struct Platform {
    pool: Vec<u8>,
}

impl Platform {
    /// Draws nothing yet.
    pub const fn new() -> Self {
        Self { pool: Vec::new() }
    }
}

impl World for Platform {
    fn clock(&mut self) -> Time {
        Time(whole(now_ms()))
    }

    fn entropy(&mut self) -> [u8; 16] {
        if self.pool.is_empty() {
            self.pool.resize(POOL_BYTES, 0);
            fill_random(&mut self.pool);
        }
        let mut drawn = [0; 16];
        for byte in &mut drawn {
            *byte = self.pool.pop().unwrap_or_default();
        }
        drawn
    }

    fn micros(&mut self) -> u64 {
        whole(monotonic_ms() * 1000.0)
    }
}

/// A clock's number without its fraction; clocks do not show numbers below zero.
#[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "the cast saturates")]
fn whole(number: f64) -> u64 {
    number as u64
}
