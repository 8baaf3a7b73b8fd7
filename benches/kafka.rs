//! Throughput of the service into a Kafka topic, compared with Kafka's `kafka-producer-perf-test`.
//!
//! Both send records of the same messages, with the same compression and acks=all, to topics of one broker on this
//! machine, in turns. Neither figure includes the start. The perf-test reports its own figure for the records after the
//! warm-up of Java. The service's time is the run time of `logphase run --stdin`, which ends when the last record is
//! acknowledged, minus that of a run with one transaction; records that its queue can accept while it connects are not
//! counted. The service also runs three Lua fields. Standard input is one connection, and a connection has one worker to
//! keep the order; proxies open several connections, as the TCP rows do. All processes share the cores: compare the
//! ratios, on an otherwise idle machine.
//!
//! Then it measures the other direction, the Kafka input: see `consume`.
//!
//! `cargo bench --bench kafka` (or `make bench`); `cargo bench --bench kafka -- input` for the input alone.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a benchmark reports on standard output")]
#![allow(clippy::unwrap_used, reason = "a benchmark fails by panicking and says why")]
#![allow(missing_docs, reason = "a benchmark has no callers")]

#[path = "../tests/kafka/broker.rs"]
#[allow(dead_code, reason = "tests do more with a broker")]
mod broker;
#[path = "kafka/consume.rs"]
mod consume;

use std::io::{Read, Write};
use std::net::{Shutdown, TcpStream};
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::Instant;

use broker::{Broker, Ports};
use serde_json::{Value, json};

/// Number of different messages; each is sent [`TIMES`] times.
const MESSAGES: usize = 20_000;
/// How often each message is sent in a round.
const TIMES: usize = 15;
/// Warm-up records for Java in each round.
const WARM_UP: usize = 50_000;
/// Bound of the service's queue (`queue.max_entries`), which may fill before the first record is sent.
const QUEUE: usize = 10_000;
/// Rounds of each row.
const ROUNDS: usize = 5;
/// Partitions of each topic.
const PARTITIONS: i32 = 4;
/// Compression of both producers.
const COMPRESSION: &str = "lz4";

/// Rows of the perf-test: Kafka's defaults, and batches as large as the requests of the service.
const PERF_TEST_ROWS: [(&str, &[&str]); 2] = [
    ("kafka-producer-perf-test", &[]),
    ("... with batches of 1 MiB", &["batch.size=1048576", "linger.ms=5", "buffer.memory=67108864"]),
];

/// Rows of the service: name, durability of the queue (on disk, each message is synced before it is accepted), and number
/// of TCP connections; 0 is standard input.
const SERVICE_ROWS: [(&str, &str, usize); 4] = [
    ("logphase run --stdin, 3 fields", "memory", 0),
    ("... over 4 TCP connections", "memory", 4),
    ("... --stdin, queue on disk", "disk", 0),
    ("... over 4 TCP connections, on disk", "disk", 4),
];

fn main() {
    // `cargo test` also runs benchmarks, with `--test`; this one contains no tests.
    if std::env::args().any(|argument| argument == "--test") {
        return;
    }
    let home = tempfile::TempDir::new().unwrap();
    let transactions: Vec<u8> = transactions();
    if std::env::args().any(|argument| argument == "input") {
        let broker = Broker::start(ports(), &["-Xms1g", "-Xmx1g"]);
        return consume::run(home.path(), &broker, &transactions);
    }
    let payload = home.path().join("payload");
    // The perf-test sends the messages that the service makes from the transactions.
    logphase(home.path(), &plugin("file-log", &json!({"path": payload})), &transactions, 1, 0);
    let size = std::fs::metadata(&payload).unwrap().len() as usize / MESSAGES;
    let broker = Broker::start(ports(), &["-Xms1g", "-Xmx1g"]);
    println!(
        "{} records of {size} bytes a round, {COMPRESSION}, acks=all, {PARTITIONS} partitions, median of {ROUNDS} rounds",
        MESSAGES * TIMES
    );
    let mut rates = vec![Vec::new(); PERF_TEST_ROWS.len() + SERVICE_ROWS.len()];
    for round in 0..ROUNDS {
        for (at, rates) in rates.iter_mut().enumerate() {
            let topic = format!("round-{round}-{at}");
            broker.create_topic(&topic, PARTITIONS, &[]);
            rates.push(match PERF_TEST_ROWS.get(at) {
                Some((_, properties)) => perf_test(&broker, &topic, &payload, properties),
                None => service(home.path(), &broker, &topic, &SERVICE_ROWS[at - PERF_TEST_ROWS.len()], &transactions),
            });
        }
    }
    report(&mut rates, size);
    consume::run(home.path(), &broker, &transactions);
}

fn report(rates: &mut [Vec<f64>], size: usize) {
    let medians: Vec<f64> = rates.iter_mut().map(|rates| median(rates)).collect();
    println!("\n{:<36} {:>12} {:>8} {:>18}", "into Kafka", "per second", "MB/s", "of perf-test's");
    let names = PERF_TEST_ROWS.iter().map(|(name, _)| name).chain(SERVICE_ROWS.iter().map(|(name, ..)| name));
    for (name, rate) in names.zip(&medians) {
        println!("{name:<36} {rate:>12.0} {:>8.1} {:>18.2}", rate * size as f64 / 1e6, rate / medians[0]);
    }
}

/// Records per second of the service.
fn service(home: &Path, broker: &Broker, topic: &str, row: &(&str, &str, usize), transactions: &[u8]) -> f64 {
    let (_, durability, connections) = *row;
    let servers = json!([{"host": "localhost", "port": broker.ports.plain}]);
    let queue = json!({"durability": durability});
    let config = json!({"bootstrap_servers": servers, "topic": topic, "compression": COMPRESSION, "queue": queue});
    let kong = plugin("kafka-log", &config);
    let one = transactions.split_inclusive(|byte| *byte == b'\n').next().expect("a line");
    let start = logphase(home, &kong, one, 1, connections.min(1));
    let seconds = logphase(home, &kong, transactions, TIMES, connections) - start;
    assert_eq!(records(broker, topic), MESSAGES * TIMES + 1);
    // A queue on disk has no such bound; records accepted while connecting lower the service's figure.
    (MESSAGES * TIMES - QUEUE) as f64 / seconds
}

fn median(values: &mut [f64]) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn ports() -> Ports {
    // All guards exist at the same time, so that the ports differ.
    let listeners = [(); 4].map(|()| std::net::TcpListener::bind(("127.0.0.1", 0)).unwrap());
    let [plain, sasl, tls, controller] = listeners.map(|listener| listener.local_addr().unwrap().port());
    Ports { plain, sasl, tls, controller }
}

/// A configuration with this plugin and three Lua fields.
fn plugin(name: &str, config: &Value) -> Value {
    let mut config = config.clone();
    config["custom_fields_by_lua"] = json!({
        "agent": "return kong.request.get_header('user-agent')",
        "failed": "return kong.response.get_status() >= 500",
        "route": "return nil",
    });
    json!({"_format_version": "3.0", "plugins": [{"name": name, "config": config}]})
}

/// Runs the service over the transactions, `times` times; returns the seconds until all were delivered.
fn logphase(home: &Path, kong: &Value, transactions: &[u8], times: usize, connections: usize) -> f64 {
    std::fs::write(home.join("kong.yml"), kong.to_string()).unwrap();
    let log = home.join("service.log");
    let address = format!("127.0.0.1:{}", ports().plain);
    let start = Instant::now();
    let mut service = Command::new(env!("CARGO_BIN_EXE_logphase"));
    service.args(["run", "kong.yml"]).current_dir(home).env("LOGPHASE_DATA_DIR", home.join("data"));
    service.env("LOGPHASE_HTTP_LISTEN", "").env("LOGPHASE_STATUS_LISTEN", "").env("LOGPHASE_SHUTDOWN_TIMEOUT", "600");
    service.stderr(std::fs::File::create(&log).unwrap());
    let mut child = match connections {
        0 => service.arg("--stdin").stdin(Stdio::piped()).spawn().unwrap(),
        _ => service.env("LOGPHASE_TCP_LISTEN", &address).spawn().unwrap(),
    };
    match child.stdin.take() {
        Some(mut stdin) => (0..times).for_each(|_| stdin.write_all(transactions).unwrap()),
        None => {
            send(&address, transactions, times, connections);
            let pid = rustix::process::Pid::from_child(&child);
            rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
        }
    }
    let status = child.wait().unwrap();
    let seconds = start.elapsed().as_secs_f64();
    assert!(status.success(), "{}", std::fs::read_to_string(log).unwrap());
    seconds
}

/// Sends each connection's share of the transactions, `times` times; returns when the service has accepted all.
fn send(address: &str, transactions: &[u8], times: usize, connections: usize) {
    let lines: Vec<&[u8]> = transactions.split_inclusive(|byte| *byte == b'\n').collect();
    std::thread::scope(|scope| {
        for share in lines.chunks(lines.len().div_ceil(connections)) {
            scope.spawn(move || {
                let share = share.concat();
                let mut stream = connect(address);
                (0..times).for_each(|_| stream.write_all(&share).unwrap());
                stream.shutdown(Shutdown::Write).unwrap();
                // The service closes its side when all messages are in the queue.
                assert_eq!(stream.read(&mut [0]).unwrap(), 0);
            });
        }
    });
}

/// Connects to the service, and waits until it listens.
fn connect(address: &str) -> TcpStream {
    let start = Instant::now();
    loop {
        match TcpStream::connect(address) {
            Ok(stream) => return stream,
            Err(error) => assert!(start.elapsed().as_secs() < 60, "cannot connect to {address}: {error}"),
        }
        std::thread::sleep(std::time::Duration::from_millis(1));
    }
}

/// Records per second as measured by the perf-test after its warm-up.
fn perf_test(broker: &Broker, topic: &str, payload: &Path, properties: &[&str]) -> f64 {
    let total = MESSAGES * TIMES + WARM_UP;
    let done = broker
        .java("org.apache.kafka.tools.ProducerPerformance")
        .args(["--bootstrap-server", &broker.address(), "--topic", topic, "--throughput", "-1"])
        .args(["--num-records", &total.to_string(), "--warmup-records", &WARM_UP.to_string()])
        .arg("--payload-file")
        .arg(payload)
        .args(["--command-property", "acks=all", &format!("compression.type={COMPRESSION}")])
        .args(properties)
        .output()
        .unwrap();
    let text = String::from_utf8_lossy(&done.stdout);
    assert!(done.status.success(), "{text}{}", String::from_utf8_lossy(&done.stderr));
    // The last line covers all records after the warm-up.
    let last = text.lines().rfind(|line| line.contains("records/sec")).unwrap_or_else(|| panic!("no rate: {text}"));
    let rate = last.split(" records/sec").next().and_then(|before| before.rsplit(' ').next());
    rate.and_then(|rate| rate.parse().ok()).unwrap_or_else(|| panic!("no rate: {last}"))
}

/// Number of records in a topic.
fn records(broker: &Broker, topic: &str) -> usize {
    let mut offsets = broker.java("org.apache.kafka.tools.GetOffsetShell");
    let done = offsets.args(["--bootstrap-server", &broker.address(), "--topic", topic]).output().unwrap();
    let text = String::from_utf8(done.stdout).unwrap();
    text.lines().filter_map(|line| line.rsplit(':').next()?.parse::<usize>().ok()).sum()
}

/// Kong log objects of about 2 kB, one per line, with different numbers.
fn transactions() -> Vec<u8> {
    let sample: Value =
        serde_json::from_str(include_str!("../tests/conformance/003-header-added.json")).expect("a case");
    let mut transaction = sample["transaction"].clone();
    let mut lines = Vec::new();
    for number in 0..MESSAGES {
        transaction["request"]["id"] = format!("{number:032x}").into();
        transaction["response"]["status"] = [200, 404, 503][number % 3].into();
        transaction["started_at"] = (1_726_783_839_538_u64 + number as u64).into();
        writeln!(lines, "{transaction}").unwrap();
    }
    lines
}
