//! Pages over blocks of all sizes: the SQLite store answers as the one in memory does, and takes few
//! statements where each block holds one commit.

use foldlog_core::chain;
use foldlog_core::driver::{SqlStore, Store, StoreError, Write};
use foldlog_core::protocol::Query;

use super::kit::{Random, seed};
use super::stores::{Both, Memory, line, positions};

/// A log of blocks of some commits of some events each, some of them long; returns its head.
fn filled(both: &mut Both, random: &mut Random, blocks: u64) -> u64 {
    let mut position = 0;
    both.write(&Write { blocks: chain::pack([(0, 0, line(0, 1))]), ..Write::default() });
    for n in 0..blocks {
        let commits: Vec<_> = (0..random.below(4) + 1)
            .map(|_| {
                let (first, filling) = (position + 1, if n % 37 == 5 { 90_000 } else { 90 });
                position += random.below(3) + 1;
                (first, position, line(first, filling))
            })
            .collect();
        let blocks = chain::pack(commits);
        both.write(&Write { blocks, ..Write::default() });
    }
    position
}

#[test]
fn any_page_is_the_same_as_from_memory() {
    let mut random = Random::new(seed(71));
    let mut both = Both::new();
    let head = filled(&mut both, &mut random, 300);
    for _ in 0..400 {
        let (after, limit) = (random.below(head + 3), [1, 3, 50, 1_000][random.below(4) as usize]);
        let descending = random.below(2) == 1;
        both.read(&Query::CommitsAfter { after, limit, descending });
        // In order, one way or the other, with steps of all sizes.
        let step = random.below(9) + 1;
        let mut wanted: Vec<u64> = (0..limit.into())
            .map(|n| 1 + after.saturating_sub(1).min(head - 1) + n * random.below(step + 1))
            .filter(|position| *position <= head)
            .collect();
        wanted.sort_unstable();
        if descending {
            wanted.reverse();
        }
        if !wanted.is_empty() {
            both.read(&Query::Commits { positions: wanted });
        }
    }
}

fn of_single_commits(commits: u64) -> SqlStore<Memory> {
    let mut sql = SqlStore::new(Memory::new());
    for position in 0..=commits {
        let blocks = chain::pack([(position, position, line(position, 90))]);
        sql.write(&Write { blocks, ..Write::default() }).expect("writes");
    }
    sql
}

#[test]
fn a_page_of_single_commits_takes_few_statements() {
    let mut sql = of_single_commits(1_200);
    let upwards: Vec<u64> = (100..1_100).collect();
    let downwards: Vec<u64> = (100..1_100).rev().collect();
    for (query, first) in [
        (Query::CommitsAfter { after: 99, limit: 1_000, descending: false }, 100),
        (Query::CommitsAfter { after: 1_100, limit: 1_000, descending: true }, 1_099),
        (Query::Commits { positions: upwards }, 100),
        (Query::Commits { positions: downwards }, 1_099),
    ] {
        let before = sql.connection().queries;
        let answer = sql.read(std::slice::from_ref(&query)).expect("reads").remove(0);
        let found = positions(&answer);
        assert_eq!((found.len(), found[0]), (1_000, first));
        let taken = sql.connection().queries - before;
        assert!(taken <= 60, "{taken} statements");
    }
}

#[test]
fn a_damaged_block_is_told_when_it_is_its_turn() {
    let mut sql = of_single_commits(200);
    sql.connection().damage("UPDATE log SET body = x'00' WHERE first_position = 130");
    let page = |limit| [Query::CommitsAfter { after: 99, limit, descending: false }];
    assert_eq!(positions(&sql.read(&page(30)).expect("reads")[0]).len(), 30);
    for query in [
        page(31).into_iter().next(),
        Some(Query::Commits { positions: (100..140).collect() }),
        Some(Query::CommitsAfter { after: 150, limit: 50, descending: true }),
    ] {
        let found = sql.read(&query.into_iter().collect::<Vec<_>>());
        assert!(matches!(found, Err(StoreError::CorruptLog { position: 130, .. })), "{found:?}");
    }
    // What is missing is no part of a run: what follows is read all the same.
    let mut sql = of_single_commits(200);
    sql.connection().damage("DELETE FROM log WHERE first_position = 130");
    let found = sql.read(&page(60)).expect("reads");
    assert_eq!(positions(&found[0]).last(), Some(&160));
    let found = sql.read(&[Query::Commits { positions: (120..140).collect() }]);
    assert!(matches!(found, Err(StoreError::CorruptLog { position: 130, .. })), "{found:?}");
}
