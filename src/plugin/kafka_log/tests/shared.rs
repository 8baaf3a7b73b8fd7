//! Clients that plugins share, and tokens.

use rdkafka::producer::Producer as _;

use super::super::client::Settings;
use super::super::producer::{Clients, Link, Wanted};
use super::*;

fn link(clients: &Clients, host: &str, more: Value, cluster: Option<&str>) -> (Link, Option<String>) {
    let mut config = json!({"topic": "t", "bootstrap_servers": [{"host": host, "port": 1}]});
    config.as_object_mut().expect("an object").extend(more.as_object().expect("an object").clone());
    let settings = Settings::new(&parsed(&config), || Ok(String::new())).expect("settings");
    clients.link(&Wanted { settings: &settings, cluster }, None).expect("a client")
}

/// Scenario: plugins with equal settings, with other settings, and with a cluster_name.
/// Guarantees: equal settings share a client; others do not; under one name the first's connection holds, and the
/// other plugin is warned.
#[test]
fn equal_plugins_share_a_client() {
    let clients = Clients::default();
    let (first, _) = link(&clients, "127.0.0.1", json!({}), None);
    assert!(first.shares_with(&link(&clients, "127.0.0.1", json!({}), None).0));
    assert!(!first.shares_with(&link(&clients, "127.0.0.1", json!({"compression": "none"}), None).0));
    assert!(!first.shares_with(&link(&clients, "127.0.0.2", json!({}), None).0));
    let (named, warning) = link(&clients, "127.0.0.1", json!({}), Some("c"));
    assert!(!first.shares_with(&named) && warning.is_none());
    let (other, warning) = link(&clients, "127.0.0.2", json!({}), Some("c"));
    assert!(named.shares_with(&other));
    let warning = warning.expect("a warning");
    assert!(warning.starts_with("another plugin with cluster_name \"c\" has other settings"), "{warning}");
}

/// Scenario: the last plugin lets go of a client, and another comes later.
/// Guarantees: it has a new client.
#[test]
fn clients_go_with_the_last_plugin() {
    let clients = Clients::default();
    let (first, _) = link(&clients, "127.0.0.1", json!({}), Some("c"));
    drop(first);
    let (_, warning) = link(&clients, "127.0.0.2", json!({}), Some("c"));
    assert_eq!(warning, None, "the name is free again");
}

/// Scenario: two plugins on one client send to one topic at a time.
/// Guarantees: each hears of its own entries only; all are delivered.
#[tokio::test(flavor = "multi_thread")]
async fn two_sinks_on_one_client() {
    let cluster = cluster(1, 1);
    let shared = SinkShared::new(None);
    let (mut one, mut two) = (sink_in(&cluster, json!({}), &shared), sink_in(&cluster, json!({}), &shared));
    let (mut first, mut second) = (Courier::default(), Courier::default());
    for _ in 0..5 {
        first.send(&mut one, &entries(100)).await;
        second.send(&mut two, &entries(50)).await;
    }
    tokio::join!(first.finish(&mut one), second.finish(&mut two));
    assert_eq!((first.settled, second.settled), (500, 250));
    assert_eq!(consume(&cluster, 1, 750).len(), 750);
}

/// Scenario: the client breaks for good while entries are in it and the broker is away.
/// Guarantees: the queue is told; a new client delivers every entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_broken_client_is_made_anew() {
    let cluster = cluster(1, 1);
    let shared = SinkShared::new(None);
    let mut sink = sink_in(&cluster, json!({}), &shared);
    let mut courier = Courier::default();
    cluster.broker_down(1).expect("down");
    courier.send(&mut sink, &entries(100)).await;
    let settings = Settings::new(&parsed(&config(&cluster, json!({}))), || Ok(String::new())).expect("settings");
    let (link, _) = shared.kafka.link(&Wanted { settings: &settings, cluster: None }, None).expect("the client");
    link.shared().give_up();
    drop(link);
    cluster.broker_up(1).expect("up");
    courier.finish(&mut sink).await;
    assert_eq!(courier.settled, 100);
    assert!(courier.retries.iter().any(|text| text.contains("is made anew")), "{:?}", courier.retries);
    assert_eq!(consume(&cluster, 1, 100).len(), 100);
}

/// Scenario: the broker loses the count of the client's records, so that librdkafka gives up for good.
/// Guarantees: the queue is told why; a new client delivers every entry.
#[tokio::test(flavor = "multi_thread")]
async fn a_fatal_error_is_outlived() {
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};
    let cluster = cluster(1, 1);
    let mut sink = sink(&cluster, json!({}));
    let mut courier = Courier::default();
    courier.send(&mut sink, &entries(10)).await;
    courier.finish(&mut sink).await;
    let error = RDKafkaRespErr::RD_KAFKA_RESP_ERR_OUT_OF_ORDER_SEQUENCE_NUMBER;
    cluster.request_errors(RDKafkaApiKey::Produce, &[error]);
    courier.send(&mut sink, &entries(10)).await;
    courier.finish(&mut sink).await;
    assert_eq!((courier.settled, courier.refused.len()), (20, 0));
    assert!(!courier.retries.is_empty(), "an error was told");
    assert_eq!(consume(&cluster, 1, 20).len(), 20);
}

/// Scenario: a token with SASL extensions is handed to a client, then one whose extension has a name that the
/// standard reserves. Guarantees: the first is taken, the second refused with the reason.
#[test]
fn tokens_are_handed_over() {
    use super::super::handover::set_token;
    use super::super::token::Token;
    let clients = Clients::default();
    let bearer = json!({"token_endpoint_url": "http://127.0.0.1/", "client_id": "i", "client_secret": "s"});
    let login = json!({"strategy": "sasl", "mechanism": "OAUTHBEARER", "oauthbearer": bearer});
    let (link, _) = link(&clients, "127.0.0.1", json!({"authentication": login}), None);
    let client = link.shared().client();
    assert!(!client.client().native_ptr().is_null());
    let token = Token { value: "abc".into(), life: Duration::from_secs(60) };
    let extensions = |name: &str| [(name.to_owned(), "lkc-1".to_owned())].into();
    assert_eq!(set_token(client, &token, "i", &extensions("logicalCluster")), Ok(()));
    let error = set_token(client, &token, "i", &extensions("auth")).expect_err("refused");
    assert!(error.starts_with("the token cannot be used: ") && error.contains("auth"), "{error}");
}
