//! Damaged archives: none is taken in, none in part, whatever is wrong with it; and the answer names
//! the line and the first position that is bad.

use foldlog_core::chain;
use foldlog_core::driver::MemoryStore;
use foldlog_core::limits::{COMMIT_BYTES_MAX, IMPORT_BYTES_MAX};
use serde_json::Value;

use super::kit::{self, Bank, Random, Setup, done, open_account, seed};
use super::parts::{assert_empty, code, made, ndjson, part, send};

const MUTATIONS: u64 = 1_000;

/// An archive with one thing wrong with it; nothing where the bytes happen to be the same, or a
/// log that ends early, which is good as far as it goes.
fn mutated(lines: &[String], random: &mut Random) -> Option<(String, Vec<u8>)> {
    let whole = ndjson(lines);
    let index = random.below(lines.len() as u64) as usize;
    let mut damaged = lines.to_vec();
    let mut bytes = None;
    let what = match random.below(9) {
        0 => {
            let mut flipped = whole.clone();
            let at = random.below(whole.len() as u64) as usize;
            flipped[at] ^= 1 << random.below(8);
            bytes = Some(flipped);
            format!("byte {at} flipped")
        }
        1 => {
            let end = random.below(whole.len() as u64) as usize;
            bytes = Some(whole[..end].to_vec());
            format!("cut at byte {end}")
        }
        2 => {
            let at = random.below(whole.len() as u64) as usize;
            let end = (at + random.below(300) as usize + 1).min(whole.len());
            bytes = Some([&whole[..at], &whole[end..]].concat());
            format!("bytes {at} to {end} deleted")
        }
        3 => {
            damaged.remove(index);
            format!("line {index} deleted")
        }
        4 => {
            let other = random.below(lines.len() as u64) as usize;
            damaged.swap(index, other);
            format!("lines {index} and {other} swapped")
        }
        5 => {
            damaged.insert(index, lines[index].clone());
            format!("line {index} doubled")
        }
        6 => {
            let end = random.below(lines[index].len() as u64) as usize;
            damaged[index].truncate(end);
            format!("line {index} cut at {end}")
        }
        7 => {
            damaged[index].push_str([" ", "\r", "\n", "{}"][random.below(4) as usize]);
            format!("line {index} longer")
        }
        _ => {
            let previous = lines.get(index.wrapping_sub(1)).and_then(|l| chain::stored_hash(l));
            let changed = lines[index].replacen("\"time\":\"2026", "\"time\":\"2027", 1);
            damaged[index] = chain::seal(&previous.unwrap_or_default(), &changed)?.0;
            // The line after it gives it away; the last one is a log of its own.
            if index + 1 == lines.len() {
                return None;
            }
            format!("line {index} forged")
        }
    };
    let bytes = bytes.unwrap_or_else(|| ndjson(&damaged));
    let prefix = whole.starts_with(&bytes) && (bytes.is_empty() || bytes.ends_with(b"\n"));
    (!prefix).then_some((what, bytes))
}

#[test]
fn no_damaged_archive_is_taken_in() {
    let mut random = Random::new(seed(31));
    let (_, lines) = made(30);
    let setup = Setup::default();
    let mut bank = setup.open(MemoryStore::default());
    let (mut tried, mut refused) = (0, [0_u32; 2]);
    while tried < MUTATIONS {
        let Some((what, bytes)) = mutated(&lines, &mut random) else { continue };
        tried += 1;
        let piece = [17, 400, 1 << 20][random.below(3) as usize];
        let (status, told) = send(&mut bank, "?complete=true", &bytes, piece);
        assert_eq!(status, 400, "{what}: {told}");
        let known = ["malformed-json", "invalid-field"].iter().position(|c| *c == code(&told));
        refused[known.unwrap_or_else(|| panic!("{what}: {told}"))] += 1;
        assert!(told["line"].is_number() && told["position"].is_number(), "{what}: {told}");
        assert_eq!(*bank.store(), MemoryStore::default(), "{what}: something of it is there");
    }
    assert!(refused.iter().all(|n| *n > 50), "{refused:?}");
    assert_empty(&mut bank, "after all of them");
    assert!(bank.take_failures().is_empty());
    assert_eq!(send(&mut bank, "?complete=true", &ndjson(&lines), 1 << 20).0, 200);
    assert_eq!(kit::lines(bank.store()), lines);
}

/// Of a later part: what came before it stays, and the part can be sent again.
#[test]
fn a_damaged_part_leaves_the_parts_before_it() {
    let mut random = Random::new(seed(32));
    let (_, lines) = made(30);
    let mut bank = Setup::default().open(MemoryStore::default());
    let (first, rest) = lines.split_at(25);
    let (_, told) = send(&mut bank, "", &ndjson(first), 1 << 20);
    let query = format!("?after={}&complete=true", told["position"]);
    let mut before = None;
    for _ in 0..200 {
        let Some((what, bytes)) = mutated(rest, &mut random) else { continue };
        let (status, told) = send(&mut bank, &query, &bytes, 1_000);
        assert_eq!(status, 400, "{what}: {told}");
        let now = bank.store().clone();
        assert_eq!((&now.log, &now.import), {
            let before = before.get_or_insert_with(|| now.clone());
            (&before.log, &before.import)
        });
    }
    assert_eq!(send(&mut bank, &query, &ndjson(rest), 1_000).0, 200);
    assert_eq!(kit::lines(bank.store()), lines);
}

/// Lines as if each had been hashed after it was changed: the chain holds.
fn resealed(lines: &[String], change: impl Fn(usize, &str) -> String) -> Vec<String> {
    let mut hash = chain::NO_HASH;
    let seal = |(index, line): (usize, &String)| {
        let (line, sealed) = chain::seal(&hash, &change(index, line)).expect("a line");
        hash = sealed;
        line
    };
    lines.iter().enumerate().map(seal).collect()
}

fn refused(bank: &mut Bank<MemoryStore>, lines: &[String], context: &str) -> (u16, Value) {
    let (status, told) = send(bank, "?complete=true", &ndjson(lines), 1 << 20);
    assert!((400..500).contains(&status), "{context}: {status} {told}");
    let store = bank.store();
    assert!(store.log.is_empty() && store.import.is_none(), "{context}: something is left");
    assert!(store.rows.values().all(|rows| rows.is_empty()), "{context}: rows are left");
    assert_empty(bank, context);
    (status, told)
}

/// The chain holds, and yet it is no log: by its form, or because the guest can not fold it.
#[test]
fn a_log_that_only_hashes_well_is_refused_as_a_whole() {
    let (_, lines) = made(40);
    let mut bank = Setup::default().open(MemoryStore::default());
    let last = lines.len() - 1;
    for (find, replace, at, field) in [
        ("\"format\":1", "\"format\":2", 0, "format"),
        ("\"format\":1", "\"format\":99", 0, "format"),
        ("\"incarnation\":\"", "\"incarnation\":\"x", 0, ""),
        ("\"version\":", "\"version\":1", 20, ""),
        ("\"version\":", "\"version\":1", last, ""),
        ("\"time\":\"2026", "\"time\":\"2025", 9, ""),
        ("\"time\":\"2026", "\"time\":\"x", 9, ""),
        ("\"amount\":", "\"amount\": ", 2, ""),
        ("\"amount\":", "\"amount\":1e999,\"x\":", 2, ""),
        ("\"amount\":", "\"amount\":5,\"amount\":", 2, ""),
        ("\"amount\":", "\"amount\":\u{1}", 2, ""),
        ("\"amount\":", "\"x\":\"\\u0000\",\"amount\":", 2, ""),
        ("\"amount\":", "\"x\":\"\\ud800\",\"amount\":", 2, ""),
    ] {
        let context = format!("{find} becomes {replace} in line {at}");
        let forged = resealed(&lines, |index, line| {
            if index == at { line.replacen(find, replace, 1) } else { line.to_string() }
        });
        assert_ne!(forged, lines, "{context}");
        let (status, told) = refused(&mut bank, &forged, &context);
        assert_eq!(status, 400, "{context}: {told}");
        if !field.is_empty() {
            assert_eq!(told["field"], field, "{context}: {told}");
        }
    }
    // Without events: nothing moves on.
    let start = |line: &str| line.find("\"events\":[").expect("events") + 10;
    let forged = resealed(&lines, |index, line| match index {
        5 => format!("{}{}", &line[..start(line)], &line[line.rfind(']').expect("an end")..]),
        _ => line.to_string(),
    });
    let (_, told) = refused(&mut bank, &forged, "no events");
    assert_eq!((code(&told), &told["line"]), ("malformed-json", &6.into()), "{told}");
    for nothing in [&lines[..1], &lines[1..], &[]] {
        refused(&mut bank, nothing, "no commit, or no genesis");
    }
    done(&mut bank, open_account("a", 1));
}

#[test]
fn a_line_or_a_part_that_is_too_large_is_refused() {
    let (_, lines) = made(2);
    let mut bank = Setup::default().open(MemoryStore::default());
    for (bytes, status) in [(COMMIT_BYTES_MAX, 200), (COMMIT_BYTES_MAX + 1, 413)] {
        let last = lines.len() - 1;
        let filling = "x".repeat(bytes - lines[last].len() - 7);
        let large = resealed(&lines, |index, line| match index == last {
            true => line.replacen("\"hash\":", &format!("\"x\":\"{filling}\",\"hash\":"), 1),
            false => line.to_string(),
        });
        assert_eq!(large[last].len(), bytes);
        // As pieces: it is refused before its end has come.
        let (found, told) = send(&mut bank, "", &ndjson(&large), 100_000);
        assert_eq!(found, status, "{told}");
        if status == 413 {
            assert_eq!(told["limit"], COMMIT_BYTES_MAX, "{told}");
            assert_eq!((&told["line"], &told["position"]), (&5.into(), &4.into()), "{told}");
        }
    }
    let mut bank = Setup::default().open(MemoryStore::default());
    let token = bank.run(vec![part("")]).remove(0).import.expect("the body is asked for");
    // What it is does not matter once it is too much: told by its size alone.
    let body = vec![b'\n'; IMPORT_BYTES_MAX as usize + 1];
    let reply = foldlog_tests::hosts::feed(&mut bank, token, &body, body.len());
    assert_eq!(reply.response.status, 413);
    let mut request = part("");
    request.body = foldlog_core::driver::OwnedBody::TooLarge;
    let (status, told) = kit::run(&mut bank, request);
    assert!(status == 413 && told.contains("67108864"), "{status} {told}");
    assert_eq!(*bank.store(), MemoryStore::default());
}
