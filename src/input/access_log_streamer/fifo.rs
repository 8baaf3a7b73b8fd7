//! A FIFO that Envoys write to.
//!
//! It is kept open for writing here, too, so that it does not end when the last Envoy closes it, and is not made anew while an Envoy
//! has it open: such an Envoy would write to the old one, which nobody reads.

use std::fs::{self, File, Metadata, OpenOptions};
use std::io::{self, ErrorKind};
use std::os::unix::fs::{DirBuilderExt, FileTypeExt, MetadataExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::fs::{CWD, FlockOperation, Mode, OFlags, flock, mkfifoat};
use tokio::net::unix::pipe;

use super::Stream;
use crate::connections::Connections;
use crate::input::accept::Peer;
use crate::input::{BindError, Context};

/// Permissions of a new one, as kuma-dp makes it: Envoy may run as any user.
const MODE: u32 = 0o666;
/// Those of a directory that is made for it.
const DIRECTORY_MODE: u32 = 0o755;

/// The pause before it is read again after a fault, or after a line was given up for others.
const PAUSE: Duration = Duration::from_millis(100);

/// A FIFO that this process reads, and no other.
pub(super) struct Fifo {
    path: PathBuf,
    receiver: pipe::Receiver,
    /// Keeps it from ending.
    writer: File,
    /// The identity of the file if this process has made it.
    made: Option<(u64, u64)>,
}

/// Whether a file is a FIFO.
pub(super) fn is_fifo(found: &Metadata) -> bool {
    found.file_type().is_fifo()
}

impl Fifo {
    /// Makes the FIFO at `path`, if there is none, and opens it.
    ///
    /// # Errors
    /// The path is taken by something else, another process reads it, or it cannot be made or opened.
    pub(super) fn open(path: &Path) -> Result<Self, BindError> {
        Self::try_open(path).map_err(|(source, help)| {
            let address = path.display().to_string();
            BindError::Listen { what: "lines in a FIFO", address, source, help }
        })
    }

    fn try_open(path: &Path) -> Result<Self, (io::Error, &'static str)> {
        let help = |source: io::Error| match source.kind() {
            ErrorKind::PermissionDenied => {
                (source, "let the service read and write it and its directory, or choose another path")
            }
            _ => (source, "choose another path"),
        };
        let made = make(path).map_err(help)?;
        let taken = || (io::Error::other("the file is not a FIFO"), "remove it, or choose another path");
        if !is_fifo(&fs::metadata(path).map_err(help)?) {
            return Err(taken());
        }
        let receiver = pipe::OpenOptions::new().open_receiver(path).map_err(help)?;
        flock(&receiver, FlockOperation::NonBlockingLockExclusive).map_err(|error| match io::Error::from(error) {
            error if error.kind() == ErrorKind::WouldBlock => {
                (io::Error::other("another process reads it"), "stop that one, or choose another path")
            }
            error => help(error),
        })?;
        let mut options = OpenOptions::new();
        options.write(true).custom_flags(OFlags::NONBLOCK.bits().cast_signed());
        let writer = options.open(path).map_err(help)?;
        Ok(Self { path: path.to_owned(), receiver, writer, made })
    }

    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Ends reading. Removes the file if this process has made it and nobody else has it open: to an Envoy that has it open,
    /// a new one would be another.
    fn close(self) {
        let Self { path, receiver, writer, made } = self;
        drop(writer);
        let mut ends = [PollFd::new(&receiver, PollFlags::IN)];
        let found = poll(&mut ends, Some(&Timespec { tv_sec: 0, tv_nsec: 0 })).map(|_| ends[0].revents());
        let is_open = !found.is_ok_and(|found| found.contains(PollFlags::HUP));
        let unread = found.is_ok_and(|found| found.contains(PollFlags::IN));
        let shown = path.display();
        if is_open {
            tracing::info!(
                "{shown} stays: a process has it open for writing, and what it writes is kept for the next start until it is full"
            );
        } else if unread {
            tracing::warn!("{shown} has lines that were not read, and nobody has it open: they are lost");
        }
        let ours = || fs::symlink_metadata(&path).is_ok_and(|found| made == Some((found.dev(), found.ino())));
        if !is_open
            && ours()
            && let Err(error) = fs::remove_file(&path)
        {
            tracing::warn!("cannot remove the FIFO {shown}: {error}");
        }
    }
}

/// Makes a FIFO, and its directory, if there is nothing at `path`. Returns the identity of what was made.
fn make(path: &Path) -> io::Result<Option<(u64, u64)>> {
    if fs::symlink_metadata(path).is_ok() {
        return Ok(None);
    }
    if let Some(directory) = path.parent().filter(|directory| !directory.as_os_str().is_empty()) {
        fs::DirBuilder::new().recursive(true).mode(DIRECTORY_MODE).create(directory)?;
    }
    match mkfifoat(CWD, path, Mode::from_raw_mode(MODE)) {
        // Another process was faster.
        Err(rustix::io::Errno::EXIST) => return Ok(None),
        made => made?,
    }
    // Whatever the umask.
    fs::set_permissions(path, fs::Permissions::from_mode(MODE))?;
    let found = fs::symlink_metadata(path)?;
    Ok(Some((found.dev(), found.ino())))
}

/// Reads `fifo` until the inputs stop.
pub(super) async fn serve(context: Context, mut fifo: Fifo, stream: Stream) {
    // No writer has to write all the time.
    let stream = Stream { idle_timeout: Duration::MAX, ..stream };
    let places = Connections::new(1);
    loop {
        let slot = places.admit(None).await;
        let own = Context { intake: context.intake.for_sender(None), ..context.clone() };
        stream.clone().serve(own, &mut fifo.receiver, (Peer::Local, slot)).await;
        if context.is_stopping() {
            break;
        }
        tokio::time::sleep(PAUSE).await;
    }
    fifo.close();
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a FIFO that is made with its directory; a second reader; a file, a directory and a link to a file in its place.
    /// Guarantees: everybody may write to it whatever the umask; another reader and everything else are refused, and the error says
    /// what to do; it is gone at the end.
    #[tokio::test]
    async fn what_is_made_and_what_is_refused() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("new/logs.fifo");
        let fifo = Fifo::open(&path).unwrap();
        let found = fs::metadata(&path).unwrap();
        assert!(is_fifo(&found) && found.mode() & 0o777 == MODE);
        let error = Fifo::open(&path).map(drop).unwrap_err().to_string();
        assert!(error.contains("another process reads it; stop that one"), "{error}");
        for (name, make) in [
            ("file", &(|path: &Path| fs::write(path, "kept").unwrap()) as &dyn Fn(&Path)),
            ("directory", &|path| fs::create_dir(path).unwrap()),
            ("link", &|path| std::os::unix::fs::symlink("file", path).unwrap()),
        ] {
            let path = home.path().join(name);
            make(&path);
            let error = Fifo::open(&path).map(drop).unwrap_err().to_string();
            let expected =
                format!("cannot listen for lines in a FIFO on {}: the file is not a FIFO; remove it", path.display());
            assert!(error.contains(&expected), "{error}");
        }
        assert_eq!(fs::read_to_string(home.path().join("file")).unwrap(), "kept");
        fifo.close();
        assert!(!path.exists());
    }

    /// Scenario: a FIFO whose writer stays, and one that was there before.
    /// Guarantees: neither is removed at the end.
    #[tokio::test]
    async fn what_stays() {
        let home = tempfile::tempdir().unwrap();
        let path = home.path().join("logs.fifo");
        let fifo = Fifo::open(&path).unwrap();
        let writer = OpenOptions::new().write(true).open(&path).unwrap();
        fifo.close();
        assert!(path.exists());
        let again = Fifo::open(&path).unwrap();
        drop(writer);
        again.close();
        assert!(path.exists());
    }
}
