//! A receiver that is unavailable for a long time, and a backlog far larger than memory. `make soak` uses a million
//! messages.

use std::fmt::Write as _;
use std::io::{BufRead, BufReader};
use std::net::{Shutdown, TcpStream};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::thread::{self, JoinHandle};
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use serde_json::json;

use crate::service::{Client, Home, configuration, free_port, transaction, wait_until};

/// Transactions per request.
const BATCH: u64 = 200;
/// Limit on the service's resident memory, in MB.
const MEMORY: f64 = 300.0;

/// Number of messages sent while the receiver is unavailable.
fn messages() -> u64 {
    std::env::var("SOAK_MESSAGES").map_or(60_000, |number| number.parse().unwrap())
}

/// A receiver of lines that keeps only what it needs to check them.
struct Receiver {
    port: u16,
    shared: Arc<Shared>,
    running: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    leaving: AtomicBool,
    open: Mutex<Option<TcpStream>>,
    /// The highest id received with no id missing before it.
    whole: AtomicU64,
    duplicates: AtomicU64,
    /// The first message that arrived out of order.
    wrong: Mutex<Option<(u64, u64)>>,
}

impl Receiver {
    fn start(port: u16, shared: &Arc<Shared>) -> Self {
        let listener = logphase_net::testing::listen_on(port);
        shared.leaving.store(false, Ordering::SeqCst);
        let own = shared.clone();
        let running = thread::spawn(move || {
            while let Ok((stream, _)) = listener.accept() {
                *own.open.lock() = Some(stream.try_clone().unwrap());
                if own.leaving.load(Ordering::SeqCst) {
                    return;
                }
                own.read(stream);
            }
        });
        Self { port, shared: shared.clone(), running: Some(running) }
    }

    /// Stops after it has read everything that the kernel has acknowledged.
    fn shut_down(mut self) {
        self.shared.leaving.store(true, Ordering::SeqCst);
        if let Some(stream) = self.shared.open.lock().take() {
            let _ = stream.shutdown(Shutdown::Write);
        }
        let _ = TcpStream::connect(("127.0.0.1", self.port));
        self.running.take().expect("it is there").join().unwrap();
    }
}

impl Shared {
    fn read(&self, stream: TcpStream) {
        let mut lines = BufReader::with_capacity(1 << 20, stream);
        let mut line = Vec::new();
        while let Ok(1..) = lines.read_until(b'\n', &mut line) {
            if line.ends_with(b"\n") {
                self.take(&line);
            }
            line.clear();
        }
    }

    fn take(&self, line: &[u8]) {
        const MARK: &[u8] = b"\"id\":\"";
        let at = line.windows(MARK.len()).position(|window| window == MARK).expect("a message has an id") + MARK.len();
        let digits = line[at..].iter().take_while(|byte| byte.is_ascii_digit());
        let id = digits.fold(0, |id, digit| id * 10 + u64::from(digit - b'0'));
        let whole = self.whole.load(Ordering::SeqCst);
        if id == whole + 1 {
            self.whole.store(id, Ordering::SeqCst);
        } else if id <= whole {
            self.duplicates.fetch_add(1, Ordering::SeqCst);
        } else {
            self.wrong.lock().get_or_insert((whole, id));
        }
    }

    fn whole(&self) -> u64 {
        self.whole.load(Ordering::SeqCst)
    }
}

/// Sends transactions, each number once and in order; sends refused ones again.
struct Sender {
    client: Client,
    template: Vec<String>,
    next: u64,
}

impl Sender {
    fn new(port: u16) -> Self {
        const PLACE: u64 = 7_777_777;
        let text = transaction(PLACE).to_string();
        let template = text.split(&PLACE.to_string()).map(str::to_owned).collect();
        Self { client: Client::connect(port).unwrap(), template, next: 1 }
    }

    fn body(&self, ids: Range<u64>) -> String {
        let mut body = String::new();
        for id in ids {
            for (at, part) in self.template.iter().enumerate() {
                if at > 0 {
                    write!(body, "{id}").unwrap();
                }
                body.push_str(part);
            }
            body.push('\n');
        }
        body
    }

    fn send_batch(&mut self) {
        let body = self.body(self.next..self.next + BATCH);
        loop {
            let answer = self.client.post_with("Content-Type: application/x-ndjson\r\n", body.as_bytes()).unwrap();
            match answer.status {
                200 => break,
                429 => thread::sleep(Duration::from_millis(2)),
                other => panic!("{other}: {}", answer.text()),
            }
        }
        self.next += BATCH;
    }

    /// Sends this many transactions as fast as possible; returns the rate accepted per second.
    fn send(&mut self, transactions: u64) -> f64 {
        let (start, end) = (Instant::now(), self.next + transactions);
        let first = self.next;
        while self.next < end {
            self.send_batch();
        }
        (self.next - first) as f64 / start.elapsed().as_secs_f64()
    }
}

/// The peak resident memory of a watched process, in MB.
struct Watch {
    stop: Arc<AtomicBool>,
    peak: JoinHandle<f64>,
}

impl Watch {
    fn start(process: u32) -> Self {
        let stop = Arc::new(AtomicBool::new(false));
        let ended = stop.clone();
        let peak = thread::spawn(move || {
            let mut peak: f64 = 0.0;
            while !ended.load(Ordering::SeqCst) {
                let status = std::fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
                let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
                let kilobytes = resident.and_then(|line| line.split_ascii_whitespace().next()?.parse().ok());
                peak = peak.max(kilobytes.unwrap_or(0.0) / 1000.0);
                thread::sleep(Duration::from_millis(20));
            }
            peak
        });
        Self { stop, peak }
    }

    fn finish(self) -> f64 {
        self.stop.store(true, Ordering::SeqCst);
        self.peak.join().unwrap()
    }
}

/// Scenario: messages flow; the receiver stops while many more arrive, and returns while some still arrive.
/// Guarantees: memory stays bounded, no message is lost, messages arrive in order, and the queue's files are removed.
/// The test prints the delivery rate of the backlog beside the rate before.
#[test]
fn a_receiver_that_is_away_for_long() {
    let shared = Arc::new(Shared::default());
    let port = free_port();
    let config = json!({"host": "127.0.0.1", "port": port});
    let kong = configuration(&json!([{"name": "tcp-log", "config": config}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1");
    let mut service = home.set("LOGPHASE_QUEUE_MAX_DISK_BYTES", "4GiB").start();
    let watch = Watch::start(service.id());
    let mut sender = Sender::new(service.home.http);

    let receiver = Receiver::start(port, &shared);
    sender.send(messages() / 20);
    let (start, before) = (Instant::now(), shared.whole());
    sender.send(messages() / 5);
    wait_until("all messages have arrived", || shared.whole() == sender.next - 1);
    let normal = (shared.whole() - before) as f64 / start.elapsed().as_secs_f64();
    receiver.shut_down();

    let taken = sender.send(messages());
    let waiting = sender.next - 1 - shared.whole();
    assert!(waiting >= messages(), "{waiting} wait");

    let receiver = Receiver::start(port, &shared);
    let (start, before) = (Instant::now(), shared.whole());
    // New traffic meanwhile, at a fifth of the normal rate.
    let pause = Duration::from_secs_f64(BATCH as f64 / normal * 5.0);
    let mut progress = (Instant::now(), before);
    while shared.whole() < sender.next - 1 - 5 * BATCH {
        thread::sleep(pause);
        sender.send_batch();
        if shared.whole() > progress.1 {
            progress = (Instant::now(), shared.whole());
        }
        assert!(progress.0.elapsed() < Duration::from_secs(30), "nothing arrives after {}", shared.whole());
    }
    let drained = (shared.whole() - before) as f64 / start.elapsed().as_secs_f64();
    wait_until("all messages have arrived", || shared.whole() == sender.next - 1);
    assert_eq!(*shared.wrong.lock(), None, "a message arrived out of order");
    let queues = service.home.path("data/queues");
    let files = || std::fs::read_dir(&queues).unwrap().flatten().filter(|entry| entry.path().is_dir());
    let segments = || files().flat_map(|dir| std::fs::read_dir(dir.path()).unwrap()).flatten();
    wait_until("all but the last file is removed", || {
        segments().filter(|file| file.path().extension().is_some_and(|suffix| suffix == "seg")).count() <= 1
    });
    let memory = watch.finish();
    assert_eq!(service.stop(), 0);
    receiver.shut_down();
    eprintln!(
        "normal rate {normal:.0}/s; {waiting} messages waited, accepted at {taken:.0}/s; then {drained:.0}/s arrived, {:.2} of normal; \
         {} duplicates; peak memory {memory:.0} MB",
        drained / normal,
        shared.duplicates.load(Ordering::SeqCst),
    );
    assert!(memory < MEMORY, "{memory} MB");
}
