//! Messages to the local syslog daemon, in the form that the C library's `syslog` sends.
//!
//! A Unix socket keeps a message until the daemon reads it; if the daemon ends before that, the message is lost. A
//! message therefore settles when it has been read: the kernel holds no unread bytes of it, and the daemon still existed
//! afterwards. Unread messages are sent again to the next daemon.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::socket::DaemonSocket;
use crate::sink::{BoxFuture, FailureKind, SendError, Sent, Sink};

/// Number of messages between two checks of what has been read. When the daemon ends, about this many messages more than
/// the kernel buffers are duplicated.
const CHECK_INTERVAL: usize = 64;

/// Sends whole syslog messages to a Unix socket.
pub(super) struct DaemonSink {
    path: PathBuf,
    timeout: Duration,
    socket: Option<DaemonSocket>,
    // Sizes of the messages that the kernel has accepted and that are not known to be read, oldest first.
    unread: VecDeque<usize>,
    // Number of read messages that are not reported as settled yet.
    read: usize,
}

impl DaemonSink {
    /// Makes a sink that connects when the first message is sent.
    pub(super) fn new(path: &Path, timeout: Duration) -> Self {
        Self { path: path.to_owned(), timeout, socket: None, unread: VecDeque::new(), read: 0 }
    }

    async fn send_all(&mut self, messages: &[Bytes]) -> Result<Sent, SendError> {
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = self.send_one(message).await {
                return Err(match Errno::from_io_error(&error) {
                    Some(Errno::MSGSIZE) => self.too_large(message.len()).await,
                    _ => self.disconnected(&error),
                });
            }
            if index % CHECK_INTERVAL == CHECK_INTERVAL - 1 {
                self.update_read()?;
            }
        }
        self.update_read()?;
        Ok(self.take_settled())
    }

    async fn send_one(&mut self, message: &[u8]) -> io::Result<()> {
        if self.unread.is_empty() && self.socket.as_ref().is_some_and(|socket| !socket.is_alive()) {
            self.socket = None;
        }
        let mut socket = match self.socket.take() {
            Some(socket) => socket,
            None => DaemonSocket::open(&self.path, self.timeout).await?,
        };
        let sent = socket.send(message, self.timeout).await;
        self.socket = Some(socket);
        sent?;
        self.unread.push_back(message.len());
        Ok(())
    }

    /// Returns how many of the unread messages have been read meanwhile.
    fn count_read(&self) -> io::Result<usize> {
        let Some(socket) = &self.socket else { return Ok(0) };
        let held = socket.unread()?;
        // The newest messages that fit into the kernel's unread bytes may be unread; those before have been read.
        let mut bytes = 0;
        let fits = |size: &&usize| {
            bytes += **size as u64;
            bytes <= held
        };
        let read = self.unread.len() - self.unread.iter().rev().take_while(fits).count();
        // This check must come second: when a daemon ends, the kernel drops its unread bytes.
        if read > 0 && !socket.is_alive() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(read) }
    }

    fn update_read(&mut self) -> Result<(), SendError> {
        let read = self.count_read().map_err(|error| self.disconnected(&error))?;
        self.unread.drain(..read);
        self.read += read;
        Ok(())
    }

    /// Waits until the daemon has read a message that is not reported yet.
    async fn wait_until_read(&mut self) -> Result<(), SendError> {
        // The kernel does not notify about reads.
        const SHORTEST: Duration = Duration::from_millis(1);
        const MAX_PAUSE: Duration = Duration::from_millis(20);
        let (mut pause, begin, before) = (SHORTEST, Instant::now(), self.unread.len());
        loop {
            self.update_read()?;
            if self.unread.is_empty() || self.unread.len() < before {
                return Ok(());
            }
            if !self.socket.as_ref().is_some_and(DaemonSocket::is_alive) {
                return Err(self.disconnected(&io::ErrorKind::ConnectionReset.into()));
            }
            if begin.elapsed() >= self.timeout {
                return Err(self.disconnected(&io::ErrorKind::TimedOut.into()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(MAX_PAUSE);
        }
    }

    fn take_settled(&mut self) -> Sent {
        Sent::settled(std::mem::take(&mut self.read))
    }

    /// Makes the error of a message that is too large for the socket, after those before it have been read.
    async fn too_large(&mut self, size: usize) -> SendError {
        while !self.unread.is_empty() {
            if let Err(error) = self.wait_until_read().await {
                return error;
            }
        }
        let (path, largest) = (self.path.display(), self.socket.as_ref().map_or(0, DaemonSocket::largest));
        let message = format!(
            "a message of {size} bytes does not fit into a datagram of {largest} bytes for {path}; raise \
            net.core.wmem_max, or take long members out of the message"
        );
        SendError::new(std::mem::take(&mut self.read), FailureKind::TooLarge, message)
    }

    /// Closes the socket. Messages that are not known to be read must be sent again.
    fn disconnected(&mut self, error: &io::Error) -> SendError {
        let message = self.explain(error);
        // A slow daemon has read most of the messages.
        self.read += self.count_read().unwrap_or(0);
        self.socket = None;
        self.unread = VecDeque::new();
        SendError::retry(std::mem::take(&mut self.read), message)
    }

    fn explain(&self, error: &io::Error) -> String {
        let path = self.path.display();
        match error.kind() {
            io::ErrorKind::NotFound => {
                format!("no syslog daemon listens at {path}; start it, or set config.socket or config.host")
            }
            io::ErrorKind::ConnectionRefused => format!("the syslog daemon at {path} is gone; start it"),
            io::ErrorKind::ConnectionReset | io::ErrorKind::BrokenPipe => {
                format!("the syslog daemon at {path} ended before it read everything")
            }
            io::ErrorKind::TimedOut => {
                let milliseconds = self.timeout.as_millis();
                format!(
                    "the syslog daemon at {path} read nothing within config.timeout ({milliseconds} ms); check the daemon"
                )
            }
            _ => format!("cannot write to the syslog daemon at {path}: {error}"),
        }
    }
}

impl Sink for DaemonSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            self.wait_until_read().await?;
            Ok(self.take_settled())
        })
    }
}
