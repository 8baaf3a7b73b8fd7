//! The way in to the workers: what every input calls.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use tokio::sync::{Notify, mpsc, oneshot};

use crate::transaction::Transaction;

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
    /// Why the rest was not taken.
    pub refusal: Option<Refusal>,
}

/// Transactions on their way to a worker.
#[derive(Debug)]
pub struct Batch {
    /// In the order in which their entries shall enter the queues.
    pub transactions: Arc<Vec<Transaction>>,
    /// Where in `transactions` to begin.
    pub from: usize,
    /// Take all or none.
    pub whole: bool,
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
const ASK_AGAIN: Duration = Duration::from_millis(50);

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
        let outcome = self.submit(Arc::new(transactions), 0, true).await;
        outcome.refusal.map_or(Ok(()), Err)
    }

    /// Takes all of `transactions`, in order, waiting for room as long as it takes.
    /// Fails only with [`Refusal::ShuttingDown`], with the number that were taken.
    pub async fn deliver(&self, transactions: Vec<Transaction>) -> Result<(), (usize, Refusal)> {
        let transactions = Arc::new(transactions);
        let mut from = 0;
        while from < transactions.len() {
            let room = self.shared.room.notified();
            let outcome = self.submit(transactions.clone(), from, false).await;
            from += outcome.accepted;
            match outcome.refusal {
                None => {}
                Some(Refusal::ShuttingDown) => return Err((from, Refusal::ShuttingDown)),
                Some(_) => {
                    let _ = tokio::time::timeout(ASK_AGAIN, room).await;
                }
            }
        }
        Ok(())
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

    async fn submit(&self, transactions: Arc<Vec<Transaction>>, from: usize, whole: bool) -> Outcome {
        let refused = || Outcome { accepted: 0, refusal: Some(Refusal::ShuttingDown) };
        if self.is_closed() {
            return refused();
        }
        let (reply, answer) = oneshot::channel();
        let batch = Batch { transactions, from, whole, reply };
        let workers = &self.shared.workers;
        let turn = self.shared.next.fetch_add(1, Ordering::Relaxed) % workers.len();
        // An idle worker beats the one whose turn it is.
        let worker = (0..workers.len())
            .map(|i| &workers[(turn + i) % workers.len()])
            .max_by_key(|worker| worker.capacity())
            .expect("an intake has at least one worker");
        if worker.send(batch).await.is_err() {
            return refused();
        }
        answer.await.unwrap_or_else(|_| refused())
    }
}
