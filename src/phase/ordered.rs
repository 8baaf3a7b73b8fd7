//! The ordered intake: one sender has several batches in flight, in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::futures::OwnedNotified;
use tokio::sync::{OwnedSemaphorePermit, Semaphore, oneshot};
use tokio::time::{Instant, timeout_at};

use super::intake::{BatchResult, Intake, IntakeError, RETRY_INTERVAL};
use logphase_script::transaction::Transaction;

/// Maximum number of batches in flight. Those that wait for the worker need a slot; the others only wait for the sync of
/// their entries, which are within the limits of the queues.
const MAX_IN_FLIGHT: usize = 16;

/// Keeps the batches of one sender in order: while it is raised, the worker returns them untouched.
///
/// All batches in flight of a sender go to one worker, which processes them one after the other. If it does not accept all
/// of a batch, it raises the fence, so that no later batch overtakes the rest. The rest is then offered again.
#[derive(Debug, Default)]
pub struct Fence(AtomicBool);

impl Fence {
    /// Whether the worker must return batches untouched.
    pub fn is_raised(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Makes the worker return all later batches.
    pub fn raise(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Lets the worker accept batches again. Must be called only while none is in flight.
    fn lower(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// The intake of one sender that supports back-pressure: it accepts all transactions, in order.
///
/// It has no task: progress requires that [`OrderedIntake::advance`] is polled.
pub struct OrderedIntake {
    intake: Intake,
    fence: Arc<Fence>,
    worker: usize,
    /// The one batch that may always wait for the worker, however many other senders wait. More take a spare slot.
    own_slot: Arc<Semaphore>,
    /// The batches that are not settled, in order.
    batches: VecDeque<PendingBatch>,
    /// When to offer the rest of a batch again, once nothing is in flight.
    retry_at: Option<Instant>,
    /// Resolves when a queue gets room after this was created.
    room: Option<Pin<Box<OwnedNotified>>>,
    /// Transactions of batches that were never answered.
    unanswered: usize,
    closed: bool,
}

enum PendingBatch {
    InFlight {
        transactions: usize,
        reply: oneshot::Receiver<BatchResult>,
    },
    /// Waits to be sent to the worker, for the first time or again.
    Queued(Vec<Transaction>),
}

impl OrderedIntake {
    /// An ordered intake in front of `intake`.
    pub fn new(intake: Intake) -> Self {
        Self {
            intake,
            fence: Arc::default(),
            worker: 0,
            own_slot: Arc::new(Semaphore::new(1)),
            batches: VecDeque::new(),
            retry_at: None,
            room: None,
            unanswered: 0,
            closed: false,
        }
    }

    /// Whether all pushed transactions are in their queues.
    pub fn is_empty(&self) -> bool {
        self.batches.is_empty()
    }

    /// Whether another batch may be pushed.
    pub fn has_room(&self) -> bool {
        self.batches.len() < MAX_IN_FLIGHT && self.first_queued().is_none()
    }

    /// Whether nothing is in flight, and transactions wait for room in a queue.
    pub fn waits_for_room(&self) -> bool {
        !self.batches.is_empty() && self.first_in_flight().is_none()
    }

    /// Adds a batch after those that were pushed before. Must be called only if [`Self::has_room`].
    pub fn push(&mut self, transactions: Vec<Transaction>) {
        let is_next = self.first_queued().is_none();
        self.batches.push_back(PendingBatch::Queued(transactions));
        if !is_next || self.closed || self.intake.is_closed() {
            return;
        }
        self.choose_worker();
        let slot = self.own_slot.clone().try_acquire_owned();
        if let Ok(slot) = slot.or_else(|_| self.intake.spare().clone().try_acquire_owned()) {
            self.send(self.batches.len() - 1, slot);
        }
    }

    /// Waits for progress: returns the number of transactions whose entries are now in the queues. Pending while there is
    /// no batch. Cancel-safe.
    ///
    /// # Errors
    /// [`IntakeError::ShuttingDown`], when no more transactions are accepted and no answers are pending.
    pub async fn advance(&mut self) -> Result<usize, IntakeError> {
        loop {
            self.send_queued().await;
            match self.first_in_flight() {
                Some(at) => {
                    let accepted = self.await_reply(at).await;
                    if accepted > 0 {
                        return Ok(accepted);
                    }
                }
                None if self.closed => return Err(IntakeError::ShuttingDown),
                None if self.batches.is_empty() => std::future::pending().await,
                None => self.wait_for_room().await,
            }
        }
    }

    /// Drops the batches that are not in flight. Returns the number of their transactions and of those that were never
    /// answered: they are lost.
    pub fn abandon(&mut self) -> usize {
        let mut lost = std::mem::take(&mut self.unanswered);
        self.batches.retain(|batch| match batch {
            PendingBatch::InFlight { .. } => true,
            PendingBatch::Queued(transactions) => {
                lost += transactions.len();
                false
            }
        });
        lost
    }

    fn first_queued(&self) -> Option<usize> {
        self.batches.iter().position(|batch| matches!(batch, PendingBatch::Queued(_)))
    }

    fn first_in_flight(&self) -> Option<usize> {
        self.batches.iter().position(|batch| matches!(batch, PendingBatch::InFlight { .. }))
    }

    /// Chooses the least busy worker, unless a batch in flight could be overtaken.
    fn choose_worker(&mut self) {
        if self.first_in_flight().is_none() {
            self.worker = self.intake.choose();
        }
    }

    /// Sends the queued batches in order, unless the rest of a batch waits to be offered again.
    async fn send_queued(&mut self) {
        while let Some(at) = self.first_queued()
            && self.retry_at.is_none()
            && !self.closed
        {
            if self.intake.is_closed() {
                self.closed = true;
                return;
            }
            self.choose_worker();
            match self.own_slot.clone().acquire_owned().await {
                Ok(slot) => self.send(at, slot),
                Err(_) => self.closed = true,
            }
        }
    }

    fn send(&mut self, at: usize, slot: OwnedSemaphorePermit) {
        let PendingBatch::Queued(transactions) = &mut self.batches[at] else { return };
        let transactions = std::mem::take(transactions);
        // Registered before the worker reserves room, so that no later notification is missed.
        self.room.get_or_insert_with(|| Box::pin(self.intake.room().clone().notified_owned()));
        let count = transactions.len();
        let (batch, reply) = self.intake.batch(transactions, Some(self.fence.clone()), Some(slot));
        self.batches[at] = PendingBatch::InFlight { transactions: count, reply };
        // A worker that has ended drops the batch, which answers it.
        let _ = self.intake.worker(self.worker).push(batch);
    }

    /// Waits for the answer to batch number `at`, the oldest in flight. Returns the number of accepted transactions.
    async fn await_reply(&mut self, at: usize) -> usize {
        let PendingBatch::InFlight { transactions, reply } = &mut self.batches[at] else { return 0 };
        let Ok(BatchResult { accepted, error, rest }) = reply.await else {
            self.unanswered += *transactions;
            self.closed = true;
            self.batches.remove(at);
            return 0;
        };
        self.closed |= error == Some(IntakeError::ShuttingDown);
        if rest.is_empty() {
            self.batches.remove(at);
        } else {
            self.batches[at] = PendingBatch::Queued(rest);
            self.retry_at.get_or_insert_with(|| Instant::now() + RETRY_INTERVAL);
        }
        accepted
    }

    /// Waits until the rest of a batch can be offered again.
    async fn wait_for_room(&mut self) {
        if let (Some(at), Some(room)) = (self.retry_at, &mut self.room)
            && !self.intake.is_closed()
        {
            let _ = timeout_at(at, room).await;
        }
        (self.retry_at, self.room) = (None, None);
        self.fence.lower();
    }
}
