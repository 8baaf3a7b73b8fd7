//! The queues of a data directory whose service is stopped.

use std::io;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::super::data_lock::{self, DataLock};
use super::super::dead_letters;
use super::super::store::{folders_in, has_files, log_damage, name_of};
use super::{
    InventoryError, Moved, Page, QueueInfo, QueueName, QueueState, Salvage, Selection, Shown, info, messages, page,
    salvage,
};
use logphase_queue::RecordStore;

/// The locked queues of a data directory. No service can open them while this value exists.
pub struct StoppedQueues {
    data_dir: PathBuf,
    _lock: DataLock,
}

impl StoppedQueues {
    /// Locks the queues of `data_dir`.
    ///
    /// # Errors
    /// There are no queues, or another process uses them.
    pub fn claim(data_dir: &Path) -> Result<Self, InventoryError> {
        let lock = DataLock::new(data_dir);
        let folders = [data_lock::QUEUES_FOLDER, dead_letters::FOLDER];
        // Locking would create the directory.
        if !folders.iter().any(|folder| data_dir.join(folder).is_dir()) {
            let what = if data_dir.is_dir() { "has no queues" } else { "does not exist" };
            return Err(InventoryError::NotFound(format!(
                "no service runs with the data directory {}, and it {what}; pass the settings of the service with \
                 --settings, or set LOGPHASE_DATA_DIR",
                data_dir.display()
            )));
        }
        lock.acquire().map_err(InventoryError::Refused)?;
        Ok(Self { data_dir: data_dir.to_owned(), _lock: lock })
    }

    /// The data directory.
    pub fn data_dir(&self) -> &Path {
        &self.data_dir
    }

    fn path(&self, name: &QueueName) -> PathBuf {
        self.data_dir.join(if name.dead { dead_letters::FOLDER } else { data_lock::QUEUES_FOLDER }).join(&name.folder)
    }

    fn open(&self, name: &QueueName) -> Result<RecordStore, InventoryError> {
        if !name.is_valid() || !self.path(name).is_dir() {
            return Err(InventoryError::NotFound(format!("no queue `{name}`")));
        }
        self.open_folder(name)
    }

    /// Opens a queue that may not exist yet.
    fn open_folder(&self, name: &QueueName) -> Result<RecordStore, InventoryError> {
        let folder = self.path(name);
        let (records, recovered) = RecordStore::open(&folder).map_err(|error| explain(error, &folder))?;
        log_damage(&name.to_string(), &folder, &recovered);
        Ok(records)
    }

    /// All queues with messages, and all dead letters.
    ///
    /// # Errors
    /// The disk fails.
    pub fn list(&self) -> Result<Vec<QueueInfo>, InventoryError> {
        let mut all = Vec::new();
        for dead in [false, true] {
            let above = self.data_dir.join(if dead { dead_letters::FOLDER } else { data_lock::QUEUES_FOLDER });
            for folder in folders_in(&above).into_iter().filter(|folder| has_files(folder)) {
                let Some(name) = name_of(&folder).map(|folder| QueueName { dead, folder }) else { continue };
                let state = if dead { QueueState::DeadLetters } else { QueueState::Stopped };
                let info = info(&name, &self.open(&name)?, state);
                all.extend(Some(info).filter(QueueInfo::has_something));
            }
        }
        Ok(all)
    }

    /// Reads messages of a queue.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub fn show(&self, name: &QueueName, wanted: Page) -> Result<Vec<Shown>, InventoryError> {
        Ok(page(&mut self.open(name)?, wanted, name.dead)?)
    }

    /// Replays messages: appends them to the queue of their plugin, or to the queue in the folder `to`, for the next run.
    ///
    /// # Errors
    /// There is no such queue or target, or the disk fails. After a disk error, some messages may be in both queues.
    pub fn replay(&self, name: &QueueName, selection: &Selection, to: Option<&str>) -> Result<Moved, InventoryError> {
        let target = match to {
            Some(folder) => QueueName { dead: false, folder: folder.to_owned() },
            None if name.dead => QueueName { dead: false, folder: name.folder.clone() },
            None => {
                let help =
                    "is a queue itself: it is delivered when its plugin is configured again; or name another with --to";
                return Err(InventoryError::Refused(format!("{name} {help}")));
            }
        };
        if !target.is_valid() || target.plugin() == target.folder {
            let message =
                format!("`{}` is not the name of a queue; give KIND-ID, as in `logphase queue list`", target.folder);
            return Err(InventoryError::NotFound(message));
        }
        if target == *name {
            return Err(InventoryError::Refused(format!("{name} cannot be replayed into itself")));
        }
        let mut from = self.open(name)?;
        // Opened before anything is moved: the files may belong to another user.
        let mut into = self.open_folder(&target)?;
        let moved =
            from.extract(&mut selection.decide(name.dead), &mut |taken| into.append(messages(taken, name.dead)))?;
        drop(into);
        finish(from, moved)
    }

    /// Puts what is intact in files that were set aside back into their queue.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub fn salvage(&self, name: &QueueName) -> Result<Vec<Salvage>, InventoryError> {
        let mut into = self.open(name)?;
        Ok(salvage::put_back(&self.path(name), &mut |messages| into.append(messages))?)
    }

    /// Drops messages.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub fn drop_messages(&self, name: &QueueName, selection: &Selection) -> Result<Moved, InventoryError> {
        let mut records = self.open(name)?;
        let moved = records.extract(&mut selection.decide(name.dead), &mut |_| Ok(()))?;
        finish(records, moved)
    }
}

/// Explains why files cannot be used: those of another user.
fn explain(error: io::Error, folder: &Path) -> InventoryError {
    if error.kind() != io::ErrorKind::PermissionDenied {
        return error.into();
    }
    let owner = folder.metadata().map_or_else(|_| "its owner".to_owned(), |found| format!("user id {}", found.uid()));
    InventoryError::Refused(format!(
        "{error}; nothing was changed: run the command as {owner}, the user of the service, or as root"
    ))
}

fn finish(records: RecordStore, messages: u64) -> Result<Moved, InventoryError> {
    let left = records.len();
    if records.is_empty() {
        records.close()?;
    }
    Ok(Moved { messages, left })
}
