//! Clock and entropy of this machine: the one place where stamps come from.

use std::time::{Instant, SystemTime, UNIX_EPOCH};

use foldlog_core::driver::World;
use foldlog_core::time::Time;

/// The machine's own clocks and generator.
pub struct Machine {
    started: Instant,
    /// Drawn from the system, not handed out yet: one call for many inputs.
    drawn: Vec<[u8; 16]>,
}

/// Stamps drawn at a time.
const DRAWN_AT_ONCE: usize = 64;

impl std::fmt::Debug for Machine {
    /// Entropy stays out of any log.
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Machine").field("started", &self.started).finish_non_exhaustive()
    }
}

impl Machine {
    /// Starts the clock that never goes back.
    pub fn new() -> Self {
        Self { started: Instant::now(), drawn: Vec::new() }
    }
}

impl World for Machine {
    fn clock(&mut self) -> Time {
        let since = SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default();
        Time(u64::try_from(since.as_millis()).unwrap_or(u64::MAX))
    }

    fn entropy(&mut self) -> [u8; 16] {
        if self.drawn.is_empty() {
            self.drawn.resize(DRAWN_AT_ONCE, [0; 16]);
            fill(self.drawn.as_flattened_mut());
        }
        self.drawn.pop().unwrap_or_else(entropy)
    }

    fn micros(&mut self) -> u64 {
        u64::try_from(self.started.elapsed().as_micros()).unwrap_or(u64::MAX)
    }
}

/// 16 random bytes of the operating system.
///
/// # Panics
///
/// When the system has none to give: going on would make ids that others can guess. The actor
/// that asked is restarted, its callers get 503.
pub fn entropy() -> [u8; 16] {
    let mut bytes = [0; 16];
    fill(&mut bytes);
    bytes
}

fn fill(bytes: &mut [u8]) {
    if let Err(error) = getrandom::fill(bytes) {
        panic!("the operating system gives no entropy: {error}");
    }
}
