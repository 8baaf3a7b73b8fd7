use std::path::Path;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use super::super::log::sim::SimDisk;
use super::super::log::{Disk, Log, Recovered};
use super::super::{Budget, Signals};
use super::*;

mod spill;
mod unconfirmed;

const PATIENCE: Duration = Duration::from_secs(30);

fn on(disk: SimDisk) -> Arc<dyn Disk> {
    Arc::new(disk)
}

fn options(max_entries: Option<usize>, overflow: Overflow) -> DurableOptions {
    let bounds = DurableBounds { max_entries, max_bytes: None, max_disk_bytes: 1 << 30, overflow };
    DurableOptions { bounds, mode: Mode::Sync }
}

fn flusher(memory: usize) -> Flusher {
    Flusher::new(Arc::new(Budget::new(memory)), Arc::new(Budget::new(1 << 30)), Signals::default())
}

fn open(flusher: &Flusher, dir: &Path, options: DurableOptions) -> (Arc<DurableQueue>, Recovered) {
    flusher.open(dir, options).unwrap()
}

/// Appends an entry; increments `answered` when the entry is acknowledged.
fn put(queue: &DurableQueue, entry: impl Into<Bytes>, answered: &Arc<AtomicUsize>) -> Result<(), ReserveError> {
    let (entry, answered) = (entry.into(), answered.clone());
    let size = entry.len();
    queue.reserve(1, size)?;
    let receipt = Receipt::new(move || {
        answered.fetch_add(1, Ordering::SeqCst);
    });
    queue.append(vec![entry], size, &receipt);
    Ok(())
}

fn wait_until(what: &str, condition: impl Fn() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < PATIENCE, "waited in vain until {what}");
        std::thread::sleep(Duration::from_millis(1));
    }
}

/// Waits for entries and leases up to `entries` of them.
async fn lease(queue: &DurableQueue, entries: usize) -> Vec<Bytes> {
    let ready = tokio::time::timeout(PATIENCE, queue.ready(1)).await.expect("entries in time");
    if ready { queue.lease(entries, usize::MAX).await } else { Vec::new() }
}

fn conserves(counters: &Counters) -> bool {
    let Counters { appended, recovered, delivered, depth, dead_letters, corrupt, .. } = *counters;
    appended + recovered == delivered + depth as u64 + counters.dropped() + counters.unmade() + dead_letters + corrupt
}

/// Scenario: entries are appended, some leased, some of these committed; then the process restarts.
/// Guarantees: exactly the uncommitted entries are present again, in order; messages that were not made are counted as
/// such; there is an age while there is an entry, and a duration for each delivered one.
#[tokio::test]
async fn undelivered_entries_survive_a_restart() {
    let dir = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let first = flusher(1 << 20);
    let (queue, recovered) = open(&first, dir.path(), options(None, Overflow::Block));
    assert_eq!(recovered, Recovered::default());
    for number in 0..10 {
        put(&queue, number.to_string(), &answered).unwrap();
    }
    wait_until("all are answered for", || answered.load(Ordering::SeqCst) == 10);
    assert_eq!(lease(&queue, 5).await, ["0", "1", "2", "3", "4"]);
    queue.commit(3);
    first.shut_down();
    drop(queue);
    let second = flusher(1 << 20);
    let (queue, recovered) = open(&second, dir.path(), options(None, Overflow::Block));
    assert_eq!((recovered.from, recovered.records), (3, 7));
    put(&queue, "new", &answered).unwrap();
    queue.reserve(3, 30).unwrap();
    queue.release_dropped(2, 20, DropReason::Body);
    queue.release(1, 10);
    assert!(queue.status().oldest.is_some());
    let mut seen = Vec::new();
    while seen.len() < 8 {
        seen.extend(lease(&queue, 100).await);
    }
    assert_eq!(seen, ["3", "4", "5", "6", "7", "8", "9", "new"]);
    queue.commit(8);
    let counters = queue.counters();
    assert!(conserves(&counters) && counters.is_idle(), "{counters:?}");
    assert_eq!((counters.recovered, counters.delivered, counters.bytes), (7, 8, 0));
    assert_eq!((counters.appended, counters.dropped_body, counters.dropped()), (3, 2, 0));
    let status = queue.status();
    assert_eq!((status.oldest, status.times.count(), status.failing), (None, 8, false));
    queue.close();
    assert!(second.release(&queue), "all was delivered");
    assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 0, "nothing is left behind");
}

/// Scenario: power is lost at the moment an entry is acknowledged, in many ways.
/// Guarantees: this entry and all entries acknowledged earlier are present.
#[tokio::test]
async fn nothing_is_acknowledged_before_it_is_synced() {
    const ENTRIES: usize = 30;
    let disk = SimDisk::default();
    let budget = || Arc::new(Budget::new(1 << 20));
    let flusher = Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default());
    let (queue, _) = open(&flusher, Path::new("/queue"), options(None, Overflow::Block));
    let moments = Arc::new(Mutex::new(Vec::new()));
    for number in 0..ENTRIES {
        let (moments, disk) = (moments.clone(), disk.clone());
        queue.reserve(1, 3000).unwrap();
        let receipt = Receipt::new(move || moments.lock().push((number, disk.fork())));
        queue.append(vec![Bytes::from(vec![b'x'; 3000])], 3000, &receipt);
    }
    wait_until("all are answered for", || moments.lock().len() == ENTRIES);
    flusher.shut_down();
    for (number, disk) in moments.lock().drain(..) {
        for seed in 0..4 {
            let disk = disk.fork();
            disk.crash(seed);
            let (_, recovered) = Log::open(&on(disk), Path::new("/queue"), 1 << 20).unwrap();
            assert!(recovered.records > number as u64, "entry {number} is lost: {recovered:?}");
        }
    }
}

/// Scenario: a hundred entries arrive at each of two queues while the flusher is busy.
/// Guarantees: they share their syncs: one for each file, and one for each directory; and two for each new cursor.
#[tokio::test]
async fn entries_share_syncs() {
    let disk = SimDisk::default();
    let budget = || Arc::new(Budget::new(1 << 20));
    let flusher = Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default());
    let open = |dir| open(&flusher, Path::new(dir), options(None, Overflow::Block)).0;
    let queues = [open("/one"), open("/two")];
    let answered = Arc::new(AtomicUsize::new(0));
    {
        let _busy = queues.each_ref().map(|queue| queue.writer.lock());
        for _ in 0..100 {
            queues.iter().for_each(|queue| put(queue, "x", &answered).unwrap());
        }
        assert_eq!(answered.load(Ordering::SeqCst), 0);
    }
    wait_until("all are answered for", || answered.load(Ordering::SeqCst) == 200);
    // The flusher may have visited the second queue before it had to wait for the first.
    assert!(disk.syncs() <= 10, "{} syncs for 200 entries", disk.syncs());
    flusher.shut_down();
}

/// Scenario: a panic while the queue is synced.
/// Guarantees: the entries being synced are never acknowledged; the queue accepts no more and reports the failure;
/// entries synced earlier are delivered, and none is lost for the next run.
#[tokio::test]
async fn a_panic_acknowledges_nothing() {
    let disk = SimDisk::default();
    let on = || {
        let budget = || Arc::new(Budget::new(1 << 20));
        Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default())
    };
    let flusher = on();
    let (queue, _) = open(&flusher, Path::new("/queue"), options(None, Overflow::Block));
    let answered = Arc::new(AtomicUsize::new(0));
    put(&queue, "a", &answered).unwrap();
    wait_until("the first is answered for", || answered.load(Ordering::SeqCst) == 1);
    disk.set_panicking();
    put(&queue, "b", &answered).unwrap();
    wait_until("the queue refuses", || queue.reserve(1, 1).map(|()| queue.release(1, 1)) == Err(ReserveError::Failing));
    assert!(matches!(&queue.events().await[..], [QueueEvent::Failing { .. }]));
    assert_eq!(lease(&queue, 10).await, ["a"]);
    flusher.shut_down();
    assert!(!queue.is_synced());
    drop(queue);
    assert_eq!(answered.load(Ordering::SeqCst), 1);
    let (_, recovered) = open(&on(), Path::new("/queue"), options(None, Overflow::Block));
    assert_eq!(recovered.from, 0);
    assert!(recovered.records >= 1);
}

/// Scenario: a disk that is full for a while.
/// Guarantees: entries appended meanwhile are not acknowledged, no more are accepted, and the failure is reported; when
/// there is space again they are acknowledged without another append, and waiters are woken.
#[tokio::test]
async fn a_full_disk_delays_acknowledgements() {
    let disk = SimDisk::default();
    let signals = Signals::default();
    let budget = || Arc::new(Budget::new(1 << 20));
    let flusher = Flusher::on(Arc::new(disk.clone()), budget(), budget(), signals.clone());
    let (queue, _) = open(&flusher, Path::new("/queue"), options(None, Overflow::Block));
    let answered = Arc::new(AtomicUsize::new(0));
    put(&queue, "a", &answered).unwrap();
    wait_until("the first is answered for", || answered.load(Ordering::SeqCst) == 1);
    disk.set_full(true);
    put(&queue, "b", &answered).unwrap();
    wait_until("the queue refuses", || queue.reserve(1, 1).map(|()| queue.release(1, 1)) == Err(ReserveError::Failing));
    assert!(matches!(&queue.events().await[..], [QueueEvent::Failing { .. }]));
    assert_eq!(answered.load(Ordering::SeqCst), 1);
    let room = signals.room.notified();
    tokio::pin!(room);
    room.as_mut().enable();
    disk.set_full(false);
    wait_until("the second is answered for", || answered.load(Ordering::SeqCst) == 2);
    tokio::time::timeout(PATIENCE, room).await.expect("those refused are woken");
    put(&queue, "c", &answered).unwrap();
    let mut seen = Vec::new();
    while seen.len() < 3 {
        seen.extend(lease(&queue, 10).await);
    }
    assert_eq!(seen, ["a", "b", "c"]);
    flusher.shut_down();
}

/// Scenario: two threads append while a reader leases, commits and discards.
/// Guarantees: every entry arrives once and in order per thread; the counters add up at every observation; closing ends
/// the reader.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_are_conserved_under_concurrency() {
    const EACH: usize = 1500;
    let dir = tempfile::tempdir().unwrap();
    let flusher = flusher(1 << 20);
    let (queue, _) = open(&flusher, dir.path(), options(Some(50), Overflow::Block));
    let answered = Arc::new(AtomicUsize::new(0));
    let producers: Vec<_> = (0..2usize)
        .map(|producer| {
            let (queue, answered) = (queue.clone(), answered.clone());
            tokio::task::spawn_blocking(move || {
                for number in 0..EACH {
                    while put(&queue, format!("{producer}:{number}"), &answered).is_err() {
                        std::thread::yield_now();
                    }
                }
            })
        })
        .collect();
    let reader = queue.clone();
    let reading = tokio::spawn(async move {
        let mut next = [0; 2];
        while reader.ready(1).await {
            for entry in reader.lease(7, usize::MAX).await {
                let text = String::from_utf8(entry.to_vec()).unwrap();
                let (producer, number) = text.split_once(':').unwrap();
                let producer: usize = producer.parse().unwrap();
                assert_eq!(number.parse::<usize>().unwrap(), next[producer]);
                next[producer] += 1;
                if next[producer] % 10 == 0 {
                    reader.discard(1, DropReason::DeadLetter)
                } else {
                    reader.commit(1)
                }
                let counters = reader.counters();
                assert!(conserves(&counters) && counters.depth + counters.reserved <= 50, "{counters:?}");
            }
        }
        next
    });
    for producer in producers {
        producer.await.unwrap();
    }
    queue.close();
    let next = tokio::time::timeout(2 * PATIENCE, reading).await.expect("the reader ends").unwrap();
    assert_eq!(next, [EACH; 2]);
    assert_eq!(answered.load(Ordering::SeqCst), 2 * EACH, "what was delivered was answered for");
    flusher.shut_down();
}

/// Scenario: a backlog twenty times as large as the memory allowance.
/// Guarantees: memory holds a small part of it, the shared budget is released, and all entries are delivered in order.
#[tokio::test]
async fn a_backlog_is_read_from_disk() {
    let dir = tempfile::tempdir().unwrap();
    let flusher = flusher(1 << 20);
    let (queue, _) = open(&flusher, dir.path(), options(None, Overflow::Block));
    let answered = Arc::new(AtomicUsize::new(0));
    let entry = |number: usize| Bytes::from(format!("{number:>20000}"));
    for number in 0..1000 {
        put(&queue, entry(number), &answered).unwrap();
        wait_until("it is answered for", || answered.load(Ordering::SeqCst) > number);
    }
    {
        let state = queue.state.lock();
        assert!(state.recent_bytes <= 300_000, "{} bytes of 20 MB in memory", state.recent_bytes);
        assert_eq!((state.memory.held(), state.bytes), (0, 20_000_000));
    }
    let mut next = 0;
    while next < 1000 {
        let leased = tokio::time::timeout(PATIENCE, queue.lease(64, 200_000)).await.expect("in time");
        assert!((1..=10).contains(&leased.len()), "{} at once", leased.len());
        for found in &leased {
            assert_eq!(found, &entry(next));
            next += 1;
        }
        queue.commit(leased.len());
    }
    assert_eq!(queue.counters().bytes, 0);
    wait_until("only the cursor is left", || std::fs::read_dir(dir.path()).unwrap().count() == 1);
    flusher.shut_down();
}

/// Scenario: a queue with the policy `drop_oldest` at its bound, with entries in memory, and after a restart with
/// entries on disk.
/// Guarantees: exactly the excess is dropped and counted, oldest first, and nothing in flight.
#[tokio::test]
async fn drop_oldest_drops_no_more_than_it_must() {
    let dir = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let limits = || options(Some(4), Overflow::DropOldest);
    let first = flusher(1 << 20);
    let (queue, _) = open(&first, dir.path(), limits());
    put(&queue, "0", &answered).unwrap();
    assert_eq!(lease(&queue, 1).await, ["0"]);
    for number in 1..10 {
        put(&queue, number.to_string(), &answered).unwrap();
    }
    wait_until("five are dropped", || queue.counters().dropped_overflow == 5);
    first.shut_down();
    drop(queue);
    let second = flusher(1 << 20);
    let (queue, recovered) = open(&second, dir.path(), limits());
    // The entries in flight, those dropped after them (the cursor cannot pass the former), and the rest.
    assert_eq!(recovered.from, 0);
    put(&queue, "10", &answered).unwrap();
    wait_until("four are left", || queue.counters().depth == 4);
    assert_eq!(queue.counters().dropped_overflow, 7);
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(lease(&queue, 10).await);
    }
    assert_eq!(seen, ["7", "8", "9", "10"]);
    assert!(conserves(&queue.counters()));
    second.shut_down();
}

/// Scenario: queues at the bound on entries, on bytes on disk, and on the data directory.
/// Guarantees: each refuses, reports whether waiting helps, and has room after a delivery.
#[tokio::test]
async fn full_queues_refuse_until_there_is_room() {
    let dir = tempfile::tempdir().unwrap();
    let data = Arc::new(Budget::new(200));
    let signals = Signals::default();
    let flusher = Flusher::new(Arc::new(Budget::new(1 << 20)), data.clone(), signals.clone());
    let mut narrow = options(None, Overflow::Block);
    narrow.bounds.max_disk_bytes = 100;
    let answered = Arc::new(AtomicUsize::new(0));
    let (one, _) = open(&flusher, &dir.path().join("one"), narrow.clone());
    let (two, _) = open(&flusher, &dir.path().join("two"), options(Some(3), Overflow::Block));
    assert_eq!(one.reserve(2, 90), Err(ReserveError::TooLarge));
    put(&one, "x".repeat(60), &answered).unwrap();
    assert_eq!(one.reserve(1, 20), Err(ReserveError::Full(Bound::MaxDiskBytes)), "60 + 16 + 20 + 16 are over 100");
    put(&two, "y".repeat(60), &answered).unwrap();
    assert_eq!(two.reserve(1, 40), Err(ReserveError::Full(Bound::MaxDataBytes)), "the data directory holds 200");
    assert_eq!(two.reserve(4, 0), Err(ReserveError::TooLarge));
    let room = signals.room.notified();
    tokio::pin!(room);
    room.as_mut().enable();
    assert_eq!(lease(&one, 1).await.len(), 1);
    one.commit(1);
    tokio::time::timeout(PATIENCE, room).await.expect("woken by the other queue's commit");
    two.reserve(1, 40).unwrap();
    two.release(1, 40);
    flusher.shut_down();
    drop((one, two, flusher));
    assert_eq!(data.used(), 0, "the bound gets back what the queues held");
}

/// Scenario: a queue that syncs at an interval.
/// Guarantees: entries are acknowledged and delivered before the sync, and the sync happens in time.
#[tokio::test]
async fn an_interval_acknowledges_before_the_sync() {
    let dir = tempfile::tempdir().unwrap();
    let flusher = flusher(1 << 20);
    let mut options = options(None, Overflow::Block);
    options.mode = Mode::Interval(Duration::from_secs(2));
    let (queue, _) = open(&flusher, dir.path(), options);
    let answered = Arc::new(AtomicUsize::new(0));
    put(&queue, "a", &answered).unwrap();
    assert_eq!(lease(&queue, 1).await, ["a"]);
    assert_eq!(answered.load(Ordering::SeqCst), 1);
    assert_eq!(queue.state.lock().durable, 0, "answered for, and not yet synced");
    queue.commit(1);
    wait_until("it is synced", || queue.state.lock().durable == 1);
    flusher.shut_down();
}

/// Scenario: a plugin's queue continued in a second directory, and the process ended with both in use.
/// Guarantees: after merging, the first directory holds the entries of both, and the second is empty.
#[tokio::test]
async fn directories_are_merged() {
    let dir = tempfile::tempdir().unwrap();
    let answered = Arc::new(AtomicUsize::new(0));
    let paths = [dir.path().join("queue"), dir.path().join("queue.2")];
    let before = flusher(1 << 20);
    for (path, entries) in paths.iter().zip([["a", "b"], ["c", "d"]]) {
        let (queue, _) = open(&before, path, options(None, Overflow::Block));
        for entry in entries {
            put(&queue, entry, &answered).unwrap();
        }
    }
    before.shut_down();
    let flusher = flusher(1 << 20);
    assert_eq!(flusher.merge(&paths[1], &paths[0]).unwrap(), 2);
    assert_eq!(std::fs::read_dir(&paths[1]).unwrap().count(), 0);
    let (queue, _) = open(&flusher, &paths[0], options(None, Overflow::Block));
    let mut seen = Vec::new();
    while seen.len() < 4 {
        seen.extend(lease(&queue, 10).await);
    }
    assert_eq!(seen, ["a", "b", "c", "d"]);
    flusher.shut_down();
}

/// Reopens a queue of three entries after `damage` was applied to its file.
fn reopened(disk: &SimDisk, damage: impl FnOnce(&mut Vec<u8>)) -> (Flusher, Arc<DurableQueue>) {
    let dir = Path::new("/queue");
    let on = || {
        let budget = || Arc::new(Budget::new(1 << 20));
        Flusher::on(Arc::new(disk.clone()), budget(), budget(), Signals::default())
    };
    let answered = Arc::new(AtomicUsize::new(0));
    let first = on();
    let (queue, _) = open(&first, dir, options(None, Overflow::Block));
    for entry in ["one", "two", "three"] {
        put(&queue, entry, &answered).unwrap();
    }
    first.shut_down();
    let segment = Path::new("/queue/0000000001.seg");
    let mut content = disk.read(segment);
    damage(&mut content);
    disk.put(segment, &content);
    let flusher = on();
    let (queue, recovered) = open(&flusher, dir, options(None, Overflow::Block));
    assert_eq!(recovered.records, 3);
    (flusher, queue)
}

/// Scenario: the second of three entries is damaged on disk.
/// Guarantees: the others are delivered; the damaged one is counted and reported.
#[tokio::test]
async fn a_damaged_entry_is_skipped() {
    let disk = SimDisk::default();
    let (flusher, queue) = reopened(&disk, |content| content[32 + 19 + 16] ^= 1);
    assert_eq!(lease(&queue, 10).await, ["one", "three"]);
    queue.commit(2);
    let counters = queue.counters();
    assert_eq!((counters.corrupt, counters.delivered, counters.bytes), (1, 2, 0));
    assert!(conserves(&counters) && counters.is_idle());
    assert_eq!(queue.events().await, [QueueEvent::Corrupt { entries: 1 }]);
    flusher.shut_down();
}

/// Scenario: a disk that fails to return written data for a while.
/// Guarantees: reading is retried, reported, and in the status; nothing is skipped or set aside, and when the disk works
/// again, everything is delivered.
#[tokio::test]
async fn an_entry_that_cannot_be_read_is_waited_for() {
    let disk = SimDisk::default();
    let (flusher, queue) = reopened(&disk, |_| ());
    disk.set_unreadable(true);
    let leasing = tokio::spawn({
        let queue = queue.clone();
        async move { queue.lease(10, usize::MAX).await }
    });
    let events = queue.events().await;
    assert!(
        matches!(&events[..], [QueueEvent::Unreadable { error }] if error.contains("injected error")),
        "{events:?}"
    );
    assert!(queue.status().unreadable);
    assert!(!leasing.is_finished());
    disk.set_unreadable(false);
    assert_eq!(leasing.await.unwrap(), ["one", "two", "three"]);
    assert_eq!(queue.events().await, [QueueEvent::Readable]);
    let counters = queue.counters();
    assert!(counters.corrupt == 0 && conserves(&counters) && !queue.status().unreadable, "{counters:?}");
    flusher.shut_down();
}
