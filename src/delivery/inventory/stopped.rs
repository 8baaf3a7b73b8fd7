//! The queues of a data directory whose service is stopped.

use std::path::{Path, PathBuf};

use super::super::data_lock::{self, DataLock};
use super::super::dead_letters;
use super::super::store::{folders_in, has_segments, name_of};
use super::{InventoryError, Moved, Page, QueueInfo, QueueName, QueueState, Selection, Shown, info, messages, page};
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
    /// Another process uses the queues.
    pub fn claim(data_dir: &Path) -> Result<Self, InventoryError> {
        let lock = DataLock::new(data_dir);
        // Locking would create the directory.
        if data_dir.join(data_lock::QUEUES_FOLDER).is_dir() || data_dir.join(dead_letters::FOLDER).is_dir() {
            lock.acquire().map_err(InventoryError::Refused)?;
        }
        Ok(Self { data_dir: data_dir.to_owned(), _lock: lock })
    }

    fn path(&self, name: &QueueName) -> PathBuf {
        self.data_dir.join(if name.dead { dead_letters::FOLDER } else { data_lock::QUEUES_FOLDER }).join(&name.folder)
    }

    fn open(&self, name: &QueueName) -> Result<RecordStore, InventoryError> {
        if !name.is_valid() || !self.path(name).is_dir() {
            return Err(InventoryError::NotFound(format!("no queue `{name}`")));
        }
        Ok(RecordStore::open(&self.path(name))?.0)
    }

    /// All queues with messages, and all dead letters.
    ///
    /// # Errors
    /// The disk fails.
    pub fn list(&self) -> Result<Vec<QueueInfo>, InventoryError> {
        let mut all = Vec::new();
        for dead in [false, true] {
            let above = self.data_dir.join(if dead { dead_letters::FOLDER } else { data_lock::QUEUES_FOLDER });
            for folder in folders_in(&above).into_iter().filter(|folder| has_segments(folder)) {
                let Some(name) = name_of(&folder).map(|folder| QueueName { dead, folder }) else { continue };
                let state = if dead { QueueState::DeadLetters } else { QueueState::Stopped };
                let records = self.open(&name)?;
                if !records.is_empty() {
                    all.push(info(&name, &records, state));
                }
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
        let (mut into, _) = RecordStore::open(&self.path(&target))?;
        let moved =
            from.extract(&mut selection.decide(name.dead), &mut |taken| into.append(messages(taken, name.dead)))?;
        drop(into);
        finish(from, moved)
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

fn finish(records: RecordStore, messages: u64) -> Result<Moved, InventoryError> {
    let left = records.len();
    if records.is_empty() {
        records.close()?;
    }
    Ok(Moved { messages, left })
}
