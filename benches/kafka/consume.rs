//! How fast one node consumes a topic: from Kafka to no plugin, to a file, and to another topic, with three fields.
//!
//! A round begins with a new group at the start of the topic. Its rate is that between the first records and the last one,
//! as the service's metrics count them: then all messages are in their queues. The CPU time is that of the whole service,
//! deliveries and syncs included, from the first record until everything is delivered.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use crate::broker::Broker;
use crate::{COMPRESSION, MESSAGES, PARTITIONS, TIMES, median, plugin, ports};

/// Rounds of each row.
const ROUNDS: usize = 3;
/// Ticks of a second in Linux's `/proc`.
const TICKS: f64 = 100.0;
const TOPIC: &str = "consumed";
const TOTAL: usize = MESSAGES * TIMES;

/// A round.
struct Round {
    per_second: f64,
    /// Microseconds of CPU time for each transaction.
    cpu: f64,
}

/// Measures all rows and prints them.
pub fn run(home: &Path, broker: &Broker, transactions: &[u8]) {
    fill(broker, transactions);
    let servers = json!([{"host": "localhost", "port": broker.ports.plain}]);
    let file = home.join("consumed.log");
    let file_log = |durability: &str| plugin("file-log", &json!({"path": file, "queue": {"durability": durability}}));
    let kafka_log = json!({"bootstrap_servers": servers, "topic": "produced", "compression": COMPRESSION});
    broker.create_topic("produced", PARTITIONS, &[]);
    let rows = [
        ("without a plugin", json!({"_format_version": "3.0"})),
        ("into a file, queue in memory", file_log("memory")),
        ("into a file, queue on disk", file_log("disk")),
        ("into a topic, queue on disk", plugin("kafka-log", &kafka_log)),
    ];
    let size = transactions.len() / MESSAGES;
    println!("\n{TOTAL} records of {size} bytes, {COMPRESSION}, {PARTITIONS} partitions, median of {ROUNDS} rounds");
    println!("\n{:<36} {:>12} {:>8} {:>18}", "from Kafka, 3 fields", "per second", "MB/s", "CPU \u{b5}s each");
    for (number, (name, kong)) in rows.iter().enumerate() {
        let mut rounds = Vec::new();
        for round in 0..ROUNDS {
            let _ = std::fs::remove_file(&file);
            rounds.push(consume(home, broker, kong, &format!("group-{number}-{round}")));
        }
        let rate = median(&mut rounds.iter().map(|round| round.per_second).collect::<Vec<_>>());
        let cpu = median(&mut rounds.iter().map(|round| round.cpu).collect::<Vec<_>>());
        println!("{name:<36} {rate:>12.0} {:>8.1} {cpu:>18.1}", rate * size as f64 / 1e6);
    }
}

/// Writes the transactions to the topic, one for each record, [`TIMES`] times.
fn fill(broker: &Broker, transactions: &[u8]) {
    broker.create_topic(TOPIC, PARTITIONS, &[]);
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("compression.type", COMPRESSION).set("linger.ms", "20");
    let producer: BaseProducer = config.create().unwrap();
    for (at, line) in (0..TIMES).flat_map(|_| transactions.split(|byte| *byte == b'\n')).enumerate() {
        if line.is_empty() {
            continue;
        }
        let partition = i32::try_from(at).unwrap() % PARTITIONS;
        let mut record = BaseRecord::<(), [u8]>::to(TOPIC).partition(partition).payload(line);
        while let Err((error, refused)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// Runs a node until it has consumed the topic.
fn consume(home: &Path, broker: &Broker, kong: &Value, group: &str) -> Round {
    std::fs::write(home.join("kong.yml"), kong.to_string()).unwrap();
    let log = home.join("service.log");
    let status = ports().plain;
    let mut service = Command::new(env!("CARGO_BIN_EXE_logphase"));
    service.args(["run", "kong.yml"]).current_dir(home).env("LOGPHASE_DATA_DIR", home.join("data"));
    service.env("LOGPHASE_HTTP_LISTEN", "").env("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    service.env("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", broker.address()).env("LOGPHASE_KAFKA_TOPICS", TOPIC);
    service.env("LOGPHASE_KAFKA_GROUP_ID", group).env("LOGPHASE_SHUTDOWN_TIMEOUT", "600");
    let mut child = service.stdout(Stdio::null()).stderr(std::fs::File::create(&log).unwrap()).spawn().unwrap();
    let deadline = Instant::now() + Duration::from_secs(600);
    let mut first = None;
    let (begun, seconds) = loop {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&log).unwrap());
        let received = received(status);
        match first {
            None if received > 0 => first = Some((Instant::now(), received, cpu_seconds(child.id()))),
            Some((since, before, cpu)) if received >= TOTAL => {
                let rate = (TOTAL - before) as f64 / since.elapsed().as_secs_f64();
                break ((before, cpu), rate);
            }
            _ => {}
        }
        std::thread::sleep(Duration::from_millis(10));
    };
    let pid = rustix::process::Pid::from_child(&child);
    while delivered(status) < TOTAL && kong["plugins"].is_array() {
        assert!(Instant::now() < deadline, "{}", std::fs::read_to_string(&log).unwrap());
        std::thread::sleep(Duration::from_millis(50));
    }
    let (before, cpu) = begun;
    let cpu = (cpu_seconds(child.id()) - cpu) * 1e6 / (TOTAL - before) as f64;
    rustix::process::kill_process(pid, rustix::process::Signal::TERM).unwrap();
    assert!(child.wait().unwrap().success(), "{}", std::fs::read_to_string(&log).unwrap());
    Round { per_second: seconds, cpu }
}

fn received(status: u16) -> usize {
    metric(status, "logphase_transactions_received_total{input=\"kafka\"} ")
}

fn delivered(status: u16) -> usize {
    metric(status, "logphase_messages_delivered_total{") + metric(status, "logphase_queue_unconfirmed_messages{")
}

/// The value of the first sample that begins so; 0 while the service does not answer.
fn metric(status: u16, start: &str) -> usize {
    let Ok(mut stream) = TcpStream::connect(("127.0.0.1", status)) else { return 0 };
    write!(stream, "GET /metrics HTTP/1.1\r\nhost: localhost\r\nconnection: close\r\n\r\n").unwrap();
    let mut text = String::new();
    stream.read_to_string(&mut text).unwrap();
    let sample = text.lines().find(|line| line.starts_with(start));
    sample.and_then(|line| line.rsplit(' ').next()?.parse().ok()).unwrap_or(0)
}

/// CPU time of a process, from the kernel.
fn cpu_seconds(id: u32) -> f64 {
    let stat = std::fs::read_to_string(format!("/proc/{id}/stat")).unwrap();
    // The name before may contain spaces. Fields 14 and 15 are ticks in user and system mode.
    let fields: Vec<&str> = stat.rsplit(')').next().unwrap_or_default().split_whitespace().collect();
    let ticks: f64 = fields[11..13].iter().map(|ticks| ticks.parse::<f64>().unwrap()).sum();
    ticks / TICKS
}
