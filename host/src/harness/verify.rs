//! `foldlog verify`: is the log whole, and are the stored rows its fold?
//!
//! Owns the list of checks and what is told of each finding. Checks, all of them even after a
//! finding: SQLite's own integrity, each row's checksum, the chain and the fold from genesis,
//! every stored row against the fold as of the checkpoint, and each snapshot that was taken on
//! request against the fold as of its position.

use std::collections::BTreeSet;
use std::process::ExitCode;

use foldlog_core::chain::{NO_HASH, hex};
use foldlog_core::driver::{Bulk, MemoryStore, Progress};
use foldlog_core::protocol::View;

use super::chain;
use super::discard;
use super::finding::{Finding, exit_code, head};
use super::fold::{self, Folded};
use super::replay::module;
use super::rows::Stored;
use super::snapshots::Taken;
use super::source::Source;
use crate::cli::{Verify, print};
use crate::json::{Object, array};
use crate::wasm::Module;

/// How the views of automatic snapshots begin, one for each aggregate.
const SNAPSHOTS: &str = "~snapshots:";

/// SQLite names every page that is affected; the first ones say enough.
const INTEGRITY_TOLD_MAX: usize = 10;
/// Said instead of `clean`.
pub const NOT_CLEAN: &str = "NOT CLEAN see above";

/// Checks it and prints the result; exit code 1 when something is wrong.
pub fn run(verify: &Verify) -> Result<ExitCode, String> {
    let mut source = Source::open(&verify.source.source, &verify.source.partition)?;
    if verify.chain || verify.from.is_some() {
        return chain_alone(verify, &source);
    }
    let mut module = module(verify.source.guest.as_deref())?;
    let (stored, mut findings) = file(&source);
    let genesis = if source.broken_at(0) { None } else { source.genesis()? };
    let Some(genesis) = genesis else {
        return without_log(verify, &source, &stored, findings);
    };
    let (checkpoint, serving) = match checkpoint(&source, &mut module, &genesis, &stored)? {
        Ok((position, serving)) => (position, serving),
        Err(finding) => {
            findings.push(finding);
            (0, Vec::new())
        }
    };
    let mut taken = Taken::read(&stored.taken);
    let pauses: BTreeSet<u64> = taken.positions().chain([checkpoint]).collect();
    let pauses: Vec<u64> = pauses.into_iter().collect();
    let (mut differing, mut automatic) = (None, Vec::new());
    let mut at_pause = |position: u64, folded: &MemoryStore| {
        taken.compare(position, folded);
        if position == checkpoint {
            differing = stored.differing(folded, &serving);
            let snapshots = serving.iter().filter(|view| view.name.starts_with(SNAPSHOTS));
            let right = |view: &View| folded.rows.get(view).cloned().unwrap_or_default();
            automatic = snapshots.map(|view| (view.clone(), right(view))).collect();
        }
    };
    let folded = fold::all(&mut source, &mut module, &genesis, &pauses, &mut at_pause)?;
    if folded.broken.is_none() {
        taken.end();
    }
    findings.extend(taken.wrong.drain(..).map(|wrong| Finding::row("snapshot", wrong)));
    if let Some((view, rows)) = differing {
        let wrong = stored.first_difference(&source.raw, &view, &rows)?;
        findings.extend(wrong.map(|wrong| Finding::row("rows", wrong).at(checkpoint)));
    }
    let broken = folded.broken.as_ref();
    findings.extend(broken.map(Finding::from));
    let expected = verify.expect_head.filter(|_| broken.is_none());
    findings.extend(expected.and_then(|head| head.expected(folded.position, &folded.hash)));
    let ended = tell(verify, Some(&folded), checkpoint, &findings);
    if verify.discard {
        let right = stored.checkpoint.as_deref().filter(|_| broken.is_none());
        let Some(checkpoint) = right.filter(|_| !serving.is_empty()) else {
            return Err("nothing is discarded: the log or its checkpoint is not whole".into());
        };
        let path = source.path.clone();
        // Its read transaction ends here.
        drop(source);
        let right = discard::Right { checkpoint, automatic, taken: &taken };
        let rows = discard::run(&path, &right)?;
        if !verify.source.json {
            print(&format!("discarded {rows} rows of snapshots, taken anew from the fold"));
        }
    }
    Ok(ended)
}

/// There is nothing to fold: right for a log that never began, or whose import is not complete.
fn without_log(
    verify: &Verify,
    source: &Source,
    stored: &Stored,
    mut findings: Vec<Finding>,
) -> Result<ExitCode, String> {
    if let Some(broken) = &source.broken {
        findings.push(Finding::from(broken));
        return Ok(tell(verify, None, 0, &findings));
    }
    findings.extend(verify.expect_head.and_then(|head| head.expected(0, &NO_HASH)));
    if let Some(progress) = source.import()? {
        return Ok(tell_import(verify, &progress, &findings));
    }
    if source.head()? > 0 || stored.any() {
        findings.push(Finding::new("log", "there is no genesis line").at(0));
    }
    Ok(tell(verify, None, 0, &findings))
}

/// Checks the chain and nothing else, from the beginning or from where an earlier run ended.
fn chain_alone(verify: &Verify, source: &Source) -> Result<ExitCode, String> {
    let checked = chain::check(source, verify.from)?;
    let mut findings: Vec<Finding> = checked.broken.iter().map(Finding::from).collect();
    let expected = verify.expect_head.filter(|_| findings.is_empty());
    findings.extend(expected.and_then(|head| head.expected(checked.position, &checked.hash)));
    let told = if verify.source.json { checked.json(&findings) } else { checked.text(&findings) };
    print(&told);
    Ok(exit_code(&findings))
}

/// The stored rows, and what is wrong with them and with the file by themselves.
fn file(source: &Source) -> (Stored, Vec<Finding>) {
    let mut findings = integrity(source);
    let stored = Stored::read(&source.raw).unwrap_or_else(|detail| {
        findings.push(Finding::new("checksum", detail));
        Stored::default()
    });
    findings.extend(stored.wrong.iter().map(|wrong| Finding::row("checksum", wrong.clone())));
    if stored.wrong_count > stored.wrong.len() as u64 {
        let detail = format!("{} rows in all do not match their checksums", stored.wrong_count);
        findings.push(Finding::new("checksum", detail));
    }
    (stored, findings)
}

/// What SQLite itself finds. It misses most flipped bits; the other checks do not.
fn integrity(source: &Source) -> Vec<Finding> {
    let mut found = Vec::new();
    let result = source.raw.pragma_query(None, "integrity_check", |row| {
        found.push(row.get::<_, String>(0)?);
        Ok(())
    });
    found.extend(result.err().map(|error| error.to_string()));
    let told = found.into_iter().filter(|line| line != "ok").take(INTEGRITY_TOLD_MAX);
    told.map(|line| Finding::new("file", line)).collect()
}

/// The position that the stored rows are the fold of and the generations that serve, as the guest
/// reads the checkpoint; or why
/// that can not be told.
fn checkpoint(
    source: &Source,
    module: &mut Module,
    genesis: &str,
    stored: &Stored,
) -> Result<Result<(u64, Vec<View>), Finding>, String> {
    let Some(row) = stored.checkpoint.clone() else {
        // Without a checkpoint there are no rows: the fold as of genesis has none either.
        let detail = "there are rows, but no checkpoint that says of when: not compared";
        return Ok(if stored.any() {
            Err(Finding::new("rows", detail))
        } else {
            Ok((0, Vec::new()))
        });
    };
    let config = fold::config(genesis)?;
    let bulk = Bulk::open(module, &config, genesis, source.head()?, Some(row), Vec::new());
    let bulk = bulk.map_err(|failure| failure.to_string())?;
    let detail = "the checkpoint is not this guest's, or lies beyond the head: rows not compared";
    let opened = bulk.opened();
    Ok(if opened.rows_usable {
        Ok((opened.fold_after, opened.serving.clone()))
    } else {
        Err(Finding::new("rows", detail))
    })
}

/// What an unfinished import left is no log, and nothing of it counts: only the file was checked.
fn tell_import(verify: &Verify, progress: &Progress, findings: &[Finding]) -> ExitCode {
    let position = progress.chain.position;
    if verify.source.json {
        let told: Vec<String> = findings.iter().map(Finding::json).collect();
        let stands_at = position.map_or_else(|| "null".to_string(), |p| p.to_string());
        let object = Object::default()
            .token("ok", findings.is_empty())
            .token("import", Object::default().token("position", stands_at).end())
            .token("findings", array(&told));
        print(&object.end());
    } else {
        findings.iter().for_each(|finding| print(&finding.text()));
        let stands_at =
            position.map_or_else(|| "its beginning".to_string(), |p| format!("position {p}"));
        print(&format!("import    not complete, it stands at {stands_at}: there is no log yet"));
        print(if findings.is_empty() { "clean     as far as it goes" } else { NOT_CLEAN });
    }
    exit_code(findings)
}

fn tell(
    verify: &Verify,
    folded: Option<&Folded>,
    checkpoint: u64,
    findings: &[Finding],
) -> ExitCode {
    let (position, hash) = folded.map_or((0, [0; 32]), |folded| (folded.position, folded.hash));
    if verify.source.json {
        let told: Vec<String> = findings.iter().map(Finding::json).collect();
        let object = Object::default()
            .token("ok", findings.is_empty())
            .token("position", position)
            .text("hash", &hex(&hash))
            .text("head", &head(position, &hash))
            .token("checkpoint", checkpoint)
            .token("faulted", folded.map_or_else(|| "[]".to_string(), Folded::faulted_json))
            .token("findings", array(&told));
        print(&object.end());
    } else {
        for finding in findings {
            print(&finding.text());
        }
        print(&format!("head      {position} {}", hex(&hash)));
        print(&format!("rows      as of position {checkpoint}"));
        folded.into_iter().flat_map(Folded::faulted_lines).for_each(|line| print(&line));
        let clean = "clean     chain, fold, rows and file agree";
        print(if findings.is_empty() { clean } else { NOT_CLEAN });
        if findings.is_empty() {
            print(&format!("next      --from {}", head(position, &hash)));
        }
    }
    exit_code(findings)
}
