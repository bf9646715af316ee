//! Flags of the verbs that carry logs from one place to another.

use std::path::PathBuf;

use clap::ValueEnum;

use super::{KeyFlag, PlaceFlags};

/// Flags of `export`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog export ./data > log.ndjson\n  \
    foldlog export --wrangler .wrangler/state -o log.sqlite\n  \
    foldlog export ./data --layout files -o ./events\n\n\
    NDJSON goes to standard output, or to a file whose name ends in .ndjson; any other name is a log \
    in the store's own format. Files go below a directory, an event each; those of a broken log are \
    written up to where it breaks (exit code 2). The chain is checked on the way: exit code 1 when it breaks, and \
    then no file is left.")]
pub struct Export {
    /// Where the log is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// File to write, which must not be there yet; a directory for files
    #[arg(short, long, value_name = "PATH", required_if_eq("layout", "files"))]
    pub output: Option<PathBuf>,
    /// How it is laid out
    #[arg(long, value_enum, value_name = "LAYOUT", default_value = "log")]
    pub layout: Layout,
    /// With files: the topics @<AggregateType> too, which have all other events
    #[arg(long)]
    pub all_topics: bool,
}

/// The layouts of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// One log.
    Log,
    /// An event a file: data/<topic>/<day>/<group of 1,000>/<event id>.json. Files that are there
    /// and say the same are left as they are, so an export that was cut off goes on
    Files,
}

/// Flags of `import`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog import log.ndjson --data ./data --partition copy\n\n\
    All or nothing, and only into a partition that has no log. No host may serve the directory \
    meanwhile. What is imported is held: it is read, takes no commands and fires nothing, until \
    foldlog adopt or POST /effects/resume.")]
pub struct Import {
    /// The log: NDJSON (`-` from standard input), or a log file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// Data directory
    #[arg(long, value_name = "DIR", default_value = "data")]
    pub data: PathBuf,
    /// Partition that takes it
    #[arg(long, value_name = "NAME", default_value = "main")]
    pub partition: String,
    /// Guest module to fold with instead of the one built in
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `pull`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog pull https://foldlog.example.com -o log.sqlite\n  \
    foldlog pull http://127.0.0.1:8787 --partition tenant-1 -o tenant-1.ndjson\n\n\
    Of a file that is there already, only what came since is asked for. The chain is checked as it \
    comes; the file is a good log as far as it goes, whatever ends the pull: pull again to go on. \
    Exit code 1 when the host's log is not the one that the file begins with.")]
pub struct Pull {
    /// The host
    #[arg(value_name = "URL")]
    pub url: String,
    /// Partition, if not main
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Its key.
    #[command(flatten)]
    pub key: KeyFlag,
    /// File to write or to go on with: NDJSON when its name ends in .ndjson, else a log file
    #[arg(short, long, value_name = "FILE")]
    pub output: PathBuf,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `push`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog push log.sqlite https://foldlog.example.com \
    --partition restored\n\n\
    In parts, each checked by the host; there is no log before the last one. Push again after a \
    break: it goes on where the host stands. What is pushed is held there until POST \
    /effects/resume.")]
pub struct Push {
    /// The log: NDJSON (`-` from standard input), or a log file
    #[arg(value_name = "FILE")]
    pub file: PathBuf,
    /// The host
    #[arg(value_name = "URL")]
    pub url: String,
    /// Partition, if not main
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Its key.
    #[command(flatten)]
    pub key: KeyFlag,
    /// Give up what an unfinished import left there, and begin anew
    #[arg(long)]
    pub anew: bool,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `truncate`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog truncate ./data --after 1200 --to good.sqlite\n\n\
    The new log has all commits that end at or before the position, unchanged, and one more that \
    says what it is: a Partition.Truncated event with a new incarnation, so that every host holds \
    it. The source stays as it is: a damaged log is never edited. Exit code 1 when it breaks before \
    the position; verify names the last good one.")]
pub struct Truncate {
    /// Where the log is.
    #[command(flatten)]
    pub place: PlaceFlags,
    /// Position of the last event to keep
    #[arg(long, value_name = "N")]
    pub after: u64,
    /// File to write, which must not be there yet: NDJSON when its name ends in .ndjson
    #[arg(long, value_name = "FILE")]
    pub to: PathBuf,
}
