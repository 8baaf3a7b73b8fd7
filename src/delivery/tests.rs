use std::collections::BTreeSet;
use std::io::BufRead;
use std::net::TcpListener;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::time::Duration;

use bytes::Bytes;
use serde_json::json;

use super::data_lock::DataLock;
use super::dead_letters::DeadLetters;
use super::*;
use crate::options::queue::Durability;
use crate::sink::{Batching, BoxFuture, FailureKind, SendError, Sent, Sink};
use logphase_net::testing::own_port;
use logphase_queue::{Disposition, Overflow, Receipt, RecordStore, ReserveError};

mod swap;

const PATIENCE: Duration = Duration::from_secs(30);

fn delivery() -> Delivery {
    Delivery::new(SinkShared::new(None), Budget::default(), std::env::temp_dir())
}

/// The opener of a plugin's sink.
fn opener(plugin: &str) -> Opener {
    match plugin {
        "file-log" => Opener(crate::sink::file::open),
        "tcp-log" => Opener(crate::sink::tcp::open),
        _ => Opener(|_, _| Err(vec![ConfigError::new("", "no sink")])),
    }
}

fn spec(identity: &str, kind: &str, config: Value) -> OutputSpec {
    let options = QueueOptions { max_retry_delay: Duration::from_millis(50), ..QueueOptions::default() };
    OutputSpec {
        identity: identity.to_owned(),
        plugin: kind.to_owned(),
        instance: None,
        shares: Vec::new(),
        opener: opener(kind),
        config,
        queue: options,
    }
}

fn put(output: &Output, entry: impl Into<Bytes>) -> Result<(), ReserveError> {
    let entry = entry.into();
    let size = entry.len();
    output.queue().reserve(1, size)?;
    output.queue().append(vec![entry], size, &Receipt::new(|| ()));
    Ok(())
}

/// Opens an output and starts it.
fn started(delivery: &Delivery, spec: OutputSpec) -> Arc<Output> {
    let output = delivery.open(spec).unwrap();
    for start in delivery.inner.running.lock().tasks.iter_mut().filter_map(|task| task.start.take()) {
        start.send(()).expect("the task waits for its start");
    }
    output
}

async fn until(what: &str, condition: impl Fn() -> bool) {
    let deadline = Instant::now() + PATIENCE;
    while !condition() {
        assert!(Instant::now() < deadline, "waited too long until {what}");
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
}

async fn idle(delivery: &Delivery) {
    tokio::time::timeout(PATIENCE, delivery.idle()).await.expect("idle in time");
}

/// The result of one call of a [`Scripted`] sink.
#[derive(Debug, Clone, Copy)]
enum Step {
    /// Accept all entries.
    Accept,
    /// Accept that many, then fail.
    Fail(usize, FailureKind),
    /// Fail, and request a pause.
    Busy(Duration),
}

/// A sink that follows a script, last step first, and records its calls.
struct Scripted {
    steps: Vec<Step>,
    batching: Batching,
    seen: Arc<Mutex<Seen>>,
}

#[derive(Default)]
struct Seen {
    delivered: Vec<Bytes>,
    batches: Vec<usize>,
    times: Vec<Instant>,
    closed: bool,
}

impl Sink for Scripted {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        Box::pin(async move {
            tokio::task::yield_now().await;
            let mut seen = self.seen.lock();
            seen.batches.push(entries.len());
            seen.times.push(Instant::now());
            let (accepted, failure) = match self.steps.pop().unwrap_or(Step::Accept) {
                Step::Accept => (entries.len(), None),
                Step::Fail(accepted, failure) => (accepted.min(entries.len().saturating_sub(1)), Some(failure)),
                Step::Busy(time) => {
                    return Err(SendError { retry_after: Some(time), ..SendError::retry(0, "busy") });
                }
            };
            seen.delivered.extend_from_slice(&entries[..accepted]);
            match failure {
                None => Ok(Sent::settled(accepted)),
                Some(failure) => Err(SendError::new(accepted, failure, "scripted")),
            }
        })
    }

    fn batching(&self) -> Batching {
        self.batching
    }

    fn close(&mut self) -> BoxFuture<'_, ()> {
        self.seen.lock().closed = true;
        Box::pin(std::future::ready(()))
    }
}

/// An output with a scripted sink and `entries` in its queue.
fn scripted(
    options: QueueOptions,
    batching: Batching,
    steps: Vec<Step>,
    entries: usize,
) -> (Arc<Output>, Arc<Mutex<Seen>>, JoinHandle<()>) {
    scripted_in(&std::env::temp_dir(), options, batching, steps, entries)
}

/// The same with a data directory.
fn scripted_in(
    data_dir: &std::path::Path,
    options: QueueOptions,
    batching: Batching,
    steps: Vec<Step>,
    entries: usize,
) -> (Arc<Output>, Arc<Mutex<Seen>>, JoinHandle<()>) {
    let seen = Arc::new(Mutex::new(Seen::default()));
    let (output, handle) = dispatcher(data_dir, options, entries, Scripted { steps, batching, seen: seen.clone() });
    (output, seen, handle)
}

/// An output with `entries` in its queue, which are there before its dispatcher starts.
fn dispatcher(
    data_dir: &std::path::Path,
    options: QueueOptions,
    entries: usize,
    sink: impl Sink + 'static,
) -> (Arc<Output>, JoinHandle<()>) {
    let bounds = options.memory_bounds();
    let spec = OutputSpec { queue: options, ..spec("id", "scripted", Value::Null) };
    let queue = Arc::new(MemoryQueue::new(bounds, Arc::new(Budget::default()), Signals::default()));
    let folder = data_dir.join("dead-letters/scripted-id");
    let dead_letters = DeadLetters::new(folder, Arc::new(DataLock::new(data_dir)));
    let spec = ArcSwap::from_pointee(spec);
    let output = Arc::new(Output::new(OutputParts { spec, queue: queue.clone(), reader: queue, dead_letters }));
    for i in 0..entries {
        put(&output, i.to_string()).unwrap();
    }
    let handle = tokio::spawn(Dispatcher::new(output.clone(), Box::new(sink)).run());
    (output, handle)
}

fn texts(entries: &[Bytes]) -> Vec<usize> {
    entries.iter().map(|entry| std::str::from_utf8(entry).unwrap().parse().unwrap()).collect()
}

fn quick() -> QueueOptions {
    let millis = Duration::from_millis;
    QueueOptions { initial_retry_delay: millis(1), max_retry_delay: millis(2), ..QueueOptions::default() }
}

/// Scenario: failures of every kind at the beginning, the middle and the end of batches.
/// Guarantees: retried entries are delivered once and in order; only the refused entry becomes a dead letter, with the
/// reason, and is counted; the dispatcher ends when the queue is closed, and closes the sink.
#[tokio::test]
async fn failures_keep_order_and_lose_nothing() {
    let mut steps = vec![
        Step::Fail(0, FailureKind::Retryable),
        Step::Fail(3, FailureKind::Retryable),
        Step::Fail(2, FailureKind::Permanent),
        Step::Fail(0, FailureKind::TooLarge),
        Step::Fail(1, FailureKind::Retryable),
        Step::Accept,
    ];
    steps.reverse();
    let directory = tempfile::tempdir().unwrap();
    let (output, seen, handle) = scripted_in(directory.path(), quick(), Batching::Stream, steps, 20);
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    let seen = seen.lock();
    let expected: Vec<usize> = (0..20).filter(|i| ![5, 6].contains(i)).collect();
    assert_eq!(texts(&seen.delivered), expected);
    assert!(seen.closed);
    let stats = output.stats();
    let counters = stats.counters;
    assert_eq!((counters.delivered, counters.dead_letters, counters.dropped_oversize), (18, 1, 1));
    assert_eq!((stats.failures, stats.failing), (5, false));
    assert_eq!(output.dead_letters().level().letters, 1);
    let letters = letters(&output);
    let [DeadLetter { info, message }] = letters.as_slice() else { panic!("one letter: {letters:?}") };
    assert_eq!((info.plugin.as_str(), info.reason.as_str(), &message[..]), ("scripted", "scripted", &b"5"[..]));
    assert_eq!(stats.last_error.map(|error| error.message).as_deref(), Some("scripted"));
}

/// Scenario: entries are refused permanently while the data directory cannot be written; later it can be written.
/// Guarantees: the first entry is neither lost nor delivered until it can be stored, and the others wait for it.
#[tokio::test]
async fn a_dead_letter_that_cannot_be_stored_blocks_the_queue() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    std::fs::write(&data_dir, "a file where the directory should be").unwrap();
    let steps = vec![Step::Fail(0, FailureKind::Permanent); 1000];
    let (output, seen, handle) = scripted_in(&data_dir, quick(), Batching::Stream, steps, 3);
    until("it has failed several times", || output.stats().failures > 3).await;
    assert_eq!((output.counters().depth, output.counters().dead_letters), (3, 0));
    std::fs::remove_file(&data_dir).unwrap();
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!((output.counters().depth, output.counters().dead_letters), (0, 3));
    assert!(seen.lock().delivered.is_empty());
    let letters = letters(&output);
    assert_eq!(letters.iter().map(|letter| letter.info.id).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Scenario: the dead letters of a plugin are limited to 300 bytes, and five messages are refused permanently; then the
/// dead letters are dropped.
/// Guarantees: a message that exceeds the limit stays in the queue and blocks it, and the error has a remedy; when there is
/// room, it is stored.
#[tokio::test]
async fn dead_letters_are_bounded() {
    let directory = tempfile::tempdir().unwrap();
    let steps = vec![Step::Fail(0, FailureKind::Permanent); 100_000];
    let options = QueueOptions { max_dead_letter_bytes: 300, ..quick() };
    let (output, _, handle) = scripted_in(directory.path(), options, Batching::Stream, steps, 5);
    until("no more fit", || output.counters().dead_letters == 2 && output.stats().failures > 5).await;
    assert_eq!(output.counters().depth, 3);
    let error = output.dead_letters().store(&output.spec(), &Bytes::from("9"), "no", 300).await.unwrap_err();
    assert!(error.contains("logphase queue") && error.contains("(300)"), "{error}");
    let drop_all =
        || output.dead_letters().with(|records| records.extract(&mut |_| Disposition::Take, &mut |_| Ok(())));
    assert_eq!(drop_all().unwrap(), 2);
    until("more fit", || output.counters().dead_letters == 4).await;
    drop_all().unwrap();
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!((output.counters().depth, output.dead_letters().level().letters), (0, 1));
}

fn letters(output: &Output) -> Vec<DeadLetter> {
    let read = |records: &mut RecordStore| records.read(0, usize::MAX);
    let (records, _) = output.dead_letters().with(read).unwrap();
    records.iter().map(|record| DeadLetter::decode(&record.payload).expect("a letter")).collect()
}

/// Scenario: `max_retry_time` ends while a batch fails; later entries follow it.
/// Guarantees: the batch is dropped and counted as expired, and the later entries are delivered.
#[tokio::test]
async fn an_expired_batch_unblocks_the_queue() {
    let options = QueueOptions { max_retry_time: Some(Duration::ZERO), ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Stream, vec![Step::Fail(0, FailureKind::Retryable)], 3);
    until("the batch has expired", || output.counters().dropped_expired == 3).await;
    put(&output, "7").unwrap();
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [7]);
}

/// A sink that settles its entries when it has `until` of them in flight.
struct Holding {
    until: usize,
    entries: Arc<Mutex<Vec<Bytes>>>,
}

impl Sink for Holding {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        let mut in_flight = self.entries.lock();
        in_flight.extend_from_slice(entries);
        let settled = if in_flight.len() == self.until { self.until } else { 0 };
        Box::pin(std::future::ready(Ok(Sent::settled(settled))))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::pending())
    }

    fn batching(&self) -> Batching {
        Batching::Parallel
    }
}

/// Scenario: a sink with parallel entries has one in flight when the next one is appended; then one fails for longer than
/// `max_retry_time`.
/// Guarantees: the next entry is sent immediately; only the failed entry is dropped, and the later ones are delivered.
#[tokio::test]
async fn parallel_entries_are_independent() {
    let entries = Arc::default();
    let (output, handle) =
        dispatcher(&std::env::temp_dir(), quick(), 1, Holding { until: 2, entries: Arc::clone(&entries) });
    until("the first is in flight", || entries.lock().len() == 1).await;
    put(&output, "1").unwrap();
    until("both are delivered", || output.counters().delivered == 2).await;
    handle.abort();

    let options = QueueOptions { max_retry_time: Some(Duration::ZERO), ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Parallel, vec![Step::Fail(0, FailureKind::Retryable)], 3);
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [1, 2]);
    assert_eq!(output.counters().dropped_expired, 1);
}

/// Scenario: a destination requests a pause that is longer than the backoff and `max_retry_time`; another one requests the
/// maximum duration, and the output is closed.
/// Guarantees: the next attempt is after the requested pause, and delivers; closing the output ends the pause.
#[tokio::test]
async fn a_requested_pause_is_kept() {
    let requested = Duration::from_millis(300);
    let options = QueueOptions { max_retry_time: Some(requested / 3), ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Batches, vec![Step::Busy(requested)], 1);
    until("it is delivered", || output.counters().delivered == 1).await;
    let times = seen.lock().times.clone();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= requested, "{:?}", times[1] - times[0]);
    handle.abort();

    let (output, seen, handle) = scripted(quick(), Batching::Batches, vec![Step::Busy(Duration::MAX)], 1);
    until("the attempt has failed", || output.stats().failures == 1).await;
    assert_eq!(output.counters().delivered, 0);
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("closing ends the pause").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [0]);
}

/// Scenario: a sink with batches, and entries that are appended one by one.
/// Guarantees: a full batch is sent immediately, a partial one after the coalescing delay or when the queue is closed.
#[tokio::test]
async fn batches_coalesce() {
    let options = QueueOptions { max_batch_size: 4, max_coalescing_delay: PATIENCE, ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Batches, vec![], 2);
    tokio::task::yield_now().await;
    assert!(seen.lock().batches.is_empty());
    for i in 2..5 {
        put(&output, i.to_string()).unwrap();
    }
    until("a full batch is sent", || seen.lock().batches == [4]).await;
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("closing ends the wait").unwrap();
    assert_eq!(seen.lock().batches, [4, 1]);

    let options = QueueOptions { max_batch_size: 4, max_coalescing_delay: Duration::from_millis(5), ..quick() };
    let (_output, seen, handle) = scripted(options, Batching::Batches, vec![], 2);
    until("a partial batch is sent", || seen.lock().batches == [2]).await;
    handle.abort();
}

/// Scenario: an entry is in retry when the queue overflows and drops its oldest entries.
/// Guarantees: the entry in flight is not dropped.
#[tokio::test]
async fn overflow_spares_the_batch_in_flight() {
    let options = QueueOptions { max_entries: Some(2), overflow: Overflow::DropOldest, ..quick() };
    let steps = vec![Step::Fail(0, FailureKind::Retryable); 20];
    let (output, seen, handle) = scripted(options, Batching::Stream, steps, 1);
    until("it is in flight", || output.counters().leased == 1).await;
    for i in 1..5 {
        put(&output, i.to_string()).unwrap();
    }
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [0, 3, 4]);
    assert_eq!(output.counters().dropped_overflow, 2);
}

/// The spec of a plugin whose queue is limited to `max_entries`.
fn bounded(identity: &str, config: Value, max_entries: usize) -> OutputSpec {
    let mut spec = spec(identity, "file-log", config);
    spec.queue.max_entries = Some(max_entries);
    spec
}

/// Scenario: a plugin is opened again without a change, then with another limit; the old output is retired with entries in
/// its queue; then another output is opened for a reload that fails.
/// Guarantees: without a change the output is the same; the retired one delivers its entries and accepts no more; after the
/// failed reload the previous outputs continue.
#[tokio::test]
async fn reload_keeps_what_is_unchanged() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let open =
        |delivery: &Delivery, bound| started(&delivery, bounded("p1", json!({"path": path, "reopen": false}), bound));
    let delivery = delivery();
    let one = open(&delivery, 100);
    assert!(Arc::ptr_eq(&one, &open(&delivery, 100)));
    put(&one, "old").unwrap();
    let two = open(&delivery, 200);
    assert!(!Arc::ptr_eq(&one, &two));
    delivery.commit(std::slice::from_ref(&two));
    assert_eq!(put(&one, "late"), Err(ReserveError::Full));
    until("the retired one has ended", || delivery.stats().len() == 1).await;
    put(&two, "new").unwrap();
    idle(&delivery).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "old\nnew\n");

    let failed = delivery.open(bounded("p1", json!({"path": path, "reopen": false}), 300)).unwrap();
    delivery.rollback(std::slice::from_ref(&two));
    assert!(failed.is_closed() && !two.is_closed());
    assert!(Arc::ptr_eq(&two, &open(&delivery, 200)));
}

/// Scenario: a queue on disk with a message of an earlier run is opened for a reload that is rolled back, then for one that
/// is committed.
/// Guarantees: the rollback delivers nothing and leaves no statistics; the commit delivers the message once.
#[tokio::test]
async fn a_rolled_back_output_delivers_nothing() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("file");
    let delivery = || Delivery::new(SinkShared::new(None), Budget::default(), directory.path().to_owned());
    let durable = || {
        let mut spec = spec("p1", "file-log", json!({"path": path, "reopen": false}));
        spec.queue.durability = Durability::Disk;
        spec
    };
    let earlier = delivery();
    put(&earlier.open(durable()).unwrap(), "message").unwrap();
    earlier.shut_down(Instant::now()).await;
    drop(earlier);

    let delivery = delivery();
    let output = delivery.open(durable()).unwrap();
    delivery.rollback(&[]);
    drop(output);
    assert!(delivery.stats().is_empty() && delivery.plugins().is_empty());
    until("the queue is an orphan again", || delivery.orphaned_queues() == 1).await;
    assert!(!path.exists());

    let output = delivery.open(durable()).unwrap();
    delivery.commit(std::slice::from_ref(&output));
    until("the message is delivered", || output.counters().is_idle()).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "message\n");
}

/// Scenario: fifty reloads replace the queue of a plugin while it has entries, each time with a message that a script
/// drops; then the plugin is removed, and the service shuts down. A thread reads the totals all the time.
/// Guarantees: at any time each message is counted exactly once, and no total decreases.
#[tokio::test(flavor = "multi_thread")]
async fn totals_outlive_outputs() {
    let directory = tempfile::tempdir().unwrap();
    let delivery = delivery();
    let stop = Arc::new(AtomicBool::new(false));
    let reader = std::thread::spawn({
        let (delivery, stop) = (delivery.clone(), stop.clone());
        move || {
            let (mut before, mut reads) = (Counters::default(), 0);
            while !stop.load(Ordering::SeqCst) {
                let plugins = delivery.plugins();
                let now = plugins.first().map_or_else(Counters::default, |plugin| plugin.counters);
                assert!(plugins.len() <= 1);
                assert_eq!(now.appended, now.delivered + now.depth as u64 + now.unmade());
                assert!(now.appended >= before.appended && now.delivered >= before.delivered, "{now:?} {before:?}");
                (before, reads) = (now, reads + 1);
            }
            reads
        }
    });
    for reload in 0..50 {
        let config = json!({"path": directory.path().join(reload.to_string()), "reopen": false});
        let output = started(&delivery, bounded("p1", config, 1000 + reload));
        for entry in 0..20 {
            put(&output, entry.to_string()).unwrap();
        }
        output.queue().reserve(1, 1).unwrap();
        output.queue().release_dropped(1, 1, logphase_queue::DropReason::Script);
        delivery.commit(std::slice::from_ref(&output));
        tokio::task::yield_now().await;
    }
    delivery.commit(&[]);
    until("all have ended", || delivery.stats().is_empty()).await;
    let totals = || {
        let plugin = &delivery.plugins()[0];
        (plugin.counters.appended, plugin.counters.delivered, plugin.times.count(), plugin.configured)
    };
    assert_eq!(totals(), (50 * 21, 50 * 20, 50 * 20, false));
    let config = json!({"path": directory.path().join("last"), "reopen": false});
    let output = started(&delivery, spec("p1", "file-log", config));
    put(&output, "x").unwrap();
    assert_eq!(delivery.shut_down(Instant::now() + PATIENCE).await, []);
    assert_eq!((totals().0, totals().1), (50 * 21 + 1, 50 * 20 + 1));
    stop.store(true, Ordering::SeqCst);
    assert!(reader.join().expect("all totals add up") > 0);
}

/// Scenario: a shutdown with one available and one unavailable destination.
/// Guarantees: the entries of the first are delivered; those of the second are reported at the deadline, with the error.
#[tokio::test]
async fn shutdown_delivers_and_reports_the_rest() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let delivery = delivery();
    let good = started(&delivery, spec("good", "file-log", json!({"path": path})));
    let bad = OutputSpec { instance: Some("lost".to_owned()), ..spec("bad", "file-log", json!({"path": "/dev/full"})) };
    let bad = started(&delivery, bad);
    for _ in 0..100 {
        put(&good, "{}").unwrap();
        put(&bad, "{}").unwrap();
    }
    let left = delivery.shut_down(Instant::now() + Duration::from_millis(500)).await;
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n".repeat(100));
    assert_eq!(left.len(), 1);
    assert_eq!((left[0].plugin.as_str(), left[0].entries, left[0].bytes), ("file-log (lost)", 100, 200));
    assert!(left[0].last_error.as_deref().is_some_and(|error| error.contains("no space left")));
}

/// Scenario: a thousand plugins that write to one file.
/// Guarantees: all of them deliver through one writer, and end in time.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_thousand_plugins() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().join("log");
    let delivery = delivery();
    let outputs: Vec<_> =
        (0..1000).map(|i| started(&delivery, spec(&format!("p{i}"), "file-log", json!({"path": path})))).collect();
    for output in &outputs {
        put(output, "{}").unwrap();
    }
    idle(&delivery).await;
    assert_eq!(delivery.stats().iter().map(|stats| stats.counters.delivered).sum::<u64>(), 1000);
    assert_eq!(std::fs::read_to_string(&path).unwrap(), "{}\n".repeat(1000));
    assert!(delivery.shut_down(Instant::now() + PATIENCE).await.is_empty());
}

/// A receiver that reads ids line by line, and restarts. In each run it reads some lines, then drops its connection and
/// listener, if possible with settled messages unread; the last run continues until `end`.
struct RestartingPeer {
    output: std::sync::OnceLock<Arc<Output>>,
    left_unread: AtomicUsize,
    port: u16,
    ids: Mutex<BTreeSet<usize>>,
    end: AtomicBool,
}

impl RestartingPeer {
    fn run_all(&self, runs: &[usize]) {
        for &lines in runs {
            self.run(lines);
        }
    }

    fn run(&self, lines: usize) {
        let listener = TcpListener::bind(("127.0.0.1", self.port)).unwrap();
        listener.set_nonblocking(true).unwrap();
        let mut read = 0;
        while read < lines && !self.ended() {
            let Ok((stream, _)) = listener.accept() else {
                std::thread::yield_now();
                continue;
            };
            stream.set_nonblocking(false).unwrap();
            stream.set_read_timeout(Some(Duration::from_millis(50))).unwrap();
            let mut reader = std::io::BufReader::new(stream);
            let mut line = String::new();
            while read < lines && !self.ended() {
                match reader.read_line(&mut line) {
                    Ok(0) => break,
                    Ok(_) if line.ends_with('\n') => {
                        let id = line.trim_end().rsplit(' ').next().unwrap().parse().expect("a whole line");
                        self.ids.lock().insert(id);
                        line.clear();
                        read += 1;
                    }
                    // A broken connection, or a time-out.
                    _ => {}
                }
            }
            self.wait_for_unread();
        }
    }

    /// Waits for a short time until more entries are settled than were read.
    fn wait_for_unread(&self) {
        let deadline = std::time::Instant::now() + Duration::from_millis(500);
        let settled = || self.output.get().map_or(0, |output| output.counters().delivered);
        while !self.ended() && std::time::Instant::now() < deadline {
            if settled() > self.ids.lock().len() as u64 {
                self.left_unread.fetch_add(1, Ordering::SeqCst);
                return;
            }
            std::thread::yield_now();
        }
    }

    fn ended(&self) -> bool {
        self.end.load(Ordering::SeqCst)
    }
}

/// Stops the peer if the test fails: otherwise the runtime would wait for its thread.
struct EndOnDrop(Arc<RestartingPeer>);

impl Drop for EndOnDrop {
    fn drop(&mut self) {
        self.0.end.store(true, Ordering::SeqCst);
    }
}

/// Scenario: a TCP receiver that restarts several times under load, with unread messages in its buffers.
/// Guarantees: it reads every message in the end, and the queue counts all of them as delivered.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tcp_peer_that_restarts_under_load_misses_nothing() {
    const ALL: usize = 20_000;
    let peer = Arc::new(RestartingPeer {
        output: std::sync::OnceLock::new(),
        left_unread: AtomicUsize::new(0),
        port: own_port(),
        ids: Mutex::default(),
        end: AtomicBool::new(false),
    });
    let _end = EndOnDrop(peer.clone());
    let running = tokio::task::spawn_blocking({
        let peer = peer.clone();
        move || peer.run_all(&[500, 3000, 1, 8000, 700, usize::MAX])
    });
    let config = json!({"host": "127.0.0.1", "port": peer.port, "timeout": 1000});
    let delivery = delivery();
    let output = started(&delivery, spec("tcp", "tcp-log", config));
    assert!(peer.output.set(output.clone()).is_ok());
    let room = delivery.room();
    for id in 0..ALL {
        let entry = Bytes::from(format!("{} {id}", "x".repeat(id % 400)));
        loop {
            let notified = room.notified();
            match put(&output, entry.clone()) {
                Ok(()) => break,
                Err(_) => tokio::time::timeout(PATIENCE, notified).await.expect("the queue gets room"),
            }
        }
    }
    idle(&delivery).await;
    until("every message was read", || peer.ids.lock().len() == ALL).await;
    let counters = output.counters();
    assert_eq!((counters.delivered, counters.dropped()), (ALL as u64, 0));
    assert!(delivery.shut_down(Instant::now() + PATIENCE).await.is_empty());
    peer.end.store(true, Ordering::SeqCst);
    running.await.unwrap();
    assert!(peer.left_unread.load(Ordering::SeqCst) > 0, "it never stopped with settled messages unread");
}
