//! The database of the entities that the Admin API changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};

use super::last::Last;
use crate::admin::{self, Contents, EncryptionKey, KnownDrafts, Row, Store, Tables};
use crate::entity::Validated;
use crate::settings::{DatabaseKind, Secret, Settings};

/// The database of a service that is about to start.
pub(super) struct Database {
    pub(super) store: Store,
    pub(super) tables: Tables,
    /// The entities as the log phase reads them.
    pub(super) drafts: KnownDrafts,
    /// What was made of them.
    pub(super) last: Last,
}

impl Database {
    /// Opens the database that `settings` name; `None` if it is off. `files` are the declarative files that are given.
    ///
    /// # Errors
    /// It cannot be opened or read, its key is wrong, or files are given, too.
    pub(super) fn open(settings: &Settings, files: &[PathBuf]) -> Result<Option<Self>, Box<Diagnostic>> {
        if settings.database == DatabaseKind::Off {
            return Ok(None);
        }
        if let Some(file) = files.first() {
            let message = format!("the entities are in a database, and {} is given too", file.display());
            let help = "leave the file away, or bring it into the database with `logphase config import`";
            return Err(refused(message, help));
        }
        let (store, contents) = open(settings)?;
        let (tables, drafts, last) = (admin::tables_of(contents.rows), KnownDrafts::default(), Last::default());
        Ok(Some(Self { store, tables, drafts, last }))
    }

    /// Its entities as the log phase reads them.
    pub(super) fn entities(&mut self) -> Validated {
        self.drafts.of(&self.tables)
    }
}

fn refused(message: String, help: &str) -> Box<Diagnostic> {
    let error = Diagnostic::error(codes::SETTING, message).path("database");
    Box::new(if help.is_empty() { error } else { error.help(help) })
}

/// The file of the database.
fn path(settings: &Settings) -> PathBuf {
    settings.data_dir.join("entities.db")
}

fn open(settings: &Settings) -> Result<(Store, Contents), Box<Diagnostic>> {
    let (path, key) = (path(settings), key(settings)?);
    let opened = match parsed(settings.database_old_key.as_ref(), "database_old_key")? {
        Some(old) => Store::rotate(&path, old, key),
        None => Store::open(&path, key),
    };
    opened.map_err(|error| refused(error.to_string(), ""))
}

fn key(settings: &Settings) -> Result<Option<EncryptionKey>, Box<Diagnostic>> {
    parsed(settings.database_key.as_ref(), "database_key")
}

fn parsed(key: Option<&Secret>, setting: &str) -> Result<Option<EncryptionKey>, Box<Diagnostic>> {
    let key = key.map(|key| EncryptionKey::parse(key.text())).transpose();
    key.map_err(|error| Box::new(Diagnostic::error(codes::SETTING, error.to_string()).path(setting)))
}

/// The entities in the database of `settings`, as a declarative file in YAML. A service may be running.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn export(settings: &Settings) -> Result<String, Box<Diagnostic>> {
    let path = path(settings);
    if !path.exists() {
        return Err(no_database(&path));
    }
    Ok(admin::exported(&tables(settings)?))
}

/// The entities in the database of `settings`; none if there is no database yet. A service may be running.
///
/// # Errors
/// It cannot be read.
pub(super) fn tables(settings: &Settings) -> Result<Tables, Box<Diagnostic>> {
    let path = path(settings);
    if !path.exists() {
        return Ok(Tables::new());
    }
    let contents = Store::read(&path, key(settings)?.as_ref()).map_err(|error| refused(error.to_string(), ""))?;
    Ok(admin::tables_of(contents.rows))
}

fn no_database(path: &Path) -> Box<Diagnostic> {
    let message = format!("there is no database {}", path.display());
    refused(message, "set `data_dir` (LOGPHASE_DATA_DIR) to that of the service")
}

/// Brings the entities of the declarative `sources`, which are valid, into the database of `settings`, in place of those that are in it
/// if `replace` is set. No service may be running. Returns how many there are.
///
/// # Errors
/// The database cannot be opened or written, or has entities already.
pub fn import(settings: &Settings, sources: &[Arc<SourceFile>], replace: bool) -> Result<usize, Box<Diagnostic>> {
    let (mut store, contents) = open(settings)?;
    if !contents.rows.is_empty() && !replace {
        let message = format!("the database has {} entities already", contents.rows.len());
        return Err(refused(message, "give --replace to replace them all"));
    }
    let rows: Vec<Row> = admin::rows_of(sources);
    store.replace(&rows).map_err(|error| refused(error.to_string(), ""))?;
    Ok(rows.len())
}
