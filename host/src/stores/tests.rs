//! The contract of a store over those that this host has, as it opens them.

use std::sync::Arc;

use foldlog_core::driver::{NOBODY, Store, Write};
use foldlog_tests::contract::{hold, line};

use super::files::Files;
use super::memory::Memory;
use super::{AnyStore, Stores};
use crate::metrics::Metrics;

/// Opens a partition's writer.
fn writer(stores: &dyn Stores, name: &str) -> AnyStore {
    stores.writer(name, &Arc::new(Metrics::new())).unwrap_or_else(|e| panic!("{name}: {e}"))
}

fn begin(store: &mut AnyStore) {
    assert!(store.tail().is_ok());
    let blocks = foldlog_core::chain::pack([(0, 0, line(0, 1))]);
    assert_eq!(store.write(&Write { blocks, ..Write::default() }), Ok(()));
}

/// The list, and what the host asks of a place beside it.
fn keeps_the_contract(shown: &str, stores: &dyn Stores) {
    hold(shown, &mut |number| Box::new(writer(stores, &format!("contract-{number}"))));

    assert!(stores.is_blank("b") && stores.owner("b") == NOBODY);
    let mut store = writer(stores, "b");
    assert!(stores.is_blank("b"), "{shown}: opening makes nothing");
    begin(&mut store);
    assert_eq!(store.own(&[7; 16]), Ok(()));
    assert!(!stores.is_blank("b"));
    assert_eq!(stores.owner("b"), [7; 16]);
    assert_eq!(stores.owner("c"), NOBODY);
    // A reader beside sees what is stored, and can be opened where nothing is.
    let seen = stores.reader("b").tail().unwrap_or_else(|e| panic!("{shown}: {e}"));
    assert!(seen.genesis.is_some());
    for name in ["a-1", "a", "z-9"] {
        begin(&mut writer(stores, name));
    }
    let names = |after, limit| stores.names(after, limit).unwrap_or_else(|e| panic!("{e}"));
    assert_eq!(names("", 3), ["a", "a-1", "b"]);
    assert_eq!(names("a", 1), ["a-1"]);
    assert_eq!(names("contract-9", 9), ["z-9"]);
    // What an import left that did not end is no log.
    assert!(names("b", 100).iter().filter(|name| name.starts_with("contract")).count() < 10);
    assert!(stores.secret().is_ok_and(|secret| secret.reveal().len() >= 32));
}

#[test]
fn memory_keeps_the_contract() {
    keeps_the_contract("memory", &Memory::default());
}

#[test]
fn files_keep_the_contract() {
    let directory = tempfile::tempdir().unwrap();
    let data = directory.path().join("data");
    let files = Files::take(&data).unwrap();
    keeps_the_contract("files", &files);
    assert!(Files::take(&data).is_err(), "two hosts on one directory");
    let secret = files.secret();
    files.release();
    let files = Files::take(&data).unwrap();
    assert_eq!(files.secret(), secret);
    assert_eq!(files.owner("b"), [7; 16]);
}

#[cfg(feature = "postgres")]
mod database {
    use foldlog_core::chain::pack;
    use foldlog_core::driver::{StoreError, StoredBlock};
    use foldlog_core::protocol::{Answer, Query};
    use foldlog_tests::contract::view;
    use foldlog_tests::postgres::database;

    use super::super::postgres::Postgres;
    use super::*;

    fn take(url: &str) -> Postgres {
        Postgres::take(url, 20, false).unwrap_or_else(|e| panic!("{e}"))
    }

    #[test]
    fn a_database_keeps_the_contract() {
        let Some(database) = database("a_database_keeps_the_contract") else { return };
        let stores = take(&database.url());
        keeps_the_contract("PostgreSQL", &stores);
        let told = Postgres::take(&database.url(), 20, false).err().unwrap_or_default();
        assert!(told.contains("serves the database"), "two hosts on one database: {told}");
        let secret = stores.secret();
        stores.release();
        let stores = take(&database.url());
        assert_eq!(stores.secret(), secret);
        assert_eq!(stores.owner("b"), [7; 16]);
        // Partitions are known without any having been opened.
        assert!(stores.names("", 9).is_ok_and(|names| names.contains(&"z-9".to_string())));
        assert!(!stores.is_blank("z-9") && stores.is_blank("z-8"));
    }

    /// Another host wrote, by whatever way: no block and no row of this one is stored.
    #[test]
    fn a_head_that_is_not_the_believed_one_refuses_all_writes() {
        let Some(database) = database("a_head_that_is_not_the_believed_one") else { return };
        let stores = take(&database.url());
        let mut store = writer(&stores, "p");
        begin(&mut store);
        let block = |n| pack([(n, n, line(n, 3))]);
        let row = |value| vec![(view("a", 1), vec![(vec![1], Some(vec![value]))])];
        let write = Write { blocks: block(1), rows: row(1), ..Write::default() };
        assert_eq!(store.write(&write), Ok(()));
        let refused = |store: &mut AnyStore, write: Write| {
            let result = store.write(&write);
            assert!(matches!(result, Err(StoreError::Unknown(_))), "{result:?}");
            // Not even once more, before it is opened anew.
            let result = store.write(&write);
            assert!(matches!(result, Err(StoreError::Unknown(_))), "{result:?}");
        };
        for (position, write) in [
            (2, Write { blocks: block(2), ..Write::default() }),
            (3, Write { blocks: block(4), ..Write::default() }),
            (4, Write { rows: row(9), checkpoint: Some(vec![9]), ..Write::default() }),
            (5, Write { blocks: block(6), rows: row(9), ..Write::default() }),
            (6, Write { dropped: vec![view("a", 1)], ..Write::default() }),
        ] {
            let StoredBlock { first, last, body } = &block(position)[0];
            database.sql(&format!("INSERT INTO p.log VALUES ({first}, {last}, '{body}')"));
            refused(&mut store, write);
            let tail = store.tail().unwrap_or_else(|e| panic!("{e}"));
            assert_eq!(tail.last.map(|last| last.0), Some(position));
            let rows =
                Query::Rows { view: view("a", 1), after_key: vec![], prefix: vec![], limit: 9 };
            assert_eq!(store.read(&[rows]), Ok(vec![Answer::Rows(vec![(vec![1], vec![1])])]));
        }
        // Its session is lost: nothing is read or written through another before it is opened anew.
        assert_eq!(store.write(&Write { blocks: block(7), ..Write::default() }), Ok(()));
        assert!(database.end_sessions(std::process::id(), " p") >= 1);
        refused(&mut store, Write { blocks: block(8), ..Write::default() });
        assert!(store.read(&[]).is_ok_and(|answers| answers.is_empty()));
        let after = Query::CommitsAfter { after: 6, limit: 9, descending: false };
        assert!(matches!(store.read(std::slice::from_ref(&after)), Err(StoreError::Read(_))));
        assert!(store.tail().is_ok());
        assert_eq!(store.write(&Write { blocks: block(8), ..Write::default() }), Ok(()));
        assert!(store.read(&[after]).is_ok());
    }
}
