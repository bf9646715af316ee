//! `foldlog diff`: what changed between two positions.
//!
//! Owns the comparison: events in between by stream, and what each projection answered as of both,
//! as JSON documents that are compared member by member. Lists are compared as bags: an item that
//! moved is the same.

use std::collections::BTreeMap;
use std::process::ExitCode;

use serde_json::{Map, Value};

use super::commits::{self, each};
use super::past::{Cut, Past, Until, escape};
use super::replay::module;
use super::source::Source;
use crate::cli::{Diff, print};
use crate::json::{Object, array};

/// Items of one page of a projection: as many as a page has at most.
const PAGE: u32 = 1_000;

/// One difference.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Change {
    /// `+`, `-` or `~`.
    sign: char,
    /// Where, as a JSON Pointer.
    pointer: String,
    before: Option<Value>,
    after: Option<Value>,
}

/// Events of one stream between the two.
#[derive(Clone, Debug, Default)]
struct Moved {
    first: u64,
    last: u64,
    types: BTreeMap<String, u64>,
}

/// Compares and prints; exit code 1 when something changed.
pub fn run(diff: &Diff) -> Result<ExitCode, String> {
    let source = Source::open(&diff.source.source, &diff.source.partition)?;
    let genesis = commits::genesis(&source)?;
    let from = Until::parse(&diff.from)?.cut(&source, &genesis)?;
    let to = Until::parse(&diff.to)?.cut(&source, &genesis)?;
    if from.position > to.position {
        let (from, to) = (from.position, to.position);
        return Err(format!("A is position {from}, behind B, which is {to}: swap them"));
    }
    let (streams, commits) = moved(&source, from.position, to.position)?;
    let changes = if streams.is_empty() {
        Vec::new()
    } else {
        let module = module(diff.source.guest.as_deref())?;
        let mut past = Past::open(&source, module, from.clone())?;
        let before = projections(&mut past)?;
        past.move_on(to.clone())?;
        compared(&before, &projections(&mut past)?)
    };
    let told = Told { from, to, commits, streams, changes };
    if diff.source.json {
        print(&told.json());
    } else {
        told.lines(diff.limit).iter().for_each(|line| print(line));
    }
    Ok(if told.streams.is_empty() { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Streams with events between two positions, and in how many commits.
fn moved(source: &Source, after: u64, to: u64) -> Result<(BTreeMap<String, Moved>, u64), String> {
    let mut streams: BTreeMap<String, Moved> = BTreeMap::new();
    let mut commits = 0;
    each(source, after, &mut |line| {
        if line.commit.position > to {
            return Ok(false);
        }
        commits += 1;
        for event in &line.commit.events {
            let first = Moved { first: event.version, ..Moved::default() };
            let moved = streams.entry(event.stream.to_string()).or_insert(first);
            moved.last = event.version;
            *moved.types.entry(event.event_type.to_string()).or_default() += 1;
        }
        Ok(true)
    })?;
    Ok((streams, commits))
}

/// What all projections answer, each whole.
fn projections(past: &mut Past<'_>) -> Result<BTreeMap<String, Value>, String> {
    let list = parsed(past.body("/projections")?.as_bytes())?;
    let names = list.as_array().into_iter().flatten().filter_map(|one| one["name"].as_str());
    let mut all = BTreeMap::new();
    for name in names {
        let mut target = String::from("/projections/");
        escape(&mut target, name);
        target.push_str(&format!("?limit={PAGE}"));
        let mut whole = Value::Null;
        loop {
            let response = past.get(&target)?;
            let body = parsed(&response.body)?;
            if response.status != 200 {
                // One that stopped answers still; one that can not is told by what it says.
                whole = body["detail"].clone();
                break;
            }
            merge(&mut whole, body["data"].clone());
            let mut headers = response.headers.iter();
            let link = headers.find(|(name, _)| name.eq_ignore_ascii_case("link"));
            let next = link.and_then(|(_, link)| link.strip_prefix('<')?.split_once('>'));
            match next {
                Some((next, _)) => target = next.to_string(),
                None => break,
            }
        }
        all.insert(name.to_string(), whole);
    }
    Ok(all)
}

fn parsed(body: &[u8]) -> Result<Value, String> {
    serde_json::from_slice(body).map_err(|e| format!("an answer of the guest: {e}"))
}

/// Adds a further page to a document.
fn merge(whole: &mut Value, page: Value) {
    match (whole, page) {
        (Value::Object(whole), Value::Object(page)) => {
            for (name, value) in page {
                merge(whole.entry(name).or_insert(Value::Null), value);
            }
        }
        (Value::Array(whole), Value::Array(mut page)) => whole.append(&mut page),
        (whole, page) => *whole = page,
    }
}

fn compared(
    before: &BTreeMap<String, Value>,
    after: &BTreeMap<String, Value>,
) -> Vec<(String, Vec<Change>)> {
    let changes = after.iter().map(|(name, after)| {
        let mut changes = Vec::new();
        compare("", before.get(name).unwrap_or(&Value::Null), after, &mut changes);
        (name.clone(), changes)
    });
    changes.filter(|(_, changes)| !changes.is_empty()).collect()
}

fn compare(pointer: &str, before: &Value, after: &Value, changes: &mut Vec<Change>) {
    match (before, after) {
        (Value::Object(before), Value::Object(after)) => objects(pointer, before, after, changes),
        (Value::Array(before), Value::Array(after)) => lists(pointer, before, after, changes),
        (before, after) if before == after => {}
        (before, after) => {
            let (before, after) = (Some(before.clone()), Some(after.clone()));
            changes.push(Change { sign: '~', pointer: pointer.into(), before, after });
        }
    }
}

fn objects(
    pointer: &str,
    before: &Map<String, Value>,
    after: &Map<String, Value>,
    changes: &mut Vec<Change>,
) {
    let below = |name: &str| format!("{pointer}/{}", name.replace('~', "~0").replace('/', "~1"));
    for (name, value) in before.iter().filter(|(name, _)| !after.contains_key(*name)) {
        let before = Some(value.clone());
        changes.push(Change { sign: '-', pointer: below(name), before, after: None });
    }
    for (name, value) in after {
        match before.get(name) {
            Some(before) => compare(&below(name), before, value, changes),
            None => {
                let after = Some(value.clone());
                changes.push(Change { sign: '+', pointer: below(name), before: None, after });
            }
        }
    }
}

/// As bags: how often each item is there, by its text.
fn lists(pointer: &str, before: &[Value], after: &[Value], changes: &mut Vec<Change>) {
    let mut counts: BTreeMap<String, i64> = BTreeMap::new();
    after.iter().for_each(|item| *counts.entry(item.to_string()).or_default() += 1);
    before.iter().for_each(|item| *counts.entry(item.to_string()).or_default() -= 1);
    let pointer = || format!("{pointer}/-");
    for item in before.iter().rev() {
        if let Some(count) = counts.get_mut(&item.to_string()).filter(|count| **count < 0) {
            *count += 1;
            let before = Some(item.clone());
            changes.push(Change { sign: '-', pointer: pointer(), before, after: None });
        }
    }
    for item in after {
        if let Some(count) = counts.get_mut(&item.to_string()).filter(|count| **count > 0) {
            *count -= 1;
            let after = Some(item.clone());
            changes.push(Change { sign: '+', pointer: pointer(), before: None, after });
        }
    }
}

/// All that is told.
struct Told {
    from: Cut,
    to: Cut,
    commits: u64,
    streams: BTreeMap<String, Moved>,
    changes: Vec<(String, Vec<Change>)>,
}

impl Told {
    fn lines(&self, limit: usize) -> Vec<String> {
        let (from, to) = (&self.from, &self.to);
        let events = to.position - from.position;
        let mut lines = vec![
            format!("from      {} {} {}", from.position, from.time(), from.hash()),
            format!("to        {} {} {}", to.position, to.time(), to.hash()),
            format!(
                "between   {events} events in {} commits of {} streams",
                self.commits,
                self.streams.len()
            ),
        ];
        for (stream, moved) in self.streams.iter().take(limit) {
            let types: Vec<String> =
                moved.types.iter().map(|(kind, count)| format!("{count} {kind}")).collect();
            let Moved { first, last, .. } = moved;
            lines.push(format!("  {stream}  v{first} to v{last}: {}", types.join(", ")));
        }
        more(self.streams.len(), limit, "streams", &mut lines);
        for (name, changes) in &self.changes {
            let count = |sign| changes.iter().filter(|change| change.sign == sign).count();
            lines.push(format!(
                "{name}: {} added, {} changed, {} removed",
                count('+'),
                count('~'),
                count('-')
            ));
            lines.extend(changes.iter().take(limit).map(Change::line));
            more(changes.len(), limit, "changes", &mut lines);
        }
        lines
    }

    fn json(&self) -> String {
        let cut = |cut: &Cut| {
            let object = Object::default().token("position", cut.position);
            object.text("hash", &cut.hash()).text("time", &cut.time()).end()
        };
        let stream = |(stream, moved): (&String, &Moved)| {
            let types = Object::default();
            let types = moved.types.iter().fold(types, |types, (name, n)| types.token(name, n));
            let object = Object::default().text("stream", stream);
            let object = object.token("fromVersion", moved.first).token("toVersion", moved.last);
            object.token("eventsByType", types.end()).end()
        };
        let projections = self.changes.iter().fold(Object::default(), |object, (name, changes)| {
            object.token(name, array(&changes.iter().map(Change::json).collect::<Vec<_>>()))
        });
        Object::default()
            .token("equal", self.streams.is_empty())
            .token("from", cut(&self.from))
            .token("to", cut(&self.to))
            .token("events", self.to.position - self.from.position)
            .token("commits", self.commits)
            .token("streams", array(&self.streams.iter().map(stream).collect::<Vec<_>>()))
            .token("projections", projections.end())
            .end()
    }
}

fn more(count: usize, limit: usize, what: &str, lines: &mut Vec<String>) {
    if count > limit {
        lines.push(format!("  … and {} more {what}; --limit shows more", count - limit));
    }
}

impl Change {
    fn line(&self) -> String {
        let Self { sign, pointer, .. } = self;
        match (&self.before, &self.after) {
            (Some(before), Some(after)) => format!("  {sign} {pointer} {before} -> {after}"),
            (one, other) => {
                let value = one.as_ref().or(other.as_ref()).cloned().unwrap_or_default();
                format!("  {sign} {pointer} {value}")
            }
        }
    }

    fn json(&self) -> String {
        let change = match self.sign {
            '+' => "added",
            '-' => "removed",
            _ => "changed",
        };
        let mut object = Object::default().text("change", change).text("pointer", &self.pointer);
        for (name, value) in [("before", &self.before), ("after", &self.after)] {
            if let Some(value) = value {
                object = object.token(name, value);
            }
        }
        object.end()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn lines(before: &Value, after: &Value) -> Vec<String> {
        let mut changes = Vec::new();
        compare("", before, after, &mut changes);
        changes.iter().map(Change::line).collect()
    }

    #[test]
    fn documents_are_compared_member_by_member() {
        let before = json!({"b": {"a": {"n": 1}, "x/y": 2}, "same": [1, 2]});
        let after = json!({"b": {"a": {"n": 3}, "c": null}, "same": [2, 1]});
        let expected = ["  - /b/x~1y 2", "  ~ /b/a/n 1 -> 3", "  + /b/c null"];
        assert_eq!(lines(&before, &after), expected);
        assert_eq!(lines(&before, &before), Vec::<String>::new());
    }

    #[test]
    fn lists_are_compared_as_bags() {
        let (before, after) = (json!([1, 1, 2]), json!([3, 1, 3]));
        let expected = ["  - /- 2", "  - /- 1", "  + /- 3", "  + /- 3"];
        assert_eq!(lines(&before, &after), expected);
    }

    #[test]
    fn pages_are_put_together() {
        let mut whole = json!({"summary": {"n": 1}, "days": {"a": 1}, "list": [1]});
        merge(&mut whole, json!({"summary": {"n": 1}, "days": {"b": 2}, "list": [2]}));
        assert_eq!(whole, json!({"summary": {"n": 1}, "days": {"a": 1, "b": 2}, "list": [1, 2]}));
    }
}
