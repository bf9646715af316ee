//! Flags of the verbs that show a log as of then: `at` and `diff`.
//!
//! Owns texts for people.

use super::SourceFlags;

/// Flags of `at`.
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Examples:\n  foldlog at ./data --position 120 --projection AccountBalances\n  \
    foldlog at ./data --position 120 --aggregate BankAccount:acc-1\n  \
    foldlog at ./data --time 2026-01-31T12:00:00.000Z\n\n\
    Whole commits count: one that is not over by then does not. Without --projection and \
    --aggregate all projections are listed. The source is only read, also while a host serves it; \
    nothing that was due then is done. The rows as of then are held in memory."
)]
pub struct At {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// As of this position
    #[arg(long, value_name = "N", required_unless_present = "time", conflicts_with = "time")]
    pub position: Option<u64>,
    /// As of this time, inclusive
    #[arg(long, value_name = "T")]
    pub time: Option<String>,
    /// Which stream's state
    #[arg(long, value_name = "TYPE:ID", conflicts_with = "projection")]
    pub aggregate: Option<String>,
    /// Which projection
    #[arg(long, value_name = "NAME")]
    pub projection: Option<String>,
    /// Only items after this key or position
    #[arg(long, value_name = "KEY", requires = "projection")]
    pub after: Option<String>,
    /// At most this many items
    #[arg(long, value_name = "N", default_value_t = 100, requires = "projection")]
    pub limit: u32,
}

/// Flags of `diff`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog diff ./data 120 134\n  \
    foldlog diff ./data 2026-01-31T00:00:00.000Z head --json\n\n\
    Exit code, as diff has it: 0 when nothing changed, 1 when something did, 2 when it could not be \
    told. Both ends are positions, times or head; whole commits count, as with at. Told are the \
    events in between by stream, and what each projection answers otherwise: + added, - removed, \
    ~ changed. The source is only read, also while a host serves it. The rows as of then, and the \
    projections as of both, are held in memory.")]
pub struct Diff {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// From here: a position, a time, or head
    #[arg(value_name = "A")]
    pub from: String,
    /// Up to here
    #[arg(value_name = "B")]
    pub to: String,
    /// Show at most this many changes of a projection, and streams
    #[arg(long, value_name = "N", default_value_t = 50)]
    pub limit: usize,
}
