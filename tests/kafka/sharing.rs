//! Plugins on the same cluster share a producer.

use serde_json::{Value, json};

use super::topic::wait_for;
use super::{Home, broker, kafka_log, set_config};
use crate::service::{Service, transaction};

/// Two routes, each with its own kafka-log, with `names` as their `cluster_name`.
fn two_routes(topics: [&str; 2], names: [&str; 2]) -> String {
    let routes = ["one", "two"];
    let plugin = |at: usize| {
        let mut plugin = kafka_log(broker(), topics[at], &json!({}));
        plugin["route"] = json!(routes[at]);
        set_config(plugin, "cluster_name", json!(names[at]))
    };
    let routes: Vec<Value> = routes.iter().map(|name| json!({"name": name, "paths": ["/"]})).collect();
    json!({"_format_version": "3.0", "routes": routes, "plugins": [plugin(0), plugin(1)]}).to_string()
}

fn on_route(id: u64, route: &str) -> Value {
    let mut transaction = transaction(id);
    transaction["route"] = json!({"name": route});
    transaction
}

/// The service's connections to the broker, as listed by the kernel.
fn connections(service: &Service) -> usize {
    let process = format!("/proc/{}", service.id());
    let files = std::fs::read_dir(format!("{process}/fd")).unwrap();
    let links = files.filter_map(|file| std::fs::read_link(file.unwrap().path()).ok());
    let links: Vec<String> = links.map(|link| link.to_string_lossy().into_owned()).collect();
    let port = format!(":{:04X}", broker().ports.plain);
    let established = |line: &&str| {
        let columns: Vec<&str> = line.split_whitespace().collect();
        columns[2].ends_with(&port) && columns[3] == "01" && links.contains(&format!("socket:[{}]", columns[9]))
    };
    let count = |table: &str| {
        let table = std::fs::read_to_string(format!("{process}/net/{table}")).unwrap_or_default();
        table.lines().skip(1).filter(established).count()
    };
    count("tcp") + count("tcp6")
}

/// Runs both plugins until each has delivered, and counts the connections.
fn connections_of(topics: [&str; 2], names: [&str; 2]) -> usize {
    let mut service = Home::with(&two_routes(topics, names)).start();
    for (id, (route, topic)) in (0..).zip(["one", "two"].into_iter().zip(topics)) {
        broker().create_topic(topic, 1, &[]);
        service.accept(on_route(id, route).to_string());
        assert_eq!(wait_for(broker(), topic, 1)[0].id(), id);
    }
    let connections = connections(&service);
    assert_eq!(service.stop(), 0);
    connections
}

/// Scenario: two plugins on one cluster with the same `cluster_name`, then with different ones.
/// Guarantees: plugins with the same name share their connections to the broker; plugins with different names do not.
#[test]
fn one_producer_for_a_cluster() {
    let shared = connections_of(["shared-1", "shared-2"], ["main", "main"]);
    let apart = connections_of(["apart-1", "apart-2"], ["main", "other"]);
    assert!(shared > 0);
    assert_eq!(apart, 2 * shared);
}
