//! The sink of the machine's syslog daemon, which is written to as `syslog` of the C library does.
//!
//! A Unix socket keeps a message until the daemon reads it; if the daemon ends before, the message is gone. So a
//! message settles when it has been read: when the kernel holds no unread bytes of it, and the daemon was still there
//! afterwards. What was not read is sent again to the daemon that comes next.

use std::collections::VecDeque;
use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use bytes::Bytes;
use rustix::io::Errno;
use tokio::time::{Instant, sleep};

use super::link::Link;
use crate::sink::{BoxFuture, FailureKind, SendError, Sent, Sink};

/// After how many messages it is asked what has been read: about so many more than the kernel keeps are sent twice around
/// the daemon's end.
const ASK_AFTER: usize = 64;

/// Sends whole syslog messages to a Unix socket.
pub(super) struct Local {
    path: PathBuf,
    timeout: Duration,
    link: Option<Link>,
    // Sizes of the messages that the kernel has taken and that are not known to be read, oldest first.
    unread: VecDeque<usize>,
    // How many before those have been read and not been reported as settled.
    read: usize,
}

impl Local {
    /// Connects when the first message comes.
    pub(super) fn new(path: &Path, timeout: Duration) -> Self {
        Self { path: path.to_owned(), timeout, link: None, unread: VecDeque::new(), read: 0 }
    }

    async fn send_all(&mut self, messages: &[Bytes]) -> Result<Sent, SendError> {
        for (index, message) in messages.iter().enumerate() {
            if let Err(error) = self.send_one(message).await {
                return Err(match Errno::from_io_error(&error) {
                    Some(Errno::MSGSIZE) => self.oversize(message.len()).await,
                    _ => self.broken(&error),
                });
            }
            if index % ASK_AFTER == ASK_AFTER - 1 {
                self.note_read()?;
            }
        }
        self.note_read()?;
        Ok(self.take_settled())
    }

    async fn send_one(&mut self, message: &[u8]) -> io::Result<()> {
        if self.unread.is_empty() && self.link.as_ref().is_some_and(|link| !link.is_alive()) {
            self.link = None;
        }
        let mut link = match self.link.take() {
            Some(link) => link,
            None => Link::open(&self.path, self.timeout).await?,
        };
        let sent = link.send(message, self.timeout).await;
        self.link = Some(link);
        sent?;
        self.unread.push_back(message.len());
        Ok(())
    }

    /// How many of the unread messages have been read by now.
    fn ask(&self) -> io::Result<usize> {
        let Some(link) = &self.link else { return Ok(0) };
        let held = link.unread()?;
        // The newest messages that fit into what is held may be unread; those before have been read.
        let mut bytes = 0;
        let fits = |size: &&usize| {
            bytes += **size as u64;
            bytes <= held
        };
        let read = self.unread.len() - self.unread.iter().rev().take_while(fits).count();
        // Asked after the bytes were: those of a daemon that has ended are gone, and not read.
        if read > 0 && !link.is_alive() { Err(io::ErrorKind::ConnectionReset.into()) } else { Ok(read) }
    }

    fn note_read(&mut self) -> Result<(), SendError> {
        let read = self.ask().map_err(|error| self.broken(&error))?;
        self.unread.drain(..read);
        self.read += read;
        Ok(())
    }

    /// Waits until the daemon has read something that is not reported yet.
    async fn wait_read(&mut self) -> Result<(), SendError> {
        // The kernel wakes nobody when a datagram is read.
        const SHORTEST: Duration = Duration::from_millis(1);
        const LONGEST: Duration = Duration::from_millis(20);
        let (mut pause, begin, before) = (SHORTEST, Instant::now(), self.unread.len());
        loop {
            self.note_read()?;
            if self.unread.is_empty() || self.unread.len() < before {
                return Ok(());
            }
            if !self.link.as_ref().is_some_and(Link::is_alive) {
                return Err(self.broken(&io::ErrorKind::ConnectionReset.into()));
            }
            if begin.elapsed() >= self.timeout {
                return Err(self.broken(&io::ErrorKind::TimedOut.into()));
            }
            sleep(pause).await;
            pause = (pause * 2).min(LONGEST);
        }
    }

    fn take_settled(&mut self) -> Sent {
        Sent::settled(std::mem::take(&mut self.read))
    }

    /// The error of a message that the socket never takes, once those before it have been read.
    async fn oversize(&mut self, size: usize) -> SendError {
        while !self.unread.is_empty() {
            if let Err(error) = self.wait_read().await {
                return error;
            }
        }
        let (path, largest) = (self.path.display(), self.link.as_ref().map_or(0, Link::largest));
        let message = format!(
            "a message of {size} bytes does not fit into a datagram of {largest} bytes for {path}; raise \
            net.core.wmem_max, or take long members out of the message"
        );
        SendError { delivered: std::mem::take(&mut self.read), kind: FailureKind::TooLarge, message, retry_after: None }
    }

    /// Gives the link up; what is not known to be read is to be sent again.
    fn broken(&mut self, error: &io::Error) -> SendError {
        let message = self.explain(error);
        // A daemon that is only slow has read most of it.
        self.read += self.ask().unwrap_or(0);
        self.link = None;
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
                format!("the syslog daemon at {path} ended before it had read everything")
            }
            io::ErrorKind::TimedOut => {
                let milliseconds = self.timeout.as_millis();
                format!("the syslog daemon at {path} read nothing within config.timeout ({milliseconds} ms); see to it")
            }
            _ => format!("cannot write to the syslog daemon at {path}: {error}"),
        }
    }
}

impl Sink for Local {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.send_all(entries))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(async move {
            self.wait_read().await?;
            Ok(self.take_settled())
        })
    }
}
