//! The contract of a store, run over the store in memory and the SQLite store: the same writes,
//! then the same answers to the same queries.

use foldlog_core::chain::{self, StoredBlock};
use foldlog_core::driver::{
    Importing, MemoryStore, Progress, SqlError, SqlStore, SqlValue, Sqlite, Store, StoreError,
    Write,
};
use foldlog_core::limits::PAGE_BYTES_MAX;
use foldlog_core::protocol::{Answer, Query, RowKey, View};
use rusqlite::types::{ToSqlOutput, Value, ValueRef};
use rusqlite::{Connection, ToSql, params_from_iter};

use super::kit::{Random, seed};

/// SQLite in memory; fails the statement that the script names.
pub struct Memory {
    connection: Connection,
    /// Statements until one fails; 0 never.
    fails_in: u64,
    /// As a damaged page does.
    corrupt: bool,
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
        }
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

pub fn view(name: &str, generation: u32) -> View {
    View { name: name.into(), generation }
}

pub fn line(position: u64, filling: usize) -> String {
    let zeros = chain::HASH_HOLE;
    format!("{{\"position\":{position},\"x\":\"{}\",\"hash\":\"{zeros}\"}}", "x".repeat(filling))
}

/// Random blocks of commits of one to four events; returns the first position of each commit.
fn random_log(random: &mut Random, both: &mut Both, commits: u64, filling: usize) -> Vec<u64> {
    both.write(&Write { blocks: chain::pack([(0, 0, line(0, 1))]), ..Write::default() });
    let (mut position, mut firsts) = (1, Vec::new());
    let mut left = commits;
    while left > 0 {
        let batch: Vec<_> = (0..(random.below(30) + 1).min(left))
            .map(|_| {
                let (first, events) = (position, random.below(4) + 1);
                position += events;
                firsts.push(first);
                (first, position - 1, line(first, random.below(filling as u64) as usize))
            })
            .collect();
        left -= batch.len() as u64;
        both.write(&Write { blocks: chain::pack(batch), ..Write::default() });
    }
    firsts
}

pub fn positions(answer: &Answer) -> Vec<u64> {
    let Answer::Commits(lines) = answer else { panic!("commits were asked for: {answer:?}") };
    // An empty line is the one before.
    let mut before = 0;
    let mut at = |line: &String| chain::position(line).inspect(|at| before = *at).unwrap_or(before);
    lines.iter().map(&mut at).collect()
}

#[test]
fn commits_are_found_by_position_and_in_both_directions() {
    let mut random = Random::new(seed(15));
    let mut both = Both::new();
    let firsts = random_log(&mut random, &mut both, 700, 900);
    both.same_tail();
    let head = firsts.last().copied().expect("commits") + 5;
    for _ in 0..400 {
        let after = random.below(head + 2);
        let limit = [0, 1, 2, 30, 1_000][random.below(5) as usize];
        for descending in [false, true] {
            let found = both.read(&Query::CommitsAfter { after, limit, descending });
            let mut expected: Vec<u64> = firsts
                .iter()
                .copied()
                .filter(|f| if descending { *f < after } else { *f > after })
                .collect();
            if descending {
                expected.reverse();
            }
            expected.truncate(limit as usize);
            assert_eq!(positions(&found), expected, "after {after}, {limit}, {descending}");
        }
        let asked: Vec<u64> = (0..random.below(6)).map(|_| random.below(firsts[690]) + 1).collect();
        let expected: Vec<u64> =
            asked.iter().map(|p| firsts[firsts.partition_point(|first| first <= p) - 1]).collect();
        let found = both.read(&Query::Commits { positions: asked.clone() });
        assert_eq!(positions(&found), expected, "{asked:?}");
    }
    let beyond = [Query::Commits { positions: vec![1, head + 1] }];
    let missing = |result| matches!(result, Err(StoreError::CorruptLog { position, .. }) if position == head + 1);
    assert!(missing(both.memory.read(&beyond)) && missing(both.sql.read(&beyond)));
}

#[test]
fn a_page_of_commits_ends_at_a_megabyte_after_at_least_one() {
    let mut sql = SqlStore::new(Memory::new());
    let commits = (1..=30_u64).map(|p| (p, p, line(p, 300_000)));
    sql.write(&Write { blocks: chain::pack(commits), ..Write::default() }).expect("writes");
    let big = (31..=32_u64).map(|p| (p, p, line(p, 1_700_000)));
    sql.write(&Write { blocks: chain::pack(big), ..Write::default() }).expect("writes");
    for descending in [false, true] {
        let mut after = if descending { 33 } else { 0 };
        let mut seen = 0;
        loop {
            let query = Query::CommitsAfter { after, limit: 1_000, descending };
            let page = sql.read(&[query]).expect("reads").remove(0);
            let Answer::Commits(lines) = &page else { panic!("commits") };
            let Some(last) = lines.last() else { break };
            let bytes: usize = lines.iter().map(String::len).sum();
            assert!(bytes - last.len() < PAGE_BYTES_MAX, "{bytes} bytes in a page");
            assert!(lines.len() <= 4, "{} lines", lines.len());
            seen += lines.len();
            after = chain::position(last).expect("a line");
        }
        assert_eq!(seen, 32);
    }
}

#[test]
fn rows_are_found_by_key_and_by_prefix() {
    let mut random = Random::new(seed(16));
    let mut both = Both::new();
    let bytes = [0, 1, 97, 98, 254, 255];
    let key = move |random: &mut Random| -> Vec<u8> {
        (0..random.below(4)).map(|_| bytes[random.below(6) as usize]).collect()
    };
    for round in 0..40 {
        let mut write = Write::default();
        if round % 9 == 8 {
            write.dropped.push(view("a", 2));
        }
        for view in [view("a", 1), view("a", 2), view("b", 1)] {
            let mut changes: Vec<_> = (0..random.below(12))
                .map(|n| {
                    let value =
                        (random.below(4) > 0).then(|| vec![n as u8; random.below(5) as usize]);
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
        for _ in 0..60 {
            let view = view(["a", "b", "c"][random.below(3) as usize], random.below(2) as u32 + 1);
            both.read(&Query::Row(RowKey { view: view.clone(), key: key(&mut random) }));
            let mut prefix = key(&mut random);
            // A prefix of nothing but 255s does not occur: see `prefix_end`.
            if prefix.iter().all(|byte| *byte == u8::MAX) {
                prefix.clear();
            }
            let limit = [1, 2, 5, 1_000][random.below(4) as usize];
            both.read(&Query::Rows { view, after_key: key(&mut random), prefix, limit });
        }
    }
    assert_eq!(both.memory.erase_rows(), Ok(()));
    assert_eq!(both.sql.erase_rows(), Ok(()));
    both.same_tail();
    let all = Query::Rows { view: view("a", 1), after_key: vec![], prefix: vec![], limit: 9 };
    assert_eq!(both.read(&all), Answer::Rows(Vec::new()));
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

#[test]
fn an_empty_store_answers() {
    let mut both = Both::new();
    both.same_tail();
    for descending in [false, true] {
        both.read(&Query::CommitsAfter { after: 0, limit: 5, descending });
    }
    both.read(&Query::Row(RowKey { view: view("a", 1), key: vec![1] }));
    both.read(&Query::Rows { view: view("a", 1), after_key: vec![], prefix: vec![], limit: 1 });
    assert_eq!(both.sql.erase_rows(), Ok(()));
    both.same_tail();
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
        sql.connection().connection.execute_batch(damage).expect("damages");
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
