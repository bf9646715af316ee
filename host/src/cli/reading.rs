//! Flags of the verbs that show what is in a log: `head`, `stats`, `log`, `trace`.
//!
//! Owns texts for people, and how ranges and filters are spelled. Refuses to know what they match.

use clap::ValueEnum;

use super::{KeyFlag, PlaceFlags, SourceFlags};

/// Flags of `head`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog head ./data --json\n\n\
    Told is what the last line says, as GET /log/head tells it; whether all before it is whole, \
    verify finds out. The source is only read, also while a host serves it.")]
pub struct Head {
    /// Where the log is.
    #[command(flatten)]
    pub source: PlaceFlags,
}

/// Flags of `rejected`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog rejected ./data\n  \
    foldlog rejected https://foldlog.example.com --json > rejected.ndjson\n  \
    foldlog gate log.sqlite --guest new.wasm --rejected rejected.ndjson\n\n\
    SOURCE may be a host's URL too. Commands that are refused leave no trace in the log; a partition \
    that is served with --rejected-bytes-max (REJECTED_BYTES_MAX on the Worker) keeps the newest of \
    them beside it, payloads included. With --json each is an object on a line of its own.")]
pub struct Rejected {
    /// Where they are.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// A host's key.
    #[command(flatten)]
    pub key: KeyFlag,
}

/// Flags of `stats`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog stats ./data --limit 10\n\n\
    What GET /stats has too is the same there; what tells of a running process is not here. The \
    whole log is read and its chain checked; one that is broken is not counted (exit code 2). \
    The source is only read, also while a host serves it.")]
pub struct Stats {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// List at most this many streams
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub limit: u32,
    /// Only streams after this one
    #[arg(long, value_name = "TYPE:ID")]
    pub after: Option<String>,
}

/// Flags of `log`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog log ./data --aggregate BankAccount:acc-1\n  \
    foldlog log ./data --type MoneyDeposited --from 2026-01-31T00:00:00.000Z --output ndjson\n  \
    foldlog log ./data --last 10 --follow\n\n\
    Filters combine: an event is shown when all of them let it through. A table cuts long data; the \
    other outputs have them whole, as GET /events/stream gives them. With --follow, json and \
    cloudevents are one object a line, since a list would not end. The source is only read, also \
    while a host serves it.")]
pub struct Log {
    /// Where the log is.
    #[command(flatten)]
    pub source: PlaceFlags,
    /// What is shown.
    #[command(flatten)]
    pub filter: FilterFlags,
    /// Only the last N of them
    #[arg(long, value_name = "N")]
    pub last: Option<usize>,
    /// Then show what comes, while a host serves the directory; Ctrl-C ends it
    #[arg(long)]
    pub follow: bool,
    /// How events are shown; --json is --output json
    #[arg(long, value_enum, value_name = "FORM", default_value = "table", conflicts_with = "json")]
    pub output: Output,
    /// Colours in a table; auto: on a terminal, unless NO_COLOR is set
    #[arg(long, value_enum, value_name = "WHEN", default_value = "auto")]
    pub color: Colour,
}

/// Which events are shown.
#[derive(Debug, clap::Args)]
pub struct FilterFlags {
    /// Only events of streams of this type, or of this stream
    #[arg(long, value_name = "TYPE[:ID]")]
    pub aggregate: Option<String>,
    /// Only events of this type; may be given several times
    #[arg(long = "type", value_name = "EVENT_TYPE")]
    pub types: Vec<String>,
    /// Only events recorded at this time or later
    #[arg(long, value_name = "T")]
    pub from: Option<String>,
    /// Only events recorded at this time or earlier
    #[arg(long, value_name = "T")]
    pub to: Option<String>,
    /// Only these positions, both inclusive: 7, 7..9, 7.. or ..9
    #[arg(long, value_name = "A..B")]
    pub positions: Option<String>,
    /// Only events of this correlation
    #[arg(long, value_name = "ID")]
    pub correlation: Option<String>,
}

/// What events look like.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Output {
    /// A line each, for people
    Table,
    /// A JSON array, as GET /events/stream answers
    Json,
    /// The same objects, one a line
    Ndjson,
    /// A JSON array of CloudEvents 1.0
    Cloudevents,
}

/// When there are colours.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Colour {
    /// On a terminal
    Auto,
    /// Always
    Always,
    /// Never
    Never,
}

/// Flags of `trace`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog trace ./data --correlation order-17\n  \
    foldlog trace ./data --event evt-004\n\n\
    A commit stands below the one that asked for it, or else below the one that its causation id \
    names. Times are those since the first. What was asked for and has come to nothing yet is told. \
    No such correlation, event or position: exit code 2. The source is only read, also while a \
    host serves it.")]
pub struct Trace {
    /// Where the log is.
    #[command(flatten)]
    pub source: PlaceFlags,
    /// The correlation
    #[arg(long, value_name = "ID", required_unless_present_any = ["event", "position"])]
    pub correlation: Option<String>,
    /// That of this event
    #[arg(long, value_name = "EVENT_ID", conflicts_with = "correlation")]
    pub event: Option<String>,
    /// That of the event at this position
    #[arg(long, value_name = "N", conflicts_with_all = ["correlation", "event"])]
    pub position: Option<u64>,
}
