//! The thread that writes the log.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::confinement::{ThreadFilter, thread_is_confined};

/// Lines in the writer's channel, at most.
const CHANNEL_LINES: usize = 1024;
/// How long the end of the process waits for the reader of standard error.
const FLUSH_TIMEOUT: Duration = Duration::from_secs(5);
/// How often the writer calls its periodic function.
const REPORT_INTERVAL: Duration = Duration::from_secs(1);

static WRITER: OnceLock<SyncSender<Job>> = OnceLock::new();
/// Lines that the channel had no room for.
static DROPPED: AtomicU64 = AtomicU64::new(0);

enum Job {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// Starts the thread, behind `filter`, which calls `report` every second. False if it runs already.
pub(super) fn start(report: fn(), filter: ThreadFilter) -> io::Result<bool> {
    let (sender, jobs) = sync_channel(CHANNEL_LINES);
    if WRITER.set(sender).is_err() {
        return Ok(false);
    }
    let body = move || {
        drop(filter.apply());
        run(&jobs, report);
    };
    std::thread::Builder::new().name("log".to_owned()).spawn(body).map(|_| true)
}

fn run(jobs: &Receiver<Job>, report: fn()) {
    let mut report_at = Instant::now() + REPORT_INTERVAL;
    loop {
        match jobs.recv_timeout(report_at.saturating_duration_since(Instant::now())) {
            Ok(Job::Line(line)) => {
                let _ = io::stderr().lock().write_all(&line);
                let dropped = DROPPED.swap(0, Ordering::Relaxed);
                if dropped > 0 {
                    tracing::warn!(
                        dropped,
                        "log lines are missing here: they came faster than standard error could be written"
                    );
                }
            }
            Ok(Job::Flush(done)) => {
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => {}
            Err(RecvTimeoutError::Disconnected) => return,
        }
        if Instant::now() >= report_at {
            report();
            report_at = Instant::now() + REPORT_INTERVAL;
        }
    }
}

/// Writes `text` to standard error as a whole: at once, or through the thread, without waiting.
pub(crate) fn write(text: Vec<u8>) {
    if let Some(writer) = WRITER.get() {
        if writer.try_send(Job::Line(text)).is_err() {
            DROPPED.fetch_add(1, Ordering::Relaxed);
        }
    } else if !thread_is_confined() {
        let _ = io::stderr().lock().write_all(&text);
    }
}

/// Blocks until every line so far is written, for [`FLUSH_TIMEOUT`] at most. For the end of the process.
pub(crate) fn flush() {
    let Some(writer) = WRITER.get() else { return };
    let end = Instant::now() + FLUSH_TIMEOUT;
    let (done, written) = sync_channel(1);
    let mut job = Job::Flush(done);
    // The channel has no send with a timeout; a full one is emptied as fast as standard error is read.
    while let Err(TrySendError::Full(again)) = writer.try_send(job) {
        if Instant::now() >= end {
            return;
        }
        job = again;
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
}
