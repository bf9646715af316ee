//! `foldlog export`: a source's log, as NDJSON or in the store's own format.
//!
//! Owns what is told. A log that does not hold is not exported: `truncate` makes a log of the part
//! that does.

use std::process::ExitCode;

use super::good;
use super::output::Output;
use crate::cli::{Export, Layout, print};
use crate::harness::files;
use crate::harness::finding::head;
use crate::harness::source::Source;
use crate::json::Object;

/// Exports it; exit code 1 when the log is broken.
pub fn run(export: &Export) -> Result<ExitCode, String> {
    let source = Source::open(&export.place.source, &export.place.partition)?;
    if let (Layout::Files, Some(dir)) = (export.layout, &export.output) {
        return files::run(&source, dir, export);
    }
    let genesis = source.genesis()?;
    let genesis = genesis.ok_or_else(|| format!("{}: the log is empty", source.path.display()))?;
    let mut output = Output::create(export.output.as_deref())?;
    let mut first = Some(genesis.as_str());
    let mut put = |blocks| output.put(first.take(), blocks);
    let good = good::blocks(&source, &genesis, u64::MAX, &mut put)?;
    if let Some(broken) = good.broken {
        let (position, detail) = (broken.position, broken.detail);
        eprintln!("foldlog: {}: broken at position {position}: {detail}", source.path.display());
        let after = position.saturating_sub(1);
        eprintln!("foldlog: `foldlog truncate --after {after}` makes a log of what comes before");
        return Ok(ExitCode::FAILURE);
    }
    let path = output.path.display().to_string();
    output.end()?;
    if export.output.is_some() {
        let position = good.chain.position.unwrap_or(0);
        let head = head(position, &good.chain.hash);
        if export.place.json {
            let object = Object::default().token("ok", true).text("file", &path);
            print(&object.token("position", position).text("head", &head).end());
        } else {
            print(&format!("exported  {path}: {position} events, head {head}"));
        }
    }
    Ok(ExitCode::SUCCESS)
}
