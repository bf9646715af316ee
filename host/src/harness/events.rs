//! `foldlog log`: the events of a log as a table, as JSON, or as CloudEvents; and those that come.
//!
//! Owns the table, its colours, and how a live directory is followed: each look is a read of its
//! own, so that a host is never kept from shortening its WAL. The other forms are HTTP's, made by
//! the same code.

use std::collections::VecDeque;
use std::io::{self, BufWriter, IsTerminal, StdoutLock, Write};
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

use foldlog_core::commit::Genesis;
use foldlog_core::http::{Form, push_record};
use foldlog_core::record::{Decoded, Record};

use super::commits::{self, each};
use super::filter::Filter;
use super::progress::Progress;
use super::source::Source;
use crate::cli::{Colour, Log, Output};
use crate::lock::Lock;

/// Between two looks at a live directory.
const LOOK: Duration = Duration::from_millis(100);
/// Characters of data in a table.
const DATA_MAX: usize = 160;

/// Shows them.
pub fn run(log: &Log) -> Result<ExitCode, String> {
    let filter = Filter::of(&log.filter)?;
    let source = Source::open(&log.source.source, &log.source.partition)?;
    if log.follow {
        live(&source)?;
    }
    let genesis = commits::genesis(&source)?;
    let genesis = Genesis::parse(&genesis).map_err(|e| format!("genesis: {e}"))?;
    // A host serves a file under the file's name, whatever the log was called at first.
    let named = log.source.source.is_dir().then_some(log.source.partition.as_str());
    let shower = Shower {
        output: if log.source.json { Output::Json } else { log.output },
        colours: colours(log.color),
        lines: log.follow,
        partition: named.unwrap_or(&genesis.partition).to_string(),
    };
    match show(&source, &filter, log, &shower) {
        // Whoever reads no more wants no more.
        Err(Stop::Closed) => Ok(ExitCode::SUCCESS),
        Err(Stop::Failed(why)) => Err(why),
        Ok(()) => Ok(ExitCode::SUCCESS),
    }
}

enum Stop {
    Closed,
    Failed(String),
}

impl From<io::Error> for Stop {
    fn from(_: io::Error) -> Self {
        Self::Closed
    }
}

fn show(source: &Source, filter: &Filter, log: &Log, shower: &Shower) -> Result<(), Stop> {
    let mut out = Out::new(shower);
    let mut after = filter.low.saturating_sub(1);
    let mut last = log.last.map(|_| VecDeque::new());
    let progress = Progress::new(source.head().map_err(Stop::Failed)?);
    // A bar on the same terminal would mix with what is shown.
    let told = !io::stdout().is_terminal();
    let mut past = pass(source, filter, &mut after, &mut |record| {
        if told {
            progress.at(record.position);
        }
        let shown = shower.shown(record);
        match &mut last {
            None => out.item(&shown),
            Some(last) => {
                last.push_back(shown);
                if last.len() > log.last.unwrap_or_default() {
                    last.pop_front();
                }
                Ok(())
            }
        }
    })?;
    progress.end();
    last.into_iter().flatten().try_for_each(|shown| out.item(&shown))?;
    if log.follow {
        source.raw.execute_batch("COMMIT").map_err(|e| Stop::Failed(e.to_string()))?;
    }
    while log.follow && !past {
        out.flush()?;
        std::thread::sleep(LOOK);
        past = pass(source, filter, &mut after, &mut |record| out.item(&shower.shown(record)))?;
    }
    Ok(out.end()?)
}

/// Shows what is there beyond `after`, and moves that on. Tells whether nothing more can come.
fn pass(
    source: &Source,
    filter: &Filter,
    after: &mut u64,
    take: &mut dyn FnMut(&Record<'_>) -> io::Result<()>,
) -> Result<bool, Stop> {
    let (mut closed, mut past, mut head) = (false, false, *after);
    let read = each(source, *after, &mut |line| {
        if filter.is_past(&line) {
            past = true;
            return Ok(false);
        }
        head = line.commit.last_position();
        let room = Decoded::room(line.commit);
        let mut wanted =
            Record::all(line.commit, line.time, &room).filter(|record| filter.wants(record));
        closed = wanted.try_for_each(|record| take(&record)).is_err();
        Ok(!closed)
    });
    *after = head;
    read.map_err(Stop::Failed)?;
    if closed { Err(Stop::Closed) } else { Ok(past) }
}

/// Only what someone writes to can be followed.
fn live(source: &Source) -> Result<(), String> {
    let directory = source.path.parent().filter(|parent| !parent.as_os_str().is_empty());
    if Lock::held(directory.unwrap_or(Path::new("."))) {
        return Ok(());
    }
    Err(format!("{}: no host serves it, so there is nothing to follow", source.path.display()))
}

/// <https://no-color.org>: set and not empty means none.
fn colours(when: Colour) -> bool {
    match when {
        Colour::Always => true,
        Colour::Never => false,
        Colour::Auto => {
            let none = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty());
            io::stdout().is_terminal() && !none
        }
    }
}

/// How a record looks.
struct Shower {
    output: Output,
    colours: bool,
    /// Nothing that has to be closed.
    lines: bool,
    partition: String,
}

impl Shower {
    fn shown(&self, record: &Record<'_>) -> String {
        let mut shown = String::new();
        match self.output {
            Output::Table => shown = self.row(record),
            Output::Json | Output::Ndjson => {
                push_record(&mut shown, &self.partition, record, Form::Json);
            }
            Output::Cloudevents => push_record(&mut shown, &self.partition, record, Form::Cloud),
        }
        shown
    }

    fn row(&self, record: &Record<'_>) -> String {
        let paint = |code: &str, text: String| {
            if self.colours { format!("\x1b[{code}m{text}\x1b[0m") } else { text }
        };
        let own = if record.aggregate_type.starts_with('~') { "33" } else { "36" };
        let stream = format!("{}:{}", record.aggregate_type, record.aggregate_id);
        let position = paint("2", format!("{:>6}", record.position));
        let time = paint("2", record.time.to_iso());
        let kind = paint(own, format!("{:<30}", plain(record.event_type(), usize::MAX)));
        let stream = paint("1", format!("{:<26}", plain(&stream, usize::MAX)));
        let version = format!("{:<4}", format!("v{}", record.event.version));
        let data = plain(record.data(), DATA_MAX);
        format!("{position}  {time}  {kind}  {stream}  {version}  {data}")
    }

    fn is_list(&self) -> bool {
        matches!(self.output, Output::Json | Output::Cloudevents) && !self.lines
    }
}

/// Text of a log is anyone's: nothing in it steers the terminal.
fn plain(text: &str, chars_max: usize) -> String {
    let mut chars = text.chars().map(|c| if c.is_control() { '\u{fffd}' } else { c });
    let mut plain: String = chars.by_ref().take(chars_max).collect();
    if chars.next().is_some() {
        plain.push('…');
    }
    plain
}

/// Where items go.
struct Out {
    out: BufWriter<StdoutLock<'static>>,
    list: bool,
    any: bool,
}

impl Out {
    fn new(shower: &Shower) -> Self {
        let out = BufWriter::new(io::stdout().lock());
        Self { out, list: shower.is_list(), any: false }
    }

    fn item(&mut self, item: &str) -> io::Result<()> {
        if self.list {
            self.out.write_all(if self.any { b",\n" } else { b"[" })?;
            self.any = true;
            self.out.write_all(item.as_bytes())
        } else {
            writeln!(self.out, "{item}")
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    fn end(&mut self) -> io::Result<()> {
        if self.list {
            self.out.write_all(if self.any { b"]\n" } else { b"[]\n" })?;
        }
        self.out.flush()
    }
}
