//! Damage against a stored head: whatever is done to a log, the chain alone finds it, and the first
//! bad position is the one that had to come next (`docs/format.md`, section 3).
//!
//! Owns the damage: flipped bits of lines, brackets, separators and positions; commits deleted,
//! swapped, inserted, cut, forged, and left out at the end. In tables as in NDJSON.

use foldlog_core::chain::{position, seal, stored_hash};
use foldlog_core::commit::Commit;

use super::chain::{Checked, check};
use super::finding::Head;
use super::source::Source;

const GOLDEN: &str = include_str!("../../../tests/golden/v1/log.ndjson");
const FLIPS: usize = 3_000;
const EDITS: usize = 500;

/// Numbers that look random and are the same in each run.
struct Random(u64);

impl Random {
    fn below(&mut self, end: usize) -> usize {
        self.0 =
            self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((self.0 >> 33) as usize) % end
    }
}

/// A log in blocks of a few lines, each with the positions that its row states.
#[derive(Clone)]
struct Log(Vec<(u64, u64, Vec<String>)>);

impl Log {
    fn golden() -> Self {
        let mut random = Random(1);
        let (mut blocks, mut lines): (Vec<(u64, u64, Vec<String>)>, _) = (vec![], GOLDEN.lines());
        let genesis = lines.next().expect("genesis");
        blocks.push((0, 0, vec![genesis.into()]));
        let mut room = 0;
        for line in lines {
            let (first, last) = (position(line).expect("a position"), last(line));
            if room == 0 {
                room = 1 + random.below(6);
                blocks.push((first, last, vec![]));
            }
            room -= 1;
            let block = blocks.last_mut().expect("a block");
            block.1 = last;
            block.2.push(line.into());
        }
        Self(blocks)
    }

    fn lines(&self) -> Vec<String> {
        self.0.iter().flat_map(|block| block.2.clone()).collect()
    }

    /// The rows of the table.
    fn rows(&self) -> Vec<(i64, i64, Vec<u8>)> {
        let row = |(first, last, lines): &(u64, u64, Vec<String>)| {
            let body = format!("[{}]", lines.join(",\n")).into_bytes();
            (*first as i64, *last as i64, body)
        };
        self.0.iter().filter(|block| !block.2.is_empty()).map(row).collect()
    }

    fn ndjson(&self) -> Vec<u8> {
        self.lines().iter().flat_map(|line| format!("{line}\n").into_bytes()).collect()
    }

    /// The block of a line, and its place there.
    fn place(&self, index: usize) -> (usize, usize) {
        let mut left = index;
        for (block, (_, _, lines)) in self.0.iter().enumerate() {
            if left < lines.len() {
                return (block, left);
            }
            left -= lines.len();
        }
        panic!("no line {index}");
    }
}

fn last(line: &str) -> u64 {
    Commit::parse(line).map_or(0, |commit| commit.last_position())
}

fn head() -> Head {
    let line = GOLDEN.lines().next_back().expect("a line");
    Head { position: None, hash: stored_hash(line).expect("a hash") }
}

/// What is found: the first bad position, or that the head is another one.
fn found(source: &Source) -> Option<Option<u64>> {
    let checked = check(source, None);
    let Ok(Checked { position, hash, broken, .. }) = checked else {
        // Without genesis there is no log.
        return Some(Some(0));
    };
    match broken {
        Some(broken) => Some(Some(broken.position)),
        None => head().expected(position, &hash).map(|_| None),
    }
}

#[test]
fn a_log_that_is_gone_is_not_taken_for_a_new_one() {
    assert_eq!(found(&Source::of_blocks(&[])), Some(None), "the head is not there");
    let mut rows = Log::golden().rows();
    rows.remove(0);
    assert_eq!(found(&Source::of_blocks(&rows)), Some(Some(0)), "there is no genesis line");
    let from = Some(Head { position: Some(7), ..head() });
    let broken = check(&Source::of_blocks(&[]), from).expect("it is checked").broken;
    assert_eq!(broken.map(|broken| broken.position), Some(0));
}

#[test]
fn a_whole_log_is_clean() {
    let log = Log::golden();
    assert_eq!(found(&Source::of_blocks(&log.rows())), None);
    assert_eq!(found(&Source::of_ndjson(&log.ndjson())), None);
    assert_eq!(log.ndjson(), GOLDEN.as_bytes());
}

#[test]
fn every_flipped_bit_is_found_and_its_position_named() {
    let (log, mut random) = (Log::golden(), Random(2));
    let (rows, ndjson) = (log.rows(), log.ndjson());
    for round in 0..FLIPS {
        if round % 2 == 0 {
            let at = random.below(ndjson.len());
            let mut damaged = ndjson.clone();
            damaged[at] ^= 1 << random.below(8);
            let before = ndjson[..at].iter().filter(|byte| **byte == b'\n').count();
            let expected = position(&log.lines()[before]);
            let context = format!("byte {at} of NDJSON, line {}", before + 1);
            assert_eq!(found(&Source::of_ndjson(&damaged)), Some(expected), "{context}");
            continue;
        }
        let mut damaged = rows.clone();
        let block = random.below(rows.len());
        let (first, end, body) = &mut damaged[block];
        let at = random.below(body.len());
        body[at] ^= 1 << random.below(8);
        let whole = &rows[block].2;
        let line = whole[..at].iter().filter(|byte| **byte == b'\n').count();
        let expected = position(&log.0[block].2[line]).expect("a position");
        let context = format!("byte {at} of the block at {first} to {end}, line {line}");
        let found = found(&Source::of_blocks(&damaged)).flatten().expect(&context);
        // Text that is none, and brackets, spoil the block as a whole.
        let of_block = at == whole.len() - 1 || std::str::from_utf8(&damaged[block].2).is_err();
        let expected = if of_block { rows[block].0 as u64 } else { expected };
        assert_eq!(found, expected, "{context}");
    }
}

#[test]
fn every_flipped_bit_of_a_blocks_positions_is_found() {
    let (log, mut random) = (Log::golden(), Random(3));
    let rows = log.rows();
    for _ in 0..500 {
        let mut damaged = rows.clone();
        let block = 1 + random.below(rows.len() - 1);
        // Far beyond what the log has, and below zero, too.
        let bit = 1_i64 << random.below(64);
        if random.below(2) == 0 {
            damaged[block].0 ^= bit;
        } else {
            damaged[block].1 ^= bit;
        }
        let (first, end) = (rows[block].0 as u64, rows[block].1 as u64);
        match found(&Source::of_blocks(&damaged)).expect("it is found") {
            Some(found) => assert!(found <= end + 1, "{first} to {end}, bit {bit:x}: {found}"),
            // A last block that lies below zero is not there.
            None => assert!(block == rows.len() - 1 && damaged[block].0 < 0, "{first}, {bit:x}"),
        }
    }
}

/// One commit, or the end, is not what it was; the first position that is bad, if any is.
fn edit(log: &mut Log, kind: usize, random: &mut Random) -> (&'static str, Option<u64>) {
    let lines = log.lines();
    let index = 1 + random.below(lines.len() - 2);
    let (block, at) = log.place(index);
    let (next_block, next_at) = log.place(index + 1);
    let here = position(&lines[index]);
    match kind {
        0 => {
            log.0[block].2.remove(at);
            ("deleted", here)
        }
        1 => {
            log.0[block].2[at] = lines[index + 1].clone();
            log.0[next_block].2[next_at] = lines[index].clone();
            ("swapped", here)
        }
        2 => {
            let other = lines[random.below(lines.len())].clone();
            log.0[block].2.insert(at, other.clone());
            // Its own place is the one place where a copy is no news.
            let next = if other == lines[index] { position(&lines[index + 1]) } else { here };
            ("inserted", next)
        }
        3 => {
            let end = random.below(lines[index].len());
            log.0[block].2[at].truncate(end);
            ("cut", here)
        }
        4 => {
            let forged = forge(&lines[index]);
            let previous = stored_hash(&lines[index - 1]).expect("a hash");
            log.0[block].2[at] = seal(&previous, &forged).expect("a line").0;
            ("forged", position(&lines[index + 1]))
        }
        5 => {
            // All that comes behind it is sealed again, too: only the head shows it.
            let mut previous = stored_hash(&lines[index - 1]).expect("a hash");
            for (later, line) in lines.iter().enumerate().skip(index) {
                let line = if later == index { forge(line) } else { line.clone() };
                let (sealed, hash) = seal(&previous, &line).expect("a line");
                let (block, at) = log.place(later);
                log.0[block].2[at] = sealed;
                previous = hash;
            }
            ("forged to the end", None)
        }
        _ => {
            for later in (index + 1..lines.len()).rev() {
                let (block, at) = log.place(later);
                log.0[block].2.truncate(at);
            }
            let (block, _) = log.place(index);
            // As whoever cuts it would leave it.
            log.0[block].1 = last(&lines[index]);
            ("truncated", None)
        }
    }
}

fn forge(line: &str) -> String {
    line.replacen("\"time\":\"2", "\"time\":\"3", 1)
}

#[test]
fn every_edit_of_commits_is_found_and_its_position_named() {
    let (golden, mut random) = (Log::golden(), Random(4));
    let mut seen = [0; 7];
    for round in 0..EDITS {
        let mut log = golden.clone();
        let (what, expected) = edit(&mut log, round % 7, &mut random);
        seen[round % 7] += 1;
        let context = format!("round {round}: {what}, expected at {expected:?}");
        assert_eq!(found(&Source::of_ndjson(&log.ndjson())), Some(expected), "NDJSON, {context}");
        assert_eq!(found(&Source::of_blocks(&log.rows())), Some(expected), "table, {context}");
    }
    assert!(seen.iter().all(|times| *times > 50), "{seen:?}");
}

#[test]
fn a_check_goes_on_where_another_one_ended() {
    let log = Log::golden();
    let source = Source::of_blocks(&log.rows());
    let lines = log.lines();
    for line in lines.iter().step_by(3) {
        let from = Head { position: Some(last(line)), hash: stored_hash(line).expect("a hash") };
        let checked = check(&source, Some(from)).expect("it is checked");
        assert_eq!(checked.broken, None, "from {:?}", from.position);
        assert_eq!(head().expected(checked.position, &checked.hash).map(|_| ()), None);
        let other = Head { hash: [7; 32], ..from };
        let broken = check(&source, Some(other)).expect("it is checked").broken;
        assert_eq!(broken.map(|b| b.position), from.position);
    }
    // Only what comes behind it is looked at, from there on all of it.
    let (block, at) = log.place(200);
    let mut damaged = log.clone();
    damaged.0[block].2[at].push(' ');
    let bad = position(&lines[200]);
    let source = Source::of_blocks(&damaged.rows());
    for (line, expected) in [(&lines[199], bad), (&lines[20], bad), (&lines[201], None)] {
        let from = Head { position: Some(last(line)), hash: stored_hash(line).expect("a hash") };
        let broken = check(&source, Some(from)).expect("it is checked").broken;
        assert_eq!(broken.map(|b| b.position), expected, "from {:?}", from.position);
    }
    let beyond = Head { position: Some(1_000), hash: [0; 32] };
    let broken = check(&source, Some(beyond)).expect("it is checked").broken.expect("broken");
    assert!(broken.detail.contains("truncated"), "{}", broken.detail);
}
