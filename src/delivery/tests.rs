use std::collections::BTreeSet;
use std::io::BufRead;
use std::sync::Arc;
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

mod collectors;
mod reload;
mod restarting_peer;
mod spilling;
mod swap;
mod unconfirmed;

const PATIENCE: Duration = Duration::from_secs(30);

fn delivery() -> Delivery {
    Delivery::new(SinkShared::new(None), Budget::default(), std::env::temp_dir())
}

/// The openers of the sinks in these tests, for plugins named like the transport.
fn opener(plugin: &str) -> Opener {
    match plugin {
        "file-log" => Opener(crate::sink::file::open),
        "tcp-log" => Opener(crate::sink::tcp::open),
        _ => Opener(|_, _| Err(vec![ConfigError::new("", "no sink")])),
    }
}

fn spec(identity: &str, kind: &str, config: Value) -> OutputSpec {
    let max_retry_delay = Duration::from_millis(50);
    let options = QueueOptions { max_retry_delay, spill: false, ..QueueOptions::default() };
    OutputSpec {
        identity: identity.to_owned(),
        plugin: kind.to_owned(),
        instance: None,
        shares: Arc::default(),
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

/// Opens an output that starts at once.
fn started(delivery: &Delivery, spec: OutputSpec) -> Arc<Output> {
    let output = delivery.open(spec).unwrap();
    for start in delivery.inner.running.lock().tasks.iter_mut().filter_map(|task| task.start.take()) {
        start.send(()).expect("the task waits");
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

/// What a [`Scripted`] sink does with one call.
#[derive(Debug, Clone, Copy)]
enum Step {
    Take,
    /// Accept this many entries, then fail.
    Fail(usize, FailureKind),
    /// Fail with this `retry_after`.
    Busy(Duration),
}

/// A sink that follows a script, last step first, and records the delivered entries and the calls.
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
            let (taken, failure) = match self.steps.pop().unwrap_or(Step::Take) {
                Step::Take => (entries.len(), None),
                Step::Fail(taken, kind) => (taken.min(entries.len().saturating_sub(1)), Some(kind)),
                Step::Busy(time) => {
                    return Err(SendError { retry_after: Some(time), ..SendError::retry(0, "busy") });
                }
            };
            seen.delivered.extend_from_slice(&entries[..taken]);
            match failure {
                None => Ok(Sent::settled(taken)),
                Some(kind) => Err(SendError::new(taken, kind, "scripted")),
            }
        })
    }

    fn batching(&self) -> Batching {
        self.batching
    }

    fn close(&mut self) -> BoxFuture<'_, Result<(), SendError>> {
        self.seen.lock().closed = true;
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Makes an output with a scripted sink. Its queue is filled before its dispatcher starts.
fn scripted(
    options: QueueOptions,
    batching: Batching,
    steps: Vec<Step>,
    entries: usize,
) -> (Arc<Output>, Arc<Mutex<Seen>>, JoinHandle<()>) {
    scripted_in(&std::env::temp_dir(), options, batching, steps, entries)
}

/// Like [`scripted`], with a data directory.
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

/// Fills the queue of an output with `entries`, then starts its dispatcher.
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

/// Scenario: failures of every kind at the beginning, in the middle and at the end of batches.
/// Guarantees: retried entries are delivered once and in order; only a rejected entry becomes a dead letter, with the
/// reason, and is counted; the dispatcher ends when the queue is closed, and closes the sink.
#[tokio::test]
async fn failures_keep_order_and_lose_nothing() {
    let mut steps = vec![
        Step::Fail(0, FailureKind::Retryable),
        Step::Fail(3, FailureKind::Retryable),
        Step::Fail(2, FailureKind::Permanent),
        Step::Fail(0, FailureKind::TooLarge),
        Step::Fail(1, FailureKind::Retryable),
        Step::Take,
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

/// Scenario: an entry is permanently rejected while the data directory is not writable; later it is writable again.
/// Guarantees: the entry is neither lost nor delivered until its dead letter is written; the entries after it wait.
#[tokio::test]
async fn an_entry_stays_queued_until_its_dead_letter_is_written() {
    let directory = tempfile::tempdir().unwrap();
    let data_dir = directory.path().join("data");
    std::fs::write(&data_dir, "a file where the directory should be").unwrap();
    let steps = vec![Step::Fail(0, FailureKind::Permanent); 1000];
    let (output, seen, handle) = scripted_in(&data_dir, quick(), Batching::Stream, steps, 3);
    until("it was tried often", || output.stats().failures > 3).await;
    assert_eq!((output.counters().depth, output.counters().dead_letters), (3, 0));
    std::fs::remove_file(&data_dir).unwrap();
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!((output.counters().depth, output.counters().dead_letters), (0, 3));
    assert!(seen.lock().delivered.is_empty());
    let letters = letters(&output);
    assert_eq!(letters.iter().map(|letter| letter.info.id).collect::<Vec<_>>(), [0, 1, 2]);
}

/// Scenario: five messages of a plugin whose dead letters may take 300 bytes are permanently rejected; then the dead
/// letters are dropped.
/// Guarantees: a message without room stays at the front of the queue, and the error says what to do; when there is
/// room, it becomes a dead letter too.
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

/// Scenario: `max_retry_time` expires while a batch fails; more entries follow.
/// Guarantees: the batch is dropped and counted as expired, and the following entries are delivered.
#[tokio::test]
async fn an_expired_batch_is_dropped() {
    let options = QueueOptions { max_retry_time: Some(Duration::ZERO), ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Stream, vec![Step::Fail(0, FailureKind::Retryable)], 3);
    until("the batch has expired", || output.counters().dropped_expired == 3).await;
    put(&output, "7").unwrap();
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("ends in time").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [7]);
}

/// A sink that settles nothing before a number of entries is outstanding.
struct Holding {
    until: usize,
    taken: Arc<Mutex<Vec<Bytes>>>,
}

impl Sink for Holding {
    fn send<'a>(&'a mut self, entries: &'a [Bytes]) -> BoxFuture<'a, Result<Sent, SendError>> {
        let mut taken = self.taken.lock();
        taken.extend_from_slice(entries);
        let settled = if taken.len() == self.until { self.until } else { 0 };
        Box::pin(std::future::ready(Ok(Sent::settled(settled))))
    }

    fn settle(&mut self) -> BoxFuture<'_, Result<Sent, SendError>> {
        Box::pin(std::future::pending())
    }

    fn batching(&self) -> Batching {
        Batching::Parallel
    }
}

/// Scenario: a sink with parallel delivery has one entry outstanding when the next arrives; then one entry fails for
/// longer than `max_retry_time`.
/// Guarantees: the next entry is sent at once; only the failing entry is dropped, and those after it are delivered.
#[tokio::test]
async fn parallel_entries_do_not_wait_for_each_other() {
    let taken = Arc::default();
    let (output, handle) =
        dispatcher(&std::env::temp_dir(), quick(), 1, Holding { until: 2, taken: Arc::clone(&taken) });
    until("the first is on its way", || taken.lock().len() == 1).await;
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

/// Scenario: a destination whose `retry_after` exceeds the backoff and `max_retry_time`; then one with a practically
/// infinite `retry_after`, while the output is closed.
/// Guarantees: the next attempt happens after `retry_after` and delivers; closing cuts the pause short.
#[tokio::test]
async fn retry_after_is_respected() {
    let asked = Duration::from_millis(300);
    let options = QueueOptions { max_retry_time: Some(asked / 3), ..quick() };
    let (output, seen, handle) = scripted(options, Batching::Batches, vec![Step::Busy(asked)], 1);
    until("it is delivered", || output.counters().delivered == 1).await;
    let times = seen.lock().times.clone();
    assert_eq!(times.len(), 2);
    assert!(times[1] - times[0] >= asked, "{:?}", times[1] - times[0]);
    handle.abort();

    let (output, seen, handle) = scripted(quick(), Batching::Batches, vec![Step::Busy(Duration::MAX)], 1);
    until("it was tried", || output.stats().failures == 1).await;
    assert_eq!(output.counters().delivered, 0);
    output.close();
    tokio::time::timeout(PATIENCE, handle).await.expect("closing ends the pause").unwrap();
    assert_eq!(texts(&seen.lock().delivered), [0]);
}

/// Scenario: a sink that takes batches, and entries that arrive one by one.
/// Guarantees: a full batch is sent at once, an incomplete one when the coalescing delay ends or the queue closes.
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
    until("an incomplete batch is sent", || seen.lock().batches == [2]).await;
    handle.abort();
}

/// Scenario: two thousand entries that arrive one by one for a sink that writes what is there at once.
/// Guarantees: they share calls, of which there is one in a millisecond at most; all are delivered, in order.
#[tokio::test]
async fn what_arrives_within_a_millisecond_shares_a_call() {
    let start = Instant::now();
    let (output, seen, handle) = scripted(quick(), Batching::Writes, vec![], 0);
    for i in 0..2000 {
        put(&output, i.to_string()).unwrap();
        tokio::task::yield_now().await;
    }
    until("all are delivered", || seen.lock().delivered.len() == 2000).await;
    let elapsed = start.elapsed().as_millis();
    assert_eq!(texts(&seen.lock().delivered), (0..2000).collect::<Vec<_>>());
    let calls = seen.lock().batches.len() as u128;
    assert!(calls <= elapsed + 2, "{calls} calls in {elapsed} ms");
    handle.abort();
}

/// Scenario: an entry is being retried when the queue overflows and drops its oldest entries.
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

/// Scenario: shutdown with one working destination and one that fails.
/// Guarantees: the first queue is emptied; the entries of the second are reported with the reason at the deadline.
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

/// Scenario: a thousand plugins, most of which write to one file.
/// Guarantees: all deliver through one writer, and all end in time.
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
