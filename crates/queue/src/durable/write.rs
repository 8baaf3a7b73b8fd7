//! The end that the flusher writes.

use std::io;
use std::time::{Duration, Instant};

use super::super::log::{Log, SegmentReader};
use super::super::{Notice, Receipt};
use super::{DurableQueue, lock};
use crate::failpoint::{self, Point};

/// Bytes of entries that a queue keeps in memory after they were written: more than is synced at once under load, so that
/// a sink that keeps up need not read them from disk. All queues together keep no more than a quarter of the memory that
/// they may use.
const RECENT_BYTES: usize = 32 << 20;
/// How often the cursor is saved while it moves.
const TIDY_EVERY: Duration = Duration::from_secs(1);
/// The pause after the first error, and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What only the flusher touches.
pub(super) struct Writer {
    pub log: Log,
    /// Reads what is dropped because the queue is full.
    pub shedder: SegmentReader,
    /// When what is written and not synced is to be.
    sync_at: Option<Instant>,
    /// Not before then, after an error.
    retry_at: Option<Instant>,
    pause: Duration,
    tidy_at: Instant,
    // The cursor could not be saved lately.
    untidy: bool,
    /// Another may have the directory by now.
    pub released: bool,
}

impl Writer {
    pub(super) fn new(log: Log, shedder: SegmentReader) -> Self {
        Self {
            log,
            shedder,
            sync_at: None,
            retry_at: None,
            pause: RETRY_PAUSES.0,
            tidy_at: Instant::now(),
            untidy: false,
            released: false,
        }
    }

    /// Whether there is nothing to be done now.
    fn rests(&self, now: Instant, at_once: bool) -> bool {
        self.released || (!at_once && self.retry_at.is_some_and(|at| at > now))
    }
}

impl DurableQueue {
    /// Writes what was appended.
    pub(super) fn write(&self, now: Instant, at_once: bool) {
        let mut writer = lock(&self.writer);
        if writer.rests(now, at_once) {
            return;
        }
        {
            let mut state = self.lock();
            // What is in flight already was taken before.
            let from = usize::try_from(state.taken.saturating_sub(state.recent_first)).unwrap_or(usize::MAX);
            for entry in state.recent.iter().skip(from) {
                writer.log.push(entry.clone());
            }
            state.taken = state.next;
            debug_assert_eq!(writer.log.next(), state.next, "the log has what the queue has");
        }
        #[cfg(debug_assertions)]
        self.answer_too_early();
        let result = writer.log.write();
        if let Err(error) = result {
            self.failed(&mut writer, now, &error);
            return;
        }
        if let Some(interval) = self.options.sync_interval
            && writer.log.written() > writer.log.durable()
        {
            writer.sync_at.get_or_insert(now + interval);
            self.publish(&mut writer);
        }
    }

    /// Syncs what was written, if it is time, and tells of it.
    pub(super) fn sync(&self, now: Instant, at_once: bool) {
        let mut writer = lock(&self.writer);
        while writer.log.is_syncing() && !writer.released {
            self.synced.wait(&mut writer);
        }
        let waits = !at_once && writer.sync_at.is_some_and(|at| at > now);
        let idle = writer.log.written() == writer.log.durable() && !self.lock().failing;
        if waits || idle || writer.rests(now, at_once) {
            return;
        }
        writer.sync_at = None;
        let Some(syncing) = writer.log.begin_sync() else {
            // Everything is on disk, after a failure.
            self.publish(&mut writer);
            return;
        };
        drop(writer);
        let begun = Instant::now();
        let result = syncing.run();
        lock(&self.shared.syncs).record(begun.elapsed(), 1);
        let mut writer = lock(&self.writer);
        match writer.log.end_sync(&syncing, result) {
            Ok(true) => self.publish(&mut writer),
            Ok(false) => {}
            Err(error) => self.failed(&mut writer, now, &error),
        }
        drop(writer);
        self.synced.notify_all();
    }

    /// Saves how far the queue was delivered, removes what is not needed, drops what is too much.
    pub(super) fn tidy(&self, now: Instant, at_once: bool) {
        let mut writer = lock(&self.writer);
        if writer.released {
            return;
        }
        self.shed(&mut writer);
        if writer.tidy_at > now && !at_once {
            return;
        }
        let (head, spoiled) = {
            let mut state = self.lock();
            (state.head(), std::mem::take(&mut state.spoiled))
        };
        writer.log.deliver_to(head);
        spoiled.into_iter().for_each(|generation| writer.log.spare(generation));
        writer.tidy_at = now + TIDY_EVERY;
        match writer.log.tidy() {
            Ok(()) => {
                writer.untidy = false;
                self.lock().extents = writer.log.extents().into();
            }
            // Entries would come twice after a crash; none is lost, so that the queue goes on.
            Err(error) if !std::mem::replace(&mut writer.untidy, true) => {
                self.lock().notice(Notice::Unsaved { error: error.to_string() });
                self.noticed.notify_waiters();
            }
            Err(_) => {}
        }
    }

    /// When the flusher is to look again, if nothing happens before.
    pub(super) fn due(&self) -> Option<Instant> {
        let writer = lock(&self.writer);
        if writer.released {
            return None;
        }
        let state = self.lock();
        let written = match (state.failing, &writer.log) {
            (true, _) => writer.retry_at,
            (false, log) if log.written() < log.next() => Some(Instant::now()),
            (false, log) if log.durable() < log.written() => writer.sync_at,
            _ => None,
        };
        let tidied = (writer.log.is_untidy() || state.head() > writer.log.saved()).then_some(writer.tidy_at);
        written.into_iter().chain(tidied).min()
    }

    /// Takes and writes nothing more; what is on disk is delivered on.
    pub(super) fn give_up(&self) {
        lock(&self.writer).released = true;
        self.synced.notify_all();
        let mut state = self.lock();
        state.failing = true;
        let error =
            "the thread that writes queues has panicked: restart the service, and please report this".to_owned();
        state.notice(Notice::Failing { error });
        drop(state);
        self.noticed.notify_waiters();
    }

    /// Lets the directory go. True if everything was delivered, and nothing is left in it.
    pub(super) fn let_go(&self) -> bool {
        let mut writer = lock(&self.writer);
        writer.released = true;
        let is_idle = self.lock().is_idle();
        is_idle && writer.log.clear().is_ok_and(|cleared| cleared)
    }

    /// Tells those who wait that entries are safe.
    fn publish(&self, writer: &mut Writer) {
        writer.retry_at = None;
        writer.pause = RETRY_PAUSES.0;
        failpoint::reach(Point::AfterSync);
        let log = &writer.log;
        let mut state = self.lock();
        state.make_durable(log.durable());
        let safe = if self.options.sync_interval.is_none() { log.durable() } else { log.written() };
        state.readable = state.readable.max(safe);
        state.extents = log.extents().into();
        if log.written() == log.next() && std::mem::take(&mut state.failing) {
            state.notice(Notice::Recovered);
        }
        let answered = state.receipts.iter().take_while(|(end, _)| *end <= state.readable).count();
        let receipts: Vec<(u64, Receipt)> = state.receipts.drain(..answered).collect();
        self.evict(&mut state);
        let wake = self.settle(&mut state);
        drop(state);
        drop(receipts);
        failpoint::reach(Point::Answered);
        self.wake(wake);
        self.readable.notify_waiters();
    }

    /// What must never be done: the kill test has to see it.
    #[cfg(debug_assertions)]
    fn answer_too_early(&self) {
        if failpoint::is_planted(Point::AnswerBeforeWrite) {
            let receipts = std::mem::take(&mut self.lock().receipts);
            drop(receipts);
            // Long enough for the answers to get out.
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Lets go of what is in memory and on disk, where that is too much.
    fn evict(&self, state: &mut super::State) {
        let pool = &self.shared.recent;
        let mut evicted = 0;
        while state.recent_first < state.durable && (state.recent_bytes > RECENT_BYTES || pool.is_over(evicted)) {
            let Some(entry) = state.pop_recent() else { break };
            evicted += entry.len();
        }
        pool.give(evicted);
    }

    fn failed(&self, writer: &mut Writer, now: Instant, error: &io::Error) {
        writer.retry_at = Some(now + writer.pause);
        writer.pause = (writer.pause * 2).min(RETRY_PAUSES.1);
        let mut state = self.lock();
        if !std::mem::replace(&mut state.failing, true) {
            state.notice(Notice::Failing { error: error.to_string() });
        }
        drop(state);
        self.noticed.notify_waiters();
    }

    /// Drops the oldest that wait until the bounds hold, as [`super::Overflow::DropOldest`] asks.
    fn shed(&self, writer: &mut Writer) {
        let mut dropped = 0u64;
        let mut freed = 0;
        let mut state = self.lock();
        while self.is_over(&state) && state.at < state.readable {
            let seq = state.at;
            if seq >= state.recent_first {
                let Some(entry) = state.pop_recent() else { break };
                freed += entry.len();
                state.drop_entry(seq, entry.len());
                dropped += 1;
                continue;
            }
            let (extents, end) = (state.extents.clone(), state.recent_first.min(state.durable));
            drop(state);
            let read = writer.shedder.read(&extents, (seq, end), 1, usize::MAX);
            state = self.lock();
            // What cannot be read is left to the reader, which knows how to pass it over.
            let Ok(chunk) = read else { break };
            for record in chunk.records {
                if record.seq < state.at {
                    continue;
                }
                state.drop_entry(record.seq, record.payload.len());
                dropped += 1;
            }
            state.skip_to(chunk.next);
        }
        if dropped == 0 {
            return;
        }
        // Said at every power of two: the log grows slowly.
        let total = state.totals.dropped_overflow;
        if (total - dropped).checked_ilog2() != total.checked_ilog2() {
            state.notice(Notice::Overflowed { total });
        }
        self.shared.recent.give(freed);
        let wake = self.settle(&mut state);
        drop(state);
        self.wake(wake);
    }
}
