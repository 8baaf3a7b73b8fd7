//! Keys and their partitions.

use std::collections::BTreeMap;
use std::io::Write;
use std::process::Stdio;

use serde_json::{Value, json};

use super::topic::{read, wait_for};
use super::{Home, broker, kafka_log, plugins};
use crate::service::transaction;

/// Not a power of two, so that a lost sign or bit is visible.
const PARTITIONS: i32 = 7;

/// A thousand keys: short, long, numbers, with multi-byte letters.
fn keys() -> Vec<String> {
    let key = |number: usize| match number % 4 {
        0 => format!("{number}"),
        1 => format!("order-{number}"),
        2 => format!("ключ {number} 🔑"),
        _ => format!("{}{number}", "long-".repeat(number % 40)),
    };
    (0..1000).map(key).collect()
}

/// The partition of each key, from the records of the topic.
fn partitions(topic: &str) -> BTreeMap<String, i64> {
    let records = wait_for(broker(), topic, keys().len());
    let partitions = records.iter().map(|record| (record.key.clone().expect("a key"), record.partition));
    let found: BTreeMap<_, _> = partitions.collect();
    assert_eq!((records.len(), found.len()), (keys().len(), keys().len()), "each key once");
    found
}

/// Sends a transaction for each key through the service.
fn send(topic: &str, partitioner: &str) {
    broker().create_topic(topic, PARTITIONS, &[]);
    let config = json!({"key_query_arg": "order", "partitioner": partitioner});
    let mut service = Home::with(&plugins(kafka_log(broker(), topic, &config))).start();
    let transactions = keys().into_iter().zip(0..).map(|(key, id)| {
        let mut transaction = transaction(id);
        transaction["request"]["querystring"] = json!({"limit": "10", "order": key});
        transaction
    });
    for some in transactions.collect::<Vec<_>>().chunks(100) {
        service.accept(Value::from(some).to_string());
    }
    assert_eq!(service.stop(), 0);
}

/// Scenario: a thousand different values of `key_query_arg`, and Kong's partitioner.
/// Guarantees: each record has its key and is in the partition given by the key's CRC32.
#[test]
fn crc32() {
    send("keys-crc32", "crc32");
    for (key, partition) in partitions("keys-crc32") {
        assert_eq!(partition, i64::from(crc32fast::hash(key.as_bytes())) % i64::from(PARTITIONS), "{key}");
    }
}

/// Scenario: the same keys with `partitioner: murmur2`, and Kafka's own Java producer with the same keys.
/// Guarantees: both put each key in the same partition.
#[test]
fn murmur2() {
    send("keys-murmur2", "murmur2");
    broker().create_topic("keys-java", PARTITIONS, &[]);
    let mut java = broker().java("org.apache.kafka.tools.ConsoleProducer");
    java.args(["--bootstrap-server", &broker().address(), "--topic", "keys-java"]);
    java.args(["--reader-property", "parse.key=true", "--reader-property", "key.separator=\t"]);
    let mut java = java.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
    let lines: String = keys().into_iter().map(|key| format!("{key}\tvalue\n")).collect();
    java.stdin.take().expect("it is piped").write_all(lines.as_bytes()).unwrap();
    let java = java.wait_with_output().unwrap();
    assert!(java.status.success(), "{}", String::from_utf8_lossy(&java.stderr));
    assert_eq!(partitions("keys-murmur2"), partitions("keys-java"));
}

/// Scenario: requests without the query argument, with an empty one, and with two values.
/// Guarantees: no key without a value or with an empty one; of two values the first is the key.
#[test]
fn odd_arguments() {
    broker().create_topic("keys-odd", 1, &[]);
    let config = json!({"key_query_arg": "order"});
    let mut service = Home::with(&plugins(kafka_log(broker(), "keys-odd", &config))).start();
    for (id, arguments) in (0..).zip([json!({}), json!({"order": ""}), json!({"order": ["a", "b"]})]) {
        let mut transaction = transaction(id);
        transaction["request"]["querystring"] = arguments;
        service.accept(transaction.to_string());
    }
    assert_eq!(service.stop(), 0);
    let keys: Vec<_> = read(broker(), "keys-odd").into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [None, None, Some("a".to_owned())]);
}
