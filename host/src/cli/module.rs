//! Flags of the verbs that tell of a module and of this program: `guest`, `selftest`,
//! `completions`, `man`.
//!
//! Owns texts for people.

use std::path::PathBuf;

use clap_complete::Shell;

/// Flags of `guest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog guest\n  foldlog guest build/guest.wasm --json\n\n\
    The digest is the one that logs and GET /health name. A guest imports nothing: a module that \
    imports something, or is none of Foldlog's, is refused with exit code 2, and what it imports is \
    named.")]
pub struct Guest {
    /// The module; the one built in when there is none
    #[arg(value_name = "FILE")]
    pub file: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `selftest`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Example:\n  foldlog selftest\n\n\
    Commands of all domains are decided and projected, in memory, at fixed times, and everything \
    that comes of them is compared with what it was when this program was made: each answer, the \
    log's hash, the digest of its rows, and the digest of the rows that folding the log again \
    gives. Exit code: 0 when all of it is the same, 1 when something differs.")]
pub struct Selftest {
    /// Guest module to test instead of the one built in
    #[arg(long, value_name = "FILE")]
    pub guest: Option<PathBuf>,
    /// Print the result as one JSON object
    #[arg(long)]
    pub json: bool,
}

/// Flags of `completions`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog completions bash > \
    ~/.local/share/bash-completion/completions/foldlog\n  \
    foldlog completions zsh > \"${fpath[1]}/_foldlog\"")]
pub struct Completions {
    /// The shell
    #[arg(value_name = "SHELL")]
    pub shell: Shell,
}

/// Flags of `man`.
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:\n  foldlog man | man -l -\n  \
    foldlog man --dir ~/.local/share/man/man1\n\n\
    Without --dir it is one page with all verbs, on standard output.")]
pub struct Man {
    /// Write a page for each verb, and one for all, into this directory
    #[arg(long, value_name = "DIR")]
    pub dir: Option<PathBuf>,
}
