//! Clients that plugins share.

use logphase_kafka::settings::Settings;

use super::*;

/// Scenario: two plugins with one producer send to one topic at the same time.
/// Guarantees: each gets the reports of its own entries only, and all are delivered.
#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_on_one_producer() {
    let cluster = cluster(1, 1);
    let shared = SinkShared::new(None);
    let (mut one, mut two) = (sink_in(&cluster, json!({}), &shared), sink_in(&cluster, json!({}), &shared));
    let (mut first, mut second) = (Dispatcher::default(), Dispatcher::default());
    for _ in 0..5 {
        first.send(&mut one, &entries(100)).await;
        second.send(&mut two, &entries(50)).await;
    }
    tokio::join!(first.finish(&mut one), second.finish(&mut two));
    assert_eq!((first.settled, second.settled), (500, 250));
    assert_eq!(consume(&cluster, 1, 750).len(), 750);
}

/// Scenario: the producer breaks permanently while it holds entries and the broker is down.
/// Guarantees: the queue gets an error, and a new producer delivers every entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_producer_is_recreated() {
    let cluster = cluster(1, 1);
    let shared = SinkShared::new(None);
    let mut sink = sink_in(&cluster, json!({}), &shared);
    let mut dispatcher = Dispatcher::default();
    cluster.broker_down(1).expect("down");
    dispatcher.send(&mut sink, &entries(100)).await;
    let config = parsed(&config(&cluster, json!({})));
    let settings = Settings::new(&config.connection, &config.producer, || Ok(String::new())).expect("settings");
    let (link, _) = shared.kafka.acquire(&settings, None, None).expect("the client");
    link.shared().mark_broken();
    drop(link);
    cluster.broker_up(1).expect("up");
    dispatcher.finish(&mut sink).await;
    assert_eq!(dispatcher.settled, 100);
    assert!(dispatcher.retries.iter().any(|text| text.contains("is recreated")), "{:?}", dispatcher.retries);
    assert_eq!(consume(&cluster, 1, 100).len(), 100);
}

/// Scenario: the broker rejects the producer's sequence numbers, which is fatal for librdkafka.
/// Guarantees: the queue gets the reason, and a new producer delivers every entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_recreates_the_producer() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({}));
    let mut dispatcher = Dispatcher::default();
    dispatcher.send(&mut sink, &entries(10)).await;
    dispatcher.finish(&mut sink).await;
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
    dispatcher.send(&mut sink, &entries(10)).await;
    dispatcher.finish(&mut sink).await;
    assert_eq!((dispatcher.settled, dispatcher.refused.len()), (20, 0));
    assert!(!dispatcher.retries.is_empty(), "an error was told");
    assert_eq!(consume(&cluster, 1, 20).len(), 20);
}
