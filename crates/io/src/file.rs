//! Files that a person names, read whole.
//!
//! A path can lead to a named pipe, a device or a huge file, also after it led to a good one. Reading them would wait for
//! a writer that never comes, or use up the memory. So only regular files are read, up to a size, and opened without
//! waiting; a command that a person waits for may read a pipe as well (`check <(generate)`).

use std::fs::{File, Metadata};
use std::io::{self, Read};
use std::os::unix::fs::FileTypeExt;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};

use rustix::fs::{Mode, OFlags};

/// Bytes of a configuration, a settings file, a script or a test, at most.
pub const MAX_TEXT: u64 = 256 << 20;
/// Bytes of a file with certificates or a key, at most.
pub const MAX_CERTIFICATES: u64 = 16 << 20;

/// Part of the error of a file that is not read because of [`forbid`].
pub const FORBIDDEN: &str = "no file is read here";

static IS_FORBIDDEN: AtomicBool = AtomicBool::new(false);

/// Refuses every file from now on, without a look at its path. For a process that runs what strangers give it, which reads no variables either.
pub fn forbid() {
    IS_FORBIDDEN.store(true, Ordering::Relaxed);
}

/// Whether [`forbid`] was called.
pub fn is_forbidden() -> bool {
    IS_FORBIDDEN.load(Ordering::Relaxed)
}

/// What may be at a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Accept {
    /// Regular files. Reading never waits for anything but the disk.
    Regular,
    /// Pipes and devices, too. Reading them can wait forever: only for a command that a person can interrupt.
    #[default]
    Streams,
}

/// The bytes of the file at `path`, which may have `max_bytes` of them. Follows links.
///
/// # Errors
/// It cannot be read, is larger, or is nothing that `accept` allows. The text of the error says what is there instead, and
/// what to do.
pub fn read(path: &Path, accept: Accept, max_bytes: u64) -> io::Result<Vec<u8>> {
    let file = open(path, accept)?;
    let length = file.metadata()?.len();
    if length > max_bytes {
        return Err(too_large(max_bytes));
    }
    let mut bytes = Vec::with_capacity(usize::try_from(length).unwrap_or(0));
    // A file in /proc, a pipe and a growing file have more bytes than they say.
    file.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes { Err(too_large(max_bytes)) } else { Ok(bytes) }
}

/// As [`read`], for a text in UTF-8.
///
/// # Errors
/// As [`read`], or it is not UTF-8.
pub fn read_to_string(path: &Path, accept: Accept, max_bytes: u64) -> io::Result<String> {
    let text = String::from_utf8(read(path, accept, max_bytes)?);
    text.map_err(|error| {
        let at = error.utf8_error().valid_up_to();
        io::Error::new(io::ErrorKind::InvalidData, format!("not UTF-8 at byte {at}"))
    })
}

/// Everything of `stream`, which may have `max_bytes`.
///
/// # Errors
/// It cannot be read, or is larger.
pub fn read_stream(stream: impl Read, max_bytes: u64) -> io::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    stream.take(max_bytes + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > max_bytes { Err(too_large(max_bytes)) } else { Ok(bytes) }
}

/// Opens the regular file at `path` for reading, without waiting. Follows links.
///
/// # Errors
/// It cannot be opened, or is no regular file.
pub fn open_regular(path: &Path) -> io::Result<File> {
    open(path, Accept::Regular)
}

fn open(path: &Path, accept: Accept) -> io::Result<File> {
    if is_forbidden() {
        return Err(io::Error::new(io::ErrorKind::PermissionDenied, FORBIDDEN));
    }
    // Opening alone can have an effect on a device or a pipe.
    let before = std::fs::metadata(path)?;
    refuse(&before, accept)?;
    if !before.is_file() {
        return File::open(path);
    }
    let flags = OFlags::RDONLY | OFlags::CLOEXEC | OFlags::NONBLOCK | OFlags::NOCTTY;
    let file = File::from(rustix::fs::open(path, flags, Mode::empty())?);
    // It may have been replaced meanwhile.
    refuse(&file.metadata()?, Accept::Regular)?;
    Ok(file)
}

/// Refuses what `accept` does not allow, in words that continue `cannot read kong.yml: `.
fn refuse(found: &Metadata, accept: Accept) -> io::Result<()> {
    let kind = found.file_type();
    let what = if kind.is_file() {
        return Ok(());
    } else if kind.is_dir() {
        return Err(io::Error::new(io::ErrorKind::IsADirectory, "it is a directory; name a file in it"));
    } else if kind.is_socket() {
        "a socket"
    } else if accept == Accept::Streams {
        return Ok(());
    } else if kind.is_fifo() {
        "a pipe"
    } else {
        "a device"
    };
    let advice = "only regular files are read here; write its content to a file and name that";
    Err(io::Error::new(io::ErrorKind::InvalidInput, format!("it is {what}, and {advice}")))
}

fn too_large(max_bytes: u64) -> io::Error {
    let text = match max_bytes >> 20 {
        0 => format!("it is larger than {max_bytes} bytes"),
        mebibytes => format!("it is larger than {mebibytes} MiB"),
    };
    io::Error::new(io::ErrorKind::FileTooLarge, text)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn refusal(path: &Path, accept: Accept) -> String {
        read(path, accept, 10).expect_err("refused").to_string()
    }

    /// Scenario: a pipe without a writer, a socket, a directory, a device without an end, a file past the bound, and a
    /// file of a size that it does not say. Guarantees: each is refused at once, with words that say what it is; a
    /// command may read a device, up to the bound; a sound file is read whole, through a link too.
    #[test]
    fn only_regular_files_up_to_a_size() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = |name: &str| folder.path().join(name);
        rustix::fs::mkfifoat(rustix::fs::CWD, path("pipe"), Mode::RUSR | Mode::WUSR).expect("a pipe");
        let _socket = std::os::unix::net::UnixListener::bind(path("socket")).expect("a socket");
        std::fs::write(path("small"), "0123456789").expect("room");
        std::fs::write(path("large"), "0123456789a").expect("room");
        std::os::unix::fs::symlink(path("small"), path("link")).expect("a link");
        assert!(refusal(&path("pipe"), Accept::Regular).starts_with("it is a pipe, and only regular files"));
        assert!(refusal(&path("socket"), Accept::Streams).starts_with("it is a socket, and only regular files"));
        assert!(refusal(folder.path(), Accept::Streams).starts_with("it is a directory; name a file"));
        assert!(refusal(Path::new("/dev/zero"), Accept::Regular).starts_with("it is a device, and only"));
        assert_eq!(refusal(Path::new("/dev/zero"), Accept::Streams), "it is larger than 10 bytes");
        assert_eq!(refusal(&path("large"), Accept::Regular), "it is larger than 10 bytes");
        assert_eq!(refusal(Path::new("/proc/self/status"), Accept::Regular), "it is larger than 10 bytes");
        assert_eq!(read(&path("link"), Accept::Regular, 10).expect("sound"), b"0123456789");
        assert_eq!(read(Path::new("/dev/null"), Accept::Streams, 10).expect("a stream"), b"");
        let missing = read(&path("missing"), Accept::Regular, 10).expect_err("not there");
        assert_eq!(missing.kind(), io::ErrorKind::NotFound);
    }

    /// Scenario: a sparse file of 10 GB. Guarantees: it is refused without being read.
    #[test]
    fn a_huge_file_costs_nothing() {
        let file = tempfile::NamedTempFile::new().expect("a file");
        file.as_file().set_len(10 << 30).expect("sparse");
        let error = read(file.path(), Accept::Regular, MAX_TEXT).expect_err("too large");
        assert_eq!(error.to_string(), "it is larger than 256 MiB");
    }
}
