//! Leases revoked entries again. They are on disk and not in memory any more, or with [`super::Mode::Spill`] kept in memory.

use std::time::Duration;

use bytes::Bytes;

use super::DurableQueue;
use super::state::State;

/// The pause before a read is tried again, and before entries are read that are not synced yet.
const PAUSE: Duration = Duration::from_millis(if cfg!(test) { 20 } else { 500 });

impl DurableQueue {
    /// Leases the oldest revoked entries; empty if there are none. A read that fails is tried again without a limit: the entry
    /// was read before, so its file can be read when the cause is mended.
    pub(super) async fn lease_again(&self, entries: usize, bytes: usize) -> Vec<Bytes> {
        loop {
            let (range, extents) = {
                let mut state = self.state.lock();
                let Some(&(first, _)) = state.again.front() else { return Vec::new() };
                let kept = state.lease_kept_again(entries, bytes);
                if !kept.is_empty() {
                    return kept;
                }
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
                    self.set_unreadable(None);
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
                Err(error) => {
                    self.set_unreadable(Some(&error));
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

impl State {
    /// Leases the oldest revoked entries that are kept in memory.
    fn lease_kept_again(&mut self, entries: usize, bytes: usize) -> Vec<Bytes> {
        let (mut batch, mut size) = (Vec::new(), 0);
        while batch.len() < entries {
            let Some(&(first, len)) = self.again.front() else { break };
            let at = self.kept.partition_point(|(seq, _)| *seq < first);
            let Some(entry) = self.kept.get(at).filter(|(seq, _)| *seq == first).map(|(_, entry)| entry.clone()) else {
                break;
            };
            if !batch.is_empty() && size + len > bytes {
                break;
            }
            size += len;
            self.lease_again(first);
            batch.push(entry);
        }
        batch
    }
}
