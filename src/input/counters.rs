//! What an input counts.

use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, OnceLock};

use parking_lot::Mutex;

use super::ConsumerStats;
use crate::decode::DecodeError;
use crate::log::limit::Limiter;

/// Why an input did not take something it received.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Reason {
    /// Not what the decoder of the input reads.
    Malformed,
    /// Past a limit on bytes, depth, members or number.
    TooLarge,
    /// A method, path, media type or encoding that the input does not serve.
    Unsupported,
    /// The queues (or the memory for bodies) were full.
    Full,
    /// The service was shutting down.
    ShuttingDown,
    /// A syslog message without a JSON object, such as what a daemon says of itself.
    NotJson,
    /// The peer was too slow.
    Timeout,
    /// The peer closed the stream in the middle.
    Incomplete,
    /// The sender has not shown who it is.
    Unauthorized,
    /// It names an address that it may not go to.
    NotAllowed,
    /// A bug of the service.
    Internal,
}

impl Reason {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 11] = [
        Self::Malformed,
        Self::TooLarge,
        Self::Unsupported,
        Self::Full,
        Self::ShuttingDown,
        Self::NotJson,
        Self::Timeout,
        Self::Incomplete,
        Self::Unauthorized,
        Self::NotAllowed,
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
            Self::NotJson => "not_json",
            Self::Timeout => "timeout",
            Self::Incomplete => "incomplete",
            Self::Unauthorized => "unauthorized",
            Self::NotAllowed => "not_allowed",
            Self::Internal => "internal",
        }
    }
}

impl From<&DecodeError> for Reason {
    fn from(error: &DecodeError) -> Self {
        if error.too_large { Self::TooLarge } else { Self::Malformed }
    }
}

/// Why a connection was closed before anything of it was read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Its peer has as many connections as `per_peer.connections` allows.
    PeerConnections,
    /// Its peer connects more often than `per_peer.connection_rate` allows.
    PeerRate,
    /// It does not begin with a PROXY protocol header, although its peer is one of those that send it.
    ProxyProtocol,
    /// The PROXY protocol header did not arrive in time.
    ProxyTimeout,
}

impl Refusal {
    /// Every reason, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::PeerConnections, Self::PeerRate, Self::ProxyProtocol, Self::ProxyTimeout];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::PeerConnections => "peer_connections",
            Self::PeerRate => "peer_rate",
            Self::ProxyProtocol => "proxy_protocol",
            Self::ProxyTimeout => "proxy_timeout",
        }
    }
}

/// How a TLS handshake ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Handshake {
    /// The connection is encrypted, and its client is verified if that is asked for.
    Completed,
    /// The client has no certificate, or one that is not accepted.
    ClientCertificate,
    /// It did not end in time.
    Timeout,
    /// Any other reason: not TLS, no common version or cipher, the peer does not accept our certificate or has gone.
    Failed,
}

impl Handshake {
    /// Every result, in the order of the enum.
    pub const ALL: [Self; 4] = [Self::Completed, Self::ClientCertificate, Self::Timeout, Self::Failed];

    /// The name in logs and metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Completed => "completed",
            Self::ClientCertificate => "client_certificate",
            Self::Timeout => "timeout",
            Self::Failed => "failed",
        }
    }
}

/// The files that an input follows, now.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct FollowedFiles {
    /// Their number.
    pub followed: u64,
    /// Those of them that are open.
    pub open: u64,
    /// Bytes of all of them that were not read yet.
    pub lag_bytes: u64,
    /// The file with the most bytes that were not read yet, and how many; `None` if all were read.
    pub most_behind: Option<(PathBuf, u64)>,
    /// How often a file was renamed or removed, since the start.
    pub rotations: u64,
    /// How often a file was truncated, since the start.
    pub truncations: u64,
    /// Files that match and are not followed: compressed ones, and those past the limit.
    pub left_out: u64,
}

/// What one input has counted since it was started. An input without connections leaves those counters at 0.
#[derive(Debug, Default)]
pub struct Counters {
    received: AtomicU64,
    bytes: AtomicU64,
    lost: AtomicU64,
    skipped: AtomicU64,
    open_connections: AtomicU64,
    accepted_connections: AtomicU64,
    shed_connections: AtomicU64,
    rejected: [AtomicU64; Reason::ALL.len()],
    refused_connections: [AtomicU64; Refusal::ALL.len()],
    handshakes: [AtomicU64; Handshake::ALL.len()],
    throttled: AtomicU64,
    consumer: OnceLock<Arc<ConsumerStats>>,
    /// Of an input that follows files.
    files: OnceLock<Arc<Mutex<FollowedFiles>>>,
    /// Limits the log lines about what was not accepted.
    pub(super) log_limit: Limiter,
    /// Limits the log lines about connections that are refused.
    pub(super) refusal_limit: Limiter,
    /// Limits the log lines about connections that are closed for others.
    pub(super) shed_limit: Limiter,
}

impl Counters {
    /// Transactions whose entries are all in their queues.
    pub fn received(&self) -> u64 {
        self.received.load(Ordering::Relaxed)
    }

    /// Bytes read from peers, before decompression and without protocol headers.
    pub fn bytes(&self) -> u64 {
        self.bytes.load(Ordering::Relaxed)
    }

    /// Valid transactions that were neither taken nor refused in a way that their sender could see.
    pub fn lost(&self) -> u64 {
        self.lost.load(Ordering::Relaxed)
    }

    /// Records that the settings of the input leave out.
    pub fn skipped(&self) -> u64 {
        self.skipped.load(Ordering::Relaxed)
    }

    /// Connections that are open now.
    pub fn open_connections(&self) -> u64 {
        self.open_connections.load(Ordering::Relaxed)
    }

    /// Connections accepted so far.
    pub fn accepted_connections(&self) -> u64 {
        self.accepted_connections.load(Ordering::Relaxed)
    }

    /// Connections that were closed while they waited for their peer, because others needed their place or their memory.
    pub fn shed_connections(&self) -> u64 {
        self.shed_connections.load(Ordering::Relaxed)
    }

    /// Requests (HTTP), lines or datagrams that were rejected for `reason`.
    pub fn rejected(&self, reason: Reason) -> u64 {
        self.rejected[reason as usize].load(Ordering::Relaxed)
    }

    /// Rejections for all reasons.
    pub fn rejected_total(&self) -> u64 {
        Reason::ALL.iter().map(|reason| self.rejected(*reason)).sum()
    }

    /// Connections that were closed before anything of them was read, for `refusal`.
    pub fn refused_connections(&self, refusal: Refusal) -> u64 {
        self.refused_connections[refusal as usize].load(Ordering::Relaxed)
    }

    /// TLS handshakes that ended with `result`.
    pub fn handshakes(&self, result: Handshake) -> u64 {
        self.handshakes[result as usize].load(Ordering::Relaxed)
    }

    /// Times that nothing more was read of a connection for a while, because its peer sends more than
    /// `per_peer.byte_rate`.
    pub fn throttled(&self) -> u64 {
        self.throttled.load(Ordering::Relaxed)
    }

    pub(super) fn count_refused(&self, refusal: Refusal) {
        self.refused_connections[refusal as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_handshake(&self, result: Handshake) {
        self.handshakes[result as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_throttled(&self) {
        self.throttled.fetch_add(1, Ordering::Relaxed);
    }

    /// The state of the consumer, for an input that is one.
    pub fn consumer(&self) -> Option<&ConsumerStats> {
        self.consumer.get().map(Arc::as_ref)
    }

    /// Sets the state of the consumer. Only the first call has an effect.
    pub(super) fn set_consumer(&self, stats: Arc<ConsumerStats>) {
        let _ = self.consumer.set(stats);
    }

    /// The files that an input follows; `None` for all other inputs.
    pub fn files(&self) -> Option<FollowedFiles> {
        self.files.get().map(|files| files.lock().clone())
    }

    /// What an input that follows files says of them.
    pub(super) fn follow_files(&self) -> &Arc<Mutex<FollowedFiles>> {
        self.files.get_or_init(Arc::default)
    }

    pub(super) fn count_received(&self, transactions: usize) {
        self.received.fetch_add(transactions as u64, Ordering::Relaxed);
    }

    pub(super) fn count_bytes(&self, bytes: usize) {
        self.bytes.fetch_add(bytes as u64, Ordering::Relaxed);
    }

    pub(super) fn count_lost(&self, transactions: u64) {
        self.lost.fetch_add(transactions, Ordering::Relaxed);
    }

    pub(super) fn count_skipped(&self) {
        self.skipped.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_shed(&self) {
        self.shed_connections.fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rejected(&self, reason: Reason) {
        self.rejected[reason as usize].fetch_add(1, Ordering::Relaxed);
    }

    pub(super) fn count_rejections(&self, reason: Reason, number: usize) {
        self.rejected[reason as usize].fetch_add(number as u64, Ordering::Relaxed);
    }

    pub(super) fn connection_opened(&self) -> OpenConnection<'_> {
        self.open_connections.fetch_add(1, Ordering::Relaxed);
        self.accepted_connections.fetch_add(1, Ordering::Relaxed);
        OpenConnection(self)
    }
}

/// Counts a connection as open while it lives.
pub(super) struct OpenConnection<'a>(&'a Counters);

impl Drop for OpenConnection<'_> {
    fn drop(&mut self) {
        self.0.open_connections.fetch_sub(1, Ordering::Relaxed);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Scenario: every reason and result by its place in its table.
    /// Guarantees: the tables are in the order of the enums, so that a count is reported under its own name.
    #[test]
    fn reasons_are_in_order() {
        assert!(Reason::ALL.iter().enumerate().all(|(i, reason)| *reason as usize == i));
        assert!(Refusal::ALL.iter().enumerate().all(|(i, refusal)| *refusal as usize == i));
        assert!(Handshake::ALL.iter().enumerate().all(|(i, result)| *result as usize == i));
    }
}
