//! Starts, stops, restarts and outages of one node.

use std::collections::BTreeSet;

use serde_json::{Value, json};

use super::{consuming, lag, messages, partitions, produce, wait_for_all, wait_long};
use crate::kafka::{broker, own_broker};
use crate::service::{Scrape, TcpPeer, ask, configuration, free_port, transaction, wait_until};

fn texts(ids: std::ops::Range<u64>) -> impl Iterator<Item = String> {
    ids.map(|id| transaction(id).to_string())
}

/// Scenario: a node consumes three partitions, is stopped by SIGTERM with everything written, gets more records while it is
/// away, and starts again.
/// Guarantees: each message is written once, those of one partition in order; lag and the assigned partitions are in the
/// metrics and in `/status`, and the lag is 0 in the end.
#[test]
fn a_clean_restart_repeats_nothing() {
    let broker = broker();
    broker.create_topic("restart", 3, &[]);
    let (home, status) = consuming(broker, "restart", &json!({}));
    produce(broker, "restart", 3, texts(0..3000));
    let mut service = home.start();
    wait_for_all(&service, &(0..3000).collect());
    wait_until("the partitions are shown", || partitions(status, "restart") == 3.0);
    assert_eq!(service.stop(), 0);
    assert!(!service.has_logged("WARN"), "{}", service.log());
    produce(broker, "restart", 3, texts(3000..4500));
    service.start_again();
    let ids: BTreeSet<u64> = (0..4500).collect();
    wait_for_all(&service, &ids);
    wait_until("nothing is left to consume", || {
        let state: Value = serde_json::from_str(&ask(status, "GET", "/status", "").2).unwrap();
        let consumer = &state["inputs"]["kafka"]["consumer"];
        let known = consumer["partitions"].as_array().is_some_and(|all| all.iter().all(|one| one["end"] == 1500));
        known && consumer["topics"]["restart"] == json!({"partitions": 3, "paused": 0, "lag": 0})
    });
    assert_eq!(lag(status, "restart"), 0.0);
    wait_until("it is committed", || Scrape::of(status).sum("logphase_kafka_input_commits_total", &[]) >= 1.0);
    let scrape = Scrape::of(status);
    assert!(scrape.sum("logphase_kafka_input_rebalances_total", &[]) >= 1.0);
    scrape.assert_sound();
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&ids);
    assert_order(&std::fs::read_to_string(service.home.path("messages.log")).unwrap(), 3);
}

/// Fails unless the messages of each partition, which is the id modulo their number, are in order.
fn assert_order(text: &str, partitions: u64) {
    let mut last = vec![None; usize::try_from(partitions).unwrap()];
    for line in text.lines() {
        let message: Value = serde_json::from_str(line).unwrap();
        let id = crate::service::id_of(&message).unwrap();
        let last = &mut last[usize::try_from(id % partitions).unwrap()];
        assert!(last.is_none_or(|last| last < id), "{id} after {last:?}");
        *last = Some(id);
    }
}

/// Scenario: no broker is there when the service starts; then it is started, and has records.
/// Guarantees: the service is ready and says what is missing and what to do; it consumes as soon as the broker is there.
#[test]
fn starts_without_a_broker() {
    let mut broker = own_broker();
    broker.create_topic("late", 1, &[]);
    produce(&broker, "late", 1, texts(0..10));
    broker.kill();
    let (home, status) = consuming(&broker, "late", &json!({}));
    let mut service = home.start();
    wait_until("the log says so", || service.has_logged("cannot reach the Kafka cluster"));
    assert!(service.has_logged("inputs.kafka.bootstrap_servers"), "and what to do");
    assert_eq!(ask(status, "GET", "/status/ready", "").0, 200);
    let state: Value = serde_json::from_str(&ask(status, "GET", "/status", "").2).unwrap();
    let error = state["inputs"]["kafka"]["consumer"]["last_error"]["message"].as_str().unwrap_or_default().to_owned();
    assert!(error.contains("cannot reach the Kafka cluster"), "{state}");
    broker.restart();
    let ids = (0..10).collect();
    wait_for_all(&service, &ids);
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&ids);
}

/// Scenario: the broker is killed under load and restarted with its data.
/// Guarantees: every record becomes a message; none is missing.
#[test]
fn a_broker_restart_loses_nothing() {
    let mut broker = own_broker();
    broker.create_topic("outage", 2, &[]);
    produce(&broker, "outage", 2, texts(0..20_000));
    let (home, _) = consuming(&broker, "outage", &json!({}));
    let mut service = home.start();
    wait_long("some are written", || messages(&service).counts.len() > 500);
    broker.kill();
    wait_until("the log says so", || service.has_logged("cannot reach the Kafka cluster"));
    broker.restart();
    produce(&broker, "outage", 2, texts(20_000..22_000));
    let ids = (0..22_000).collect();
    wait_for_all(&service, &ids);
    assert_eq!(service.stop(), 0);
    messages(&service).assert_all(&ids);
}

/// Scenario: the receiver of tcp-log is away, and its queue holds 100 messages; 2,000 records wait in two partitions.
/// Guarantees: the input waits: it takes a bounded number, pauses the partitions, refuses and loses nothing. When the
/// receiver is there, every message arrives, and the partitions go on.
#[test]
fn full_queues_pause_partitions() {
    let broker = broker();
    broker.create_topic("full", 2, &[]);
    produce(broker, "full", 2, texts(0..2000));
    let (home, status) = consuming(broker, "full", &json!({}));
    let port = free_port();
    let queue = json!({"durability": "memory", "spill": false, "max_entries": 100, "max_retry_delay": 0.2});
    let config = json!({"host": "127.0.0.1", "port": port, "queue": queue});
    home.write("kong.yml", &configuration(&json!([{"name": "tcp-log", "config": config}])));
    let mut service = home.set("LOGPHASE_KAFKA_MAX_BUFFERED_BYTES", "1MiB").start();
    let scrape = |name: &str| Scrape::of(status).sum(name, &[]);
    wait_until("the partitions are paused", || scrape("logphase_kafka_input_paused_partitions") == 2.0);
    wait_until("the lag is shown", || lag(status, "full") > 1000.0);
    assert!(scrape("logphase_transactions_received_total") <= 100.0);
    let peer = TcpPeer::start_at(port);
    wait_long("every message arrives", || peer.count() >= 2000);
    wait_until("all is committed", || lag(status, "full") == 0.0);
    assert_eq!(scrape("logphase_kafka_input_paused_partitions"), 0.0);
    assert_eq!(service.stop(), 0);
    peer.messages().assert_once(&(0..2000).collect());
}

/// Scenario: `check` and `run` with settings that do not fit together.
/// Guarantees: both refuse them with the same words, which name the setting and what to do.
#[test]
fn settings_are_checked_together() {
    let home = crate::service::Home::with(&configuration(&json!([])));
    let home = home.set("LOGPHASE_KAFKA_TOPICS", "t").set("LOGPHASE_KAFKA_SECURITY_SSL", "true");
    let no_broker = "the setting `inputs.kafka.bootstrap_servers`: no broker";
    let with = |more: &[(&str, &str)], words: &str| {
        for command in ["check", "run"] {
            let ended = home.run_with(more, &[command, "kong.yml"]);
            let said = format!("{}{}", ended.stdout, ended.stderr);
            assert_ne!(ended.code(), 0, "{command}: {said}");
            assert!(said.contains(words), "{command} {more:?}: {said}");
        }
    };
    with(&[], no_broker);
    let broker = ("LOGPHASE_KAFKA_BOOTSTRAP_SERVERS", "localhost:9092");
    with(
        &[broker, ("LOGPHASE_KAFKA_SECURITY_CERTIFICATE", "/nowhere")],
        "`inputs.kafka.security.private_key`: missing",
    );
    with(&[broker, ("LOGPHASE_KAFKA_SECURITY_CA", "/nowhere.pem")], "/nowhere.pem");
    with(&[broker, ("LOGPHASE_KAFKA_AUTHENTICATION_MECHANISM", "PLAIN")], "authentication.strategy");
    with(&[broker, ("LOGPHASE_KAFKA_TOPICS", "^t.*")], "expected the name of a topic");
}

/// Scenario: a topic that does not exist at the start and is created later.
/// Guarantees: the log says so; the records are consumed once the topic is there.
#[test]
fn a_topic_is_created_later() {
    let broker = broker();
    let (home, _) = consuming(broker, "created-later", &json!({}));
    let mut service = home.start();
    wait_until("the log says so", || {
        service.has_logged("created-later") && service.has_logged("kafka-topics --create")
    });
    broker.create_topic("created-later", 1, &[]);
    produce(broker, "created-later", 1, texts(0..5));
    let ids = (0..5).collect();
    // New topics are looked for every 30 seconds.
    wait_for_all(&service, &ids);
    assert_eq!(service.stop(), 0);
    messages(&service).assert_once(&ids);
}
