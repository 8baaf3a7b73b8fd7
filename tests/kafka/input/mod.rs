//! The Kafka input with a real Apache Kafka: transactions from topics, offsets, rebalances, poison records.

mod example;
mod group;
mod lifecycle;
mod records;
mod security;

use std::collections::BTreeSet;
use std::thread;
use std::time::{Duration, Instant};

use rdkafka::ClientConfig;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use serde_json::{Value, json};

use super::broker::Broker;
use crate::service::{Home, Messages, Scrape, Service, configuration, free_port};

/// Limit for what a whole topic of records takes, on a busy machine.
const LONG: Duration = Duration::from_secs(300);

/// A home whose service consumes `topic` and writes messages to `messages.log` by a file-log with `queue`. Its status port
/// is the second value.
fn consuming(broker: &Broker, topic: &str, queue: &Value) -> (Home, u16) {
    let home = Home::new();
    let config = json!({"path": home.text("messages.log"), "queue": queue});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let status = free_port();
    let home = home
        .set("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", broker.address())
        .set("LOGPHASE_KAFKA_TOPICS", topic)
        .set("LOGPHASE_KAFKA_GROUP_ID", format!("group of {topic}"))
        // The group waits this long for a node that was killed.
        .set("LOGPHASE_KAFKA_SESSION_TIMEOUT", "6s")
        .set("LOGPHASE_HTTP_LISTEN", "")
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"));
    (home, status)
}

/// Writes records to a topic, each to the partition that is its index modulo their number, and waits until the broker has
/// them.
fn produce<T: AsRef<[u8]>>(broker: &Broker, topic: &str, partitions: usize, values: impl IntoIterator<Item = T>) {
    let mut config = ClientConfig::new();
    config.set("bootstrap.servers", broker.address()).set("linger.ms", "20").set("enable.idempotence", "true");
    let producer: BaseProducer = config.create().unwrap();
    for (at, value) in values.into_iter().enumerate() {
        let partition = i32::try_from(at % partitions).unwrap();
        let mut record = BaseRecord::<(), [u8]>::to(topic).partition(partition).payload(value.as_ref());
        while let Err((error, refused)) = producer.send(record) {
            assert_eq!(error, KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull));
            producer.poll(Duration::from_millis(10));
            record = refused;
        }
        producer.poll(Duration::ZERO);
    }
    producer.flush(Duration::from_secs(120)).unwrap();
}

/// The metrics of the input.
fn lag(status: u16, topic: &str) -> f64 {
    Scrape::of(status).sum("logphase_kafka_input_lag", &[("topic", topic)])
}

/// The number of partitions that the service consumes.
fn partitions(status: u16, topic: &str) -> f64 {
    Scrape::of(status).sum("logphase_kafka_input_partitions", &[("topic", topic)])
}

/// The messages that the service has written.
fn messages(service: &Service) -> Messages {
    Messages::read(&service.home.path("messages.log"))
}

/// Waits until the service has written messages of all `ids`.
#[track_caller]
fn wait_for_all(service: &Service, ids: &BTreeSet<u64>) {
    wait_long("all messages are written", || {
        let text = std::fs::read(service.home.path("messages.log")).unwrap_or_default();
        let lines = text.iter().filter(|byte| **byte == b'\n').count();
        lines >= ids.len() && messages(service).missing(ids).is_empty()
    });
}

/// Waits until `condition` holds, which is asked rarely and may take minutes on a busy machine.
#[track_caller]
fn wait_long(what: &str, mut condition: impl FnMut() -> bool) {
    let start = Instant::now();
    while !condition() {
        assert!(start.elapsed() < LONG, "waited {LONG:?} in vain until {what}");
        thread::sleep(Duration::from_millis(100));
    }
}
