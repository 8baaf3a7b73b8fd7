//! The threads that write and sync all durable queues of a process.
//!
//! A thread writes everything that was appended to any queue, syncs each file once, and drops all receipts: this group
//! commit costs one sync, however many batches wait for it. A second thread writes what is appended during the sync, and
//! waits for that sync before it starts its own.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use tokio::sync::Notify;

use super::super::log::{Disk, Log, RealDisk, Recovered, SegmentReader};
use super::super::{Budget, Signals};
use super::state::State;
use super::write::Writer;
use super::{DurableOptions, DurableQueue, Mode};
use crate::failpoint::{self, Point};
use crate::metric::Histogram;

/// The largest size of a file of a merged queue.
const MERGE_SEGMENT_BYTES: u64 = 64 << 20;
/// Bytes that a merge copies at once.
const MERGE_CHUNK_BYTES: usize = 1 << 20;
/// One syncs, and one writes meanwhile.
const THREADS: usize = 2;

/// What the queues and the flusher share.
pub(super) struct Shared {
    pub memory: Arc<Budget>,
    pub data: Arc<Budget>,
    pub signals: Signals,
    pub recent: RecentPool,
    /// How long the syncs took.
    pub syncs: Mutex<Histogram>,
    disk: Arc<dyn Disk>,
    state: Mutex<FlusherState>,
    work: Condvar,
    /// What each thread runs first.
    setup: OnceLock<Setup>,
}

/// What a thread runs before anything else.
type Setup = Box<dyn Fn() + Send + Sync>;

#[derive(Default)]
struct FlusherState {
    queues: Vec<Arc<DurableQueue>>,
    /// Why a thread is to run.
    wakeup: Option<Wakeup>,
    stop: bool,
    threads: Vec<JoinHandle<()>>,
}

/// Why a flusher thread is woken.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Wakeup {
    /// Entries were removed: the cursor is to be saved within [`super::write::CHECKPOINT_INTERVAL`].
    Removed,
    /// Entries were appended: they are to be written now.
    Appended,
}

/// A bound on the bytes of entries that all queues keep in memory although they are on disk.
pub(super) struct RecentPool {
    max: usize,
    used: AtomicUsize,
}

impl RecentPool {
    pub(super) fn acquire(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn release(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether more than the bound is in use, not counting `released` bytes.
    pub(super) fn is_exceeded(&self, released: usize) -> bool {
        self.used.load(Ordering::SeqCst).saturating_sub(released) > self.max
    }
}

impl Shared {
    /// Wakes a flusher thread.
    pub(super) fn wake(&self, wakeup: Wakeup) {
        let mut state = self.state.lock();
        if state.wakeup < Some(wakeup) {
            state.wakeup = Some(wakeup);
            self.work.notify_one();
        }
    }

    /// Waits for work, until `due` at the latest. Returns the queues that may need any, and whether to stop.
    fn wait(&self, due: Option<Instant>) -> (Vec<Arc<DurableQueue>>, bool) {
        let mut state = self.state.lock();
        while state.wakeup.is_none() && !state.stop {
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => break,
                Some(left) => drop(self.work.wait_for(&mut state, left)),
                None => self.work.wait(&mut state),
            }
        }
        state.wakeup = None;
        // There may be thousands of queues that never spill.
        let is_wanted = |queue: &&Arc<DurableQueue>| state.stop || !queue.is_dormant.load(Ordering::SeqCst);
        (state.queues.iter().filter(is_wanted).cloned().collect(), state.stop)
    }
}

/// Opens, writes and syncs durable queues. Cheap to clone.
#[derive(Clone)]
pub struct Flusher {
    shared: Arc<Shared>,
}

impl Flusher {
    /// A flusher. Its queues acquire memory for entries that are not on disk yet from `memory`, and room in the data directory
    /// from `data`.
    pub fn new(memory: Arc<Budget>, data: Arc<Budget>, signals: Signals) -> Self {
        Self::on(Arc::new(RealDisk), memory, data, signals)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, memory: Arc<Budget>, data: Arc<Budget>, signals: Signals) -> Self {
        let recent = RecentPool { max: memory.max_bytes() / 4, used: AtomicUsize::new(0) };
        let (syncs, state, work, setup) = (Mutex::default(), Mutex::default(), Condvar::new(), OnceLock::new());
        Self { shared: Arc::new(Shared { memory, data, signals, recent, syncs, disk, state, work, setup }) }
    }

    /// Makes each thread run `setup` first. For the start, before a queue is open; a second call has no effect.
    pub fn on_thread_start(&self, setup: impl Fn() + Send + Sync + 'static) {
        let _ = self.shared.setup.set(Box::new(setup));
    }

    /// How long the syncs took so far, including those that failed.
    pub fn syncs(&self) -> Histogram {
        self.shared.syncs.lock().clone()
    }

    /// The bound on the bytes in the data directory.
    pub fn data(&self) -> &Budget {
        &self.shared.data
    }

    /// Opens the queue in `dir`, which nothing else may have open, and recovers its entries. Waits for the disk.
    ///
    /// # Errors
    /// The directory cannot be created or read, or a thread cannot be started. Damaged files are not an error: see
    /// [`Recovered`].
    pub fn open(&self, dir: &Path, options: DurableOptions) -> io::Result<(Arc<DurableQueue>, Recovered)> {
        let (queue, recovered) = self.open_unserved(dir, options)?;
        let mut flusher = self.shared.state.lock();
        while flusher.threads.len() < THREADS {
            let shared = self.shared.clone();
            let body = move || {
                if let Some(setup) = shared.setup.get() {
                    setup();
                }
                run(&shared);
            };
            flusher.threads.push(std::thread::Builder::new().name("flusher".into()).spawn(body)?);
        }
        flusher.queues.push(queue.clone());
        drop(flusher);
        self.shared.wake(Wakeup::Removed);
        Ok((queue, recovered))
    }

    /// The same, without a thread that writes it.
    pub(super) fn open_unserved(
        &self,
        dir: &Path,
        options: DurableOptions,
    ) -> io::Result<(Arc<DurableQueue>, Recovered)> {
        let disk = &self.shared.disk;
        let (log, recovered) = Log::open(disk, dir, options.segment_bytes())?;
        failpoint::reach(Point::Opened);
        let reader = || SegmentReader::new(disk.clone(), dir.to_owned());
        let is_dormant = AtomicBool::new(options.mode == Mode::Spill && log.next() == 0);
        let mut state =
            State::new(&log, &recovered, options.mode, (self.shared.memory.open(), self.shared.data.open()));
        let on_disk = state.disk_bytes();
        state.data.acquire(on_disk);
        let queue = Arc::new(DurableQueue {
            options,
            shared: self.shared.clone(),
            readable: Notify::new(),
            event_ready: Notify::new(),
            state: Mutex::new(state),
            reader: Arc::new(Mutex::new(reader())),
            writer: Mutex::new(Writer::new(log, reader())),
            synced: Condvar::new(),
            is_dormant,
        });
        Ok((queue, recovered))
    }

    /// Writes and syncs `queue` and closes its files: its directory can be opened again. Waits for the disk. True if
    /// everything was delivered, and the files are removed.
    pub fn release(&self, queue: &Arc<DurableQueue>) -> bool {
        self.shared.state.lock().queues.retain(|other| !Arc::ptr_eq(other, queue));
        flush(std::slice::from_ref(queue), true);
        queue.close_files()
    }

    /// Appends the undelivered entries of the queue in `from` to the one in `into`, neither of which is open, and removes the
    /// files of the first. Returns how many. Waits for the disk.
    ///
    /// # Errors
    /// Those of the disk. No entry is lost; those that were copied are in both.
    pub fn merge(&self, from: &Path, into: &Path) -> io::Result<u64> {
        let disk = &self.shared.disk;
        let (mut old, recovered) = Log::open(disk, from, MERGE_SEGMENT_BYTES)?;
        let (mut new, _) = Log::open(disk, into, MERGE_SEGMENT_BYTES)?;
        let mut reader = SegmentReader::new(disk.clone(), from.to_owned());
        let (mut at, end) = (recovered.from, old.next());
        while at < end {
            let chunk = reader.read(&old.extents(), (at, end), usize::MAX, MERGE_CHUNK_BYTES)?;
            at = chunk.next;
            chunk.records.into_iter().for_each(|record| {
                new.push(record.payload);
            });
            new.write()?;
            new.sync()?;
        }
        failpoint::reach(Point::Merged);
        old.set_delivered(end);
        old.remove_files()?;
        Ok(recovered.records)
    }

    /// Writes and syncs all queues, saves their cursors, and ends the threads. Waits for the disk.
    pub fn shut_down(&self) {
        let threads = {
            let mut state = self.shared.state.lock();
            state.stop = true;
            std::mem::take(&mut state.threads)
        };
        self.shared.work.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
        self.shared.state.lock().queues.clear();
    }
}

fn run(shared: &Shared) {
    let mut due = None;
    loop {
        let (queues, stop) = shared.wait(due);
        // A panic is a bug. Nothing may be acknowledged, nor written to files in an unknown state.
        if std::panic::catch_unwind(AssertUnwindSafe(|| flush(&queues, stop))).is_err() {
            queues.iter().for_each(|queue| queue.stop_writing());
        }
        if stop {
            return;
        }
        due = queues.iter().filter_map(|queue| queue.due()).min();
    }
}

/// Writes, syncs and checkpoints all queues once.
pub(super) fn flush(queues: &[Arc<DurableQueue>], at_once: bool) {
    let now = Instant::now();
    for queue in queues {
        queue.write(now, at_once);
    }
    for queue in queues {
        queue.sync(now, at_once);
    }
    for queue in queues {
        queue.checkpoint(now, at_once);
    }
}
