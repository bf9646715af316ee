//! Clauses about rows: found by key, in order, whatever bytes they are.

use foldlog_core::chain;
use foldlog_core::driver::{Importing, Store, Write};
use foldlog_core::protocol::{Answer, Query, RowKey};

use super::{Both, all_rows, line, part, view};
use crate::scratch::{Random, seed};

type Open<'a> = &'a mut dyn FnMut() -> Box<dyn Store>;

/// Up to three bytes, of those that are easily mistaken.
fn key(random: &mut Random) -> Vec<u8> {
    (0..random.below(4)).map(|_| *random.one_of(&[0, 1, 97, 98, 254, 255])).collect()
}

pub(super) fn rows_are_found(open: Open<'_>) {
    let mut random = Random(seed("contract, rows"));
    let mut both = Both::new(open());
    for round in 0..40 {
        let mut write = Write::default();
        if round % 9 == 8 {
            write.dropped.push(view("a", 2));
        }
        for view in [view("a", 1), view("a", 2), view("b", 1)] {
            // A store may write many in one statement, and long ones by themselves.
            let mut changes: Vec<_> = (0..random.below(60))
                .map(|n| {
                    let length = if random.below(40) == 0 { 17_000 } else { random.below(5) };
                    let value = (random.below(8) > 0).then(|| vec![n as u8; length]);
                    (key(&mut random), value)
                })
                .collect();
            changes.sort();
            changes.dedup_by(|a, b| a.0 == b.0);
            write.rows.push((view, changes));
        }
        write.checkpoint = (round % 3 == 0).then(|| vec![round as u8; 3]);
        both.write(&write);
        both.same_tail();
        for _ in 0..30 {
            let name = *random.one_of(&["a", "b", "c"]);
            let view = view(name, random.below(2) as u32 + 1);
            both.read(&Query::Row(RowKey { view: view.clone(), key: key(&mut random) }));
            let mut prefix = key(&mut random);
            // A prefix of nothing but 255s does not occur.
            if prefix.iter().all(|byte| *byte == u8::MAX) {
                prefix.clear();
            }
            let limit = *random.one_of(&[1, 2, 5, 1_000]);
            both.read(&Query::Rows { view, after_key: key(&mut random), prefix, limit });
        }
    }
    assert_eq!(both.model.erase_rows(), Ok(()));
    assert_eq!(both.store.erase_rows(), Ok(()));
    both.same_tail();
    assert_eq!(both.read(&all_rows("a", 1)), Answer::Rows(Vec::new()));
}

pub(super) fn any_row_is_kept(open: Open<'_>) {
    let mut both = Both::new(open());
    let every_byte: Vec<u8> = (0..=u8::MAX).collect();
    let mut random = Random(7);
    let big: Vec<u8> = (0..1_900_000).map(|_| random.next() as u8).collect();
    let changes = vec![
        (vec![], Some(vec![])),
        (vec![0; 600], Some(vec![0; 100_000])),
        (every_byte.clone(), Some(every_byte)),
        (b"'\\x00'".to_vec(), Some(b"\\x41".to_vec())),
        (vec![255; 255], Some(big)),
    ];
    let many = (0..5_000_u32).map(|n| (n.to_be_bytes().to_vec(), Some(n.to_le_bytes().to_vec())));
    let rows = vec![(view("\u{e4} 'view'", u32::MAX), changes), (view("many", 3), many.collect())];
    both.write(&Write { rows, ..Write::default() });
    let half = (0..5_000_u32).step_by(2).map(|n| (n.to_be_bytes().to_vec(), None)).collect();
    both.write(&Write { rows: vec![(view("many", 3), half)], ..Write::default() });
    both = both.again(open);
    let Answer::Rows(rows) = both.read(&all_rows("\u{e4} 'view'", u32::MAX)) else { panic!() };
    // Lists begin behind a key, and nothing is before the empty one.
    assert_eq!(rows.len(), 4);
    both.read(&Query::Row(RowKey { view: view("\u{e4} 'view'", u32::MAX), key: vec![] }));
    for after in [0, 1_999, 4_998_u32] {
        let after_key = after.to_be_bytes().to_vec();
        both.read(&Query::Rows { view: view("many", 3), after_key, prefix: vec![], limit: 700 });
    }
    // A view that is dropped and written again in one transaction has the new rows alone.
    let rows = vec![(view("many", 3), vec![(vec![1], Some(vec![1]))])];
    both.write(&Write { dropped: vec![view("many", 3)], rows, ..Write::default() });
    let Answer::Rows(rows) = both.read(&all_rows("many", 3)) else { panic!() };
    assert_eq!(rows, [(vec![1], vec![1])]);
}

pub(super) fn erasing_leaves_the_log(open: Open<'_>) {
    let mut both = Both::new(open());
    let some = || vec![(view("a", 1), vec![(vec![1], Some(vec![2]))])];
    let erase = |both: &mut Both| {
        both.write(&Write { rows: some(), checkpoint: Some(vec![3]), ..Write::default() });
        assert_eq!(both.model.erase_rows(), Ok(()));
        assert_eq!(both.store.erase_rows(), Ok(()));
        both.same_tail();
        assert_eq!(both.read(&all_rows("a", 1)), Answer::Rows(Vec::new()));
    };
    both.write(&part(1, 2));
    erase(&mut both);
    assert!(both.store.tail().is_ok_and(|tail| tail.import.is_some()), "how far an import came");
    // It ends with the genesis row, below what is there.
    let blocks = chain::pack([(0, 0, line(0, 1))]);
    both.write(&Write { blocks, import: Some(Importing::Ended), ..Write::default() });
    erase(&mut both);
    both = both.again(open);
    assert!(both.store.tail().is_ok_and(|tail| tail.import.is_none() && tail.genesis.is_some()));
    both.write(&Write { blocks: chain::pack([(3, 3, line(3, 1))]), ..Write::default() });
    both.read(&Query::CommitsAfter { after: 0, limit: 9, descending: false });
}
