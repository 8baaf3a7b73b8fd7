//! Lines appended to files.

mod writer;

pub use self::writer::Writers;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;
use serde_json::Value;

use self::writer::Writer;
use crate::sink::{BoxFuture, ConfigError, FailureKind, SendError, Sent, Sink, SinkShared, parse};

/// The members of a plugin's `config` that the sink uses.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// The file; `/dev/stdout` and `/dev/stderr` mean the inherited descriptors.
    pub path: PathBuf,
    /// Open the file again for every batch of messages (Kong: for each request).
    #[serde(default)]
    pub reopen: bool,
}

/// Appends lines to a file through the process's only writer of that path.
pub struct FileSink {
    writer: Arc<Writer>,
    reopen: bool,
}

/// Makes a sink from `config`; see [`crate::sink::Opener`].
///
/// # Errors
/// A field that the sink cannot use.
pub fn open(config: &Value, shared: &SinkShared) -> Result<Box<dyn Sink>, Vec<ConfigError>> {
    Ok(Box::new(FileSink::new(parse(config)?, shared)))
}

impl FileSink {
    /// Makes a sink for `config`. It opens the file when the first entry is sent.
    pub fn new(config: Config, shared: &SinkShared) -> Self {
        let writer = shared.writers.get(&config.path, || shared.resend_buffer(self::writer::RESEND_AGE));
        Self { writer, reopen: config.reopen }
    }
}

impl Sink for FileSink {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async move {
            if entries.is_empty() {
                return Ok(Sent::default());
            }
            let outcome = self.writer.clone().append(entries.to_vec(), self.reopen).await;
            match outcome.failure {
                None => Ok(Sent { settled: outcome.written, lost: 0, warning: outcome.warning }),
                Some(message) if outcome.reader_gone => {
                    Err(SendError::new(outcome.written, FailureKind::Permanent, message))
                }
                Some(message) => Err(SendError::retry(outcome.written, message)),
            }
        })
    }
}
