//! One plugin that is stuck does not stop the others.

use serde_json::{Value, json};

use crate::disk::assert_heals;
use crate::service::{
    Home, Load, Messages, Scrape, Service, TcpPeer, configuration, free_port, transaction, wait_until,
};

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
        let queue = json!({"max_entries": 4, "spill": false, "required": required});
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
    let routes = [route("orders", full(&json!({"max_entries": 1_000_000, "spill": false}))), route("items", tcp)];
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

/// Scenario: a file-log whose disk is full, and a tcp-log for the same transactions, which are three times as many as a
/// queue in memory holds; SIGTERM, and a start with a file that can be written.
/// Guarantees: every transaction is accepted and reaches the tcp-log; the backlog of the file-log is on disk; the stop loses
/// nothing, and the next run writes every message to the file, once and in order.
#[test]
fn a_full_queue_in_memory_goes_to_disk() {
    const ALL: u64 = 31_000;
    let peer = TcpPeer::start();
    let tcp = json!({"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}});
    let id = "3a0bb0a9-0c4f-4d8e-8a83-3a5a1c0b7f10";
    let file = |path: &str| json!({"name": "file-log", "id": id, "config": {"path": path}});
    let (home, port) = with_metrics(Home::with(&configuration(&json!([file("/dev/full"), tcp]))));
    let mut service = home.set("LOGPHASE_SHUTDOWN_TIMEOUT", "1").start();
    let mut client = service.client();
    for from in (0..ALL).step_by(100) {
        let many = Value::from((from..from + 100).map(transaction).collect::<Vec<_>>());
        let answer = client.post(many.to_string().as_bytes()).unwrap();
        assert_eq!(answer.status, 200, "{}", answer.text());
    }
    peer.wait_for(usize::try_from(ALL).unwrap());
    let queue = service.home.queues().into_iter().find(|queue| queue["plugin"] == "file-log").unwrap();
    assert_eq!((queue["messages"].as_u64(), &queue["on_disk"]), (Some(ALL), &json!(true)));
    let scrape = Scrape::of(port);
    assert_eq!(scrape.sum("logphase_queue_refusals_total", &[]), 0.0);
    assert!(scrape.sum("logphase_disk_queued_bytes", &[]) > 10e6, "the backlog is on disk");
    scrape.assert_sums();
    assert_eq!(service.stop(), 0, "what is on disk is not lost");
    assert!(service.has_logged("left in the queue on disk"));

    let path = service.home.text("messages.log");
    service.home.write("kong.yml", &configuration(&json!([file(&path)])));
    service.start_again();
    let written = || Messages::read(&service.home.path("messages.log"));
    wait_until("all messages are in the file", || written().counts.len() == usize::try_from(ALL).unwrap());
    written().assert_once(&(0..ALL).collect());
    let text = std::fs::read_to_string(&path).unwrap();
    let ids = text.lines().map(|line| crate::service::id_of(&serde_json::from_str(line).unwrap()).unwrap());
    assert!(ids.eq(0..ALL), "in order");
    assert_eq!(service.stop(), 0);
}

/// Scenario: a file-log that keeps up; a file-log with a backlog whose process is killed.
/// Guarantees: the first leaves no folder in the data directory; of the second only messages are lost that were in memory:
/// about half of its bound; what the next run writes arrives once.
#[test]
fn a_kill_loses_what_is_in_memory_only() {
    let id = "3a0bb0a9-0c4f-4d8e-8a83-3a5a1c0b7f10";
    let file = |path: &str| {
        let queue = json!({"max_entries": 100});
        configuration(&json!([{"name": "file-log", "id": id, "config": {"path": path, "queue": queue}}]))
    };
    let home = Home::new();
    let path = home.text("messages.log");
    home.write("kong.yml", &file(&path));
    let (home, port) = with_metrics(home);
    let mut service = home.start();
    (0..50).for_each(|id| service.accept(transaction(id).to_string()));
    wait_until("they are written", || Messages::read(&service.home.path("messages.log")).counts.len() == 50);
    assert_eq!(service.stop(), 0);
    let folder = service.home.path("data/queues").join(format!("file-log-{id}"));
    assert!(!folder.exists(), "nothing was written to the queue");

    service.home.write("kong.yml", &file("/dev/full"));
    service.start_again();
    (50..1000).for_each(|id| service.accept(transaction(id).to_string()));
    wait_until("all but half of its bound is on disk", || {
        let scrape = Scrape::of(port);
        let [bytes, messages, in_memory] = ["queue_bytes", "queue_messages", "memory_queued_bytes"]
            .map(|name| scrape.sum(&format!("logphase_{name}"), &[]));
        in_memory <= 50.0 * bytes / messages
    });
    service.kill();
    service.home.write("kong.yml", &file(&path));
    service.start_again();
    service.accept(transaction(1000).to_string());
    let written = || Messages::read(&service.home.path("messages.log"));
    wait_until("the last message is written", || written().counts.contains_key(&1000));
    let messages = written();
    let lost = messages.missing(&(0..=1000).collect());
    assert!(lost.len() < 60 && lost.iter().all(|id| *id > 900), "{lost:?}");
    assert_eq!((messages.duplicates(), messages.torn), (vec![], vec![]));
    assert_eq!(service.stop(), 0);
}

/// Scenario: a queue in memory whose backlog fills a data directory of 2 MB under load; then the receiver starts.
/// Guarantees: the log gives the cause, and only then senders are refused; when the receiver has taken messages the service
/// accepts again by itself, and every accepted message arrives.
#[test]
fn a_full_disk_refuses_and_heals() {
    let peer = TcpPeer::absent();
    let config = json!({"host": "127.0.0.1", "port": peer.port, "queue": {"durability": "memory", "max_entries": 200}});
    let home = Home::with(&configuration(&json!([{"name": "tcp-log", "config": config}])));
    let service = home.set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "0.1").with_data_of("2m").start();
    let load = Load::start(service.home.http);
    wait_until("the log says that the disk is full", || {
        service.has_logged("No space left on device") && service.has_logged("a backlog stays in memory")
    });
    wait_until("the log says that senders are refused", || {
        service.has_logged("the disk of the queue of tcp-log fails")
    });
    assert_heals(service, load, peer);
}

/// Scenario: the data directory cannot be created; then another service uses it; the configuration has a file-log.
/// Guarantees: the service starts all the same, the log says why a backlog stays in memory, and messages are delivered.
#[test]
fn queues_in_memory_need_no_data_directory() {
    let home = Home::new();
    let config = json!([{"name": "file-log", "config": {"path": home.text("messages.log")}}]);
    home.write("kong.yml", &configuration(&config));
    home.write("data", "a file");
    let mut service = home.start();
    assert!(service.has_logged("the queue cannot move a backlog to disk: cannot create"));
    service.accept(transaction(1).to_string());
    assert_eq!(service.stop(), 0);
    assert_eq!(Messages::read(&service.home.path("messages.log")).counts.len(), 1);

    std::fs::remove_file(service.home.path("data")).unwrap();
    service.start_again();
    let second = Home::with(&configuration(&config)).set("LOGPHASE_DATA_DIR", service.home.text("data"));
    let mut second = second.start();
    assert!(second.has_logged("in use by another process"));
    second.accept(transaction(2).to_string());
    assert_eq!((second.stop(), service.stop()), (0, 0));
    assert_eq!(Messages::read(&service.home.path("messages.log")).counts.len(), 2);
}
