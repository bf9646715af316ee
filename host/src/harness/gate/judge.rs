//! Judging: what two guests made of the same page of a log.
//!
//! Owns what counts as a difference. Where the old guest itself does not come to what is recorded,
//! that is no fault of the new one: only what they make otherwise counts.

use std::collections::BTreeMap;

use foldlog_core::commit::Commit;
use foldlog_core::driver::Store;
use foldlog_core::json::{elements, members, string, unsigned};
use foldlog_core::protocol::{Answer, Query, Report, Upcasted, Verdict};

use super::kinds::{Difference, Differences, Kind};
use crate::harness::redecide::{got_text, line_at, what};
use crate::harness::texts::diff;

/// Compares what both made of a page. `log` finds commits that asked for something.
pub fn judge(
    (old, new): (&Report, &Report),
    texts: &[&str],
    log: &mut impl Store,
    found: &mut Differences,
) {
    let mut all: BTreeMap<u64, (Option<&Verdict>, Option<&Verdict>)> = BTreeMap::new();
    old.others.iter().for_each(|(at, verdict)| all.entry(*at).or_default().0 = Some(verdict));
    new.others.iter().for_each(|(at, verdict)| all.entry(*at).or_default().1 = Some(verdict));
    for (at, (old, new)) in all {
        if old == new || both_refuse(old, new) {
            continue;
        }
        let recorded = line_at(texts, at).unwrap_or_default();
        let place = Place { at, recorded, log: &mut *log };
        place.differs(old, new).into_iter().for_each(|difference| found.add(difference, 1));
    }
    judge_upcasts(&old.upcasts, &new.upcasts, found);
}

/// The words of a refusal may change.
fn both_refuse(old: Option<&Verdict>, new: Option<&Verdict>) -> bool {
    match (old, new) {
        (Some(Verdict::Refused { code: old, .. }), Some(Verdict::Refused { code: new, .. })) => {
            old == new
        }
        _ => false,
    }
}

/// A recorded commit that the two make something else of.
struct Place<'p, S> {
    at: u64,
    recorded: &'p str,
    log: &'p mut S,
}

impl<S: Store> Place<'_, S> {
    fn differs(mut self, old: Option<&Verdict>, new: Option<&Verdict>) -> Vec<Difference> {
        let before = match old {
            Some(Verdict::Differs(line)) => line,
            _ => self.recorded,
        };
        let after = match new {
            None => self.recorded,
            Some(Verdict::Differs(line)) => line,
            Some(other) => {
                let kind = match other {
                    Verdict::Refused { .. } => Kind::Refused,
                    Verdict::Trapped(_) => Kind::Trap,
                    _ => Kind::Decision,
                };
                let name = self.name();
                return vec![self.one(kind, name, got_text(before, other))];
            }
        };
        let managers = reactions_differ(before, after);
        if !managers.is_empty() && !matches!(old, Some(other) if !is_line(other)) {
            let lines = diff(before, after);
            let of = |manager| self.one(Kind::Reactions, manager, lines.clone());
            return managers.into_iter().map(of).collect();
        }
        let lines = match old {
            Some(other) if !is_line(other) => {
                // What it made before is told as what it made of the record.
                let told = got_text(self.recorded, other).into_iter();
                told.map(|line| line.replacen('+', "-", 1))
                    .chain(["+ as recorded".into()])
                    .collect()
            }
            _ => diff(before, after),
        };
        let name = self.name();
        vec![self.one(Kind::Decision, name, lines)]
    }

    fn one(&self, kind: Kind, name: String, lines: Vec<String>) -> Difference {
        Difference { kind, name, position: Some(self.at), what: what(self.recorded), lines }
    }

    /// Of the command, or of the sort of effect.
    fn name(&mut self) -> String {
        let Ok(commit) = Commit::parse(self.recorded) else { return "?".into() };
        if let Some(command) = &commit.command {
            return command.name.to_string();
        }
        let event = commit.events.first();
        let Some(cause) = &commit.cause else {
            return event.map_or("?".into(), |event| event.event_type.to_string());
        };
        let asked = self.log.read(&[Query::Commits { positions: vec![cause.position] }]);
        let lines = match asked.ok().and_then(|mut answers| answers.pop()) {
            Some(Answer::Commits(lines)) => lines,
            _ => Vec::new(),
        };
        let asked = lines.first().and_then(|line| Commit::parse(line).ok());
        let name = asked.and_then(|commit| asked_for(commit.reactions?, cause.n));
        name.unwrap_or_else(|| cause.manager.to_string())
    }
}

const fn is_line(verdict: &Verdict) -> bool {
    matches!(verdict, Verdict::Differs(_))
}

fn member<'t>(object: &'t str, name: &str) -> Option<&'t str> {
    members(object)?.into_iter().find(|(found, _)| found == name).map(|(_, token)| token)
}

/// The command, or the kind of effect, of a recorded reaction.
fn asked_for(reactions: &str, n: u32) -> Option<String> {
    let all = elements(reactions)?;
    let numbered = |one: &&str| member(one, "n").and_then(unsigned) == Some(n.into());
    let payload = member(all.into_iter().find(numbered)?, "payload")?;
    let name = member(payload, "command").or_else(|| member(payload, "kind"))?;
    string(name).map(std::borrow::Cow::into_owned)
}

/// The managers that ask for something else, where nothing but reactions differs.
fn reactions_differ(before: &str, after: &str) -> Vec<String> {
    let (Ok(old), Ok(new)) = (Commit::parse(before), Commit::parse(after)) else {
        return Vec::new();
    };
    let bare =
        |commit: &Commit<'_>| Commit { reactions: None, hash: None, ..commit.clone() }.line();
    if bare(&old) != bare(&new) {
        return Vec::new();
    }
    let (old, new) = (by_manager(old.reactions), by_manager(new.reactions));
    let names = old.keys().chain(new.keys()).filter(|name| old.get(*name) != new.get(*name));
    let mut names: Vec<String> = names.cloned().collect();
    names.sort_unstable();
    names.dedup();
    names
}

/// What each manager asks for; its numbers follow from what others ask for.
fn by_manager(reactions: Option<&str>) -> BTreeMap<String, Vec<Vec<(String, &str)>>> {
    let mut all: BTreeMap<String, Vec<Vec<(String, &str)>>> = BTreeMap::new();
    for one in reactions.and_then(elements).unwrap_or_default() {
        let manager = member(one, "manager").and_then(string).unwrap_or_default().into_owned();
        let rest = members(one).unwrap_or_default().into_iter().filter(|(name, _)| name != "n");
        let rest = rest.map(|(name, token)| (name.into_owned(), token)).collect();
        all.entry(manager).or_default().push(rest);
    }
    all
}

/// Payloads of older versions: what one could read, or brought to the same version, is told when the
/// other does not, or otherwise.
fn judge_upcasts(old: &[Upcasted], new: &[Upcasted], found: &mut Differences) {
    let before: BTreeMap<(u64, &str), &Upcasted> =
        old.iter().map(|one| ((one.position, one.name.as_str()), one)).collect();
    for one in new {
        let old = before.get(&(one.position, one.name.as_str()));
        let told = match (&one.result, old.map(|old| (&old.result, old.to))) {
            (Err(_), Some((Err(_), _))) | (Ok(_), None | Some((Err(_), _))) => None,
            (Err(why), _) => Some(format!("it can not be read any more: {why}")),
            (Ok(new), Some((Ok(old), to))) if (new, one.to) == (old, to) || one.to != to => None,
            (Ok(_), Some(_)) => {
                Some(format!("brought to version {}, it says something else", one.to))
            }
        };
        if let Some(what) = told {
            let (kind, name, lines) = (Kind::Upcaster, one.name.clone(), Vec::new());
            found.add(Difference { kind, name, position: Some(one.position), what, lines }, 1);
        }
    }
}
