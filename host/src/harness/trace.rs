//! `foldlog trace`: what led to what within one correlation.
//!
//! Owns the tree: a commit stands below the one whose reaction it carries out, or else below the one
//! that holds the event which its causation id names. Holds the commits of that one correlation.

use std::collections::{BTreeMap, BTreeSet};
use std::process::ExitCode;

use foldlog_core::commit::Commit;
use foldlog_core::ids;
use foldlog_core::json::{elements, members, string, unsigned};
use foldlog_core::record::{first_event_id, made_id};
use foldlog_core::time::Time;

use super::commits::{Line, each};
use super::progress::Progress;
use super::source::Source;
use crate::cli::{Trace, print};
use crate::json::{Object, array};

/// What a process manager asked for.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Asked {
    n: u64,
    manager: String,
    /// For people: the kind and what it is about.
    what: String,
    due: Option<String>,
}

/// A commit of the correlation.
#[derive(Clone, Debug)]
struct Step {
    position: u64,
    time: Time,
    /// The command, or the manager that caused it.
    by: String,
    /// Position of the commit and number of its reaction that this one carries out.
    cause: Option<(u64, u64)>,
    causation: Option<String>,
    /// Id, type, stream.
    events: Vec<(String, String, String)>,
    asked: Vec<Asked>,
}

/// Finds and prints it.
pub fn run(trace: &Trace) -> Result<ExitCode, String> {
    let source = Source::open(&trace.source.source, &trace.source.partition)?;
    let id = correlation(&source, trace)?;
    let mut steps = Vec::new();
    let progress = Progress::new(source.head()?);
    each(&source, 0, &mut |line| {
        progress.at(line.commit.position);
        if correlation_of(line.commit) == id {
            steps.push(Step::of(&line));
        }
        Ok(true)
    })?;
    progress.end();
    if steps.is_empty() {
        return Err(format!("{}: no event has the correlation {id}", source.path.display()));
    }
    let tree = Tree::of(steps);
    if trace.source.json {
        print(&tree.json(&id));
    } else {
        tree.lines(&id).iter().for_each(|line| print(line));
    }
    Ok(ExitCode::SUCCESS)
}

fn correlation_of(commit: &Commit<'_>) -> String {
    let given = commit.correlation_id.as_deref().map(String::from);
    given.unwrap_or_else(|| first_event_id(commit).into_owned())
}

/// The correlation that is asked for, by itself, by an event or by a position.
fn correlation(source: &Source, trace: &Trace) -> Result<String, String> {
    if let Some(id) = &trace.correlation {
        return Ok(id.clone());
    }
    let event = trace.event.as_deref().unwrap_or_default();
    let position = trace.position.or_else(|| ids::position_of_event_id(event));
    let after = position.map_or(0, |position| position.saturating_sub(1));
    let mut found = None;
    each(source, after, &mut |line| {
        let here = match trace.position {
            Some(position) => line.commit.position <= position,
            None => event_ids(line.commit).any(|id| id == event),
        };
        found = here.then(|| correlation_of(line.commit));
        // A position, and an id made of one, are here or nowhere.
        Ok(found.is_none() && position.is_none())
    })?;
    let what = trace.position.map_or_else(|| format!("id {event}"), |p| format!("position {p}"));
    found.ok_or_else(|| format!("{}: there is no event of {what}", source.path.display()))
}

fn event_ids<'a>(commit: &'a Commit<'a>) -> impl Iterator<Item = String> {
    commit.events.iter().zip(commit.position..).map(|(event, position)| {
        event.id.as_deref().map_or_else(|| made_id(event, position), String::from)
    })
}

impl Step {
    fn of(line: &Line<'_>) -> Self {
        let commit = line.commit;
        let by = match (&commit.command, &commit.cause) {
            (Some(command), _) => command.name.to_string(),
            (None, Some(cause)) => cause.manager.to_string(),
            (None, None) => "the system".to_string(),
        };
        let names = commit.events.iter().map(|event| (&event.event_type, &event.stream));
        let events = event_ids(commit)
            .zip(names)
            .map(|(id, (kind, stream))| (id, kind.to_string(), stream.to_string()));
        let asked = elements(commit.reactions.unwrap_or("[]")).unwrap_or_default();
        Self {
            position: commit.position,
            time: line.time,
            by,
            cause: commit.cause.as_ref().map(|cause| (cause.position, cause.n.into())),
            causation: commit.causation_id.as_deref().map(String::from),
            events: events.collect(),
            asked: asked.into_iter().filter_map(Asked::of).collect(),
        }
    }
}

impl Asked {
    /// Reads one reaction; none when nothing can come of it.
    fn of(reaction: &str) -> Option<Self> {
        let own = members(reaction)?;
        let text = |within: &[(std::borrow::Cow<'_, str>, &str)], name: &str| {
            let token = within.iter().find(|(own, _)| own == name).map(|(_, token)| *token)?;
            string(token).map(|text| text.to_string())
        };
        let kind = text(&own, "kind")?;
        let token = |name: &str| own.iter().find(|(own, _)| own == name).map(|(_, token)| *token);
        let payload = members(token("payload")?).unwrap_or_default();
        let of = |name: &str| text(&payload, name).unwrap_or_default();
        let command = || format!("{} {}:{}", of("command"), of("aggregateType"), of("aggregateId"));
        let what = match kind.as_str() {
            "command" => format!("command {}", command()),
            "timer" => format!("timer {}: {}", of("key"), command()),
            "effect" => format!("effect {} {}", of("kind"), of("target")),
            _ => return None,
        };
        let n = token("n").and_then(unsigned)?;
        Some(Self { n, manager: text(&own, "manager")?, what, due: text(&own, "dueAt") })
    }
}

/// The steps of a correlation, and which stands below which.
struct Tree {
    steps: BTreeMap<u64, Step>,
    /// Positions by that of the one above; those of none by 0.
    below: BTreeMap<u64, Vec<u64>>,
    /// Reactions of which something came.
    done: BTreeSet<(u64, u64)>,
}

impl Tree {
    fn of(steps: Vec<Step>) -> Self {
        let mut of_event: BTreeMap<String, u64> = BTreeMap::new();
        let (mut below, mut all): (BTreeMap<u64, Vec<u64>>, _) = (BTreeMap::new(), BTreeMap::new());
        let mut done = BTreeSet::new();
        for step in steps {
            done.extend(step.cause);
            let asked_for = step.cause.map(|(position, _)| position);
            let asked_for = asked_for.filter(|position| all.contains_key(position));
            let led_to = || step.causation.as_ref().and_then(|id| of_event.get(id)).copied();
            let above = asked_for.or_else(led_to).unwrap_or_default();
            below.entry(above).or_default().push(step.position);
            of_event.extend(step.events.iter().map(|(id, ..)| (id.clone(), step.position)));
            all.insert(step.position, step);
        }
        Self { steps: all, below, done }
    }

    fn open<'a>(&'a self, step: &'a Step) -> impl Iterator<Item = &'a Asked> {
        step.asked.iter().filter(|asked| !self.done.contains(&(step.position, asked.n)))
    }

    fn start(&self) -> Time {
        self.steps.values().next().map_or(Time(0), |step| step.time)
    }

    fn lines(&self, id: &str) -> Vec<String> {
        let start = self.start();
        let end = self.steps.values().next_back().map_or(start, |step| step.time);
        let events: usize = self.steps.values().map(|step| step.events.len()).sum();
        let took = after(start, end);
        let head = format!(
            "correlation {id}: {} commits, {events} events, from {} on, {took}",
            self.steps.len(),
            start.to_iso()
        );
        let mut lines = vec![head];
        // A stack instead of calls: how deep it goes is the log's to say.
        let mut open: Vec<(u64, String, bool)> = Vec::new();
        self.push_below(0, "", &mut open);
        while let Some((position, indent, is_last)) = open.pop() {
            let Some(step) = self.steps.get(&position) else { continue };
            let root = indent.is_empty() && !self.is_below(position);
            let (branch, rest) = match (root, is_last) {
                (true, _) => ("", ""),
                (false, true) => ("└─ ", "   "),
                (false, false) => ("├─ ", "│  "),
            };
            let what: Vec<String> =
                step.events.iter().map(|(_, kind, stream)| format!("{kind} {stream}")).collect();
            let when = after(start, step.time);
            let what = what.join(", ");
            lines.push(format!("{indent}{branch}{position} {when} {}: {what}", step.by));
            let indent = format!("{indent}{rest}");
            let bar = if self.below.contains_key(&position) { "│" } else { " " };
            for asked in self.open(step) {
                let due = asked.due.as_ref().map_or(String::new(), |due| format!(", due {due}"));
                let Asked { manager, what, .. } = asked;
                lines.push(format!("{indent}{bar}  {manager} asked for {what}{due}: nothing yet"));
            }
            self.push_below(position, &indent, &mut open);
        }
        lines
    }

    fn is_below(&self, position: u64) -> bool {
        !self.below.get(&0).is_some_and(|roots| roots.contains(&position))
    }

    /// The last one first: the next to be shown is on top.
    fn push_below(&self, position: u64, indent: &str, open: &mut Vec<(u64, String, bool)>) {
        let below = self.below.get(&position).map_or(&[][..], Vec::as_slice);
        let last = below.last();
        let entries = below.iter().rev();
        open.extend(entries.map(|one| (*one, indent.to_string(), Some(one) == last)));
    }

    fn json(&self, id: &str) -> String {
        let start = self.start();
        let mut above: BTreeMap<u64, u64> = BTreeMap::new();
        for (position, below) in self.below.iter().filter(|(position, _)| **position > 0) {
            above.extend(below.iter().map(|one| (*one, *position)));
        }
        let step = |step: &Step| {
            let event = |(id, kind, stream): &(String, String, String)| {
                Object::default().text("id", id).text("type", kind).text("stream", stream).end()
            };
            let asked = |asked: &Asked| {
                let object = Object::default().token("n", asked.n).text("manager", &asked.manager);
                let object = object.text("what", &asked.what);
                let due = asked.due.as_deref();
                due.into_iter().fold(object, |object, due| object.text("dueAt", due)).end()
            };
            let above = above.get(&step.position);
            Object::default()
                .token("position", step.position)
                .token("below", above.map_or_else(|| "null".to_string(), ToString::to_string))
                .text("time", &step.time.to_iso())
                .token("afterMs", step.time.0.saturating_sub(start.0))
                .text("by", &step.by)
                .token("events", array(&step.events.iter().map(event).collect::<Vec<_>>()))
                .token("open", array(&self.open(step).map(asked).collect::<Vec<_>>()))
                .end()
        };
        let steps: Vec<String> = self.steps.values().map(step).collect();
        Object::default().text("correlationId", id).token("commits", array(&steps)).end()
    }
}

/// `+0.012 s`.
fn after(start: Time, time: Time) -> String {
    let ms = time.0.saturating_sub(start.0);
    format!("+{}.{:03} s", ms / 1_000, ms % 1_000)
}
