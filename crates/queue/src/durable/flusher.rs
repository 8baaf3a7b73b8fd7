//! The threads that write and sync for all durable queues of the process.
//!
//! One takes what was appended to any of them, writes all of it, syncs each file once, and lets all receipts go: however
//! many wait, they share the syncs. There are two, so that the other one writes what comes while a sync is under way; it
//! waits for that sync before it begins its own.

use std::io;
use std::panic::AssertUnwindSafe;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Instant;

use parking_lot::{Condvar, Mutex};

use tokio::sync::Notify;

use super::super::log::{Disk, Log, RealDisk, Recovered, SegmentReader};
use super::super::{Budget, Signals};
use super::state::State;
use super::write::Writer;
use super::{DurableOptions, DurableQueue, lock};
use crate::failpoint::{self, Point};
use crate::metric::Histogram;

/// The files of queues that are put together, and how much is copied at once.
const MERGE_SEGMENT_BYTES: u64 = 64 << 20;
const MERGE_BYTES: usize = 1 << 20;
/// One that syncs, and one that writes meanwhile.
const THREADS: usize = 2;

/// What the queues and the flusher share.
pub(super) struct Shared {
    pub memory: Arc<Budget>,
    pub data: Arc<Budget>,
    pub signals: Signals,
    pub recent: Pool,
    /// How long syncs took.
    pub syncs: Mutex<Histogram>,
    disk: Arc<dyn Disk>,
    desk: Mutex<Desk>,
    bell: Condvar,
}

#[derive(Default)]
struct Desk {
    queues: Vec<Arc<DurableQueue>>,
    rung: Option<Bell>,
    stop: bool,
    threads: Vec<JoinHandle<()>>,
}

/// What the flusher is woken for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Bell {
    /// Entries are done with: the cursor is to be saved some time.
    Moved,
    /// There is something to write.
    Appended,
}

/// Bytes of entries that all queues keep in memory although they are on disk.
pub(super) struct Pool {
    max: usize,
    used: AtomicUsize,
}

impl Pool {
    pub(super) fn take(&self, bytes: usize) {
        self.used.fetch_add(bytes, Ordering::SeqCst);
    }

    pub(super) fn give(&self, bytes: usize) {
        self.used.fetch_sub(bytes, Ordering::SeqCst);
    }

    /// Whether more is in use than should be, after `less` were given back.
    pub(super) fn is_over(&self, less: usize) -> bool {
        self.used.load(Ordering::SeqCst).saturating_sub(less) > self.max
    }
}

impl Shared {
    pub(super) fn ring(&self, bell: Bell) {
        let mut desk = lock(&self.desk);
        if desk.rung < Some(bell) {
            desk.rung = Some(bell);
            self.bell.notify_one();
        }
    }

    /// Waits for something to do, until `due` at the latest. Whether the work ends.
    fn wait(&self, due: Option<Instant>) -> (Vec<Arc<DurableQueue>>, bool) {
        let mut desk = lock(&self.desk);
        while desk.rung.is_none() && !desk.stop {
            let left = due.map(|due| due.saturating_duration_since(Instant::now()));
            match left {
                Some(left) if left.is_zero() => break,
                Some(left) => drop(self.bell.wait_for(&mut desk, left)),
                None => self.bell.wait(&mut desk),
            }
        }
        desk.rung = None;
        (desk.queues.clone(), desk.stop)
    }
}

/// Opens durable queues and keeps them. Cheap to clone.
#[derive(Clone)]
pub struct Flusher {
    shared: Arc<Shared>,
}

impl Flusher {
    /// A flusher whose queues together take memory from `memory` for what is not on disk yet, and room in the data
    /// directory from `data`.
    pub fn new(memory: Arc<Budget>, data: Arc<Budget>, signals: Signals) -> Self {
        Self::on(Arc::new(RealDisk), memory, data, signals)
    }

    pub(super) fn on(disk: Arc<dyn Disk>, memory: Arc<Budget>, data: Arc<Budget>, signals: Signals) -> Self {
        let recent = Pool { max: memory.max_bytes() / 4, used: AtomicUsize::new(0) };
        let (syncs, desk, bell) = (Mutex::default(), Mutex::default(), Condvar::new());
        Self { shared: Arc::new(Shared { memory, data, signals, recent, syncs, disk, desk, bell }) }
    }

    /// How long syncs took so far, those that failed included.
    pub fn syncs(&self) -> Histogram {
        lock(&self.shared.syncs).clone()
    }

    /// The bound on what waits in the data directory.
    pub fn data(&self) -> &Budget {
        &self.shared.data
    }

    /// Opens the queue in `dir`, which no other may have open, with what is in it. Waits for the disk.
    ///
    /// # Errors
    /// The directory cannot be made or read, or there can be no thread. Damage is none: see [`Recovered`].
    pub fn open(&self, dir: &Path, options: DurableOptions) -> io::Result<(Arc<DurableQueue>, Recovered)> {
        let disk = &self.shared.disk;
        let (log, recovered) = Log::open(disk.clone(), dir, options.segment_bytes())?;
        failpoint::reach(Point::Opened);
        let reader = || SegmentReader::new(disk.clone(), dir.to_owned());
        let mut state = State::new(&log, &recovered);
        let on_disk = state.disk_bytes();
        self.shared.data.take(on_disk);
        state.data_held = on_disk;
        let queue = Arc::new(DurableQueue {
            options,
            shared: self.shared.clone(),
            readable: Notify::new(),
            noticed: Notify::new(),
            state: Mutex::new(state),
            reader: Arc::new(Mutex::new(reader())),
            writer: Mutex::new(Writer::new(log, reader())),
            synced: Condvar::new(),
        });
        let mut desk = lock(&self.shared.desk);
        while desk.threads.len() < THREADS {
            let shared = self.shared.clone();
            desk.threads.push(std::thread::Builder::new().name("flusher".into()).spawn(move || run(&shared))?);
        }
        desk.queues.push(queue.clone());
        drop(desk);
        self.shared.ring(Bell::Moved);
        Ok((queue, recovered))
    }

    /// Makes everything of `queue` safe and lets it go: another may open its directory. Waits for the disk. True if
    /// everything was delivered, and its files are removed.
    pub fn release(&self, queue: &Arc<DurableQueue>) -> bool {
        lock(&self.shared.desk).queues.retain(|other| !Arc::ptr_eq(other, queue));
        flush(std::slice::from_ref(queue), true);
        queue.let_go()
    }

    /// Appends what is undelivered in the queue in `from` to the one in `into`, neither of which anybody has open, and
    /// removes the files of the first. Waits for the disk.
    ///
    /// # Errors
    /// Nothing is lost by one; what was copied will come twice.
    pub fn merge(&self, from: &Path, into: &Path) -> io::Result<u64> {
        let disk = &self.shared.disk;
        let (mut old, recovered) = Log::open(disk.clone(), from, MERGE_SEGMENT_BYTES)?;
        let (mut new, _) = Log::open(disk.clone(), into, MERGE_SEGMENT_BYTES)?;
        let mut reader = SegmentReader::new(disk.clone(), from.to_owned());
        let (mut at, end) = (recovered.from, old.next());
        while at < end {
            let chunk = reader.read(&old.extents(), (at, end), usize::MAX, MERGE_BYTES)?;
            at = chunk.next;
            chunk.records.into_iter().for_each(|record| {
                new.push(record.payload);
            });
            new.write()?;
            new.sync()?;
        }
        failpoint::reach(Point::Merged);
        old.deliver_to(end);
        old.clear()?;
        Ok(recovered.records)
    }

    /// Makes everything safe that can be, saves how far each queue was delivered, and ends the threads. Waits for
    /// the disk.
    pub fn shut_down(&self) {
        let threads = {
            let mut desk = lock(&self.shared.desk);
            desk.stop = true;
            std::mem::take(&mut desk.threads)
        };
        self.shared.bell.notify_all();
        for thread in threads {
            let _ = thread.join();
        }
        lock(&self.shared.desk).queues.clear();
    }
}

fn run(shared: &Shared) {
    let mut due = None;
    loop {
        let (queues, stop) = shared.wait(due);
        // A panic is a fault of ours. Nothing may be answered, nor written to what may be half done.
        if std::panic::catch_unwind(AssertUnwindSafe(|| flush(&queues, stop))).is_err() {
            queues.iter().for_each(|queue| queue.give_up());
        }
        if stop {
            return;
        }
        due = queues.iter().filter_map(|queue| queue.due()).min();
    }
}

/// One round.
fn flush(queues: &[Arc<DurableQueue>], at_once: bool) {
    let now = Instant::now();
    for queue in queues {
        queue.write(now, at_once);
    }
    for queue in queues {
        queue.sync(now, at_once);
    }
    for queue in queues {
        queue.tidy(now, at_once);
    }
}
