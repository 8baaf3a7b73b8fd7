//! Three nodes in one group, one killed and one restarted under load.

use std::thread;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use super::{consuming, produce, wait_long};
use crate::kafka::broker::Broker;
use crate::kafka::topic::for_each_value;
use crate::kafka::{kafka_log, own_broker};
use crate::service::{Scrape, Service, ask, configuration, id_of};

const NODES: usize = 3;
const PARTITIONS: usize = 12;
/// Transactions in one second, at most: the nodes keep up with it in a build that is not optimised.
const RATE: u64 = 3000;
/// Where the nodes consume, and where they write to.
const TOPIC: &str = "group";
const OUT: &str = "group-out";

/// Number of transactions; `KAFKA_GROUP_TRANSACTIONS` sets another one.
fn transactions() -> u64 {
    std::env::var("KAFKA_GROUP_TRANSACTIONS").map_or(200_000, |text| text.parse().expect("a number"))
}

struct Node {
    service: Service,
    status: u16,
}

impl Node {
    fn start(broker: &Broker) -> Self {
        let (home, status) = consuming(broker, TOPIC, &json!({}));
        home.write("kong.yml", &configuration(&json!([kafka_log(broker, OUT, &json!({}))])));
        Self { service: home.set("LOGPHASE_WORKERS", "1").start(), status }
    }

    fn received(&self) -> f64 {
        Scrape::of(self.status).sum("logphase_transactions_received_total", &[])
    }

    fn lag(&self) -> f64 {
        Scrape::of(self.status).sum("logphase_kafka_input_lag", &[])
    }

    /// The partitions that it consumes.
    fn partitions(&self) -> Vec<Value> {
        let status: Value = serde_json::from_str(&ask(self.status, "GET", "/status", "").2).unwrap();
        status["inputs"]["kafka"]["consumer"]["partitions"].as_array().cloned().unwrap_or_default()
    }
}

/// The transactions, not faster than [`RATE`].
fn paced(total: u64) -> impl Iterator<Item = String> {
    let start = Instant::now();
    (0..total).map(move |id| {
        if id % (RATE / 50) == 0 {
            let due = start + Duration::from_millis(id * 1000 / RATE);
            thread::sleep(due.saturating_duration_since(Instant::now()));
        }
        json!({"request": {"id": id.to_string(), "method": "GET", "uri": "/orders"}, "response": {"status": 200}})
            .to_string()
    })
}

/// Scenario: three nodes in one group consume a topic with 12 partitions and write to another topic, with their queues on
/// disk, while 200,000 transactions are sent. In the middle one node is killed by SIGKILL, and another one is stopped and
/// started again; the killed one comes back with its data directory.
/// Guarantees: each transaction is in the other topic at least once; fewer than 2 % are there twice; in the end the nodes
/// share all partitions and the lag of the group is 0.
#[test]
fn one_is_killed_and_one_restarted() {
    let broker = own_broker();
    broker.create_topic(TOPIC, i32::try_from(PARTITIONS).unwrap(), &[]);
    broker.create_topic(OUT, 1, &[]);
    let total = transactions();
    let mut nodes: Vec<Node> = (0..NODES).map(|_| Node::start(&broker)).collect();
    thread::scope(|scope| {
        let producing = scope.spawn(|| produce(&broker, TOPIC, PARTITIONS, paced(total)));
        wait_long("each node works, and they keep up", || {
            nodes.iter().all(|node| node.received() > total as f64 / 50.0) && keep_up(&nodes)
        });
        // What was delivered in the second before a kill comes twice: much, while a node catches up.
        let caught_up = received(&nodes);
        wait_long("they have kept up for two seconds", || {
            received(&nodes) > caught_up + 2.0 * RATE as f64 && keep_up(&nodes)
        });
        nodes[0].service.kill();
        assert_eq!(nodes[1].service.stop(), 0);
        nodes[1].service.start_again();
        // What is in flight when a partition gets another owner comes twice: much, while nodes catch up.
        wait_long("the partitions of the killed node have other owners, which keep up", || {
            nodes[1..].iter().map(|node| node.partitions().len()).sum::<usize>() == PARTITIONS && keep_up(&nodes[1..])
        });
        nodes[0].service.start_again();
        producing.join().unwrap();
    });
    wait_long("the nodes share the partitions, and nothing is left to consume", || {
        let partitions: Vec<Vec<Value>> = nodes.iter().map(Node::partitions).collect();
        let sum = |member: &str| partitions.iter().flatten().filter_map(|one| one[member].as_u64()).sum::<u64>();
        partitions.iter().all(|of_node| !of_node.is_empty()) && (sum("end"), sum("next")) == (total, total)
    });
    assert_eq!(nodes.iter().map(Node::lag).sum::<f64>(), 0.0);
    for node in &mut nodes {
        assert_eq!(node.service.stop(), 0);
    }
    assert_arrivals(&broker, total);
}

/// What the nodes have received together.
fn received(nodes: &[Node]) -> f64 {
    nodes.iter().map(Node::received).sum()
}

/// Whether little is left to consume.
fn keep_up(nodes: &[Node]) -> bool {
    nodes.iter().map(Node::lag).sum::<f64>() < RATE as f64 / 5.0
}

/// Fails unless every id below `total` is in the other topic, and few are there twice.
fn assert_arrivals(broker: &Broker, total: u64) {
    let mut counts = vec![0_u64; usize::try_from(total).unwrap()];
    for_each_value(broker, OUT, |value| {
        let message: Value = serde_json::from_slice(value).unwrap();
        counts[usize::try_from(id_of(&message).unwrap()).unwrap()] += 1;
    });
    let missing: Vec<usize> = (0..counts.len()).filter(|id| counts[*id] == 0).collect();
    assert!(missing.is_empty(), "{} of {total} are missing, the first is {}", missing.len(), missing[0]);
    let twice = counts.iter().sum::<u64>() - total;
    eprintln!("{twice} of {total} messages came twice");
    assert!(twice < total / 50, "{twice} of {total} messages came twice");
}
