//! Stores of every format that there has been.

use rusqlite::Connection;
use serde_json::json;

use super::super::sqlite::VERSION;
use super::{Contents, Store, StoreError, key, put, reopened, row};

/// What a store of each format has in it, as the program of its time wrote it; all hold the same two rows.
const FIXTURES: [&str; 2] = [
    r#"PRAGMA application_id = 0x4c675068;
       CREATE TABLE entities (
           kind TEXT NOT NULL, id TEXT NOT NULL, entity BLOB NOT NULL, PRIMARY KEY (kind, id)
       ) STRICT, WITHOUT ROWID;
       INSERT INTO entities VALUES ('routes', 'r', CAST('{"paths":["/"]}' AS BLOB)), ('services', 's', CAST('{}' AS BLOB));
       PRAGMA user_version = 1;"#,
    r#"PRAGMA application_id = 0x4c675068;
       CREATE TABLE entities (
           kind TEXT NOT NULL, id TEXT NOT NULL, entity BLOB NOT NULL, updated INTEGER NOT NULL DEFAULT 0,
           PRIMARY KEY (kind, id)
       ) STRICT, WITHOUT ROWID;
       CREATE TABLE store (only INTEGER PRIMARY KEY CHECK (only = 1), revision INTEGER NOT NULL, key TEXT) STRICT;
       INSERT INTO store VALUES (1, 0, NULL);
       INSERT INTO entities VALUES
           ('routes', 'r', CAST('{"paths":["/"]}' AS BLOB), 0), ('services', 's', CAST('{}' AS BLOB), 0);
       PRAGMA user_version = 2;"#,
];

/// The columns of all tables.
fn columns(connection: &Connection) -> Vec<String> {
    let sql = "SELECT t.name || '.' || c.name || ' ' || c.type || c.\"notnull\" || c.pk
               FROM pragma_table_list AS t, pragma_table_info(t.name) AS c WHERE t.name NOT LIKE 'sqlite%' ORDER BY 1";
    let mut select = connection.prepare(sql).expect("SQL");
    let columns = select.query_map((), |row| row.get(0)).expect("rows");
    columns.collect::<Result<_, _>>().expect("texts")
}

/// Scenario: a store of each format, opened, changed and reopened; also with a key. Guarantees: the rows are there, the
/// format is then that of a new store, and every format has a fixture.
#[test]
fn every_format_is_converted() {
    assert_eq!(FIXTURES.len(), usize::try_from(VERSION).expect("few"), "a fixture for each format");
    let folder = tempfile::tempdir().expect("a folder");
    let fresh = folder.path().join("fresh.db");
    drop(Store::open(&fresh, None).expect("a new store"));
    let rows = vec![row("routes", "r", json!({"paths": ["/"]})), row("services", "s", json!({}))];
    for (at, fixture) in (1_i64..).zip(FIXTURES) {
        for has_key in [false, true] {
            let path = folder.path().join(format!("{at}-{has_key}.db"));
            Connection::open(&path).expect("a file").execute_batch(fixture).expect("runs");
            if at < VERSION {
                let error = Store::read(&path, None).expect_err("old").to_string();
                assert!(
                    error.contains(&format!("has format {at}, and this version of Logphase reads {VERSION}")),
                    "{error}"
                );
            }
            let (mut store, found) = Store::open(&path, has_key.then(|| key(1))).expect("converted");
            assert_eq!(found.rows, rows, "format {at}");
            let revision = store.commit(&[put("services", "s", json!({"x": 1}))]).expect("room");
            drop(store);
            let connection = Connection::open(&path).expect("a file");
            assert_eq!(columns(&connection), columns(&Connection::open(&fresh).expect("a file")));
            let updated = connection.query_row("SELECT updated FROM entities WHERE id = 's'", (), |row| row.get(0));
            assert_eq!(updated, Ok(revision));
            drop(connection);
            let found = Store::open(&path, has_key.then(|| key(1))).expect("sound").1;
            let rows = vec![rows[0].clone(), row("services", "s", json!({"x": 1}))];
            assert_eq!(found, Contents { revision, rows });
        }
    }
}

/// Scenario: a store of a later format; one whose conversion fails half way. Guarantees: the first is refused, with both
/// numbers; both stay as they are.
#[test]
fn what_cannot_be_converted_stays() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("admin.db");
    drop(Store::open(&path, None).expect("a new store"));
    let newer = VERSION + 1;
    let set = |sql: &str| Connection::open(&path).expect("a file").execute_batch(sql).expect("runs");
    set(&format!("PRAGMA user_version = {newer}"));
    let before = std::fs::read(&path).expect("readable");
    let error = Store::open(&path, None).expect_err("newer").to_string();
    let text =
        format!("has format {newer}, and this version of Logphase knows formats up to {VERSION}: run the version");
    assert!(error.contains(&text), "{error}");
    assert!(matches!(Store::read(&path, None), Err(StoreError::Newer { .. })));
    assert_eq!(std::fs::read(&path).expect("readable"), before);
    set(&format!("PRAGMA user_version = {VERSION}"));
    reopened(&path);
    std::fs::remove_file(&path).expect("a file");
    // A column that the second step adds is there already.
    set(&FIXTURES[0]
        .replace("entity BLOB NOT NULL,", "entity BLOB NOT NULL, updated INTEGER,")
        .replace("INSERT INTO entities VALUES", "INSERT INTO entities (kind, id, entity) VALUES"));
    Store::open(&path, None).expect_err("the step fails");
    let connection = Connection::open(&path).expect("a file");
    let left: (i64, i64, i64) = connection
        .query_row(
            "SELECT user_version, (SELECT count(*) FROM entities), (SELECT count(*) FROM sqlite_schema WHERE name = 'store')
             FROM pragma_user_version",
            (),
            |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)),
        )
        .expect("readable");
    assert_eq!(left, (1, 2, 0));
}
