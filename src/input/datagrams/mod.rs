//! Receiving datagrams: what UDP and syslog share.
//!
//! A datagram can be neither answered nor delayed: one that arrives while the queues are full is lost, and counted. So are
//! those that the kernel drops because its buffer is full, as far as the system reports them.

mod drops;

use logphase_io::count::counted;
use std::future::Future;
use std::io;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use tokio::net::{UdpSocket, UnixDatagram};
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use self::drops::KernelDrops;
use super::accept::Peer;
use crate::decode::{Decode, DecodeError};
use crate::input::{Context, Reason};
use crate::phase::IntakeError;
use logphase_script::transaction::Transaction;

/// The size of the kernel's receive buffer for a UDP socket. The system may grant less (`net.core.rmem_max`).
pub(super) const RECEIVE_BUFFER_BYTES: usize = 8 << 20;

/// Bytes of the block that is read into, at least; datagrams are slices of it.
const BLOCK_BYTES: usize = 256 << 10;

/// The largest datagram of a Unix socket that is received.
const MAX_LOCAL_DATAGRAM_BYTES: usize = 16 << 20;

/// Transactions of one batch, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes of one batch, except for its last datagram.
const BATCH_BYTES: usize = 1 << 20;

/// Batches that are still read from the kernel's buffer when the inputs stop.
const DRAIN_BATCHES: usize = 64;

/// How long each of them is waited for.
const DRAIN_TIMEOUT: Duration = Duration::from_millis(20);

/// How often the kernel is asked for the datagrams that it dropped.
const DROPS_INTERVAL: Duration = Duration::from_secs(5);

/// A socket that datagrams arrive at.
pub(super) trait DatagramSocket: Send + Sync + 'static {
    /// The largest datagram that can arrive, in bytes, for a decoder of frames of `max_frame_bytes`.
    fn max_datagram_bytes(max_frame_bytes: usize) -> usize;

    /// Returns when there is something to receive.
    fn readable(&self) -> impl Future<Output = io::Result<()>> + Send;

    /// What the kernel dropped on it.
    fn drops(&self) -> KernelDrops;

    /// Appends the next datagram to `buffer`; what does not fit into its capacity is lost.
    fn receive(&self, buffer: &mut BytesMut) -> io::Result<(usize, Peer)>;
}

impl DatagramSocket for UdpSocket {
    fn max_datagram_bytes(_: usize) -> usize {
        u16::MAX.into()
    }

    async fn readable(&self) -> io::Result<()> {
        UdpSocket::readable(self).await
    }

    fn receive(&self, buffer: &mut BytesMut) -> io::Result<(usize, Peer)> {
        self.try_recv_buf_from(buffer).map(|(length, peer)| (length, Peer::Inet(peer)))
    }

    fn drops(&self) -> KernelDrops {
        KernelDrops::of(self)
    }
}

impl DatagramSocket for UnixDatagram {
    // The sender's buffer alone limits what it can send.
    fn max_datagram_bytes(max_frame_bytes: usize) -> usize {
        max_frame_bytes.min(MAX_LOCAL_DATAGRAM_BYTES)
    }

    async fn readable(&self) -> io::Result<()> {
        UnixDatagram::readable(self).await
    }

    fn receive(&self, buffer: &mut BytesMut) -> io::Result<(usize, Peer)> {
        self.try_recv_buf_from(buffer).map(|(length, _)| (length, Peer::Local))
    }

    // What does not fit is refused to the sender.
    fn drops(&self) -> KernelDrops {
        KernelDrops::none()
    }
}

/// Reads `socket` until the inputs stop, and then what the kernel still holds.
pub(super) async fn serve<S: DatagramSocket, D: Decode>(context: Context, socket: S, decoder: D) {
    let drops = socket.drops();
    let max_bytes = S::max_datagram_bytes(decoder.max_frame_bytes());
    let mut receiver = Receiver { drops, context, socket, decoder, block: BytesMut::new(), max_bytes };
    let mut interval = interval_at(Instant::now() + DROPS_INTERVAL, DROPS_INTERVAL);
    interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let context = receiver.context.clone();
    loop {
        tokio::select! {
            biased;
            () = context.stopped() => break,
            _ = interval.tick() => receiver.count_drops(),
            ready = receiver.socket.readable() => match ready {
                Ok(()) => {
                    let batch = receiver.receive();
                    receiver.offer(batch).await;
                }
                Err(error) => receiver.warn(None, &format!("cannot read: {error}")),
            },
        }
    }
    for _ in 0..DRAIN_BATCHES {
        // Tokio asks the kernel only when its reactor runs, which takes a moment.
        if !matches!(timeout(DRAIN_TIMEOUT, receiver.socket.readable()).await, Ok(Ok(()))) {
            break;
        }
        let batch = receiver.receive();
        receiver.offer(batch).await;
    }
    receiver.count_drops();
}

struct Receiver<S, D> {
    context: Context,
    socket: S,
    decoder: D,
    block: BytesMut,
    /// The largest datagram.
    max_bytes: usize,
    drops: KernelDrops,
}

impl<S: DatagramSocket, D: Decode> Receiver<S, D> {
    /// Reads what the kernel holds now, up to a batch.
    fn receive(&mut self) -> Vec<Transaction> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_TRANSACTIONS && bytes < BATCH_BYTES {
            // One byte more shows that a datagram is too large.
            if self.block.capacity() <= self.max_bytes {
                self.block = BytesMut::with_capacity(BLOCK_BYTES.max(2 * self.max_bytes));
            }
            match self.socket.receive(&mut self.block) {
                Ok((length, peer)) => {
                    // Counts empty datagrams too, so that a flood of them does not hold the task.
                    bytes += length.max(64);
                    self.context.counters.count_bytes(length);
                    let datagram = self.block.split().freeze();
                    if length > self.max_bytes {
                        self.context.counters.count_rejected(Reason::TooLarge);
                        self.warn(Some(peer), &format!("datagram not taken: longer than {} bytes", self.max_bytes));
                    } else {
                        self.decode(&datagram, peer, &mut batch);
                    }
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.warn(None, &format!("cannot read: {error}"));
                    break;
                }
            }
        }
        batch
    }

    fn decode(&self, datagram: &Bytes, peer: Peer, batch: &mut Vec<Transaction>) {
        let trimmed = datagram.trim_ascii_end();
        let Err(error) = self.decoder.decode(datagram.slice_ref(trimmed), batch) else {
            return;
        };
        if !trimmed.contains(&b'\n') {
            return self.reject(peer, &error);
        }
        // Some senders put several lines into a datagram.
        for line in trimmed.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            if let Err(error) = self.decoder.decode(datagram.slice_ref(line), batch) {
                self.reject(peer, &error);
            }
        }
    }

    fn reject(&self, peer: Peer, error: &DecodeError) {
        self.context.counters.count_rejected(Reason::from(error));
        self.warn(Some(peer), &format!("datagram not taken: {error}"));
    }

    /// Offers `batch`; if it does not fit as a whole, as many of its first transactions as fit.
    async fn offer(&self, batch: Vec<Transaction>) {
        let counters = &self.context.counters;
        let mut rest = &batch[..];
        let mut size = rest.len();
        while !rest.is_empty() {
            let refusal = match self.context.intake.offer(rest[..size].to_vec()).await {
                Ok(()) => {
                    counters.count_received(size);
                    rest = &rest[size..];
                    size = rest.len();
                    continue;
                }
                Err(refusal) => refusal,
            };
            if size == 1 || refusal == IntakeError::ShuttingDown {
                counters.count_lost(rest.len() as u64);
                self.warn(None, &format!("{} lost: {refusal}", counted(rest.len(), "transaction")));
                return;
            }
            size /= 2;
        }
    }

    fn count_drops(&mut self) {
        let dropped = self.drops.since_last();
        if dropped > 0 {
            self.context.counters.count_lost(dropped);
            let help = "raise the receive buffer (and net.core.rmem_max), or send over TCP";
            self.warn(None, &format!("{dropped} datagrams lost before they were read: {help}"));
        }
    }

    fn warn(&self, peer: Option<Peer>, message: &str) {
        if let Some(suppressed) = self.context.counters.log_limit.admit() {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(input = self.context.input, peer, suppressed, "{message}");
        }
    }
}
