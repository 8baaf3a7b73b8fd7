//! The database of the entities that the Admin API changes.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use logphase_config::diagnostic::{Diagnostic, SourceFile, codes};

use super::last::Last;
use crate::admin::{self, Contents, Copy, EncryptionKey, KnownDrafts, Location, Row, Store, StoreError, Tables, Watch};
use crate::api::SharedDatabase;
use crate::entity::Validated;
use crate::options::postgres::PostgresUrl;
use crate::settings::{DatabaseKind, Secret, Settings};

/// The database of a service that is about to start.
pub(super) struct Database {
    pub(super) store: Store,
    pub(super) tables: Tables,
    /// The entities as the log phase reads them.
    pub(super) drafts: KnownDrafts,
    /// What was made of them.
    pub(super) last: Last,
    pub(super) shared: Option<Shared>,
}

/// What belongs to a database that other nodes change, too.
pub(super) struct Shared {
    pub(super) state: Arc<SharedDatabase>,
    pub(super) watch: Watch,
    pub(super) copy: Copy,
    /// What the log is told at the start: the database is away.
    pub(super) warning: Option<String>,
}

impl Database {
    /// Opens the database that `settings` name; `None` if it is off. `files` are the declarative files that are given. If a
    /// database of several nodes is away, its last good copy is opened.
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
        let keys = Keys::of(settings)?;
        match location(settings)? {
            Location::Server(url) => Self::open_shared(settings, *url, keys).map(Some),
            file => {
                let (store, contents) = keys.open(file).map_err(store_refused)?;
                Ok(Some(Self::of(store, admin::tables_of(contents.rows), None)))
            }
        }
    }

    fn open_shared(settings: &Settings, url: PostgresUrl, keys: Keys) -> Result<Self, Box<Diagnostic>> {
        let path = settings.data_dir.join("entities-copy.db");
        let copy = Copy::new(path.clone(), keys.key.clone(), url.to_string());
        let state = Arc::new(SharedDatabase::default());
        let (store, tables, warning) = match keys.open(Location::Server(Box::new(url.clone()))) {
            Ok((store, contents)) => {
                state.activated(contents.revision);
                state.is_back();
                (store, admin::tables_of(contents.rows), None)
            }
            Err(away @ StoreError::Away { .. }) => {
                let copied = copy.load(keys.old).map_err(|error| no_copy(&away, &error.to_string()))?;
                let missing = || no_copy(&away, &format!("{} is no copy of it", path.display()));
                let (revision, tables) = copied.ok_or_else(missing)?;
                state.activated(revision);
                state.is_away(away.to_string());
                let warning = format!(
                    "{away}; this node starts with its last good copy of it, {}: revision {revision}. Writes to the Admin API are \
                     refused until the database is back",
                    path.display()
                );
                (Store::away(&url, keys.key, revision), tables, Some(warning))
            }
            Err(error) => return Err(store_refused(error)),
        };
        let watch = store.watch().expect("a database on a server is watched");
        Ok(Self::of(store, tables, Some(Shared { state, watch, copy, warning })))
    }

    fn of(store: Store, tables: Tables, shared: Option<Shared>) -> Self {
        Self { store, tables, drafts: KnownDrafts::default(), last: Last::default(), shared }
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

fn store_refused(error: StoreError) -> Box<Diagnostic> {
    refused(error.to_string(), "")
}

/// The database is away, and there is nothing else to start with.
fn no_copy(away: &StoreError, why: &str) -> Box<Diagnostic> {
    let help = "check that PostgreSQL runs, and that database_url is right; a node that was started once has a copy in data_dir";
    refused(format!("{away}; nor is there a copy to start with: {why}"), help)
}

/// Where the database is.
fn location(settings: &Settings) -> Result<Location, Box<Diagnostic>> {
    if settings.database != DatabaseKind::Postgres {
        return Ok(Location::File(settings.data_dir.join("entities.db")));
    }
    let url = settings.database_url.as_ref().map(Secret::text).unwrap_or_default();
    let url = PostgresUrl::parse(url);
    let wrong = |error: crate::options::postgres::UrlError| refused(error.to_string(), "set database_url");
    Ok(Location::Server(Box::new(url.map_err(wrong)?)))
}

/// The keys of a database: the one that it has, and the one that it may have had.
struct Keys {
    key: Option<EncryptionKey>,
    old: Option<EncryptionKey>,
}

impl Keys {
    fn of(settings: &Settings) -> Result<Self, Box<Diagnostic>> {
        let parsed = |key: Option<&Secret>, setting: &str| {
            let key = key.map(|key| EncryptionKey::parse(key.text())).transpose();
            key.map_err(|error| Box::new(Diagnostic::error(codes::SETTING, error.to_string()).path(setting)))
        };
        let key = parsed(settings.database_key.as_ref(), "database_key")?;
        Ok(Self { key, old: parsed(settings.database_old_key.as_ref(), "database_old_key")? })
    }

    fn open(&self, location: Location) -> Result<(Store, Contents), StoreError> {
        match self.old.clone() {
            Some(old) => Store::rotate(location, old, self.key.clone()),
            None => Store::open(location, self.key.clone()),
        }
    }
}

/// The entities in the database of `settings`, as a declarative file in YAML. A service may be running.
///
/// # Errors
/// There is no database, or it cannot be read.
pub fn export(settings: &Settings) -> Result<String, Box<Diagnostic>> {
    let location = location(settings)?;
    if let Location::File(path) = &location
        && !path.exists()
    {
        return Err(no_database(path));
    }
    Ok(admin::exported(&tables(settings)?))
}

/// The entities in the database of `settings`; none if it is a file that is not there yet. A service may be running.
///
/// # Errors
/// It cannot be read.
pub(super) fn tables(settings: &Settings) -> Result<Tables, Box<Diagnostic>> {
    let location = location(settings)?;
    if matches!(&location, Location::File(path) if !path.exists()) {
        return Ok(Tables::new());
    }
    let contents = Store::read(location, Keys::of(settings)?.key.as_ref()).map_err(store_refused)?;
    Ok(admin::tables_of(contents.rows))
}

fn no_database(path: &Path) -> Box<Diagnostic> {
    let message = format!("there is no database {}", path.display());
    refused(message, "set `data_dir` (LOGPHASE_DATA_DIR) to that of the service")
}

/// Brings the entities of the declarative `sources`, which are valid, into the database of `settings`, in place of those that are in it
/// if `replace` is set. No service may be running on a file; those that share a database take the entities over. Returns how many
/// there are.
///
/// # Errors
/// The database cannot be opened or written, or has entities already.
pub fn import(settings: &Settings, sources: &[Arc<SourceFile>], replace: bool) -> Result<usize, Box<Diagnostic>> {
    let (location, keys) = (location(settings)?, Keys::of(settings)?);
    let rows: Vec<Row> = admin::rows_of(sources);
    loop {
        let (mut store, contents) = keys.open(location.clone()).map_err(store_refused)?;
        if !contents.rows.is_empty() && !replace {
            let message = format!("the database has {} entities already", contents.rows.len());
            return Err(refused(message, "give --replace to replace them all"));
        }
        match store.replace(&rows) {
            // A node has written in between.
            Err(StoreError::Outdated { .. }) => {}
            replaced => return replaced.map(|_| rows.len()).map_err(store_refused),
        }
    }
}
