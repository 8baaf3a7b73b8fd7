//! Cost of a queue on disk, compared with one in memory and with a plain file in the same run. Machines are noisy:
//! compare the ratios.
//!
//! "Through the service" is the built program with one tcp-log and a receiver that discards everything, or with one file-log,
//! whose file is synced if its queue is on disk. Each client posts
//! prepared requests on its own connection, as fast as they are answered, and repeats a request after status 429.
//! Rounds of all rows take turns, each with a new process; each figure is the median of its rounds.
//!
//! "Append alone" is the queue without the service: entries are appended in batches until all of a round are
//! acknowledged; there is no reader. The plain file is written in blocks and synced after the same number of bytes.
//!
//! `cargo bench --bench queue` (or `make bench`).

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking and says why")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

use std::fs::File;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::os::unix::fs::FileExt;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, mpsc};
use std::thread;
use std::time::{Duration, Instant};

use bytes::Bytes;
use logphase_queue::{
    Bounds, Budget, DurableBounds, DurableOptions, Flusher, MemoryQueue, Mode, Overflow, Queue, Reader, Receipt,
    Signals,
};
use serde_json::{Value, json};

#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

/// Number of transactions in a request.
const BATCH: usize = 100;
/// Rounds of each row.
const ROUNDS: usize = 5;
/// Duration of the measurement in a round; the warm-up before it takes the same time.
const TIME: Duration = Duration::from_secs(2);

/// Plugin, name, settings, and number of clients.
type Row = (&'static str, &'static str, &'static [(&'static str, &'static str)], usize);

const MEMORY: &[(&str, &str)] = &[("QUEUE_DURABILITY", "memory")];
const NO_SPILL: &[(&str, &str)] = &[("QUEUE_DURABILITY", "memory"), ("QUEUE_SPILL", "false")];
const DISK: &[(&str, &str)] = &[("QUEUE_DURABILITY", "disk")];

const ROWS: [Row; 11] = [
    ("tcp-log", "memory, 64 clients", MEMORY, 64),
    ("tcp-log", "memory, spill: false, 64 clients", NO_SPILL, 64),
    ("tcp-log", "disk, sync: always, 64 clients", DISK, 64),
    ("tcp-log", "disk, sync: interval, 64 clients", &[("QUEUE_DURABILITY", "disk"), ("QUEUE_SYNC", "interval")], 64),
    ("tcp-log", "memory, 1 client", MEMORY, 1),
    ("tcp-log", "memory, spill: false, 1 client", NO_SPILL, 1),
    ("tcp-log", "disk, sync: always, 1 client", DISK, 1),
    ("file-log", "memory, 64 clients", MEMORY, 64),
    ("file-log", "disk, sync: always, 64 clients", DISK, 64),
    ("file-log", "memory, 1 client", MEMORY, 1),
    ("file-log", "disk, sync: always, 1 client", DISK, 1),
];

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    memory_alone();
    through_the_service();
    append_alone();
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

// --- queues in memory alone ---

/// Batches in a round, each of [`BATCH`] entries.
const BATCHES: usize = 20_000;

/// A queue in memory whose reader keeps up: one that may spill, and one that may not.
fn memory_alone() {
    let entries = transactions(BATCH);
    let home = tempfile::TempDir::new().unwrap();
    let budget = || Arc::new(Budget::new(128 << 20));
    let flusher = Flusher::new(budget(), budget(), Signals::default());
    let bounds = DurableBounds {
        max_entries: Some(10_000),
        max_bytes: None,
        max_disk_bytes: 4 << 30,
        overflow: Overflow::Block,
    };
    let options = DurableOptions { bounds, mode: Mode::Spill };
    let (spilling, _) = flusher.open(&home.path().join("queue"), options).unwrap();
    let plain = MemoryQueue::new(Bounds::default(), budget(), Signals::default());
    let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
    let (mut spills, mut stays, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..2 * ROUNDS {
        let (one, other) = (pass(&runtime, &*spilling, &entries), pass(&runtime, &plain, &entries));
        spills.push(one);
        stays.push(other);
        ratios.push(one / other);
    }
    println!(
        "in memory, reserved, appended, leased and committed in batches of {BATCH}: {:.0} ns for an entry if the queue may \
        spill, {:.0} ns if not, ratio {:.2}",
        median(&mut spills),
        median(&mut stays),
        median(&mut ratios)
    );
    flusher.shut_down();
}

/// Nanoseconds for an entry to pass a queue.
fn pass(runtime: &tokio::runtime::Runtime, queue: &(impl Queue + Reader), entries: &[Bytes]) -> f64 {
    let size: usize = entries.iter().map(Bytes::len).sum();
    let receipt = Receipt::new(|| ());
    let start = Instant::now();
    for _ in 0..BATCHES {
        queue.reserve(BATCH, size).unwrap();
        queue.append(entries.to_vec(), size, &receipt);
        let leased = runtime.block_on(queue.lease(BATCH, usize::MAX));
        assert_eq!(leased.len(), BATCH);
        queue.commit(BATCH);
    }
    start.elapsed().as_secs_f64() * 1e9 / (BATCHES * BATCH) as f64
}

// --- through the service ---

fn through_the_service() {
    let transactions = transactions(BATCH);
    let size = transactions.iter().map(Bytes::len).sum::<usize>() / BATCH;
    let request = request(&transactions);
    let receiver = Receiver::start();
    println!("requests of {BATCH} transactions of {size} bytes, median of {ROUNDS} rounds of {TIME:?}");
    let mut rates = vec![(Vec::new(), Vec::new()); ROWS.len()];
    for _ in 0..ROUNDS {
        for ((plugin, _, settings, clients), (rates, times)) in ROWS.iter().zip(&mut rates) {
            let (rate, time) = round(&request, plugin, receiver.port, settings, *clients);
            rates.push(rate);
            times.push(time);
        }
    }
    let medians: Vec<_> = rates.iter_mut().map(|(rates, times)| (median(rates), median(times))).collect();
    println!("\n{:<46} {:>12} {:>10} {:>8}", "through the service", "per second", "of memory", "CPU µs");
    for ((plugin, name, _, clients), (rate, time)) in ROWS.iter().zip(&medians) {
        let memory = ROWS.iter().position(|row| row.0 == *plugin && row.3 == *clients).expect("the first of its kind");
        let name = format!("{plugin}, {name}");
        println!("{name:<46} {rate:>12.0} {:>10.2} {time:>8.1}", rate / medians[memory].0);
    }
}

/// Transactions per second that are answered with status 200, and microseconds of CPU time for each.
fn round(request: &Bytes, plugin: &str, receiver: u16, settings: &[(&str, &str)], clients: usize) -> (f64, f64) {
    let home = tempfile::TempDir::new().unwrap();
    let service = Service::start(home.path(), plugin, receiver, settings);
    let (stop, taken) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicU64::new(0)));
    let (port, ended) = (service.port, stop.clone());
    let (request, counter) = (request.clone(), taken.clone());
    // One thread for all clients, so that they use little CPU time.
    let driver = thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut tasks = tokio::task::JoinSet::new();
            for _ in 0..clients {
                tasks.spawn(client(port, request.clone(), ended.clone(), counter.clone()));
            }
            while let Some(done) = tasks.join_next().await {
                done.unwrap();
            }
        });
    });
    thread::sleep(TIME);
    let (start, before, used) = (Instant::now(), taken.load(Ordering::Relaxed), service.cpu_time());
    thread::sleep(TIME);
    let done = (taken.load(Ordering::Relaxed) - before) as f64;
    let (rate, time) = (done / start.elapsed().as_secs_f64(), (service.cpu_time() - used) * 1e6 / done);
    stop.store(true, Ordering::Relaxed);
    driver.join().unwrap();
    (rate, time)
}

async fn client(port: u16, request: Bytes, stop: Arc<AtomicBool>, taken: Arc<AtomicU64>) {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = tokio::net::TcpStream::connect(("127.0.0.1", port)).await.unwrap();
    stream.set_nodelay(true).unwrap();
    let mut answer = vec![0; 4096];
    while !stop.load(Ordering::Relaxed) {
        stream.write_all(&request).await.unwrap();
        // A response arrives in one piece.
        let read = stream.read(&mut answer).await.unwrap();
        if answer[..read].starts_with(b"HTTP/1.1 200") {
            taken.fetch_add(BATCH as u64, Ordering::Relaxed);
        } else {
            assert!(answer[..read].starts_with(b"HTTP/1.1 429"), "{}", String::from_utf8_lossy(&answer[..read]));
            tokio::time::sleep(Duration::from_millis(2)).await;
        }
    }
}

fn request(transactions: &[Bytes]) -> Bytes {
    let body = transactions.join(&b'\n');
    let length = body.len();
    let head = format!(
        "POST / HTTP/1.1\r\nHost: logphase\r\nContent-Type: application/x-ndjson\r\nContent-Length: {length}\r\n\r\n"
    );
    [head.as_bytes(), &body].concat().into()
}

/// The program with one plugin.
struct Service {
    child: Child,
    port: u16,
}

impl Service {
    fn start(home: &Path, plugin: &str, receiver: u16, settings: &[(&str, &str)]) -> Self {
        let config = match plugin {
            "tcp-log" => json!({"host": "127.0.0.1", "port": receiver}),
            _ => json!({"path": home.join("messages.log")}),
        };
        let kong = json!({"_format_version": "3.0", "plugins": [{"name": plugin, "config": config}]});
        std::fs::write(home.join("kong.yml"), kong.to_string()).unwrap();
        let mut command = Command::new(env!("CARGO_BIN_EXE_logphase"));
        command.args(["run", "kong.yml"]).current_dir(home).env("LOGPHASE_DATA_DIR", home.join("data"));
        command.env("LOGPHASE_HTTP_LISTEN", "127.0.0.1:0").env("LOGPHASE_STATUS_LISTEN", "");
        // Only the bounds in bytes apply, which are the same for both queues.
        command.env("LOGPHASE_QUEUE_MAX_ENTRIES", "1000000");
        command.envs(settings.iter().map(|(name, value)| (format!("LOGPHASE_{name}"), value)));
        let mut child = command.stderr(Stdio::piped()).spawn().unwrap();
        let (tell, listening) = mpsc::channel();
        let log = BufReader::new(child.stderr.take().unwrap());
        thread::spawn(move || {
            for line in log.lines().map_while(Result::ok) {
                if let Some((_, address)) = line.split_once("listening: http://127.0.0.1:") {
                    let digits: String = address.chars().take_while(char::is_ascii_digit).collect();
                    let _ = tell.send(digits.parse().unwrap());
                }
            }
        });
        let port = listening.recv_timeout(Duration::from_secs(30)).expect("the service starts");
        Self { child, port }
    }

    /// Seconds of CPU time that it has used: the 14th and the 15th field of proc_pid_stat(5), in hundredths.
    fn cpu_time(&self) -> f64 {
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let (_, fields) = stat.rsplit_once(") ").unwrap();
        fields.split(' ').skip(11).take(2).map(|ticks| ticks.parse::<f64>().unwrap() / 100.0).sum()
    }
}

impl Drop for Service {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Reads and discards everything.
struct Receiver {
    port: u16,
}

impl Receiver {
    fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).unwrap();
        let port = listener.local_addr().unwrap().port();
        thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                thread::spawn(move || drain(stream));
            }
        });
        Self { port }
    }
}

fn drain(mut stream: TcpStream) {
    let mut buffer = vec![0; 1 << 20];
    while matches!(stream.read(&mut buffer), Ok(1..)) {}
}

// --- append alone ---

/// Number of entries in a round.
const ENTRIES: usize = 200_000;
/// Maximum number of unacknowledged batches.
const WAITING: usize = 64;

fn append_alone() {
    let entries = transactions(BATCH);
    let size = entries.iter().map(Bytes::len).sum::<usize>();
    let (mut ours, mut plain, mut ratios) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let queue = append(&entries);
        let file = plain_file(size);
        ratios.push(queue / file);
        ours.push(queue);
        plain.push(file);
    }
    println!("\n{} entries of {} bytes, {WAITING} batches of {BATCH} wait at a time", ENTRIES, size / BATCH);
    println!(
        "append alone {:.0} MB/s, a plain file {:.0} MB/s, ratio {:.2}",
        median(&mut ours),
        median(&mut plain),
        median(&mut ratios)
    );
}

/// Throughput of a queue in MB per second.
fn append(entries: &[Bytes]) -> f64 {
    let home = tempfile::TempDir::new().unwrap();
    let budget = || Arc::new(Budget::new(4 << 30));
    let flusher = Flusher::new(budget(), budget(), Signals::default());
    let bounds =
        DurableBounds { max_entries: None, max_bytes: None, max_disk_bytes: 4 << 30, overflow: Overflow::Block };
    let options = DurableOptions { bounds, mode: Mode::Sync };
    let (queue, _) = flusher.open(&home.path().join("queue"), options).unwrap();
    let size: usize = entries.iter().map(Bytes::len).sum();
    let start = Instant::now();
    for _ in 0..ENTRIES / BATCH / WAITING {
        let (tell, answered) = mpsc::channel();
        for _ in 0..WAITING {
            queue.reserve(BATCH, size).unwrap();
            let tell = tell.clone();
            queue.append(
                entries.to_vec(),
                size,
                &Receipt::new(move || {
                    let _ = tell.send(());
                }),
            );
        }
        (0..WAITING).for_each(|_| answered.recv().unwrap());
    }
    let rate = (ENTRIES / BATCH / WAITING * WAITING * size) as f64 / 1e6 / start.elapsed().as_secs_f64();
    flusher.shut_down();
    rate
}

/// Throughput in MB per second of files as large as segments, written in blocks of a megabyte and synced equally often.
fn plain_file(batch: usize) -> f64 {
    let home = tempfile::TempDir::new().unwrap();
    let block = vec![b'x'; 1 << 20];
    let round = batch * WAITING;
    let rounds = ENTRIES / BATCH / WAITING;
    let start = Instant::now();
    let (mut file, mut at) = (File::create(home.path().join("0")).unwrap(), 0);
    for number in 0..rounds {
        let mut left = round;
        while left > 0 {
            let part = left.min(block.len());
            file.write_all_at(&block[..part], at).unwrap();
            (left, at) = (left - part, at + part as u64);
        }
        file.sync_data().unwrap();
        if at > 60 << 20 {
            (file, at) = (File::create(home.path().join(number.to_string())).unwrap(), 0);
        }
    }
    (rounds * round) as f64 / 1e6 / start.elapsed().as_secs_f64()
}

/// Kong log objects of about 2 kB with different numbers.
fn transactions(count: usize) -> Vec<Bytes> {
    let sample: Value =
        serde_json::from_str(include_str!("../tests/conformance/003-header-added.json")).expect("a case");
    let mut transaction = sample["transaction"].clone();
    let make = |number: usize| {
        transaction["request"]["id"] = format!("{number:032x}").into();
        let mut line = Vec::new();
        write!(line, "{transaction}").unwrap();
        Bytes::from(line)
    };
    (0..count).map(make).collect()
}
