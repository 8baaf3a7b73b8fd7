//! Damaged files of queues: they are set aside, shown, and their intact messages are put back.

use std::collections::BTreeSet;
use std::path::Path;

use serde_json::{Value, json};

use super::service::{Home, Scrape, Service, TcpPeer, configuration, free_port, transaction, wait_until};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";
const SERVICE: &str = "3a1d9c44-5e0b-4c1f-9f53-6d2e8b7a0c11";
const OTHER: &str = "7a1d9c44-5e0b-4c1f-9f53-6d2e8b7a0c11";

fn home(peer: &TcpPeer, status: u16) -> Home {
    let tcp_log = |id: &str| json!({"name": "tcp-log", "id": id, "config": {"host": "127.0.0.1", "port": peer.port}});
    let mut second = tcp_log(OTHER);
    second["service"] = json!("other");
    let mut kong: Value = serde_json::from_str(&configuration(&json!([tcp_log(ID), second]))).unwrap();
    kong["services"] = json!([{"id": SERVICE, "name": "other", "url": "http://other"}]);
    Home::with(&kong.to_string())
        .set("LOGPHASE_STATUS_LISTEN", format!("127.0.0.1:{status}"))
        .set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s")
        .set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
}

/// Moves the file of one queue into the folder of another, and damages the first of its three messages.
fn misplace(home: &Home) {
    let queue = |id: &str, number: u32| home.path(&format!("data/queues/tcp-log-{id}/{number:010}.seg"));
    let mut content = std::fs::read(queue(OTHER, 1)).unwrap();
    content[32 + 16 + 5] ^= 1;
    std::fs::write(queue(ID, 7), content).unwrap();
    std::fs::remove_dir_all(Path::new(&queue(OTHER, 1)).parent().unwrap()).unwrap();
}

/// A stopped service with a file of another queue that has the messages 2 and 3, and a damaged message 1.
fn stopped_with_a_misplaced_file(peer: &TcpPeer, status: u16) -> Service {
    let mut service = home(peer, status).start();
    service.accept(transaction(4).to_string());
    for id in 1..=3 {
        let mut transaction = transaction(id);
        transaction["service"] = json!({"id": SERVICE});
        service.accept(transaction.to_string());
    }
    assert_eq!(service.stop(), 0, "{}", service.log());
    misplace(&service.home);
    service
}

fn metric(status: u16) -> f64 {
    Scrape::of(status).sum("logphase_set_aside_files", &[])
}

fn listed(service: &Service) -> Value {
    let queues = service.home.queues();
    let name = format!("tcp-log-{ID}");
    queues.into_iter().find(|queue| queue["name"] == name.as_str()).unwrap_or_default()["set_aside"]["files"].clone()
}

/// Scenario: the file of another queue, with a damaged message, is in the folder of a queue when the service starts.
/// Guarantees: the service starts; the file is set aside, logged, in the metrics and in `queue list`; `queue salvage`
/// delivers its intact messages and removes it.
#[test]
fn by_a_service_that_runs() {
    let (mut peer, status) = (TcpPeer::absent(), free_port());
    let mut service = stopped_with_a_misplaced_file(&peer, status);
    peer.restart();
    service.start_again();
    assert!(service.has_logged("it belongs to another queue; `logphase queue salvage`"), "{}", service.log());
    assert_eq!(metric(status), 1.0);
    assert_eq!(listed(&service), 1);
    let salvaged = service.home.run(&["queue", "salvage", &format!("tcp-log-{ID}")], b"");
    assert_eq!(salvaged.code(), 0, "{salvaged:?}");
    let says = "0000000007.seg.unreadable: 2 messages put back, ";
    assert!(salvaged.stderr.starts_with(says) && salvaged.stderr.ends_with("; the file is removed\n"), "{salvaged:?}");
    wait_until("the intact messages arrive", || peer.messages().missing(&BTreeSet::from([2, 3, 4])).is_empty());
    assert_eq!(metric(status), 0.0);
    let again = service.home.run(&["queue", "salvage", &format!("tcp-log-{ID}")], b"");
    assert_eq!((again.code(), again.stderr.as_str()), (1, "no file was set aside\n"));
    assert_eq!(service.stop(), 0);
}

/// Scenario: the same, and the command opens the queue itself because no service runs.
/// Guarantees: it says what it finds; the next run delivers the intact messages.
#[test]
fn of_a_service_that_is_stopped() {
    let (mut peer, status) = (TcpPeer::absent(), free_port());
    let mut service = stopped_with_a_misplaced_file(&peer, status);
    let table = service.home.run(&["queue", "list"], b"").stdout;
    assert!(table.contains("stopped, 1 damaged file set aside"), "{table}");
    let salvaged = service.home.run(&["queue", "salvage", ID], b"");
    assert_ne!(salvaged.code(), 0, "an id without a service is no name: {salvaged:?}");
    let salvaged = service.home.run(&["queue", "salvage", &format!("tcp-log-{ID}")], b"");
    assert!(salvaged.code() == 0 && salvaged.stderr.contains("2 messages put back"), "{salvaged:?}");
    peer.restart();
    service.start_again();
    wait_until("the intact messages arrive", || peer.messages().missing(&BTreeSet::from([2, 3, 4])).is_empty());
    assert_eq!(service.stop(), 0);
}
