//! Stores dead letters: messages that their destination refused permanently, with the reason.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use bytes::Bytes;
use tracing::error;

use super::OutputSpec;
use super::data_lock::DataLock;
use super::dead_letter::DeadLetter;
use super::store::log_damage;
use logphase_queue::RecordStore;

/// The folder in the data directory.
pub(super) const FOLDER: &str = "dead-letters";

/// The dead letters of one plugin, in `dead-letters/KIND-ID`. The folder is created for the first one.
pub struct DeadLetters {
    folder: PathBuf,
    lock: Arc<DataLock>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    records: Option<RecordStore>,
    level: DeadLetterLevel,
}

/// The number and size of dead letters.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct DeadLetterLevel {
    /// Their number.
    pub letters: u64,
    /// Their bytes.
    pub bytes: u64,
}

impl DeadLetters {
    /// The dead letters in `folder`. Blocks on the disk to count them.
    pub(super) fn new(folder: PathBuf, lock: Arc<DataLock>) -> Arc<Self> {
        let letters = Self { folder, lock, open: Mutex::default() };
        if letters.folder.is_dir()
            && let Err(error) = letters.with(|_| Ok(()))
        {
            error!("the dead letters in {} cannot be read: {error}", letters.folder.display());
        }
        Arc::new(letters)
    }

    /// Their folder.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Their number and size.
    pub fn level(&self) -> DeadLetterLevel {
        self.open.lock().level
    }

    /// Stores `entry` with the reason of the refusal. It is safe when this returns.
    ///
    /// # Errors
    /// The dead letters would exceed `max_bytes`, or the disk fails; with a remedy. After a disk error, the dead letter may
    /// still be stored.
    pub(super) async fn store(
        self: &Arc<Self>,
        spec: &OutputSpec,
        entry: &Bytes,
        reason: &str,
        max_bytes: usize,
    ) -> Result<(), String> {
        let (letters, mut letter) = (self.clone(), DeadLetter::new(spec, entry, reason));
        let store = move || {
            let stored = letters.with(|records| {
                letter.info.id = records.range().1;
                let record = letter.encode();
                if records.bytes().saturating_add(record.len() as u64) > max_bytes as u64 {
                    return Ok(false);
                }
                records.append(vec![record])?;
                Ok(true)
            });
            match stored {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!(
                    "queue.max_dead_letter_bytes ({max_bytes}) is used up; replay or drop some with `logphase queue`, or \
                    raise it"
                )),
                Err(error) => Err(format!("{error}; make data_dir writable, or free space on its disk")),
            }
        };
        tokio::task::spawn_blocking(store).await.map_err(|error| error.to_string())?
    }

    /// Calls `act` with exclusive access to the records. Blocks on the disk.
    ///
    /// # Errors
    /// Those of `act`; or another process uses the data directory, or the records cannot be read.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut RecordStore) -> io::Result<T>) -> io::Result<T> {
        self.lock.acquire().map_err(io::Error::other)?;
        let mut open = self.open.lock();
        let mut records = match open.records.take() {
            Some(records) => records,
            None => self.open_store()?,
        };
        // After an error the store is opened again, because its state on disk is not known.
        let result = act(&mut records)?;
        open.level = DeadLetterLevel { letters: records.len(), bytes: records.bytes() };
        if records.is_empty() {
            records.close()?;
        } else {
            open.records = Some(records);
        }
        Ok(result)
    }

    fn open_store(&self) -> io::Result<RecordStore> {
        let (records, recovered) = RecordStore::open(&self.folder)?;
        log_damage("dead letters", &self.folder, &recovered);
        Ok(records)
    }
}
