//! The service's own log, on standard error.

use std::io::{self, IsTerminal, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};

use tokio::sync::{mpsc, oneshot};
use tracing_subscriber::fmt::MakeWriter;

use crate::confinement::thread_is_confined;
use crate::settings::{LogFormat, Settings};

/// Lines of workers that may wait to be written.
const WAITING: usize = 1024;

/// To the task that writes what confined threads may not.
static RELAY: OnceLock<mpsc::Sender<Relayed>> = OnceLock::new();
/// Lines that there was no room for.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Relayed {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(oneshot::Sender<()>),
}

/// Starts the log.
pub(super) fn start(settings: &Settings) {
    let filter = tracing_subscriber::EnvFilter::try_new(&settings.log.level)
        .unwrap_or_else(|_| tracing_subscriber::EnvFilter::new("info"));
    let log = tracing_subscriber::fmt().with_env_filter(filter).with_writer(StandardError);
    let log = log.with_ansi(io::stderr().is_terminal()).with_target(false);
    // A second log in one process (as in tests) keeps the first.
    let _ = match settings.log.format {
        LogFormat::Text => log.try_init(),
        LogFormat::Json => log.json().try_init(),
    };
}

/// Writes from now on what confined threads say; must be called inside a tokio runtime.
pub(super) fn relay() {
    let (relay, lines) = mpsc::channel(WAITING);
    if RELAY.set(relay).is_ok() {
        tell_of_panics();
        tokio::spawn(write(lines));
    }
}

/// Waits until every line so far is written.
pub(super) async fn flush() {
    let Some(relay) = RELAY.get() else { return };
    let (done, written) = oneshot::channel();
    let all = async {
        if relay.send(Relayed::Flush(done)).await.is_ok() {
            let _ = written.await;
        }
    };
    let _ = tokio::time::timeout(std::time::Duration::from_secs(5), all).await;
}

async fn write(mut lines: mpsc::Receiver<Relayed>) {
    while let Some(relayed) = lines.recv().await {
        match relayed {
            Relayed::Line(line) => {
                let _ = io::stderr().lock().write_all(&line);
                let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
                if left_out > 0 {
                    tracing::warn!(left_out, "workers logged more lines than could be written");
                }
            }
            Relayed::Flush(done) => {
                let _ = done.send(());
            }
        }
    }
}

/// The usual report of a panic is written by the thread that panics, which a worker may not.
fn tell_of_panics() {
    let usual = std::panic::take_hook();
    std::panic::set_hook(Box::new(move |panic| {
        if thread_is_confined() {
            tracing::error!("{panic}");
        } else {
            usual(panic);
        }
    }));
}

/// Standard error; lines of confined threads take the way around.
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
        if thread_is_confined() {
            self.held.extend_from_slice(bytes);
        } else {
            io::stderr().lock().write_all(bytes)?;
        }
        Ok(bytes.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if self.held.is_empty() {
            return;
        }
        let line = Relayed::Line(std::mem::take(&mut self.held));
        // A worker waits for no terminal.
        if RELAY.get().is_none_or(|relay| relay.try_send(line).is_err()) {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
    }
}
