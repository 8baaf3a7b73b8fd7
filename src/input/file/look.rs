//! A look at the directories: which files are new, which are gone, and where reading them begins. It waits for the disk, so
//! it runs on a thread of its own.

use std::collections::{HashMap, HashSet};
use std::fs::File;
use std::io;
use std::os::unix::fs::DirEntryExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use logphase_io::file;

use super::patterns::{Found, Listing};
use super::position::{FileId, MARK_BYTES, Mark, Position, read_at};
use super::{Options, ReadFrom};

/// How old a file is that may still be the unfinished copy of another one.
const COPYING: Duration = Duration::from_secs(10);

/// Files of a directory that are compared with one that was truncated, at most: those that were changed last.
const MAX_COPIES: usize = 1000;

/// The first bytes of files that are not lines: gzip, zstd, xz, bzip2.
const MAGIC: &[&[u8]] = &[b"\x1f\x8b", b"\x28\xb5\x2f\xfd", b"\xfd7zXZ\0", b"BZh"];

/// What is known when a look begins.
#[derive(Debug, Default)]
pub(super) struct Known {
    /// Files that are followed, or whose position is saved.
    pub(super) ids: HashSet<FileId>,
    /// Positions of files, by their first bytes: for copies of them.
    pub(super) positions: HashMap<Mark, Vec<Position>>,
    /// Files that are not open, and where they were: they are looked for if they are there no more. Those of which so many
    /// bytes were read already are not needed.
    pub(super) closed: Vec<(FileId, PathBuf, Option<u64>)>,
    /// New files that may be kept open.
    pub(super) room: usize,
    /// Files that are open and have no name any more.
    pub(super) gone: Vec<(FileId, Arc<File>)>,
    /// At the first look: what to do with files that nothing is known of.
    pub(super) start: Option<Start>,
}

/// The first look of a process.
#[derive(Debug, Clone, Copy)]
pub(super) struct Start {
    pub(super) read_from: ReadFrom,
    /// When the last run saved its positions; `None` if there was none.
    pub(super) saved: Option<SystemTime>,
}

impl Start {
    /// Whether a file is left as it is. One that was created after the last run is not: nobody has read it.
    fn begins_at_end(self, found: &Found) -> bool {
        let is_older = |saved| found.created.unwrap_or(found.modified) <= saved;
        self.read_from == ReadFrom::End && self.saved.is_none_or(is_older)
    }
}

/// A file to follow.
#[derive(Debug)]
pub(super) struct New {
    pub(super) found: Found,
    /// `None` if too many are open.
    pub(super) file: Option<File>,
    pub(super) position: Position,
}

/// What a look has found.
#[derive(Debug, Default)]
pub(super) struct Look {
    pub(super) listing: Listing,
    /// Files of the listing that nothing was known of.
    pub(super) new: Vec<New>,
    /// Files that were not where they had been, and were found under another name that does not match.
    pub(super) moved: Vec<(Found, File)>,
    /// The sizes of files without a name, and when they were changed.
    pub(super) gone: Vec<(FileId, u64, SystemTime)>,
}

/// Looks at the directories of the patterns. Of a file that was not changed for longer than `ignore_older` and that nothing is
/// known of, nothing is said.
pub(super) fn look(options: &Options, known: &Known) -> Look {
    let ignore_older = options.ignore_older;
    let mut look = Look { listing: options.patterns.list(options.max_files), ..Look::default() };
    let mut compressed = 0;
    let now = SystemTime::now();
    for found in look.listing.files.iter().filter(|found| !known.ids.contains(&found.id)) {
        let age = now.duration_since(found.modified).unwrap_or_default();
        if !ignore_older.is_zero() && age > ignore_older {
            continue;
        }
        match first_position(found, known, now) {
            Ok(Some((file, position))) => {
                let file = (look.new.len() < known.room).then_some(file);
                look.new.push(New { found: found.clone(), file, position });
            }
            Ok(None) => compressed += 1,
            Err(error) if error.kind() == io::ErrorKind::WouldBlock || error.kind() == io::ErrorKind::NotFound => {}
            Err(error) => look.listing.errors.push((found.path.clone(), error)),
        }
    }
    look.listing.left_out += compressed;
    let listed: HashSet<FileId> = look.listing.files.iter().map(|found| found.id).collect();
    let missing: Vec<_> = known.closed.iter().filter(|(id, ..)| !listed.contains(id)).collect();
    look.moved = find_moved(&missing, options.rotate_wait);
    for (id, file) in &known.gone {
        if let Ok(metadata) = file.metadata() {
            look.gone.push((*id, metadata.len(), metadata.modified().unwrap_or(SystemTime::UNIX_EPOCH)));
        }
    }
    look
}

/// Where reading a file begins that nothing is known of; `None` if it is compressed.
///
/// # Errors
/// It cannot be read; [`io::ErrorKind::WouldBlock`] if that cannot be said yet.
fn first_position(found: &Found, known: &Known, now: SystemTime) -> io::Result<Option<(File, Position)>> {
    let file = file::open_regular(&found.path)?;
    let metadata = file.metadata()?;
    if FileId::from(&metadata) != found.id {
        return Err(io::ErrorKind::NotFound.into());
    }
    let mut head = [0; MARK_BYTES];
    let bytes = read_at(&file, &mut head, 0)?;
    if MAGIC.iter().any(|magic| head[..bytes].starts_with(magic)) {
        return Ok(None);
    }
    let same = known.positions.get(&Mark::of(0, &head[..bytes])).map(Vec::as_slice).unwrap_or_default();
    let mut position = Position::default();
    for other in same {
        if other.offset > position.offset && other.is_of_copy(&file, metadata.len())? {
            position = other.in_copy();
        }
    }
    let age = now.duration_since(found.created.unwrap_or(found.modified)).unwrap_or_default();
    if position.offset == 0 && age < COPYING && same.iter().any(|other| other.offset > metadata.len()) {
        return Err(io::ErrorKind::WouldBlock.into());
    }
    if position.offset == 0 && known.start.is_some_and(|start| start.begins_at_end(found)) {
        position = Position::at_end(&file, metadata.len())?;
    }
    Ok(Some((file, position)))
}

/// Looks for `missing` files by their numbers in the directories where they were. Leaves out those of which everything was
/// read, if they have not changed for longer than `rotate_wait`.
fn find_moved(missing: &[&(FileId, PathBuf, Option<u64>)], rotate_wait: Duration) -> Vec<(Found, File)> {
    let mut by_directory: HashMap<&Path, HashMap<FileId, Option<u64>>> = HashMap::new();
    for (id, path, read) in missing {
        by_directory.entry(directory(path)).or_default().insert(*id, *read);
    }
    let mut moved = Vec::new();
    for (directory, ids) in by_directory {
        let inodes: HashSet<u64> = ids.keys().map(|id| id.inode).collect();
        let entries = std::fs::read_dir(directory).into_iter().flatten().flatten();
        for entry in entries.filter(|entry| inodes.contains(&entry.ino())) {
            let Ok(file) = file::open_regular(&entry.path()) else { continue };
            let Ok(metadata) = file.metadata() else { continue };
            let read = ids.get(&FileId::from(&metadata));
            let found = Found::new(entry.path(), &metadata);
            // Who writes to it may not know yet that it was renamed.
            let is_old = || found.modified.elapsed().is_ok_and(|age| age > rotate_wait);
            if read.is_some_and(|read| *read != Some(found.size) || !is_old()) {
                moved.push((found, file));
            }
        }
    }
    moved
}

/// Looks in the directory of `path` for the copy of a file that was read up to `position` and then truncated, with what was
/// not read of it. Leaves out the files `known`.
pub(super) fn find_copy(path: &Path, position: &Position, known: &HashSet<FileId>) -> Option<New> {
    let entries = std::fs::read_dir(directory(path)).into_iter().flatten().flatten();
    let mut files: Vec<Found> = entries
        .filter_map(|entry| {
            let metadata = entry.metadata().ok()?;
            let is_candidate = metadata.is_file() && metadata.len() >= position.offset && metadata.len() > 0;
            let found = Found::new(entry.path(), &metadata);
            (is_candidate && !known.contains(&found.id)).then_some(found)
        })
        .collect();
    files.sort_by_key(|found| std::cmp::Reverse(found.modified));
    files.truncate(MAX_COPIES);
    files.into_iter().find_map(|found| {
        let file = file::open_regular(&found.path).ok()?;
        let size = file.metadata().ok()?.len();
        let is_copy = position.is_of_copy(&file, size).unwrap_or(false);
        is_copy.then(|| New { found: Found { size, ..found }, file: Some(file), position: position.in_copy() })
    })
}

fn directory(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}
