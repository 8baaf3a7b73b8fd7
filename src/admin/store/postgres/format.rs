//! The formats that the tables have had. A new one is a new step, with a fixture of the format before it in the tests.

use tokio_postgres::Client;

use super::session::Failure;

/// What makes each format of the one before it, from an empty schema on. The column `format` has the number.
const STEPS: [&str; 1] = [
    // `key` names the key of all rows, `updated` the revision that wrote the row. A deleted row has no entity until it is
    // removed; all that were deleted up to the revision `removed` are. `C` is the order of bytes.
    "CREATE TABLE logphase_store (
         id integer PRIMARY KEY CHECK (id = 1),
         format integer NOT NULL,
         revision bigint NOT NULL,
         removed bigint NOT NULL,
         key text
     );
     INSERT INTO logphase_store (id, format, revision, removed) VALUES (1, 1, 0, 0);
     CREATE TABLE logphase_entities (
         kind text COLLATE \"C\" NOT NULL,
         id text COLLATE \"C\" NOT NULL,
         entity bytea,
         updated bigint NOT NULL,
         PRIMARY KEY (kind, id)
     );
     CREATE INDEX logphase_entities_updated ON logphase_entities (updated);",
];

/// The format that this program writes.
pub(in crate::admin::store) const VERSION: i64 = STEPS.len() as i64;

/// The lock of the node that converts: `LgPh`.
const LOCK: i64 = 0x4c67_5068;

/// The format of the tables; 0 if there are none.
async fn recognize(client: &Client) -> Result<i64, Failure> {
    let found = client.query_typed_one("SELECT to_regclass('logphase_store') IS NOT NULL", &[]).await?;
    if !found.try_get::<_, bool>(0)? {
        return Ok(0);
    }
    let row = client.query_typed_one("SELECT format FROM logphase_store", &[]).await?;
    Ok(row.try_get::<_, i32>(0)?.into())
}

/// Refuses what is not of the format of this program.
pub(super) fn check(found: i64) -> Result<(), Failure> {
    match found {
        VERSION => Ok(()),
        found if found > VERSION => Err(Failure::Newer(found)),
        found => Err(Failure::Older(found)),
    }
}

/// Makes the format of this program of an older one, as a whole or not at all. Of several nodes, one does it, and the others wait.
pub(super) async fn convert(client: &Client) -> Result<(), Failure> {
    let found = recognize(client).await?;
    if found >= VERSION {
        return check(found);
    }
    client.batch_execute(&format!("SELECT pg_advisory_lock({LOCK})")).await?;
    // The transaction begins with the lock: one that waits for it would not see the tables of the node before.
    client.batch_execute("BEGIN").await?;
    let found = recognize(client).await?;
    if found > VERSION {
        return check(found);
    }
    for step in STEPS.iter().skip(usize::try_from(found).unwrap_or(0)) {
        client.batch_execute(step).await?;
    }
    client.batch_execute(&format!("UPDATE logphase_store SET format = {VERSION}; COMMIT")).await?;
    // After an error, the end of the connection takes the lock away.
    Ok(client.batch_execute(&format!("SELECT pg_advisory_unlock({LOCK})")).await?)
}
