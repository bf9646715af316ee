//! How the gate's findings are told, to people and to programs.

use foldlog_core::chain::hex;
use foldlog_core::json::push_string;

use super::kinds::{Allow, Difference, Group, Kind};
use super::{Found, Side};
use crate::json::{Object, array};

impl Found {
    /// Whether nothing was found that is not allowed.
    pub fn clean(&self, allow: &[Allow]) -> bool {
        self.broken.is_none() && self.differences.all(allow).iter().all(|(.., meant)| *meant)
    }

    /// For programs.
    pub fn json(&self, allow: &[Allow]) -> String {
        let all = self.differences.all(allow);
        let told: Vec<String> = all.into_iter().map(group_json).collect();
        let [old, new] = &self.sides;
        let mut object = Object::default()
            .token("ok", self.clean(allow))
            .token("position", self.end.position)
            .text("hash", &hex(&self.end.hash))
            .token("differences", array(&told))
            .token("refusedTried", self.refused.0)
            .token("refusedNotTried", self.refused.1)
            .token("old", old.json())
            .token("new", new.json());
        if let Some(broken) = &self.broken {
            object = object.token("brokenAt", broken.position).text("detail", &broken.detail);
        }
        object.end()
    }

    /// For people.
    pub fn text(&self, allow: &[Allow]) -> String {
        let mut out = Vec::new();
        let all = self.differences.all(allow);
        for (kind, name, group, meant) in &all {
            let allowed = if *meant { " (allowed)" } else { "" };
            out.push(format!("{}:{name}  {}{allowed}", kind.name(), group.count));
            out.extend(group.examples.iter().flat_map(example));
        }
        out.push(format!("head      {} {}", self.end.position, hex(&self.end.hash)));
        let [old, new] = &self.sides;
        out.push(format!("old       {}", old.text()));
        out.push(format!("new       {}", new.text()));
        if self.refused != (0, 0) {
            let (tried, beyond) = self.refused;
            out.push(format!("refused   tried once more: {tried}; after the log's end: {beyond}"));
        }
        if let Some(broken) = &self.broken {
            out.push(format!("broken    at position {}: {}", broken.position, broken.detail));
        }
        let not_meant = all.iter().filter(|(.., meant)| !meant).count();
        out.push(match (self.clean(allow), all.len()) {
            (true, 0) => "passed    the new guest does what the old one did".into(),
            (true, count) => format!("passed    {count} differences, all of them allowed"),
            (false, _) if not_meant == 0 => "NOT PASSED the log was not tried to its end".into(),
            (false, _) => format!("NOT PASSED {not_meant} differences are not allowed"),
        });
        out.join("\n")
    }
}

fn example(one: &Difference) -> Vec<String> {
    let at = one.position.map_or(String::new(), |position| format!("position {position}: "));
    let lines = one.lines.iter().map(|line| format!("    {line}"));
    std::iter::once(format!("  {at}{}", one.what)).chain(lines).collect()
}

fn group_json((kind, name, group, meant): (Kind, &str, &Group, bool)) -> String {
    let example = |one: &Difference| {
        let object = Object::default();
        let object = match one.position {
            Some(position) => object.token("position", position),
            None => object,
        };
        let texts = one.lines.iter().map(|line| {
            let mut token = String::new();
            push_string(&mut token, line);
            token
        });
        let lines: Vec<String> = texts.collect();
        object.text("what", &one.what).token("lines", array(&lines)).end()
    };
    let examples: Vec<String> = group.examples.iter().map(example).collect();
    Object::default()
        .text("kind", kind.name())
        .text("name", name)
        .token("count", group.count)
        .token("allowed", meant)
        .token("examples", array(&examples))
        .end()
}

impl Side {
    fn rate(&self) -> f64 {
        (self.counts.commits() as f64 / self.seconds.max(1e-9)).round()
    }

    fn json(&self) -> String {
        Object::default()
            .text("guest", &hex(&self.digest))
            .token("commits", self.counts.commits())
            .token("otherThanRecorded", self.counts.divergences)
            .token("undecidable", self.counts.undecidable.values().sum::<u64>())
            .token("seconds", format!("{:.6}", self.seconds))
            .token("commandsPerSecond", self.rate())
            .token("memoryBytes", self.memory_bytes)
            .end()
    }

    fn text(&self) -> String {
        let (other, undecided) =
            (self.counts.divergences, self.counts.undecidable.values().sum::<u64>());
        format!(
            "{} commands/s, {} MiB of memory; {other} commits other than recorded, {undecided} not decidable",
            self.rate(),
            self.memory_bytes >> 20
        )
    }
}
