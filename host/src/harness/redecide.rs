//! `foldlog redecide`: decides a whole log again, and tells what comes out otherwise than recorded.
//!
//! Owns the counts and how a divergence is told. Memory stays the same however long the log is: of
//! divergences only the first ones are kept.

use std::collections::BTreeMap;
use std::process::ExitCode;
use std::time::Instant;

use foldlog_core::chain::{hex, lines, position};
use foldlog_core::commit::Commit;
use foldlog_core::protocol::{Origin, Report, Verdict};

use super::again::{LeftOut, Run};
use super::fold::{self, Broken, End};
use super::progress::Progress;
use super::replay::module;
use super::source::Source;
use super::texts::diff;
use crate::cli::{Redecide, print};
use crate::json::{Object, array};

/// One commit that came out otherwise.
#[derive(Debug)]
pub struct Divergence {
    /// First position of the commit.
    pub position: u64,
    /// Its line, as recorded.
    pub expected: String,
    /// What became of it.
    pub got: Verdict,
}

/// What is counted of commits decided again.
#[derive(Debug, Default)]
pub struct Counts {
    /// Came out as recorded, by origin.
    pub same: [u64; Origin::COUNT],
    /// Of these, the same but for versions.
    pub lifted: u64,
    /// Not decidable, by reason.
    pub undecidable: BTreeMap<&'static str, u64>,
    /// Came out otherwise.
    pub divergences: u64,
}

impl Counts {
    /// Adds what a report tells.
    pub fn add(&mut self, report: &Report) {
        for (sum, more) in self.same.iter_mut().zip(report.same) {
            *sum += more;
        }
        self.lifted += report.lifted;
        for (_, verdict) in &report.others {
            match verdict {
                Verdict::Undecidable(why) => {
                    *self.undecidable.entry(why.name()).or_default() += 1;
                }
                _ => self.divergences += 1,
            }
        }
    }

    /// All of them.
    pub fn commits(&self) -> u64 {
        self.decided() + self.undecidable.values().sum::<u64>()
    }

    /// Those that were decided.
    pub fn decided(&self) -> u64 {
        self.same.iter().sum::<u64>() + self.divergences
    }

    fn same_by_origin(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let counted = Origin::ALL.into_iter().zip(self.same);
        counted.filter(|(_, count)| *count > 0).map(|(origin, count)| (origin.name(), count))
    }

    fn undecidable_told(&self) -> impl Iterator<Item = (&'static str, u64)> {
        self.undecidable.iter().map(|(name, count)| (*name, *count))
    }
}

/// What was found.
struct Found {
    counts: Counts,
    first: Vec<Divergence>,
    end: End,
    broken: Option<Broken>,
    left_out: Vec<LeftOut>,
    seconds: f64,
    memory_bytes: usize,
}

/// Decides it and prints the result; exit code 1 when something came out otherwise.
pub fn run(redecide: &Redecide) -> Result<ExitCode, String> {
    let flags = &redecide.source;
    let mut source = Source::open(&flags.source, &flags.partition)?;
    let genesis = whole(&source)?;
    let mut run = Run::new(&source, module(flags.guest.as_deref())?, &genesis)?;
    let progress = Progress::new(source.head()?);
    let started = Instant::now();
    let (mut counts, mut first) = (Counts::default(), Vec::new());
    let (end, result) = fold::pages(&mut source, &genesis, |texts, last| {
        let report = run.page(&texts)?;
        counts.add(&report);
        for (at, verdict) in report.others {
            if first.len() < redecide.limit && !matches!(verdict, Verdict::Undecidable(_)) {
                let expected = line_at(&texts, at).unwrap_or_default().to_string();
                first.push(Divergence { position: at, expected, got: verdict });
            }
        }
        progress.at(last);
        Ok(())
    })?;
    progress.end();
    let found = Found {
        counts,
        first,
        end,
        broken: result.err(),
        seconds: started.elapsed().as_secs_f64(),
        memory_bytes: run.memory_bytes(),
        left_out: run.left_out,
    };
    print(&if flags.json { found.json() } else { found.text() });
    Ok(if found.clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// The genesis line of a source that holds a log.
pub fn whole(source: &Source) -> Result<String, String> {
    match source.genesis()? {
        Some(genesis) => Ok(genesis),
        None => {
            let why = match source.import()? {
                Some(_) => "an import into it is not complete: there is no log yet",
                None => "the log is empty",
            };
            Err(format!("{}: {why}", source.path.display()))
        }
    }
}

/// The line of a page's commit that starts at a position.
pub fn line_at<'t>(texts: &[&'t str], at: u64) -> Option<&'t str> {
    let starts_by = |text: &&&str| position(text).is_some_and(|first| first <= at);
    let text = texts.iter().take_while(starts_by).last()?;
    lines(text).find(|line| position(line) == Some(at))
}

impl Found {
    fn clean(&self) -> bool {
        self.counts.divergences == 0 && self.broken.is_none() && self.left_out.is_empty()
    }

    fn rate(&self) -> f64 {
        (self.counts.decided() as f64 / self.seconds.max(1e-9)).round()
    }

    fn json(&self) -> String {
        let counted = |all: &mut dyn Iterator<Item = (&'static str, u64)>| {
            let named = |object: Object, (name, count)| object.token(name, count);
            all.fold(Object::default(), named).end()
        };
        let counts = &self.counts;
        let told: Vec<String> = self.first.iter().map(Divergence::json).collect();
        let left_out: Vec<String> = self.left_out.iter().map(LeftOut::json).collect();
        let mut object = Object::default()
            .token("ok", self.clean())
            .token("position", self.end.position)
            .text("hash", &hex(&self.end.hash))
            .token("commits", counts.commits())
            .token("same", counted(&mut counts.same_by_origin()))
            .token("lifted", counts.lifted)
            .token("undecidable", counted(&mut counts.undecidable_told()))
            .token("divergences", counts.divergences)
            .token("first", array(&told))
            .token("leftOut", array(&left_out))
            .token("seconds", format!("{:.6}", self.seconds))
            .token("commandsPerSecond", self.rate())
            .token("guestMemoryBytes", self.memory_bytes);
        if let Some(broken) = &self.broken {
            object = object.token("brokenAt", broken.position).text("detail", &broken.detail);
        }
        object.end()
    }

    fn text(&self) -> String {
        let mut out: Vec<String> = self.first.iter().flat_map(Divergence::text).collect();
        out.extend(self.left_out.iter().map(LeftOut::text));
        let counts = &self.counts;
        out.push(format!("head      {} {}", self.end.position, hex(&self.end.hash)));
        let told = |all: &mut dyn Iterator<Item = (&'static str, u64)>| {
            all.map(|(name, count)| format!("{count} {name}")).collect::<Vec<_>>().join(", ")
        };
        let same = told(&mut counts.same_by_origin());
        out.push(format!("same      {}", if same.is_empty() { "none" } else { &same }));
        if counts.lifted > 0 {
            let what = "of these are the same but for versions that upcasters lead to";
            out.push(format!("lifted    {} {what}", counts.lifted));
        }
        if !counts.undecidable.is_empty() {
            out.push(format!("undecided {}", told(&mut counts.undecidable_told())));
        }
        let (commits, seconds, rate) = (counts.commits(), self.seconds, self.rate());
        out.push(format!("speed     {commits} commits in {seconds:.3} s: {rate} commands/s"));
        if let Some(broken) = &self.broken {
            out.push(format!("broken    at position {}: {}", broken.position, broken.detail));
        }
        out.push(match (self.clean(), counts.divergences) {
            (true, _) => "clean     all that can be decided came out as it is recorded".into(),
            (false, count) => format!("NOT CLEAN {count} divergences, see above"),
        });
        out.join("\n")
    }
}

impl LeftOut {
    /// For programs.
    pub fn json(&self) -> String {
        let object = Object::default().token("position", self.position);
        let object = match &self.projection {
            Some(name) => object.text("projection", name),
            None => object,
        };
        object.text("detail", &self.detail).end()
    }

    /// For people.
    pub fn text(&self) -> String {
        let what = self.projection.as_deref().unwrap_or("the stream");
        format!("left out  {what} from position {} on: {}", self.position, self.detail)
    }
}

impl Divergence {
    fn json(&self) -> String {
        let object = Object::default().token("position", self.position);
        let expected = if self.expected.is_empty() { "null" } else { &self.expected };
        let object = object.text("what", &what(&self.expected)).token("expected", expected);
        object.token("got", got_json(&self.got)).end()
    }

    fn text(&self) -> Vec<String> {
        let mut out =
            vec![format!("diverges  position {}: {}", self.position, what(&self.expected))];
        out.extend(got_text(&self.expected, &self.got).iter().map(|line| format!("  {line}")));
        out
    }
}

/// What caused a recorded commit, for people.
pub fn what(line: &str) -> String {
    let Ok(commit) = Commit::parse(line) else { return "a commit".into() };
    let stream = commit.events.first().map_or("", |event| &event.stream);
    match (&commit.command, &commit.cause) {
        (Some(command), None) => format!("{} on {stream}", command.name),
        (_, Some(cause)) => {
            format!(
                "{} on {stream}, asked for by {} at {}",
                first_event(&commit),
                cause.manager,
                cause.position
            )
        }
        (None, None) => format!("{} on {stream}", first_event(&commit)),
    }
}

fn first_event<'c>(commit: &'c Commit<'_>) -> &'c str {
    commit.events.first().map_or("nothing", |event| &event.event_type)
}

/// What came out, for programs.
pub fn got_json(got: &Verdict) -> String {
    let one = |name: &str, text: &str| Object::default().text(name, text).end();
    match got {
        Verdict::Differs(line) => line.clone(),
        Verdict::Refused { code, detail } => {
            let refused = Object::default().text("code", code).text("detail", detail).end();
            Object::default().token("refused", refused).end()
        }
        Verdict::Nothing => Object::default().token("nothing", true).end(),
        Verdict::Undecidable(why) => one("undecidable", why.name()),
        Verdict::Trapped(detail) => one("trapped", detail),
    }
}

/// What came out beside what was expected, for people.
pub fn got_text(expected: &str, got: &Verdict) -> Vec<String> {
    match got {
        Verdict::Differs(line) => diff(expected, line),
        Verdict::Refused { code, detail } => vec![format!("+ refused: {code}: {detail}")],
        Verdict::Nothing => vec!["+ no events".into()],
        Verdict::Undecidable(why) => vec![format!("+ not decidable: {}", why.name())],
        Verdict::Trapped(detail) => vec![format!("+ the guest trapped: {detail}")],
    }
}
