use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::test_runner::TestCaseError;

use super::super::flusher::flush;
use super::*;

const DIR: &str = "/queue";

fn spilling(max_entries: usize, max_disk_bytes: usize) -> DurableOptions {
    let bounds =
        DurableBounds { max_entries: Some(max_entries), max_bytes: None, max_disk_bytes, overflow: Overflow::Block };
    DurableOptions { bounds, mode: Mode::Spill }
}

fn on(disk: &SimDisk) -> Flusher {
    let budget = || Arc::new(Budget::new(1 << 20));
    Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default())
}

#[derive(Debug, Clone)]
enum Action {
    Append(usize, usize),
    Lease(usize),
    Commit(usize),
    DropWaiting,
    Flush,
    Full(bool),
    /// The next write or sync but this many fails.
    Fail(u64, u64),
    /// The service stops and starts again.
    Restart,
    /// Power is lost.
    Crash(u64),
}

fn action() -> impl Strategy<Value = Action> {
    prop_oneof![
        8 => (1usize..6, 0usize..200).prop_map(|(entries, size)| Action::Append(entries, size)),
        6 => (1usize..8).prop_map(Action::Lease),
        6 => (1usize..8).prop_map(Action::Commit),
        1 => Just(Action::DropWaiting),
        6 => Just(Action::Flush),
        2 => any::<bool>().prop_map(Action::Full),
        1 => (0u64..6, any::<u64>()).prop_map(|(after, seed)| Action::Fail(after, seed)),
        1 => Just(Action::Restart),
        1 => any::<u64>().prop_map(Action::Crash),
    ]
}

/// A spilling queue without a flusher thread, and what it must contain.
struct Model {
    disk: SimDisk,
    options: DurableOptions,
    flusher: Flusher,
    queue: Arc<DurableQueue>,
    next: u64,
    leased: Vec<u64>,
    waiting: Vec<u64>,
    /// Entries that may come again after a crash, or that were dropped behind others in flight.
    may_return: BTreeSet<u64>,
    /// Entries of a write that a crash has torn, between others of it.
    torn: u64,
    /// There were such entries. Dropped behind others in flight, they come again.
    was_torn: bool,
    /// A write or sync may have failed since the last stop: what was written then is cut off by the next segment, or by the
    /// cursor, which a crash can forestall.
    has_failed: bool,
    runtime: tokio::runtime::Runtime,
}

fn id_of(entry: &Bytes) -> u64 {
    u64::from_le_bytes(entry[..8].try_into().unwrap())
}

impl Model {
    fn new(options: DurableOptions) -> Self {
        let disk = SimDisk::default();
        let flusher = on(&disk);
        let (queue, _) = flusher.open_unserved(Path::new(DIR), options.clone()).unwrap();
        let runtime = tokio::runtime::Builder::new_current_thread().enable_time().build().unwrap();
        let (leased, waiting, may_return) = (Vec::new(), Vec::new(), BTreeSet::new());
        Self {
            disk,
            options,
            flusher,
            queue,
            next: 0,
            leased,
            waiting,
            may_return,
            torn: 0,
            was_torn: false,
            has_failed: false,
            runtime,
        }
    }

    fn flush(&self, at_once: bool) {
        flush(std::slice::from_ref(&self.queue), at_once);
    }

    fn act(&mut self, action: Action) -> Result<(), TestCaseError> {
        match action {
            Action::Append(entries, size) => self.append(entries, size)?,
            Action::Lease(entries) => {
                let leased = self.runtime.block_on(self.queue.lease(entries, usize::MAX));
                let ids: Vec<u64> = leased.iter().map(id_of).collect();
                prop_assert_eq!(&ids[..], &self.waiting[..ids.len()], "in order, without a gap");
                prop_assert_eq!(ids.is_empty(), self.waiting.is_empty(), "what waits can be leased");
                self.waiting.drain(..ids.len());
                self.leased.extend(ids);
            }
            Action::Commit(entries) => {
                let entries = entries.min(self.leased.len());
                self.queue.commit(entries);
                self.may_return.extend(self.leased.drain(..entries));
            }
            Action::DropWaiting => {
                let torn = self.torn - self.queue.counters().corrupt;
                prop_assert_eq!(self.queue.drop_waiting(), self.waiting.len() as u64 + torn);
                self.torn -= torn;
                self.may_return.extend(self.waiting.drain(..));
            }
            Action::Flush => self.flush(false),
            Action::Full(full) => {
                self.disk.set_full(full);
                self.has_failed |= full;
            }
            Action::Fail(after, seed) => {
                self.disk.fail_after(after, seed);
                self.has_failed = true;
            }
            Action::Restart => self.restart()?,
            Action::Crash(seed) => self.crash(seed)?,
        }
        self.check()
    }

    fn append(&mut self, entries: usize, size: usize) -> Result<(), TestCaseError> {
        let bytes = entries * (8 + size);
        if let Err(error) = self.queue.reserve(entries, bytes) {
            let state = self.queue.state.lock();
            prop_assert!(state.failing || state.blocked.is_some(), "{:?} although the disk is well", error);
            return Ok(());
        }
        let entry = |id: u64| {
            let mut entry = id.to_le_bytes().to_vec();
            entry.resize(8 + size, b'x');
            Bytes::from(entry)
        };
        let ids = self.next..self.next + entries as u64;
        self.next = ids.end;
        self.queue.append(ids.clone().map(entry).collect(), bytes, &Receipt::new(|| ()));
        self.waiting.extend(ids);
        Ok(())
    }

    /// Everything that is not delivered is there after a normal stop, although the disk was full before.
    fn restart(&mut self) -> Result<(), TestCaseError> {
        self.disk.set_full(false);
        for _ in 0..3 {
            self.flush(true);
        }
        prop_assert!(self.queue.is_synced());
        let must = self.held();
        self.has_failed = false;
        self.reopen(must, self.was_torn)
    }

    /// Nothing that was synced is lost in a crash.
    fn crash(&mut self, seed: u64) -> Result<(), TestCaseError> {
        let is_writing = {
            let log = &self.queue.writer.lock().log;
            self.queue.state.lock().logged > log.durable() || (self.has_failed && log.needs_checkpoint())
        };
        let must = {
            let state = self.queue.state.lock();
            let leased = state.leased.iter().filter(|(seq, _)| *seq < state.durable).count();
            let unsynced = usize::try_from(state.next - state.durable.max(state.at)).unwrap();
            let waiting = self.waiting.iter().take(self.waiting.len() - unsynced);
            self.leased.iter().take(leased).chain(waiting).copied().collect()
        };
        self.disk.crash(seed);
        self.reopen(must, is_writing || self.was_torn)
    }

    fn held(&self) -> BTreeSet<u64> {
        self.leased.iter().chain(&self.waiting).copied().collect()
    }

    fn reopen(&mut self, must: BTreeSet<u64>, may_be_torn: bool) -> Result<(), TestCaseError> {
        let held = self.held();
        self.flusher = on(&self.disk);
        (self.queue, _) = self.flusher.open_unserved(Path::new(DIR), self.options.clone()).unwrap();
        let found = self.runtime.block_on(self.queue.peek(0, usize::MAX)).unwrap();
        let found: Vec<u64> = found.iter().map(|(_, entry)| id_of(entry)).collect();
        prop_assert!(found.is_sorted_by(|a, b| a < b), "{:?} are in order", found);
        prop_assert!(must.iter().all(|id| found.contains(id)), "{:?} are among {:?}", must, found);
        let known = |id: &u64| held.contains(id) || self.may_return.contains(id);
        prop_assert!(found.iter().all(known), "{:?} are among {:?}", found, held);
        self.torn = self.queue.counters().recovered - found.len() as u64;
        prop_assert!(may_be_torn || self.torn == 0, "{} entries are damaged", self.torn);
        self.was_torn |= self.torn > 0;
        self.leased.clear();
        self.waiting = found;
        Ok(())
    }

    fn check(&self) -> Result<(), TestCaseError> {
        let counters = self.queue.counters();
        prop_assert!(conserves(&counters), "{:?}", counters);
        prop_assert!(counters.corrupt <= self.torn, "{} entries count as damaged", counters.corrupt);
        prop_assert_eq!(counters.leased, self.leased.len());
        let torn = usize::try_from(self.torn - counters.corrupt).unwrap();
        prop_assert_eq!(counters.depth, self.leased.len() + self.waiting.len() + torn);
        let found = self.runtime.block_on(self.queue.peek(0, usize::MAX)).unwrap();
        let held = self.held();
        // What was dropped behind entries in flight is shown as long as it is on disk.
        let shown = |id: &u64| held.contains(id) || !self.may_return.contains(id);
        let found: Vec<u64> = found.iter().map(|(_, entry)| id_of(entry)).filter(shown).collect();
        prop_assert_eq!(found, [&self.leased[..], &self.waiting[..]].concat(), "all of them can be looked at");
        let state = self.queue.state.lock();
        let unsynced: usize = state.unsynced_sizes.iter().sum();
        prop_assert_eq!((state.unsynced_bytes, state.memory.held()), (unsynced, unsynced));
        prop_assert!(state.unlogged_bytes <= unsynced);
        let on_disk = u64::try_from(state.data.held()).unwrap();
        prop_assert!(state.logged > state.head() || on_disk == 0, "{} bytes for nothing", on_disk);
        prop_assert_eq!(state.totals.dropped_overflow, 0);
        Ok(())
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]
    /// Scenario: any sequence of appending, leasing, committing, dropping and flushing, on a disk that fails or is full at
    /// times; the service is stopped and started again, and power is lost.
    /// Guarantees: entries come in order and none is missing, whether they are in memory or on disk; only a disk that fails or
    /// is full makes the queue refuse; a normal stop loses nothing, and a crash nothing that was synced; nothing counts as
    /// damaged but what a crash has torn; the counters, and what the queue holds of the budgets, are right at every step.
    #[test]
    fn a_spilling_queue_loses_nothing_at_a_stop(
        actions in prop::collection::vec(action(), 1..80),
        max_entries in 1usize..20,
        max_disk_bytes in prop_oneof![Just(1usize << 30), 4096usize..8192],
    ) {
        let mut model = Model::new(spilling(max_entries, max_disk_bytes));
        for action in actions {
            model.act(action)?;
        }
        model.disk.crash(1);
    }
}

/// Scenario: a queue whose reader keeps up; then one entry more than half of its bound waits; then all are delivered, more
/// follow, and again too many wait.
/// Guarantees: without a backlog nothing is written, not even a directory; a backlog is on disk, and uses no memory budget;
/// when delivery has caught up nothing is written any more; the gap in the numbers does not count as damage.
#[tokio::test]
async fn only_a_backlog_is_written() {
    let disk = SimDisk::default();
    let flusher = on(&disk);
    let (queue, _) = open(&flusher, Path::new(DIR), spilling(20, 1 << 30));
    let answered = Arc::new(AtomicUsize::new(0));
    let put = |number: usize| put(&queue, number.to_string(), &answered).unwrap();
    let deliver = async |numbers: std::ops::Range<usize>| {
        for number in numbers {
            assert_eq!(queue.lease(1, usize::MAX).await, [number.to_string()]);
            queue.commit(1);
        }
    };
    for round in 0..50 {
        (0..10).for_each(|number| put(round * 10 + number));
        deliver(round * 10..round * 10 + 10).await;
    }
    assert_eq!((answered.load(Ordering::SeqCst), disk.paths().len(), disk.syncs()), (500, 0, 0));
    assert!(!queue.status().on_disk);
    (500..511).for_each(put);
    wait_until("the backlog is on disk", || queue.state.lock().durable == 511);
    assert!(queue.status().on_disk);
    assert_eq!(queue.state.lock().memory.held(), 0);
    deliver(500..511).await;
    assert!(!queue.status().on_disk);
    wait_until("the cursor is saved", || queue.due().is_none());
    let syncs = disk.syncs();
    for number in 511..600 {
        put(number);
        deliver(number..number + 1).await;
    }
    assert_eq!(disk.syncs(), syncs, "nothing is written without a backlog");
    (600..611).for_each(put);
    wait_until("the second backlog is on disk", || queue.state.lock().durable == 611);
    put(611);
    flusher.shut_down();
    assert!(queue.is_synced());
    drop(queue);
    let second = on(&disk);
    let (queue, recovered) = open(&second, Path::new(DIR), spilling(20, 1 << 30));
    assert_eq!((recovered.records, queue.counters().corrupt), (12, 0));
    assert_eq!(queue.lease(100, usize::MAX).await, (600..612).map(|number| number.to_string()).collect::<Vec<_>>());
    queue.commit(12);
    queue.close();
    assert!(second.release(&queue), "all was delivered");
    assert_eq!(disk.paths().len(), 0, "nothing is left behind");
}

/// Scenario: a spilling queue whose disk is full, then one whose bound on disk is reached; each is delivered from and has room
/// again.
/// Guarantees: it accepts as many entries as its bound on those in memory, then refuses and says why; it delivers all the same,
/// in order; when there is room it accepts again, and those refused are woken.
#[tokio::test]
async fn a_full_disk_blocks_at_the_bound_in_memory() {
    for is_disk_full in [true, false] {
        let disk = SimDisk::default();
        let signals = Signals::default();
        let budget = || Arc::new(Budget::new(1 << 20));
        let flusher = Flusher::on(Arc::new(disk.clone()), budget(), budget(), signals.clone());
        disk.set_full(is_disk_full);
        let max_disk_bytes = if is_disk_full { 1 << 30 } else { 5 * (4 + FRAME_BYTES) };
        let (queue, _) = open(&flusher, Path::new(DIR), spilling(10, max_disk_bytes));
        let answered = Arc::new(AtomicUsize::new(0));
        let put = |number: usize| put(&queue, format!("{number:04}"), &answered);
        let mut accepted = 0;
        let error = loop {
            match put(accepted) {
                Ok(()) => accepted += 1,
                Err(error) if accepted >= 10 => break error,
                Err(error) => panic!("{error} after {accepted}"),
            }
            let stuck = || {
                let state = queue.state.lock();
                let is_written = state.durable == state.next;
                state.failing || state.blocked.is_some() || is_written || !queue.must_write(&state)
            };
            wait_until("the flusher has tried", stuck);
        };
        let expected = if is_disk_full { ReserveError::Failing } else { ReserveError::Full(Bound::MaxDiskBytes) };
        assert_eq!(error, expected);
        assert_eq!(queue.status().failing, is_disk_full);
        assert!(accepted <= 15, "{accepted}");
        let room = signals.room.notified();
        tokio::pin!(room);
        room.as_mut().enable();
        for number in 0..accepted {
            assert_eq!(lease(&queue, 1).await, [format!("{number:04}")]);
            queue.commit(1);
        }
        tokio::time::timeout(PATIENCE, room).await.expect("those refused are woken");
        put(accepted).unwrap();
        disk.set_full(false);
        assert_eq!(lease(&queue, 1).await, [format!("{accepted:04}")]);
        flusher.shut_down();
        assert!(queue.is_synced() && conserves(&queue.counters()));
    }
}
