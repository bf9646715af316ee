//! Imports, in process: a log comes in byte for byte, in whatever parts and pieces; whatever ends
//! one half-way leaves an empty partition; and what came in is held.

use std::cell::RefCell;
use std::rc::Rc;

use foldlog_core::chain;
use foldlog_core::driver::{
    Feed, Importing, Linked, MemoryStore, NOBODY, OwnedRequest, Partition, Progress, SqlStore,
    Step, Store, Write,
};
use foldlog_core::protocol::{Answer, Query, Standing};
use foldlog_tests::hosts::feed;
use serde_json::Value;

use super::faults::{FaultStore, Script, WAYS, Way};
use super::kit::{
    self, Bank, Clock, NEW_YEAR_MS, Setup, assert_rows_are_the_fold, assert_same_rows, check_log,
    deposit, done, folded_again, get, open_account, request,
};
use super::parts::{assert_empty, code, made, ndjson, part, send};
use super::stores::{Both, Memory, line, positions, view};

fn refused_as(bank: &mut Bank<MemoryStore>, request: OwnedRequest) -> String {
    let (status, body) = kit::run(bank, request);
    let answer: Value = serde_json::from_str(&body).expect("JSON");
    format!("{status} {}", code(&answer))
}

#[test]
fn a_log_comes_in_byte_for_byte_and_is_held() {
    let setup = Setup::default();
    let (origin, lines) = made(300);
    let body = ndjson(&lines);
    for piece in [7, 1_000, 1 << 20] {
        let mut bank = setup.open(MemoryStore::default());
        let (status, answer) = send(&mut bank, "?complete=true", &body, piece);
        assert_eq!(status, 200, "{answer}");
        let head = kit::run(&mut bank, get("/log/head")).1;
        assert_eq!(answer["complete"], true);
        let hash = answer["hash"].as_str().expect("a hash");
        assert!(
            head.contains(hash) && head.contains(&format!("\"position\":{}", answer["position"]))
        );
        assert_eq!(kit::lines(bank.store()), lines, "pieces of {piece}");
        assert_eq!(bank.store().import, None);
        check_log(bank.store());
        // Blocks are those that a live log would have had, had it come in one batch.
        let packed = crate::format::store_of(&lines);
        assert_eq!(bank.store().log, packed.log);
        assert_same_rows(bank.store(), &folded_again(&origin, &setup), "imported");

        assert_eq!(bank.standing(), Standing::Held);
        assert_eq!(refused_as(&mut bank, deposit("acc-1", 1)), "409 held");
        assert_eq!(refused_as(&mut bank, part("")), "409 not-empty");
        let resumed: Value =
            serde_json::from_str(&done(&mut bank, request("POST", "/effects/resume", "", &[])))
                .expect("JSON");
        let incarnation = resumed["incarnation"].as_str().expect("an incarnation");
        assert!(!lines.iter().any(|line| line.contains(incarnation)), "a new incarnation");
        done(&mut bank, deposit("acc-1", 1));
        bank.checkpoint().expect("a checkpoint is stored");
        assert_rows_are_the_fold(bank.store(), &setup, "resumed");
    }
}

#[test]
fn a_log_comes_in_in_parts_and_a_repeated_part_is_no_harm() {
    let (_, lines) = made(60);
    let setup = Setup::default();
    for lines_each in [1, 7, 50] {
        let mut bank = setup.open(MemoryStore::default());
        let mut query = String::new();
        let mut chunks = lines.chunks(lines_each).peekable();
        while let Some(chunk) = chunks.next() {
            let body = ndjson(chunk);
            if query.is_empty() {
                // Its own leftovers are discarded by a part from the start.
                send(&mut bank, "", &ndjson(&lines), 999);
            }
            let (status, first) = send(&mut bank, &query, &body, 500);
            assert_eq!(status, 200, "{query}: {first}");
            assert_eq!(first["complete"], false);
            assert_empty(&mut bank, &query);
            assert_eq!(refused_as(&mut bank, open_account("x", 1)), "409 in-progress");
            let resume = request("POST", "/effects/resume", "", &[]);
            assert_eq!(refused_as(&mut bank, resume), "409 in-progress");
            let (status, again) = send(&mut bank, &query, &body, 5_000);
            assert_eq!((status, &again), (200, &first), "{query}");
            // Restarts do not matter.
            bank = setup.open(bank.store().clone());
            query = format!("?after={}", first["position"]);
            if chunks.peek().is_none() {
                let (status, last) = send(&mut bank, &format!("{query}&complete=true"), b"", 1);
                assert_eq!(status, 200, "{last}");
                assert_eq!(last["hash"], first["hash"]);
            }
        }
        assert_eq!(kit::lines(bank.store()), lines, "{lines_each} lines each");
        check_log(bank.store());
        bank.open().expect("opens");
        bank.checkpoint().expect("a checkpoint is stored");
        assert_rows_are_the_fold(bank.store(), &setup, "in parts");
    }
}

/// Parts may go on behind any commit, and only behind the end of one.
#[test]
fn a_part_continues_behind_any_commit_that_is_there() {
    let mut origin = Setup::default().open(MemoryStore::default());
    done(&mut origin, open_account("a", 9));
    // A commit of several events: closing sweeps what is left.
    done(&mut origin, open_account("b", 0));
    let sweep = r#"{"accountId":"a","sweepTo":"b"}"#;
    done(&mut origin, request("POST", "/commands/close-account", sweep, &[]));
    for n in 0..30 {
        done(&mut origin, deposit("b", n + 1));
    }
    let lines = kit::lines(origin.store());
    let ends: Vec<u64> = lines
        .iter()
        .map(|line| chain::position(line).expect("a line") + kit::events_of(line).saturating_sub(1))
        .collect();
    let mut bank = Setup::default().open(MemoryStore::default());
    let (status, misfit) = send(&mut bank, "?after=0", &ndjson(&lines[1..]), 100);
    assert_eq!((status, code(&misfit)), (409, "in-progress"), "nothing is there yet: {misfit}");
    assert_eq!(send(&mut bank, "", &ndjson(&lines), 100).0, 200);
    let head = ends.last().copied().expect("an end");
    for after in (0..=head + 3).rev() {
        let query = format!("?after={after}");
        match ends.iter().position(|end| *end == after) {
            Some(index) => {
                let (status, told) = send(&mut bank, &query, &ndjson(&lines[index + 1..]), 100);
                assert_eq!((status, &told["position"]), (200, &head.into()), "{told}");
            }
            None => {
                let (status, misfit) = send(&mut bank, &query, b"", 100);
                assert_eq!((status, code(&misfit)), (409, "in-progress"), "{misfit}");
                assert_eq!(misfit["position"], head, "{misfit}");
            }
        }
    }
    let (status, told) = send(&mut bank, &format!("?after={head}&complete=true"), b"", 1);
    assert_eq!((status, &told["complete"]), (200, &true.into()), "{told}");
    assert_eq!(kit::lines(bank.store()), lines);
}

/// Nothing from the start gives an unfinished import up: the partition is as if there had been none.
#[test]
fn an_empty_part_from_the_start_leaves_nothing() {
    let (_, lines) = made(40);
    let setup = Setup { row_cache_max: 64 << 10, ..Setup::default() };
    let mut bank = setup.open(MemoryStore::default());
    let (first, rest) = lines.split_at(30);
    let (_, told) = send(&mut bank, "", &ndjson(first), 999);
    assert_eq!(send(&mut bank, &format!("?after={}", told["position"]), &ndjson(rest), 999).0, 200);
    assert!(!bank.store().rows.is_empty(), "the part before was folded");
    let (status, told) = send(&mut bank, "", b"", 1);
    assert_eq!((status, &told["position"], &told["complete"]), (200, &0.into(), &false.into()));
    assert_eq!(told["hash"], chain::HASH_HOLE);
    assert_eq!(*bank.store(), MemoryStore::default());
    assert_eq!(bank.standing(), Standing::Owned);
    done(&mut bank, open_account("acc-1", 5));
    assert_eq!(kit::lines(bank.store())[..1], lines[..1], "an ordinary log begins");
}

/// More blocks than one transaction deletes.
#[test]
fn many_leftovers_are_discarded_in_steps() {
    let (_, lines) = made(1_400);
    let mut bank = Setup::default().open(MemoryStore::default());
    let mut at = 0;
    for (n, line) in lines.iter().enumerate() {
        let query = if n == 0 { String::new() } else { format!("?after={at}") };
        let (status, told) = send(&mut bank, &query, &ndjson(std::slice::from_ref(line)), 9_999);
        assert_eq!(status, 200, "{told}");
        at = told["position"].as_u64().expect("a position");
    }
    assert!(bank.store().log.len() > 1_300, "{} blocks", bank.store().log.len());
    let (status, told) = send(&mut bank, "?complete=true", &ndjson(&lines), 9_999);
    assert_eq!(status, 200, "{told}");
    assert_eq!(kit::lines(bank.store()), lines);
    check_log(bank.store());
}

/// Two at once never mix: the newer one goes on, the older one is told.
#[test]
fn a_newer_part_takes_the_place_of_an_older_one() {
    let (_, lines) = made(20);
    let (_, others) = made(25);
    let mut bank = Setup::default().open(MemoryStore::default());
    let begin = |bank: &mut Bank<MemoryStore>| {
        bank.run(vec![part("?complete=true")]).remove(0).import.expect("the body is asked for")
    };
    let older = begin(&mut bank);
    assert_eq!(bank.import(older, Feed::Nothing), Step::Body);
    assert_eq!(bank.import(older, Feed::Bytes(ndjson(&lines[..9]))), Step::Body);
    assert_empty(&mut bank, "a part is under way");
    assert_eq!(refused_as(&mut bank, open_account("x", 1)), "409 in-progress");
    let newer = begin(&mut bank);
    let Step::Done(reply) = bank.import(older, Feed::Bytes(ndjson(&lines[9..]))) else {
        panic!("the older one goes on")
    };
    assert_eq!(reply.response.status, 409);
    assert_eq!(feed(&mut bank, newer, &ndjson(&others), 100).response.status, 200);
    assert_eq!(kit::lines(bank.store()), others);
    let Step::Done(reply) = bank.import(older, Feed::End) else { panic!("it goes on") };
    assert_eq!(reply.response.status, 503);
}

/// A commit of the same batch comes first: then there is a log, and nothing to import into.
#[test]
fn a_command_of_the_same_batch_comes_before_the_import() {
    let (_, lines) = made(5);
    for command_first in [true, false] {
        let mut bank = Setup::default().open(MemoryStore::default());
        let mut batch = vec![open_account("a", 1), part("?complete=true")];
        if !command_first {
            batch.reverse();
        }
        let replies = bank.run(batch);
        let statuses: Vec<u16> = replies.iter().map(|reply| reply.response.status).collect();
        assert_eq!(statuses, if command_first { [201, 409] } else { [409, 201] });
        assert!(replies.iter().all(|reply| reply.import.is_none()));
        assert_eq!(send(&mut bank, "", &ndjson(&lines), 99).0, 409);
        assert_eq!(check_log(bank.store()), 1);
    }
}

/// A log that says it is nobody's is held too.
#[test]
fn a_log_of_nobody_is_held() {
    let (_, lines) = made(3);
    let nobody = chain::hex(&[0; 16]);
    let own = chain::hex(&foldlog_core::driver::test_entropy("seed", 0));
    let mut hash = chain::NO_HASH;
    let resealed: Vec<String> = lines
        .iter()
        .map(|line| {
            let (line, sealed) = chain::seal(&hash, &line.replace(&own, &nobody)).expect("a line");
            hash = sealed;
            line
        })
        .collect();
    let mut bank = Setup::default().open(MemoryStore::default());
    assert_eq!(send(&mut bank, "?complete=true", &ndjson(&resealed), 99).0, 200);
    assert_eq!(refused_as(&mut bank, deposit("acc-1", 1)), "409 held");
}

/// Rows do not fit in memory: checkpoints on the way are leftovers like the blocks.
#[test]
fn a_small_cache_folds_with_checkpoints_on_the_way() {
    let setup = Setup { row_cache_max: 16 << 10, ..Setup::default() };
    let mut origin = setup.open(MemoryStore::default());
    for n in 0..400 {
        origin.run(vec![
            open_account(&format!("account-{n}"), n),
            deposit(&format!("account-{}", n / 2), 1),
        ]);
    }
    let lines = kit::lines(origin.store());
    let mut bank = setup.open(SqlStore::new(Memory::new()));
    let (first, rest) = lines.split_at(500);
    let (status, told) = send(&mut bank, "", &ndjson(first), 4_000);
    assert_eq!(status, 200, "{told}");
    let query = format!("?after={}&complete=true", told["position"]);
    // The part before is folded, then this one is refused: its beginning still stands.
    let (status, refused) = send(&mut bank, &query, b"nonsense\n", 4_000);
    assert_eq!((status, code(&refused)), (400, "malformed-json"));
    assert_empty(&mut bank, "rows of leftovers are not seen");
    let (status, told) = send(&mut bank, &query, &ndjson(rest), 4_000);
    assert_eq!(status, 200, "{told}");
    bank.open().expect("opens");
    bank.checkpoint().expect("a checkpoint is stored");
    for (view, rows) in folded_again(&crate::format::store_of(&lines), &setup).rows {
        let limit = u32::MAX;
        let query = Query::Rows { view: view.clone(), after_key: vec![], prefix: vec![], limit };
        let stored = bank.store().read(&[query]).expect("reads").remove(0);
        assert_eq!(stored, Answer::Rows(rows.into_iter().collect()), "{}", view.name);
    }
}

/// The store fails, or the process ends, at every operation of an import of two parts: afterwards
/// it is the whole log or none, and sending all of it again makes it the whole.
#[test]
fn an_import_survives_any_fault_at_any_step() {
    let setup = Setup { row_cache_max: 32 << 10, ..Setup::default() };
    let (_, lines) = made(60);
    let (first, rest) = lines.split_at(40);
    let whole = crate::format::store_of(&lines);
    let fold = folded_again(&whole, &setup);
    let run = |bank: &mut Bank<FaultStore>| {
        let (status, told) = send(bank, "", &ndjson(first), 3_000);
        if status != 200 {
            return (status, told);
        }
        send(bank, &format!("?after={}&complete=true", told["position"]), &ndjson(rest), 3_000)
    };
    let mut runs = 0;
    'all: for at in 1.. {
        for way in WAYS {
            let context = format!("{way:?} at operation {at}");
            let durable = Rc::new(RefCell::new(MemoryStore::default()));
            let script = Rc::new(RefCell::new(Script::new(at, way, 0)));
            let mut bank = setup.open(FaultStore::new(&durable, &script));
            let (status, told) = run(&mut bank);
            if script.borrow().operations < at {
                break 'all;
            }
            let crashed = std::mem::take(&mut script.borrow_mut().crashed);
            if crashed {
                let mut config = setup.config();
                config.incarnation = script.borrow().owner.unwrap_or(NOBODY);
                let store = FaultStore::new(&durable, &script);
                let clock = Clock::at(NEW_YEAR_MS);
                bank = Partition::new(Linked(setup.registry), store, clock, config);
            }
            let complete = durable.borrow().log.contains_key(&0);
            if status == 200 && !crashed {
                assert!(complete, "{context}: acknowledged and not there");
            } else if !crashed {
                let expected = if way == Way::Full { vec![507, 503] } else { vec![503] };
                assert!(expected.contains(&status), "{context}: {status} {told}");
            }
            if !complete {
                assert_empty(&mut bank, &context);
                let (status, told) = run(&mut bank);
                assert_eq!(status, 200, "{context}: again: {told}");
            }
            bank.open().unwrap_or_else(|e| panic!("{context}: {e}"));
            let _ = bank.checkpoint();
            assert_eq!(bank.standing(), Standing::Held, "{context}");
            assert_eq!(durable.borrow().import, None, "{context}");
            assert_eq!(kit::lines(&durable.borrow()), lines, "{context}");
            assert_same_rows(&durable.borrow(), &fold, &context);
            runs += 1;
        }
    }
    println!("{runs} runs");
    assert!(runs > 100, "{runs} runs");
}

/// How far an import has come is told while there is no genesis row; what lies beyond is cut, also
/// out of the middle of a block.
#[test]
fn what_an_unfinished_import_stored_is_cut() {
    let mut both = Both::new();
    let chain = chain::Chain { hash: [7; 32], position: Some(4) };
    let progress = Progress { genesis: line(0, 1), chain };
    for begun in [Progress::default(), progress.clone()] {
        let import = Some(Importing::At(begun));
        both.write(&Write { import, ..Write::default() });
        both.same_tail();
    }
    for cut in [30, 29, 11, 10, 5, 1, 0] {
        let commits = (1..=15_u64).map(|n| (2 * n - 1, 2 * n, line(2 * n - 1, 9_000)));
        both.write(&Write { cut: Some(0), blocks: chain::pack(commits), ..Write::default() });
        both.write(&Write { cut: Some(cut), ..Write::default() });
        both.same_tail();
        let all = both.read(&Query::CommitsAfter { after: 0, limit: 99, descending: false });
        let kept: Vec<u64> = (1..=cut).step_by(2).collect();
        assert_eq!(positions(&all), kept, "cut at {cut}");
        assert_eq!(both.memory.tail().expect("a tail").last.map(|last| last.0).unwrap_or(0), cut);
    }
    let rows = vec![(view("a", 1), vec![(vec![1], Some(vec![2]))])];
    both.write(&Write { rows, ..Write::default() });
    // It is no row of a log: erasing those leaves it.
    assert_eq!((both.memory.erase_rows(), both.sql.erase_rows()), (Ok(()), Ok(())));
    assert_eq!(both.sql.tail().expect("a tail").import, Some(progress));
    both.write(&Write { import: Some(Importing::Ended), ..Write::default() });
    both.same_tail();
}
