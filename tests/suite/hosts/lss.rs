//! The file as any SQL tool sees it: the view `lss` with the columns of document 000.

use foldlog_tests::hosts::{Kind, Setup};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

const COLUMNS: [&str; 6] =
    ["lss_order_id", "lss_partition_id", "lss_type", "lss_data", "lss_metadata", "first_position"];

fn text(value: ValueRef<'_>) -> String {
    match value {
        ValueRef::Integer(n) => n.to_string(),
        ValueRef::Text(bytes) => String::from_utf8_lossy(bytes).into_owned(),
        other => panic!("a column of type {}", other.data_type()),
    }
}

fn one_row_per_event(kind: Kind) {
    let mut host = Setup::stamped(kind).start();
    let open = r#"{"accountId":"acc-1","initialBalance":9007199254740991}"#;
    assert_eq!(host.post("/commands/open-account", open).status, 201);
    let draw = r#"{"accountId":"acc-1","amount":9007199254740990}"#;
    assert_eq!(host.post("/commands/withdraw", draw).status, 200);
    for _ in 0..20 {
        assert_eq!(
            host.post("/commands/deposit", r#"{"accountId":"acc-1","amount":7}"#).status,
            200
        );
    }
    let events = host.get("/events/stream").json();
    // Opened beside the running host, as a person would.
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
    let file = host.sqlite();
    let database = Connection::open_with_flags(&file, flags).unwrap_or_else(|e| panic!("{e}"));
    let select = "SELECT * FROM lss ORDER BY lss_order_id";
    let mut statement = database.prepare(select).unwrap_or_else(|e| panic!("{kind:?}: {e}"));
    let columns: Vec<String> = statement.column_names().map(ToString::to_string).collect();
    assert_eq!(columns, COLUMNS, "{kind:?}");
    let rows = statement.query_map((), |row| {
        (0..COLUMNS.len()).map(|i| row.get_ref(i).map(text)).collect::<Result<Vec<_>, _>>()
    });
    let rows: Result<Vec<_>, _> = rows.and_then(Iterator::collect);
    let rows = rows.unwrap_or_else(|e| panic!("{kind:?}: {e}"));
    let events = events.as_array().cloned().unwrap_or_default();
    assert_eq!((rows.len(), events.len()), (22, 22), "{kind:?}: one row per event");
    for (row, event) in rows.iter().zip(&events) {
        let json = |text: &str| {
            serde_json::from_str::<Value>(text).unwrap_or_else(|e| panic!("{text}: {e}"))
        };
        let position = event["metadata"]["position"].to_string();
        assert_eq!(row[0], position, "{kind:?}: {row:?}");
        assert_eq!(row[1], "main", "{kind:?}: {row:?}");
        assert_eq!(Value::from(row[2].as_str()), event["eventType"], "{kind:?}: {row:?}");
        assert_eq!(json(&row[3]), event["data"], "{kind:?}: {row:?}");
        let metadata = json(&row[4]);
        assert_eq!(metadata["time"], event["metadata"]["timestamp"], "{kind:?}: {row:?}");
        assert_eq!(metadata["stream"], "BankAccount:acc-1", "{kind:?}: {row:?}");
        assert_eq!(row[5], position, "{kind:?}: one event per commit here: {row:?}");
    }
    assert_eq!(rows[0][3], r#"{"initialBalance":9007199254740991}"#, "{kind:?}: number tokens");
}

#[test]
fn lss_of_natives_file() {
    one_row_per_event(Kind::Native);
}

#[test]
fn lss_of_the_durable_objects_file() {
    one_row_per_event(Kind::Worker);
}
