//! The intake: inputs send their transactions to the workers through it.

use std::hash::{BuildHasher, RandomState};
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use parking_lot::Mutex;
use serde::Deserialize;
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore, oneshot};

use super::full::FullQueue;
use super::identity;
use super::last_transactions::LastTransactions;
use super::ordered::Fence;
use super::tap::Taps;
use super::turns::{BatchSender, Share};
use logphase_queue::{Bound, ReserveError};
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

impl IntakeError {
    /// The queue of `plugin` refused the entries of this many transactions.
    pub(super) fn refused(error: ReserveError, plugin: String, transactions: usize) -> Self {
        match error {
            ReserveError::Full(bound) => Self::Full { plugin, bound },
            ReserveError::Closed => Self::Closed { plugin },
            ReserveError::Failing => Self::Failing { plugin },
            ReserveError::TooLarge => Self::TooMany { plugin, transactions },
        }
    }
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
    /// Whether to find the routes of those without one.
    pub match_routes: bool,
    /// Whether Kong did not serve them: the phases before the log phase are replayed.
    pub replay: bool,
    /// The number of the input that it came in through, if it came through one.
    pub input: Option<usize>,
    /// Keeps it in order with other batches of its sender.
    pub fence: Option<Arc<Fence>>,
    /// Whom it counts for when others wait.
    pub share: Share,
    /// Bytes of the transactions.
    pub bytes: usize,
    /// The place in the channel that its sender has until the worker takes it.
    pub slot: Option<OwnedSemaphorePermit>,
    /// Receives the answer when every entry is safe in its queue.
    pub reply: Reply,
}

/// Who receives the answer to a batch. Whoever drops it unanswered has accepted nothing.
pub struct Reply {
    sender: oneshot::Sender<BatchResult>,
    answered: Option<Answered>,
    /// Where a full queue is noted that refuses all that its sender may send.
    full: Option<Arc<Mutex<Option<FullQueue>>>>,
}

/// What is called with the number of transactions that were accepted.
type Answered = Box<dyn FnOnce(usize) + Send + Sync>;

impl Reply {
    /// A reply, and where it arrives.
    pub fn new() -> (Self, oneshot::Receiver<BatchResult>) {
        let (sender, result) = oneshot::channel();
        (Self { sender, answered: None, full: None }, result)
    }

    /// Answers.
    pub fn send(self, result: BatchResult) {
        if let Some(answered) = self.answered {
            answered(result.accepted);
        }
        // The sender may be gone.
        let _ = self.sender.send(result);
    }

    /// Answers that nothing was accepted because of the queue `full`, which all transactions go to.
    pub(super) fn refuse(self, result: BatchResult, full: FullQueue) {
        if let Some(of_sender) = &self.full {
            *of_sender.lock() = Some(full);
        }
        self.send(result);
    }
}

impl std::fmt::Debug for Reply {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Reply")
    }
}

/// Who takes turns when transactions wait for the workers.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FairBy {
    /// Addresses of peers; the connections of an address share its turns.
    #[default]
    Peer,
    /// Connections.
    Connection,
    /// Routes, by the first transaction of a batch; the connections of a route share its turns.
    Route,
}

/// Distributes batches over the workers. Every sender has a clone ([`Intake::for_sender`]).
#[derive(Clone)]
pub struct Intake {
    shared: Arc<Shared>,
    share: Share,
    match_routes: bool,
    replay: bool,
    input: Option<usize>,
    /// The queue that refused the last batch of this sender, if all transactions go to it.
    full: Arc<Mutex<Option<FullQueue>>>,
}

struct Shared {
    workers: Vec<BatchSender>,
    next: AtomicUsize,
    closed: AtomicBool,
    room: Arc<Notify>,
    fair_by: FairBy,
    senders: AtomicU64,
    hasher: RandomState,
    /// Places in the channels for senders that have one already.
    spare: Arc<Semaphore>,
    /// Whether the log phase reads the records that transactions are made of.
    reads_records: AtomicBool,
    /// The taps on messages and lines.
    taps: OnceLock<Arc<Taps>>,
    /// Who keeps the last transactions, if somebody does.
    last: OnceLock<Arc<LastTransactions>>,
}

/// Places in a channel for senders that have a batch in it already.
const SPARE_SLOTS: usize = 4;

/// Maximum time before transactions are offered again to a full queue.
pub(super) const RETRY_INTERVAL: Duration = Duration::from_millis(50);

impl Intake {
    /// An intake for `workers`. `room` is notified when a queue has room again.
    pub fn new(workers: Vec<BatchSender>, room: Arc<Notify>, fair_by: FairBy) -> Self {
        assert!(!workers.is_empty(), "an intake has at least one worker");
        let spare = Arc::new(Semaphore::new(SPARE_SLOTS * workers.len()));
        let shared = Shared {
            workers,
            next: AtomicUsize::new(0),
            closed: AtomicBool::new(false),
            room,
            fair_by,
            senders: AtomicU64::new(1),
            hasher: RandomState::new(),
            spare,
            reads_records: AtomicBool::new(false),
            taps: OnceLock::new(),
            last: OnceLock::new(),
        };
        let share = Share { group: 0, sender: 0 };
        Self { shared: Arc::new(shared), share, match_routes: false, replay: false, input: None, full: Arc::default() }
    }

    /// The same intake for one more sender, such as a connection, which takes turns with the others. `peer` is its
    /// address; without one it is a peer of its own.
    #[must_use]
    pub fn for_sender(&self, peer: Option<IpAddr>) -> Self {
        let sender = self.shared.senders.fetch_add(1, Ordering::Relaxed);
        let group = match (self.shared.fair_by, peer) {
            (FairBy::Peer, Some(peer)) => self.shared.hasher.hash_one(crate::connections::network_of(peer)),
            (FairBy::Peer, None) => self.shared.hasher.hash_one(sender),
            (FairBy::Connection | FairBy::Route, _) => 0,
        };
        let Self { shared, match_routes, replay, input, .. } = self;
        let (shared, share) = (shared.clone(), Share { group, sender });
        Self { shared, share, match_routes: *match_routes, replay: *replay, input: *input, full: Arc::default() }
    }

    /// The same intake for a sender whose transactions may have no route: whether to find it.
    #[must_use]
    pub fn matching_routes(mut self, match_routes: bool) -> Self {
        self.match_routes = match_routes;
        self
    }

    /// The same intake for a sender whose transactions Kong did not serve: whether the phases before the log phase are replayed.
    #[must_use]
    pub fn replaying(mut self, replay: bool) -> Self {
        self.replay = replay;
        self
    }

    /// The same intake for the input with this number.
    #[must_use]
    pub fn of_input(mut self, input: Option<usize>) -> Self {
        self.input = input;
        self
    }

    /// A batch of this sender.
    pub(super) fn batch(
        &self,
        transactions: Vec<Transaction>,
        fence: Option<Arc<Fence>>,
        slot: Option<OwnedSemaphorePermit>,
    ) -> (Batch, oneshot::Receiver<BatchResult>) {
        let mut share = self.share;
        if self.shared.fair_by == FairBy::Route
            && let Some(first) = transactions.first()
        {
            let [id, name] = identity::names(first, "route", "name");
            share.group = self.shared.hasher.hash_one(id.or(name));
        }
        if let (Some(last), Some(input)) = (self.shared.last.get(), self.input) {
            last.offer(input, &transactions);
        }
        let bytes = transactions.iter().map(|transaction| transaction.bytes().len()).sum();
        let (reply, result) = Reply::new();
        let (all_or_none, match_routes) = (fence.is_none(), self.match_routes);
        let (replay, input) = (self.replay, self.input);
        (Batch { transactions, all_or_none, match_routes, replay, input, fence, share, bytes, slot, reply }, result)
    }

    /// Places in the channels that no sender has yet; see [`super::OrderedIntake`].
    pub(super) fn spare(&self) -> &Arc<Semaphore> {
        &self.shared.spare
    }

    /// Offers `transactions`, to be accepted all or none. Returns when every entry is safe in its queue.
    ///
    /// # Errors
    /// The reason why no transaction was accepted.
    pub async fn offer(&self, transactions: Vec<Transaction>) -> Result<(), IntakeError> {
        self.offer_and(transactions, |_| {}).await
    }

    /// Offers `transactions` as [`Self::offer`] does. Calls `answered` with the number that was accepted before it returns, and also if
    /// nobody waits for it any more. Without an answer, `answered` is dropped.
    ///
    /// # Errors
    /// The reason why no transaction was accepted.
    pub async fn offer_and(
        &self,
        transactions: Vec<Transaction>,
        answered: impl FnOnce(usize) + Send + Sync + 'static,
    ) -> Result<(), IntakeError> {
        if transactions.is_empty() {
            return Ok(());
        }
        if self.is_closed() {
            return Err(IntakeError::ShuttingDown);
        }
        let (mut batch, result) = self.batch(transactions, None, None);
        batch.reply.answered = Some(Box::new(answered));
        batch.reply.full = Some(self.full.clone());
        if !self.worker(self.choose()).push(batch) {
            return Err(IntakeError::ShuttingDown);
        }
        let result = result.await.map_err(|_| IntakeError::ShuttingDown)?;
        result.error.map_or(Ok(()), Err)
    }

    /// Why a batch of about `bytes` would be refused now, which is counted then. Only if all that this sender may send goes to a
    /// queue that is full, and that has refused its last batch.
    pub fn refusal(&self, bytes: usize) -> Option<IntakeError> {
        let mut full = self.full.lock();
        let refusal = full.as_ref()?.refusal(bytes);
        if refusal.is_none() {
            *full = None;
        }
        refusal
    }

    /// Says which taps an input has that hands in lines itself. Only the first call has an effect.
    pub fn set_taps(&self, taps: &Arc<Taps>) {
        let _ = self.shared.taps.set(taps.clone());
    }

    /// Has `last` keep the last transactions of inputs. Only the first call has an effect.
    pub fn keep_last(&self, last: &Arc<LastTransactions>) {
        let _ = self.shared.last.set(last.clone());
    }

    /// The taps, if there are some.
    pub fn taps(&self) -> Option<&Arc<Taps>> {
        self.shared.taps.get()
    }

    /// Says whether the log phase reads the records that transactions are made of.
    pub fn read_records(&self, reads: bool) {
        self.shared.reads_records.store(reads, Ordering::Relaxed);
    }

    /// Whether transactions are to have the record attached that they are made of.
    pub fn reads_records(&self) -> bool {
        self.shared.reads_records.load(Ordering::Relaxed)
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

    pub(super) fn worker(&self, number: usize) -> &BatchSender {
        &self.shared.workers[number]
    }

    /// A function that gives what waits for a stuck worker to the others, so that its senders are answered, and returns the
    /// number of batches. The batches of a sender with an order stay: they must not overtake the one that is stuck. The
    /// function does not keep the workers running.
    pub fn relieving_stuck_workers(&self) -> impl Fn() -> usize + Send + use<> {
        let (shared, share) = (Arc::downgrade(&self.shared), self.share);
        move || {
            let Some(shared) = shared.upgrade() else { return 0 };
            let intake = Self { shared, share, match_routes: false, replay: false, input: None, full: Arc::default() };
            let mut moved = 0;
            for batch in intake.shared.workers.iter().flat_map(BatchSender::take_from_stuck) {
                moved += 1;
                // A worker that has ended drops the batch, which answers it.
                let _ = intake.worker(intake.choose()).push(batch);
            }
            moved
        }
    }

    /// Chooses a worker that is awake and has little to do, so that none is woken for it; else the least busy one, in turn
    /// among equals.
    pub(super) fn choose(&self) -> usize {
        let workers = &self.shared.workers;
        if let Some(awake) = workers.iter().position(BatchSender::is_at_hand) {
            return awake;
        }
        let start = self.shared.next.fetch_add(1, Ordering::Relaxed);
        (0..workers.len())
            .map(|i| (start + i) % workers.len())
            .min_by_key(|worker| workers[*worker].load())
            .expect("an intake has at least one worker")
    }
}
