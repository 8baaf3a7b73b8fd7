//! Leases revoked entries again. They are on disk, and not in memory any more.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::super::QueueEvent;
use super::DurableQueue;

/// The pause before a read is tried again, and before entries are read that are not synced yet.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

impl DurableQueue {
    /// Leases the oldest revoked entries; empty if there are none. A read that fails is tried again without a limit: the entry
    /// was read before, so its file can be read when the cause is mended.
    pub(super) async fn lease_again(&self, entries: usize, bytes: usize) -> Vec<Bytes> {
        loop {
            let (range, extents) = {
                let state = self.state.lock();
                let Some(&(first, _)) = state.again.front() else { return Vec::new() };
                // Entries in between may have been dropped: only a run without a gap is read at once.
                let run = state.again.iter().zip(first..).take_while(|((seq, _), expected)| seq == expected);
                let end = first + run.take(entries).count() as u64;
                // Without `sync: always` an entry can be leased before it is synced.
                ((first, end.min(state.durable)), state.extents.clone())
            };
            if range.0 >= range.1 {
                tokio::time::sleep(PAUSE).await;
                continue;
            }
            let reader = self.reader.clone();
            let reading = tokio::task::spawn_blocking(move || reader.lock().read(&extents, range, entries, bytes));
            // It fails only when the runtime ends.
            let Ok(result) = reading.await else { return Vec::new() };
            match result {
                Ok(chunk) => {
                    let mut batch = Vec::new();
                    self.remove(|state| {
                        for record in chunk.records {
                            state.skip_again(record.seq);
                            if state.lease_again(record.seq) {
                                batch.push(record.payload);
                            }
                        }
                        state.skip_again(chunk.next);
                    });
                    if !batch.is_empty() {
                        return batch;
                    }
                }
                Err(error) => self.wait_after(&error).await,
            }
        }
    }

    async fn wait_after(&self, error: &io::Error) {
        self.state.lock().push_event(QueueEvent::Unreadable { error: error.to_string() });
        self.event_ready.notify_waiters();
        tokio::time::sleep(PAUSE).await;
    }
}
