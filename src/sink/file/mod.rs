//! Lines appended to files.

mod writer;

pub use self::writer::Writers;

use std::collections::VecDeque;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use self::writer::{AppendMode, Fate, Position, Writer};
use crate::sink::line_format::formatted;
use crate::sink::{Batching, BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, parse};

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// The file; `/dev/stdout` and `/dev/stderr` mean the inherited descriptors.
    pub path: PathBuf,
    /// Open the file again for every batch of messages (Kong: for each request).
    #[serde(default)]
    pub reopen: bool,
}

/// How long closing waits for lines to be confirmed.
const CLOSE_TIMEOUT: Duration = Duration::from_secs(10);

/// Appends lines to a file through the process's only writer of that path. If its queue is on disk, the lines are
/// unconfirmed until they are on the disk of the file, too.
pub struct FileSink {
    writer: Arc<Writer>,
    mode: AppendMode,
    // The unconfirmed lines: how many each batch has, and the position after it.
    unconfirmed: VecDeque<(Position, usize)>,
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// A field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    formatted(config, Box::new(FileSink::new(parse(config)?, shared)))
}

impl FileSink {
    /// Makes a sink for `config`. It opens the file when the first entry is sent.
    pub fn new(config: Config, shared: &SinkShared) -> Self {
        let writer = shared.writers.get(&config.path, || shared.resend_buffer(self::writer::RESEND_AGE));
        let mode = AppendMode { reopen: config.reopen, confirm: shared.queue_on_disk };
        Self { writer, mode, unconfirmed: VecDeque::new() }
    }

    /// Forgets the lines that are confirmed.
    fn forget_confirmed(&mut self) {
        let fate = |position| self.writer.fate(position);
        let confirmed = self.unconfirmed.iter().take_while(|(position, _)| fate(*position) == Fate::Confirmed).count();
        self.unconfirmed.drain(..confirmed);
    }

    /// Fails if lines are lost: all that are unconfirmed are to be written again, so that their order stays.
    fn check(&mut self) -> Result<(), SendError> {
        self.forget_confirmed();
        let is_lost = |(position, _): &(Position, usize)| self.writer.fate(*position) == Fate::Lost;
        if !self.unconfirmed.front().is_some_and(is_lost) {
            return Ok(());
        }
        let revoked = std::mem::take(&mut self.unconfirmed).iter().map(|(_, lines)| lines).sum();
        Err(SendError { revoked, ..SendError::retry(0, self.writer.sync_error()) })
    }

    async fn append(&mut self, entries: &[Bytes]) -> Result<Sent, SendError> {
        self.check()?;
        if entries.is_empty() {
            return Ok(Sent::default());
        }
        let outcome = self.writer.clone().append(entries.to_vec(), self.mode).await;
        self.unconfirmed.extend(outcome.position.map(|position| (position, outcome.written)));
        match outcome.failure {
            None => Ok(Sent { settled: outcome.written, lost: 0, warning: outcome.warning }),
            Some(message) if outcome.reader_gone => {
                Err(SendError::new(outcome.written, FailureKind::Permanent, message))
            }
            Some(message) => Err(SendError::retry(outcome.written, message)),
        }
    }

    /// Waits until lines are confirmed or lost.
    async fn wait(&mut self) -> Result<(), SendError> {
        let Some(&(first, _)) = self.unconfirmed.front() else { return std::future::pending().await };
        self.writer.confirmed(|| self.writer.fate(first) != Fate::Open).await;
        self.check()
    }
}

impl Sink for FileSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(self.append(entries))
    }

    fn unconfirmed(&mut self) -> usize {
        self.forget_confirmed();
        self.unconfirmed.iter().map(|(_, lines)| lines).sum()
    }

    fn batching(&self) -> Batching {
        Batching::Writes
    }

    fn maintain(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(self.wait())
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        Box::pin(async move {
            let confirming = async {
                while !self.unconfirmed.is_empty() {
                    self.writer.hurry();
                    self.wait().await?;
                }
                Ok(())
            };
            tokio::time::timeout(CLOSE_TIMEOUT, confirming).await.unwrap_or(Ok(()))
        })
    }
}

#[cfg(test)]
mod tests;
