//! Throttling: how many failures of one kind a host writes to its log.
//!
//! Owns the count. A client that makes a guest trap over and over costs a few lines, and the next
//! one tells how many were left out.

/// At most so many in a window of time.
const TOLD_MAX: u32 = 10;
/// The window.
const WINDOW_MICROS: u64 = 10_000_000;

/// What was told lately.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Throttle {
    window_micros: u64,
    told: u32,
    left_out: u64,
}

impl Throttle {
    /// Whether one more is told now: how many were left out before it.
    pub const fn take(&mut self, now_micros: u64) -> Option<u64> {
        if now_micros.saturating_sub(self.window_micros) >= WINDOW_MICROS {
            (self.window_micros, self.told) = (now_micros, 0);
        }
        if self.told >= TOLD_MAX {
            self.left_out = self.left_out.saturating_add(1);
            return None;
        }
        self.told = self.told.saturating_add(1);
        Some(core::mem::replace(&mut self.left_out, 0))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_flood_is_counted_and_not_told() {
        let mut throttle = Throttle::default();
        let told = (0..1_000).filter(|n| throttle.take(*n).is_some()).count();
        assert_eq!(told, TOLD_MAX as usize);
        assert_eq!(throttle.take(WINDOW_MICROS), Some(990));
        assert_eq!(throttle.take(WINDOW_MICROS), Some(0));
    }
}
