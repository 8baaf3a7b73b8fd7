//! The full queue that refused the last batch of a sender: while it has no room, the next batch need not be read.

use std::sync::Weak;

use super::intake::IntakeError;
use logphase_queue::{Queue, ReserveError};

/// A queue that every transaction goes to.
pub(super) struct FullQueue {
    /// Not kept: a connection that is silent must not keep the queue of a plugin that is gone.
    pub(super) queue: Weak<dyn Queue>,
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
        let queue = self.queue.upgrade()?;
        let least_bytes = bytes / 2;
        let each = (self.bytes / self.transactions.max(1)).max(1);
        let least_entries = (least_bytes / each).max(1);
        let error = match queue.reserve(least_entries, least_bytes) {
            Ok(()) => {
                queue.release(least_entries, least_bytes);
                return None;
            }
            Err(ReserveError::Closed | ReserveError::TooLarge) => return None,
            Err(error) => error,
        };
        queue.count_refusal(error, 0);
        Some(IntakeError::refused(error, self.plugin.clone(), least_entries))
    }
}

impl std::fmt::Debug for FullQueue {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("FullQueue").field("plugin", &self.plugin).finish_non_exhaustive()
    }
}
