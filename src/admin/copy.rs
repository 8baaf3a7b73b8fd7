//! The last good copy of a shared database: what a node starts with while the database is away.

use std::fs;
use std::io;
use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::follow::differences;
use super::state::{rows, tables_of};
use super::store::{Change, Contents, EncryptionKey, Row, Store, StoreError};
use super::tables::Tables;

/// The row that says what the copy is of; no kind of entity has this name.
const OF: &str = "copy_of";

/// A copy, in a store of its own in a file.
pub(crate) struct Copy {
    path: PathBuf,
    key: Option<EncryptionKey>,
    /// The name of the database.
    of: String,
    saved: Option<Saved>,
}

/// What is in the file.
struct Saved {
    store: Store,
    revision: Option<u64>,
    tables: Tables,
}

impl Copy {
    /// A copy in the file `path` of the database that is called `of`, encrypted with `key`.
    pub(crate) fn new(path: PathBuf, key: Option<EncryptionKey>, of: String) -> Self {
        Self { path, key, of, saved: None }
    }

    /// The revision and the entities of the copy, if there is one of this database. `old` is the key that it may still have.
    ///
    /// # Errors
    /// It cannot be read.
    pub(crate) fn load(&self, old: Option<EncryptionKey>) -> Result<Option<(u64, Tables)>, StoreError> {
        if !self.path.exists() {
            return Ok(None);
        }
        let (_, Contents { rows, .. }) = match old {
            Some(old) => Store::rotate(&self.path, old, self.key.clone())?,
            None => Store::open(&self.path, self.key.clone())?,
        };
        Ok(revision(&rows, &self.of).map(|revision| (revision, tables_of(rows))))
    }

    /// Writes `tables`, which have the revision `revision`, to the file, as a whole or not at all.
    ///
    /// # Errors
    /// It cannot be written.
    pub(crate) fn save(&mut self, revision: u64, tables: Tables) -> Result<(), StoreError> {
        let saved = match self.saved.take() {
            Some(saved) => self.saved.insert(saved),
            None => {
                let opened = self.open()?;
                self.saved.insert(opened)
            }
        };
        if saved.revision == Some(revision) {
            return Ok(());
        }
        let mut changes = rows(&differences(&saved.tables, &tables));
        let of = Map::from_iter([("database".to_owned(), json!(self.of)), ("revision".to_owned(), json!(revision))]);
        changes.push(Change::Put { kind: OF.to_owned(), id: OF.to_owned(), entity: of });
        saved.store.commit(&changes)?;
        (saved.revision, saved.tables) = (Some(revision), tables);
        Ok(())
    }

    /// Opens the file. One that cannot be read any more, since it has another key or is damaged, is replaced.
    fn open(&self) -> Result<Saved, StoreError> {
        let opened = match Store::open(&self.path, self.key.clone()) {
            Err(
                StoreError::WrongKey { .. }
                | StoreError::MissingKey { .. }
                | StoreError::Damaged { .. }
                | StoreError::Foreign { .. },
            ) => {
                self.remove().map_err(|error| StoreError::Io {
                    store: self.path.display().to_string(),
                    why: error.to_string(),
                })?;
                Store::open(&self.path, self.key.clone())
            }
            opened => opened,
        };
        let (store, Contents { rows, .. }) = opened?;
        Ok(Saved { store, revision: revision(&rows, &self.of), tables: tables_of(rows) })
    }

    fn remove(&self) -> io::Result<()> {
        for suffix in ["", "-wal", "-shm"] {
            let mut file = self.path.clone().into_os_string();
            file.push(suffix);
            match fs::remove_file(file) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}

/// The revision that `rows` are a copy of, if they are one of the database `of`.
fn revision(rows: &[Row], of: &str) -> Option<u64> {
    let row = rows.iter().find(|row| row.kind == OF)?;
    let is_of = row.entity.get("database").and_then(Value::as_str) == Some(of);
    row.entity.get("revision").and_then(Value::as_u64).filter(|_| is_of)
}
