//! Flags of `export`.
//!
//! Owns texts for people.

use std::path::PathBuf;

use clap::ValueEnum;

use super::SourceFlags;

/// Flags of `export`.
#[derive(Debug, clap::Args)]
#[command(mut_arg("guest", |arg| arg.hide(true)))]
#[command(after_help = "Example:\n  foldlog export ./data --layout files -o ./events\n\n\
    The chain is checked on the way: of a broken log is written what comes before that (exit code \
    2). The source is only read, also while a host serves it.")]
pub struct Export {
    /// Where the log is.
    #[command(flatten)]
    pub source: SourceFlags,
    /// How it is laid out.
    #[command(flatten)]
    pub layout: LayoutFlags,
    /// Where to; a directory for files
    #[arg(short, long, value_name = "PATH")]
    pub output: PathBuf,
}

/// How an export is laid out.
#[derive(Debug, clap::Args)]
pub struct LayoutFlags {
    /// How it is laid out
    #[arg(long, value_enum, value_name = "LAYOUT")]
    pub layout: Layout,
    /// With files: the topics @<AggregateType> too, which have all other events
    #[arg(long)]
    pub all_topics: bool,
}

/// The layouts of an export.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum)]
pub enum Layout {
    /// An event a file: data/<topic>/<day>/<group of 1,000>/<event id>.json. Files that are there
    /// and say the same are left as they are, so an export that was cut off goes on
    Files,
}
