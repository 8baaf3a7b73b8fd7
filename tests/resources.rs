//! The service's memory when idle and with full queues, and its startup time.

use std::fmt::Write;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::service::{Home, Messages, Service, TcpPeer, configuration, transaction};

/// The resident memory of a process, in MB.
fn memory(service: &Service) -> f64 {
    let text = std::fs::read_to_string(format!("/proc/{}/status", service.id())).unwrap();
    let line = text.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    let kilobytes: f64 = line.split_ascii_whitespace().nth(1).unwrap().parse().unwrap();
    kilobytes / 1000.0
}

/// Scenario: the service with a file-log with three fields, right after its start and after some transactions.
/// Guarantees: at most 30 MB while idle (80 MB without optimisation, where the code itself is half of that).
#[test]
fn idle_memory() {
    let home = Home::new();
    let fields = json!({
        "header": "return kong.request.get_header('h1')", "failed": "return kong.response.get_status() >= 500", "route": "return nil",
    });
    let config = json!({"path": home.text("messages.log"), "custom_fields_by_lua": fields});
    home.write("kong.yml", &configuration(&json!([{"name": "file-log", "config": config}])));
    let mut service = home.start();
    let limit = if cfg!(debug_assertions) { 80.0 } else { 30.0 };
    let idle = memory(&service);
    assert!(idle < limit, "{idle} MB right after the start");
    for _ in 0..20 {
        service.accept(Value::from((0..100).map(transaction).collect::<Vec<_>>()).to_string());
    }
    let later = memory(&service);
    assert!(later < limit, "{later} MB after some transactions");
    assert_eq!(service.stop(), 0);
}

/// Scenario: transactions for an unavailable receiver until the queue is full, with a bound of 4 MB on waiting
/// messages.
/// Guarantees: memory stays bounded by the waiting messages and the service's own memory, not by what was sent.
#[test]
fn memory_of_full_queues() {
    let peer = TcpPeer::absent();
    let kong = configuration(&json!([{"name": "tcp-log", "config": {"host": "127.0.0.1", "port": peer.port}}]));
    let home = Home::with(&kong).set("LOGPHASE_QUEUE_MAX_MEMORY", "4MiB").set("LOGPHASE_SHUTDOWN_TIMEOUT", "0");
    let home = home.set("LOGPHASE_QUEUE_DURABILITY", "memory").set("LOGPHASE_QUEUE_SPILL", "false");
    let service = home.set("LOGPHASE_QUEUE_MAX_ENTRIES", "1000000").start();
    let mut client = service.client();
    let padded = |id| {
        let mut transaction = transaction(id);
        transaction["padding"] = "x".repeat(10_000).into();
        transaction
    };
    let body = Value::from((0..20).map(padded).collect::<Vec<_>>()).to_string();
    let (mut taken, mut refused) = (0, 0);
    while refused < 20 {
        match client.post(body.as_bytes()).unwrap().status {
            200 => taken += 1,
            429 => refused += 1,
            other => panic!("{other}"),
        }
        assert!(taken < 100, "20 MB were taken");
    }
    assert!(taken > 10, "only {taken} bodies of 200 kB were taken");
    let used = memory(&service);
    let limit = if cfg!(debug_assertions) { 90.0 } else { 60.0 };
    assert!(used < limit, "{used} MB");
}

/// Scenario: a thousand plugins of three fields each, one per service, with one path each.
/// Guarantees: the service starts in a second (ten without optimisation), accepts a transaction of the last service and
/// runs the right plugin.
#[test]
fn a_thousand_plugins() {
    let home = Home::new();
    let mut kong = "_format_version: '3.0'\nservices:\n".to_owned();
    for number in 0..1000 {
        let path = home.text(&format!("{number}.log"));
        writeln!(
            kong,
            "- name: service-{number}\n  plugins:\n  - name: file-log\n    config:\n      path: {path}\n      custom_fields_by_lua:\n        \
             number: return {number}\n        header: return kong.request.get_header('h1')\n        route: return nil"
        )
        .unwrap();
    }
    home.write("kong.yml", &kong);
    let begun = Instant::now();
    let mut service = home.start();
    let took = begun.elapsed();
    let limit = Duration::from_secs(if cfg!(debug_assertions) { 10 } else { 1 });
    assert!(took < limit, "the start took {took:?}");
    let mut last = transaction(1);
    last["service"] = json!({"name": "service-999"});
    service.accept(last.to_string());
    assert_eq!(service.stop(), 0);
    Messages::read(&service.home.path("999.log")).assert_once(&[1].into());
    assert!(!service.home.path("0.log").exists());
}
