//! One plugin that is stuck does not stop the others.

use serde_json::{Value, json};

use crate::service::{Home, Scrape, Service, TcpPeer, configuration, free_port, transaction, wait_until};

/// A file-log whose disk is full.
fn full(queue: &Value) -> Value {
    json!({"name": "file-log", "instance_name": "full", "config": {"path": "/dev/full", "queue": queue}})
}

/// A service that may write `/dev/full`, and the port of its metrics.
fn with_metrics(home: Home) -> (Home, u16) {
    let port = free_port();
    let home = home.set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{port}"));
    (home.set("LOGPHASE_CONFINEMENT_PATHS", "/dev/full").set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1"), port)
}

/// A transaction of the route `items`.
fn item(id: u64) -> Value {
    let mut transaction = transaction(id);
    transaction["route"] = json!({"name": "items"});
    transaction
}

/// Sends transactions until the service refuses one. Returns how many it accepted, and the text of the refusal.
fn fill(service: &Service) -> (u64, String) {
    let mut client = service.client();
    for id in 0..1_000_000 {
        let answer = client.post(transaction(id).to_string().as_bytes()).unwrap();
        if answer.status != 200 {
            assert_eq!(answer.status, 429, "{}", answer.text());
            return (id, answer.text());
        }
    }
    panic!("the queue accepts everything");
}

/// Scenario: a file-log whose disk is full, with a queue of four messages and `required: false`, and a tcp-log; twenty
/// transactions, one by one and in batches. A reload makes the file-log required.
/// Guarantees: every transaction is accepted and reaches the tcp-log; what the full queue has no room for is dropped, counted
/// and logged; after the reload the same queue refuses, and the answer names it and its bound.
#[test]
fn a_plugin_that_is_not_required_loses_its_own_messages() {
    let peer = TcpPeer::start();
    let plugins = |required: bool| {
        let queue = json!({"max_entries": 4, "required": required});
        let tcp = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
        configuration(&json!([full(&queue), tcp]))
    };
    let (home, port) = with_metrics(Home::with(&plugins(false)));
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "1").start();
    (0..10).for_each(|id| service.accept(transaction(id).to_string()));
    service.accept(Value::from((10..20).map(transaction).collect::<Vec<_>>()).to_string());
    peer.wait_for(20);
    peer.messages().assert_once(&(0..20).collect());
    let scrape = Scrape::of(port);
    let file = [("plugin", "file-log")];
    assert_eq!(scrape.sum("logphase_messages_dropped_total", &[("plugin", "file-log"), ("reason", "overflow")]), 16.0);
    assert_eq!(scrape.sum("logphase_queue_messages", &file), 4.0);
    assert_eq!(scrape.sum("logphase_queue_refusals_total", &[]), 0.0);
    scrape.assert_sums();
    wait_until("the log says that messages are dropped", || {
        service.has_logged(
            "the queue of file-log (full) is full (queue.max_entries): messages for this plugin are dropped",
        )
    });

    service.home.write("kong.yml", &plugins(true));
    service.signal(crate::service::Signal::HUP);
    wait_until("the new configuration is applied", || service.has_logged("reloaded"));
    let refused = service.post(transaction(20).to_string());
    assert_eq!(refused.status, 429, "{}", refused.text());
    assert!(refused.text().contains("the queue of file-log (full) is full (queue.max_entries)"), "{}", refused.text());
    let scrape = Scrape::of(port);
    assert_eq!(scrape.sum("logphase_queue_refusals_total", &file), 1.0);
    assert_eq!(scrape.sum("logphase_queue_messages", &file), 4.0, "the queue is the same");
    service.signal(crate::service::Signal::TERM);
    service.wait();
}

/// Scenario: a file-log whose disk is full takes all the memory that it can get; then transactions of another route, whose
/// tcp-log has a queue on disk.
/// Guarantees: the refusals name the full queue and the shared bound, are counted for it and are logged; every transaction
/// of the other route is accepted and arrives.
#[test]
fn a_stuck_queue_leaves_memory_for_another_route() {
    let peer = TcpPeer::start();
    let route = |name: &str, plugin: Value| json!({"name": name, "paths": [format!("/{name}")], "plugins": [plugin]});
    let tcp = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
    let routes = [route("orders", full(&json!({"max_entries": 1_000_000}))), route("items", tcp)];
    let kong = json!({"_format_version": "3.0", "services": [{"name": "s", "url": "http://s", "routes": routes}]});
    let (home, port) = with_metrics(Home::with(&kong.to_string()));
    let home = home.set("LOGPHASE_QUEUE_MAX_MEMORY", "256KiB").set("LOGPHASE_SHUTDOWN_TIMEOUT", "1");
    let mut service = home.start();
    let (accepted, refusal) = fill(&service);
    assert!(accepted > 100, "only {accepted}");
    assert!(refusal.contains("the queue of file-log (full) is full (queue.max_memory)"), "{refusal}");
    (0..50).for_each(|id| service.accept(item(id).to_string()));
    let many: Vec<Value> = (50..90).map(item).collect();
    service.accept(Value::from(many).to_string());
    peer.wait_for(90);
    peer.messages().assert_once(&(0..90).collect());
    assert_eq!(Scrape::of(port).sum("logphase_queue_refusals_total", &[("plugin", "file-log")]), 1.0);
    wait_until("the log has the refusal", || {
        service.has_logged(
            "the queue of file-log (full) is full (queue.max_memory): transactions that go to it are refused",
        )
    });
    service.signal(crate::service::Signal::TERM);
    service.wait();
}
