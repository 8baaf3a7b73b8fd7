//! udp-log with messages larger than a datagram.

use serde_json::{Value, json};

use crate::service::{Home, TcpPeer, UdpPeer, configuration, id_of, transaction, wait_until};

/// A transaction of 100 kB whose long member is last.
fn large(id: u64) -> Value {
    let mut transaction = transaction(id);
    transaction["padding"] = "x".repeat(100_000).into();
    transaction
}

fn configure(port: u16, oversize: Option<&str>) -> String {
    let mut config = json!({"host": "127.0.0.1", "port": port});
    if let Some(oversize) = oversize {
        config["oversize"] = oversize.into();
    }
    configuration(&json!([{"name": "udp-log", "config": config}]))
}

/// Scenario: a large message between two small ones, with the default `oversize`.
/// Guarantees: the small ones arrive; the log has the size of the large one; delivery continues and the exit is clean.
#[test]
fn dropped_and_counted() {
    let udp = UdpPeer::start();
    let mut service = Home::with(&configure(udp.port, None)).start();
    service.accept(Value::from(vec![transaction(1), large(2), transaction(3)]).to_string());
    udp.wait_for(2);
    wait_until("the log names the size", || {
        let log = service.log();
        log.lines().any(|line| line.contains("udp-log") && line.contains("1007"))
    });
    assert_eq!(service.stop(), 0);
    let ids: Vec<_> = udp.datagrams().iter().map(|text| id_of(&serde_json::from_slice(text).unwrap())).collect();
    assert_eq!(ids, [Some(1), Some(3)]);
}

/// Scenario: the same with `oversize: tcp`, and a TCP receiver on the same port.
/// Guarantees: the small messages arrive as datagrams, the large one complete over TCP.
#[test]
fn sent_over_tcp() {
    let udp = UdpPeer::start();
    let tcp = TcpPeer::start_at(udp.port);
    let mut service = Home::with(&configure(udp.port, Some("tcp"))).start();
    service.accept(Value::from(vec![transaction(1), large(2), transaction(3)]).to_string());
    udp.wait_for(2);
    tcp.wait_for(1);
    assert_eq!(service.stop(), 0);
    assert_eq!(tcp.messages().counts, [(2, 1)].into());
}

/// Scenario: the same with `oversize: truncate`.
/// Guarantees: three datagrams arrive; the large one is the beginning of its message.
#[test]
fn cut_to_fit() {
    let udp = UdpPeer::start();
    let mut service = Home::with(&configure(udp.port, Some("truncate"))).start();
    service.accept(Value::from(vec![transaction(1), large(2), transaction(3)]).to_string());
    udp.wait_for(3);
    assert_eq!(service.stop(), 0);
    let cut = &udp.datagrams()[1];
    assert!(cut.len() > 60_000 && cut.len() <= 65_507, "{} bytes", cut.len());
    assert!(String::from_utf8_lossy(cut).contains("\"id\":\"2\""));
}
