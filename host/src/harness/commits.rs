//! A source's commits, one after the other.
//!
//! Owns how blocks fall into commits for the verbs that show them, and how times and positions are
//! read from flags. Holds one block at a time, however long the log is. Refuses to check the
//! chain, unless it is asked to: whoever begins in the middle could not.

use foldlog_core::chain::{self, Chain};
use foldlog_core::commit::Commit;
use foldlog_core::time::Time;

use super::source::{self, Source};

/// A commit and its line.
#[derive(Clone, Copy, Debug)]
pub struct Line<'a> {
    /// The commit.
    pub commit: &'a Commit<'a>,
    /// When it was recorded.
    pub time: Time,
    /// The line, as it is stored.
    pub text: &'a str,
}

/// The genesis line of a source that has a log.
pub fn genesis(source: &Source) -> Result<String, String> {
    let empty = || format!("{}: the log is empty", source.path.display());
    source.genesis()?.ok_or_else(empty)
}

/// Gives each commit with an event beyond `after` to `take`, until that says no. What it sees is
/// what the source's transaction sees, or the file as it is now.
pub fn each(
    source: &Source,
    after: u64,
    take: &mut dyn FnMut(Line<'_>) -> Result<bool, String>,
) -> Result<(), String> {
    let failed = |e: rusqlite::Error| format!("{}: {e}", source.path.display());
    let sql = "SELECT first_position, last_position, body FROM log WHERE first_position > 0 \
               AND first_position >= (SELECT max(first_position) FROM log WHERE first_position <= ?1) \
               ORDER BY first_position";
    let next = i64::try_from(after.saturating_add(1)).unwrap_or(i64::MAX);
    let mut statement = source.raw.prepare_cached(sql).map_err(failed)?;
    let mut rows = statement.query([next]).map_err(failed)?;
    let mut head = 0;
    while let Some(row) = rows.next().map_err(failed)? {
        let block = source::block(row)?;
        for text in chain::lines(&block.body) {
            let before = head;
            let bad = |why: &str| format!("{}: after {before}: {why}", source.path.display());
            let commit = Commit::parse(text).map_err(|e| bad(&e.to_string()))?;
            head = commit.last_position();
            if head <= after {
                continue;
            }
            let time = Time::parse_iso(&commit.time).ok_or_else(|| bad("its time is none"))?;
            if !take(Line { commit: &commit, time, text })? {
                return Ok(());
            }
        }
    }
    source.whole()
}

/// The same for all of them, genesis first checked, each as it comes: what is given to `take` can
/// be trusted.
pub fn checked(
    source: &Source,
    genesis: &str,
    take: &mut dyn FnMut(Line<'_>) -> Result<(), String>,
) -> Result<Chain, String> {
    let broken = |e: chain::Broken| {
        format!("{}: the log is broken, verify says more: {e}", source.path.display())
    };
    let mut chain = Chain::default();
    chain.take(genesis).map_err(broken)?;
    each(source, 0, &mut |line| {
        chain.take(line.text).map_err(broken)?;
        take(line)?;
        Ok(true)
    })?;
    Ok(chain)
}

/// The time that a flag states.
pub fn time(flag: &str, text: &str) -> Result<Time, String> {
    Time::parse_iso(text).ok_or_else(|| {
        format!("{flag} must be a UTC time such as 2026-01-31T12:00:00.000Z, not `{text}`")
    })
}

/// The positions that `A..B` means, both inclusive; either may be left out.
pub fn range(text: &str) -> Result<(u64, u64), String> {
    let wrong = || format!("--positions must be like 7, 7..9, 7.. or ..9, not `{text}`");
    let number = |text: &str, open: u64| match text {
        "" => Ok(open),
        digits => digits.parse::<u64>().map_err(|_| wrong()),
    };
    match text.split_once("..") {
        None if text.is_empty() => Err(wrong()),
        None => number(text, 0).map(|only| (only, only)),
        Some((low, high)) => Ok((number(low, 0)?, number(high, u64::MAX)?)),
    }
}

#[cfg(test)]
mod tests {
    use super::range;

    #[test]
    fn ranges_have_open_ends() {
        assert_eq!(range("7"), Ok((7, 7)));
        assert_eq!(range("7..9"), Ok((7, 9)));
        assert_eq!(range("7.."), Ok((7, u64::MAX)));
        assert_eq!(range("..9"), Ok((0, 9)));
        for wrong in ["", "x", "1..x", "-1", "1...2", "1..2..3"] {
            assert!(range(wrong).is_err(), "{wrong}");
        }
    }
}
