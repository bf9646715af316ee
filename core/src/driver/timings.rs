//! How long staging takes: percentiles of many values in little memory.

use alloc::collections::BTreeMap;

/// Microseconds that staging took, in buckets.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Timings {
    buckets: BTreeMap<u32, u64>,
    count: u64,
}

impl Timings {
    /// Counts one.
    pub fn add(&mut self, micros: u64) {
        // Four buckets per doubling: the upper bound is at most 25 % above the value.
        let micros = micros.max(1);
        let exponent = micros.ilog2();
        let quarter = micros.wrapping_shl(2).wrapping_shr(exponent) & 3;
        let bucket = exponent.saturating_mul(4).saturating_add(u32::try_from(quarter).unwrap_or(3));
        let slot = self.buckets.entry(bucket).or_default();
        *slot = slot.saturating_add(1);
        self.count = self.count.saturating_add(1);
    }

    /// Upper bound of the bucket that `share` (in thousandths) of all values do not exceed.
    pub fn percentile(&self, share: u64) -> u64 {
        let rank = self.count.saturating_mul(share).div_ceil(1000);
        let mut seen = 0_u64;
        for (bucket, count) in &self.buckets {
            seen = seen.saturating_add(*count);
            if seen >= rank {
                let quarters = u64::from(bucket % 4).saturating_add(5);
                return quarters.wrapping_shl(bucket / 4) / 4;
            }
        }
        0
    }
}
