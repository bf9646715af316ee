//! Counters of this process, and their text for Prometheus.
//!
//! Owns names and types of the metrics. Refuses to know who counts; counting is one atomic add.

use std::fmt::Write;
use std::sync::atomic::{AtomicU64, Ordering};

/// Upper bounds of the histogram of batch sizes.
const BATCH_BOUNDS: [u64; 8] = [1, 2, 4, 8, 16, 32, 64, 128];

/// What the process counts.
#[derive(Debug)]
pub struct Metrics {
    /// Answers by status code, from 100 on.
    answers: Vec<AtomicU64>,
    /// Batches by size: within each of [`BATCH_BOUNDS`], and beyond all.
    batches: [AtomicU64; BATCH_BOUNDS.len() + 1],
    batch_inputs: AtomicU64,
    /// Commands that committed, or repeated an earlier answer.
    pub commands_processed: AtomicU64,
    /// Commands that were refused.
    pub commands_rejected: AtomicU64,
    /// Transactions handed to SQLite: each one fsync.
    pub transactions: AtomicU64,
    /// Rows of SQLite written: blocks and rows of checkpoints.
    pub rows_written: AtomicU64,
    /// Requests refused since too many waited.
    pub overloaded: AtomicU64,
    /// Requests dropped or answered without knowledge, past their deadline.
    pub deadlines_missed: AtomicU64,
    /// Failures that cost an instance or a connection.
    pub failures: AtomicU64,
    /// Connections accepted.
    pub connections: AtomicU64,
    /// Reads that a partition's second instance answered.
    pub reads_beside: AtomicU64,
    /// Live readers that were cut since they took nothing.
    pub live_cut: AtomicU64,
}

impl Metrics {
    /// All zeros.
    pub fn new() -> Self {
        Self {
            answers: (100..600).map(|_| AtomicU64::new(0)).collect(),
            batches: std::array::from_fn(|_| AtomicU64::new(0)),
            batch_inputs: AtomicU64::new(0),
            commands_processed: AtomicU64::new(0),
            commands_rejected: AtomicU64::new(0),
            transactions: AtomicU64::new(0),
            rows_written: AtomicU64::new(0),
            overloaded: AtomicU64::new(0),
            deadlines_missed: AtomicU64::new(0),
            failures: AtomicU64::new(0),
            connections: AtomicU64::new(0),
            reads_beside: AtomicU64::new(0),
            live_cut: AtomicU64::new(0),
        }
    }

    /// An answer was sent.
    pub fn answered(&self, status: u16) {
        if let Some(counter) =
            usize::from(status).checked_sub(100).and_then(|i| self.answers.get(i))
        {
            add(counter, 1);
        }
    }

    /// A batch was run.
    pub fn batch(&self, inputs: usize) {
        let inputs = inputs as u64;
        let index = BATCH_BOUNDS.partition_point(|bound| *bound < inputs);
        if let Some(counter) = self.batches.get(index) {
            add(counter, 1);
        }
        add(&self.batch_inputs, inputs);
    }

    /// The text that Prometheus reads. `partitions` gives name and gauges of the open ones, `failed`
    /// those of others that failed since the process began.
    pub fn text(
        &self,
        partitions: &[(String, [u64; GAUGES])],
        failed: &[(String, [u64; GAUGES])],
    ) -> String {
        let mut out = String::with_capacity(4096);
        head(&mut out, "foldlog_http_requests_total", "counter", "Answers by status");
        for (status, counter) in (100..600).zip(&self.answers) {
            let count = get(counter);
            if count > 0 {
                let _ = writeln!(out, "foldlog_http_requests_total{{status=\"{status}\"}} {count}");
            }
        }
        head(&mut out, "foldlog_batch_size", "histogram", "Requests run together");
        let mut count = 0;
        let bounds = BATCH_BOUNDS.iter().map(u64::to_string).chain(["+Inf".to_string()]);
        for (bound, counter) in bounds.zip(&self.batches) {
            count += get(counter);
            let _ = writeln!(out, "foldlog_batch_size_bucket{{le=\"{bound}\"}} {count}");
        }
        let inputs = get(&self.batch_inputs);
        let _ = writeln!(out, "foldlog_batch_size_sum {inputs}\nfoldlog_batch_size_count {count}");
        for (name, help, counter) in [
            ("commands_processed", "Commands committed or repeated", &self.commands_processed),
            ("commands_rejected", "Commands refused", &self.commands_rejected),
            ("transactions", "Transactions handed to SQLite, one fsync each", &self.transactions),
            ("rows_written", "Rows of SQLite written", &self.rows_written),
            ("overloaded", "Requests refused since too many waited", &self.overloaded),
            ("deadlines_missed", "Requests past their deadline", &self.deadlines_missed),
            ("failures", "Failures that cost an instance or a connection", &self.failures),
            ("connections", "Connections accepted", &self.connections),
            ("reads_beside", "Reads answered beside a partition's writer", &self.reads_beside),
            ("live_cut", "Live readers cut since they took nothing", &self.live_cut),
        ] {
            let name = format!("foldlog_{name}_total");
            head(&mut out, &name, "counter", help);
            let _ = writeln!(out, "{name} {}", get(counter));
        }
        head(&mut out, "foldlog_partitions_open", "gauge", "Partitions open now");
        let _ = writeln!(out, "foldlog_partitions_open {}", partitions.len());
        for (index, (name, help)) in GAUGE_NAMES.iter().enumerate() {
            head(&mut out, name, "gauge", help);
            // Of those that are not open, only what tells of their failures.
            let failed = if index < FAILURES_FROM { &[] } else { failed };
            for (partition, gauges) in partitions.iter().chain(failed) {
                let value = gauges.get(index).copied().unwrap_or_default();
                let _ = writeln!(out, "{name}{{partition=\"{partition}\"}} {value}");
            }
        }
        out
    }
}

/// How many numbers an open partition tells.
pub const GAUGES: usize = 6;

/// The first of those that tell of failures.
const FAILURES_FROM: usize = 4;

/// Their names, in the order in which actors fill them.
const GAUGE_NAMES: [(&str, &str); GAUGES] = [
    ("foldlog_stage_micros_p50", "Median microseconds to stage one request"),
    ("foldlog_stage_micros_p99", "99th percentile of the same"),
    ("foldlog_head_position", "Position of the last stored event"),
    ("foldlog_checkpoint_position", "Position of the stored checkpoint"),
    ("foldlog_partition_restarts", "Failures since the process began, each with a wait after it"),
    ("foldlog_partition_down", "1 while it is not tried again, 2 while only reads are answered"),
];

/// Adds to a counter.
pub fn add(counter: &AtomicU64, number: u64) {
    counter.fetch_add(number, Ordering::Relaxed);
}

/// Reads a counter.
pub fn get(counter: &AtomicU64) -> u64 {
    counter.load(Ordering::Relaxed)
}

fn head(out: &mut String, name: &str, kind: &str, help: &str) {
    let _ = writeln!(out, "# HELP {name} {help}.\n# TYPE {name} {kind}");
}
