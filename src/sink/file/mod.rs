//! The sink of file-log.

mod writer;

pub use self::writer::Writers;

use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use serde::Deserialize;

use self::writer::Writer;
use crate::sink::{BoxFuture, FailureKind, SendError, Sent, Sink, SinkShared};

/// The plugin's name in Kong.
pub const NAME: &str = "file-log";

/// What the sink needs of file-log's `config`.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
pub struct Config {
    /// The file; `/dev/stdout` and `/dev/stderr` mean the inherited descriptors.
    pub path: PathBuf,
    /// Open the file anew for every batch of messages (Kong: for each request).
    #[serde(default)]
    pub reopen: bool,
}

/// Appends lines to a file through the process's only writer of that path.
pub struct FileSink {
    writer: Arc<Writer>,
    reopen: bool,
}

impl FileSink {
    /// A sink for `config`. The file is opened when the first message comes.
    pub fn open(config: Config, shared: &SinkShared) -> Self {
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
                Some(message) if outcome.gone => Err(SendError::new(outcome.written, FailureKind::Permanent, message)),
                Some(message) => Err(SendError::retry(outcome.written, message)),
            }
        })
    }
}
