//! Counts the lines that a script writes to the log.

use std::io::Write;
use std::sync::Arc;

use parking_lot::Mutex;

use serde::{Deserialize, Serialize};

/// Statistics of log lines.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LogStats {
    /// The number of lines.
    pub(super) count: usize,
    /// The length of the longest line, in bytes.
    pub(super) longest: usize,
    /// The number of lines with a control character, which could forge a line or control a terminal.
    pub(super) control: usize,
}

/// A writer for the log that counts lines.
#[derive(Debug, Clone, Default)]
pub(super) struct LogCapture(Arc<Mutex<LogStats>>);

impl LogCapture {
    /// Replaces the log of this process, with the formatter of the service.
    pub(super) fn install() -> Self {
        let capture = Self::default();
        let writer = capture.clone();
        let log = tracing_subscriber::fmt().with_ansi(false).with_target(false);
        let _ = log.with_max_level(tracing::Level::DEBUG).with_writer(move || writer.clone()).try_init();
        capture
    }

    /// The statistics so far.
    pub(super) fn stats(&self) -> LogStats {
        *self.0.lock()
    }
}

impl Write for LogCapture {
    /// Counts one event: the formatter writes each event at once.
    fn write(&mut self, event: &[u8]) -> std::io::Result<usize> {
        let line = event.strip_suffix(b"\n").unwrap_or(event);
        let mut stats = self.0.lock();
        stats.count += 1;
        stats.longest = stats.longest.max(line.len());
        stats.control += usize::from(line.iter().any(u8::is_ascii_control));
        Ok(event.len())
    }

    fn flush(&mut self) -> std::io::Result<()> {
        Ok(())
    }
}
