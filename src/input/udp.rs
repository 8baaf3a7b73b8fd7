//! Datagrams, as Kong's udp-log sends them: one object in each.
//!
//! A datagram can be neither answered nor held back: what finds the queues full is lost, and counted. So is what
//! the kernel drops because its buffer is full, as far as the system tells.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use rustix::fs::fstat;
use tokio::net::UdpSocket;
use tokio::time::{Instant, MissedTickBehavior, interval_at, timeout};

use super::{Context, Kind, Reason};
use crate::phase::Refusal;
use logphase_script::transaction::{Rejection, Transaction};

/// More than a datagram can hold.
const LARGEST_DATAGRAM: usize = 1 << 16;

/// Read into at once; a datagram is a slice of it.
const BLOCK: usize = 256 << 10;

/// Transactions that go to a worker at once, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes that go to a worker at once, but for the last datagram's.
const BATCH_BYTES: usize = 1 << 20;

/// Batches that are still taken from the kernel's buffer when the inputs stop.
const LAST_BATCHES: usize = 64;

/// How long to look, then, whether the kernel holds more.
const LAST_LOOK: Duration = Duration::from_millis(20);

/// How often the kernel is asked what it dropped.
const ASK_KERNEL: Duration = Duration::from_secs(5);

/// Reads `socket` until the inputs stop, and then what the kernel still holds.
pub(super) async fn listen(context: Arc<Context>, socket: UdpSocket) {
    let mut receiver = Receiver { dropped: Dropped::new(&socket), context, socket, block: BytesMut::new() };
    let mut ask = interval_at(Instant::now() + ASK_KERNEL, ASK_KERNEL);
    ask.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let context = receiver.context.clone();
    loop {
        tokio::select! {
            biased;
            () = context.stopped() => break,
            _ = ask.tick() => receiver.ask_kernel(),
            ready = receiver.socket.readable() => match ready {
                Ok(()) => {
                    let batch = receiver.receive();
                    receiver.offer(batch).await;
                }
                Err(error) => receiver.complain(None, &format!("cannot read: {error}")),
            },
        }
    }
    for _ in 0..LAST_BATCHES {
        // Tokio does not ask the kernel before its reactor has run: a look takes a moment.
        if !matches!(timeout(LAST_LOOK, receiver.socket.readable()).await, Ok(Ok(()))) {
            break;
        }
        let batch = receiver.receive();
        receiver.offer(batch).await;
    }
    receiver.ask_kernel();
}

struct Receiver {
    context: Arc<Context>,
    socket: UdpSocket,
    block: BytesMut,
    dropped: Dropped,
}

impl Receiver {
    /// What the kernel holds now, up to a batch.
    fn receive(&mut self) -> Vec<Transaction> {
        let mut batch = Vec::new();
        let mut bytes = 0;
        while batch.len() < BATCH_TRANSACTIONS && bytes < BATCH_BYTES {
            if self.block.capacity() < LARGEST_DATAGRAM {
                self.block = BytesMut::with_capacity(BLOCK);
            }
            match self.socket.try_recv_buf_from(&mut self.block) {
                Ok((length, peer)) => {
                    // Counts empty and bad datagrams too, so that a flood of them does not hold the task.
                    bytes += length.max(64);
                    self.context.meters.of(Kind::Udp).read(length);
                    let datagram = self.block.split().freeze();
                    self.parse(datagram, peer, &mut batch);
                }
                Err(error) if error.kind() == std::io::ErrorKind::WouldBlock => break,
                Err(error) => {
                    self.complain(None, &format!("cannot read: {error}"));
                    break;
                }
            }
        }
        batch
    }

    fn parse(&self, datagram: Bytes, peer: SocketAddr, batch: &mut Vec<Transaction>) {
        let limits = &self.context.settings.limits;
        let whole = datagram.trim_ascii_end();
        let error = match Transaction::parse(datagram.slice_ref(whole), limits) {
            Ok(transaction) => return batch.push(transaction),
            Err(error) => error,
        };
        if !whole.contains(&b'\n') {
            return self.reject(peer, &error);
        }
        // Some senders pack several lines into a datagram.
        for line in whole.split(|byte| *byte == b'\n').filter(|line| !line.trim_ascii().is_empty()) {
            match Transaction::parse(datagram.slice_ref(line), limits) {
                Ok(transaction) => batch.push(transaction),
                Err(error) => self.reject(peer, &error),
            }
        }
    }

    fn reject(&self, peer: SocketAddr, error: &Rejection) {
        let reason = if error.too_large { Reason::TooLarge } else { Reason::Malformed };
        self.context.meters.of(Kind::Udp).reject(reason);
        self.complain(Some(peer), &format!("datagram not taken: {error}"));
    }

    /// Offers `batch`; when it does not fit as a whole, as much of its front as does.
    async fn offer(&self, batch: Vec<Transaction>) {
        let meter = self.context.meters.of(Kind::Udp);
        let mut rest = &batch[..];
        let mut size = rest.len();
        while !rest.is_empty() {
            let refusal = match self.context.intake.offer(rest[..size].to_vec()).await {
                Ok(()) => {
                    meter.receive(size);
                    rest = &rest[size..];
                    size = rest.len();
                    continue;
                }
                Err(refusal) => refusal,
            };
            if size == 1 || refusal == Refusal::ShuttingDown {
                meter.lose(rest.len() as u64);
                self.complain(None, &format!("{} transactions lost: {refusal}", rest.len()));
                return;
            }
            size /= 2;
        }
    }

    fn ask_kernel(&mut self) {
        let dropped = self.dropped.since_last();
        if dropped > 0 {
            self.context.meters.of(Kind::Udp).lose(dropped);
            let help = "raise the receive buffer (and net.core.rmem_max), or send over TCP";
            self.complain(None, &format!("{dropped} datagrams lost before they were read: {help}"));
        }
    }

    fn complain(&self, peer: Option<SocketAddr>, what: &str) {
        if let Some(folded) = self.context.meters.of(Kind::Udp).complaints.pass() {
            let peer = peer.map(tracing::field::display);
            tracing::warn!(input = "udp", peer, folded, "{what}");
        }
    }
}

/// How many datagrams the kernel dropped on a socket: the last column of Linux's table of sockets.
struct Dropped {
    inode: Option<u64>,
    seen: u64,
}

impl Dropped {
    fn new(socket: &UdpSocket) -> Self {
        Self { inode: fstat(socket).ok().map(|found| found.st_ino), seen: 0 }
    }

    /// How many since the last call; 0 where the system does not say.
    fn since_last(&mut self) -> u64 {
        let Some(inode) = self.inode else {
            return 0;
        };
        let total = ["/proc/self/net/udp", "/proc/self/net/udp6"]
            .iter()
            .filter_map(|table| std::fs::read_to_string(table).ok())
            .find_map(|table| find_drops(&table, inode));
        total.map_or(0, |total| total.saturating_sub(std::mem::replace(&mut self.seen, total)))
    }
}

/// Looks `inode` up in the text of `/proc/net/udp`; see the kernel's `udp4_format_sock` for its columns.
fn find_drops(table: &str, inode: u64) -> Option<u64> {
    table.lines().skip(1).find_map(|line| {
        let mut columns = line.split_ascii_whitespace().skip(9);
        (columns.next()?.parse() == Ok(inode)).then_some(())?;
        columns.last()?.parse().ok()
    })
}

#[cfg(test)]
mod tests;
