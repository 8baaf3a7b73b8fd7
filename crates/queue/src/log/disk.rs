//! What a log asks of the file system, so that tests can put one in its place that loses power.

use std::fs;
use std::io;
use std::os::unix::fs::{DirBuilderExt, FileExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::SystemTime;

/// Directories, and the files in them.
pub trait Disk: Send + Sync {
    /// Makes a directory with all that are missing above it, so that it outlives a crash.
    fn make_dir(&self, dir: &Path) -> io::Result<()>;
    /// The names of what is in a directory.
    fn list(&self, dir: &Path) -> io::Result<Vec<String>>;
    /// Makes a file that is not there yet, to be written and read.
    fn create(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Opens a file to be written and read.
    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>>;
    /// Gives a file another name, at which there may be one already: that one is gone then.
    fn rename(&self, from: &Path, to: &Path) -> io::Result<()>;
    /// Removes a file.
    fn remove(&self, path: &Path) -> io::Result<()>;
    /// Makes what was created, renamed and removed in a directory outlive a crash.
    fn sync_dir(&self, dir: &Path) -> io::Result<()>;
}

/// A file that is open.
pub trait File: Send + Sync {
    /// Its bytes.
    fn len(&self) -> io::Result<u64>;
    /// When it was last written.
    fn modified(&self) -> io::Result<SystemTime>;
    /// Reads into `buffer` until it is full or the file ends; returns how much.
    fn read_at(&self, buffer: &mut [u8], offset: u64) -> io::Result<usize>;
    /// Writes all of `data`.
    fn write_at(&self, data: &[u8], offset: u64) -> io::Result<()>;
    /// Makes what was written outlive a crash: fdatasync(2).
    fn sync(&self) -> io::Result<()>;
    /// Whether it is what `path` names: nobody has removed, moved or replaced it.
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
                _ => {}
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
        Ok(Arc::new(RealFile(file)))
    }

    fn open(&self, path: &Path) -> io::Result<Arc<dyn File>> {
        Ok(Arc::new(RealFile(fs::OpenOptions::new().read(true).write(true).open(path)?)))
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

/// An error with what was done to which file.
pub(super) fn within(doing: &str, path: &Path) -> impl FnOnce(io::Error) -> io::Error {
    let what = format!("cannot {doing} {}", PathBuf::from(path).display());
    move |error| io::Error::new(error.kind(), format!("{what}: {error}"))
}
