//! The target that a path refers to, and the open file behind it.

use std::fmt;
use std::fs::{File, OpenOptions};
use std::io::{self, IoSlice, Write};
use std::os::fd::AsFd;
use std::os::unix::fs::{FileExt, FileTypeExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{OFlags, SeekFrom};
use rustix::io::Errno;

use super::lines::{PartialLine, WriteVectored, write_rest};

/// How long a pipe may stay full before the write fails.
const READER_TIMEOUT: Timespec = Timespec { tv_sec: 10, tv_nsec: 0 };

/// How long the end of a file must stay the same before it counts as torn.
const OTHER_WRITER_PAUSE: Duration = Duration::from_millis(5);

/// Where lines go.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub(super) enum Target {
    /// The standard output that the process was started with.
    Stdout,
    /// The standard error that the process was started with.
    Stderr,
    /// A file or a named pipe.
    Path(PathBuf),
}

impl fmt::Display for Target {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Stdout => f.write_str("standard output"),
            Self::Stderr => f.write_str("standard error"),
            Self::Path(path) => path.display().fmt(f),
        }
    }
}

impl Target {
    /// The target of `path`. Different spellings of a file's directory give the same target.
    pub(super) fn of(path: &Path) -> Self {
        match path.to_str() {
            Some("/dev/stdout" | "/dev/fd/1" | "/proc/self/fd/1") => return Self::Stdout,
            Some("/dev/stderr" | "/dev/fd/2" | "/proc/self/fd/2") => return Self::Stderr,
            _ => {}
        }
        let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
        let directory = absolute.parent().and_then(|directory| directory.canonicalize().ok());
        match (directory, absolute.file_name()) {
            (Some(directory), Some(name)) => Self::Path(directory.join(name)),
            _ => Self::Path(absolute),
        }
    }

    /// Opens the target for appending; creates a file that is missing, with the permissions `mode`.
    pub(super) fn open(&self, mode: u32) -> io::Result<OpenTarget> {
        let (file, inherited) = match self {
            Self::Stdout => (File::from(io::stdout().as_fd().try_clone_to_owned()?), true),
            Self::Stderr => (File::from(io::stderr().as_fd().try_clone_to_owned()?), true),
            Self::Path(path) => {
                // Without O_NONBLOCK, opening a pipe without a reader would block forever.
                let flags = OFlags::NONBLOCK | OFlags::NOCTTY;
                let flags = i32::try_from(flags.bits()).map_err(io::Error::other)?;
                (OpenOptions::new().append(true).create(true).mode(mode).custom_flags(flags).open(path)?, false)
            }
        };
        let metadata = file.metadata()?;
        let kind = match metadata.file_type() {
            kind if kind.is_file() => FileKind::Regular,
            kind if kind.is_fifo() => FileKind::Pipe,
            _ => FileKind::Device,
        };
        Ok(OpenTarget {
            id: (metadata.dev(), metadata.ino()),
            end: metadata.size(),
            file,
            kind,
            inherited,
            partial: None,
        })
    }

    /// Syncs the directory of the target, so that a new file has its name after a power cut. A directory that this process may
    /// not read cannot be synced; file systems with a journal sync the name with the file.
    pub(super) fn sync_directory(&self) -> io::Result<()> {
        let Self::Path(path) = self else { return Ok(()) };
        match File::open(path.parent().unwrap_or(Path::new("/"))) {
            Ok(directory) => directory.sync_all(),
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Formats an error with the target and what to do about it.
    pub(super) fn explain(&self, error: &io::Error) -> String {
        let directory = match self {
            Self::Path(path) => path.parent().unwrap_or(Path::new("/")).display().to_string(),
            _ => String::new(),
        };
        let todo = match Errno::from_io_error(error) {
            Some(Errno::NOENT) => format!("the directory {directory} does not exist; create it"),
            Some(Errno::NOTDIR) => format!("a part of {directory} is not a directory; correct config.path"),
            Some(Errno::ISDIR) => "it is a directory; set config.path to a file in it".to_owned(),
            Some(Errno::ACCESS | Errno::PERM) => {
                let user = rustix::process::geteuid().as_raw();
                format!("permission denied; let user id {user} write the file and search {directory}")
            }
            Some(Errno::NOSPC) => "no space left on its file system; free some".to_owned(),
            Some(Errno::DQUOT) => "the disk quota is used up; free some or raise it".to_owned(),
            Some(Errno::FBIG) => "the file is at the limit for sizes; rotate it or raise ulimit -f".to_owned(),
            Some(Errno::ROFS) => "its file system is mounted read-only; mount it read-write".to_owned(),
            Some(Errno::NXIO) => "no process reads the pipe (or it is a socket); start its reader".to_owned(),
            Some(Errno::PIPE) => "the reader of the pipe is gone; start it again".to_owned(),
            Some(Errno::MFILE | Errno::NFILE) => "too many open files; raise ulimit -n".to_owned(),
            _ if error.kind() == io::ErrorKind::TimedOut => {
                "the pipe is full and its reader does not read; check the reader".to_owned()
            }
            _ => error.to_string(),
        };
        format!("cannot write to {self}: {todo}")
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FileKind {
    Regular,
    Pipe,
    Device,
}

/// An open target.
#[derive(Debug)]
pub(super) struct OpenTarget {
    file: File,
    kind: FileKind,
    inherited: bool,
    id: (u64, u64),
    // The end of the file after the last write of this process. A shorter regular file was truncated.
    end: u64,
    partial: Option<PartialLine>,
}

impl OpenTarget {
    pub(super) fn is_inherited(&self) -> bool {
        self.inherited
    }

    pub(super) fn is_pipe(&self) -> bool {
        self.kind == FileKind::Pipe
    }

    /// Whether it is a regular file that this process has opened.
    pub(super) fn is_regular_file(&self) -> bool {
        self.kind == FileKind::Regular && !self.inherited
    }

    /// Whether the target's path still leads to this file.
    pub(super) fn is_at(&self, target: &Target) -> bool {
        match target {
            Target::Path(path) => path.metadata().is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id),
            _ => self.inherited,
        }
    }

    pub(super) fn is_same_file(&self, other: &Self) -> bool {
        self.id == other.id
    }

    /// Continues after `old`, another descriptor of the same file.
    pub(super) fn continue_from(&mut self, old: &Self) {
        self.end = old.end;
        self.partial.clone_from(&old.partial);
    }

    /// Another descriptor of the open file, for syncs.
    pub(super) fn another(&self) -> io::Result<Self> {
        Ok(Self { file: self.file.try_clone()?, partial: None, ..*self })
    }

    /// Syncs a regular file with `sync`.
    pub(super) fn sync(&self, sync: &dyn Fn(&File) -> io::Result<()>) -> io::Result<()> {
        if self.is_regular_file() { sync(&self.file) } else { Ok(()) }
    }

    /// Writes a newline if the file ends within a line, which an earlier process or a full disk has left, so that the next
    /// line is one of its own. What this process may not read counts as whole.
    pub(super) fn end_torn_line(&mut self, target: &Target) -> io::Result<()> {
        let Target::Path(path) = target else { return Ok(()) };
        if !self.is_regular_file() || self.end == 0 {
            return Ok(());
        }
        let Ok(reader) = File::open(path) else { return Ok(()) };
        let is_same = reader.metadata().is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.id);
        // Another process may be writing a line.
        let mut size = None;
        while is_same && size != Some(self.end) {
            if size.is_some() {
                std::thread::sleep(OTHER_WRITER_PAUSE);
            }
            size = Some(self.end);
            self.end = reader.metadata()?.size();
            let mut last = [b'\n'];
            if self.end > 0 {
                reader.read_at(&mut last, self.end - 1)?;
            }
            if last == [b'\n'] {
                return Ok(());
            }
        }
        if is_same {
            let (written, failure) = write_rest(self, b"\n");
            self.note_written(written)?;
            failure.map_or(Ok(()), Err)?;
        }
        Ok(())
    }

    /// Whether the last link to the file was removed.
    pub(super) fn was_removed(&self) -> io::Result<bool> {
        Ok(self.is_regular_file() && self.file.metadata()?.nlink() == 0)
    }

    /// Whether the file is shorter than it was after the last write.
    pub(super) fn was_truncated(&self) -> io::Result<bool> {
        Ok(self.is_regular_file() && self.file.metadata()?.size() < self.end)
    }

    /// How long ago the file was last changed by anyone; a truncation is a change.
    pub(super) fn time_since_change(&self) -> io::Result<Duration> {
        let changed = self.file.metadata()?.modified()?;
        Ok(changed.elapsed().unwrap_or_default())
    }

    /// Records that `bytes` bytes were appended; true if the file was truncated just before.
    pub(super) fn note_written(&mut self, bytes: usize) -> io::Result<bool> {
        if !self.is_regular_file() || bytes == 0 {
            return Ok(false);
        }
        // After a write in append mode the position is the end of the written bytes.
        let position = rustix::fs::seek(&self.file, SeekFrom::Current(0))?;
        let truncated = position < self.end + bytes as u64;
        self.end = position;
        Ok(truncated)
    }

    /// Records the current length as the length after the last write.
    pub(super) fn accept_length(&mut self) -> io::Result<()> {
        if self.is_regular_file() {
            self.end = self.file.metadata()?.size();
        }
        Ok(())
    }

    /// Makes [`Self::was_truncated`] return true until the next write.
    pub(super) fn force_resend(&mut self) {
        self.end = u64::MAX;
    }

    /// Removes the beginning of a line from a regular file; elsewhere the next write completes the line.
    pub(super) fn undo_or_complete_later(&mut self, partial: PartialLine) {
        if !self.is_regular_file() || self.remove_from_end(partial.written as u64).is_err() {
            self.partial = Some(partial);
        }
    }

    fn remove_from_end(&mut self, bytes: u64) -> io::Result<()> {
        let position = rustix::fs::seek(&self.file, SeekFrom::Current(0))?;
        let size = self.file.metadata()?.size();
        if size != position {
            return Err(io::Error::other("another process has written to the file since"));
        }
        let new_size = size.checked_sub(bytes).ok_or(io::ErrorKind::InvalidData)?;
        self.file.set_len(new_size)?;
        self.end = new_size;
        Ok(())
    }

    /// Completes the partial line, if there is one, and returns the whole line.
    pub(super) fn complete_partial_line(&mut self) -> io::Result<Option<Bytes>> {
        let Some(mut partial) = self.partial.take() else { return Ok(None) };
        let (written, failure) = write_rest(self, &partial.rest);
        self.note_written(written)?;
        let Some(error) = failure else { return Ok(Some(partial.line)) };
        partial.written += written;
        partial.rest = partial.rest.slice(written..);
        self.partial = Some(partial);
        Err(error)
    }

    fn wait_writable(&self) -> io::Result<()> {
        let mut descriptor = [PollFd::new(&self.file, PollFlags::OUT)];
        match poll(&mut descriptor, Some(&READER_TIMEOUT)) {
            Ok(0) => Err(io::ErrorKind::TimedOut.into()),
            Ok(_) | Err(Errno::INTR) => Ok(()),
            Err(error) => Err(error.into()),
        }
    }
}

impl WriteVectored for OpenTarget {
    fn write(&mut self, slices: &[IoSlice<'_>]) -> io::Result<usize> {
        if self.kind == FileKind::Regular {
            return self.file.write_vectored(slices);
        }
        if self.inherited {
            // The descriptor may be blocking, and its flags must not change because other processes share it. A pipe that
            // polls as writable accepts PIPE_BUF bytes without blocking.
            self.wait_writable()?;
            const PIPE_BUF: usize = 4096;
            let mut size = 0;
            let fitting = slices.iter().take_while(|slice| {
                size += slice.len();
                size <= PIPE_BUF
            });
            return match fitting.count() {
                0 => self.file.write(&slices[0][..PIPE_BUF]),
                count => self.file.write_vectored(&slices[..count]),
            };
        }
        loop {
            match self.file.write_vectored(slices) {
                Err(error) if error.kind() == io::ErrorKind::WouldBlock => self.wait_writable()?,
                result => return result,
            }
        }
    }
}
