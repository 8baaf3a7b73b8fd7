//! The intake: inputs send their transactions to the workers through it.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::ordered::Fence;
use logphase_queue::Bound;
use logphase_script::transaction::Transaction;

/// Why transactions were not accepted.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum IntakeError {
    /// The queue of a plugin has no room now; retry later.
    #[error("the queue of {plugin} is full ({bound})")]
    Full {
        /// The plugin.
        plugin: String,
        /// The bound that it has reached.
        bound: Bound,
    },
    /// A reload has closed the queue of a plugin, and this worker could not change to the new configuration.
    #[error("the queue of {plugin} is closed")]
    Closed {
        /// The plugin.
        plugin: String,
    },
    /// The queue of a plugin cannot be written now; retry later.
    #[error("the disk of the queue of {plugin} fails")]
    Failing {
        /// The plugin.
        plugin: String,
    },
    /// A batch has more transactions than the queue of a plugin can hold.
    #[error(
        "{transactions} transactions at once are more than the queue of {plugin} holds; send them in smaller batches"
    )]
    TooMany {
        /// The plugin.
        plugin: String,
        /// The number of offered transactions.
        transactions: usize,
    },
    /// The service is shutting down and accepts no more transactions.
    #[error("shutting down")]
    ShuttingDown,
}

/// The answer to a [`Batch`].
#[derive(Debug)]
pub struct BatchResult {
    /// The number of transactions, from the front, whose entries are all in the queues.
    pub accepted: usize,
    /// Why the others were not accepted; `None` if all were, or if the [`Fence`] was raised.
    pub error: Option<IntakeError>,
    /// The transactions that were not accepted.
    pub rest: Vec<Transaction>,
}

/// Transactions for a worker.
#[derive(Debug)]
pub struct Batch {
    /// In the order in which their entries enter the queues.
    pub transactions: Vec<Transaction>,
    /// Whether to accept all of them or none.
    pub all_or_none: bool,
    /// Keeps it in order with other batches of its sender.
    pub fence: Option<Arc<Fence>>,
    /// Receives the answer when every entry is safe in its queue.
    pub reply: oneshot::Sender<BatchResult>,
}

/// Distributes batches over the workers. Every input has a clone.
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
}

struct Shared {
    workers: Vec<mpsc::Sender<Batch>>,
    next: AtomicUsize,
    closed: AtomicBool,
    room: Arc<Notify>,
}

/// Maximum time before transactions are offered again to a full queue.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(50);

impl Intake {
    /// An intake for `workers`. `room` is notified when a queue has room again.
    pub fn new(workers: Vec<mpsc::Sender<Batch>>, room: Arc<Notify>) -> Self {
        assert!(!workers.is_empty(), "an intake has at least one worker");
        let shared = Shared { workers, next: AtomicUsize::new(0), closed: AtomicBool::new(false), room };
        Self { shared: Arc::new(shared) }
    }

    /// Offers `transactions`, to be accepted all or none. Returns when every entry is safe in its queue.
    ///
    /// # Errors
    /// The reason why no transaction was accepted.
    pub async fn offer(&self, transactions: Vec<Transaction>) -> Result<(), IntakeError> {
        if transactions.is_empty() {
            return Ok(());
        }
        if self.is_closed() {
            return Err(IntakeError::ShuttingDown);
        }
        let (reply, result) = oneshot::channel();
        let batch = Batch { transactions, all_or_none: true, fence: None, reply };
        if self.worker(self.choose()).send(batch).await.is_err() {
            return Err(IntakeError::ShuttingDown);
        }
        let result = result.await.map_err(|_| IntakeError::ShuttingDown)?;
        result.error.map_or(Ok(()), Err)
    }

    /// Accepts no more transactions from now on.
    pub fn close(&self) {
        self.shared.closed.store(true, Ordering::SeqCst);
        self.shared.room.notify_waiters();
    }

    /// Whether [`Self::close`] was called.
    pub fn is_closed(&self) -> bool {
        self.shared.closed.load(Ordering::SeqCst)
    }

    /// Notified when a queue has room again.
    pub(super) fn room(&self) -> &Arc<Notify> {
        &self.shared.room
    }

    pub(super) fn worker(&self, number: usize) -> &mpsc::Sender<Batch> {
        &self.shared.workers[number]
    }

    /// Chooses the least busy worker, in turn among equals.
    pub(super) fn choose(&self) -> usize {
        let workers = &self.shared.workers;
        let start = self.shared.next.fetch_add(1, Ordering::Relaxed);
        (0..workers.len())
            .map(|i| (start + i) % workers.len())
            .max_by_key(|worker| workers[*worker].capacity())
            .expect("an intake has at least one worker")
    }
}
