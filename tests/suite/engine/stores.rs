//! The contract of a store over the store in memory and the SQLite store; and of the latter what only
//! a script of failures and damage shows. The native host runs the same list over its own stores.

use std::cell::RefCell;
use std::collections::BTreeMap;
use std::rc::Rc;

use foldlog_core::chain::{self, StoredBlock};
use foldlog_core::driver::{
    Importing, MemoryStore, Progress, SqlError, SqlStore, SqlValue, Sqlite, Store, StoreError,
    Tail, Write,
};
use foldlog_core::protocol::{Answer, Query, RowKey};
use foldlog_tests::contract;
pub use foldlog_tests::contract::{line, positions, view};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

/// SQLite in memory; fails the statement that the script names.
pub struct Memory {
    connection: Connection,
    /// Statements until one fails; 0 never.
    fails_in: u64,
    /// As a damaged page does.
    corrupt: bool,
    /// Statements that read.
    pub queries: u64,
}

fn failed(error: &rusqlite::Error) -> SqlError {
    SqlError::Failed(error.to_string())
}

struct Bound<'a>(&'a SqlValue);

impl ToSql for Bound<'_> {
    fn to_sql(&self) -> rusqlite::Result<ToSqlOutput<'_>> {
        Ok(match self.0 {
            SqlValue::Null => ToSqlOutput::Owned(Value::Null),
            SqlValue::Integer(number) => ToSqlOutput::Owned(Value::Integer(*number)),
            SqlValue::Text(text) => ToSqlOutput::Borrowed(ValueRef::Text(text.as_bytes())),
            SqlValue::Blob(bytes) => ToSqlOutput::Borrowed(ValueRef::Blob(bytes)),
        })
    }
}

impl Memory {
    pub fn new() -> Self {
        Self {
            connection: Connection::open_in_memory().expect("SQLite opens"),
            fails_in: 0,
            corrupt: false,
            queries: 0,
        }
    }

    /// Changes what is stored behind the store's back.
    pub fn damage(&mut self, sql: &str) {
        self.connection.execute_batch(sql).expect("damages");
    }

    fn step(&mut self) -> Result<(), SqlError> {
        self.fails_in = self.fails_in.saturating_sub(1);
        let last = self.fails_in == 1;
        match (last, self.corrupt) {
            (false, _) => Ok(()),
            (true, false) => Err(SqlError::Failed("by script".into())),
            (true, true) => Err(SqlError::Corrupt("by script".into())),
        }
    }
}

impl Sqlite for Memory {
    fn execute(&mut self, sql: &'static str, values: &[SqlValue]) -> Result<(), SqlError> {
        self.step()?;
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| failed(&e))?;
        statement
            .execute(params_from_iter(values.iter().map(Bound)))
            .map(drop)
            .map_err(|e| failed(&e))
    }

    fn query(
        &mut self,
        sql: &'static str,
        values: &[SqlValue],
    ) -> Result<Vec<Vec<SqlValue>>, SqlError> {
        self.queries += 1;
        let mut statement = self.connection.prepare_cached(sql).map_err(|e| failed(&e))?;
        let columns = statement.column_count();
        let rows = statement.query_map(params_from_iter(values.iter().map(Bound)), |row| {
            (0..columns)
                .map(|column| {
                    Ok(match row.get_ref(column)? {
                        ValueRef::Integer(number) => SqlValue::Integer(number),
                        ValueRef::Text(text) => {
                            SqlValue::Text(String::from_utf8_lossy(text).into_owned())
                        }
                        ValueRef::Blob(bytes) => SqlValue::Blob(bytes.to_vec()),
                        ValueRef::Null | ValueRef::Real(_) => SqlValue::Null,
                    })
                })
                .collect()
        });
        rows.and_then(Iterator::collect).map_err(|e| failed(&e))
    }

    fn transaction(
        &mut self,
        body: &mut dyn FnMut(&mut Self) -> Result<(), SqlError>,
    ) -> Result<(), SqlError> {
        self.connection.execute_batch("BEGIN IMMEDIATE").map_err(|e| failed(&e))?;
        let result = body(self);
        let end = if result.is_ok() { "COMMIT" } else { "ROLLBACK" };
        self.connection.execute_batch(end).map_err(|e| failed(&e))?;
        result
    }
}

/// The same store twice.
pub struct Both {
    pub memory: MemoryStore,
    pub sql: SqlStore<Memory>,
}

impl Both {
    pub fn new() -> Self {
        Self { memory: MemoryStore::default(), sql: SqlStore::new(Memory::new()) }
    }

    pub fn write(&mut self, write: &Write) {
        assert_eq!(self.memory.write(write), Ok(()));
        assert_eq!(self.sql.write(write), Ok(()));
    }

    pub fn read(&mut self, query: &Query) -> Answer {
        let queries = std::slice::from_ref(query);
        let (a, b) = (self.memory.read(queries), self.sql.read(queries));
        assert_eq!(a, b, "{query:?}");
        a.unwrap_or_else(|e| panic!("{query:?}: {e}")).remove(0)
    }

    pub fn same_tail(&mut self) {
        assert_eq!(self.memory.tail(), self.sql.tail());
    }
}

/// The same connection, for a store that is opened again.
struct Again<S>(Rc<RefCell<S>>);

impl<S: Store> Store for Again<S> {
    fn tail(&mut self) -> Result<Tail, StoreError> {
        self.0.borrow_mut().tail()
    }

    fn read(&mut self, queries: &[Query]) -> Result<Vec<Answer>, StoreError> {
        self.0.borrow_mut().read(queries)
    }

    fn write(&mut self, write: &Write) -> Result<(), StoreError> {
        self.0.borrow_mut().write(write)
    }

    fn erase_rows(&mut self) -> Result<(), StoreError> {
        self.0.borrow_mut().erase_rows()
    }
}

/// Runs the contract over stores that are kept as they are while they are not open.
fn contract<S: Store + 'static>(name: &str, new: impl Fn() -> S) {
    let mut logs: BTreeMap<usize, Rc<RefCell<S>>> = BTreeMap::new();
    contract::hold(name, &mut |number| {
        let log = logs.entry(number).or_insert_with(|| Rc::new(RefCell::new(new())));
        Box::new(Again(log.clone()))
    });
}

#[test]
fn the_store_in_memory_keeps_the_contract() {
    contract("memory", MemoryStore::default);
}

#[test]
fn the_store_over_any_sqlite_keeps_the_contract() {
    contract("SQLite", || SqlStore::new(Memory::new()));
}

#[test]
fn rows_that_can_not_be_deleted_are_left_behind_but_not_how_far_an_import_came() {
    let mut both = Both::new();
    let chain = chain::Chain { hash: [7; 32], position: Some(3) };
    let at = Progress { genesis: line(0, 1), chain };
    let rows = vec![(view("a", 1), vec![(vec![1], Some(vec![2]))])];
    both.write(&Write { rows, import: Some(Importing::At(at)), ..Write::default() });
    assert_eq!(both.memory.erase_rows(), Ok(()));
    let connection = both.sql.connection();
    (connection.fails_in, connection.corrupt) = (2, true);
    assert_eq!(both.sql.erase_rows(), Ok(()));
    assert_eq!(both.sql.connection().fails_in, 0, "deleting did not fail");
    both.same_tail();
    assert!(both.sql.tail().is_ok_and(|tail| tail.import.is_some()));
    let all = Query::Rows { view: view("a", 1), after_key: vec![], prefix: vec![], limit: 9 };
    assert_eq!(both.read(&all), Answer::Rows(Vec::new()));
}

/// Everything a SQLite file holds.
fn dump(sql: &mut SqlStore<Memory>) -> String {
    let connection = &sql.connection().connection;
    let mut out = String::new();
    for table in ["log", "rows"] {
        let Ok(mut statement) = connection.prepare(&format!("SELECT * FROM {table}")) else {
            continue;
        };
        let columns = statement.column_count();
        let mut rows = statement.query([]).expect("a query");
        while let Some(row) = rows.next().expect("a row") {
            for column in 0..columns {
                out += &format!("{:?} ", row.get_ref(column).expect("a value"));
            }
            out.push('\n');
        }
    }
    out
}

#[test]
fn a_write_is_stored_whole_or_not_at_all() {
    let mut write = Write {
        blocks: chain::pack([(0, 0, line(0, 1)), (1, 2, line(1, 5)), (3, 3, line(3, 70_000))]),
        rows: vec![(view("a", 1), vec![(vec![1], Some(vec![2])), (vec![3], None)])],
        dropped: vec![view("b", 1)],
        checkpoint: Some(vec![1, 2]),
        ..Write::default()
    };
    let mut failures = 0;
    for fails_in in 2.. {
        let mut sql = SqlStore::new(Memory::new());
        sql.connection().fails_in = fails_in;
        let before = dump(&mut sql);
        let first = sql.write(&write);
        if first.is_ok() {
            break;
        }
        failures += 1;
        assert!(matches!(first, Err(StoreError::Unknown(_))), "{first:?}");
        assert_eq!(dump(&mut sql), before, "statement {fails_in} failed");
        sql.connection().fails_in = 0;
        assert_eq!(sql.write(&write), Ok(()), "written again after statement {fails_in} failed");
    }
    assert!(failures >= 8, "{failures} statements failed");

    // One writer (law 5): a block can not be stored where one is already.
    let mut sql = SqlStore::new(Memory::new());
    sql.write(&write).expect("writes");
    let before = dump(&mut sql);
    write.blocks = vec![StoredBlock { first: 3, last: 9, body: "[]".into() }];
    write.rows[0].1[0].1 = Some(vec![9]);
    assert!(sql.write(&write).is_err(), "a second writer is refused");
    assert_eq!(dump(&mut sql), before, "and leaves nothing");
}

#[test]
fn a_row_that_was_changed_or_moved_is_corrupt_and_never_absent() {
    for damage in [
        "UPDATE rows SET value = x'00' || substr(value, 2)",
        "UPDATE rows SET value = substr(value, 1, 3)",
        "UPDATE rows SET value = x''",
        "UPDATE rows SET value = 'text'",
        "UPDATE rows SET key = x'0b'",
        "UPDATE rows SET generation = 2",
        "UPDATE rows SET view = 'b'",
    ] {
        let mut sql = SqlStore::new(Memory::new());
        let rows = vec![(view("a", 1), vec![(vec![10], Some(vec![1, 2, 3, 4, 5]))])];
        sql.write(&Write { rows, ..Write::default() }).expect("writes");
        sql.connection().damage(damage);
        for (name, generation, key) in [("a", 1, 10), ("a", 1, 11), ("a", 2, 10), ("b", 1, 10)] {
            let view = view(name, generation);
            let row = Query::Row(RowKey { view: view.clone(), key: vec![key] });
            let rows = Query::Rows { view, after_key: vec![], prefix: vec![], limit: 5 };
            for query in [row, rows] {
                match sql.read(std::slice::from_ref(&query)) {
                    Ok(answers) => {
                        let nothing =
                            [Answer::Row(None), Answer::Rows(vec![])].contains(&answers[0]);
                        assert!(nothing, "{damage}: {answers:?}");
                    }
                    Err(StoreError::CorruptRow { view, .. }) => {
                        assert!(["a", "b"].contains(&view.as_str()))
                    }
                    Err(other) => panic!("{damage}: {other}"),
                }
            }
        }
    }
}
