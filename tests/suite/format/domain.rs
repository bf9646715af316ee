//! What holds of the golden log of a domain: it verifies, is written the same, folds to the same
//! states and is told alike for ever.
//!
//! Owns these promises. Which logs there are, and how each was made, their own files tell.

use foldlog_core::chain;
use foldlog_core::commit::Commit;
use foldlog_core::driver::MemoryStore;

use super::golden::{digests, same_answers, text};
use super::{export, python, store_of};
use crate::engine::kit::{self, Bank, Setup, get};

/// A partition that has folded a log.
pub(super) fn folded(lines: &[String]) -> Bank<MemoryStore> {
    let mut bank = Setup::default().open(store_of(lines));
    bank.open().unwrap_or_else(|e| panic!("the golden log folds: {e}"));
    bank.checkpoint().expect("a checkpoint is stored");
    bank
}

/// Its chain holds, and what is read of each line is written as that line.
pub(super) fn verifies_and_is_written_the_same(lines: &[String]) {
    let head = kit::check_log(&store_of(lines));
    let mut chain = chain::Chain::default();
    lines.iter().for_each(|line| chain.take(line).unwrap_or_else(|e| panic!("{e}: {line}")));
    let (code, said) = python(Ok(&export(lines)));
    let expected = format!("position {head} hash {}", chain::hex(&chain.hash));
    assert_eq!((code, said), (Some(0), expected));
    for line in lines.iter().skip(1) {
        let commit = Commit::parse(line).unwrap_or_else(|e| panic!("{e}: {line}"));
        let (written, _) = line.rsplit_once(",\"hash\"").expect("a hash");
        assert_eq!(commit.line().rsplit_once(",\"hash\"").expect("a hash").0, written);
    }
}

/// The digests of these views are among those of the golden file.
pub(super) fn folds_to_the_same_states(lines: &[String], views: &[&str], file: &str) {
    let found = digests(folded(lines).store());
    let own = |view: &str| views.iter().any(|own| view.split(' ').next() == Some(own));
    let found = found.iter().filter(|(view, _)| own(view));
    let shown: String = found.map(|(view, digest)| format!("{view} {digest}\n")).collect();
    assert_eq!(shown.lines().count(), views.len(), "{shown}");
    let expected = text(file, || shown.clone());
    for line in shown.lines() {
        // A raised revision has a line of its own; the old one is history.
        let there = expected.lines().any(|old| old == line);
        assert!(there, "states changed: raise the revision, and add {line}");
    }
}

/// What is told of it is what the golden file has.
pub(super) fn gives_the_same_answers(lines: &[String], targets: &[&str], file: &str) {
    let mut bank = folded(lines);
    let mut answers = String::new();
    for target in targets {
        let (status, body) = kit::run(&mut bank, get(target));
        answers.push_str(&format!("GET {target}\n{status} {body}\n"));
    }
    same_answers(file, &answers);
}
