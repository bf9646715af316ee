//! Damaged logs: any changed byte of a stored log is found, and the first bad position is named as
//! `docs/format.md` defines it: the one that had to come next.

use foldlog_core::chain::{self, StoredBlock};
use foldlog_core::driver::{Failure, MemoryStore, StoreError};
use rusqlite::Connection;

use super::{export, python, store_of};
use crate::engine::kit::{self, Random, Setup, deposit, open_account, seed, with};

/// A log of so many batches.
fn log(batches: u64) -> Vec<String> {
    let mut bank = Setup::default().open(MemoryStore::default());
    for n in 0..batches {
        let id = format!("acc-{}", n % 3);
        let meta = "x".repeat(n as usize % 9 * 25);
        bank.run(vec![
            open_account(&id, n),
            with(deposit(&id, n + 1), "foldlog-meta-filling", &meta),
        ]);
    }
    kit::lines(bank.store())
}

/// What opening a stored log without rows says: the driver checks chain and fold alike.
fn opening(store: MemoryStore) -> Result<u64, u64> {
    match Setup::default().open(store).open() {
        Ok(head) => Ok(head.position),
        Err(Failure::Store(StoreError::CorruptLog { position, .. })) => Err(position),
        // What can not be read as a genesis, or states a format we do not know, is refused whole.
        Err(Failure::Refused(why)) if why.contains("genesis") || why.contains("format") => Err(0),
        Err(other) => panic!("a damaged log is told as one, not as: {other}"),
    }
}

/// What the chain alone says of lines, and positions counted beside it.
fn checking(lines: &[String]) -> Result<u64, u64> {
    let (mut chain, mut next) = (chain::Chain::default(), 0);
    for line in lines {
        if chain.take(line).is_err() || chain.position != Some(next) {
            return Err(next);
        }
        next += kit::events_of(line).max(1);
    }
    Ok(next - 1)
}

/// First positions of all lines, and the head.
fn positions(lines: &[String]) -> Vec<u64> {
    lines.iter().filter_map(|line| chain::position(line)).collect()
}

fn flipped(text: &str, at: usize, bit: u8) -> String {
    let mut bytes = text.as_bytes().to_vec();
    bytes[at] ^= 1 << bit;
    // Stored logs of the bank are ASCII, and only the lower seven bits are flipped.
    String::from_utf8(bytes).expect("ASCII")
}

#[test]
fn any_flipped_byte_of_a_line_is_found_and_named() {
    let lines = log(4);
    let firsts = positions(&lines);
    let mut flips = 0;
    for (index, line) in lines.iter().enumerate() {
        for at in 0..line.len() {
            let mut damaged = lines.clone();
            damaged[index] = flipped(line, at, (at % 7) as u8);
            let context = format!("byte {at} of the line at {}: {}", firsts[index], damaged[index]);
            assert_eq!(checking(&damaged), Err(firsts[index]), "{context}");
            flips += 1;
        }
    }
    println!("{flips} flips");
}

/// Blocks as they are stored: brackets and separators count too.
#[test]
fn any_flipped_byte_of_a_block_is_found_when_the_log_is_opened() {
    let lines = log(3);
    let store = store_of(&lines);
    let mut wrong = Vec::new();
    for (first, block) in &store.log {
        let mut start = 1;
        for at in 0..block.body.len() {
            // The line that this byte belongs to; brackets and separators to the one they touch.
            if block.body.as_bytes()[at] == b'\n' {
                start = at + 1;
            }
            let line = chain::position(&block.body[start..]).unwrap_or(*first);
            let touching = [line, firsts_before(&block.body, at), *first];
            let mut damaged = store.clone();
            let body = flipped(&block.body, at, (at % 7) as u8);
            damaged.log.insert(*first, StoredBlock { body, ..block.clone() });
            match opening(damaged) {
                Err(named) if touching.contains(&named) => {}
                found => wrong.push(format!("block {first}, byte {at}, line {line}: {found:?}")),
            }
        }
    }
    let later = wrong.iter().filter(|found| !found.starts_with("block 0"));
    let shown: Vec<_> = later.chain(&wrong).take(20).collect();
    assert!(wrong.is_empty(), "{} flips are not told, or told wrong: {shown:#?}", wrong.len());
}

/// First position of the line that ends at or after a byte.
fn firsts_before(body: &str, at: usize) -> u64 {
    let start = body[..at].rfind('\n').map_or(1, |feed| feed + 1);
    body.get(start..).and_then(chain::position).unwrap_or_default()
}

#[test]
fn random_flips_in_a_long_log_are_found_by_all_checkers() {
    let mut random = Random::new(seed(19));
    let lines = log(400);
    let firsts = positions(&lines);
    let whole = export(&lines);
    assert_eq!(python(Ok(&whole)).0, Some(0));
    for round in 0..300 {
        let index = random.below(lines.len() as u64) as usize;
        let at = random.below(lines[index].len() as u64) as usize;
        let mut damaged = lines.clone();
        damaged[index] = flipped(&lines[index], at, random.below(7) as u8);
        let context = format!("byte {at} of the line at {}", firsts[index]);
        assert_eq!(checking(&damaged), Err(firsts[index]), "{context}");
        // A process each: a few of them are enough.
        if round % 10 == 0 && !damaged[index].contains('\n') {
            let (code, said) = python(Ok(&export(&damaged)));
            let expected = format!("bad at position {}", firsts[index]);
            assert_eq!((code, said), (Some(1), expected), "{context}");
        }
    }
}

#[test]
fn lines_deleted_swapped_inserted_or_cut_are_found_by_all_checkers() {
    let mut random = Random::new(seed(20));
    let lines = log(60);
    let firsts = positions(&lines);
    for round in 0..40 {
        let index = random.below(lines.len() as u64 - 2) as usize + 1;
        let mut damaged = lines.clone();
        let what = match round % 6 {
            0 => {
                damaged.remove(index);
                "deleted"
            }
            1 => {
                damaged.swap(index, index + 1);
                "swapped"
            }
            2 => {
                damaged.insert(index, lines[index - 1].clone());
                "repeated"
            }
            3 => {
                let end = random.below(lines[index].len() as u64) as usize;
                damaged[index].truncate(end);
                "cut"
            }
            4 => {
                // Sealed again by someone who knows how: the line after it gives it away.
                let forged = lines[index].replace("\"amount\":", "\"amount\":1");
                let forged = forged.replace("\"initialBalance\":", "\"initialBalance\":1");
                let previous = chain::stored_hash(&lines[index - 1]).expect("a hash");
                damaged[index] = chain::seal(&previous, &forged).expect("a line").0;
                "forged"
            }
            _ => {
                damaged[index].push(' ');
                "longer"
            }
        };
        let bad = if what == "forged" { firsts[index + 1] } else { firsts[index] };
        let context = format!("line at {} {what}", firsts[index]);
        assert_eq!(checking(&damaged), Err(bad), "{context}");
        let (code, said) = python(Ok(&export(&damaged)));
        assert_eq!((code, said), (Some(1), format!("bad at position {bad}")), "{context}");
    }
    // Cut at its end, a log is good as far as it goes.
    let (code, said) = python(Ok(&export(&lines[..10])));
    assert_eq!(code, Some(0), "{said}");
    assert!(said.starts_with(&format!("position {}", firsts[10] - 1)), "{said}");
}

/// A SQLite file with this log, as both hosts store it.
fn file(name: &str, blocks: impl IntoIterator<Item = StoredBlock>) -> std::path::PathBuf {
    let path = std::env::temp_dir().join(format!("foldlog-{}-{name}.db", std::process::id()));
    let _ = std::fs::remove_file(&path);
    let connection = Connection::open(&path).expect("SQLite opens");
    connection
        .execute_batch(
            "CREATE TABLE log (first_position INTEGER PRIMARY KEY, \
             last_position INTEGER NOT NULL, body TEXT NOT NULL)",
        )
        .expect("a table");
    for StoredBlock { first, last, body } in blocks {
        let values = (first as i64, last as i64, body);
        connection.execute("INSERT INTO log VALUES (?, ?, ?)", values).expect("a block");
    }
    path
}

#[test]
fn the_checker_reads_sqlite_files() {
    let lines = log(200);
    let store = store_of(&lines);
    assert!(store.log.len() > 2, "several blocks");
    let path = file("good", store.log.values().cloned());
    let good = python(Err(&path));
    assert_eq!(good, python(Ok(&export(&lines))));
    assert_eq!(good.0, Some(0));
    let (first, block) = store.log.iter().nth(2).expect("a second block");
    let second = chain::lines(&block.body).nth(1).and_then(chain::position).expect("a line");
    for (name, find, replace, bad) in [
        ("bracket", "[{", "{{", *first),
        ("separator", ",\n", ";\n", *first),
        ("data", "\"amount\":", "\"Amount\":", second),
    ] {
        let mut damaged = store.clone();
        let body = block.body.replacen(find, replace, 1);
        damaged.log.insert(*first, StoredBlock { body, ..block.clone() });
        let path = file(name, damaged.log.values().cloned());
        let (code, said) = python(Err(&path));
        let named: u64 = said.trim_start_matches("bad at position ").parse().unwrap_or(u64::MAX);
        assert_eq!(code, Some(1), "{name}: {said}");
        assert!([*first, second, bad].contains(&named), "{name}: {said}, not {bad}");
        std::fs::remove_file(path).expect("the file is removed");
    }
    std::fs::remove_file(path).expect("the file is removed");
}

/// Symptom: a commit whose chain starts at genesis again, in the middle of a log. Cause: when the
/// last stored line does not end in a hash, opening goes on with the hash of genesis.
#[test]
fn a_last_line_without_a_hash_is_not_built_upon() {
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    kit::done(&mut bank, open_account("a", 1));
    kit::done(&mut bank, deposit("a", 1));
    bank.checkpoint().expect("a checkpoint is stored");
    let mut store = bank.store().clone();
    let block = store.log.get_mut(&2).expect("the last block");
    let end = block.body.len() - 10;
    block.body.replace_range(end..end + 1, "X");
    let mut bank = setup.open(store);
    assert_eq!(kit::run(&mut bank, deposit("a", 2)).0, 503, "nothing is added to a damaged log");
}
