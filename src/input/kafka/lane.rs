//! From the records of one partition to the queues, in order: a task for each partition.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, AtomicUsize, Ordering};
use std::thread::Thread;

use bytes::{Bytes, BytesMut};
use tokio::sync::mpsc;

use super::offsets::{Offsets, Safe, Ticket};
use crate::decode::Decode;
use crate::input::{Context, Reason};
use crate::phase::OrderedIntake;
use logphase_kafka::consumer::TopicPartition;
use logphase_script::transaction::Transaction;

/// Transactions of one batch; the last record of a batch may have more.
const BATCH_TRANSACTIONS: usize = 1024;
/// Bytes of one batch, except for its last record.
pub(super) const BATCH_BYTES: usize = 256 << 10;
/// What a record costs beside its bytes.
const OVERHEAD_BYTES: usize = 1024;
/// Chunks that wait for a lane; what does not fit grows the next one.
const CHUNKS: usize = 64;

/// Records of one partition.
#[derive(Debug, Default)]
pub(super) struct Chunk {
    bytes: BytesMut,
    records: Vec<(i64, Option<Range<usize>>)>,
}

impl Chunk {
    /// Adds a record; returns what it costs in memory.
    pub(super) fn push(&mut self, offset: i64, value: Option<&[u8]>) -> usize {
        let start = self.bytes.len();
        self.bytes.extend_from_slice(value.unwrap_or_default());
        self.records.push((offset, value.map(|_| start..self.bytes.len())));
        cost(value.map_or(0, <[u8]>::len))
    }

    pub(super) fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    pub(super) fn is_full(&self) -> bool {
        self.records.len() >= BATCH_TRANSACTIONS || self.bytes.len() >= BATCH_BYTES
    }
}

fn cost(bytes: usize) -> usize {
    bytes + OVERHEAD_BYTES
}

/// How far a lane is. The thread of the consumer reads it, and is woken when it changes.
#[derive(Debug)]
pub(super) struct Progress {
    /// The offset that may be committed; negative if there is none yet.
    next: AtomicI64,
    /// Bytes of records that are not safe.
    held: AtomicUsize,
    ended: AtomicBool,
    consumer: Thread,
}

impl Progress {
    /// The offset that may be committed.
    pub(super) fn next(&self) -> Option<i64> {
        Some(self.next.load(Ordering::Acquire)).filter(|next| *next >= 0)
    }

    /// Bytes of records that are not safe.
    pub(super) fn held(&self) -> usize {
        self.held.load(Ordering::Acquire)
    }

    /// Whether the lane has ended: it takes nothing more, and nothing more becomes safe.
    pub(super) fn has_ended(&self) -> bool {
        self.ended.load(Ordering::Acquire)
    }

    fn advance(&self, Safe { next, bytes }: Safe) {
        self.next.store(next, Ordering::Release);
        self.held.fetch_sub(bytes, Ordering::AcqRel);
        self.consumer.unpark();
    }
}

/// The end of a lane that the consumer's thread has. When it is dropped, the lane ends: what it holds and no worker has is
/// forgotten, and consumed again by whoever gets the partition next.
pub(super) struct LaneHandle {
    chunks: mpsc::Sender<Chunk>,
    progress: Arc<Progress>,
    task: tokio::task::JoinHandle<()>,
}

impl LaneHandle {
    /// Starts the lane of `partition`; `consumer` is woken at its progress. Must be called inside a tokio runtime.
    pub(super) fn start<D: Decode>(context: Context, decoder: D, partition: TopicPartition, consumer: Thread) -> Self {
        let (sender, chunks) = mpsc::channel(CHUNKS);
        let progress = Arc::new(Progress {
            next: AtomicI64::new(-1),
            held: AtomicUsize::new(0),
            ended: AtomicBool::new(false),
            consumer,
        });
        // Each partition takes turns at the workers as a connection does.
        let intake = OrderedIntake::new(context.intake().for_sender(None));
        let lane = Lane {
            context,
            decoder,
            partition,
            intake,
            chunks,
            progress: progress.clone(),
            offsets: Offsets::default(),
            batch: Vec::new(),
            batch_bytes: 0,
            open: VecDeque::new(),
        };
        Self { chunks: sender, progress, task: tokio::spawn(lane.run()) }
    }

    /// How far the lane is.
    pub(super) fn progress(&self) -> &Progress {
        &self.progress
    }

    /// Counts a record of `cost` that is added to a chunk for the lane.
    pub(super) fn hold(&self, cost: usize) {
        self.progress.held.fetch_add(cost, Ordering::AcqRel);
    }

    /// Sends `chunk`, if the lane has room for it now; else leaves it as it is.
    pub(super) fn send(&self, chunk: &mut Chunk) {
        if !chunk.is_empty()
            && let Ok(room) = self.chunks.try_reserve()
        {
            room.send(std::mem::take(chunk));
        }
    }
}

impl Drop for LaneHandle {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// Decodes the records of one partition and hands their transactions to the workers.
struct Lane<D> {
    context: Context,
    decoder: D,
    partition: TopicPartition,
    intake: OrderedIntake,
    chunks: mpsc::Receiver<Chunk>,
    progress: Arc<Progress>,
    offsets: Offsets,
    /// Transactions that are not sent yet.
    batch: Vec<Transaction>,
    batch_bytes: usize,
    /// The records whose transactions are not all safe, each with the number of the others, in order.
    open: VecDeque<(Ticket, usize)>,
}

impl<D> Drop for Lane<D> {
    fn drop(&mut self) {
        self.progress.ended.store(true, Ordering::Release);
        self.progress.consumer.unpark();
    }
}

impl<D: Decode> Lane<D> {
    async fn run(mut self) {
        loop {
            let has_room = self.batch.len() < BATCH_TRANSACTIONS && self.batch_bytes < BATCH_BYTES;
            tokio::select! {
                biased;
                taken = self.intake.advance() => match taken {
                    Ok(taken) => self.settle(taken),
                    // What was not taken is not committed: nothing is lost.
                    Err(_) => return,
                },
                chunk = self.chunks.recv(), if has_room => match chunk {
                    Some(chunk) => self.decode(chunk),
                    None => return,
                },
            }
            if !self.batch.is_empty() && self.intake.has_room() {
                self.batch_bytes = 0;
                self.intake.push(std::mem::take(&mut self.batch));
            }
        }
    }

    /// Records that the next `transactions` are safe.
    fn settle(&mut self, mut transactions: usize) {
        self.context.counters().count_received(transactions);
        while let Some((ticket, open)) = self.open.front_mut() {
            let taken = transactions.min(*open);
            (*open, transactions) = (*open - taken, transactions - taken);
            if *open > 0 {
                return;
            }
            let ticket = *ticket;
            self.open.pop_front();
            self.complete(ticket);
        }
    }

    fn complete(&mut self, ticket: Ticket) {
        if let Some(safe) = self.offsets.complete(ticket) {
            self.progress.advance(safe);
        }
    }

    fn decode(&mut self, Chunk { bytes, records }: Chunk) {
        let bytes = bytes.freeze();
        self.context.counters().count_bytes(bytes.len());
        for (offset, value) in records {
            let ticket = self.offsets.begin(offset, cost(value.as_ref().map_or(0, ExactSizeIterator::len)));
            let before = self.batch.len();
            match value {
                Some(value) => self.decode_value(offset, bytes.slice(value)),
                // A tombstone: somebody has removed the key of a topic that is compacted.
                None => self.context.counters().count_skipped(),
            }
            let added = &self.batch[before..];
            if added.is_empty() {
                self.complete(ticket);
            } else {
                self.batch_bytes += added.iter().map(|transaction| transaction.bytes().len()).sum::<usize>();
                self.open.push_back((ticket, added.len()));
            }
        }
    }

    /// Decodes a record. One that cannot be decoded is skipped: it would stop its partition for good.
    fn decode_value(&mut self, offset: i64, value: Bytes) {
        let Err(error) = self.decoder.decode(value, &mut self.batch) else { return };
        let Context { input, counters, .. } = &self.context;
        let reason = Reason::from(&error);
        counters.count_rejected(reason);
        if let Some(suppressed) = counters.log_limit.admit() {
            let TopicPartition { topic, partition } = &self.partition;
            let reason = reason.name();
            tracing::warn!(input, %topic, partition, offset, reason, suppressed, "record skipped: {error}");
        }
    }
}
