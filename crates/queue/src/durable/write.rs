//! The writing end of the durable queue, which the flusher threads use.

use std::io;
use std::time::{Duration, Instant};

use super::super::log::{Log, SegmentReader};
use super::super::{QueueEvent, Receipt};
use super::{DurableQueue, Mode};
use crate::failpoint::{self, Point};

/// Bytes of entries that a queue keeps in memory after they were written: more than one sync writes under load, so that a
/// sink that keeps up need not read from disk. All queues together keep at most a quarter of the memory budget.
const RECENT_BYTES: usize = 32 << 20;
/// How often the cursor is saved while it moves.
pub(super) const CHECKPOINT_INTERVAL: Duration = Duration::from_secs(1);
/// The pause after the first error, and the longest.
const RETRY_PAUSES: (Duration, Duration) = (Duration::from_millis(100), Duration::from_secs(5));

/// What only the flusher threads use.
pub(super) struct Writer {
    pub log: Log,
    /// Reads entries that are dropped because the queue is full.
    pub overflow_reader: SegmentReader,
    /// When the written entries are to be synced.
    sync_at: Option<Instant>,
    /// After an error: when to try again.
    retry_at: Option<Instant>,
    pause: Duration,
    checkpoint_at: Instant,
    // The last checkpoint failed.
    checkpoint_failed: bool,
    // The reader may have a segment open that was removed.
    has_stale_reader: bool,
    /// The files are closed: something else may have opened the directory.
    pub released: bool,
}

impl Writer {
    pub(super) fn new(log: Log, overflow_reader: SegmentReader) -> Self {
        Self {
            log,
            overflow_reader,
            sync_at: None,
            retry_at: None,
            pause: RETRY_PAUSES.0,
            checkpoint_at: Instant::now(),
            checkpoint_failed: false,
            has_stale_reader: false,
            released: false,
        }
    }

    /// Whether to do nothing now.
    fn is_paused(&self, now: Instant, at_once: bool) -> bool {
        self.released || (!at_once && self.retry_at.is_some_and(|at| at > now))
    }
}

impl DurableQueue {
    /// Writes the appended entries.
    pub(super) fn write(&self, now: Instant, at_once: bool) {
        let mut writer = self.writer.lock();
        if writer.is_paused(now, at_once) {
            return;
        }
        self.hand_over(&mut writer.log, at_once);
        #[cfg(debug_assertions)]
        Self::await_early_answers();
        let result = writer.log.write();
        if let Err(error) = result {
            self.failed(&mut writer, now, &error);
            return;
        }
        if let Mode::Interval(interval) = self.options.mode
            && writer.log.written() > writer.log.durable()
        {
            writer.sync_at.get_or_insert(now + interval);
            self.publish(&mut writer);
        }
    }

    /// Syncs the written entries when it is due, and acknowledges them.
    pub(super) fn sync(&self, now: Instant, at_once: bool) {
        let mut writer = self.writer.lock();
        while writer.log.is_syncing() && !writer.released {
            self.synced.wait(&mut writer);
        }
        let waits = !at_once && writer.sync_at.is_some_and(|at| at > now);
        let idle = writer.log.written() == writer.log.durable() && !self.state.lock().failing;
        if waits || idle || writer.is_paused(now, at_once) {
            return;
        }
        writer.sync_at = None;
        let Some(pending_sync) = writer.log.begin_sync() else {
            // Everything is synced, after a failure.
            self.publish(&mut writer);
            return;
        };
        drop(writer);
        let started = Instant::now();
        let result = pending_sync.run();
        self.shared.syncs.lock().record(started.elapsed(), 1);
        let mut writer = self.writer.lock();
        match writer.log.end_sync(&pending_sync, result) {
            Ok(true) => self.publish(&mut writer),
            Ok(false) => {}
            Err(error) => self.failed(&mut writer, now, &error),
        }
        drop(writer);
        self.synced.notify_all();
    }

    /// Drops what is past the bounds, saves the cursor, and removes delivered segments.
    pub(super) fn checkpoint(&self, now: Instant, at_once: bool) {
        let mut writer = self.writer.lock();
        if writer.released {
            return;
        }
        self.drop_overflow(&mut writer);
        if writer.checkpoint_at > now && !at_once {
            return;
        }
        let head = self.state.lock().head();
        writer.log.set_delivered(head);
        writer.checkpoint_at = now + CHECKPOINT_INTERVAL;
        let result = writer.log.checkpoint();
        self.close_removed(&mut writer, now);
        match result {
            Ok(()) => writer.checkpoint_failed = false,
            // After a crash entries would be delivered twice, but none is lost: the queue goes on.
            Err(error) if !std::mem::replace(&mut writer.checkpoint_failed, true) => {
                self.state.lock().events.push(QueueEvent::CursorNotSaved { error: error.to_string() });
                self.event_ready.notify_waiters();
            }
            Err(_) => {}
        }
    }

    /// Closes the files of the segments that were removed: only then do they free their space on the disk, which a failing
    /// queue may wait for.
    fn close_removed(&self, writer: &mut Writer, now: Instant) {
        let extents = writer.log.extents();
        let mut state = self.state.lock();
        if extents[..] != state.extents[..] {
            state.extents = extents.into();
            writer.has_stale_reader = true;
            writer.retry_at = writer.retry_at.map(|at| at.min(now));
        }
        let extents = state.extents.clone();
        drop(state);
        if !writer.has_stale_reader {
            return;
        }
        writer.overflow_reader.close_removed(&extents);
        // The disk may keep the reader busy; the next checkpoint tries again.
        if let Some(mut reader) = self.reader.try_lock() {
            reader.close_removed(&extents);
            writer.has_stale_reader = false;
        }
    }

    /// When the flusher is to run again if it is not woken before.
    pub(super) fn due(&self) -> Option<Instant> {
        let writer = self.writer.lock();
        if writer.released {
            return None;
        }
        let state = self.state.lock();
        let written = match (state.failing, &writer.log) {
            (true, _) => writer.retry_at,
            (false, log) if log.written() < log.next() => Some(Instant::now()),
            (false, log) if log.durable() < log.written() => writer.sync_at,
            _ => None,
        };
        let is_behind = writer.has_stale_reader
            || writer.log.needs_checkpoint()
            || state.head().min(writer.log.next()) > writer.log.saved();
        let checkpoint = is_behind.then_some(writer.checkpoint_at);
        written.into_iter().chain(checkpoint).min()
    }

    /// Accepts and writes nothing more; the entries on disk are still delivered.
    pub(super) fn stop_writing(&self) {
        self.writer.lock().released = true;
        self.synced.notify_all();
        let mut state = self.state.lock();
        state.failing = true;
        let error =
            "the thread that writes queues has panicked: restart the service, and please report this".to_owned();
        state.events.push(QueueEvent::Failing { error });
        drop(state);
        self.event_ready.notify_waiters();
    }

    /// Closes the files. True if everything was delivered, and the files are removed.
    pub(super) fn close_files(&self) -> bool {
        let mut writer = self.writer.lock();
        writer.released = true;
        let state = self.state.lock();
        let (is_empty, next) = (state.is_idle() && state.unconfirmed.len() == 0, state.next);
        drop(state);
        if is_empty && next > writer.log.durable() {
            // What was delivered without having been written.
            writer.log.skip_to(next);
        }
        is_empty && writer.log.remove_files().is_ok_and(|cleared| cleared)
    }

    /// Acknowledges the entries that are safe now.
    fn publish(&self, writer: &mut Writer) {
        writer.retry_at = None;
        writer.pause = RETRY_PAUSES.0;
        failpoint::reach(Point::AfterSync);
        let log = &writer.log;
        let mut state = self.state.lock();
        state.set_durable(log.durable());
        let safe = match self.options.mode {
            Mode::Sync | Mode::Spill => log.durable(),
            Mode::Interval(_) => log.written(),
        };
        state.readable = state.readable.max(safe);
        state.extents = log.extents().into();
        if log.written() == log.next() && std::mem::take(&mut state.failing) {
            state.events.push(QueueEvent::Recovered);
        }
        let acknowledged = state.receipts.iter().take_while(|(end, _)| *end <= state.readable).count();
        let receipts: Vec<(u64, Receipt)> = state.receipts.drain(..acknowledged).collect();
        self.adjust_pool(&mut state);
        self.evict(&mut state);
        let notifications = self.adjust_budgets(&mut state);
        drop(state);
        drop(receipts);
        failpoint::reach(Point::Answered);
        self.notify(notifications);
        self.readable.notify_waiters();
    }

    /// Lets the answers out that [`Point::AnswerBeforeWrite`] gives too early, before the write that is killed.
    #[cfg(debug_assertions)]
    fn await_early_answers() {
        if failpoint::is_enabled(Point::AnswerBeforeWrite) && failpoint::is_next(Point::BeforeWrite) {
            std::thread::sleep(Duration::from_millis(300));
        }
    }

    /// Removes entries from memory that are on disk, if they are too many.
    fn evict(&self, state: &mut super::State) {
        let pool = &self.shared.recent;
        let mut evicted = 0;
        while state.recent_first < state.durable && (state.recent_bytes > RECENT_BYTES || pool.is_exceeded(evicted)) {
            let Some(entry) = state.pop_recent() else { break };
            evicted += entry.len();
        }
        self.adjust_pool(state);
    }

    fn failed(&self, writer: &mut Writer, now: Instant, error: &io::Error) {
        writer.retry_at = Some(now + writer.pause);
        writer.pause = (writer.pause * 2).min(RETRY_PAUSES.1);
        let mut state = self.state.lock();
        if !std::mem::replace(&mut state.failing, true) {
            state.events.push(QueueEvent::Failing { error: error.to_string() });
        }
        drop(state);
        self.event_ready.notify_waiters();
    }

    /// Drops the oldest waiting entries until the bounds hold, with [`super::Overflow::DropOldest`].
    fn drop_overflow(&self, writer: &mut Writer) {
        let mut dropped = 0u64;
        let mut state = self.state.lock();
        while self.is_overfull(&state) && state.at < state.readable {
            let seq = state.at;
            if seq >= state.recent_first {
                let Some(entry) = state.pop_recent() else { break };
                state.drop_entry(seq, entry.len());
                dropped += 1;
                continue;
            }
            let (extents, end) = (state.extents.clone(), state.recent_first.min(state.durable));
            drop(state);
            let read = writer.overflow_reader.read(&extents, (seq, end), 1, usize::MAX);
            state = self.state.lock();
            // What cannot be read is left to the reader, which retries and then skips it.
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
        let total = state.totals.dropped_overflow;
        if (total - dropped).checked_ilog2() != total.checked_ilog2() {
            state.events.push(QueueEvent::Overflowed { total });
        }
        let notifications = self.adjust_budgets(&mut state);
        drop(state);
        self.notify(notifications);
    }
}
