//! The full queue that refused the last batch of a sender: while it has no room, the next batch need not be read.

use std::sync::Arc;

use super::intake::IntakeError;
use logphase_queue::{Queue, ReserveError};

/// A queue that every transaction goes to.
pub(super) struct FullQueue {
    pub(super) queue: Arc<dyn Queue>,
    /// The plugin, as errors name it.
    pub(super) plugin: String,
    /// Transactions of the batch that it refused, and their bytes.
    pub(super) transactions: usize,
    pub(super) bytes: usize,
}

impl FullQueue {
    /// Why it would refuse a batch of about `bytes`, too, which is counted then. `None` if it has room for half of it: the batch may be
    /// smaller than it looks.
    pub(super) fn refusal(&self, bytes: usize) -> Option<IntakeError> {
        let least_bytes = bytes / 2;
        let each = (self.bytes / self.transactions.max(1)).max(1);
        let least_entries = (least_bytes / each).max(1);
        let error = match self.queue.reserve(least_entries, least_bytes) {
            Ok(()) => {
                self.queue.release(least_entries, least_bytes);
                return None;
            }
            Err(error) => error,
        };
        let plugin = self.plugin.clone();
        let refusal = match error {
            ReserveError::Full(bound) => IntakeError::Full { plugin, bound },
            ReserveError::Failing => IntakeError::Failing { plugin },
            ReserveError::Closed | ReserveError::TooLarge => return None,
        };
        self.queue.count_refusal(error, 0);
        Some(refusal)
    }
}

impl std::fmt::Debug for FullQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullQueue").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}
