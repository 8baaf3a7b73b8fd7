//! The queues of a data directory whose service does not run.

use std::path::{Path, PathBuf};

use super::super::dead;
use super::super::store::{self, Claim, folders_in, has_segments, name_of};
use super::{InventoryError, Moved, Page, QueueInfo, QueueName, QueueState, Selection, Shown, info, messages, page};
use logphase_queue::Archive;

/// The queues of a data directory, which no service can open while this lives.
pub struct StoppedQueues {
    data_dir: PathBuf,
    _claim: Claim,
}

impl StoppedQueues {
    /// Takes the queues of `data_dir` into its hands.
    ///
    /// # Errors
    /// Another process has them.
    pub fn claim(data_dir: &Path) -> Result<Self, InventoryError> {
        let claim = Claim::new(data_dir);
        // Looking leaves no trace where there is nothing.
        if data_dir.join(store::FOLDER).is_dir() || data_dir.join(dead::FOLDER).is_dir() {
            claim.take().map_err(InventoryError::Refused)?;
        }
        Ok(Self { data_dir: data_dir.to_owned(), _claim: claim })
    }

    fn path(&self, name: &QueueName) -> PathBuf {
        self.data_dir.join(if name.dead { dead::FOLDER } else { store::FOLDER }).join(&name.folder)
    }

    fn open(&self, name: &QueueName) -> Result<Archive, InventoryError> {
        if !name.is_sound() || !self.path(name).is_dir() {
            return Err(InventoryError::NotFound(format!("no queue `{name}`")));
        }
        Ok(Archive::open(&self.path(name))?.0)
    }

    /// All queues that hold something, and all dead letters.
    ///
    /// # Errors
    /// The disk's.
    pub fn list(&self) -> Result<Vec<QueueInfo>, InventoryError> {
        let mut all = Vec::new();
        for dead in [false, true] {
            let above = self.data_dir.join(if dead { dead::FOLDER } else { store::FOLDER });
            for folder in folders_in(&above).into_iter().filter(|folder| has_segments(folder)) {
                let Some(name) = name_of(&folder).map(|folder| QueueName { dead, folder }) else { continue };
                let state = if dead { QueueState::DeadLetters } else { QueueState::Stopped };
                let archive = self.open(&name)?;
                if !archive.is_empty() {
                    all.push(info(&name, &archive, state));
                }
            }
        }
        Ok(all)
    }

    /// Messages of a queue.
    ///
    /// # Errors
    /// There is none of this name, or the disk fails.
    pub fn show(&self, name: &QueueName, wanted: Page) -> Result<Vec<Shown>, InventoryError> {
        Ok(page(&mut self.open(name)?, wanted, name.dead)?)
    }

    /// Moves messages to the end of a plugin's queue, from which its next run delivers them: that of the plugin whose
    /// dead letters they are, or the one in the folder `to`.
    ///
    /// # Errors
    /// There is no such queue, or no target; or the disk fails: then some may be in both.
    pub fn replay(&self, name: &QueueName, chosen: &Selection, to: Option<&str>) -> Result<Moved, InventoryError> {
        let target = match to {
            Some(folder) => QueueName { dead: false, folder: folder.to_owned() },
            None if name.dead => QueueName { dead: false, folder: name.folder.clone() },
            None => {
                let help =
                    "is a queue itself: it is delivered when its plugin is there again; or name another with --to";
                return Err(InventoryError::Refused(format!("{name} {help}")));
            }
        };
        if !target.is_sound() || target.plugin() == target.folder {
            let message =
                format!("`{}` is no name of a queue; give KIND-ID, as `logphase queue list` does", target.folder);
            return Err(InventoryError::NotFound(message));
        }
        if target == *name {
            return Err(InventoryError::Refused(format!("{name} is to be sent to itself")));
        }
        let mut from = self.open(name)?;
        let (mut into, _) = Archive::open(&self.path(&target))?;
        let moved =
            from.sift(&mut chosen.judge(name.dead), &mut |records| into.append(messages(records, name.dead)))?;
        drop(into);
        finish(from, moved)
    }

    /// Gives messages up.
    ///
    /// # Errors
    /// There is no such queue, or the disk fails.
    pub fn drop_messages(&self, name: &QueueName, chosen: &Selection) -> Result<Moved, InventoryError> {
        let mut archive = self.open(name)?;
        let moved = archive.sift(&mut chosen.judge(name.dead), &mut |_| Ok(()))?;
        finish(archive, moved)
    }
}

fn finish(archive: Archive, messages: u64) -> Result<Moved, InventoryError> {
    let left = archive.len();
    if archive.is_empty() {
        archive.close()?;
    }
    Ok(Moved { messages, left })
}
