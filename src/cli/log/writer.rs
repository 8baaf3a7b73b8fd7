//! The thread that writes the log.

use std::io::{self, Write};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TrySendError, sync_channel};
use std::time::{Duration, Instant};

use crate::confinement::thread_is_confined;

/// Lines that may wait to be written.
const WAITING: usize = 1024;
/// How long the end of the process waits for whoever reads standard error.
const LAST_WORDS: Duration = Duration::from_secs(5);

static WRITER: OnceLock<SyncSender<Job>> = OnceLock::new();
/// Lines that there was no room for.
static LEFT_OUT: AtomicU64 = AtomicU64::new(0);

enum Job {
    Line(Vec<u8>),
    /// Answered when everything before it is written.
    Flush(SyncSender<()>),
}

/// Starts the thread, which calls `now_and_then` every second; whether there was none.
pub(super) fn start(now_and_then: fn()) -> io::Result<bool> {
    let (sender, jobs) = sync_channel(WAITING);
    if WRITER.set(sender).is_err() {
        return Ok(false);
    }
    std::thread::Builder::new().name("log".to_owned()).spawn(move || work(&jobs, now_and_then)).map(|_| true)
}

fn work(jobs: &Receiver<Job>, now_and_then: fn()) {
    loop {
        match jobs.recv_timeout(Duration::from_secs(1)) {
            Ok(Job::Line(line)) => {
                let _ = io::stderr().lock().write_all(&line);
                let left_out = LEFT_OUT.swap(0, Ordering::Relaxed);
                if left_out > 0 {
                    tracing::warn!(
                        left_out,
                        "log lines are missing here: they came faster than they could be written to standard error"
                    );
                }
            }
            Ok(Job::Flush(done)) => {
                let _ = done.send(());
            }
            Err(RecvTimeoutError::Timeout) => now_and_then(),
            Err(RecvTimeoutError::Disconnected) => return,
        }
    }
}

/// Writes to standard error, in whole: at once, or, when the thread runs, without waiting.
pub(crate) fn write(text: Vec<u8>) {
    if let Some(writer) = WRITER.get() {
        if writer.try_send(Job::Line(text)).is_err() {
            LEFT_OUT.fetch_add(1, Ordering::Relaxed);
        }
    } else if !thread_is_confined() {
        let _ = io::stderr().lock().write_all(&text);
    }
}

/// Blocks until every line so far is written; not for ever. For the end of the process.
pub(crate) fn flush() {
    let Some(writer) = WRITER.get() else { return };
    let end = Instant::now() + LAST_WORDS;
    let (done, written) = sync_channel(1);
    let mut job = Job::Flush(done);
    while let Err(TrySendError::Full(again)) = writer.try_send(job) {
        if Instant::now() >= end {
            return;
        }
        job = again;
        std::thread::sleep(Duration::from_millis(10));
    }
    let _ = written.recv_timeout(end.saturating_duration_since(Instant::now()));
}
