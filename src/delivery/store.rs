//! The durable queues in the data directory: one folder for each plugin, `queues/KIND-ID`.
//!
//! A plugin that a reload has changed gets another one, `queues/KIND-ID.2`, while the old one is still being emptied.
//! When the service starts, what is in such folders is put together again.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::{Mutex, MutexGuard};

use rustix::fs::{FlockOperation, flock};
use tracing::{error, info, warn};

use super::OutputSpec;
use super::dead::{self, DeadLetters};
use logphase_queue::metric::Histogram;
use logphase_queue::{Budget, DurableOptions, DurableQueue, Flusher, Recovered};

/// The folder in the data directory.
pub(super) const FOLDER: &str = "queues";
const LOCK: &str = "lock";

/// The durable queues of the process.
pub(super) struct Store {
    folder: PathBuf,
    data_dir: PathBuf,
    flusher: Flusher,
    claim: Arc<Claim>,
    /// The folders that somebody has open.
    used: Mutex<HashSet<PathBuf>>,
    /// By the name of their folder.
    letters: Mutex<HashMap<String, Arc<DeadLetters>>>,
}

/// What makes a data directory's queues one process's own.
pub(super) struct Claim {
    folder: PathBuf,
    /// Held as long as this lives.
    lock: Mutex<Option<fs::File>>,
}

impl Claim {
    pub(super) fn new(data_dir: &Path) -> Self {
        Self { folder: data_dir.join(FOLDER), lock: Mutex::default() }
    }

    /// Whether it was taken.
    pub(super) fn is_taken(&self) -> bool {
        self.lock().is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Option<fs::File>> {
        self.lock.lock()
    }

    /// Takes it, if it is not taken yet.
    ///
    /// # Errors
    /// Another process has it, or the directory cannot be made; what, where, and what to do.
    pub(super) fn take(&self) -> Result<(), String> {
        let mut lock = self.lock();
        if lock.is_some() {
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
        *lock = Some(file);
        Ok(())
    }
}

/// An open queue and where it is.
#[derive(Clone)]
pub(super) struct Stored {
    pub queue: Arc<DurableQueue>,
    pub folder: PathBuf,
}

impl Store {
    pub(super) fn new(data_dir: &Path, flusher: Flusher) -> Self {
        let (folder, claim) = (data_dir.join(FOLDER), Arc::new(Claim::new(data_dir)));
        let (data_dir, used, letters) = (data_dir.to_owned(), Mutex::default(), Mutex::default());
        Self { folder, data_dir, flusher, claim, used, letters }
    }

    fn used(&self) -> MutexGuard<'_, HashSet<PathBuf>> {
        self.used.lock()
    }

    /// Makes the queues of the data directory this process's own.
    ///
    /// # Errors
    /// Another process has them, or the directory cannot be made; what, where, and what to do.
    pub(super) fn claim(&self) -> Result<(), String> {
        self.claim.take()
    }

    /// The dead letters of a plugin. Waits for the disk when they are first asked for.
    pub(super) fn dead_letters(&self, spec: &OutputSpec) -> Arc<DeadLetters> {
        self.dead_letters_in(&folder_name(spec))
    }

    /// Those in the folder of this name.
    fn dead_letters_in(&self, name: &str) -> Arc<DeadLetters> {
        let mut letters = self.letters.lock();
        let made = || DeadLetters::new(self.data_dir.join(dead::FOLDER).join(name), self.claim.clone());
        letters.entry(name.to_owned()).or_insert_with(made).clone()
    }

    /// Those in the folder of this name, if there is one.
    pub(super) fn dead_letters_named(&self, name: &str) -> Option<Arc<DeadLetters>> {
        self.data_dir.join(dead::FOLDER).join(name).is_dir().then(|| self.dead_letters_in(name))
    }

    /// The dead letters in each folder. Waits for the disk.
    pub(super) fn all_dead_letters(&self) -> Vec<(String, Arc<DeadLetters>)> {
        let names = folders_in(&self.data_dir.join(dead::FOLDER)).into_iter().filter_map(|folder| name_of(&folder));
        names.map(|name| (name.clone(), self.dead_letters_in(&name))).collect()
    }

    /// Takes the folder of a queue that nobody has, so that no plugin can open it until [`Store::put_back`].
    pub(super) fn borrow(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.join(name);
        (folder.is_dir() && self.used().insert(folder.clone())).then_some(folder)
    }

    /// Ends [`Store::borrow`].
    pub(super) fn put_back(&self, folder: &Path) {
        self.used().remove(folder);
    }

    /// Opens the queue of a plugin.
    ///
    /// # Errors
    /// It cannot be opened: what, and what to do.
    pub(super) fn open(&self, label: &str, spec: &OutputSpec, options: &DurableOptions) -> Result<Stored, String> {
        self.claim()?;
        let mut used = self.used();
        let base = self.folder.join(folder_name(spec));
        let numbered = |number: u32| if number == 1 { base.clone() } else { with_suffix(&base, number) };
        let folders: Vec<PathBuf> = (1..=100).map(numbered).collect();
        if !folders.iter().any(|folder| used.contains(folder)) {
            self.put_together(label, &folders);
        }
        let free = folders.into_iter().find(|folder| !used.contains(folder));
        let folder = free.ok_or_else(|| format!("{label}: a hundred old queues are still being emptied; try later"))?;
        let opened = self.flusher.open(&folder, options.clone());
        let (queue, recovered) = opened.map_err(|error| {
            format!("the queue cannot be opened: {error}; make data_dir writable, or set queue.durability: memory")
        })?;
        tell(label, &folder, &recovered);
        used.insert(folder.clone());
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
        self.used().remove(&stored.folder);
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
        if !self.claim.is_taken() {
            return Vec::new();
        }
        let used = self.used();
        folders_in(&self.folder)
            .into_iter()
            .filter(|path| !used.contains(path))
            .filter(|path| has_segments(path))
            .collect()
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

/// The folders in a folder, by name.
pub(super) fn folders_in(folder: &Path) -> Vec<PathBuf> {
    let Ok(entries) = fs::read_dir(folder) else { return Vec::new() };
    let mut folders: Vec<_> =
        entries.filter_map(|entry| Some(entry.ok()?.path())).filter(|path| path.is_dir()).collect();
    folders.sort();
    folders
}

/// Whether a folder holds something of a queue.
pub(super) fn has_segments(folder: &Path) -> bool {
    let is_segment = |file: fs::DirEntry| file.path().extension().is_some_and(|suffix| suffix == "seg");
    fs::read_dir(folder).is_ok_and(|files| files.filter_map(Result::ok).any(is_segment))
}

/// A folder's own name.
pub(super) fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}

/// Ids come from files that users write; a name of a file is made of the harmless part.
pub(super) fn folder_name(spec: &OutputSpec) -> String {
    let harmless = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let identity: String = spec.identity.chars().map(harmless).take(100).collect();
    format!("{}-{identity}", spec.plugin)
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
