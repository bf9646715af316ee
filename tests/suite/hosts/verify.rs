//! `foldlog verify` finds a row that is not the fold, whichever view it is of, and names it.
//!
//! Symptom to look for: a planted lie that is called clean. Owns the lies: a byte of a stored
//! value differs, with a checksum that is right for it (a fold that went wrong) and without.

use foldlog_core::chain::{seal_row, unseal_row};
use foldlog_tests::hosts::{Kind, Setup, foldlog};
use rusqlite::{Connection, params};

/// Runs `foldlog verify --json`; its findings, of check and view.
fn findings(file: &std::path::Path) -> (Option<i32>, Vec<(String, String)>) {
    let output = foldlog(&["verify".as_ref(), file.as_os_str(), "--json".as_ref()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    let told: serde_json::Value =
        serde_json::from_str(&said).unwrap_or_else(|e| panic!("{e}: {said}"));
    let text = |value: &serde_json::Value| value.as_str().unwrap_or_default().to_string();
    let found = told["findings"].as_array().cloned().unwrap_or_default();
    let found = found.iter().map(|finding| (text(&finding["check"]), text(&finding["view"])));
    (output.status.code(), found.collect())
}

/// Discarded, a snapshot that lies is as the fold takes it, and nothing is wrong any more.
fn discarded(file: &std::path::Path) {
    let output = foldlog(&["verify".as_ref(), file.as_os_str(), "--discard".as_ref()]);
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert_eq!(output.status.code(), Some(1), "something was wrong: {said}");
    assert!(said.contains("discarded 1 rows of snapshots"), "{said}");
    assert_eq!(findings(file), (Some(0), vec![]), "after {said}");
}

#[test]
fn a_row_that_is_not_the_fold_is_found_and_named() {
    for kind in [Kind::Native, Kind::Worker] {
        let mut host = Setup::new(kind).start();
        assert_eq!(host.post("/commands/open-account", r#"{"accountId":"a"}"#).status, 201);
        for _ in 0..24 {
            let done = host.post("/commands/deposit", r#"{"accountId":"a","amount":7}"#);
            assert_eq!(done.status, 200, "{}", done.text());
        }
        assert_eq!(host.post("/snapshots/account/a", "{}").status, 201);
        host.stop();
        let file = host.sqlite();
        assert_eq!(findings(&file), (Some(0), vec![]), "{kind:?}, untouched");
        let views = ["AccountBalances", "BankAccount", "postings", "~snapshots:BankAccount"];
        for view in views.into_iter().chain(["~snapshots-taken"]) {
            for sealed in [true, false] {
                let raw = Connection::open(&file).expect("the file opens");
                let (generation, key, stored): (u32, Vec<u8>, Vec<u8>) = raw
                    .query_row(
                        "SELECT generation, key, value FROM rows WHERE view = ?1 LIMIT 1",
                        [view],
                        |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
                    )
                    .unwrap_or_else(|e| panic!("{kind:?}: no row of {view}: {e}"));
                let put = |value: &[u8]| {
                    raw.execute(
                        "UPDATE rows SET value = ?1 WHERE view = ?2 AND key = ?3",
                        params![value, view, key],
                    )
                    .expect("the row is changed")
                };
                let mut value =
                    unseal_row(view, generation, &key, &stored).expect("a whole row").to_vec();
                // The last byte of a value is data in each of these views.
                *value.last_mut().expect("a value has bytes") ^= 1;
                let lie = if sealed {
                    seal_row(view, generation, &key, &value)
                } else {
                    [value.as_slice(), stored.split_at(value.len()).1].concat()
                };
                assert_eq!(put(&lie), 1);
                let (code, found) = findings(&file);
                if sealed && view.starts_with("~snapshots") {
                    discarded(&file);
                }
                assert_eq!(put(&stored), 1);
                assert_eq!(code, Some(1), "{kind:?}: a lie in {view} is called clean");
                let check = match (sealed, view) {
                    (false, _) => "checksum",
                    (true, "~snapshots-taken") => "snapshot",
                    (true, _) => "rows",
                };
                let expected = (check.to_string(), view.to_string());
                assert!(found.contains(&expected), "{kind:?}: {view} {sealed}: {found:?}");
            }
        }
        assert_eq!(findings(&file), (Some(0), vec![]), "{kind:?}, restored");
    }
}
