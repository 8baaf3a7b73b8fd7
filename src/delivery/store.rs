//! The durable queues in the data directory: one folder for each plugin, `queues/KIND-ID`.
//!
//! A plugin that a reload has changed gets another one, `queues/KIND-ID.2`, while the old one is still being emptied.
//! When the service starts, what is in such folders is put together again.

use std::collections::HashSet;
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rustix::fs::{FlockOperation, flock};
use tracing::{error, info, warn};

use super::OutletSpec;
use crate::metric::Histogram;
use crate::queue::{Budget, DurableOptions, DurableQueue, Flusher, Recovered};

/// The folder in the data directory.
const FOLDER: &str = "queues";
const LOCK: &str = "lock";

/// The durable queues of the process.
pub(super) struct Store {
    folder: PathBuf,
    flusher: Flusher,
    used: Mutex<Used>,
}

#[derive(Default)]
struct Used {
    /// Held as long as the process runs.
    lock: Option<fs::File>,
    folders: HashSet<PathBuf>,
}

/// An open queue and where it is.
#[derive(Clone)]
pub(super) struct Stored {
    pub queue: Arc<DurableQueue>,
    pub folder: PathBuf,
}

impl Store {
    pub(super) fn new(data_dir: &Path, flusher: Flusher) -> Self {
        Self { folder: data_dir.join(FOLDER), flusher, used: Mutex::default() }
    }

    fn used(&self) -> MutexGuard<'_, Used> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes the queues of the data directory this process's own.
    ///
    /// # Errors
    /// Another process has them, or the directory cannot be made; what, where, and what to do.
    pub(super) fn claim(&self) -> Result<(), String> {
        let mut used = self.used();
        if used.lock.is_some() {
            return Ok(());
        }
        let path = self.folder.join(LOCK);
        let open = || {
            fs::DirBuilder::new().recursive(true).mode(0o700).create(&self.folder)?;
            fs::OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&path)
        };
        let file = open().map_err(|error| {
            let folder = self.folder.display();
            format!(
                "cannot make {folder} for the queues: {error}; make data_dir writable, set LOGPHASE_DATA_DIR, or set \
                queue.durability: memory"
            )
        })?;
        flock(&file, FlockOperation::NonBlockingLockExclusive).map_err(|error| match error {
            rustix::io::Errno::WOULDBLOCK => format!(
                "the queues in {} are in use by another process: give each service a data_dir of its own \
                (LOGPHASE_DATA_DIR), or set queue.durability: memory",
                self.folder.display()
            ),
            error => format!("cannot lock {}: {error}", path.display()),
        })?;
        used.lock = Some(file);
        Ok(())
    }

    /// Opens the queue of a plugin.
    ///
    /// # Errors
    /// It cannot be opened: what, and what to do.
    pub(super) fn open(&self, label: &str, spec: &OutletSpec, options: &DurableOptions) -> Result<Stored, String> {
        self.claim()?;
        let mut used = self.used();
        let base = self.folder.join(folder_name(spec));
        let numbered = |number: u32| if number == 1 { base.clone() } else { with_suffix(&base, number) };
        let folders: Vec<PathBuf> = (1..=100).map(numbered).collect();
        if !folders.iter().any(|folder| used.folders.contains(folder)) {
            self.put_together(label, &folders);
        }
        let free = folders.into_iter().find(|folder| !used.folders.contains(folder));
        let folder = free.ok_or_else(|| format!("{label}: a hundred old queues are still being emptied; try later"))?;
        let opened = self.flusher.open(&folder, options.clone());
        let (queue, recovered) = opened.map_err(|error| {
            format!("the queue cannot be opened: {error}; make data_dir writable, or set queue.durability: memory")
        })?;
        tell(label, &folder, &recovered);
        used.folders.insert(folder.clone());
        Ok(Stored { queue, folder })
    }

    /// Moves what is in all but the first of `folders` into the first.
    fn put_together(&self, label: &str, folders: &[PathBuf]) {
        let Some((base, others)) = folders.split_first() else { return };
        for other in others.iter().filter(|other| other.is_dir()) {
            match self.flusher.merge(other, base) {
                Ok(entries) => {
                    info!(plugin = label, entries, "put together with {}", other.display());
                    // What could not be read stays there for the operator.
                    let _ = fs::remove_dir(other);
                }
                Err(error) => error!(plugin = label, "cannot take over {}: {error}; left as it is", other.display()),
            }
        }
    }

    /// Lets a queue go that nobody reads any more. Waits for the disk.
    pub(super) fn release(&self, stored: &Stored) {
        if self.flusher.release(&stored.queue) {
            // Not empty if something in it could not be read: that is the operator's.
            let _ = fs::remove_dir(&stored.folder);
        }
        self.used().folders.remove(&stored.folder);
    }

    /// Warns of queues with entries of plugins that are not there.
    pub(super) fn warn_of_orphans(&self) {
        for folder in self.orphans() {
            warn!(
                "{} is the queue of a plugin that is not in the configuration; what is in it is kept, and delivered \
                when the plugin is there again",
                folder.display()
            );
        }
    }

    /// The folders of queues with entries of plugins that are not there. Waits for the disk.
    pub(super) fn orphans(&self) -> Vec<PathBuf> {
        let used = self.used();
        if used.lock.is_none() {
            return Vec::new();
        }
        let Ok(entries) = fs::read_dir(&self.folder) else { return Vec::new() };
        let has_segments = |folder: &PathBuf| {
            fs::read_dir(folder).is_ok_and(|files| {
                files.filter_map(Result::ok).any(|file| file.path().extension().is_some_and(|suffix| suffix == "seg"))
            })
        };
        let folders = entries.filter_map(|entry| Some(entry.ok()?.path()));
        folders.filter(|path| path.is_dir() && !used.folders.contains(path)).filter(has_segments).collect()
    }

    /// How long syncs took so far.
    pub(super) fn syncs(&self) -> Histogram {
        self.flusher.syncs()
    }

    /// The bound on what waits in the data directory.
    pub(super) fn budget(&self) -> &Budget {
        self.flusher.data()
    }

    /// Makes safe what can be, and ends the thread that does it. Waits for the disk.
    pub(super) fn shut_down(&self) {
        self.flusher.shut_down();
    }
}

/// Ids come from files that users write; a name of a file is made of the harmless part.
fn folder_name(spec: &OutletSpec) -> String {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let identity: String = spec.identity.chars().map(harmless).take(100).collect();
    format!("{}-{identity}", spec.kind)
}

fn with_suffix(base: &Path, number: u32) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Logs what was found in a queue.
fn tell(plugin: &str, folder: &Path, recovered: &Recovered) {
    let Recovered { records, torn_bytes, unreadable, cursor_lost, .. } = recovered;
    if *records > 0 {
        info!(plugin, entries = records, "messages of an earlier run are in the queue, and are delivered first");
    }
    if *torn_bytes > 0 {
        info!(plugin, bytes = torn_bytes, "a write that was cut short was taken off the end of the queue");
    }
    if *cursor_lost {
        warn!(plugin, "how far the queue was delivered cannot be read; some messages will be delivered again");
    }
    for (name, reason) in unreadable {
        error!(
            plugin,
            "{} cannot be read: {reason}; it is kept as {name}.unreadable, and what it holds is not delivered",
            folder.join(name).display()
        );
    }
}
