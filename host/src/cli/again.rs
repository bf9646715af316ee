//! Flags of the verbs that decide a recorded log again.

use std::path::PathBuf;

use super::{PlaceFlags, SourceFlags};
use crate::harness::gate::Allow;

/// Flags of `redecide`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog redecide ./data\n  \
    foldlog redecide ./data --partition eu --guest new.wasm --json\n\n\
    Each recorded command, publication, system command, end of an effect and adoption is given to \
    the guest once more, as of the commit before it, with the time, entropy and settings that the \
    log records; what comes out is compared with what is recorded, byte for byte but for the hash. \
    Then the recorded commit is taken in, so one divergence leads to no other. Payloads of which \
    the log has only a hash, and what trapped at the time, count as not decidable.\n\
    Exit code: 0 when all that can be decided came out the same, 1 when something did not or the \
    log is broken, 2 when it could not be told.\n\
    The source is only read, also while a host serves it. Nothing is ever fired.")]
pub struct Redecide {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// Tell at most this many divergences; all are counted
    #[arg(long, value_name = "N", default_value_t = 20)]
    pub limit: usize,
}

/// Flags of `gate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog gate ./data --guest new.wasm\n  \
    foldlog gate prod.sqlite --guest new.wasm --guest-old live.wasm --allow decision:Deposit \
    --allow rows:Loans\n\n\
    Both guests decide the whole log again (see foldlog redecide --help) and fold it. What comes \
    out otherwise than with the old guest is a difference, of one of these kinds:\n  \
    decision:COMMAND    other events, or none\n  \
    refused:COMMAND     it was taken, and is refused now\n  \
    allowed:ROUTE       it was refused, and is taken now: told of the commands that the source, or \
    --rejected, has of a rejection journal (see serve --rejected-bytes-max)\n  \
    reactions:MANAGER   a process manager asks for something else\n  \
    rows:VIEW           rows of a raised revision differ\n  \
    revision:VIEW       rows differ, and the revision is the same: raise it\n  \
    upcaster:NAME       an event or a command of an older version is read otherwise, or not at all\n  \
    trap:NAME           the guest traps\n\
    Exit code: 0 when all differences are allowed, 1 when one is not or the log is broken, 2 when \
    it could not be told.\n\
    The source is only read, also while a host serves it. Nothing is ever fired.")]
pub struct Gate {
    /// Where the log is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// The guest module that is to go live
    #[arg(long, value_name = "FILE")]
    pub guest: PathBuf,
    /// The one that is live, instead of the one built in
    #[arg(long, value_name = "FILE")]
    pub guest_old: Option<PathBuf>,
    /// Refused commands, as `rejected --json` writes them, instead of those that the source has
    #[arg(long, value_name = "FILE")]
    pub rejected: Option<PathBuf>,
    /// Differences that are meant: of a kind, or of a kind and a name; may be repeated
    #[arg(long, value_name = "KIND[:NAME]")]
    pub allow: Vec<Allow>,
    /// Tell at most this many examples of each difference; all are counted
    #[arg(long, value_name = "N", default_value_t = 3)]
    pub limit: usize,
}
