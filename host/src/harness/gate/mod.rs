//! `foldlog gate`: tries a new guest on a whole log before it goes live.
//!
//! Owns the order of it: both guests decide each page again, one after the other; in the end their
//! rows are compared. Refuses to say which differences are right: `--allow` does.
//!
//! ```text
//!   old ─ again ─╮                     decisions, upcasters, traps
//!                ├─ judge ─ kinds ─ told
//!   new ─ again ─╯            ╱
//!                rows ─ began          rows, and the position at which they part
//! ```

mod began;
mod judge;
mod kinds;
mod refused;
mod rows;
mod told;

use std::collections::BTreeSet;
use std::path::Path;
use std::process::ExitCode;

pub use kinds::Allow;

use super::again::{LeftOut, Run};
use super::fold::{self, Broken, End};
use super::progress::Progress;
use super::redecide::{Counts, whole};
use super::rejected;
use super::source::Source;
use crate::cli::{Gate, print};
use crate::serve;
use crate::wasm::{Bounds, Module};
use kinds::{Difference, Differences, Kind};
use refused::Refused;

/// What was found.
struct Found {
    differences: Differences,
    end: End,
    broken: Option<Broken>,
    /// Refused commands that were tried, and that were not: they came after the log's end.
    refused: (u64, usize),
    sides: [Side; 2],
}

/// What is told of one guest.
struct Side {
    digest: [u8; 32],
    counts: Counts,
    seconds: f64,
    memory_bytes: usize,
}

/// Tries it and prints the result; exit code 1 when a difference is not allowed.
pub fn run(gate: &Gate) -> Result<ExitCode, String> {
    let mut source = Source::open(&gate.place.source, &gate.place.partition)?;
    let genesis = whole(&source)?;
    let (old, new) = (module(gate.guest_old.as_deref())?, module(Some(&gate.guest))?);
    let modules = [old.clone(), new.clone()];
    let (mut old, mut new) = (Run::new(&source, old, &genesis)?, Run::new(&source, new, &genesis)?);
    let mut differences = Differences::new(gate.limit);
    let mut counts = [Counts::default(), Counts::default()];
    let mut refused = Refused::new(rejected::entries(gate.rejected.as_deref(), &source)?);
    let progress = Progress::new(source.head()?);
    let (end, result) = fold::pages(&mut source, &genesis, |mut texts, last| {
        // Commits up to where a refused command came, then that one, and on.
        while let Some(at) = refused.next(last) {
            let (before, rest) = fold::split(&texts, at);
            compare(&before, (&mut old, &mut new), &mut counts, &mut differences)?;
            refused.attempt(at, (&mut old, &mut new), &mut differences)?;
            texts = rest;
        }
        compare(&texts, (&mut old, &mut new), &mut counts, &mut differences)?;
        progress.at(last);
        Ok(())
    })?;
    progress.end();
    let broken = result.err();
    left_out(&old.left_out, &new.left_out, &mut differences);
    if broken.is_none() {
        let open = || source.again();
        compare_rows((&mut old, &mut new), &modules, (&open, &genesis), gate, &mut differences)?;
    }
    let [was, is] = counts;
    let sides = [old.told(was), new.told(is)];
    let refused = (refused.tried, refused.waiting());
    let found = Found { differences, end, broken, refused, sides };
    print(&if gate.place.json { found.json(&gate.allow) } else { found.text(&gate.allow) });
    Ok(if found.clean(&gate.allow) { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Has both decide a page, and compares what they make of it.
fn compare(
    texts: &[&str],
    (old, new): (&mut Run, &mut Run),
    counts: &mut [Counts; 2],
    differences: &mut Differences,
) -> Result<(), Broken> {
    let before = old.page(texts)?;
    let after = new.page(texts).map_err(|broken| Broken {
        detail: format!("the new guest does not take it in: {}", broken.detail),
        ..broken
    })?;
    counts.iter_mut().zip([&before, &after]).for_each(|(counts, report)| counts.add(report));
    judge::judge((&before, &after), texts, &mut old.store, differences);
    Ok(())
}

/// A guest with a bound on its calls: a new one may never end.
fn module(guest: Option<&Path>) -> Result<Module, String> {
    let settings = fold::settings()?;
    let (memory_max, stage_ms_max) = (settings.guest_memory_max, settings.stage_ms_max);
    serve::load(guest, Bounds { memory_max, stage_ms_max })
}

impl Run {
    fn told(&self, counts: Counts) -> Side {
        let (seconds, memory_bytes) = (self.spent.as_secs_f64(), self.memory_bytes());
        Side { digest: self.digest(), counts, seconds, memory_bytes }
    }
}

/// What trapped while it only took something in.
fn left_out(old: &[LeftOut], new: &[LeftOut], differences: &mut Differences) {
    for one in new.iter().filter(|one| !old.contains(one)) {
        let name = one.projection.clone().unwrap_or_else(|| "stream".into());
        let (what, lines) =
            ("it is left out from there on".into(), vec![format!("+ {}", one.detail)]);
        let position = Some(one.position);
        differences.add(Difference { kind: Kind::Trap, name, position, what, lines }, 1);
    }
}

type Log<'l> = (&'l dyn Fn() -> Result<Source, String>, &'l str);

fn compare_rows(
    (old, new): (&mut Run, &mut Run),
    modules: &[Module; 2],
    (open, genesis): Log<'_>,
    gate: &Gate,
    differences: &mut Differences,
) -> Result<(), String> {
    old.finish()?;
    new.finish()?;
    let mut differing = rows::differing(old, new, gate.limit)?;
    // One that stopped is told of already.
    let stopped = |view: &str| {
        let mut all = old.left_out.iter().chain(&new.left_out);
        all.any(|one| one.projection.as_deref() == Some(view))
    };
    differing.retain(|one| !stopped(&one.view));
    if differing.is_empty() {
        return Ok(());
    }
    let views: BTreeSet<String> = differing.iter().map(|one| one.view.clone()).collect();
    // A guest that traps can not be folded without what is left out: that says where it began.
    let whole = old.left_out.is_empty() && new.left_out.is_empty();
    let [was, is] = modules;
    let began =
        if whole { began::began(open, genesis, [was, is], &views)? } else { Default::default() };
    for one in differing {
        let kind = if one.same_revision { Kind::Revision } else { Kind::Rows };
        let (name, position) = (one.view.clone(), began.get(&one.view).copied());
        let mut lines = Vec::new();
        for (key, diff) in one.examples {
            lines.push(format!("{key}:"));
            lines.extend(diff.into_iter().map(|line| format!("  {line}")));
        }
        let what = match kind {
            Kind::Revision => "rows differ under the same revision: raise it",
            _ => "rows of another revision differ",
        };
        let what = what.to_string();
        differences.add(Difference { kind, name, position, what, lines }, one.rows);
    }
    Ok(())
}
