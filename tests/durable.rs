//! Queues on disk: acknowledged messages survive the process.

use std::collections::BTreeSet;
use std::thread;

use rustix::process::{Pid, Resource, Rlimit, prlimit};
use serde_json::json;

use super::service::{Client, Home, Load, Service, Signal, TcpPeer, configuration, transaction, wait_until};

const ID: &str = "0f4f1c2e-3b1a-4f6e-8c7d-2a1b3c4d5e6f";

/// A configuration with one tcp-log for `port`.
fn tcp_log(port: u16, timeout: u32) -> String {
    let config = json!({"host": "127.0.0.1", "port": port, "timeout": timeout});
    configuration(&json!([{"name": "tcp-log", "id": ID, "config": config}]))
}

fn home(peer: &TcpPeer) -> Home {
    Home::with(&tcp_log(peer.port, 10_000)).set("LOGPHASE_QUEUE_MAX_RETRY_DELAY", "100ms")
}

/// Scenario: the receiver is unavailable; the service is killed by SIGKILL under load, restarts, and is killed again;
/// then the receiver starts and the service restarts.
/// Guarantees: every transaction that was answered 200 arrives, complete.
#[test]
fn killed_under_load() {
    let mut peer = TcpPeer::absent();
    let mut service = home(&peer).start();
    let load = Load::start(service.home.http);
    for _ in 0..2 {
        load.await_more(300);
        service.kill();
        service.start_again();
    }
    load.await_more(100);
    service.kill();
    let sent = load.finish();
    assert!(sent.accepted.len() >= 700, "{}", sent.accepted.len());
    peer.restart();
    service.start_again();
    wait_until("all acknowledged messages have arrived", || peer.messages().missing(&sent.accepted).is_empty());
    peer.messages().assert_all(&sent.accepted);
    assert_eq!(service.stop(), 0);
}

/// Scenario: the service stops while the receiver is unavailable, and restarts when it is available.
/// Guarantees: the log says that messages are kept and the exit code is 0; the messages arrive once.
#[test]
fn stopped_with_a_backlog() {
    let mut peer = TcpPeer::absent();
    let mut service = home(&peer).set("LOGPHASE_SHUTDOWN_TIMEOUT", "1s").start();
    let ids: BTreeSet<u64> = (1..=20).collect();
    for id in &ids {
        service.accept(transaction(*id).to_string());
    }
    assert_eq!(service.stop(), 0, "{}", service.log());
    assert!(service.has_logged("left in the queue on disk"), "{}", service.log());
    peer.restart();
    service.start_again();
    peer.wait_for(20);
    peer.messages().assert_once(&ids);
    assert_eq!(service.stop(), 0);
}

fn limit_file_size(service: &Service, bytes: Option<u64>) {
    let process = i32::try_from(service.id()).ok().and_then(Pid::from_raw);
    let before = prlimit(process, Resource::Fsize, Rlimit { current: bytes, maximum: None }).unwrap();
    assert_eq!(before.maximum, None, "the limit can be raised again");
}

/// Scenario: for a while no file can grow, as on a full disk.
/// Guarantees: transactions that arrive meanwhile are not answered 200; the log and the answers give the cause; when
/// files can grow again the service continues by itself, and everything it acknowledged arrives.
#[test]
fn full_disk() {
    let peer = TcpPeer::start();
    let service = home(&peer).start();
    service.accept(transaction(1).to_string());
    limit_file_size(&service, Some(0));
    let port = service.home.http;
    let waiting = thread::spawn(move || Client::connect(port).unwrap().post(transaction(2).to_string().as_bytes()));
    wait_until("the log reports it", || service.has_logged("nothing is accepted for this plugin"));
    let refused = service.post(transaction(3).to_string());
    assert_eq!((refused.status, refused.header("retry-after")), (503, Some("1")), "{}", refused.text());
    assert!(refused.text().contains("queue_failing"), "{}", refused.text());
    assert!(!waiting.is_finished(), "what is not safe is not answered");
    limit_file_size(&service, None);
    assert_eq!(waiting.join().unwrap().unwrap().status, 200);
    wait_until("the log reports the recovery", || service.has_logged("the queue can be written again"));
    service.accept(transaction(4).to_string());
    wait_until("all messages have arrived", || peer.messages().missing(&BTreeSet::from([1, 2, 4])).is_empty());
    assert_eq!(peer.messages().missing(&BTreeSet::from([3])), [3]);
}

/// Scenario: two services with the same data directory.
/// Guarantees: the second exits at once and reports the cause.
#[test]
fn one_data_directory_for_two() {
    let peer = TcpPeer::start();
    let mut service = home(&peer).start();
    let second = service.home.run(&["run", "kong.yml"], b"");
    assert_ne!(second.code(), 0);
    assert!(second.stderr.contains("in use by another process: give each service a data_dir of its own"), "{second:?}");
    assert!(service.is_running());
}

/// Scenario: a reload changes the bound of a plugin's queue while its receiver is unavailable, so that the old queue
/// still exists; then the process is killed, and restarts when the receiver is available.
/// Guarantees: the messages of both queues arrive, and one directory is left.
#[test]
fn changed_while_it_drains() {
    let mut peer = TcpPeer::absent();
    let mut service = home(&peer).start();
    service.accept(transaction(1).to_string());
    let config = json!({"host": "127.0.0.1", "port": peer.port, "queue": {"max_entries": 5000}});
    service.home.write("kong.yml", &configuration(&json!([{"name": "tcp-log", "id": ID, "config": config}])));
    service.signal(Signal::HUP);
    wait_until("the configuration is reloaded", || service.has_logged("configuration reloaded"));
    service.accept(transaction(2).to_string());
    let queues = service.home.path("data/queues");
    let folders =
        || std::fs::read_dir(&queues).unwrap().filter(|entry| entry.as_ref().unwrap().path().is_dir()).count();
    assert_eq!(folders(), 2);
    service.kill();
    peer.restart();
    service.start_again();
    wait_until("both messages have arrived", || peer.messages().missing(&BTreeSet::from([1, 2])).is_empty());
    assert_eq!(folders(), 1);
}

/// Scenario: a queue in memory, and one that is synced every second.
/// Guarantees: the settings of a plugin apply; with the second, acknowledged messages survive SIGKILL.
#[test]
fn durability_is_a_setting() {
    let mut peer = TcpPeer::absent();
    let mut service = home(&peer).set("LOGPHASE_QUEUE_SYNC", "interval").start();
    service.accept(transaction(1).to_string());
    service.kill();
    service.home.write(
        "kong.yml",
        &configuration(&json!([{"name": "tcp-log", "id": ID, "config": {
            "host": "127.0.0.1", "port": peer.port, "queue": {"durability": "memory"},
        }}])),
    );
    service.start_again();
    service.accept(transaction(2).to_string());
    service.kill();
    service.home.write("kong.yml", &tcp_log(peer.port, 10_000));
    peer.restart();
    service.start_again();
    wait_until("the first message has arrived", || peer.count() > 0);
    assert_eq!(peer.messages().missing(&BTreeSet::from([1, 2])), [2]);
}
