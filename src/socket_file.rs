//! Listening on Unix sockets in the file system: who may connect, what is in the way, and what goes when it goes.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::UnixListener;

/// Connections that the kernel keeps for us until we accept them.
const BACKLOG: i32 = 1024;

/// The longest path that an address of a Unix socket holds, in bytes; the last byte is its end.
const LONGEST: usize = 107;

/// A socket that cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("{source}; {help}")]
pub struct SocketError {
    /// What the system said.
    pub source: io::Error,
    /// What to do about it.
    pub help: &'static str,
}

/// A socket that is listened on, with the file that goes when it goes.
#[derive(Debug)]
pub struct SocketListener {
    /// What accepts.
    pub listener: UnixListener,
    /// What it is found by.
    pub file: SocketFile,
}

/// The file of a Unix socket; removed when dropped, if it is still the one that was made.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Where it is.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours = fs::symlink_metadata(&self.path).is_ok_and(|found| (found.dev(), found.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Listens on the Unix socket at `path`, to which those may connect whom the permissions `mode` allow to write. A socket
/// that nobody listens on any more is replaced. Must be called within a tokio runtime.
///
/// # Errors
/// Somebody listens there, something else is in the way, or the file cannot be made.
pub fn listen(path: &Path, mode: u32) -> Result<SocketListener, SocketError> {
    make_way(path)?;
    let listen = || {
        let socket = Socket::new(Domain::UNIX, Type::STREAM, None)?;
        socket.set_nonblocking(true)?;
        let short = Short::of(path)?;
        socket.bind(&SockAddr::unix(&short.path)?)?;
        let made = fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), identity: (made.dev(), made.ino()) };
        // Nobody can connect before `listen`, so that the umask's mode is never in force.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(net::UnixListener::from(socket))?;
        Ok(SocketListener { listener, file })
    };
    listen().map_err(|source: io::Error| {
        let help = match source.kind() {
            ErrorKind::NotFound => "make its directory first",
            ErrorKind::PermissionDenied => "let the service write to its directory, or choose another path",
            ErrorKind::InvalidInput => "choose a shorter path (107 bytes at most)",
            _ => "choose another path",
        };
        SocketError { source, help }
    })
}

/// Connects to the Unix socket at `path`.
///
/// # Errors
/// Nobody listens there, or it may not be connected to.
pub fn connect(path: &Path) -> io::Result<net::UnixStream> {
    let short = Short::of(path)?;
    net::UnixStream::connect(&short.path)
}

/// A path that fits the address of a socket: a longer one is reached through its open directory.
struct Short {
    path: PathBuf,
    _directory: Option<fs::File>,
}

impl Short {
    fn of(path: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Self { path: path.to_owned(), _directory: None });
        };
        if path.as_os_str().len() <= LONGEST {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let directory = fs::File::open(directory)?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}

/// Removes a socket at `path` that nobody listens on.
fn make_way(path: &Path) -> Result<(), SocketError> {
    let Ok(found) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !found.file_type().is_socket() {
        let source = io::Error::new(ErrorKind::AlreadyExists, "a file that is no socket is in the way");
        return Err(SocketError { source, help: "remove that file or choose another path" });
    }
    match connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| SocketError { source, help: "remove the socket that an earlier process left there" }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // A connection, a full backlog and a denied permission all mean that it may be somebody's.
        _ => Err(SocketError {
            source: io::Error::from(ErrorKind::AddrInUse),
            help: "another process listens there: stop it or choose another path",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a socket in a directory whose path is far longer than an address holds; it is listened on twice, left
    /// behind as by `kill -9`, and let go of.
    /// Guarantees: it can be connected to with the mode asked for; a second listener is refused while the first lives;
    /// a left one is replaced; the file goes with the listener.
    #[tokio::test]
    async fn long_paths_and_left_sockets() {
        let folder = tempfile::tempdir().expect("a folder");
        let deep = folder.path().join("d".repeat(120));
        fs::create_dir(&deep).expect("a folder");
        for path in [folder.path().join("s"), deep.join("s")] {
            let first = listen(&path, 0o600).expect("listens");
            assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o600);
            connect(&path).expect("connects");
            let second = listen(&path, 0o600).expect_err("in use");
            assert_eq!(second.source.kind(), ErrorKind::AddrInUse);
            let SocketListener { listener, file } = first;
            drop(listener);
            std::mem::forget(file);
            assert!(path.exists());
            let again = listen(&path, 0o600).expect("replaces what was left");
            drop(again);
            assert!(!path.exists());
        }
    }

    /// Scenario: a file at the path. Guarantees: it is not touched.
    #[tokio::test]
    async fn a_file_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        fs::write(&path, "mine").expect("written");
        let error = listen(&path, 0o600).expect_err("in the way");
        assert!(error.to_string().contains("no socket"), "{error}");
        assert_eq!(fs::read(&path).expect("there"), b"mine");
    }
}
