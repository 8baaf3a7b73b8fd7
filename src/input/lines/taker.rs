//! Where the lines of a stream go: in batches, in order.

use bytes::Bytes;

use crate::decode::Decode;
use crate::input::Reason;
use crate::phase::{Intake, IntakeError, OrderedIntake};
use logphase_script::transaction::Transaction;

/// Transactions of one batch, at most.
const BATCH_TRANSACTIONS: usize = 1024;

/// Bytes of one batch, except for its last line. Larger batches leave the processor's cache before a worker reads them.
const BATCH_BYTES: usize = 256 << 10;

/// Takes the lines of one stream. It has no task: progress requires that [`Taker::advance`] is polled.
pub(in crate::input) trait Taker: Send {
    /// Bytes of a line, at most.
    fn max_line_bytes(&self) -> usize;

    /// Adds a line to the batch; if it cannot be used, says why.
    fn add(&mut self, line: Bytes) -> Result<(), (Reason, String)>;

    /// What the batch has.
    fn batch_len(&self) -> usize;

    /// Whether the batch has to be sent before more is added.
    fn is_full(&self) -> bool;

    /// Whether another batch may be sent.
    fn has_room(&self) -> bool;

    /// Sends the batch after those before. Must be called only if [`Self::has_room`].
    fn send(&mut self);

    /// Whether everything that was sent is safe.
    fn is_empty(&self) -> bool;

    /// Waits for progress: returns how much of what was sent is now safe. Pending while there is nothing. Cancel-safe.
    ///
    /// # Errors
    /// The service takes no more.
    fn advance(&mut self) -> impl Future<Output = Result<usize, IntakeError>> + Send;

    /// Drops what is not safe and will not become so. Returns how much is lost.
    fn abandon(&mut self) -> usize;

    /// Drops the batch. Returns how much it had.
    fn drop_batch(&mut self) -> usize;
}

/// Transactions, on their way through the log phase.
pub(in crate::input) struct Transactions<D> {
    intake: OrderedIntake,
    decoder: D,
    batch: Vec<Transaction>,
    batch_bytes: usize,
}

impl<D: Decode> Transactions<D> {
    pub(in crate::input) fn new(intake: Intake, decoder: D) -> Self {
        Self { intake: OrderedIntake::new(intake), decoder, batch: Vec::new(), batch_bytes: 0 }
    }
}

impl<D: Decode> Taker for Transactions<D> {
    fn max_line_bytes(&self) -> usize {
        self.decoder.max_frame_bytes()
    }

    fn add(&mut self, line: Bytes) -> Result<(), (Reason, String)> {
        let before = self.batch.len();
        self.decoder.decode(line, &mut self.batch).map_err(|error| (Reason::from(&error), error.to_string()))?;
        self.batch_bytes += self.batch[before..].iter().map(|transaction| transaction.bytes().len()).sum::<usize>();
        Ok(())
    }

    fn batch_len(&self) -> usize {
        self.batch.len()
    }

    fn is_full(&self) -> bool {
        self.batch.len() >= BATCH_TRANSACTIONS || self.batch_bytes >= BATCH_BYTES
    }

    fn has_room(&self) -> bool {
        self.intake.has_room()
    }

    fn send(&mut self) {
        self.batch_bytes = 0;
        self.intake.push(std::mem::take(&mut self.batch));
    }

    fn is_empty(&self) -> bool {
        self.intake.is_empty()
    }

    fn advance(&mut self) -> impl Future<Output = Result<usize, IntakeError>> + Send {
        self.intake.advance()
    }

    fn abandon(&mut self) -> usize {
        self.intake.abandon()
    }

    fn drop_batch(&mut self) -> usize {
        self.batch_bytes = 0;
        std::mem::take(&mut self.batch).len()
    }
}
