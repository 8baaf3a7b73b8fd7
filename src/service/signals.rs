//! The signals that a service handles.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// The meaning of a signal.
pub(super) enum Request {
    /// SIGTERM or SIGINT: stop. Holds the signal's name.
    Stop(&'static str),
    /// SIGHUP: reload the configuration and reopen files.
    Reload,
    /// SIGUSR1: reopen files.
    ReopenFiles,
}

/// Catches signals while it exists.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reopen: Signal,
    /// Caught and ignored, so that a file-size limit fails the write instead of ending the process.
    _too_large: Signal,
}

impl Signals {
    /// Starts to catch the signals.
    ///
    /// # Errors
    /// The system does not allow it.
    pub(super) fn catch() -> std::io::Result<Self> {
        const SIGXFSZ: i32 = 25;
        Ok(Self {
            terminate: signal(SignalKind::terminate())?,
            interrupt: signal(SignalKind::interrupt())?,
            hang_up: signal(SignalKind::hangup())?,
            reopen: signal(SignalKind::user_defined1())?,
            _too_large: signal(SignalKind::from_raw(SIGXFSZ))?,
        })
    }

    /// The next signal.
    pub(super) async fn next(&mut self) -> Request {
        tokio::select! {
            _ = self.terminate.recv() => Request::Stop("SIGTERM"),
            _ = self.interrupt.recv() => Request::Stop("SIGINT"),
            _ = self.hang_up.recv() => Request::Reload,
            _ = self.reopen.recv() => Request::ReopenFiles,
        }
    }

    /// Waits for a signal to stop, and ignores the others. Returns its name.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Request::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
