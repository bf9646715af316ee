//! The command line: verbs, flags, help.
//!
//! Owns texts for people. Flags of settings come from core's table, so that flag, environment
//! variable and documentation never differ.

mod again;
mod carry;
mod source;

use std::collections::BTreeMap;
use std::path::PathBuf;

use clap::{Arg, ArgMatches, Args, Command, FromArgMatches, Parser, Subcommand};
use foldlog_core::settings::{HostKind, Setting, TABLE, Unit};

pub use again::{Gate, Redecide};
pub use carry::{Export, Import, Layout, Pull, Push, Truncate};
pub use source::{PlaceFlags, SourceFlags};

use crate::harness::finding;
use crate::log::Format;

mod module;
mod past;
mod reading;

pub use module::{Completions, Guest, Man, Selftest};
pub use past::{At, Diff};
pub use reading::{Colour, FilterFlags, Head, Log, Output, Rejected, Stats, Trace};
pub use source::KeyFlag;

/// Event sourcing at the edge: one log, one guest module, two hosts. This is the native one.
#[derive(Debug, Parser)]
#[command(name = "foldlog", version, subcommand_required = true, arg_required_else_help = true)]
#[command(after_help = "Example:\n  foldlog serve --data ./data\n  \
    curl http://127.0.0.1:3000/\n\nEvery verb has its own help: foldlog serve --help")]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub verb: Verb,
}

/// What foldlog can do.
#[derive(Debug, Subcommand)]
pub enum Verb {
    /// Serve logs over HTTP, from a data directory, memory or a database
    Serve(Serve),
    /// Fold a whole log from its first event, and tell how fast and to what
    Replay(Replay),
    /// Check a log and its rows, and name the first thing that is wrong
    Verify(Verify),
    /// Decide a whole log again, and tell what comes out otherwise than it is recorded
    Redecide(Redecide),
    /// Try a new guest on a whole log, and tell all that it does otherwise than the old one
    Gate(Gate),
    /// Show a projection or a stream's state as of a position or a time
    At(At),
    /// Show what changed between two positions
    Diff(Diff),
    /// Tell where a log stands: its last position and hash
    Head(Head),
    /// Count what is in a log
    Stats(Stats),
    /// Show the commands that a partition refused, as far as it keeps them
    Rejected(Rejected),
    /// Show the events of a log, and follow it
    Log(Log),
    /// Show what led to what, as a tree
    Trace(Trace),
    /// Describe a guest module
    Guest(Guest),
    /// Run the tests that are built in
    Selftest(Selftest),
    /// Copy a log into a file, as NDJSON or in the store's own format, or its events into files
    Export(Export),
    /// Take a log into an empty partition of a data directory
    Import(Import),
    /// Fetch a host's log into a file, or what came since the last time
    Pull(Pull),
    /// Send a log into an empty partition of a host
    Push(Push),
    /// Make a new log of what comes before a position
    Truncate(Truncate),
    /// Make a log that was copied, imported or restored this host's
    Adopt(Adopt),
    /// Follow a topic of a running host, or forward it to a local service
    Listen(Listen),
    /// Measure deciding and storing on this machine, without HTTP
    Bench(Bench),
    /// Print the completions of a shell
    Completions(Completions),
    /// Print the manual page, or write one for each verb
    Man(Man),
}

/// Flags of `serve`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog serve --data /var/lib/foldlog --listen 0.0.0.0:8080 \
    --log-format json\n  foldlog serve --memory\n  \
    foldlog serve --store postgres://foldlog@db.internal/foldlog --standby\n\nFlags win over environment variables. Secrets are read from the environment \
    alone. With SENDGRID_API_KEY, emails are sent from --email-from; without it they are logged. \
    The keys of consumers are made from FOLDLOG_SECRET; without it, from the file `secret` of the \
    data directory, which is made once. SSL_CERT_FILE names a PEM file with \
    the certificates to trust instead of Mozilla's built-in ones. The password of a \
    database is read from PGPASSWORD, unless FOLDLOG_STORE has it. SIGTERM and SIGINT stop it: what \
    is under way is answered first.")]
pub struct Serve {
    /// Settings.
    #[command(flatten)]
    pub settings: SettingFlags,
    /// Instead of a data directory, show a log as it is now, from whatever the reading verbs take:
    /// it is held, and the source is never written to
    #[arg(long, value_name = "SOURCE", conflicts_with_all = ["data", "memory"])]
    pub source: Option<PathBuf>,
    /// Partition of the source, and the name under which it is shown
    #[arg(long, value_name = "NAME", default_value = "main", requires = "source")]
    pub partition: String,
    /// Keep all logs in memory: nothing is on disk, and gone at the exit (short for --store memory)
    #[arg(long)]
    pub memory: bool,
    /// While another host serves the database, wait until it is gone instead of giving up
    #[arg(long)]
    pub standby: bool,
    /// Guest module to run instead of the one built in
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,
    /// How events are logged on standard error
    #[arg(long, value_enum, value_name = "FORMAT", default_value = "auto")]
    pub log_format: Format,
}

/// Flags of `replay`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog replay ./data\n  \
    foldlog replay --wrangler .wrangler/state --partition main --json\n\n\
    The source is only read, also while a host serves it. Nothing is ever fired.")]
pub struct Replay {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// Write the rows to this file, a JSON object per line, in the order of the digest
    #[arg(long, value_name = "FILE")]
    pub keep_rows: Option<PathBuf>,
}

/// Flags of `verify`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog verify ./data --partition main\n  \
    foldlog verify ./data --from 1200:6f0c… --expect-head 1350:a94d…\n\n\
    Missing commits at a log's end show only against a head that was kept elsewhere: what verify \
    printed, or GET /log/head.\n\
    Exit code: 0 when nothing is wrong, 1 when something is, 2 when it could not be told.\n\
    The source is only read, also while a host serves it. With --discard, and only then, snapshots \
    that are not the fold are replaced by the fold's: no host may serve the directory meanwhile.")]
pub struct Verify {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// Discard snapshots that are not the fold, and take them anew
    #[arg(long, conflicts_with_all = ["chain", "from"])]
    pub discard: bool,
    /// The hash that the log must end in, alone or as POSITION:HASH: else it was truncated, or
    /// is another log
    #[arg(long, value_name = "HEAD")]
    pub expect_head: Option<finding::Head>,
    /// Check the chain alone, from where an earlier run ended: POSITION:HASH as it printed
    #[arg(long, value_name = "HEAD")]
    pub from: Option<finding::Head>,
    /// Check the chain alone: no fold, no rows
    #[arg(long)]
    pub chain: bool,
}

/// Flags of `adopt`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog adopt ./restored --partition main\n\n\
    A log that came from elsewhere is held: it is read, takes no commands and fires nothing. \
    Adopting it appends a Partition.Adopted event with a new incarnation, then writes the owner \
    file beside it. POST /effects/resume does the same on a running host.\n\
    Adopt a copy only when its original has stopped for good, or both will act.")]
pub struct Adopt {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
}

/// Flags of `listen`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog listen --topic user-events \
    --forward http://localhost:8080/webhook\n\nPrints one line an event; JSON with --json, or where \
    the output is no terminal. Forwarded are the requests that a consumer gets, one event in each, \
    signed with a secret that is shown at the start; nothing is tried again. Ctrl-C ends it.")]
pub struct Listen {
    /// The host
    #[arg(value_name = "URL", default_value = "http://127.0.0.1:3000")]
    pub url: String,
    /// Topic to follow; @<AggregateType> for all events of a type
    #[arg(long, value_name = "NAME")]
    pub topic: String,
    /// Partition, if not main
    #[arg(long, value_name = "NAME")]
    pub partition: Option<String>,
    /// Its key.
    #[command(flatten)]
    pub key: KeyFlag,
    /// Begin after this event, instead of with what comes from now on
    #[arg(long, value_name = "EVENT_ID")]
    pub since: Option<String>,
    /// Begin with the topic's first event
    #[arg(long, conflicts_with = "since")]
    pub from_beginning: bool,
    /// Post each event to this address
    #[arg(long, value_name = "URL")]
    pub forward: Option<String>,
    /// Print events as JSON, one a line
    #[arg(long)]
    pub json: bool,
}

/// Flags of `bench`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog bench --data ./bench-data --commands 100000\n\n\
    Prints one JSON object. The directory must not hold a log; it is left as it is afterwards.")]
pub struct Bench {
    /// Directory for the log
    #[arg(long, value_name = "DIR")]
    pub data: PathBuf,
    /// Deposits to make
    #[arg(long, value_name = "N", default_value_t = 100_000)]
    pub commands: u64,
    /// Accounts to make them to
    #[arg(long, value_name = "N", default_value_t = 10_000)]
    pub accounts: u64,
    /// Deposits that wait together
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub group: u64,
    /// Give each an Idempotency-Key of its own
    #[arg(long)]
    pub keys: bool,
    /// Then fold the whole log, rows thrown away
    #[arg(long)]
    pub replay: bool,
    /// Run the core linked into this binary instead of the module
    #[arg(long)]
    pub linked: bool,
    /// Instead of deposits, publish this many events to a topic, in batches of up to 1,000
    #[arg(long, value_name = "N", default_value_t = 0)]
    pub publish: u64,
    /// Bytes of each of their payloads, about
    #[arg(long, value_name = "BYTES", default_value_t = 60)]
    pub payload_bytes: u64,
}

/// The flags of the settings that were given.
#[derive(Clone, Debug, Default)]
pub struct SettingFlags(BTreeMap<&'static str, String>);

impl SettingFlags {
    /// Whether a flag was given.
    pub fn given(&self, flag: &str) -> bool {
        self.0.contains_key(flag)
    }

    /// What a setting was set to: by its flag, else by its environment variable.
    pub fn get(&self, setting: &Setting) -> Option<String> {
        let flag = self.0.get(setting.flag).cloned();
        flag.or_else(|| match setting.environment {
            "" => None,
            name => std::env::var(name).ok(),
        })
    }
}

impl Args for SettingFlags {
    fn augment_args(command: Command) -> Command {
        TABLE.iter().filter(|setting| !setting.flag.is_empty()).fold(command, |command, setting| {
            let value_name = match (setting.unit, setting.name) {
                (_, "data") => "DIR",
                (_, "store") => "STORE",
                (_, "listen") => "ADDR",
                (Unit::Bytes, _) => "BYTES",
                (Unit::Milliseconds, _) => "MS",
                (Unit::Days, _) => "DAYS",
                (Unit::Switch, _) => "BOOL",
                (Unit::Count, _) => "N",
                // A secret has no flag; this only has to be a name.
                (Unit::Text | Unit::Secret, _) => "TEXT",
            };
            let mut help = setting.doc.to_string();
            match setting.default(HostKind::Native) {
                "" => {}
                default => help.push_str(&format!(" [default: {default}]")),
            }
            if !setting.environment.is_empty() {
                help.push_str(&format!(" [env: {}]", setting.environment));
            }
            let mut flag = Arg::new(setting.flag).long(setting.flag);
            if setting.unit == Unit::Switch {
                // Alone it says yes.
                flag = flag.num_args(0..=1).default_missing_value("true");
            }
            command.arg(flag.value_name(value_name).help(help))
        })
    }

    fn augment_args_for_update(command: Command) -> Command {
        Self::augment_args(command)
    }
}

impl FromArgMatches for SettingFlags {
    fn from_arg_matches(matches: &ArgMatches) -> Result<Self, clap::Error> {
        let mut flags = Self::default();
        flags.update_from_arg_matches(matches)?;
        Ok(flags)
    }

    fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), clap::Error> {
        for setting in TABLE.iter().filter(|setting| !setting.flag.is_empty()) {
            if let Some(value) = matches.get_one::<String>(setting.flag) {
                self.0.insert(setting.flag, value.clone());
            }
        }
        Ok(())
    }
}

/// Prints a line; a reader that went away is no reason to fail.
pub fn print(line: &str) {
    use std::io::Write;
    let _ = writeln!(std::io::stdout().lock(), "{line}");
}
