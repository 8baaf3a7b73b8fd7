//! The database of the Admin API's entities. A change is durable once [`Store::commit`] returns: neither a kill nor a loss of
//! power takes it back, or leaves half of it.
//!
//! The program works on its own copy of the entities; a store keeps them for the next start. Rows go through `encryption`
//! to a `Database`, which knows them as bytes; there is one, `sqlite`.

mod encryption;
mod error;
mod sqlite;

#[cfg(test)]
mod tests;

use std::path::Path;

use serde_json::{Map, Value};

pub use encryption::{EncryptionKey, KeyError};
pub use error::StoreError;

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

/// A row as a database knows it.
#[derive(Debug, PartialEq)]
struct Stored {
    kind: String,
    id: String,
    /// The entity as JSON, sealed if the store has a key.
    bytes: Vec<u8>,
}

/// Everything in a database.
#[derive(Debug)]
struct Everything {
    revision: u64,
    /// The id of the key of all rows; none if they are plain.
    key_id: Option<String>,
    /// Sorted by kind and id.
    rows: Vec<Stored>,
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

    /// Makes the changes, in order, and raises the revision. Returns it.
    fn commit(&mut self, writes: &[Write]) -> Result<u64, StoreError>;

    /// Replaces all rows and their key, and raises the revision. Returns it.
    fn replace(&mut self, rows: &[Stored], key_id: Option<&str>) -> Result<u64, StoreError>;

    /// Removes from the disk what deleted and replaced rows have left there.
    fn scrub(&mut self) -> Result<(), StoreError>;

    /// What to call it in errors.
    fn name(&self) -> String;
}

/// An open store, which no other process can open. Its functions wait for the disk: call them where waiting is allowed.
pub struct Store {
    database: Box<dyn Database>,
    key: Option<EncryptionKey>,
}

impl Store {
    /// Opens the store in the SQLite file at `path`, which is created with its folder if it is not there; only this user can
    /// read it. A store of an older format is converted. With `key`, all rows are encrypted, also those that were plain
    /// before. Returns what is in it, too.
    ///
    /// # Errors
    /// See [`StoreError`]. The file is then as it was before, but for a conversion.
    pub fn open(path: &Path, key: Option<EncryptionKey>) -> Result<(Self, Contents), StoreError> {
        Self::open_in(Box::new(sqlite::Sqlite::open(path)?), None, key)
    }

    /// As [`open`](Self::open), for a store with the key `old`, which `new` replaces; without `new`, the rows become plain.
    /// A store that has the key `new` already is opened as it is.
    ///
    /// # Errors
    /// As [`open`](Self::open).
    pub fn rotate(path: &Path, old: EncryptionKey, new: Option<EncryptionKey>) -> Result<(Self, Contents), StoreError> {
        Self::open_in(Box::new(sqlite::Sqlite::open(path)?), Some(old), new)
    }

    /// What the store at `path` holds at this moment. Another process may have it open, and nothing is changed.
    ///
    /// # Errors
    /// As [`open`](Self::open); or there is none, or it has an older format.
    pub fn read(path: &Path, key: Option<&EncryptionKey>) -> Result<Contents, StoreError> {
        let mut database = sqlite::Sqlite::open_to_read(path)?;
        let found = database.load()?;
        if !fits(&found, key) {
            return Err(wrong_key(&database.name(), found.key_id, key));
        }
        contents(found, key, &database.name())
    }

    fn open_in(
        database: Box<dyn Database>,
        old: Option<EncryptionKey>,
        key: Option<EncryptionKey>,
    ) -> Result<(Self, Contents), StoreError> {
        let mut store = Self { database, key };
        let name = store.database.name();
        let found = store.database.load()?;
        if fits(&found, store.key.as_ref()) {
            let contents = contents(found, store.key.as_ref(), &name)?;
            return Ok((store, contents));
        }
        let before = match &found.key_id {
            None => None,
            Some(id) => match old {
                Some(old) if old.id() == id => Some(old),
                _ => return Err(wrong_key(&name, found.key_id, store.key.as_ref())),
            },
        };
        let mut contents = contents(found, before.as_ref(), &name)?;
        contents.revision = store.replace(&contents.rows)?;
        store.database.scrub()?;
        Ok((store, contents))
    }

    /// Makes `changes`, in order, all or none. Returns the new revision, which every commit raises by one.
    ///
    /// # Errors
    /// The database cannot be written; then nothing is changed, and the store can still be used.
    pub fn commit(&mut self, changes: &[Change]) -> Result<u64, StoreError> {
        let writes = changes.iter().map(|change| match change {
            Change::Put { kind, id, entity } => Write::Put(stored(kind, id, entity, self.key.as_ref())),
            Change::Delete { kind, id } => Write::Delete { kind: kind.clone(), id: id.clone() },
        });
        let writes: Vec<Write> = writes.collect();
        self.database.commit(&writes)
    }

    /// Replaces everything by `rows`, all or nothing. Returns the new revision. Of two rows of one kind and id, the later
    /// counts.
    ///
    /// # Errors
    /// As [`commit`](Self::commit).
    pub fn replace(&mut self, rows: &[Row]) -> Result<u64, StoreError> {
        let rows: Vec<Stored> =
            rows.iter().map(|row| stored(&row.kind, &row.id, &row.entity, self.key.as_ref())).collect();
        self.database.replace(&rows, self.key.as_ref().map(EncryptionKey::id))
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("database", &self.database.name()).field("key", &self.key).finish()
    }
}

/// Whether `key` is the one of the rows.
fn fits(found: &Everything, key: Option<&EncryptionKey>) -> bool {
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
    let rows = found.rows.into_iter().map(|Stored { kind, id, bytes }| {
        let damaged =
            |why: &str| StoreError::Damaged { store: name.to_owned(), why: format!("the row {kind}/{id} {why}") };
        let json = match key {
            Some(key) => key.open(&kind, &id, bytes).ok_or_else(|| damaged("cannot be decrypted"))?,
            None => bytes,
        };
        let entity = serde_json::from_slice(&json).map_err(|_| damaged("is no JSON object"))?;
        Ok(Row { kind, id, entity })
    });
    Ok(Contents { revision: found.revision, rows: rows.collect::<Result<_, _>>()? })
}
