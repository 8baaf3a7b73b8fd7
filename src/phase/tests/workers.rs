use std::time::{Duration, Instant};

use parking_lot::Mutex;

use arc_swap::ArcSwap;
use tokio::sync::Notify;

use super::*;
use crate::confinement::ThreadFilter;
use logphase_queue::{Bound, DropReason, Queue, Receipt, ReserveError};
use logphase_script::Clock;

/// A queue with a limit on its entries, for inspection by tests.
#[derive(Default)]
pub(super) struct Fake {
    inner: Mutex<Inner>,
}

#[derive(Default)]
pub(super) struct Inner {
    max_entries: usize,
    reserved: (usize, usize),
    entries: Vec<String>,
    /// Whether the queue keeps receipts until the test drops them.
    pub(super) holds: bool,
    pub(super) receipts: Vec<Receipt>,
    panics: bool,
    refusals: usize,
    dropped: usize,
    /// Whether the queue is closed, as by a reload.
    pub(super) closed: bool,
    /// What happens when the closed queue is asked, once.
    on_closed: Option<Box<dyn FnOnce() + Send>>,
}

impl Fake {
    pub(super) fn new(max_entries: usize) -> Arc<Self> {
        Arc::new(Self { inner: Mutex::new(Inner { max_entries, ..Inner::default() }) })
    }

    pub(super) fn with<R>(&self, work: impl FnOnce(&mut Inner) -> R) -> R {
        work(&mut self.inner.lock())
    }

    pub(super) fn take(&self) -> Vec<String> {
        self.with(|inner| std::mem::take(&mut inner.entries))
    }

    pub(super) fn reserved(&self) -> (usize, usize) {
        self.with(|inner| inner.reserved)
    }
}

impl Queue for Fake {
    fn reserve(&self, entries: usize, bytes: usize) -> Result<(), ReserveError> {
        self.with(|inner| {
            if inner.closed {
                inner.on_closed.take().into_iter().for_each(|happens| happens());
                return Err(ReserveError::Closed);
            }
            if entries > inner.max_entries {
                return Err(ReserveError::TooLarge);
            }
            if inner.entries.len() + inner.reserved.0 + entries > inner.max_entries {
                return Err(ReserveError::Full(Bound::MaxEntries));
            }
            inner.reserved = (inner.reserved.0 + entries, inner.reserved.1 + bytes);
            Ok(())
        })
    }

    fn release_dropped(&self, entries: usize, bytes: usize, _: DropReason) {
        self.release(entries, bytes);
    }

    fn release(&self, entries: usize, bytes: usize) {
        self.with(|inner| inner.reserved = (inner.reserved.0 - entries, inner.reserved.1 - bytes));
    }

    fn count_refusal(&self, _: ReserveError, dropped: usize) {
        self.with(|inner| match dropped {
            0 => inner.refusals += 1,
            _ => inner.dropped += dropped,
        });
    }

    fn append(&self, entries: Vec<Bytes>, reserved: usize, receipt: &Receipt) {
        self.with(|inner| {
            inner.reserved = (inner.reserved.0 - entries.len(), inner.reserved.1 - reserved);
            if std::mem::take(&mut inner.panics) {
                panic!("a bug in a queue, for the test");
            }
            inner.entries.extend(entries.iter().map(|entry| String::from_utf8_lossy(entry).into_owned()));
            if inner.holds {
                inner.receipts.push(receipt.clone());
            }
        });
    }
}

const TWO: &str = r#"
_format_version: "3.0"
plugins:
- {name: file-log, config: {path: /tmp/x}}
- {name: tcp-log, config: {host: h, port: 9, custom_fields_by_lua: {t: return 1}}}
"#;

/// Workers on fake queues, one for each plugin that emits.
pub(super) struct Bench {
    pub(super) live: Live,
    pub(super) workers: Workers,
    pub(super) intake: Intake,
    pub(super) room: Arc<Notify>,
}

pub(super) fn generation(text: &str, settings: &Settings, queues: &[&Arc<Fake>]) -> Generation {
    let program = program(text, settings);
    assert_eq!(program.steps.len(), queues.len());
    let required = vec![true; queues.len()];
    let queues = queues.iter().map(|queue| Some((*queue).clone() as Arc<dyn Queue>)).collect();
    Generation { program, queues, required }
}

pub(super) fn bench(generation: Generation, workers: usize) -> Bench {
    let live: Live = Arc::new(ArcSwap::from_pointee(generation));
    let clock = Clock::start().expect("a thread");
    let (workers, channels) = Workers::start(&live, workers, &clock, &ThreadFilter::none()).expect("workers");
    let room = Arc::new(Notify::new());
    Bench { live, workers, intake: Intake::new(channels, room.clone(), FairBy::Peer), room }
}

fn transactions(numbers: std::ops::Range<usize>) -> Vec<Transaction> {
    numbers.map(|number| transaction(&json!({"n": number}))).collect()
}

fn plain(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number}}}")).collect()
}

fn edited(numbers: std::ops::Range<usize>) -> Vec<String> {
    numbers.map(|number| format!("{{\"n\":{number},\"t\":1}}")).collect()
}

/// Sends `transactions` through an ordered intake. The error has the number of those that were accepted.
async fn deliver(intake: Intake, transactions: Vec<Transaction>) -> Result<(), (usize, IntakeError)> {
    let mut ordered = OrderedIntake::new(intake);
    ordered.push(transactions);
    let mut accepted = 0;
    while !ordered.is_empty() {
        accepted += ordered.advance().await.map_err(|error| (accepted, error))?;
    }
    Ok(())
}

pub(super) async fn until(mut condition: impl FnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(20);
    while !condition() {
        assert!(Instant::now() < deadline, "the condition was not met in time");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
}

/// Scenario: batches that must be accepted all or none, while the second queue has room for three entries.
/// Guarantees: a batch that does not fit is refused with the name of the plugin and adds nothing to any queue; one that fits
/// is in both, in order.
#[tokio::test]
async fn batches_are_accepted_all_or_none() {
    let (file, tcp) = (Fake::new(10), Fake::new(3));
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    assert_eq!(bench.intake.offer(transactions(0..2)).await, Ok(()));
    let refused = bench.intake.offer(transactions(2..4)).await;
    assert_eq!(refused, Err(IntakeError::Full { plugin: "tcp-log".to_owned(), bound: Bound::MaxEntries }));
    assert_eq!((file.with(|inner| inner.refusals), tcp.with(|inner| inner.refusals)), (0, 1));
    assert_eq!((file.reserved(), tcp.reserved()), ((0, 0), (0, 0)));
    assert_eq!(bench.intake.offer(transactions(2..3)).await, Ok(()));
    assert_eq!((file.take(), tcp.take()), (plain(0..3), edited(0..3)));
    let many = bench.intake.offer(transactions(0..4)).await;
    assert_eq!(many, Err(IntakeError::TooMany { plugin: "tcp-log".to_owned(), transactions: 4 }));
    assert_eq!((file.take(), file.reserved(), tcp.reserved()), (vec![], (0, 0), (0, 0)));
    assert_eq!(bench.intake.offer(Vec::new()).await, Ok(()));
    assert_eq!(bench.workers.worker_stats().transactions.load(std::sync::atomic::Ordering::Relaxed), 3);
}

/// Scenario: senders of batches that a full queue refuses: one that every transaction goes to, then one of a single service; the queue
/// gets room again.
/// Guarantees: the first queue refuses the sender's next batch before it is read, which it counts; not that of another sender, and not
/// once it has room. The second never does.
#[tokio::test]
async fn a_full_queue_refuses_before_a_batch_is_read() {
    let scoped = r#"
_format_version: "3.0"
services: [{name: s, url: "http://x", plugins: [{name: file-log, config: {path: /tmp/x}}]}]
"#;
    let (file, tcp, of_service) = (Fake::new(10), Fake::new(3), Fake::new(3));
    let bench_of_all = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    let (sender, other) = (bench_of_all.intake.for_sender(None), bench_of_all.intake.for_sender(None));
    assert_eq!(sender.offer(transactions(0..3)).await, Ok(()));
    assert_eq!(sender.refusal(14), None);
    let full = IntakeError::Full { plugin: "tcp-log".to_owned(), bound: Bound::MaxEntries };
    let holders = Arc::strong_count(&tcp);
    assert_eq!(sender.offer(transactions(3..5)).await, Err(full.clone()));
    // A sender that is silent from now on does not keep the queue.
    assert_eq!(Arc::strong_count(&tcp), holders);
    assert_eq!((sender.refusal(14), other.refusal(14)), (Some(full), None));
    assert_eq!((tcp.with(|inner| inner.refusals), tcp.reserved()), (2, (0, 0)));
    tcp.take();
    assert_eq!((sender.refusal(10), tcp.reserved()), (None, (0, 0)));
    assert_eq!(sender.offer(transactions(3..5)).await, Ok(()));

    let bench_of_service = bench(generation(scoped, &patient(), &[&of_service]), 1);
    let of_service = |number: usize| transaction(&json!({"service": {"name": "s"}, "n": number}));
    let sender = bench_of_service.intake.for_sender(None);
    assert_eq!(sender.offer((0..3).map(of_service).collect()).await, Ok(()));
    assert!(sender.offer(vec![of_service(3)]).await.is_err());
    assert_eq!(sender.refusal(14), None);
}

/// Scenario: a batch of twenty transactions, with queues of two and five entries that are emptied repeatedly.
/// Guarantees: each transaction is in each queue once, in order, although the batch is larger than the queues.
#[tokio::test]
async fn batches_are_accepted_in_parts() {
    let (file, tcp) = (Fake::new(5), Fake::new(2));
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 2);
    let intake = bench.intake.clone();
    let delivery = tokio::spawn(async move { deliver(intake, transactions(0..20)).await });
    let (mut files, mut tcps) = (Vec::new(), Vec::new());
    until(|| {
        files.extend(file.take());
        tcps.extend(tcp.take());
        bench.room.notify_waiters();
        tcps.len() == 20 && files.len() == 20
    })
    .await;
    assert_eq!(delivery.await.expect("no panic"), Ok(()));
    assert_eq!((files, tcps), (plain(0..20), edited(0..20)));
    assert_eq!((file.reserved(), tcp.reserved()), ((0, 0), (0, 0)));
}

/// Scenario: queues that keep receipts, as queues on disk do.
/// Guarantees: an offer is answered only when the last receipt is dropped.
#[tokio::test]
async fn answers_wait_for_every_receipt() {
    let (file, tcp) = (Fake::new(5), Fake::new(5));
    file.with(|inner| inner.holds = true);
    tcp.with(|inner| inner.holds = true);
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    let intake = bench.intake.clone();
    let offer = tokio::spawn(async move { intake.offer(transactions(0..2)).await });
    until(|| !tcp.with(|inner| inner.receipts.is_empty())).await;
    file.with(|inner| inner.receipts.clear());
    assert!(!offer.is_finished());
    // Another batch is processed in the meantime.
    let intake = bench.intake.clone();
    let second = tokio::spawn(async move { intake.offer(transactions(2..3)).await });
    until(|| tcp.with(|inner| inner.receipts.len()) == 2).await;
    assert!(!offer.is_finished() && !second.is_finished());
    for queue in [&file, &tcp] {
        queue.with(|inner| inner.receipts.clear());
    }
    assert_eq!((offer.await.expect("no panic"), second.await.expect("no panic")), (Ok(()), Ok(())));
}

/// Scenario: a new generation with other plugins and queues replaces the active one, between batches.
/// Guarantees: later batches go only to the new queues.
#[tokio::test]
async fn a_new_generation_takes_over() {
    let (file, tcp, new) = (Fake::new(100), Fake::new(100), Fake::new(100));
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 2);
    assert_eq!(bench.intake.offer(transactions(0..3)).await, Ok(()));
    let text = "_format_version: \"3.0\"\nplugins: [{name: udp-log, config: {host: h, port: 9}}]";
    bench.live.store(Arc::new(generation(text, &patient(), &[&new])));
    for number in 3..9 {
        assert_eq!(bench.intake.offer(transactions(number..number + 1)).await, Ok(()));
    }
    bench.live.store(Arc::new(generation(TWO, &patient(), &[&file, &tcp])));
    assert_eq!(bench.intake.offer(transactions(9..10)).await, Ok(()));
    assert_eq!((file.take().len(), tcp.take().len(), new.take()), (4, 4, plain(3..9)));
}

/// Scenario: a reload takes over in the middle of a batch: the old program has no snippets, the new one has one without end.
/// Guarantees: the snippet is stopped by its deadline, and the batch is in the new queue.
#[tokio::test]
async fn a_snippet_of_the_next_generation_is_timed() {
    let text = "_format_version: \"3.0\"\nplugins: [{name: file-log, config: {path: /tmp/x}}]";
    let looping = "_format_version: \"3.0\"\nplugins:\n- name: udp-log\n  config: {host: h, port: 9, \
                   custom_fields_by_lua: {t: while true do end}}";
    let (old, new) = (Fake::new(10), Fake::new(10));
    let bench = bench(generation(text, &Settings::default(), &[&old]), 1);
    let (live, next) = (bench.live.clone(), Arc::new(generation(looping, &Settings::default(), &[&new])));
    old.with(|inner| {
        inner.closed = true;
        inner.on_closed = Some(Box::new(move || live.store(next)));
    });
    let answer = tokio::time::timeout(Duration::from_secs(60), bench.intake.offer(transactions(0..1))).await;
    assert_eq!(answer, Ok(Ok(())));
    assert_eq!((old.take(), new.take()), (vec![], plain(0..1)));
}

/// Scenario: transactions whose snippet fails with `on_error: drop`.
/// Guarantees: they are accepted, the dropped messages are counted, and their reservations are released.
#[tokio::test]
async fn dropped_messages_release_their_reservations() {
    let (file, tcp) = (Fake::new(5), Fake::new(5));
    let mut settings = patient();
    settings.on_error = crate::settings::OnError::Drop;
    let text = TWO.replace("return 1", "if kong.log.serialize().n % 2 == 1 then error('odd') end return 1");
    let text = text.replace("{t: ", "{t: \"").replace("return 1}", "return 1\"}");
    let bench = bench(generation(&text, &settings, &[&file, &tcp]), 1);
    assert_eq!(bench.intake.offer(transactions(0..3)).await, Ok(()));
    assert_eq!(bench.intake.offer(transactions(3..4)).await, Ok(()));
    let even: Vec<_> = [edited(0..1), edited(2..3)].concat();
    assert_eq!((file.take(), tcp.take()), (plain(0..4), even));
    assert_eq!((file.reserved(), tcp.reserved()), ((0, 0), (0, 0)));
    assert_eq!(bench.workers.worker_stats().dropped.load(std::sync::atomic::Ordering::Relaxed), 2);
    assert_eq!(bench.live.load().program.steps[1].breakers()[0].totals().errors(), 2);
}

/// Scenario: a plugin that is not required, whose queue has room for two entries, before one that is; batches that must be
/// accepted as a whole and ones that need not, and one that the required queue refuses.
/// Guarantees: the queue that is full gets the first messages of a batch, its other messages are dropped and counted, and
/// all other plugins get theirs, with the edits of the one before; what is refused is neither dropped nor kept.
#[tokio::test]
async fn a_plugin_that_is_not_required_stops_no_other() {
    for ordered in [false, true] {
        let (tcp, file) = (Fake::new(2), Fake::new(5));
        let text = TWO.replace("file-log, config: {path: /tmp/x}", "syslog");
        let mut generation = generation(&text, &patient(), &[&tcp, &file]);
        let (first, second) = (&generation.program.steps[0].label, &generation.program.steps[1].label);
        assert_eq!((&**first, &**second), ("tcp-log", "syslog"));
        generation.required[0] = false;
        let bench = bench(generation, 1);
        let send = async |range: std::ops::Range<usize>| match ordered {
            false => bench.intake.offer(transactions(range)).await,
            true => deliver(bench.intake.clone(), transactions(range)).await.map_err(|(_, error)| error),
        };
        assert_eq!(send(0..1).await, Ok(()));
        assert_eq!(send(1..4).await, Ok(()));
        assert_eq!(send(4..5).await, Ok(()));
        assert_eq!((tcp.take(), file.take()), (edited(0..2), edited(0..5)));
        assert_eq!((tcp.with(|inner| inner.dropped), file.with(|inner| inner.dropped)), (3, 0));
        assert_eq!((tcp.with(|inner| inner.refusals), tcp.reserved(), file.reserved()), (0, (0, 0), (0, 0)));
        file.with(|inner| inner.max_entries = 1);
        assert!(bench.intake.offer(transactions(5..7)).await.is_err());
        assert_eq!((tcp.take(), tcp.with(|inner| inner.dropped), tcp.reserved()), (vec![], 3, (0, 0)));
    }
}

/// Scenario: the intake is closed while batches are in flight.
/// Guarantees: those are answered, later ones are refused, and the workers end when the last handle is dropped.
#[tokio::test]
async fn shutting_down() {
    let (file, tcp) = (Fake::new(100), Fake::new(100));
    tcp.with(|inner| inner.holds = true);
    let Bench { workers, intake, live, .. } = bench(generation(TWO, &patient(), &[&file, &tcp]), 3);
    let handle = intake.clone();
    let offer = tokio::spawn(async move { handle.offer(transactions(0..5)).await });
    until(|| !tcp.with(|inner| inner.receipts.is_empty())).await;
    intake.close();
    assert!(intake.is_closed());
    assert_eq!(intake.offer(transactions(5..6)).await, Err(IntakeError::ShuttingDown));
    assert_eq!(deliver(intake.clone(), transactions(5..6)).await, Err((0, IntakeError::ShuttingDown)));
    tcp.with(|inner| inner.receipts.clear());
    assert_eq!(offer.await.expect("no panic"), Ok(()));
    drop(intake);
    tokio::task::spawn_blocking(move || workers.join()).await.expect("no panic");
    assert_eq!((file.take(), tcp.take()), (plain(0..5), edited(0..5)));
    assert_eq!(Arc::strong_count(&live), 1, "the workers drop their references");
}

/// Scenario: the intake is closed while a sender waits for room.
/// Guarantees: the sender gets the error and the number of accepted transactions.
#[tokio::test]
async fn closing_ends_a_waiting_delivery() {
    let (file, tcp) = (Fake::new(100), Fake::new(2));
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    let intake = bench.intake.clone();
    let delivery = tokio::spawn(async move { deliver(intake, transactions(0..5)).await });
    until(|| tcp.with(|inner| inner.entries.len()) == 2).await;
    bench.intake.close();
    assert_eq!(delivery.await.expect("no panic"), Err((2, IntakeError::ShuttingDown)));
    assert_eq!((file.take(), tcp.take()), (plain(0..2), edited(0..2)));
}

/// Scenario: a queue panics once.
/// Guarantees: the batch is refused, all reservations are released, and the worker processes the next batch.
#[tokio::test]
async fn a_panic_costs_one_batch() {
    let (file, tcp) = (Fake::new(10), Fake::new(10));
    file.with(|inner| inner.panics = true);
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    assert!(bench.intake.offer(transactions(0..2)).await.is_err());
    until(|| (file.reserved(), tcp.reserved()) == ((0, 0), (0, 0))).await;
    assert_eq!(bench.intake.offer(transactions(2..3)).await, Ok(()));
    assert_eq!((file.take(), tcp.take()), (plain(2..3), edited(2..3)));
}

/// Scenario: snippets that exceed the memory of a VM.
/// Guarantees: the workers do not start, and the error names the setting to raise.
#[test]
fn start_errors_name_the_setting() {
    let mut settings = patient();
    settings.lua.memory_limit = 64 << 10;
    let queue = Fake::new(1);
    let live: Live = Arc::new(ArcSwap::from_pointee(generation(TWO, &settings, &[&queue, &queue])));
    let error =
        Workers::start(&live, 2, &Clock::start().expect("a thread"), &ThreadFilter::none()).err().expect("too small");
    assert!(error.contains("lua.memory_limit"), "{error}");
}

/// Scenario: one worker is in the middle of a batch of megabytes; another sender hands in one transaction.
/// Guarantees: it is answered before the large batch, and both are in the queues, each as a whole. (The large batch may be
/// done before the other arrives; of several, one is not.)
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_batch_does_not_wait_for_a_large_one() {
    let (file, tcp) = (Fake::new(1_000_000), Fake::new(1_000_000));
    let bench = bench(generation(TWO, &patient(), &[&file, &tcp]), 1);
    for _ in 0..50 {
        let large: Vec<_> =
            (0..2000).map(|number| transaction(&json!({"n": number, "padding": "x".repeat(2000)}))).collect();
        let noisy = bench.intake.for_sender(Some([192, 0, 2, 1].into()));
        let sending = tokio::spawn(async move { noisy.offer(large).await });
        let started = &bench.workers.worker_stats().heartbeats[0];
        let before = started.started();
        while started.started() == before && !sending.is_finished() {
            tokio::task::yield_now().await;
        }
        let quiet = bench.intake.for_sender(Some([192, 0, 2, 2].into()));
        quiet.offer(transactions(0..1)).await.expect("room");
        let overtook = !sending.is_finished();
        sending.await.expect("no panic").expect("room");
        let entries = file.take();
        assert_eq!(entries.len(), 2001);
        if overtook && entries[0] == plain(0..1)[0] {
            assert!(entries[1..].iter().all(|entry| entry.len() > 2000));
            assert_eq!((file.reserved(), tcp.reserved()), ((0, 0), (0, 0)));
            return;
        }
    }
    panic!("the small batch always waits for the large one");
}
