//! Settings, statistics and errors of consumers. What a broker is needed for is in the program's own tests.

use std::time::Duration;

use serde_json::json;

use super::config::{Assignment, ConsumerConfig, IsolationLevel, OffsetReset};
use super::statistics::parse;
use super::*;
use crate::config::ConnectionConfig;

fn config() -> ConsumerConfig {
    ConsumerConfig {
        group_id: "g".to_owned(),
        group_instance_id: None,
        client_rack: None,
        auto_offset_reset: OffsetReset::Earliest,
        isolation_level: IsolationLevel::ReadCommitted,
        partition_assignment: Assignment::CooperativeSticky,
        session_timeout: Duration::from_secs(45),
        commit_interval: Duration::from_secs(1),
        max_fetched_bytes: 32 << 20,
    }
}

fn settings(config: &ConsumerConfig) -> Settings {
    let connection = json!({"bootstrap_servers": [{"host": "localhost", "port": 1}]});
    let connection: ConnectionConfig = serde_json::from_value(connection).expect("a connection");
    Settings::of_consumer(&connection, config, || Ok(String::new())).expect("librdkafka takes them")
}

#[track_caller]
fn expect(config: &ConsumerConfig, expected: &[(&str, &str)]) {
    let settings = settings(config);
    for (name, value) in expected {
        let found = settings.role.iter().find(|(known, _)| known == name).map(|(_, value)| value.as_str());
        assert_eq!(found, Some(*value), "{name}");
    }
}

/// Scenario: each field of a consumer's configuration.
/// Guarantees: it becomes the setting that the table of `config` names; no offset is stored by the client itself.
#[test]
fn fields_become_settings() {
    expect(
        &config(),
        &[
            ("group.id", "g"),
            ("auto.offset.reset", "earliest"),
            ("isolation.level", "read_committed"),
            ("partition.assignment.strategy", "cooperative-sticky"),
            ("session.timeout.ms", "45000"),
            ("heartbeat.interval.ms", "3000"),
            ("auto.commit.interval.ms", "1000"),
            ("enable.auto.offset.store", "false"),
            ("queued.max.messages.kbytes", "32768"),
            ("fetch.max.bytes", "16777216"),
        ],
    );
    let other = ConsumerConfig {
        group_instance_id: Some("node-1".to_owned()),
        client_rack: Some("eu-1a".to_owned()),
        auto_offset_reset: OffsetReset::Latest,
        isolation_level: IsolationLevel::ReadUncommitted,
        partition_assignment: Assignment::RoundRobin,
        session_timeout: Duration::from_secs(6),
        max_fetched_bytes: 1 << 10,
        ..config()
    };
    expect(
        &other,
        &[
            ("group.instance.id", "node-1"),
            ("client.rack", "eu-1a"),
            ("auto.offset.reset", "latest"),
            ("isolation.level", "read_uncommitted"),
            ("partition.assignment.strategy", "roundrobin"),
            ("session.timeout.ms", "6000"),
            ("heartbeat.interval.ms", "600"),
            ("queued.max.messages.kbytes", "1"),
        ],
    );
}

/// Scenario: the smallest and the largest sizes and times. Guarantees: librdkafka starts with the settings.
#[tokio::test]
async fn extremes_are_taken() {
    for max_fetched_bytes in [0, 1, 1 << 20, usize::MAX] {
        for session_timeout in [Duration::ZERO, Duration::MAX] {
            let settings = settings(&ConsumerConfig { max_fetched_bytes, session_timeout, ..config() });
            Consumer::start(&settings, None, &["t".to_owned()], || ()).expect("it starts").close();
        }
    }
}

/// Scenario: statistics as librdkafka writes them, with a partition whose offsets it does not know, and its partition -1.
/// Guarantees: known offsets are read, unknown ones are `None`, and -1 is no partition.
#[test]
fn statistics_say_where_a_partition_ends() {
    let partition = |number: i32, lo: i64, ls: i64, committed: i64| json!({"partition": number, "lo_offset": lo, "ls_offset": ls, "hi_offset": ls + 3, "committed_offset": committed});
    let partitions =
        json!({"0": partition(0, 4, 10, 7), "1": partition(1, -1, -1001, -1001), "-1": partition(-1, 0, 0, 0)});
    let text = json!({"name": "x", "topics": {"t": {"topic": "t", "partitions": partitions}}}).to_string();
    let mut read = parse(text.as_bytes()).expect("statistics");
    read.sort_by(|a, b| a.partition.cmp(&b.partition));
    let partition = |partition| TopicPartition { topic: "t".into(), partition };
    let known = PartitionStatistics { partition: partition(0), end: Some(10), committed: Some(7), start: Some(4) };
    let unknown = PartitionStatistics { partition: partition(1), end: None, committed: None, start: None };
    assert_eq!(read, [known, unknown]);
    assert_eq!(parse(b"{}").expect("statistics without topics"), []);
    assert!(parse(b"{").is_err());
}

/// Scenario: no broker at the address, and the client is closed before one comes.
/// Guarantees: the consumer starts, reports an error with the broker's reason, and ends.
#[tokio::test]
async fn a_consumer_without_a_broker() {
    let consumer = Consumer::start(&settings(&config()), None, &["t".to_owned()], || ()).expect("it starts");
    let start = std::time::Instant::now();
    let error = loop {
        match consumer.poll() {
            Some(Event::Error(error)) => break error,
            _ => assert!(start.elapsed() < Duration::from_secs(30), "no error is reported"),
        }
        tokio::time::sleep(Duration::from_millis(5)).await;
    };
    assert_eq!(error.code, RDKafkaErrorCode::BrokerTransportFailure);
    assert!(error.reason.contains("localhost:1"), "{}", error.reason);
    assert!(advice(error.code).contains("bootstrap_servers"));
    assert!(!error.is_fatal());
    consumer.close();
}
