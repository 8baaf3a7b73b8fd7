//! Files that were set aside: they have the name of a segment, and are not segments of their log. What is intact in them can
//! be read.

use std::io;
use std::path::{Path, PathBuf};

use bytes::Bytes;

use super::disk::{Disk, RealDisk, within};
use super::frame::FRAME_BYTES;
use super::scan::Scanner;
use super::segment::{self, Opened};
use crate::failpoint::{self, Point};

/// What is appended to the name of a file that is set aside.
const SUFFIX: &str = ".unreadable";
/// Bytes of records that are handed over at once, approximately.
const CHUNK_BYTES: usize = 1 << 20;

/// A file that was set aside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SetAside {
    /// Where it is.
    pub path: PathBuf,
    /// Its bytes.
    pub bytes: u64,
}

/// What was read from a file that was set aside.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Salvaged {
    /// Intact records.
    pub records: u64,
    /// Bytes that are not part of an intact record.
    pub damaged_bytes: u64,
}

/// The path to which the file at `path` is renamed.
pub(super) fn path_for(disk: &dyn Disk, path: &Path) -> PathBuf {
    let names = path.parent().and_then(|dir| disk.list(dir).ok()).unwrap_or_default();
    let numbered = |number: u32| {
        let mut name = path.file_name().unwrap_or_default().to_owned();
        name.push(SUFFIX);
        if number > 1 {
            name.push(format!(".{number}"));
        }
        name
    };
    let is_free = |name: &std::ffi::OsString| !names.iter().any(|used| name.to_str() == Some(used));
    path.with_file_name((1..).map(numbered).find(is_free).unwrap_or_default())
}

/// The files in `dir` that were set aside, by name. None if there is no such directory.
///
/// # Errors
/// The directory cannot be read.
pub fn set_aside_files(dir: &Path) -> io::Result<Vec<SetAside>> {
    let entries = match std::fs::read_dir(dir) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        result => result.map_err(within("read", dir))?,
    };
    let mut files = Vec::new();
    for entry in entries {
        let entry = entry.map_err(within("read", dir))?;
        if entry.file_name().to_string_lossy().contains(SUFFIX) {
            files.push(SetAside { path: entry.path(), bytes: entry.metadata().map_or(0, |metadata| metadata.len()) });
        }
    }
    files.sort_by(|a, b| a.path.cmp(&b.path));
    Ok(files)
}

impl SetAside {
    /// Reads the intact records, and calls `take` with them in order, some at a time.
    ///
    /// # Errors
    /// Those of `take` and of the disk; or a later version has written the file.
    pub fn read(&self, take: &mut dyn FnMut(Vec<Bytes>) -> io::Result<()>) -> io::Result<Salvaged> {
        let mut salvaged = Salvaged { records: 0, damaged_bytes: self.bytes };
        let Opened::Segment(found) = segment::open(&RealDisk, &self.path)? else { return Ok(salvaged) };
        let mut scanner = Scanner::new(found.file, found.header);
        let (mut records, mut size, mut intact) = (Vec::new(), 0, 0);
        while let Some(record) = scanner.next(u64::MAX).map_err(within("read", &self.path))? {
            salvaged.records += 1;
            size += record.payload.len();
            intact += (FRAME_BYTES + record.payload.len()) as u64;
            records.push(record.payload);
            if size >= CHUNK_BYTES {
                take(std::mem::take(&mut records))?;
                size = 0;
            }
        }
        if !records.is_empty() {
            take(records)?;
        }
        salvaged.damaged_bytes = found.len.saturating_sub(super::HEADER_BYTES as u64 + intact);
        Ok(salvaged)
    }

    /// Removes the file, whose records are safe elsewhere.
    ///
    /// # Errors
    /// Those of the disk.
    pub fn remove(&self) -> io::Result<()> {
        failpoint::reach(Point::Moved);
        RealDisk.remove(&self.path).map_err(within("remove", &self.path))
    }
}
