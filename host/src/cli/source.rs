//! Flags that say where a log is: what every verb that reads one takes.
//!
//! Owns that a directory is given by itself or by `--wrangler`, never both. Refuses to open it.

use std::path::PathBuf;

use clap::{ArgMatches, Args, Command, Error, FromArgMatches};

/// Where a log is, for what folds it.
#[derive(Clone, Debug)]
pub struct SourceFlags {
    /// The directory or file.
    pub source: PathBuf,
    /// Whose log of a directory.
    pub partition: String,
    /// Another guest than the one built in.
    pub guest: Option<PathBuf>,
    /// Whether people's tools read the result.
    pub json: bool,
}

/// Where a log is, for what does not fold it.
#[derive(Clone, Debug)]
pub struct PlaceFlags {
    /// The directory or file.
    pub source: PathBuf,
    /// Whose log of a directory.
    pub partition: String,
    /// Whether people's tools read the result.
    pub json: bool,
}

/// How a host is asked for something.
#[derive(Clone, Debug, Default, Args)]
pub struct KeyFlag {
    /// Key that the host, or a proxy before it, asks for, sent as `Authorization: Bearer KEY`;
    /// $FOLDLOG_KEY is the better place, since other users of this machine see flags
    #[arg(long, value_name = "KEY")]
    pub key: Option<String>,
}

/// A place as it is given.
#[derive(Debug, Args)]
struct Place {
    /// Data directory, or one file: a log's, of this host or of a Durable Object, or NDJSON;
    /// `-` reads NDJSON from standard input
    #[arg(value_name = "SOURCE", required_unless_present = "wrangler")]
    source: Option<PathBuf>,
    /// Instead of SOURCE, a state directory of wrangler or workerd: the partition's Durable Object
    #[arg(long, value_name = "DIR", conflicts_with = "source")]
    wrangler: Option<PathBuf>,
    /// Partition of a directory
    #[arg(long, value_name = "NAME", default_value = "main")]
    partition: String,
    /// Print the result as one JSON object
    #[arg(long)]
    json: bool,
}

#[derive(Debug, Args)]
struct Folded {
    #[command(flatten)]
    place: Place,
    /// Guest module to fold with instead of the one built in
    #[arg(long, value_name = "FILE")]
    guest: Option<PathBuf>,
}

impl From<Place> for PlaceFlags {
    fn from(Place { source, wrangler, partition, json }: Place) -> Self {
        Self { source: source.or(wrangler).unwrap_or_default(), partition, json }
    }
}

impl From<Folded> for SourceFlags {
    fn from(Folded { place, guest }: Folded) -> Self {
        let PlaceFlags { source, partition, json } = place.into();
        Self { source, partition, guest, json }
    }
}

/// The flags of one are given as those of the other.
macro_rules! given_as {
    ($flags:ty, $given:ty) => {
        impl Args for $flags {
            fn augment_args(command: Command) -> Command {
                <$given>::augment_args(command)
            }

            fn augment_args_for_update(command: Command) -> Command {
                <$given>::augment_args_for_update(command)
            }
        }

        impl FromArgMatches for $flags {
            fn from_arg_matches(matches: &ArgMatches) -> Result<Self, Error> {
                <$given>::from_arg_matches(matches).map(Self::from)
            }

            fn update_from_arg_matches(&mut self, matches: &ArgMatches) -> Result<(), Error> {
                *self = Self::from_arg_matches(matches)?;
                Ok(())
            }
        }
    };
}

given_as!(SourceFlags, Folded);
given_as!(PlaceFlags, Place);
