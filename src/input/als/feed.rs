//! From one stream to the queues, without ever making the stream wait.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use futures_util::FutureExt;

use crate::input::Context;
use crate::phase::{IntakeError, OrderedIntake};
use logphase_protocol::envoy::Record;
use logphase_script::transaction::Transaction;

/// Transactions of one batch, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes of one batch, except for its last transaction.
const BATCH_BYTES: usize = 256 << 10;

/// What a transaction costs beside its bytes.
const OVERHEAD_BYTES: usize = 1024;

/// What a transaction costs.
fn cost(transaction: &Transaction) -> usize {
    let record = transaction.attachment::<Record>().map_or(0, |record| record.bytes.len());
    transaction.bytes().len() + record + OVERHEAD_BYTES
}

/// The memory of transactions that wait for the queues, of all streams.
#[derive(Debug)]
pub(super) struct Budget {
    left: AtomicUsize,
}

impl Budget {
    /// A budget of `bytes`.
    pub(super) fn new(bytes: usize) -> Self {
        Self { left: AtomicUsize::new(bytes) }
    }

    fn take(&self, bytes: usize) -> bool {
        self.left.fetch_update(Ordering::Relaxed, Ordering::Relaxed, |left| left.checked_sub(bytes)).is_ok()
    }

    fn give_back(&self, bytes: usize) {
        self.left.fetch_add(bytes, Ordering::Relaxed);
    }
}

/// The transactions of one stream on their way to the queues, in order.
pub(super) struct Feed {
    context: Context,
    budget: Arc<Budget>,
    intake: OrderedIntake,
    /// Batches that the intake has no room for; the last one grows.
    waiting: VecDeque<(Vec<Transaction>, usize)>,
    /// What each transaction costs that is not in the queues yet, in order.
    costs: VecDeque<usize>,
    refused: bool,
}

impl Feed {
    pub(super) fn new(context: Context, budget: Arc<Budget>) -> Self {
        let intake = OrderedIntake::new(context.intake.clone());
        Self { context, budget, intake, waiting: VecDeque::new(), costs: VecDeque::new(), refused: false }
    }

    /// Takes a transaction, or loses it if there is no memory for it.
    pub(super) fn add(&mut self, transaction: Transaction) {
        let cost = cost(&transaction);
        if self.refused || !self.budget.take(cost) {
            return self.lose(1, "the queues are full, and so is the buffer in front of them");
        }
        self.wait(transaction, cost);
    }

    /// Takes all of the transactions. Returns false, and takes none, if there is no memory for one of them.
    pub(super) fn add_all(&mut self, transactions: Vec<Transaction>) -> bool {
        if self.refused || !self.budget.take(transactions.iter().map(cost).sum()) {
            return false;
        }
        for transaction in transactions {
            let cost = cost(&transaction);
            self.wait(transaction, cost);
        }
        true
    }

    /// Puts a transaction behind the others.
    fn wait(&mut self, transaction: Transaction, cost: usize) {
        let bytes = transaction.bytes().len();
        self.costs.push_back(cost);
        match self.waiting.back_mut() {
            Some((batch, held)) if batch.len() < BATCH_TRANSACTIONS && *held < BATCH_BYTES => {
                batch.push(transaction);
                *held += bytes;
            }
            _ => self.waiting.push_back((vec![transaction], bytes)),
        }
    }

    /// Moves on what can be moved without waiting.
    pub(super) fn pump(&mut self) {
        loop {
            self.push();
            match self.intake.advance().now_or_never() {
                Some(taken) => self.record(&taken),
                None => return,
            }
            if self.refused {
                return;
            }
        }
    }

    /// Moves on what can be moved without waiting, if there is a whole batch.
    pub(super) fn pump_whole(&mut self) {
        if self.waiting.len() > 1 {
            self.pump();
        }
    }

    /// Waits for progress; pending while there is nothing to wait for. Cancel-safe.
    pub(super) async fn advance(&mut self) {
        if self.refused {
            return std::future::pending().await;
        }
        self.push();
        let taken = self.intake.advance().await;
        self.record(&taken);
    }

    /// Returns when everything is in the queues, or lost because the service takes no more.
    pub(super) async fn finish(&mut self) {
        loop {
            let done = self.waiting.is_empty() && self.intake.is_empty();
            if done || self.refused {
                return;
            }
            self.advance().await;
        }
    }

    fn push(&mut self) {
        while !self.refused
            && self.intake.has_room()
            && let Some((batch, _)) = self.waiting.pop_front()
        {
            self.intake.push(batch);
        }
    }

    fn record(&mut self, taken: &Result<usize, IntakeError>) {
        match taken {
            Ok(taken) => {
                self.context.counters.count_received(*taken);
                self.budget.give_back(self.costs.drain(..(*taken).min(self.costs.len())).sum());
            }
            Err(_) => {
                self.refused = true;
                let waiting: usize = self.waiting.drain(..).map(|(batch, _)| batch.len()).sum();
                let lost = self.intake.abandon() + waiting;
                self.budget.give_back(self.costs.drain(..).sum());
                self.lose(lost, "the service shut down before they were taken");
            }
        }
    }

    fn lose(&self, transactions: usize, why: &str) {
        if transactions == 0 {
            return;
        }
        self.context.counters.count_lost(transactions as u64);
        if let Some(suppressed) = self.context.counters.log_limit.admit() {
            tracing::error!(input = self.context.input, transactions, suppressed, "lost: {why}");
        }
    }
}

impl Drop for Feed {
    fn drop(&mut self) {
        self.budget.give_back(self.costs.drain(..).sum());
    }
}
