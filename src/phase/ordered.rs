//! One sender's batches, several on their way at once and in order.

use std::collections::VecDeque;
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use tokio::sync::futures::OwnedNotified;
use tokio::sync::{mpsc, oneshot};
use tokio::time::{Instant, timeout_at};

use super::intake::{ASK_AGAIN, Batch, Intake, Outcome, Refusal};
use logphase_script::transaction::Transaction;

/// Batches of one lane that are on their way at most. Those that wait for a worker are bounded by its channel; of the
/// others the entries are in the queues, within their bounds, and only their sync is waited for.
const MOST_ON_WAY: usize = 16;

/// Keeps the batches of one lane in order: while it is shut, the worker gives them back untouched.
///
/// All batches of a lane that are on their way go to one worker, which takes them one after the other. Whoever does not
/// take all of a batch shuts the gate, so that none behind it overtakes what is to be offered again.
#[derive(Debug, Default)]
pub struct Gate(AtomicBool);

impl Gate {
    /// Whether nothing may be taken.
    pub fn is_shut(&self) -> bool {
        self.0.load(Ordering::Acquire)
    }

    /// Has all that come after given back.
    pub fn shut(&self) {
        self.0.store(true, Ordering::Release);
    }

    /// Nothing is on its way any more: from here on it is offered anew.
    fn open(&self) {
        self.0.store(false, Ordering::Release);
    }
}

/// A sender's way to the queues, for one that can be made to wait: takes transactions in order, and all of them.
///
/// Nothing happens by itself: [`OrderedIntake::advance`] has to be polled.
pub struct OrderedIntake {
    intake: Intake,
    gate: Arc<Gate>,
    worker: usize,
    /// In order.
    pending: VecDeque<PendingBatch>,
    /// When to offer again what was refused, once nothing is on its way.
    again_at: Option<Instant>,
    /// Resolves when a queue has room, if it did not have it since this was made.
    room: Option<Pin<Box<OwnedNotified>>>,
    /// Transactions of which nothing was heard.
    unanswered: usize,
    ended: bool,
}

enum PendingBatch {
    OnWay {
        transactions: usize,
        answer: oneshot::Receiver<Outcome>,
    },
    /// To be offered, for the first time or again.
    Here(Vec<Transaction>),
}

impl OrderedIntake {
    /// A lane into `intake` with nothing on it.
    pub fn new(intake: Intake) -> Self {
        Self {
            intake,
            gate: Arc::default(),
            worker: 0,
            pending: VecDeque::new(),
            again_at: None,
            room: None,
            unanswered: 0,
            ended: false,
        }
    }

    /// Whether everything that was pushed is in its queues.
    pub fn is_empty(&self) -> bool {
        self.pending.is_empty()
    }

    /// Whether another batch may be pushed.
    pub fn has_room(&self) -> bool {
        self.pending.len() < MOST_ON_WAY && self.first_here().is_none()
    }

    /// Puts `transactions` behind what was pushed before. Ask [`Self::has_room`] first.
    pub fn push(&mut self, transactions: Vec<Transaction>) {
        let in_turn = self.first_here().is_none();
        self.pending.push_back(PendingBatch::Here(transactions));
        if !in_turn || self.ended || self.intake.is_closed() {
            return;
        }
        self.choose_worker();
        let worker = self.intake.worker(self.worker).clone();
        if let Ok(permit) = worker.try_reserve() {
            self.hand_over(self.pending.len() - 1, permit);
        }
    }

    /// Waits until something has become of what was pushed: of how many more transactions all entries are in their
    /// queues. Pending while the lane is empty. The future may be dropped at any time.
    ///
    /// # Errors
    /// [`Refusal::ShuttingDown`], when no more will be taken and everything is heard of that could be.
    pub async fn advance(&mut self) -> Result<usize, Refusal> {
        loop {
            self.offer().await;
            match self.first_on_way() {
                Some(at) => {
                    let taken = self.hear(at).await;
                    if taken > 0 {
                        return Ok(taken);
                    }
                }
                None if self.ended => return Err(Refusal::ShuttingDown),
                None if self.pending.is_empty() => std::future::pending().await,
                None => self.wait_for_room().await,
            }
        }
    }

    /// Gives up what is not on its way; says how many transactions are lost by that, and were before.
    pub fn abandon(&mut self) -> usize {
        let mut lost = std::mem::take(&mut self.unanswered);
        self.pending.retain(|pending_batch| match pending_batch {
            PendingBatch::OnWay { .. } => true,
            PendingBatch::Here(transactions) => {
                lost += transactions.len();
                false
            }
        });
        lost
    }

    fn first_here(&self) -> Option<usize> {
        self.pending.iter().position(|pending_batch| matches!(pending_batch, PendingBatch::Here(_)))
    }

    fn first_on_way(&self) -> Option<usize> {
        self.pending.iter().position(|pending_batch| matches!(pending_batch, PendingBatch::OnWay { .. }))
    }

    /// The one that has least to do, if nothing that is on its way could be overtaken.
    fn choose_worker(&mut self) {
        if self.first_on_way().is_none() {
            self.worker = self.intake.choose();
        }
    }

    /// Hands over what is here, in order. Not while something that was refused is to come first.
    async fn offer(&mut self) {
        while let Some(at) = self.first_here()
            && self.again_at.is_none()
            && !self.ended
        {
            if self.intake.is_closed() {
                self.ended = true;
                return;
            }
            self.choose_worker();
            let worker = self.intake.worker(self.worker).clone();
            match worker.reserve().await {
                Ok(permit) => self.hand_over(at, permit),
                Err(_) => self.ended = true,
            }
        }
    }

    fn hand_over(&mut self, at: usize, permit: mpsc::Permit<'_, Batch>) {
        let PendingBatch::Here(transactions) = &mut self.pending[at] else { return };
        let transactions = std::mem::take(transactions);
        // Made before the worker looks for room, so that none that appears after it goes unnoticed.
        self.room.get_or_insert_with(|| Box::pin(self.intake.room().clone().notified_owned()));
        let (reply, answer) = oneshot::channel();
        self.pending[at] = PendingBatch::OnWay { transactions: transactions.len(), answer };
        permit.send(Batch { transactions, whole: false, gate: Some(self.gate.clone()), reply });
    }

    /// Waits for the answer to the pending_batch `at`, the oldest on its way; how many of its transactions were taken.
    async fn hear(&mut self, at: usize) -> usize {
        let PendingBatch::OnWay { transactions, answer } = &mut self.pending[at] else { return 0 };
        let Ok(Outcome { accepted, refusal, rest }) = answer.await else {
            self.unanswered += *transactions;
            self.ended = true;
            self.pending.remove(at);
            return 0;
        };
        self.ended |= refusal == Some(Refusal::ShuttingDown);
        if rest.is_empty() {
            self.pending.remove(at);
        } else {
            self.pending[at] = PendingBatch::Here(rest);
            self.again_at.get_or_insert_with(|| Instant::now() + ASK_AGAIN);
        }
        accepted
    }

    /// Waits until what was refused can be offered again.
    async fn wait_for_room(&mut self) {
        if let (Some(at), Some(room)) = (self.again_at, &mut self.room)
            && !self.intake.is_closed()
        {
            let _ = timeout_at(at, room).await;
        }
        (self.again_at, self.room) = (None, None);
        self.gate.open();
    }
}
