//! What a script brings into the service's log.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use serde::{Deserialize, Serialize};

/// Counts of the log's lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct Lines {
    /// Lines.
    pub(super) count: usize,
    /// Bytes of the longest.
    pub(super) longest: usize,
    /// Lines with a control character, which could make two lines of one or move a terminal's cursor.
    pub(super) control: usize,
}

/// Takes the service's log.
#[derive(Debug, Clone, Default)]
pub(super) struct Sink(Arc<Mutex<Lines>>);

impl Sink {
    /// Becomes this process's log, set up as the service sets up its own.
    pub(super) fn install() -> Self {
        let sink = Self::default();
        let writer = sink.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_target(false);
        let _ = log.with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).try_init();
        sink
    }

    /// What came so far.
    pub(super) fn lines(&self) -> Lines {
        *self.0.lock()
    }
}

impl Write for Sink {
    /// Every event is one write.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let mut lines = self.0.lock();
        lines.count += 1;
        lines.longest = lines.longest.max(line.len());
        lines.control += usize::from(line.iter().any(u8::is_ascii_control));
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
