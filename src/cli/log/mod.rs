//! The service's own log, on standard error.

mod flood;
mod writer;

use std::io::{self, IsTerminal, Write};

use tracing_subscriber::fmt::MakeWriter;
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;

use crate::confinement::thread_is_confined;
use crate::folding::Folded;
use crate::settings::{LogFormat, Settings};
use flood::Flood;

pub(crate) use writer::{flush, write};

/// Starts the log.
pub(crate) fn start(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log.level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let lines = tracing_subscriber::fmt::layer().with_writer(StandardError);
    let lines = lines.with_ansi(io::stderr().is_terminal()).with_target(false);
    let log = tracing_subscriber::registry().with(filter).with(Flood);
    // A second log in one process (as in tests) keeps the first.
    let _ = match settings.log.format {
        LogFormat::Text => log.with(lines).try_init(),
        LogFormat::Json => log.with(lines.json()).try_init(),
    };
}

/// From now on a thread of its own writes all lines: no other one waits for whoever reads standard error, and confined
/// ones may not write at all.
///
/// # Errors
/// The thread cannot be started.
pub(crate) fn relay() -> io::Result<()> {
    if writer::start(flood::report)? {
        tell_of_panics();
    }
    Ok(())
}

/// The usual report of a panic is written by the thread that panics, which a worker may not.
fn tell_of_panics() {
    static REPEATED: Folded = Folded::new();
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if !thread_is_confined() {
            usual(panic);
        } else if let Some(folded) = REPEATED.pass() {
            tracing::error!(folded, "{panic}");
        }
    }));
}

/// Standard error, by way of the writer.
struct StandardError;

impl<'a> MakeWriter<'a> for StandardError {
    type Writer = Line;

    fn make_writer(&'a self) -> Line {
        Line { held: Vec::new() }
    }
}

/// One line.
struct Line {
    held: Vec<u8>,
}

impl Write for Line {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.held.extend_from_slice(bytes);
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.held.is_empty() {
            write(std::mem::take(&mut self.held));
        }
    }
}
