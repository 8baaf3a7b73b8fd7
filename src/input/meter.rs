//! What the inputs count, and how they keep a flood of bad input from becoming a flood of log lines.

use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

/// The kinds of input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// `POST /`.
    Http,
    /// JSON lines over TCP.
    Tcp,
    /// JSON lines over a Unix socket.
    Unix,
    /// One object per datagram.
    Udp,
    /// JSON lines on standard input.
    Stdin,
}

impl Kind {
    /// Every kind, in the order of the enum.
    pub const ALL: [Self; 5] = [Self::Http, Self::Tcp, Self::Unix, Self::Udp, Self::Stdin];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Http => "http",
            Self::Tcp => "tcp",
            Self::Unix => "unix",
            Self::Udp => "udp",
            Self::Stdin => "stdin",
        }
    }
}

/// Why something that came in was not taken.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not the JSON that an input takes.
    Malformed,
    /// Past a limit on bytes, depth, members or number.
    TooLarge,
    /// A method, path, media type or encoding that is not served.
    Unsupported,
    /// The queues (or the memory for bodies) were full.
    Full,
    /// The service was going down.
    ShuttingDown,
    /// The peer was too slow.
    Timeout,
    /// The peer ended in the middle.
    Incomplete,
    /// A fault of the service itself.
    Internal,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 8] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::Full,
        Self::ShuttingDown,
        Self::Timeout,
        Self::Incomplete,
        Self::Internal,
    ];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Malformed => "malformed",
            Self::TooLarge => "too_large",
            Self::Unsupported => "unsupported",
            Self::Full => "full",
            Self::ShuttingDown => "shutting_down",
            Self::Timeout => "timeout",
            Self::Incomplete => "incomplete",
            Self::Internal => "internal",
        }
    }
}

/// What one kind of input has counted since the start.
#[derive(Debug, Default)]
pub struct Meter {
    received: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    open: AtomicU64,
    accepted: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    pub(super) complaints: Folded,
}

impl Meter {
    /// Transactions whose entries are all in their queues.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes read from the peers, before any decompression and without protocol heads.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Sound transactions that were neither taken nor refused in a way that their sender could see.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open(&self) -> u64 {
        self.open.load(Ordering::Relaxed)
    }

    /// Connections that were accepted.
    pub fn connections(&self) -> u64 {
        self.accepted.load(Ordering::Relaxed)
    }

    /// Requests (HTTP), lines or datagrams that were not taken for this reason.
    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected[reason as usize].load(Ordering::Relaxed)
    }

    pub(super) fn receive(&self, transactions: usize) {
        self.received.fetch_add(transactions as u64, Ordering::Relaxed);
    }

    pub(super) fn read(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn lose(&self, transactions: u64) {
        self.lost.fetch_add(transactions, Ordering::Relaxed);
    }

    pub(super) fn reject(&self, reason: Reason) {
        self.rejected[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn opened(&self) -> OpenGuard<'_> {
        self.open.fetch_add(1, Ordering::Relaxed);
        self.accepted.fetch_add(1, Ordering::Relaxed);
        OpenGuard(self)
    }
}

/// Counts a connection as open while it lives.
pub(super) struct OpenGuard<'a>(&'a Meter);

impl Drop for OpenGuard<'_> {
    fn drop(&mut self) {
        self.0.open.fetch_sub(1, Ordering::Relaxed);
    }
}

/// The meters of all inputs.
#[derive(Debug, Default)]
pub struct Meters {
    by_kind: [Meter; Kind::ALL.len()],
}

impl Meters {
    /// The meter of one kind of input.
    pub fn of(&self, kind: Kind) -> &Meter {
        &self.by_kind[kind as usize]
    }
}

/// Lets the first few complaints of a period through and folds the rest into a number.
#[derive(Debug, Default)]
pub(super) struct Folded {
    state: Mutex<FoldState>,
}

#[derive(Debug, Default)]
struct FoldState {
    since: Option<Instant>,
    passed: u32,
    folded: u64,
}

impl Folded {
    const PERIOD: Duration = Duration::from_secs(10);
    const PER_PERIOD: u32 = 10;

    /// Whether to log now; if so, how many were passed over in silence before this one.
    pub(super) fn pass(&self) -> Option<u64> {
        self.pass_at(Instant::now())
    }

    fn pass_at(&self, now: Instant) -> Option<u64> {
        // A panic between lock and unlock cannot leave the numbers worse than a little off.
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        if state.since.is_none_or(|since| now.duration_since(since) >= Self::PERIOD) {
            state.since = Some(now);
            state.passed = 0;
        }
        if state.passed == Self::PER_PERIOD {
            state.folded += 1;
            return None;
        }
        state.passed += 1;
        Some(std::mem::take(&mut state.folded))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: a flood of complaints, a pause, one more complaint.
    /// Guarantees: ten lines per period at most, and the next period's first line says how many were folded.
    #[test]
    fn folds_a_flood() {
        let folded = Folded::default();
        let start = Instant::now();
        let passed = (0..1000).filter(|_| folded.pass_at(start).is_some()).count();
        assert_eq!(passed, 10);
        assert_eq!(folded.pass_at(start + Folded::PERIOD), Some(990));
        assert_eq!(folded.pass_at(start + Folded::PERIOD), Some(0));
    }

    /// Scenario: each reason and kind is counted.
    /// Guarantees: the tables are in the order of the enums, so that a count lands under its own name.
    #[test]
    fn tables_are_in_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Kind::ALL.iter().enumerate().all(|(i, kind)| *kind as usize == i));
    }
}
