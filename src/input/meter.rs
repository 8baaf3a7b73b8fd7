//! What the inputs count.

use std::sync::atomic::{AtomicU64, Ordering};

use crate::folding::Folded;

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

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: each reason and kind is counted.
    /// Guarantees: the tables are in the order of the enums, so that a count lands under its own name.
    #[test]
    fn tables_are_in_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Kind::ALL.iter().enumerate().all(|(i, kind)| *kind as usize == i));
    }
}
