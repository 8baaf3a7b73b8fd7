//! The file system of a log, behind a trait, so that tests can simulate power failures.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

use crate::owner;

/// Directories and their files.
pub trait Disk: Send + Sync {
    /// Creates a directory and its missing parents, so that they survive a crash.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Creates a file, which must not exist, for writing and reading.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file for writing and reading.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Renames a file, and replaces the file at the new name if there is one.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what was created, renamed and removed in a directory survive a crash: fsync(2).
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// An open file.
pub trait File: Send + Sync {
    /// Its length in bytes.
    fn len(&self) -> io::Result<u64>;
    /// When it was last written.
    fn modified(&self) -> io::Result<SystemTime>;
    /// Reads into `buffer` until it is full or the file ends; returns how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written survive a crash: fdatasync(2).
    fn sync(&self) -> io::Result<()>;
    /// Whether `path` still names it: it was not removed, moved or replaced.
    fn is_at(&self, path: &Path) -> io::Result<bool>;
}

/// The file system of the machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct RealDisk;

impl Disk for RealDisk {
    fn make_dir(&self, dir: &Path) -> io::Result<()> {
        let missing: Vec<&Path> =
            dir.ancestors().take_while(|dir| !dir.as_os_str().is_empty() && !dir.exists()).collect();
        for dir in missing.into_iter().rev() {
            match fs::DirBuilder::new().mode(0o700).create(dir) {
                Err(error) if error.kind() != io::ErrorKind::AlreadyExists => return Err(error),
                Err(_) => {}
                Ok(()) => owner::give(dir)?,
            }
            if let Some(above) = dir.parent() {
                self.sync_dir(if above.as_os_str().is_empty() { Path::new(".") } else { above })?;
            }
        }
        Ok(())
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<String>> {
        let names = fs::read_dir(dir)?.map(|entry| Ok(entry?.file_name().to_string_lossy().into_owned()));
        names.collect()
    }

    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        let file = fs::OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(path)?;
        if let Err(error) = owner::give(path) {
            let _ = fs::remove_file(path);
            return Err(error);
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        // Without waiting, if somebody put a pipe there.
        let flags = rustix::fs::OFlags::NONBLOCK.bits().cast_signed();
        let file = fs::OpenOptions::new().read(true).write(true).custom_flags(flags).open(path)?;
        if !file.metadata()?.is_file() {
            return Err(io::Error::new(io::ErrorKind::InvalidInput, "it is not a regular file; remove it"));
        }
        Ok(Arc::new(RealFile(file)))
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        fs::rename(from, to)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        fs::remove_file(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        fs::File::open(dir)?.sync_all()
    }
}

struct RealFile(fs::File);

impl File for RealFile {
    fn len(&self) -> io::Result<u64> {
        Ok(self.0.metadata()?.len())
    }

    fn modified(&self) -> io::Result<SystemTime> {
        self.0.metadata()?.modified()
    }

    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize> {
        let mut filled = 0;
        while filled < buffer.len() {
            match self.0.read_at(&mut buffer[filled..], offset + filled as u64) {
                Ok(0) => break,
                Ok(read) => filled += read,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(filled)
    }

    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()> {
        self.0.write_all_at(data, offset)
    }

    fn sync(&self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn is_at(&self, path: &Path) -> io::Result<bool> {
        let own = self.0.metadata()?;
        match fs::metadata(path) {
            Ok(named) => Ok((own.dev(), own.ino()) == (named.dev(), named.ino())),
            Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(false),
            Err(error) => Err(error),
        }
    }
}

/// What was done to which file when the disk failed.
#[derive(Debug, thiserror::Error)]
#[error("cannot {doing} {}: {source}", path.display())]
pub(super) struct DiskError {
    doing: String,
    path: PathBuf,
    source: io::Error,
}

impl DiskError {
    /// Whether the device has failed (EIO), which a later attempt may not meet.
    pub(super) fn is_input_output(&self) -> bool {
        rustix::io::Errno::from_io_error(&self.source) == Some(rustix::io::Errno::IO)
    }
}

/// Adds to an error what was done to which file.
pub(super) fn within(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let (doing, path) = (doing.to_owned(), path.to_owned());
    move |source| io::Error::new(source.kind(), DiskError { doing, path, source })
}
