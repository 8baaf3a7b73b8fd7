//! The positions of files, in a file that a restart reads.
//!
//! The file is JSON, for people too. It is replaced as a whole: written beside the old one, synced, renamed, and the rename
//! synced, so that a crash leaves one of both. A position is saved after the entries before it are safe, so a crash
//! can cause duplicates and loses nothing.

use std::collections::BTreeMap;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use logphase_io::file;
use logphase_queue::owner;
use rustix::fs::{FlockOperation, flock};
use serde::{Deserialize, Serialize};

use super::position::{FileId, Position};
use crate::input::BindError;

/// The folder in the data directory.
const FOLDER: &str = "positions";
const LOCK_FILE: &str = "lock";
const NAME: &str = "file.json";
const NEW_NAME: &str = "file.json.new";
const DAMAGED_NAME: &str = "file.json.damaged";

const VERSION: u32 = 1;

/// How long the position of a file is kept that was not found.
const KEPT: Duration = Duration::from_secs(7 * 24 * 3600);

/// Bytes of the file, at most.
const MAX_BYTES: u64 = 256 << 20;

/// What is known of a file.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Entry {
    #[serde(flatten)]
    pub(super) id: FileId,
    /// Where it was last.
    pub(super) path: PathBuf,
    #[serde(flatten)]
    pub(super) position: Position,
    /// Whether its name does not match, and the rest of it is to be read.
    #[serde(default)]
    pub(super) rest: bool,
    /// Seconds since 1970 when it was last found.
    pub(super) seen: u64,
}

#[derive(Serialize, Deserialize)]
struct Content<E> {
    version: u32,
    /// Seconds since 1970.
    saved: u64,
    files: E,
}

/// The positions of the last run, and where those of this run are saved.
#[derive(Debug)]
pub(super) struct Positions {
    folder: PathBuf,
    /// By the file.
    pub(super) entries: BTreeMap<FileId, Entry>,
    /// When the last run saved them; `None` if there was none.
    pub(super) saved: Option<SystemTime>,
    /// Whether they were there, and could not be read.
    pub(super) are_damaged: bool,
    /// Held locked while the process runs.
    _lock: File,
}

impl Positions {
    /// Reads the positions in `data_dir`, which no other process may use at the same time.
    ///
    /// # Errors
    /// Another process uses them, or the folder cannot be used.
    pub(super) fn open(data_dir: &Path) -> Result<Self, BindError> {
        let folder = data_dir.join(FOLDER);
        let fail = |help| {
            let path = folder.clone();
            move |source| BindError::Keep { what: "the positions of files", path, source, help }
        };
        let make = "make data_dir writable, or set LOGPHASE_DATA_DIR";
        let lock = lock(&folder).map_err(fail(make))?;
        flock(&lock, FlockOperation::NonBlockingLockExclusive)
            .map_err(io::Error::from)
            .map_err(fail("another process uses them: give each service a data_dir of its own (LOGPHASE_DATA_DIR)"))?;
        let (content, are_damaged) = match read(&folder.join(NAME)) {
            Ok(content) => (content, false),
            Err(error) => {
                set_aside(&folder, &error).map_err(fail(make))?;
                (None, true)
            }
        };
        let saved = content.as_ref().map(|content| UNIX_EPOCH + Duration::from_secs(content.saved));
        let entries = content.into_iter().flat_map(|content| content.files);
        let entries = entries.map(|entry| (entry.id, entry)).collect();
        Ok(Self { folder, entries, saved, are_damaged, _lock: lock })
    }

    /// Sets the position of a file that is there. Returns whether it is news.
    pub(super) fn set(&mut self, id: FileId, path: &Path, position: Position, rest: bool) -> bool {
        let seen = seconds(SystemTime::now());
        let Some(entry) = self.entries.get_mut(&id) else {
            self.entries.insert(id, Entry { id, path: path.to_owned(), position, rest, seen });
            return true;
        };
        let is_news = entry.position != position || entry.path != path || entry.rest != rest;
        (entry.position, entry.rest, entry.seen) = (position, rest, seen);
        if is_news {
            path.clone_into(&mut entry.path);
        }
        is_news
    }

    /// Forgets files that were not found for long, and of more than `max` those that were not found for the longest time.
    pub(super) fn expire(&mut self, max: usize) {
        let oldest = seconds(SystemTime::now()).saturating_sub(KEPT.as_secs());
        self.entries.retain(|_, entry| entry.seen >= oldest);
        if self.entries.len() > max {
            let mut seen: Vec<(u64, FileId)> = self.entries.values().map(|entry| (entry.seen, entry.id)).collect();
            seen.sort_unstable();
            for (_, id) in &seen[..seen.len() - max] {
                self.entries.remove(id);
            }
        }
    }

    /// Saves the positions when it is called.
    pub(super) fn saving(&self) -> impl FnOnce() -> io::Result<()> + Send + use<> {
        let folder = self.folder.clone();
        let files: Vec<Entry> = self.entries.values().cloned().collect();
        move || save(&folder, &files)
    }

    /// The file in which they are saved.
    pub(super) fn path(&self) -> PathBuf {
        self.folder.join(NAME)
    }
}

fn save(folder: &Path, files: &[Entry]) -> io::Result<()> {
    let content = Content { version: VERSION, saved: seconds(SystemTime::now()), files };
    let text = serde_json::to_vec(&content).map_err(io::Error::other)?;
    let new = folder.join(NEW_NAME);
    let mut file = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&new)?;
    file.write_all(&text)?;
    file.sync_data()?;
    owner::give(&new)?;
    std::fs::rename(&new, folder.join(NAME))?;
    File::open(folder)?.sync_all()
}

/// The content of the file at `path`; `None` if there is none.
fn read(path: &Path) -> io::Result<Option<Content<Vec<Entry>>>> {
    let bytes = match file::read(path, file::Accept::Regular, MAX_BYTES) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        bytes => bytes?,
    };
    let invalid = |why: String| io::Error::new(ErrorKind::InvalidData, why);
    let content: Content<serde_json::Value> = serde_json::from_slice(&bytes).map_err(|e| invalid(e.to_string()))?;
    if content.version != VERSION {
        return Err(invalid(format!("version {} is not one that this program reads", content.version)));
    }
    let files = serde_json::from_value(content.files).map_err(|error| invalid(error.to_string()))?;
    Ok(Some(Content { version: VERSION, saved: content.saved, files }))
}

/// Keeps a file that cannot be read under another name.
fn set_aside(folder: &Path, why: &io::Error) -> io::Result<()> {
    let (path, aside) = (folder.join(NAME), folder.join(DAMAGED_NAME));
    std::fs::rename(&path, &aside)?;
    tracing::error!(
        "the positions of files in {} cannot be read ({why}) and are set aside as {}: every file is read from its beginning, so \
         that nothing is lost, and what was read before is read again",
        path.display(),
        aside.display()
    );
    Ok(())
}

fn lock(folder: &Path) -> io::Result<File> {
    if !folder.is_dir() {
        DirBuilder::new().recursive(true).mode(0o700).create(folder)?;
        owner::give(folder)?;
    }
    let path = folder.join(LOCK_FILE);
    let is_new = !path.exists();
    // Without waiting, if somebody put a pipe there.
    let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
    let mut options = OpenOptions::new();
    let lock =
        options.read(true).write(true).create(true).truncate(false).mode(0o600).custom_flags(flags).open(&path)?;
    if is_new {
        owner::give(&path)?;
    }
    Ok(lock)
}

fn seconds(time: SystemTime) -> u64 {
    time.duration_since(UNIX_EPOCH).unwrap_or_default().as_secs()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::input::file::position::Mark;

    fn id(inode: u64) -> FileId {
        FileId { device: 1, inode }
    }

    fn position(offset: u64) -> Position {
        let bytes = vec![b'x'; usize::try_from(offset).unwrap()];
        let mark = Mark::of(0, &bytes);
        Position { offset, skipping: offset % 2 == 1, head: mark, last: mark, whole: mark }
    }

    /// Scenario: positions are saved twice, and read by another run; then one of them expires, and the others are too many.
    /// Guarantees: the last saved are read, complete; what is left out is what was not found for the longest time.
    #[test]
    fn positions_survive() {
        let home = tempfile::tempdir().unwrap();
        let mut positions = Positions::open(home.path()).unwrap();
        assert!(positions.entries.is_empty() && positions.saved.is_none() && !positions.are_damaged);
        positions.set(id(1), Path::new("/logs/a"), position(10), false);
        positions.saving()().unwrap();
        positions.set(id(1), Path::new("/logs/a.1"), position(11), true);
        positions.set(id(2), Path::new("/logs/a"), position(5), false);
        positions.saving()().unwrap();
        drop(positions);
        let mut positions = Positions::open(home.path()).unwrap();
        let read = &positions.entries[&id(1)];
        assert_eq!((&read.path, &read.position, read.rest), (&PathBuf::from("/logs/a.1"), &position(11), true));
        assert!(positions.entries.len() == 2 && positions.saved.is_some());
        positions.set(id(3), Path::new("/logs/b"), position(1), false);
        positions.entries.get_mut(&id(1)).unwrap().seen -= KEPT.as_secs() + 60;
        positions.entries.get_mut(&id(2)).unwrap().seen -= 60;
        positions.expire(10);
        assert_eq!(positions.entries.keys().copied().collect::<Vec<_>>(), [id(2), id(3)]);
        positions.expire(1);
        assert_eq!(positions.entries.keys().copied().collect::<Vec<_>>(), [id(3)]);
    }

    /// Scenario: a file of positions that is cut, one of a later version, and a second process.
    /// Guarantees: the first two are set aside, and the reader is told; the second process is refused, and told what to do.
    #[test]
    fn what_cannot_be_used() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join(FOLDER).join(NAME);
        std::fs::create_dir(home.path().join(FOLDER)).unwrap();
        for text in [r#"{"version":1,"saved":1,"files":[{"device":1,"#, r#"{"version":2,"saved":1,"files":{}}"#] {
            std::fs::write(&path, text).unwrap();
            let positions = Positions::open(home.path()).unwrap();
            assert!(positions.are_damaged && positions.entries.is_empty());
            assert!(!path.exists() && path.with_file_name(DAMAGED_NAME).exists());
            let second = Positions::open(home.path()).unwrap_err().to_string();
            assert!(second.contains("another process uses them"), "{second}");
        }
    }
}
