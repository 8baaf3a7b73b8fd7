//! The signals that a service listens to.

use tokio::signal::unix::{Signal, SignalKind, signal};

/// What a signal asks for.
pub(super) enum Request {
    /// SIGTERM or SIGINT: stop. Holds the signal's name.
    Stop(&'static str),
    /// SIGHUP: read the configuration and open files again.
    Reload,
    /// SIGUSR1: open files again.
    ReopenFiles,
}

/// Catches signals for as long as it exists.
pub(super) struct Signals {
    terminate: Signal,
    interrupt: Signal,
    hang_up: Signal,
    reopen: Signal,
    /// Only caught, so that a file-size limit is an error of the write instead of the end of the process.
    _too_large: Signal,
}

impl Signals {
    /// # Errors
    /// The system does not let them be caught.
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

    /// Waits for a signal to stop, and ignores the others. Answers with its name.
    pub(super) async fn stop(&mut self) -> &'static str {
        loop {
            if let Request::Stop(name) = self.next().await {
                return name;
            }
        }
    }
}
