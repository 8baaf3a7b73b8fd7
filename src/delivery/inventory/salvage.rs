//! Reads what is intact in files that were set aside, and puts it back.

use std::io;
use std::path::Path;

use bytes::Bytes;
use serde::{Deserialize, Serialize};

use super::SetAsideLevel;
use logphase_queue::{SetAside, set_aside_files};

/// What was done with one file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Salvage {
    /// The file.
    pub file: String,
    /// Intact messages, which were put back.
    pub messages: u64,
    /// Bytes that are not part of an intact message.
    pub damaged_bytes: u64,
    /// Whether the file was removed. A file without any intact message is kept.
    pub removed: bool,
}

/// The files in `folder` that were set aside.
pub(super) fn level(folder: &Path) -> SetAsideLevel {
    // A folder that cannot be read has other errors.
    let files = set_aside_files(folder).unwrap_or_default();
    SetAsideLevel { files: files.len() as u64, bytes: files.iter().map(|file| file.bytes).sum() }
}

/// Puts the intact messages of all files in `folder` that were set aside back with `put`, and then removes the file. A crash
/// in between can duplicate messages, and loses none.
///
/// # Errors
/// Those of `put` and of the disk; the file at hand and those after it are kept.
pub(super) fn put_back(folder: &Path, put: &mut dyn FnMut(Vec<Bytes>) -> io::Result<()>) -> io::Result<Vec<Salvage>> {
    set_aside_files(folder)?.iter().map(|file| put_back_file(file, put)).collect()
}

fn put_back_file(file: &SetAside, put: &mut dyn FnMut(Vec<Bytes>) -> io::Result<()>) -> io::Result<Salvage> {
    let found = file.read(put)?;
    let removed = found.records > 0;
    if removed {
        file.remove()?;
    }
    let name = file.path.file_name().unwrap_or_default().to_string_lossy().into_owned();
    Ok(Salvage { file: name, messages: found.records, damaged_bytes: found.damaged_bytes, removed })
}
