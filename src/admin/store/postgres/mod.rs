//! A store in a database of PostgreSQL, which several nodes share.
//!
//! All that a commit changes has its revision, and a deleted row stays for a while without content, so that a node reads only what
//! has changed since the revision that it knows. The row of `logphase_store` is locked by each commit: one commit follows the
//! other, and a reader that sees a revision sees all that led to it.

mod error;
mod format;
mod session;
mod tls;
mod watch;

use std::collections::BTreeMap;

use tokio_postgres::types::{ToSql, Type};
use tokio_postgres::{Client, Row};

#[cfg(test)]
pub(super) use format::VERSION;
pub(crate) use watch::Watch;

use self::session::{Failure, Session};
use super::{Changed, Database, Everything, Head, StoreError, Stored, Write};
use crate::options::postgres::PostgresUrl;

/// What nodes listen to.
const CHANNEL: &str = "logphase";

/// How many revisions a deleted row stays for nodes that know an older one; such a node reads everything.
const KEPT: u64 = 1024;

/// How many revisions go by until rows that were deleted long ago are removed.
const BETWEEN_REMOVALS: u64 = 256;

/// A database, connected to when it is needed.
pub(super) struct Postgres {
    url: PostgresUrl,
    session: Option<Session>,
    /// Whether a transaction is open in which others cannot write.
    is_holding: bool,
    /// Whether everything is read next: between two connections, somebody may have restored a copy of the database.
    is_new: bool,
}

/// Rows to write, by kind and id; those without content are deleted.
type Rows<'a> = BTreeMap<(&'a str, &'a str), Option<&'a [u8]>>;

/// The row of the store.
struct State {
    head: Head,
    /// Deleted rows are missing up to this revision.
    removed: u64,
}

impl Postgres {
    /// The database at `url`, without a connection.
    pub(super) fn new(url: &PostgresUrl) -> Self {
        Self { url: url.clone(), session: None, is_holding: false, is_new: true }
    }

    /// Connects to the database, and creates or converts its tables, if need be.
    pub(super) fn open(url: &PostgresUrl) -> Result<Self, StoreError> {
        let mut database = Self::new(url);
        database.begin("SELECT 1")?;
        database.run(async |client| format::convert(client).await)?;
        Ok(database)
    }

    /// Runs `begin`, on a new connection if the one that there is does not work. In a transaction that holds others off, there is nothing
    /// to begin.
    fn begin(&mut self, begin: &str) -> Result<(), StoreError> {
        if self.is_holding {
            return Ok(());
        }
        let begun = |session: &Session| session.run(async { Ok(session.client().batch_execute(begin).await?) });
        if self.session.as_ref().is_some_and(|session| begun(session).is_ok()) {
            return Ok(());
        }
        self.session = None;
        self.is_new = true;
        let session = Session::open(&self.url, begin).map_err(|failure| failure.into_store(&self.url))?;
        self.session = Some(session);
        Ok(())
    }

    /// Runs `work` on the connection. An error closes it, which takes a transaction back.
    fn run<T>(&mut self, work: impl AsyncFnOnce(&Client) -> Result<T, Failure>) -> Result<T, StoreError> {
        let session = self.session.as_ref().expect("the work has begun");
        let done = session.run(work(session.client()));
        if done.is_err() {
            self.session = None;
            self.is_holding = false;
        }
        done.map_err(|failure| failure.into_store(&self.url))
    }

    /// One transaction, if the database is `at` this state: what `work` writes with the next revision. Returns that.
    fn write(
        &mut self,
        at: &Head,
        work: impl AsyncFnOnce(&Client, u64) -> Result<(), Failure>,
    ) -> Result<u64, StoreError> {
        self.begin("BEGIN")?;
        let written = self.run(async |client| {
            if locked_state(client).await?.head != *at {
                client.batch_execute("ROLLBACK").await?;
                return Ok(None);
            }
            let revision = at.revision + 1;
            work(client, revision).await?;
            remove_old(client, revision).await?;
            let end = format!("UPDATE logphase_store SET revision = {revision}; NOTIFY {CHANNEL}; COMMIT");
            client.batch_execute(&end).await?;
            Ok(Some(revision))
        });
        self.is_holding = false;
        written?.ok_or_else(|| StoreError::Outdated { store: self.name() })
    }
}

impl Database for Postgres {
    fn load(&mut self) -> Result<Everything, StoreError> {
        self.begin(SNAPSHOT)?;
        let loaded = self.run(async |client| {
            let head = state(client).await?.head;
            let found = everything(client, head).await?;
            client.batch_execute("COMMIT").await?;
            Ok(found)
        })?;
        self.is_new = false;
        Ok(loaded)
    }

    fn commit(&mut self, at: &Head, writes: &[Write]) -> Result<u64, StoreError> {
        // Of two changes of a row, the later counts.
        let mut rows = Rows::new();
        for write in writes {
            match write {
                Write::Put(row) => rows.insert((&row.kind, &row.id), Some(&row.bytes)),
                Write::Delete { kind, id } => rows.insert((kind, id), None),
            };
        }
        self.write(at, async |client, revision| put(client, &rows, revision).await)
    }

    fn replace(&mut self, at: &Head, rows: &[Stored], key_id: Option<&str>) -> Result<u64, StoreError> {
        let rows: Rows<'_> = rows.iter().map(|row| ((&*row.kind, &*row.id), Some(&*row.bytes))).collect();
        self.write(at, async |client, revision| {
            client.batch_execute("DELETE FROM logphase_entities").await?;
            let sql = "UPDATE logphase_store SET key = $1, removed = $2";
            client.execute_typed(sql, &[(&key_id, Type::TEXT), (&number(revision), Type::INT8)]).await?;
            put(client, &rows, revision).await
        })
    }

    fn changed(&mut self, since: &Head, hold: bool) -> Result<Option<Changed>, StoreError> {
        self.begin(if hold { "BEGIN" } else { SNAPSHOT })?;
        let reads_all = self.is_new;
        let found = self.run(async |client| {
            let State { head, removed } = if hold { locked_state(client).await? } else { state(client).await? };
            let found = if reads_all
                || head.key_id != since.key_id
                || head.revision < since.revision
                || head.revision > since.revision && removed > since.revision
            {
                Some(Changed::Everything(everything(client, head).await?))
            } else if head.revision > since.revision {
                Some(Changed::Rows(head.revision, rows_since(client, since.revision).await?))
            } else {
                None
            };
            if !hold {
                client.batch_execute("COMMIT").await?;
            }
            Ok(found)
        })?;
        self.is_holding = hold;
        self.is_new = false;
        Ok(found)
    }

    fn release(&mut self) {
        if self.is_holding {
            let _ = self.run(async |client| Ok(client.batch_execute("ROLLBACK").await?));
            self.is_holding = false;
        }
    }

    fn watch(&self) -> Option<Watch> {
        Some(Watch::new(&self.url))
    }

    fn scrub(&mut self) -> Result<(), StoreError> {
        // Writes the table anew: the files of the old one have what was deleted.
        self.begin("SELECT 1")?;
        self.run(async |client| Ok(client.batch_execute("VACUUM FULL logphase_entities").await?))
    }

    fn name(&self) -> String {
        self.url.to_string()
    }
}

/// All reads of the transaction are as of one moment.
const SNAPSHOT: &str = "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY";

const STATE: &str = "SELECT format, revision, removed, key FROM logphase_store";

/// The state of the database, whose format has to be that of this program.
async fn state(client: &Client) -> Result<State, Failure> {
    read_state(&client.query_typed_one(STATE, &[]).await?)
}

/// As [`state`]; nobody else can write until the transaction ends.
async fn locked_state(client: &Client) -> Result<State, Failure> {
    read_state(&client.query_typed_one(&format!("{STATE} FOR UPDATE"), &[]).await?)
}

fn read_state(row: &Row) -> Result<State, Failure> {
    format::check(row.try_get::<_, i32>(0)?.into())?;
    let head = Head { revision: unsigned(row.try_get(1)?), key_id: row.try_get(3)? };
    Ok(State { head, removed: unsigned(row.try_get(2)?) })
}

async fn everything(client: &Client, head: Head) -> Result<Everything, Failure> {
    let sql = "SELECT kind, id, entity FROM logphase_entities WHERE entity IS NOT NULL ORDER BY kind, id";
    let rows = client.query_typed(sql, &[]).await?;
    let row = |row: Row| Ok(Stored { kind: row.try_get(0)?, id: row.try_get(1)?, bytes: row.try_get(2)? });
    Ok(Everything { head, rows: rows.into_iter().map(row).collect::<Result<_, tokio_postgres::Error>>()? })
}

async fn rows_since(client: &Client, revision: u64) -> Result<Vec<Write>, Failure> {
    let sql = "SELECT kind, id, entity FROM logphase_entities WHERE updated > $1";
    let rows = client.query_typed(sql, &[(&number(revision), Type::INT8)]).await?;
    let write = |row: Row| -> Result<Write, tokio_postgres::Error> {
        let (kind, id) = (row.try_get(0)?, row.try_get(1)?);
        Ok(match row.try_get(2)? {
            Some(bytes) => Write::Put(Stored { kind, id, bytes }),
            None => Write::Delete { kind, id },
        })
    };
    Ok(rows.into_iter().map(write).collect::<Result<_, _>>()?)
}

/// Writes `rows`.
async fn put(client: &Client, rows: &Rows<'_>, revision: u64) -> Result<(), Failure> {
    let kinds: Vec<&str> = rows.keys().map(|(kind, _)| *kind).collect();
    let ids: Vec<&str> = rows.keys().map(|(_, id)| *id).collect();
    let entities: Vec<Option<&[u8]>> = rows.values().copied().collect();
    let sql = "INSERT INTO logphase_entities (kind, id, entity, updated)
        SELECT kind, id, entity, $4 FROM unnest($1, $2, $3) AS row (kind, id, entity)
        ON CONFLICT (kind, id) DO UPDATE SET entity = excluded.entity, updated = excluded.updated";
    let revision = number(revision);
    let values: [(&(dyn ToSql + Sync), Type); 4] =
        [(&kinds, Type::TEXT_ARRAY), (&ids, Type::TEXT_ARRAY), (&entities, Type::BYTEA_ARRAY), (&revision, Type::INT8)];
    client.execute_typed(sql, &values).await?;
    Ok(())
}

/// Removes rows that were deleted long before `revision`, from time to time.
async fn remove_old(client: &Client, revision: u64) -> Result<(), Failure> {
    let Some(old) = revision.checked_sub(KEPT).filter(|_| revision.is_multiple_of(BETWEEN_REMOVALS)) else {
        return Ok(());
    };
    let sql = format!(
        "DELETE FROM logphase_entities WHERE entity IS NULL AND updated <= {old};
         UPDATE logphase_store SET removed = greatest(removed, {old})"
    );
    Ok(client.batch_execute(&sql).await?)
}

/// A revision as PostgreSQL has it.
fn number(revision: u64) -> i64 {
    i64::try_from(revision).unwrap_or(i64::MAX)
}

fn unsigned(number: i64) -> u64 {
    u64::try_from(number).unwrap_or_default()
}
