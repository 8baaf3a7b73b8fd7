//! Delivery and its failures.

use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

use super::*;

fn values(seen: &[Seen]) -> Vec<String> {
    seen.iter().map(|seen| seen.value.clone()).collect()
}

fn texts(entries: &[Bytes]) -> Vec<String> {
    entries.iter().map(|entry| String::from_utf8(entry.to_vec()).expect("text")).collect()
}

/// Scenario: several thousand entries in several calls, to a topic with one partition.
/// Guarantees: all settle, and the topic has each once, in order and unchanged.
#[tokio::test(flavor = "multi_thread")]
async fn delivers_in_order() {
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    let all = entries(3000);
    for part in all.chunks(700) {
        dispatcher.send(&mut sink, part).await;
    }
    dispatcher.finish(&mut sink).await;
    assert_eq!((dispatcher.settled, dispatcher.retries.len()), (3000, 0));
    assert_eq!(values(&consume(&cluster, 1, 3000)), texts(&all));
}

/// Scenario: each value of `producer_request_acks`.
/// Guarantees: entries settle.
#[tokio::test(flavor = "multi_thread")]
async fn every_acks_settles() {
    for acks in [-1, 0, 1] {
        let cluster = cluster(1, 1);
        let mut sink = sink(&cluster, json!({"producer_request_acks": acks}));
        let mut dispatcher = Dispatcher::default();
        dispatcher.send(&mut sink, &entries(100)).await;
        dispatcher.finish(&mut sink).await;
        assert_eq!(dispatcher.settled, 100, "acks {acks}");
    }
}

/// Scenario: the only broker is down when entries arrive, and comes back.
/// Guarantees: the queue gets an error with the address, the reason and what to do; afterwards each entry is in the
/// topic once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_broker() {
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    dispatcher.send(&mut sink, &entries(10)).await;
    dispatcher.finish(&mut sink).await;
    cluster.broker_down(1).expect("down");
    let all = entries(300);
    dispatcher.send(&mut sink, &all[10..]).await;
    let told = tokio::time::timeout(LONG, sink.settle()).await.expect("tells in time");
    dispatcher.note(told.expect_err("an outage"));
    let text = &dispatcher.retries[0];
    assert!(text.starts_with(&format!("cannot reach the Kafka cluster at {}", cluster.bootstrap_servers())), "{text}");
    assert!(
        text.ends_with("start the brokers, correct config.bootstrap_servers, or check the network between"),
        "{text}"
    );
    cluster.broker_up(1).expect("up");
    dispatcher.send_again(&mut sink).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!(values(&consume(&cluster, 1, 300)), texts(&all));
}

/// Scenario: brokers respond with transient errors: a moved leader, missing replicas, a timeout.
/// Guarantees: the entries are delivered once and in order.
#[tokio::test(flavor = "multi_thread")]
async fn transient_errors_lose_nothing() {
    let cluster = cluster(1, 1);
    let errors = [
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_ENOUGH_REPLICAS_AFTER_APPEND,
        RDKafkaRespErr::RD_KAFKA_RESP_ERR_REQUEST_TIMED_OUT,
    ];
    cluster.request_errors(RDKafkaApiKey::Produce, &errors);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    let all = entries(500);
    dispatcher.send(&mut sink, &all).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!(values(&consume(&cluster, 1, 500)), texts(&all));
}

/// Scenario: the broker rejects a request of many messages as too large, and accepts them one by one.
/// Guarantees: nothing is permanently rejected, and a warning names the limit to lower.
#[tokio::test(flavor = "multi_thread")]
async fn an_oversize_request_is_split() {
    let cluster = cluster(1, 1);
    cluster.request_errors(RDKafkaApiKey::Produce, &[RDKafkaRespErr::RD_KAFKA_RESP_ERR_MSG_SIZE_TOO_LARGE]);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    let all = entries(50);
    dispatcher.send(&mut sink, &all).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!((dispatcher.settled, dispatcher.refused.len()), (50, 0));
    let warnings: Vec<_> = dispatcher.warnings.iter().collect();
    assert!(warnings[0].contains("lower config.producer_request_limits_bytes_per_request"), "{warnings:?}");
    let mut values = values(&consume(&cluster, 1, 50));
    values.sort_unstable();
    let mut expected = texts(&all);
    expected.sort_unstable();
    assert_eq!(values, expected);
}

/// Scenario: an entry that is too large for the producer, among others.
/// Guarantees: only this entry is rejected, with what to do; the others are delivered once.
#[tokio::test(flavor = "multi_thread")]
async fn only_the_oversize_entry_is_rejected() {
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    let mut all = entries(30);
    all[12] = Bytes::from(vec![b' '; 33 << 20]);
    dispatcher.send(&mut sink, &all).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!((dispatcher.settled, dispatcher.refused.len()), (29, 1));
    let (refused, why) = &dispatcher.refused[0];
    assert_eq!(refused.len(), 33 << 20);
    assert!(why.contains("raise the topic's max.message.bytes"), "{why}");
    all.remove(12);
    assert_eq!(values(&consume(&cluster, 1, 29)), texts(&all));
}

/// Scenario: the user is not authorized to write to the topic until an operator allows it.
/// Guarantees: the queue keeps the entries and gets an error that says what to do; afterwards each is delivered once,
/// in order.
#[tokio::test(flavor = "multi_thread")]
async fn waits_for_authorization() {
    let cluster = cluster(1, 1);
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED).expect("an error");
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    let all = entries(20);
    dispatcher.outstanding.extend(all.iter().cloned());
    let mut result = sink.send(&all).await;
    while dispatcher.settle_with(result) {
        result = tokio::time::timeout(LONG, sink.settle()).await.expect("tells in time");
    }
    assert!(
        dispatcher.retries[0].contains("allow the user to write to the topic (kafka-acls"),
        "{:?}",
        dispatcher.retries
    );
    cluster.topic_error(TOPIC, RDKafkaRespErr::RD_KAFKA_RESP_ERR_NO_ERROR).expect("no error");
    dispatcher.send_again(&mut sink).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!((dispatcher.settled, dispatcher.refused.len()), (20, 0));
    assert_eq!(values(&consume(&cluster, 1, 20)), texts(&all));
}

/// Scenario: more entries than the producer's buffer holds, while the broker is down and after it is back.
/// Guarantees: the sink waits instead of failing, and reports the outage; each entry is delivered once, in order.
#[tokio::test(flavor = "multi_thread")]
async fn waits_for_a_full_producer() {
    let cluster = cluster(1, 1);
    cluster.broker_down(1).expect("down");
    let mut sink = sink(&cluster, json!({"producer_async_buffering_limits_messages_in_memory": 10}));
    let mut dispatcher = Dispatcher::default();
    let all = entries(200);
    dispatcher.outstanding.extend(all.iter().cloned());
    let told = tokio::time::timeout(LONG, sink.send(&all)).await.expect("tells in time");
    dispatcher.note(told.expect_err("an outage"));
    assert!(dispatcher.retries[0].starts_with("cannot reach the Kafka cluster"), "{:?}", dispatcher.retries);
    cluster.broker_up(1).expect("up");
    dispatcher.send_again(&mut sink).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!(dispatcher.settled, 200);
    assert_eq!(values(&consume(&cluster, 1, 200)), texts(&all));
}

/// Scenario: the queue gives up its entries during an outage, and continues with newer ones.
/// Guarantees: the newer entries settle by their own reports, and all are in the topic.
#[tokio::test(flavor = "multi_thread")]
async fn dropped_entries_do_not_settle_newer_ones() {
    let cluster = cluster(1, 1);
    cluster.broker_down(1).expect("down");
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    dispatcher.send(&mut sink, &entries(20)).await;
    let told = tokio::time::timeout(LONG, sink.settle()).await.expect("tells in time");
    dispatcher.note(told.expect_err("an outage"));
    dispatcher.outstanding.clear();
    dispatcher.send_again(&mut sink).await;
    let newer: Vec<_> = (100..130).map(entry).collect();
    dispatcher.send(&mut sink, &newer).await;
    cluster.broker_up(1).expect("up");
    dispatcher.finish(&mut sink).await;
    assert_eq!(dispatcher.settled, 30);
    let seen = values(&consume(&cluster, 1, 30));
    assert!(seen.ends_with(&texts(&newer)), "{seen:?}");
}
