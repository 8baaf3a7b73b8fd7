//! The lock on the queues of a data directory: one process at a time may use them.

use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use logphase_queue::owner;
use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};

/// The folder of the queues in the data directory.
pub(super) const QUEUES_FOLDER: &str = "queues";
/// The lock file in it.
const LOCK_FILE: &str = "lock";

/// The lock on the queues of a data directory.
pub(super) struct DataLock {
    folder: PathBuf,
    /// The locked file, while the lock is held.
    file: Mutex<Option<fs::File>>,
}

impl DataLock {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(QUEUES_FOLDER), file: Mutex::default() }
    }

    /// Whether this process holds it.
    pub(super) fn is_held(&self) -> bool {
        self.file.lock().is_some()
    }

    /// Acquires the lock, unless it is held already.
    ///
    /// # Errors
    /// Another process holds the lock, or the directory cannot be created; with a remedy.
    pub(super) fn acquire(&self) -> Result<(), String> {
        let mut held = self.file.lock();
        if held.is_some() {
            return Ok(());
        }
        let path = self.folder.join(LOCK_FILE);
        let open = || {
            if !self.folder.is_dir() {
                fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
                owner::give(&self.folder)?;
            }
            let is_new = !path.exists();
            // Without waiting, if somebody put a pipe there.
            let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
            let mut options = fs::OpenOptions::new();
            let file = options
                .read(true)
                .write(true)
                .create(true)
                .truncate(false)
                .mode(0o600)
                .custom_flags(flags)
                .open(&path)?;
            if !file.metadata()?.is_file() {
                let text = format!("{} is not a regular file; remove it", path.display());
                return Err(std::io::Error::new(std::io::ErrorKind::InvalidInput, text));
            }
            if is_new {
                owner::give(&path)?;
            }
            Ok(file)
        };
        let file = open().map_err(|error: std::io::Error| {
            let folder = self.folder.display();
            format!("cannot create {folder} for the queues: {error}; make data_dir writable, or set LOGPHASE_DATA_DIR")
        })?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => format!(
                "the queues in {} are in use by another process: give each service a data_dir of its own \
                (LOGPHASE_DATA_DIR)",
                self.folder.display()
            ),
            error => format!("cannot lock {}: {error}", path.display()),
        })?;
        *held = Some(file);
        Ok(())
    }
}
