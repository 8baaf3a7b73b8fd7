//! Keys, partitions, headers and arrays.

use super::*;

fn asked(query: Value) -> Bytes {
    Bytes::from(json!({"request": {"id": "x", "querystring": query}, "tries": [{"ip": "1.2.3.4"}]}).to_string())
}

async fn deliver(cluster: &Mock, more: Value, entries: &[Bytes]) {
    let mut sink = sink(cluster, more);
    let mut dispatcher = Dispatcher::default();
    dispatcher.send(&mut sink, entries).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!(dispatcher.settled, entries.len());
}

fn keyed(count: usize) -> Vec<Bytes> {
    (0..count).map(|number| asked(json!({"user": format!("user-{number}")}))).collect()
}

/// Scenario: many keys, and a number of partitions that is not a power of two.
/// Guarantees: each is in the partition of its CRC32 modulo the number of partitions, as with Kong's client.
#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_partitions_by_crc32() {
    let cluster = cluster(1, 7);
    deliver(&cluster, json!({"key_query_arg": "user"}), &keyed(100)).await;
    let seen = consume(&cluster, 7, 100);
    assert_eq!(seen.len(), 100);
    for record in seen {
        let key = record.key.expect("a key");
        assert_eq!(record.partition as u32, crc32fast::hash(key.as_bytes()) % 7, "{key}");
    }
}

/// Scenario: keys whose Murmur2 hashes are given by the tests of Kafka's Java client.
/// Guarantees: with `murmur2` they are in the same partitions as with that client.
#[tokio::test(flavor = "multi_thread")]
async fn keys_choose_partitions_by_murmur2() {
    let known = [
        ("21", -973_932_308),
        ("foobar", -790_332_482),
        ("a-little-bit-long-string", -985_981_536),
        ("a-little-bit-longer-string", -1_486_304_829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58_897_971),
    ];
    let cluster = cluster(1, 7);
    let entries: Vec<_> = known.iter().map(|(key, _)| asked(json!({"user": key}))).collect();
    deliver(&cluster, json!({"key_query_arg": "user", "partitioner": "murmur2"}), &entries).await;
    for record in consume(&cluster, 7, known.len()) {
        let key = record.key.expect("a key");
        let hash: i32 = known.iter().find(|(known, _)| *known == key).expect("known").1;
        assert_eq!(record.partition, (hash & 0x7fff_ffff) % 7, "{key}");
    }
}

/// Scenario: the argument is repeated, without a value, empty, absent, or the entry is not a message.
/// Guarantees: the first value is the key; otherwise there is no key; all entries are delivered.
#[tokio::test(flavor = "multi_thread")]
async fn odd_arguments() {
    let cluster = cluster(1, 1);
    let entries = [
        asked(json!({"k": ["a\u{e9}\n", "b"]})),
        asked(json!({"k": true})),
        asked(json!({"k": ""})),
        asked(json!({})),
        Bytes::from_static(b"[]"),
    ];
    deliver(&cluster, json!({"key_query_arg": "k"}), &entries).await;
    let keys: Vec<_> = consume(&cluster, 1, 5).into_iter().map(|record| record.key).collect();
    assert_eq!(keys, [Some("a\u{e9}\n".to_owned()), None, None, None, None]);
}

/// Scenario: headers from strings, from other values and from missing members.
/// Guarantees: strings are unchanged, other values are JSON, and a missing member gives no header.
#[tokio::test(flavor = "multi_thread")]
async fn headers_come_from_the_message() {
    let cluster = cluster(1, 1);
    let headers = json!({"id": "request.id", "tries": "tries", "none": "request.none"});
    deliver(&cluster, json!({"record_headers": headers}), &[asked(json!({}))]).await;
    let seen = consume(&cluster, 1, 1);
    let expected = [("id", "x"), ("tries", r#"[{"ip":"1.2.3.4"}]"#)];
    assert_eq!(seen[0].headers, expected.map(|(name, value)| (name.to_owned(), value.to_owned())));
}

/// Scenario: arrays of at most 4 messages, some with another key.
/// Guarantees: each record is a JSON array of at most 4 messages; messages with different keys are in different
/// records; each message occurs once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn arrays_of_messages() {
    let cluster = cluster(1, 1);
    let entries: Vec<_> = (0..10).map(|n| asked(json!({"k": if n < 6 { "a" } else { "b" }, "n": n}))).collect();
    deliver(&cluster, json!({"max_batch_size": 4, "key_query_arg": "k"}), &entries).await;
    let seen = consume(&cluster, 1, 3);
    let arrays: Vec<Vec<Value>> =
        seen.iter().map(|record| serde_json::from_str(&record.value).expect("JSON")).collect();
    assert_eq!(arrays.iter().map(Vec::len).collect::<Vec<_>>(), [4, 2, 4]);
    let numbers: Vec<_> =
        arrays.iter().flatten().map(|message| message["request"]["querystring"]["n"].clone()).collect();
    assert_eq!(numbers, (0..10).map(Value::from).collect::<Vec<_>>());
}

/// Scenario: the broker rejects an array.
/// Guarantees: its messages are sent in arrays of one, and none is lost.
#[tokio::test(flavor = "multi_thread")]
async fn a_rejected_array_is_split() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let cluster = cluster(1, 1);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    deliver(&cluster, json!({"max_batch_size": 4}), &entries(4)).await;
    let values: Vec<_> = consume(&cluster, 1, 4).into_iter().map(|record| record.value).collect();
    assert_eq!(values, [r#"[{"n":0}]"#, r#"[{"n":1}]"#, r#"[{"n":2}]"#, r#"[{"n":3}]"#]);
}
