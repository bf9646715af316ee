//! The good lines of a source, in order, up to a place.
//!
//! Owns where that ends: at the last commit that lies before the place, or at the last one before
//! the first line that does not follow. Refuses to fold.

use foldlog_core::chain::{self, Chain, StoredBlock};
use foldlog_core::commit::Commit;

use crate::harness::fold::{self, Broken, End};
use crate::harness::progress::Progress;
use crate::harness::source::{self, Source};

/// Bytes that are handed on at a time.
const PAGE_BYTES: usize = 4 << 20;

/// How the lines end.
#[derive(Debug)]
pub struct Good {
    /// Position and hash of the last one.
    pub chain: Chain,
    /// What is wrong with the next one, when it should be there.
    pub broken: Option<Broken>,
}

/// Hands the blocks of all good commits that end at or before `until` to `each`.
pub fn blocks(
    source: &Source,
    genesis: &str,
    until: u64,
    each: &mut dyn FnMut(Vec<StoredBlock>) -> Result<(), String>,
) -> Result<Good, String> {
    let mut chain = Chain::default();
    if let Err(e) = chain.take(genesis) {
        let broken = Some(Broken { position: 0, detail: e.to_string() });
        return Ok(Good { chain, broken });
    }
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let sql = "SELECT first_position, last_position, body FROM log \
               WHERE first_position > 0 AND first_position <= ?1 ORDER BY first_position";
    let mut statement = source.raw.prepare(sql).map_err(failed)?;
    let mut rows = statement.query([i64::try_from(until).unwrap_or(i64::MAX)]).map_err(failed)?;
    let progress = Progress::new(source.head()?.min(until));
    let mut end = End { position: 0, hash: chain.hash };
    let (mut page, mut bytes, mut broken) = (Vec::new(), 0, None);
    while broken.is_none() {
        let unreadable = |detail| Broken { position: end.position + 1, detail };
        let block = match rows.next() {
            Ok(None) => break,
            Ok(Some(row)) => source::block(row).map_err(unreadable),
            Err(e) => Err(unreadable(format!("the file can not be read: {e}"))),
        };
        let block = match block {
            Ok(block) => block,
            Err(unreadable) => {
                broken = Some(unreadable);
                break;
            }
        };
        let before = chain;
        broken = fold::check(&block, &mut chain, &mut end).err();
        let whole = broken.is_none() && block.last <= until;
        let kept = if whole { Some(block) } else { beginning(&block, &chain, until, before) };
        if !whole {
            let last = kept.as_ref().and_then(|kept| chain::lines(&kept.body).next_back());
            let hash = last.and_then(chain::stored_hash).unwrap_or(before.hash);
            let position = kept.as_ref().map_or(before.position, |kept| Some(kept.last));
            chain = Chain { hash, position };
            // What is beyond the place does not count, good or not.
            broken = broken.filter(|broken| broken.position <= until);
        }
        bytes += kept.as_ref().map_or(0, |kept| kept.body.len());
        page.extend(kept);
        if bytes >= PAGE_BYTES {
            bytes = 0;
            each(std::mem::take(&mut page))?;
        }
        progress.at(end.position);
        if !whole {
            break;
        }
    }
    each(page)?;
    progress.end();
    let beyond = source.broken.clone().filter(|broken| broken.position <= until);
    Ok(Good { chain, broken: broken.or(beyond) })
}

/// The lines of a block that hold, and end at or before `until`.
fn beginning(block: &StoredBlock, chain: &Chain, until: u64, before: Chain) -> Option<StoredBlock> {
    let until = until.min(chain.position.unwrap_or(0));
    let mut last = before.position.unwrap_or(0);
    let mut kept = Vec::new();
    for line in chain::lines(&block.body) {
        let end = Commit::parse(line).map(|commit| commit.last_position()).ok();
        let Some(end) = end.filter(|end| *end <= until && *end > last) else { break };
        last = end;
        kept.push(line);
    }
    let body = format!("[{}]", kept.join(",\n"));
    (!kept.is_empty()).then_some(StoredBlock { first: block.first, last, body })
}
