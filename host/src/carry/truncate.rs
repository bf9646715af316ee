//! `foldlog truncate`: a new log of what comes before a position, that says so itself.
//!
//! Owns the cut. Its last commit is a `Partition.Truncated` (docs/format.md): whoever has the new
//! log sees that it is the beginning of a longer one, and no host takes it for that one. Refuses to
//! touch what it is cut from: a damaged log is never edited.

use std::process::ExitCode;

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::World;
use foldlog_core::engine::adopt::{Cut, told_in, truncation};
use foldlog_core::protocol::Stamp;
use foldlog_core::time::Time;

use super::good;
use super::output::Output;
use crate::cli::{Truncate, print};
use crate::harness::finding::head;
use crate::harness::source::Source;
use crate::json::Object;
use crate::world::{Machine, entropy};

/// Makes the new log; exit code 1 when the log breaks before the position.
pub fn run(truncate: &Truncate) -> Result<ExitCode, String> {
    let source = Source::open(&truncate.place.source, &truncate.place.partition)?;
    let failed = |detail: &str| format!("{}: {detail}", source.path.display());
    let genesis = source.genesis()?.ok_or_else(|| failed("the log is empty"))?;
    let stated = source.head()?;
    if truncate.after >= stated && source.broken.is_none() {
        let detail =
            format!("it ends at position {stated}: nothing comes after {}", truncate.after);
        return Err(failed(&detail));
    }
    let mut output = Output::create(Some(&truncate.to))?;
    let (mut first, mut told, mut last) = (Some(genesis.as_str()), 0, genesis.clone());
    let mut put = |blocks: Vec<chain::StoredBlock>| {
        for line in blocks.iter().flat_map(|block| chain::lines(&block.body)) {
            told += Commit::parse(line).map_or(0, |commit| told_in(&commit));
        }
        let line = blocks.last().and_then(|block| chain::lines(&block.body).next_back());
        last = line.map_or_else(|| std::mem::take(&mut last), String::from);
        output.put(first.take(), blocks)
    };
    let good = good::blocks(&source, &genesis, truncate.after, &mut put)?;
    if let Some(broken) = good.broken {
        let (position, detail) = (broken.position, broken.detail);
        eprintln!("foldlog: {}", failed(&format!("broken at position {position}: {detail}")));
        if let Some(most) = position.checked_sub(1) {
            eprintln!("foldlog: it is good up to there: --after {most} at most");
        }
        return Ok(ExitCode::FAILURE);
    }
    let after = good.chain.position.unwrap_or(0);
    let time = chain::time(&last).unwrap_or(Time(0));
    let stamp = Stamp { clock: Machine::new().clock(), entropy: entropy() };
    let line = truncation(&Cut { after, time, head: stated.max(after), told }, &stamp);
    let sealed = chain::seal(&good.chain.hash, &line);
    let (line, hash) = sealed.ok_or("the commit that tells of the cut can not be sealed")?;
    output.put(None, chain::pack([(after + 1, after + 1, line)]))?;
    output.end()?;
    let (to, head) = (truncate.to.display().to_string(), head(after + 1, &hash));
    if truncate.place.json {
        let object = Object::default().token("ok", true).text("file", &to);
        print(&object.token("after", after).text("head", &head).end());
    } else {
        print(&format!("truncated after position {after}, into {to}: head {head}"));
    }
    Ok(ExitCode::SUCCESS)
}
