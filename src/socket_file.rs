//! Unix sockets in the file system: permissions, stale socket files, and removal.

use std::fs;
use std::io::{self, ErrorKind};
use std::os::fd::AsRawFd;
use std::os::unix::fs::{FileTypeExt, MetadataExt, PermissionsExt};
use std::os::unix::net;
use std::path::{Path, PathBuf};

use socket2::{Domain, SockAddr, Socket, Type};
use tokio::net::{UnixDatagram, UnixListener};

/// Connections in the backlog of the kernel, at most.
const BACKLOG: i32 = 1024;

/// The longest path in the address of a Unix socket, in bytes without the final NUL.
const MAX_PATH_BYTES: usize = 107;

/// The error of [`listen`].
#[derive(Debug, thiserror::Error)]
#[error("{source}; {help}")]
pub struct SocketError {
    /// The error of the system.
    pub source: io::Error,
    /// What to do.
    pub help: &'static str,
}

/// A listening socket and its file.
#[derive(Debug)]
pub struct SocketListener {
    /// Accepts connections.
    pub listener: UnixListener,
    /// The file.
    pub file: SocketFile,
}

/// A socket that datagrams arrive at, and its file.
#[derive(Debug)]
pub struct DatagramSocket {
    /// Receives datagrams.
    pub socket: UnixDatagram,
    /// The file.
    pub file: SocketFile,
}

/// The file of a Unix socket. It is removed when this is dropped, unless it was replaced.
#[derive(Debug)]
pub struct SocketFile {
    path: PathBuf,
    identity: (u64, u64),
}

impl SocketFile {
    /// Its path.
    pub fn path(&self) -> &Path {
        &self.path
    }
}

impl Drop for SocketFile {
    fn drop(&mut self) {
        let ours =
            fs::symlink_metadata(&self.path).is_ok_and(|metadata| (metadata.dev(), metadata.ino()) == self.identity);
        if ours && let Err(error) = fs::remove_file(&self.path) {
            tracing::warn!(path = %self.path.display(), %error, "cannot remove the Unix socket");
        }
    }
}

/// Listens on a Unix socket at `path` with the permissions `mode`: who may write to the file may connect. Replaces a stale
/// socket, on which no process listens. Must be called within a tokio runtime.
///
/// # Errors
/// Another process listens there, the path is another kind of file, or the socket cannot be created.
pub fn listen(path: &Path, mode: u32) -> Result<SocketListener, SocketError> {
    bind(path, mode, Type::STREAM, |socket, file| {
        socket.listen(BACKLOG)?;
        let listener = UnixListener::from_std(net::UnixListener::from(socket))?;
        Ok(SocketListener { listener, file })
    })
}

/// The same for a socket that datagrams are sent to.
///
/// # Errors
/// See [`listen`].
pub fn receive(path: &Path, mode: u32) -> Result<DatagramSocket, SocketError> {
    bind(path, mode, Type::DGRAM, |socket, file| {
        let socket = UnixDatagram::from_std(net::UnixDatagram::from(socket))?;
        Ok(DatagramSocket { socket, file })
    })
}

/// Creates a socket of the kind `kind` at `path`, which `open` makes usable.
fn bind<T>(
    path: &Path,
    mode: u32,
    kind: Type,
    open: impl FnOnce(Socket, SocketFile) -> io::Result<T>,
) -> Result<T, SocketError> {
    remove_stale(path)?;
    let bind = || {
        let socket = Socket::new(Domain::UNIX, kind, None)?;
        socket.set_nonblocking(true)?;
        let short = ShortPath::of(path)?;
        socket.bind(&SockAddr::unix(&short.path)?)?;
        let metadata = fs::symlink_metadata(path)?;
        let file = SocketFile { path: path.to_owned(), identity: (metadata.dev(), metadata.ino()) };
        // Before it listens, no process can connect with the permissions of the umask.
        fs::set_permissions(path, fs::Permissions::from_mode(mode))?;
        open(socket, file)
    };
    bind().map_err(|source: io::Error| {
        let help = match source.kind() {
            ErrorKind::NotFound => "create its directory first",
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
/// No process listens there, or the permissions do not allow it.
pub fn connect(path: &Path) -> io::Result<net::UnixStream> {
    let short = ShortPath::of(path)?;
    net::UnixStream::connect(&short.path)
}

/// A path that fits into the address of a socket. A longer one is reached through its directory, which is kept open.
struct ShortPath {
    path: PathBuf,
    _directory: Option<fs::File>,
}

impl ShortPath {
    fn of(path: &Path) -> io::Result<Self> {
        let (Some(directory), Some(name)) = (path.parent(), path.file_name()) else {
            return Ok(Self { path: path.to_owned(), _directory: None });
        };
        if path.as_os_str().len() <= MAX_PATH_BYTES {
            return Ok(Self { path: path.to_owned(), _directory: None });
        }
        let directory = fs::File::open(directory)?;
        let path = Path::new("/proc/self/fd").join(directory.as_raw_fd().to_string()).join(name);
        Ok(Self { path, _directory: Some(directory) })
    }
}

/// Removes a socket at `path` on which no process listens.
fn remove_stale(path: &Path) -> Result<(), SocketError> {
    let Ok(metadata) = fs::symlink_metadata(path) else {
        return Ok(());
    };
    if !metadata.file_type().is_socket() {
        let source = io::Error::new(ErrorKind::AlreadyExists, "there is a file that is not a socket");
        return Err(SocketError { source, help: "remove that file or choose another path" });
    }
    match connect(path) {
        Err(error) if error.kind() == ErrorKind::ConnectionRefused => fs::remove_file(path)
            .map_err(|source| SocketError { source, help: "remove the socket that an earlier process left there" }),
        Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
        // After a connection, a full backlog, a denied permission or another kind of socket it must be assumed to be in use.
        _ => Err(SocketError {
            source: io::Error::from(ErrorKind::AddrInUse),
            help: "another process listens there: stop it or choose another path",
        }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a socket in a directory with a path far longer than an address can hold: a second listener, a stale socket
    /// as after `kill -9`, and the end of the listener.
    /// Guarantees: it can be connected to, with the given mode; a second listener is refused while the first exists; a stale
    /// socket is replaced; the file is removed with the listener.
    #[tokio::test]
    async fn long_paths_and_stale_sockets() {
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
            let again = listen(&path, 0o600).expect("replaces the stale socket");
            drop(again);
            assert!(!path.exists());
        }
    }

    /// Scenario: a socket for datagrams: used, bound a second time as either kind, left behind by a killed process, dropped.
    /// Guarantees: datagrams arrive; while it is open it is never taken over; a stale one is replaced; its file is removed.
    #[tokio::test]
    async fn datagrams() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        let DatagramSocket { socket, file } = receive(&path, 0o660).expect("binds");
        assert_eq!(fs::metadata(&path).expect("there").permissions().mode() & 0o777, 0o660);
        net::UnixDatagram::unbound().expect("a socket").send_to(b"hello", &path).expect("sent");
        let mut buffer = [0; 16];
        assert_eq!(socket.recv(&mut buffer).await.expect("received"), 5);
        assert_eq!(receive(&path, 0o660).expect_err("in use").source.kind(), ErrorKind::AddrInUse);
        assert_eq!(listen(&path, 0o660).expect_err("in use").source.kind(), ErrorKind::AddrInUse);
        drop(socket);
        std::mem::forget(file);
        assert!(path.exists());
        drop(receive(&path, 0o660).expect("replaces the stale socket"));
        assert!(!path.exists());
    }

    /// Scenario: another kind of file at the path. Guarantees: it is not touched.
    #[tokio::test]
    async fn a_file_is_never_replaced() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("s");
        fs::write(&path, "mine").expect("written");
        let error = listen(&path, 0o600).expect_err("refused");
        assert!(error.to_string().contains("not a socket"), "{error}");
        assert_eq!(fs::read(&path).expect("there"), b"mine");
    }
}
