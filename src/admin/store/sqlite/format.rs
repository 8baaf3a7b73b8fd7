//! The formats that the file has had. A new one is a new step, with a fixture of the format before it in the tests.

use rusqlite::{Connection, TransactionBehavior};

use super::Failure;

/// Says that a file is ours: `LgPh`, in SQLite's `application_id`.
const APPLICATION: i64 = 0x4c67_5068;

/// What makes each format of the one before it, from an empty file on. SQLite keeps the number of the format as
/// `user_version`.
const STEPS: [&str; 2] = [
    "PRAGMA application_id = 0x4c675068;
     CREATE TABLE entities (
         kind TEXT NOT NULL,
         id TEXT NOT NULL,
         entity BLOB NOT NULL,
         PRIMARY KEY (kind, id)
     ) STRICT, WITHOUT ROWID;",
    // `key` names the key of all rows, `updated` the revision that wrote the row.
    "CREATE TABLE store (
         only INTEGER PRIMARY KEY CHECK (only = 1),
         revision INTEGER NOT NULL,
         key TEXT
     ) STRICT;
     INSERT INTO store (only, revision) VALUES (1, 0);
     ALTER TABLE entities ADD COLUMN updated INTEGER NOT NULL DEFAULT 0;",
];

/// The format that this program writes.
pub(in crate::admin::store) const VERSION: i64 = STEPS.len() as i64;

/// The format of a file that is empty (0), or ours.
pub(super) fn recognize(connection: &Connection) -> Result<i64, Failure> {
    let number = |sql: &str| connection.query_row(sql, (), |row| row.get::<_, i64>(0));
    let application = number("PRAGMA application_id")?;
    let version = number("PRAGMA user_version")?;
    match (application, version) {
        (APPLICATION, version) if version > VERSION => Err(Failure::Newer(version)),
        (APPLICATION, version) if version > 0 => Ok(version),
        (0, 0) if number("SELECT count(*) FROM sqlite_schema")? == 0 => Ok(0),
        _ => Err(Failure::Foreign("it is the SQLite file of another program".to_owned())),
    }
}

/// Refuses what is not of the format of this program.
pub(super) fn check(connection: &Connection) -> Result<(), Failure> {
    match recognize(connection)? {
        VERSION => Ok(()),
        found => Err(Failure::Older(found)),
    }
}

/// Makes the format of this program of an older one, as a whole or not at all.
pub(super) fn convert(connection: &mut Connection) -> Result<(), Failure> {
    let transaction = connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
    let found = recognize(&transaction)?;
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        transaction.execute_batch(step)?;
    }
    if found < VERSION {
        transaction.pragma_update(None, "user_version", VERSION)?;
    }
    Ok(transaction.commit()?)
}
