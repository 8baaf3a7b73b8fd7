//! The end that delivery reads.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::super::Notice;
use super::super::log::{Chunk, Extent};
use super::state::State;
use super::{DurableQueue, lock};

/// Attempts to read what the disk does not give.
const READ_ATTEMPTS: u32 = 3;
/// The pause between them.
const READ_PAUSE: Duration = Duration::from_secs(1);
/// Bytes that are read at once for who only looks.
const PEEK_BYTES: usize = 1 << 20;

/// What is to be read from disk.
struct Plan {
    extents: std::sync::Arc<[Extent]>,
    from: u64,
    end: u64,
}

impl DurableQueue {
    pub(super) async fn lease_next(&self, entries: usize, bytes: usize) -> Vec<Bytes> {
        let mut failures = 0;
        loop {
            let plan = {
                let mut state = self.lock();
                if state.at >= state.readable {
                    return Vec::new();
                }
                if state.at >= state.recent_first {
                    return self.lease_recent(&mut state, entries, bytes);
                }
                let end = state.recent_first.min(state.durable);
                Plan { extents: state.extents.clone(), from: state.at, end }
            };
            let (from, end) = (plan.from, plan.end);
            let reader = self.reader.clone();
            let reading =
                tokio::task::spawn_blocking(move || lock(&reader).read(&plan.extents, (from, end), entries, bytes));
            // The blocking task is only lost when the runtime ends.
            let Ok(result) = reading.await else { return Vec::new() };
            match result {
                Ok(chunk) => {
                    let leased = self.adopt(chunk);
                    if !leased.is_empty() {
                        return leased;
                    }
                }
                Err(error) => {
                    failures += 1;
                    self.tell(Notice::Unreadable { error: error.to_string() });
                    if failures < READ_ATTEMPTS {
                        tokio::time::sleep(READ_PAUSE).await;
                    } else {
                        failures = 0;
                        self.pass_over(from, end);
                    }
                }
            }
        }
    }

    /// Reads what is on disk from the first entry that is not done with, with a reader of its own.
    pub(super) async fn peek_at(&self, skip: usize, entries: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let (extents, from, end) = {
            let state = self.lock();
            (state.extents.clone(), state.head().saturating_add(skip as u64), state.durable)
        };
        let mut reader = lock(&self.reader).another();
        let read = move || {
            let mut found = Vec::new();
            let mut at = from;
            while at < end && found.len() < entries {
                let chunk = reader.read(&extents, (at, end), entries - found.len(), PEEK_BYTES)?;
                at = chunk.next;
                found.extend(chunk.records.into_iter().map(|record| (record.seq, record.payload)));
            }
            Ok(found)
        };
        tokio::task::spawn_blocking(read).await.map_err(io::Error::other)?
    }

    fn lease_recent(&self, state: &mut State, entries: usize, bytes: usize) -> Vec<Bytes> {
        let mut batch: Vec<Bytes> = Vec::new();
        let mut size = 0;
        while batch.len() < entries && state.at < state.readable {
            let Some(next) = state.recent.front() else { break };
            if !batch.is_empty() && size + next.len() > bytes {
                break;
            }
            let seq = state.recent_first;
            let Some(entry) = state.pop_recent() else { break };
            size += entry.len();
            state.lease(seq, &entry);
            batch.push(entry);
        }
        self.shared.recent.give(size);
        batch
    }

    /// Leases what was read, but for what was dropped meanwhile.
    fn adopt(&self, chunk: Chunk) -> Vec<Bytes> {
        let mut state = self.lock();
        let mut batch = Vec::new();
        for record in chunk.records {
            if record.seq >= state.at {
                state.lease(record.seq, &record.payload);
                batch.push(record.payload);
            }
        }
        state.skip_to(chunk.next);
        let wake = self.settle(&mut state);
        drop(state);
        self.wake(wake);
        batch
    }

    /// Gives up what is left of the segment that cannot be read. Its file is kept.
    fn pass_over(&self, from: u64, end: u64) {
        let mut state = self.lock();
        let extents = state.extents.clone();
        let Some(extent) = extents.iter().find(|extent| (extent.first..extent.end).contains(&from)) else { return };
        state.spoiled.push(extent.generation);
        state.skip_to(extent.end.min(end));
        let wake = self.settle(&mut state);
        drop(state);
        self.wake(wake);
    }

    fn tell(&self, notice: Notice) {
        self.lock().notice(notice);
        self.noticed.notify_waiters();
    }
}
