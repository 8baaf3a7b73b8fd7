//! A store in an SQLite file, which the program brings along.

mod format;

use std::fs::{self, DirBuilder, File, OpenOptions, Permissions};
use std::io;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use logphase_queue::owner;
use rusqlite::{Connection, ErrorCode, OpenFlags, Transaction, TransactionBehavior, params};
use rustix::fs::{FlockOperation, flock};

#[cfg(test)]
pub(super) use format::VERSION;

use super::{Database, Everything, Head, StoreError, Stored, Write};

/// How long a statement waits for another process, which has the file open without our lock: a person with `sqlite3`, a
/// backup.
const PATIENCE: Duration = Duration::from_secs(5);

/// What is wrong with a file without SQLite's header.
const NO_SQLITE: &str = "it is no SQLite file";

/// An open file.
pub(super) struct Sqlite {
    pub(super) connection: Connection,
    path: PathBuf,
    /// Held if rows may be written. It is released after the connection is closed.
    _lock: Option<Lock>,
}

/// The locked file beside a store.
struct Lock(File);

impl Drop for Lock {
    fn drop(&mut self) {
        // A process that is being started has our files for a moment: closing ours would not release the lock. There is
        // nothing to be done about an error.
        let _ = flock(&self.0, FlockOperation::Unlock);
    }
}

impl Sqlite {
    /// Opens the file for this process alone; creates or converts it, if need be.
    pub(super) fn open(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path)?;
        let lock = prepare(&path)?;
        if is_too_short(&path).map_err(|error| io_error(&path, &error))? {
            return Err(Failure::Foreign(NO_SQLITE.to_owned()).into_store(&path));
        }
        let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| explain(&path, &error))?;
        let mut database = Self { connection, path, _lock: Some(lock) };
        database.prepare().map_err(|error| error.into_store(&database.path))?;
        Ok(database)
    }

    /// Opens the file beside the process that may write it.
    pub(super) fn open_to_read(path: &Path) -> Result<Self, StoreError> {
        let path = absolute(path)?;
        regular(&path).map_err(|error| io_error(&path, &error))?;
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(&path, flags).map_err(|error| explain(&path, &error))?;
        let database = Self { connection, path, _lock: None };
        let check = || {
            configure(&database.connection)?;
            format::check(&database.connection)
        };
        check().map_err(|error: Failure| error.into_store(&database.path))?;
        Ok(database)
    }

    fn prepare(&mut self) -> Result<(), Failure> {
        configure(&self.connection)?;
        // Before anything is changed: it may be the file of somebody else.
        format::recognize(&self.connection)?;
        close_to_others(&self.path).map_err(|error| Failure::Io(error.to_string()))?;
        let mode: String = self.connection.query_row("PRAGMA journal_mode = WAL", (), |row| row.get(0))?;
        if mode != "wal" {
            return Err(Failure::Io(
                "its file system does not have the locks and the shared memory that are needed".into(),
            ));
        }
        format::convert(&mut self.connection)?;
        let found: String = self.connection.query_row("PRAGMA quick_check(1)", (), |row| row.get(0))?;
        if found == "ok" { Ok(()) } else { Err(Failure::Damaged(found)) }
    }

    /// One transaction: what `work` writes, and the next revision, which is handed to it.
    fn transact(
        &mut self,
        work: impl FnOnce(&Transaction<'_>, u64) -> rusqlite::Result<()>,
    ) -> Result<u64, StoreError> {
        let run = || {
            let transaction = self.connection.transaction_with_behavior(TransactionBehavior::Immediate)?;
            let sql = "UPDATE store SET revision = revision + 1 RETURNING revision";
            let revision = transaction.query_row(sql, (), |row| row.get(0))?;
            work(&transaction, revision)?;
            transaction.commit()?;
            Ok(revision)
        };
        run().map_err(|error| explain(&self.path, &error))
    }
}

impl Database for Sqlite {
    fn load(&mut self) -> Result<Everything, StoreError> {
        let mut read = || {
            let transaction = self.connection.transaction()?;
            let sql = "SELECT revision, key FROM store";
            let head = transaction.query_row(sql, (), |row| Ok(Head { revision: row.get(0)?, key_id: row.get(1)? }))?;
            let mut select = transaction.prepare("SELECT kind, id, entity FROM entities ORDER BY kind, id")?;
            let rows =
                select.query_map((), |row| Ok(Stored { kind: row.get(0)?, id: row.get(1)?, bytes: row.get(2)? }))?;
            Ok(Everything { head, rows: rows.collect::<Result<_, _>>()? })
        };
        read().map_err(|error| explain(&self.path, &error))
    }

    // The lock keeps others from writing.
    fn commit(&mut self, _at: &Head, writes: &[Write]) -> Result<u64, StoreError> {
        self.transact(|transaction, revision| {
            let mut put = transaction.prepare(PUT)?;
            let mut delete = transaction.prepare("DELETE FROM entities WHERE kind = ?1 AND id = ?2")?;
            for write in writes {
                match write {
                    Write::Put(row) => put.execute(params![row.kind, row.id, row.bytes, revision])?,
                    Write::Delete { kind, id } => delete.execute([kind, id])?,
                };
            }
            Ok(())
        })
    }

    fn replace(&mut self, _at: &Head, rows: &[Stored], key_id: Option<&str>) -> Result<u64, StoreError> {
        self.transact(|transaction, revision| {
            transaction.execute("DELETE FROM entities", ())?;
            transaction.execute("UPDATE store SET key = ?1", [key_id])?;
            let mut put = transaction.prepare(PUT)?;
            rows.iter().try_for_each(|row| {
                put.execute(params![row.kind, row.id, row.bytes, revision])?;
                Ok(())
            })
        })
    }

    fn scrub(&mut self) -> Result<(), StoreError> {
        // A file that is written anew has nothing left over; the log has the old one until it is emptied.
        let run = || {
            self.connection.execute_batch("VACUUM")?;
            self.connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", (), |_| Ok(()))
        };
        run().map_err(|error| explain(&self.path, &error))
    }

    fn name(&self) -> String {
        self.path.display().to_string()
    }
}

const PUT: &str = "INSERT INTO entities (kind, id, entity, updated) VALUES (?1, ?2, ?3, ?4)
    ON CONFLICT (kind, id) DO UPDATE SET entity = excluded.entity, updated = excluded.updated";

/// What is the same for every connection.
fn configure(connection: &Connection) -> rusqlite::Result<()> {
    connection.busy_timeout(PATIENCE)?;
    // FULL syncs the log with each commit. Deleted rows are overwritten: they may have secrets. The schema of a file that
    // somebody prepared runs nothing. No file is made outside of the folder.
    connection.execute_batch(
        "PRAGMA synchronous = FULL;
         PRAGMA secure_delete = ON;
         PRAGMA trusted_schema = OFF;
         PRAGMA cell_size_check = ON;
         PRAGMA temp_store = MEMORY;",
    )
}

/// A path that SQLite does not take for a URL.
fn absolute(path: &Path) -> Result<PathBuf, StoreError> {
    std::path::absolute(path).map_err(|error| io_error(path, &error))
}

/// Makes the folder and the file, for this user alone, and locks the file beside it.
fn prepare(path: &Path) -> Result<Lock, StoreError> {
    let create = || {
        let folder = path.parent().filter(|folder| !folder.is_dir());
        if let Some(folder) = folder {
            DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
            owner::give(folder)?;
        }
        private(&beside(path, ".lock"))
    };
    let lock = create().map_err(|error| io_error(path, &error))?;
    flock(&lock, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
        rustix::io::Errno::WOULDBLOCK => StoreError::Locked { store: path.display().to_string() },
        error => io_error(path, &error.into()),
    })?;
    let lock = Lock(lock);
    private(path).map_err(|error| io_error(path, &error))?;
    Ok(lock)
}

/// Opens the regular file at `path`, which is created for this user alone if it is not there.
fn private(path: &Path) -> io::Result<File> {
    let is_new = !path.try_exists()?;
    if !is_new {
        regular(path)?;
    }
    let mut options = OpenOptions::new();
    // Without waiting, if somebody puts a pipe there.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let file =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(path)?;
    if is_new {
        owner::give(path)?;
        // The group of a folder has no right to secrets.
        file.set_permissions(Permissions::from_mode(0o600))?;
        File::open(path.parent().unwrap_or(Path::new("/")))?.sync_all()?;
    }
    Ok(file)
}

/// Takes the rights of others on an older file away. SQLite has given its other files the same rights.
fn close_to_others(path: &Path) -> io::Result<()> {
    for suffix in ["", "-wal", "-shm"] {
        let file = beside(path, suffix);
        match fs::metadata(&file) {
            Ok(found) if found.permissions().mode() & 0o077 != 0 => {
                fs::set_permissions(&file, Permissions::from_mode(0o600))?;
            }
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
    }
    Ok(())
}

/// The file whose name has `suffix` behind that of `path`.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// Whether there is something at `path` that is too short for a header. SQLite takes it for an empty file, which it is only
/// while a journal says so.
fn is_too_short(path: &Path) -> io::Result<bool> {
    const SHORTEST: u64 = 512;
    Ok((1..SHORTEST).contains(&fs::metadata(path)?.len()) && !beside(path, "-journal").try_exists()?)
}

fn regular(path: &Path) -> io::Result<()> {
    if fs::metadata(path)?.is_file() {
        return Ok(());
    }
    Err(io::Error::new(io::ErrorKind::InvalidInput, "it is no regular file"))
}

/// What is wrong with a file.
enum Failure {
    Sqlite(rusqlite::Error),
    Io(String),
    Foreign(String),
    Damaged(String),
    Newer(i64),
    Older(i64),
}

impl From<rusqlite::Error> for Failure {
    fn from(error: rusqlite::Error) -> Self {
        Self::Sqlite(error)
    }
}

impl Failure {
    fn into_store(self, path: &Path) -> StoreError {
        let store = path.display().to_string();
        let known = format::VERSION;
        match self {
            Self::Sqlite(error) => explain(path, &error),
            Self::Io(why) => StoreError::Io { store, why },
            Self::Foreign(why) => StoreError::Foreign { store, why },
            Self::Damaged(why) => StoreError::Damaged { store, why },
            Self::Newer(found) => StoreError::Newer { store, found, known },
            Self::Older(found) => StoreError::Older { store, found, known },
        }
    }
}

/// `error` of SQLite in our words.
fn explain(path: &Path, error: &rusqlite::Error) -> StoreError {
    let store = path.display().to_string();
    let why = error.to_string();
    match error.sqlite_error_code() {
        Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked) => StoreError::Locked { store },
        Some(ErrorCode::NotADatabase) => StoreError::Foreign { store, why: NO_SQLITE.to_owned() },
        Some(ErrorCode::DatabaseCorrupt) => StoreError::Damaged { store, why },
        Some(ErrorCode::DiskFull) => StoreError::Full { store },
        Some(ErrorCode::ReadOnly | ErrorCode::PermissionDenied | ErrorCode::CannotOpen) => {
            StoreError::ReadOnly { store, why }
        }
        Some(_) => StoreError::Io { store, why },
        // A value of another type than ours, a missing row: not what this program wrote.
        None => StoreError::Damaged { store, why },
    }
}

fn io_error(path: &Path, error: &io::Error) -> StoreError {
    let (store, why) = (path.display().to_string(), error.to_string());
    match error.kind() {
        io::ErrorKind::PermissionDenied | io::ErrorKind::ReadOnlyFilesystem => StoreError::ReadOnly { store, why },
        io::ErrorKind::NotFound => StoreError::Missing { store },
        io::ErrorKind::InvalidInput => StoreError::Foreign { store, why },
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Full { store },
        _ => StoreError::Io { store, why },
    }
}
