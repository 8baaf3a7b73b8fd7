//! The reading end of the durable queue.

use std::io;
use std::time::Duration;

use bytes::Bytes;

use super::super::QueueEvent;
use super::super::log::{Chunk, Extent};
use super::DurableQueue;
use super::state::State;

/// The pause after the first read that failed, and the longest; it doubles in between.
const READ_PAUSES: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(5));
/// Bytes that [`DurableQueue::peek_at`] reads at once.
const PEEK_BYTES: usize = 1 << 20;

/// A range to be read from disk.
struct Range {
    extents: std::sync::Arc<[Extent]>,
    from: u64,
    end: u64,
}

impl State {
    /// Where the entries end that can be read from disk; and at most `entries` of those after them, starting with `from`,
    /// which only memory has.
    fn peek_memory(&self, from: u64, entries: usize) -> (u64, Vec<(u64, Bytes)>) {
        if !self.spills {
            return (self.durable, Vec::new());
        }
        let end = self.durable.min(self.recent_first);
        let kept = self.kept.iter().map(|(seq, entry)| (*seq, entry));
        let in_memory = kept.chain((self.recent_first..).zip(&self.recent));
        let wanted = in_memory.filter(|(seq, _)| *seq >= from.max(end)).take(entries);
        (end, wanted.map(|(seq, entry)| (seq, entry.clone())).collect())
    }
}

impl DurableQueue {
    /// Reads from disk what is not in memory. A read that fails is repeated until it succeeds: the entries are on disk, and
    /// are not lost as long as they are not skipped.
    pub(super) async fn lease_next(&self, entries: usize, bytes: usize) -> Vec<Bytes> {
        let mut pause = READ_PAUSES.0;
        loop {
            let range = {
                let mut state = self.state.lock();
                if state.at >= state.readable {
                    return Vec::new();
                }
                if state.at >= state.recent_first {
                    return self.lease_recent(&mut state, entries, bytes);
                }
                let end = state.recent_first.min(state.durable);
                Range { extents: state.extents.clone(), from: state.at, end }
            };
            let (from, end) = (range.from, range.end);
            let reader = self.reader.clone();
            let reading =
                tokio::task::spawn_blocking(move || reader.lock().read(&range.extents, (from, end), entries, bytes));
            // It fails only when the runtime ends.
            let Ok(result) = reading.await else { return Vec::new() };
            match result {
                Ok(chunk) => {
                    let leased = self.lease_chunk(chunk);
                    if !leased.is_empty() {
                        return leased;
                    }
                }
                Err(error) => {
                    self.set_unreadable(Some(&error));
                    tokio::time::sleep(pause).await;
                    pause = (pause * 2).min(READ_PAUSES.1);
                }
            }
        }
    }

    /// Reads from disk, with a reader of its own, starting `skip` entries after the oldest.
    pub(super) async fn peek_at(&self, skip: usize, entries: usize) -> io::Result<Vec<(u64, Bytes)>> {
        let (extents, from, end, in_memory) = {
            let state = self.state.lock();
            let from = state.head().saturating_add(skip as u64);
            let (end, in_memory) = state.peek_memory(from, entries);
            (state.extents.clone(), from, end, in_memory)
        };
        if from >= end {
            return Ok(in_memory);
        }
        let mut reader = self.reader.lock().another();
        let read = move || {
            let mut found = Vec::new();
            let mut at = from;
            while at < end && found.len() < entries {
                let chunk = reader.read(&extents, (at, end), entries - found.len(), PEEK_BYTES)?;
                at = chunk.next;
                found.extend(chunk.records.into_iter().map(|record| (record.seq, record.payload)));
            }
            let left = entries - found.len();
            found.extend(in_memory.into_iter().take(left));
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
            state.keep(seq, &entry);
            state.lease(seq, &entry);
            batch.push(entry);
        }
        self.adjust_pool(state);
        batch
    }

    /// Leases the entries that were read, except those that were dropped meanwhile.
    fn lease_chunk(&self, chunk: Chunk) -> Vec<Bytes> {
        self.set_unreadable(None);
        let mut state = self.state.lock();
        let mut batch = Vec::new();
        for record in chunk.records {
            if record.seq >= state.at {
                state.lease(record.seq, &record.payload);
                batch.push(record.payload);
            }
        }
        state.skip_to(chunk.next);
        let notifications = self.adjust_budgets(&mut state);
        drop(state);
        self.notify(notifications);
        batch
    }

    /// Records whether entries on disk cannot be read now, and reports a change.
    pub(super) fn set_unreadable(&self, error: Option<&io::Error>) {
        let mut state = self.state.lock();
        if std::mem::replace(&mut state.unreadable, error.is_some()) == error.is_some() {
            return;
        }
        state.events.push(match error {
            Some(error) => QueueEvent::Unreadable { error: error.to_string() },
            None => QueueEvent::Readable,
        });
        drop(state);
        self.event_ready.notify_waiters();
    }
}
