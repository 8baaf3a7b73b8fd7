//! The durable queues and dead letters in the data directory. Each plugin has the folder `queues/KIND-ID`.
//!
//! When a reload changes the queue of a plugin, the new queue is in a second folder, `queues/KIND-ID.2`, while the old one is
//! emptied. The next start merges such folders.

use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use tracing::{error, info, warn};

use super::OutputSpec;
use super::data_lock::{DataLock, QUEUES_FOLDER};
use super::dead_letters::{self, DeadLetters};
use logphase_queue::metric::Histogram;
use logphase_queue::{Budget, DurableOptions, DurableQueue, Flusher, Recovered, set_aside_files};

/// The durable queues and dead letters of the process.
pub(super) struct Store {
    folder: PathBuf,
    data_dir: PathBuf,
    flusher: Flusher,
    lock: Arc<DataLock>,
    /// The folders that are open.
    used: Mutex<HashSet<PathBuf>>,
    /// The second and later folders of plugins that were there at the start or were opened since.
    numbered: Mutex<Option<HashSet<PathBuf>>>,
    /// The dead letters, by the name of the folder.
    letters: Mutex<HashMap<String, Arc<DeadLetters>>>,
}

/// An open queue and its folder.
#[derive(Clone)]
pub(super) struct Stored {
    pub queue: Arc<DurableQueue>,
    pub folder: PathBuf,
}

impl Store {
    /// Makes each thread that writes queues run `setup` first.
    pub(super) fn on_thread_start(&self, setup: impl Fn() + Send + Sync + 'static) {
        self.flusher.on_thread_start(setup);
    }

    pub(super) fn new(data_dir: &Path, flusher: Flusher) -> Self {
        let (folder, lock) = (data_dir.join(QUEUES_FOLDER), Arc::new(DataLock::new(data_dir)));
        let (data_dir, used, letters) = (data_dir.to_owned(), Mutex::default(), Mutex::default());
        Self { folder, data_dir, flusher, lock, used, numbered: Mutex::default(), letters }
    }

    /// Locks the queues of the data directory for this process.
    ///
    /// # Errors
    /// Another process holds the lock, or the directory cannot be created; with a remedy.
    pub(super) fn claim(&self) -> Result<(), String> {
        self.lock.acquire()
    }

    /// The dead letters of a plugin. The first call blocks on the disk.
    pub(super) fn dead_letters(&self, spec: &OutputSpec) -> Arc<DeadLetters> {
        self.dead_letters_in(&folder_name(spec))
    }

    /// The dead letters in the folder of this name.
    fn dead_letters_in(&self, name: &str) -> Arc<DeadLetters> {
        let mut letters = self.letters.lock();
        let open = || DeadLetters::new(self.data_dir.join(dead_letters::FOLDER).join(name), self.lock.clone());
        letters.entry(name.to_owned()).or_insert_with(open).clone()
    }

    /// The dead letters in the folder of this name, if there is one.
    pub(super) fn dead_letters_named(&self, name: &str) -> Option<Arc<DeadLetters>> {
        self.data_dir.join(dead_letters::FOLDER).join(name).is_dir().then(|| self.dead_letters_in(name))
    }

    /// All dead letters, by the name of their folder. Blocks on the disk.
    pub(super) fn all_dead_letters(&self) -> Vec<(String, Arc<DeadLetters>)> {
        let names =
            folders_in(&self.data_dir.join(dead_letters::FOLDER)).into_iter().filter_map(|folder| name_of(&folder));
        names.map(|name| (name.clone(), self.dead_letters_in(&name))).collect()
    }

    /// The path of the folder of a queue.
    pub(super) fn folder_of(&self, name: &str) -> PathBuf {
        self.folder.join(name)
    }

    /// Acquires the folder of an orphaned queue: no plugin can open it until [`Store::release_orphan`].
    pub(super) fn acquire_orphan(&self, name: &str) -> Option<PathBuf> {
        let folder = self.folder.join(name);
        (folder.is_dir() && self.used.lock().insert(folder.clone())).then_some(folder)
    }

    /// Releases the folder of [`Store::acquire_orphan`].
    pub(super) fn release_orphan(&self, folder: &Path) {
        self.used.lock().remove(folder);
    }

    /// Opens the queue of a plugin.
    ///
    /// # Errors
    /// The queue cannot be opened; with a remedy.
    pub(super) fn open(&self, label: &str, spec: &OutputSpec, options: &DurableOptions) -> Result<Stored, String> {
        self.claim()?;
        let mut used = self.used.lock();
        let base = self.folder.join(folder_name(spec));
        let numbered = |number: u32| if number == 1 { base.clone() } else { with_suffix(&base, number) };
        let folders: Vec<PathBuf> = (1..=100).map(numbered).collect();
        if !folders.iter().any(|folder| used.contains(folder)) {
            self.merge(label, &folders)?;
        }
        let free = folders.into_iter().find(|folder| !used.contains(folder));
        let folder = free.ok_or_else(|| {
            format!("{label}: a hundred old queues of this plugin are still being delivered; try again later")
        })?;
        let opened = self.flusher.open(&folder, options.clone());
        let (queue, recovered) = opened.map_err(|error| cannot_open(&error))?;
        log_recovered(label, &folder, &recovered);
        used.insert(folder.clone());
        if let Some(numbered) = self.numbered.lock().as_mut().filter(|_| folder != base) {
            numbered.insert(folder.clone());
        }
        Ok(Stored { queue, folder })
    }

    /// Whether the plugin has a folder, which may have messages.
    pub(super) fn has_folder(&self, spec: &OutputSpec) -> bool {
        self.folder.join(folder_name(spec)).exists()
    }

    /// Whether the plugin has a folder, or one of an output that took over from it.
    pub(super) fn has_folders(&self, spec: &OutputSpec) -> bool {
        let base = folder_name(spec);
        let is_its = |name: &str| name.strip_prefix(&base).is_some_and(|rest| rest.is_empty() || rest.starts_with('.'));
        folders_in(&self.folder).iter().filter_map(|folder| name_of(folder)).any(|name| is_its(&name))
    }

    /// Moves the entries of all other `folders` into the first one.
    fn merge(&self, label: &str, folders: &[PathBuf]) -> Result<(), String> {
        let Some((base, others)) = folders.split_first() else { return Ok(()) };
        let mut numbered = self.numbered.lock();
        // Read once: a look for each of a hundred names takes long for thousands of plugins.
        let numbered = numbered.get_or_insert_with(|| folders_in(&self.folder).into_iter().collect());
        for other in others.iter().filter(|other| numbered.contains(*other) && other.is_dir()) {
            let entries = self.flusher.merge(other, base).map_err(|error| cannot_open(&error))?;
            info!(plugin = label, entries, "merged with {}", other.display());
            // Fails if the folder has files that were set aside, which the operator must inspect.
            let _ = fs::remove_dir(other);
        }
        Ok(())
    }

    /// Closes a queue whose output has ended. Blocks on the disk.
    pub(super) fn release(&self, stored: &Stored) {
        if self.flusher.release(&stored.queue) {
            // Fails if the folder has files that were set aside, which the operator must inspect.
            let _ = fs::remove_dir(&stored.folder);
        }
        self.used.lock().remove(&stored.folder);
    }

    /// Logs a warning for each orphaned queue.
    pub(super) fn warn_of_orphans(&self) {
        for folder in self.orphans() {
            warn!(
                "{} is the queue of a plugin that is not in the configuration; its messages are kept, and delivered \
                when the plugin is in the configuration again",
                folder.display()
            );
        }
    }

    /// The folders of orphaned queues: with entries, but without a plugin in the configuration. Blocks on the disk.
    pub(super) fn orphans(&self) -> Vec<PathBuf> {
        if !self.lock.is_held() {
            return Vec::new();
        }
        let used = self.used.lock();
        folders_in(&self.folder)
            .into_iter()
            .filter(|path| !used.contains(path))
            .filter(|path| has_files(path))
            .collect()
    }

    /// The number of files of queues and dead letters that were set aside. Blocks on the disk.
    pub(super) fn set_aside(&self) -> usize {
        let dead = self.data_dir.join(dead_letters::FOLDER);
        let folders = folders_in(&self.folder).into_iter().chain(folders_in(&dead));
        folders.map(|folder| set_aside_files(&folder).map_or(0, |files| files.len())).sum()
    }

    /// The durations of the syncs.
    pub(super) fn syncs(&self) -> Histogram {
        self.flusher.syncs()
    }

    /// The budget of bytes in the data directory.
    pub(super) fn budget(&self) -> &Budget {
        self.flusher.data()
    }

    /// Writes and syncs all queues, and ends the flusher threads. Blocks on the disk.
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

/// Whether a folder has files of a queue, those that were set aside included.
pub(super) fn has_files(folder: &Path) -> bool {
    let is_segment = |file: fs::DirEntry| file.file_name().to_string_lossy().contains(".seg");
    // What cannot be read is not empty.
    fs::read_dir(folder).map_or(true, |files| files.filter_map(Result::ok).any(is_segment))
}

/// The name of a folder.
pub(super) fn name_of(folder: &Path) -> Option<String> {
    Some(folder.file_name()?.to_str()?.to_owned())
}

/// The folder name of a plugin. Ids are user input: characters that may be unsafe in a file name are replaced.
pub(super) fn folder_name(spec: &OutputSpec) -> String {
    let safe = |c: char| if c.is_ascii_alphanumeric() || c == '-' || c == '_' { c } else { '_' };
    let identity: String = spec.identity.chars().map(safe).take(100).collect();
    format!("{}-{identity}", spec.plugin)
}

fn with_suffix(base: &Path, number: u32) -> PathBuf {
    let mut name = base.as_os_str().to_owned();
    name.push(format!(".{number}"));
    name.into()
}

/// Explains why a queue cannot be opened, and what to do.
fn cannot_open(error: &std::io::Error) -> String {
    let todo = match error.kind() {
        std::io::ErrorKind::PermissionDenied => {
            let user = rustix::process::geteuid().as_raw();
            format!(
                "give data_dir and all files in it to user id {user} (chown -R), or start the service as their owner"
            )
        }
        _ => "remove the cause and start again".to_owned(),
    };
    format!("the queue cannot be opened: {error}; {todo}; its files are unchanged, and no message is lost")
}

/// Logs the results of recovering a queue.
fn log_recovered(plugin: &str, folder: &Path, recovered: &Recovered) {
    let Recovered { records, torn_bytes, .. } = recovered;
    if *records > 0 {
        info!(plugin, entries = records, "the queue has messages of an earlier run, which are delivered first");
    }
    if *torn_bytes > 0 {
        info!(plugin, bytes = torn_bytes, "an incomplete write was removed from the end of the queue");
    }
    log_damage(plugin, folder, recovered);
}

/// Logs the damage that was found in the files of a queue, or of dead letters.
pub(super) fn log_damage(plugin: &str, folder: &Path, recovered: &Recovered) {
    let Recovered { missing, set_aside, repaired, cursor_lost, .. } = recovered;
    let path = |name: &String| folder.join(name).display().to_string();
    if let Some(reason) = cursor_lost {
        let cursor = folder.join("cursor");
        warn!(plugin, "{} is of no use: {reason}; messages that were delivered come again", cursor.display());
    }
    for name in repaired {
        warn!(plugin, "the header of {} was damaged and is repaired; check the disk", path(name));
    }
    for (name, reason) in set_aside {
        error!(
            plugin,
            "{} is set aside as {name}.unreadable: {reason}; `logphase queue salvage` reads what is intact in it",
            path(name)
        );
    }
    if *missing > 0 {
        let folder = folder.display();
        error!(plugin, entries = missing, "messages are missing in {folder}: files were removed or emptied");
    }
}
