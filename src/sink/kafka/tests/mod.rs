//! Tests against the mock cluster of librdkafka.

mod delivery;
mod in_flight;
mod schemas;
mod shape;
mod shared;

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use bytes::Bytes;
use rdkafka::ClientConfig;
use rdkafka::consumer::{BaseConsumer, Consumer};
use rdkafka::message::{Headers, Message};
use rdkafka::mocking::MockCluster;
use rdkafka::producer::DefaultProducerContext;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};
use serde_json::{Value, json};

use super::KafkaSink;
use crate::sink::{SendError, Sink, SinkShared};
use logphase_kafka::config::Config;

const TOPIC: &str = "log";
/// Deadline of every wait.
const LONG: Duration = Duration::from_secs(30);

pub(super) type Mock = MockCluster<'static, DefaultProducerContext>;

/// A cluster of `brokers` with the topic in `partitions`.
fn cluster(brokers: i32, partitions: i32) -> Mock {
    let cluster = Mock::new(brokers).expect("a mock cluster");
    cluster.create_topic(TOPIC, partitions, 1).expect("a topic");
    cluster
}

/// A config for `cluster`, extended by the members of `more`.
fn config(cluster: &Mock, more: Value) -> Value {
    let servers = cluster.bootstrap_servers();
    let server = |address: &str| {
        let (host, port) = address.rsplit_once(':').expect("host:port");
        json!({"host": host, "port": port.parse::<u16>().expect("a port")})
    };
    let mut config = json!({"topic": TOPIC, "bootstrap_servers": servers.split(',').map(server).collect::<Vec<_>>()});
    let members = config.as_object_mut().expect("an object");
    members.extend(more.as_object().expect("an object").clone());
    config
}

fn parsed(config: &Value) -> Config {
    serde_json::from_value(config.clone()).expect("a config")
}

fn sink_in(cluster: &Mock, more: Value, shared: &SinkShared) -> KafkaSink {
    KafkaSink::new(parsed(&config(cluster, more)), shared).expect("a sink")
}

fn sink(cluster: &Mock, more: Value) -> KafkaSink {
    sink_in(cluster, more, &SinkShared::new(None))
}

fn entry(number: usize) -> Bytes {
    Bytes::from(format!(r#"{{"n":{number}}}"#))
}

fn entries(count: usize) -> Vec<Bytes> {
    (0..count).map(entry).collect()
}

/// Acts like delivery: sends entries, and sends them again after errors.
#[derive(Default)]
struct Dispatcher {
    outstanding: Vec<Bytes>,
    /// Permanently rejected entries with the reason.
    refused: Vec<(Bytes, String)>,
    /// Messages of retryable errors.
    retries: Vec<String>,
    warnings: BTreeSet<String>,
    settled: usize,
}

impl Dispatcher {
    async fn send(&mut self, sink: &mut KafkaSink, entries: &[Bytes]) {
        self.outstanding.extend(entries.iter().cloned());
        let result = sink.send(entries).await;
        if !self.settle_with(result) {
            self.send_again(sink).await;
        }
    }

    /// Sends the outstanding entries again until the sink accepts them.
    async fn send_again(&mut self, sink: &mut KafkaSink) {
        let end = Instant::now() + LONG;
        loop {
            assert!(Instant::now() < end, "not taken: {}; {:?}", self.outstanding.len(), self.retries);
            // Delivery also pauses between attempts.
            tokio::time::sleep(Duration::from_millis(10)).await;
            let result = sink.send(&self.outstanding).await;
            if self.settle_with(result) {
                return;
            }
        }
    }

    fn note(&mut self, error: SendError) {
        self.settled += error.delivered;
        self.outstanding.drain(..error.delivered);
        if error.kind == crate::sink::FailureKind::Retryable {
            self.retries.push(error.message);
        } else {
            self.refused.push((self.outstanding.remove(0), error.message));
        }
    }

    fn settle_with(&mut self, result: Result<crate::sink::Sent, SendError>) -> bool {
        match result {
            Ok(sent) => {
                self.settled += sent.settled;
                self.outstanding.drain(..sent.settled);
                self.warnings.extend(sent.warning);
                true
            }
            Err(error) => {
                self.note(error);
                false
            }
        }
    }

    /// Waits until everything has settled.
    async fn finish(&mut self, sink: &mut KafkaSink) {
        let end = Instant::now() + LONG;
        while !self.outstanding.is_empty() {
            assert!(Instant::now() < end, "not settled: {}; {:?}", self.outstanding.len(), self.retries);
            let result = tokio::time::timeout(LONG, sink.settle()).await.expect("settles in time");
            if !self.settle_with(result) {
                self.send_again(sink).await;
            }
        }
    }
}

/// One record as a consumer sees it.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Seen {
    partition: i32,
    key: Option<String>,
    value: String,
    headers: Vec<(String, String)>,
}

/// Reads at least `count` records, up to the end of the topic.
fn consume(cluster: &Mock, partitions: i32, count: usize) -> Vec<Seen> {
    let consumer: BaseConsumer = ClientConfig::new()
        .set("bootstrap.servers", cluster.bootstrap_servers())
        .set("group.id", "test")
        .set("enable.partition.eof", "true")
        .create()
        .expect("a consumer");
    let mut assignment = TopicPartitionList::new();
    for partition in 0..partitions {
        assignment.add_partition_offset(TOPIC, partition, Offset::Beginning).expect("a partition");
    }
    consumer.assign(&assignment).expect("assigned");
    let mut seen = Vec::new();
    let mut ended = BTreeSet::new();
    let end = Instant::now() + LONG;
    while ended.len() < partitions as usize || seen.len() < count {
        assert!(Instant::now() < end, "{} of {count} records", seen.len());
        match consumer.poll(Duration::from_millis(100)) {
            Some(Ok(message)) => seen.push(see(&message)),
            Some(Err(rdkafka::error::KafkaError::PartitionEOF(partition))) => drop(ended.insert(partition)),
            _ => {}
        }
    }
    seen
}

fn see(message: &rdkafka::message::BorrowedMessage<'_>) -> Seen {
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).expect("text");
    let header = |header: rdkafka::message::Header<'_, &[u8]>| {
        (header.key.to_owned(), header.value.map(text).unwrap_or_default())
    };
    Seen {
        partition: message.partition(),
        key: message.key().map(text),
        value: message.payload().map(text).unwrap_or_default(),
        headers: message.headers().map(|headers| headers.iter().map(header).collect()).unwrap_or_default(),
    }
}
