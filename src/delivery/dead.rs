//! Dead letters: messages that their destination refused for good, kept with the reason in a log of their own on disk.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use bytes::Bytes;
use tracing::{error, warn};

use super::OutputSpec;
use super::letter::Letter;
use super::store::Claim;
use logphase_queue::Archive;

/// The folder in the data directory.
pub(super) const FOLDER: &str = "dead-letters";

/// The dead letters of one plugin, in `dead-letters/KIND-ID`, which is made when the first comes.
pub struct DeadLetters {
    folder: PathBuf,
    claim: Arc<Claim>,
    open: Mutex<Open>,
}

#[derive(Default)]
struct Open {
    archive: Option<Archive>,
    level: Level,
}

/// How many dead letters there are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Level {
    /// Letters.
    pub letters: u64,
    /// Bytes that they take.
    pub bytes: u64,
}

impl DeadLetters {
    /// Those in `folder`. What is there already is counted, so that this may wait for the disk.
    pub(super) fn new(folder: PathBuf, claim: Arc<Claim>) -> Arc<Self> {
        let letters = Self { folder, claim, open: Mutex::default() };
        if letters.folder.is_dir()
            && let Err(error) = letters.with(|_| Ok(()))
        {
            error!("the dead letters in {} cannot be read: {error}", letters.folder.display());
        }
        Arc::new(letters)
    }

    /// Where they are.
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// How many there are.
    pub fn level(&self) -> Level {
        self.lock().level
    }

    fn lock(&self) -> MutexGuard<'_, Open> {
        self.open.lock()
    }

    /// Keeps `entry` with the reason for which it was refused; it is safe when this returns. Together they take at most
    /// `max_bytes` bytes.
    ///
    /// # Errors
    /// What is in the way, and what to do. The letter may be there all the same.
    pub(super) async fn keep(
        self: &Arc<Self>,
        spec: &OutputSpec,
        entry: &Bytes,
        reason: &str,
        max_bytes: usize,
    ) -> Result<(), String> {
        let (letters, mut letter) = (self.clone(), Letter::new(spec, entry, reason));
        let keep = move || {
            let kept = letters.with(|archive| {
                letter.head.id = archive.range().1;
                let record = letter.encode();
                if archive.bytes().saturating_add(record.len() as u64) > max_bytes as u64 {
                    return Ok(false);
                }
                archive.append(vec![record])?;
                Ok(true)
            });
            match kept {
                Ok(true) => Ok(()),
                Ok(false) => Err(format!(
                    "queue.max_dead_letter_bytes ({max_bytes}) is used up; send some again or give them up with `logphase \
                    queue`, or raise it"
                )),
                Err(error) => Err(format!("{error}; make the setting data_dir writable, or room on its disk")),
            }
        };
        tokio::task::spawn_blocking(keep).await.map_err(|error| error.to_string())?
    }

    /// Lets `act` work on the letters, alone. Waits for the disk.
    ///
    /// # Errors
    /// Those of `act`; or another process has the data directory, or the letters cannot be read.
    pub(super) fn with<T>(&self, act: impl FnOnce(&mut Archive) -> io::Result<T>) -> io::Result<T> {
        self.claim.take().map_err(io::Error::other)?;
        let mut open = self.lock();
        let mut archive = match open.archive.take() {
            Some(archive) => archive,
            None => self.open()?,
        };
        // After an error it is opened anew: what of it is on disk is not known.
        let result = act(&mut archive)?;
        open.level = Level { letters: archive.len(), bytes: archive.bytes() };
        if archive.is_empty() {
            archive.close()?;
        } else {
            open.archive = Some(archive);
        }
        Ok(result)
    }

    fn open(&self) -> io::Result<Archive> {
        let (archive, recovered) = Archive::open(&self.folder)?;
        for (name, reason) in &recovered.unreadable {
            let path = self.folder.join(name);
            warn!("{} cannot be read: {reason}; it is kept as {name}.unreadable", path.display());
        }
        Ok(archive)
    }
}
