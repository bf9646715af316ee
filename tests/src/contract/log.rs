//! Clauses about the log: blocks are kept as they are, found by position, and never stored twice.

use foldlog_core::chain::{self, StoredBlock};
use foldlog_core::driver::{Store, StoreError, Write};
use foldlog_core::limits::{COMMIT_BYTES_MAX, PAGE_BYTES_MAX};
use foldlog_core::protocol::{Answer, Query, RowKey};

use super::{Both, all_rows, line, part, positions, view};
use crate::scratch::{Random, seed};

type Open<'a> = &'a mut dyn FnMut() -> Box<dyn Store>;

fn after(after: u64, limit: u32, descending: bool) -> Query {
    Query::CommitsAfter { after, limit, descending }
}

/// Random blocks of commits of one to four events; returns the first position of each commit.
fn random_log(random: &mut Random, both: &mut Both, commits: usize, filling: usize) -> Vec<u64> {
    both.write(&Write { blocks: chain::pack([(0, 0, line(0, 1))]), ..Write::default() });
    let (mut position, mut firsts) = (1, Vec::new());
    while firsts.len() < commits {
        let batch: Vec<_> = (0..(random.below(30) + 1).min(commits - firsts.len()))
            .map(|_| {
                let (first, events) = (position, random.below(4) as u64 + 1);
                position += events;
                firsts.push(first);
                (first, position - 1, line(first, random.below(filling)))
            })
            .collect();
        both.write(&Write { blocks: chain::pack(batch), ..Write::default() });
    }
    firsts
}

pub(super) fn commits_are_found(open: Open<'_>) {
    let mut random = Random(seed("contract, commits"));
    let mut both = Both::new(open());
    let firsts = random_log(&mut random, &mut both, 400, 900);
    both.same_tail();
    let head = firsts.last().copied().unwrap_or_default() + 5;
    for _ in 0..150 {
        let from = random.below(head as usize + 2) as u64;
        let limit = *random.one_of(&[0, 1, 2, 30, 1_000]);
        for descending in [false, true] {
            let found = both.read(&after(from, limit, descending));
            let wanted = |f: &u64| if descending { *f < from } else { *f > from };
            let mut expected: Vec<u64> = firsts.iter().copied().filter(wanted).collect();
            if descending {
                expected.reverse();
            }
            expected.truncate(limit as usize);
            assert_eq!(positions(&found), expected, "after {from}, {limit}, {descending}");
        }
        let one = |random: &mut Random| random.below(firsts[390] as usize) as u64 + 1;
        let asked: Vec<u64> = (0..random.below(6)).map(|_| one(&mut random)).collect();
        let expected: Vec<u64> =
            asked.iter().map(|p| firsts[firsts.partition_point(|first| first <= p) - 1]).collect();
        let found = both.read(&Query::Commits { positions: asked.clone() });
        assert_eq!(positions(&found), expected, "{asked:?}");
    }
    let beyond = both.store.read(&[Query::Commits { positions: vec![1, head + 1] }]);
    let missing =
        matches!(beyond, Err(StoreError::CorruptLog { position, .. }) if position == head + 1);
    assert!(missing, "{beyond:?}");
    // That an answer can not be had costs no other.
    both.read(&after(0, 9, false));
}

pub(super) fn a_page_ends_at_a_megabyte(open: Open<'_>) {
    let mut store = open();
    assert!(store.tail().is_ok());
    let commits = (1..=30_u64).map(|p| (p, p, line(p, 300_000)));
    let big = (31..=32_u64).map(|p| (p, p, line(p, 1_700_000)));
    for blocks in [chain::pack(commits), chain::pack(big)] {
        assert_eq!(store.write(&Write { blocks, ..Write::default() }), Ok(()));
    }
    for descending in [false, true] {
        let mut from = if descending { 33 } else { 0 };
        let mut seen = 0;
        loop {
            let page = store.read(&[after(from, 1_000, descending)]);
            let page = page.unwrap_or_else(|e| panic!("{e}"));
            let [Answer::Commits(lines)] = page.as_slice() else { panic!("{page:?}") };
            let Some(last) = lines.last() else { break };
            let bytes: usize = lines.iter().map(String::len).sum();
            assert!(bytes - last.len() < PAGE_BYTES_MAX, "{bytes} bytes in a page");
            assert!(lines.len() <= 4, "{} lines", lines.len());
            seen += lines.len();
            from = chain::position(last).unwrap_or_default();
        }
        assert_eq!(seen, 32);
    }
}

pub(super) fn a_block_is_stored_once(open: Open<'_>) {
    let mut both = Both::new(open());
    let rows = vec![(view("a", 1), vec![(vec![1], Some(vec![2])), (vec![3], None)])];
    both.write(&Write {
        blocks: chain::pack([(0, 0, line(0, 1)), (1, 2, line(1, 5)), (3, 3, line(3, 70_000))]),
        rows: rows.clone(),
        dropped: vec![view("b", 1)],
        checkpoint: Some(vec![1, 2]),
        ..Write::default()
    });
    // One writer (law 5): where a block is, no other can be stored, nor what comes with it.
    let mut second = Write {
        blocks: vec![StoredBlock { first: 3, last: 9, body: "[]".into() }],
        rows,
        checkpoint: Some(vec![9]),
        ..Write::default()
    };
    second.rows[0].1[0].1 = Some(vec![9]);
    let refused = both.store.write(&second);
    assert!(matches!(refused, Err(StoreError::Unknown(_))), "{refused:?}");
    // After a failed write it may be opened first; then it goes on.
    let until = std::time::Instant::now() + std::time::Duration::from_secs(10);
    while both.store.tail().is_err() {
        assert!(std::time::Instant::now() < until, "it does not open again");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    both.same_tail();
    both.read(&after(0, 9, false));
    both.read(&all_rows("a", 1));
    both.write(&Write { blocks: chain::pack([(4, 4, line(4, 5))]), ..Write::default() });
    both.same_tail();
}

pub(super) fn leftovers_are_cut(open: Open<'_>) {
    let mut both = Both::new(open());
    // Blocks in the middle of which it is cut, and between which.
    for cut in [30, 29, 11, 10, 5, 1, 0] {
        let commits = (1..=30_u64).step_by(2).map(|p| (p, p + 1, line(p, 20_000)));
        let blocks = chain::pack(commits);
        both.write(&Write { cut: Some(0), blocks, ..Write::default() });
        let at = cut - cut % 2;
        both.write(&Write { cut: Some(at), ..Write::default() });
        both.same_tail();
        let all = both.read(&after(0, 1_000, false));
        let expected: Vec<u64> = (1..=at).step_by(2).collect();
        assert_eq!(positions(&all), expected, "cut at {at}");
    }
    // And it goes on behind the cut.
    both.write(&part(1, 2));
    both.same_tail();
}

pub(super) fn text_is_kept(open: Open<'_>) {
    let mut both = Both::new(open());
    let texts = [
        "plain",
        "ä€𝄞\u{200d}\u{feff}",
        "\\u0000 \\ud800 \\\"",
        "'; DROP TABLE log; --",
        "$1 ? %s",
        "\u{1}\u{7f}\u{85}",
        "1e400 -0.0 12345678901234567890",
    ];
    let body = |text: &str, position| {
        let zeros = chain::HASH_HOLE;
        format!("{{\"position\":{position},\"x\":\"{text}\",\"hash\":\"{zeros}\"}}")
    };
    let commits = (1_u64..).zip(texts).map(|(p, text)| (p, p, body(text, p)));
    both.write(&Write { blocks: chain::pack(commits), ..Write::default() });
    // As long as a commit may be, and past what fits a page of any database.
    let long = (8, 8, line(8, COMMIT_BYTES_MAX - 200));
    both.write(&Write { blocks: chain::pack([long]), ..Write::default() });
    both = both.again(open);
    let found = both.read(&after(0, 7, false));
    let Answer::Commits(lines) = found else { panic!("{found:?}") };
    for (line, text) in lines.iter().zip(texts) {
        assert!(line.contains(text), "{line} does not contain {text}");
    }
    both.read(&Query::Commits { positions: vec![8, 1, 8] });
}

pub(super) fn it_is_there_again(open: Open<'_>) {
    let mut both = Both::new(open());
    let genesis = || chain::pack([(0, 0, line(0, 1))]);
    both.write(&Write { blocks: genesis(), ..Write::default() });
    both = both.again(open);
    for n in 1..=20_u64 {
        let rows = vec![(view("a", 1), vec![(n.to_be_bytes().to_vec(), Some(vec![n as u8; 40]))])];
        let checkpoint = (n % 4 == 0).then(|| vec![n as u8]);
        let blocks = chain::pack([(n, n, line(n, 100))]);
        both.write(&Write { blocks, rows, checkpoint, ..Write::default() });
        if n % 5 == 0 {
            both = both.again(open);
            both.read(&after(0, 1_000, false));
            both.read(&all_rows("a", 1));
            both.read(&Query::Row(RowKey { view: view("a", 1), key: n.to_be_bytes().to_vec() }));
        }
    }
}
