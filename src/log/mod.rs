//! The service's own log, on standard error: its set-up, the thread that writes it, and [`limit`] on lines that repeat.

mod callsite;
mod fields;
pub(crate) mod limit;
mod writer;

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;

use serde::Deserialize;
use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, Registry, reload};

use crate::confinement::{ThreadFilter, thread_is_confined};
use callsite::CallsiteLimit;
use limit::{Limiter, Policy};

pub(crate) use callsite::AUDIT_TARGET;
pub(crate) use writer::{flush, write};

/// Changes which lines are logged.
static FILTER: OnceLock<reload::Handle<EnvFilter, Registry>> = OnceLock::new();

/// Starts the log.
pub(crate) fn start(level: &str, format: LogFormat) {
    let (filter, handle) = reload::Layer::new(filter_of(level));
    let lines = tracing_subscriber::fmt::layer().with_writer(StandardError);
    let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
    let log = tracing_subscriber::registry().with(filter).with(CallsiteLimit);
    // In a process that has a log already (as in tests) it stays.
    let started = match format {
        LogFormat::Text => log.with(lines.map_fmt_fields(|_| fields::printable_fields())).try_init(),
        LogFormat::Json => log.with(lines.json()).try_init(),
    };
    if started.is_ok() {
        let _ = FILTER.set(handle);
    }
}

/// Logs lines of `level` and above from now on.
///
/// # Errors
/// The log was not started.
pub(crate) fn set_level(level: &str) -> Result<(), String> {
    let filter = FILTER.get().ok_or("the log was not started")?;
    filter.reload(filter_of(level)).map_err(|error| error.to_string())
}

/// The lines of `level` and above, and who has changed what.
fn filter_of(level: &str) -> EnvFilter {
    // h2 logs each peer that misbehaves; the HTTP input says so with a limit.
    let quiet = if matches!(level, "debug" | "trace") { "" } else { ",h2=error" };
    let filter = EnvFilter::try_new(format!("{level}{quiet},{AUDIT_TARGET}=info"));
    filter.unwrap_or_else(|_| EnvFilter::new("info"))
}

/// Starts the thread, behind `filter`, that writes all lines from now on: no other thread waits for the reader of standard error, and
/// confined threads cannot write at all.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn start_writer(filter: ThreadFilter) -> io::Result<()> {
    if writer::start(callsite::report, filter)? {
        log_panics_of_workers();
    }
    Ok(())
}

/// The default hook writes on the thread that panics, which a worker must not do.
fn log_panics_of_workers() {
    static PANICS: Limiter = Limiter::new(Policy::MANY);
    let default_hook = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !thread_is_confined() {
            default_hook(panic);
        } else if let Some(suppressed) = PANICS.admit() {
            tracing::error!(suppressed, "{panic}");
        }
    }));
}

/// The format of the lines of the service's own log.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LogFormat {
    /// For people.
    Text,
    /// One JSON object per line.
    Json,
}

/// Standard error, through the writer.
struct StandardError;

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { buffer: Vec::new() }
    }
}

/// One line, written as a whole when it is dropped.
struct Line {
    buffer: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.buffer.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.buffer.is_empty() {
            write(std::mem::take(&mut self.buffer));
        }
    }
}
