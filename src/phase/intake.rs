//! The way in to the workers: what every input calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use super::ordered::Gate;
use logphase_script::transaction::Transaction;

/// Why transactions were not taken.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    /// A plugin's queue has no room now; the same offer may be taken later.
    #[error("the queue of {plugin} is full")]
    Full {
        /// The plugin whose queue is full.
        plugin: String,
    },
    /// A plugin's queue cannot be written now; the same offer may be taken later.
    #[error("the disk of the queue of {plugin} fails")]
    Failing {
        /// The plugin whose queue it is.
        plugin: String,
    },
    /// More than the queue can ever hold at once.
    #[error(
        "{transactions} transactions at once are more than the queue of {plugin} holds; send them in smaller batches"
    )]
    TooMany {
        /// The plugin whose queue is too small.
        plugin: String,
        /// How many were offered.
        transactions: usize,
    },
    /// The service is going down and takes nothing more.
    #[error("shutting down")]
    ShuttingDown,
}

/// What became of a [`Batch`].
#[derive(Debug)]
pub struct Outcome {
    /// How many of its transactions, from the front, have all their entries in the queues.
    pub accepted: usize,
    /// Why the rest was not taken; none also where the [`Gate`] was shut.
    pub refusal: Option<Refusal>,
    /// What was not taken.
    pub rest: Vec<Transaction>,
}

/// Transactions on their way to a worker.
#[derive(Debug)]
pub struct Batch {
    /// In the order in which their entries shall enter the queues.
    pub transactions: Vec<Transaction>,
    /// Take all or none.
    pub whole: bool,
    /// Of a batch that is one of several: what keeps them in order.
    pub gate: Option<Arc<Gate>>,
    /// Answered when every entry is safe in its queue.
    pub reply: oneshot::Sender<Outcome>,
}

/// The handle that inputs hold: spreads batches over the workers and waits for the answer.
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

/// How long a waiting input sleeps at most before it asks a full queue again.
pub(super) const ASK_AGAIN: Duration = Duration::from_millis(50);

impl Intake {
    /// An intake in front of `workers`; `room` is notified when a queue has room again.
    pub fn new(workers: Vec<mpsc::Sender<Batch>>, room: Arc<Notify>) -> Self {
        assert!(!workers.is_empty(), "an intake has at least one worker");
        let shared = Shared { workers, next: AtomicUsize::new(0), closed: AtomicBool::new(false), room };
        Self { shared: Arc::new(shared) }
    }

    /// Takes all of `transactions` or none; returns when every entry is in its queue.
    pub async fn offer(&self, transactions: Vec<Transaction>) -> Result<(), Refusal> {
        if transactions.is_empty() {
            return Ok(());
        }
        if self.is_closed() {
            return Err(Refusal::ShuttingDown);
        }
        let (reply, answer) = oneshot::channel();
        let batch = Batch { transactions, whole: true, gate: None, reply };
        if self.worker(self.choose()).send(batch).await.is_err() {
            return Err(Refusal::ShuttingDown);
        }
        let outcome = answer.await.map_err(|_| Refusal::ShuttingDown)?;
        outcome.refusal.map_or(Ok(()), Err)
    }

    /// Takes nothing more from now on; what was taken goes its way.
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

    /// The worker that has least to do; of several, the one whose turn it is.
    pub(super) fn choose(&self) -> usize {
        let workers = &self.shared.workers;
        let turn = self.shared.next.fetch_add(1, Ordering::Relaxed);
        (0..workers.len())
            .map(|i| (turn + i) % workers.len())
            .max_by_key(|worker| workers[*worker].capacity())
            .expect("an intake has at least one worker")
    }
}
