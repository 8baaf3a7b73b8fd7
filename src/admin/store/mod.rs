//! The database of the Admin API's entities. A change is durable once [`Store::commit`] returns: neither a kill nor a loss of
//! power takes it back, or leaves half of it.
//!
//! The program works on its own copy of the entities; a store keeps them for the next start. Rows go through `encryption`
//! to a `Database`, which knows them as bytes: `sqlite`, or `postgres`, which other nodes may change, too.

mod encryption;
mod error;
mod postgres;
mod sqlite;

#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

pub use encryption::{EncryptionKey, KeyError};
pub use error::StoreError;
pub(crate) use postgres::Watch;

use crate::options::postgres::PostgresUrl;

/// Where a store is.
#[derive(Debug, Clone)]
pub(crate) enum Location {
    /// In this file of SQLite.
    File(PathBuf),
    /// In a database of PostgreSQL.
    Server(Box<PostgresUrl>),
}

impl<P: AsRef<Path>> From<P> for Location {
    fn from(path: P) -> Self {
        Self::File(path.as_ref().to_owned())
    }
}

/// An entity in a store.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// What it is, like `services`.
    pub kind: String,
    /// Its primary key, unique among its kind.
    pub id: String,
    /// The entity.
    pub entity: Map<String, Value>,
}

/// A change of one entity.
#[derive(Debug, Clone, PartialEq)]
#[expect(missing_docs, reason = "as those of `Row`")]
pub enum Change {
    /// Creates or replaces it.
    Put { kind: String, id: String, entity: Map<String, Value> },
    /// Deletes it, if it is there.
    Delete { kind: String, id: String },
}

/// What a store holds.
#[derive(Debug, Clone, PartialEq)]
pub struct Contents {
    /// The count of commits so far.
    pub revision: u64,
    /// The rows, sorted by kind and id.
    pub rows: Vec<Row>,
}

/// What other nodes have changed in a store.
#[derive(Debug, PartialEq)]
pub enum News {
    /// These changes, each entity at most once.
    Changes(Vec<Change>),
    /// All that is in it now.
    Everything(Vec<Row>),
}

/// A row as a database knows it.
#[derive(Debug, PartialEq)]
struct Stored {
    kind: String,
    id: String,
    /// The entity as JSON, sealed if the store has a key.
    bytes: Vec<u8>,
}

/// What state a database is in.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Head {
    /// The count of commits so far.
    revision: u64,
    /// The id of the key of all rows; none if they are plain.
    key_id: Option<String>,
}

/// Everything in a database.
#[derive(Debug)]
struct Everything {
    head: Head,
    /// Sorted by kind and id.
    rows: Vec<Stored>,
}

/// What has changed in a database.
enum Changed {
    /// These rows, up to this revision. The key is the same.
    Rows(u64, Vec<Write>),
    Everything(Everything),
}

/// A change as a database knows it.
enum Write {
    Put(Stored),
    Delete { kind: String, id: String },
}

/// A database. Each call is one transaction, which is durable and as a whole, or not at all.
trait Database: Send {
    /// Everything, as of one moment.
    fn load(&mut self) -> Result<Everything, StoreError>;

    /// Makes the changes, in order, and raises the revision. Returns it. If others can write, it fails with
    /// [`StoreError::Outdated`] unless the database is `at` this state.
    fn commit(&mut self, at: &Head, writes: &[Write]) -> Result<u64, StoreError>;

    /// Replaces all rows and their key, and raises the revision. Returns it. Fails as [`Self::commit`].
    fn replace(&mut self, at: &Head, rows: &[Stored], key_id: Option<&str>) -> Result<u64, StoreError>;

    /// What others have changed since it was in the state `since`. With `hold`, others cannot write until the next
    /// [`Self::commit`] or [`Self::release`].
    fn changed(&mut self, _since: &Head, _hold: bool) -> Result<Option<Changed>, StoreError> {
        Ok(None)
    }

    /// Lets others write again.
    fn release(&mut self) {}

    /// What learns of the changes that others make, if they can.
    fn watch(&self) -> Option<Watch> {
        None
    }

    /// Removes from the disk what deleted and replaced rows have left there.
    fn scrub(&mut self) -> Result<(), StoreError>;

    /// What to call it in errors.
    fn name(&self) -> String;
}

/// An open store. No other process can open one in a file; other nodes can change one in PostgreSQL. Its functions wait for the
/// disk or the server: call them where waiting is allowed.
pub struct Store {
    database: Box<dyn Database>,
    key: Option<EncryptionKey>,
    /// Of the content that this process knows.
    head: Head,
}

impl Store {
    /// Opens the store at `location`. A file is created with its folder if it is not there; only this user can read it. A store
    /// of an older format is converted. With `key`, all rows are encrypted, also those that were plain before. Returns what is
    /// in it, too.
    ///
    /// # Errors
    /// See [`StoreError`]. The store is then as it was before, but for a conversion.
    pub(crate) fn open(
        location: impl Into<Location>,
        key: Option<EncryptionKey>,
    ) -> Result<(Self, Contents), StoreError> {
        Self::open_in(database(location.into())?, None, key)
    }

    /// As [`open`](Self::open), for a store with the key `old`, which `new` replaces; without `new`, the rows become plain.
    /// A store that has the key `new` already is opened as it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub(crate) fn rotate(
        location: impl Into<Location>,
        old: EncryptionKey,
        new: Option<EncryptionKey>,
    ) -> Result<(Self, Contents), StoreError> {
        Self::open_in(database(location.into())?, Some(old), new)
    }

    /// A store in the database at `url`, which is away. What this process knows has the revision `revision`.
    pub(crate) fn away(url: &PostgresUrl, key: Option<EncryptionKey>, revision: u64) -> Self {
        let head = Head { revision, key_id: key.as_ref().map(|key| key.id().to_owned()) };
        Self { database: Box::new(postgres::Postgres::new(url)), key, head }
    }

    /// What the store at `location` holds at this moment. Another process may have it open, and nothing is changed.
    ///
    /// # Errors
    /// As [`open`](Self::open); or there is none, or it has an older format.
    pub(crate) fn read(location: impl Into<Location>, key: Option<&EncryptionKey>) -> Result<Contents, StoreError> {
        let mut database: Box<dyn Database> = match location.into() {
            Location::File(path) => Box::new(sqlite::Sqlite::open_to_read(&path)?),
            Location::Server(url) => Box::new(postgres::Postgres::new(&url)),
        };
        let found = database.load()?;
        if !fits(&found.head, key) {
            return Err(wrong_key(&database.name(), found.head.key_id, key));
        }
        contents(found, key, &database.name())
    }

    fn open_in(
        database: Box<dyn Database>,
        old: Option<EncryptionKey>,
        key: Option<EncryptionKey>,
    ) -> Result<(Self, Contents), StoreError> {
        let mut store = Self { database, key, head: Head::default() };
        let name = store.database.name();
        loop {
            let found = store.database.load()?;
            store.head = found.head.clone();
            if fits(&found.head, store.key.as_ref()) {
                let contents = contents(found, store.key.as_ref(), &name)?;
                return Ok((store, contents));
            }
            let before = match &found.head.key_id {
                None => None,
                Some(id) => match &old {
                    Some(old) if old.id() == id => Some(old),
                    _ => return Err(wrong_key(&name, found.head.key_id, store.key.as_ref())),
                },
            };
            let mut contents = contents(found, before, &name)?;
            contents.revision = match store.replace(&contents.rows) {
                // Another node has changed the rows, or has replaced the key already.
                Err(StoreError::Outdated { .. }) => continue,
                replaced => replaced?,
            };
            store.database.scrub()?;
            return Ok((store, contents));
        }
    }

    /// The revision of what this process knows of the content.
    pub(crate) fn revision(&self) -> u64 {
        self.head.revision
    }

    /// What learns of the changes of other nodes, if there can be any.
    pub(crate) fn watch(&self) -> Option<Watch> {
        self.database.watch()
    }

    /// What other nodes have changed, if they have; from then on, this process knows it. With `hold`, none of them can change
    /// anything until the next [`commit`](Self::commit) or [`release`](Self::release).
    ///
    /// # Errors
    /// The store is away, or cannot be read.
    pub(crate) fn news(&mut self, hold: bool) -> Result<Option<News>, StoreError> {
        let name = self.database.name();
        match self.database.changed(&self.head, hold)? {
            None => Ok(None),
            Some(Changed::Rows(revision, writes)) => {
                let change = |write| match write {
                    Write::Put(stored) => opened(stored, self.key.as_ref(), &name)
                        .map(|Row { kind, id, entity }| Change::Put { kind, id, entity }),
                    Write::Delete { kind, id } => Ok(Change::Delete { kind, id }),
                };
                let changes = writes.into_iter().map(change).collect::<Result<_, _>>()?;
                self.head.revision = revision;
                Ok(Some(News::Changes(changes)))
            }
            Some(Changed::Everything(found)) => {
                if !fits(&found.head, self.key.as_ref()) {
                    return Err(wrong_key(&name, found.head.key_id, self.key.as_ref()));
                }
                let head = found.head.clone();
                let rows = contents(found, self.key.as_ref(), &name)?.rows;
                self.head = head;
                Ok(Some(News::Everything(rows)))
            }
        }
    }

    /// Lets other nodes change the store again, after [`news`](Self::news).
    pub(crate) fn release(&mut self) {
        self.database.release();
    }

    /// Makes `changes`, in order, all or none. Returns the new revision, which every commit raises by one.
    ///
    /// # Errors
    /// The database cannot be written, or another node has changed it since ([`StoreError::Outdated`]); then nothing is changed,
    /// and the store can still be used. If the connection breaks at the last moment, the changes may have been made:
    /// `news` tells.
    pub fn commit(&mut self, changes: &[Change]) -> Result<u64, StoreError> {
        let writes = changes.iter().map(|change| match change {
            Change::Put { kind, id, entity } => Write::Put(stored(kind, id, entity, self.key.as_ref())),
            Change::Delete { kind, id } => Write::Delete { kind: kind.clone(), id: id.clone() },
        });
        let writes: Vec<Write> = writes.collect();
        self.head.revision = self.database.commit(&self.head, &writes)?;
        Ok(self.head.revision)
    }

    /// Replaces everything by `rows`, all or nothing. Returns the new revision. Of two rows of one kind and id, the later
    /// counts.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn replace(&mut self, rows: &[Row]) -> Result<u64, StoreError> {
        let rows: Vec<Stored> =
            rows.iter().map(|row| stored(&row.kind, &row.id, &row.entity, self.key.as_ref())).collect();
        let key_id = self.key.as_ref().map(EncryptionKey::id);
        let revision = self.database.replace(&self.head, &rows, key_id)?;
        self.head = Head { revision, key_id: key_id.map(str::to_owned) };
        Ok(revision)
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.database.name()).field("key", &self.key).finish()
    }
}

/// Opens the database at `location` for writing; creates or converts it, if need be.
fn database(location: Location) -> Result<Box<dyn Database>, StoreError> {
    Ok(match location {
        Location::File(path) => Box::new(sqlite::Sqlite::open(&path)?),
        Location::Server(url) => Box::new(postgres::Postgres::open(&url)?),
    })
}

/// Whether `key` is the one of the rows.
fn fits(found: &Head, key: Option<&EncryptionKey>) -> bool {
    found.key_id.as_deref() == key.map(EncryptionKey::id)
}

fn wrong_key(name: &str, found: Option<String>, key: Option<&EncryptionKey>) -> StoreError {
    let store = name.to_owned();
    match (found, key) {
        (Some(stored), Some(key)) => StoreError::WrongKey { store, stored, given: key.id().to_owned() },
        (Some(stored), None) => StoreError::MissingKey { store, stored },
        (None, _) => StoreError::PlainStore { store },
    }
}

fn stored(kind: &str, id: &str, entity: &Map<String, Value>, key: Option<&EncryptionKey>) -> Stored {
    let json = serde_json::to_vec(entity).expect("the keys of a JSON object are strings");
    let bytes = match key {
        Some(key) => key.seal(kind, id, json),
        None => json,
    };
    Stored { kind: kind.to_owned(), id: id.to_owned(), bytes }
}

fn contents(found: Everything, key: Option<&EncryptionKey>, name: &str) -> Result<Contents, StoreError> {
    let rows = found.rows.into_iter().map(|stored| opened(stored, key, name));
    Ok(Contents { revision: found.head.revision, rows: rows.collect::<Result<_, _>>()? })
}

fn opened(stored: Stored, key: Option<&EncryptionKey>, name: &str) -> Result<Row, StoreError> {
    let Stored { kind, id, bytes } = stored;
    let damaged = |why: &str| StoreError::Damaged { store: name.to_owned(), why: format!("the row {kind}/{id} {why}") };
    let json = match key {
        Some(key) => key.open(&kind, &id, bytes).ok_or_else(|| damaged("cannot be decrypted"))?,
        None => bytes,
    };
    let entity = serde_json::from_slice(&json).map_err(|_| damaged("is no JSON object"))?;
    Ok(Row { kind, id, entity })
}
